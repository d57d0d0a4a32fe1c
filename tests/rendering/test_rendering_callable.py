"""Any function u -> images as the renderer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_semrob.commands.evaluate import EvaluateCLI, evaluate
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.finders import NaiveFinder, OIRWhiteBoxFinder
from lightning_semrob.functions import RenderedFunction
from lightning_semrob.rendering import CallableRenderer
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.space import Axis
from tests.rendering.test_rendering_contract import box

AXES = (Axis("hue", 0.0, 360.0, periodic=True), Axis("blur", 0.0, 3.0, "pixel"))


def grey(u: Tensor) -> Tensor:
    """A grey picture, brighter with blur."""
    return (0.2 + u[:, 1:2, None, None] / 4).expand(-1, 3, 16, 16)


def faces(u: Tensor, mesh: Mesh) -> Tensor:
    """Twelve faces make 0.12."""
    return torch.full((len(u), 3, 16, 16), len(mesh.faces) / 100)


class Mean(torch.nn.Module):
    """Logit of class 0 is the mean of the picture."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack((8 * (mean - 0.4), torch.zeros_like(mean)), -1)


def test_values_and_defaults() -> None:
    renderer = CallableRenderer(grey, AXES, {"blur": 2.0}, image_size=16)
    image = renderer(box(), torch.tensor([[10.0]]), ("hue",))
    torch.testing.assert_close(image, torch.full((1, 3, 16, 16), 0.7))
    assert not renderer.differentiable
    assert CallableRenderer(grey, AXES, image_size=16).semantic_parameters["blur"].default == 1.5


def test_a_function_may_take_the_mesh() -> None:
    renderer = CallableRenderer(faces, AXES, image_size=16)
    torch.testing.assert_close(renderer(box(), torch.zeros(1, 1), ("hue",)), torch.full((1, 3, 16, 16), 0.12))


def test_black_box_finders_work_and_the_others_say_so() -> None:
    renderer = CallableRenderer(grey, AXES, image_size=16)
    space = renderer.space("blur")
    f = RenderedFunction(renderer, Mean(), box(), 0, space)
    found = NaiveFinder(num_iterations=30).find(f, torch.tensor([[2.5]]), space)
    assert (found.b - found.a).item() > 0.3
    with pytest.raises(ValueError, match="needs gradients and f has none"):
        OIRWhiteBoxFinder().find(f, torch.tensor([[2.5]]), space)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (lambda u: torch.zeros(len(u), 3, 8, 8), "returned images"),
        (lambda u: torch.full((len(u), 3, 16, 16), 255.0), "expected RGB in"),
        (lambda u: torch.full((len(u), 3, 16, 16), torch.nan), "expected RGB in"),
    ],
)
def test_bad_images_are_refused(images: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CallableRenderer(images, AXES, image_size=16)(box(), torch.zeros(1, 1), ("hue",))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["grey", "no_such_module:grey", "test_rendering_callable:no_such", "math:pi"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name.split(":")[0]):
        CallableRenderer(name, AXES)


def test_by_name_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blurred_scene.py").write_text(
        "import torch\ndef images(u):\n    return (0.2 + u[:, :1, None, None] / 4).expand(-1, 3, 32, 32)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    axes = "[{name: blur, low: 0.0, high: 3.0, unit: pixel}]"
    arguments = [
        "--data.networks=[tiny_network:build]",
        "--data.shapes=[teapot]",
        "--data.renderer=lightning_semrob.rendering.CallableRenderer",
        "--data.renderer.images=blurred_scene:images",
        f"--data.renderer.axes={axes}",
        "--data.renderer.image_size=32",
        "--trust.max_evaluations=0",
        "--data.space=[blur]",
        "--data.initial_points=2",
        "--model.num_iterations=2",
        "--model.verified_evaluations=40",
        "--trainer.enable_progress_bar=false",
        f"--output={tmp_path / 'out'}",
    ]
    with pytest.raises(ValueError, match=r"'oir_w' needs gradients, and the renderer CallableRenderer has none"):
        evaluate(arguments)
    summary = evaluate([*arguments, "--model.finders=[naive,oir_b,verified]", "--overwrite=true"])
    assert summary["runs"] == 6
    kept = tmp_path / "out" / "config.yaml"
    assert EvaluateCLI([f"--config={kept}"]).result_config() == kept.read_text()
    assert environment_of(tmp_path / "out", trust=True).space.names == ("blur",)
    finite = evaluate([*arguments, "--model.finders=[oir_w]", "--data.gradient=finite", f"--output={tmp_path / 'fd'}"])
    assert finite["runs"] == 2
