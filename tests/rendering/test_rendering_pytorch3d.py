"""The PyTorch3D backend against the contract and against the built-in rasteriser; skipped without pytorch3d."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.rendering import PyTorch3DRenderer, Rasterizer, Renderer
from lightning_semrob.shapes.mesh import Mesh
from tests.rendering.test_rendering_contract import POINT, SIZE, RendererContract, box, checkered, smooth_weights, table

installed = find_spec("pytorch3d") is not None
needs_pytorch3d = pytest.mark.skipif(not installed, reason="pytorch3d cannot be imported here")


@pytest.mark.skipif(installed, reason="pytorch3d can be imported here")
def test_without_pytorch3d_one_sentence_says_what_to_do() -> None:
    with pytest.raises(ImportError, match="built from its repository"):
        PyTorch3DRenderer(SIZE)


@pytest.mark.skipif(installed, reason="pytorch3d can be imported here")
def test_by_its_short_name_too() -> None:
    with pytest.raises(ImportError, match="built from its repository"):
        SemanticEnvironment(renderer="pytorch3d")


@needs_pytorch3d
class TestPyTorch3D(RendererContract):
    @pytest.fixture
    def renderer(self) -> Renderer:
        return PyTorch3DRenderer(SIZE)

    @pytest.mark.parametrize("make", [box, table, checkered])
    def test_gradients_agree_with_fitted_slopes(self, renderer: Renderer, make: Callable[[], Mesh]) -> None:
        """They are those of the soft image, which are not the slopes of the hard one (docs/rendering.md): of every
        axis they are there and finite."""
        names = tuple(renderer.semantic_parameters)
        point = torch.tensor([[POINT.get(n, p.default) for n, p in renderer.semantic_parameters.items()]])
        score = (renderer(make(), point.requires_grad_(True), names) * smooth_weights(SIZE)).sum()
        (gradient,) = torch.autograd.grad(score, point)
        assert gradient.isfinite().all()
        assert (gradient != 0).all()


@needs_pytorch3d
@pytest.mark.parametrize("make", [box, table, checkered])
def test_both_backends_put_the_same_pixels_at_the_same_place(make: Callable[[], Mesh]) -> None:
    u = torch.tensor([[35.0, 20.0, 10.0, 0.0], [200.0, 70.0, -30.0, 0.0]])
    names = ("azimuth", "elevation", "roll", "background")
    first, second = (r(make(), u, names) for r in (PyTorch3DRenderer(224), Rasterizer(224)))
    silhouettes = [image.amax(1) > 0.02 for image in (first, second)]
    overlap = (silhouettes[0] & silhouettes[1]).sum() / (silhouettes[0] | silhouettes[1]).sum()
    assert overlap >= 0.99
    assert (first - second).abs().mean() <= 2 / 255
