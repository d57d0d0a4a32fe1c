"""The PyTorch3D backend against the contract and against the built-in rasteriser; skipped without pytorch3d."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.rendering import PyTorch3DRenderer, Rasterizer, Renderer, Scene
from lightning_semrob.rendering.camera import camera_matrix
from lightning_semrob.rendering.geometry import prepare
from lightning_semrob.rendering.pytorch3d import mix_fragments
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


def test_what_is_behind_the_object_is_the_scene_of_the_built_in_renderer() -> None:
    """Fragments without a face, which need no PyTorch3D: picture, panorama and shadow, to the pixel."""
    plain, scene = Rasterizer(SIZE), Rasterizer(SIZE, scene=Scene("embedded:wood", "embedded:room", 0.8))
    mesh, names = box(), ("azimuth", "elevation", "picture")
    u = torch.tensor([[35.0, 20.0, 0.0], [200.0, 50.0, 1.0]])
    parameters = {
        name: u[:, names.index(name)] if name in names else torch.full((2,), p.default)
        for name, p in scene.semantic_parameters.items()
    }
    view = [parameters[name] for name in ("azimuth", "elevation", "distance", "field_of_view", "roll")]
    light = scene.lighting(mesh, parameters, camera_matrix(*view))
    none = torch.zeros(2, 2 * SIZE, 2 * SIZE, 1)
    empty = SimpleNamespace(pix_to_face=none.long() - 1, zbuf=none - 1, dists=none - 1, bary_coords=none[..., None])
    around = (plain(mesh, u[:, :2], names[:2]) == 1).all(1, keepdim=True).expand(-1, 3, -1, -1)
    assert 0.5 < around.float().mean() < 0.95
    expected = scene(mesh, u, names)[around]
    for soft in ((), (1e-5, 1e-4)):
        samples = mix_fragments(empty, prepare(mesh), light, torch.zeros(2, 3), parameters["field_of_view"], soft)
        found = samples.unflatten(1, (SIZE, 2)).unflatten(3, (SIZE, 2)).mean((2, 4)).permute(0, 3, 1, 2)
        torch.testing.assert_close(found[around], expected, atol=1e-5, rtol=0)


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
