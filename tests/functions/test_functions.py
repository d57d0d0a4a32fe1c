"""f(u) in its three kinds."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_network import InkNetwork
from torch import Tensor

from lightning_semrob import Axis, SemanticSpace
from lightning_semrob.finders import OIRWhiteBoxFinder
from lightning_semrob.functional.scores import margin_score, softmax_score, top1_score
from lightning_semrob.functions import (
    AnalyticFunction,
    Complement,
    FiniteDifference,
    RecordedFunction,
    RenderedFunction,
    Reordered,
)
from lightning_semrob.rendering.raster import Rasterizer
from lightning_semrob.shapes.embedded.procedural import procedural_mesh


def point(*values: float) -> Tensor:
    return torch.tensor([[values]], dtype=torch.float64)


@pytest.fixture(scope="module")
def maps() -> Tensor:
    return torch.rand(3, 34, 120, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_recorded_map_returns_its_samples(maps: Tensor) -> None:
    f = RecordedFunction(maps)
    grid = torch.stack(torch.meshgrid(torch.arange(0, 360, 3.0), torch.arange(-10, 90, 3.0), indexing="xy"), -1).view(
        1, -1, 2
    )
    value = f(grid.expand(3, -1, -1), torch.arange(3)).view(3, 34, 120)
    torch.testing.assert_close(value, maps, rtol=0, atol=1e-13)
    assert f.evaluations == 3 * 34 * 120
    assert f.gradient_evaluations == 0


def test_recorded_map_is_multilinear_between_samples(maps: Tensor) -> None:
    f = RecordedFunction(maps)
    expected = 0.25 * (maps[1, 4, 7] + maps[1, 4, 8] + maps[1, 5, 7] + maps[1, 5, 8])
    value = f(point(22.5, 3.5), torch.tensor([1]))
    torch.testing.assert_close(value[0, 0], expected)


@pytest.mark.parametrize("elevation", [-10.0, 20.3, 88.0])
def test_azimuth_wraps(maps: Tensor, elevation: float) -> None:
    f = RecordedFunction(maps)
    for azimuth in (0.0, 1.5, 358.7):
        torch.testing.assert_close(f(point(azimuth, elevation)), f(point(azimuth - 720, elevation)))
    torch.testing.assert_close(f(point(358.5, -10.0))[0, 0], (maps[0, 0, 119] + maps[0, 0, 0]) / 2)


def test_rules_outside_the_data(maps: Tensor) -> None:
    f = RecordedFunction(maps)
    torch.testing.assert_close(f(point(30.0, 89.7)), f(point(30.0, 89.0)))
    torch.testing.assert_close(f(point(30.0, 120.0)), f(point(210.0, 60.0)))
    torch.testing.assert_close(f(point(30.0, -25.0)), f(point(30.0, -10.0)) * math.exp(-1))
    torch.testing.assert_close(f(point(30.0, 205.0)), f(point(210.0, -10.0)) * math.exp(-1))
    edge = RecordedFunction(maps, outside="edge")
    torch.testing.assert_close(edge(point(30.0, -25.0)), f(point(30.0, -10.0)))
    assert RecordedFunction(maps, outside="zero")(point(30.0, -25.0)).item() == 0.0
    assert f(point(math.nan, 0.0)).isnan().all()


def test_recorded_gradient_is_the_slope(maps: Tensor) -> None:
    f = RecordedFunction(maps)
    generator = torch.Generator().manual_seed(1)
    u = torch.rand(3, 200, 2, generator=generator, dtype=torch.float64) * torch.tensor([720.0, 260.0]) - 60
    _, gradient = f.value_and_grad(u, torch.arange(3))
    _, slope = FiniteDifference(f, 1e-6).value_and_grad(u, torch.arange(3))
    wrong = ((gradient - slope).abs() > 1e-5).double().mean()
    assert wrong < 0.01  # samples within 1e-6 of a kink


def test_recorded_maps_over_named_axes() -> None:
    space = SemanticSpace((Axis("distance", 1.0, 3.0), Axis("roll", 0.0, 90.0, periodic=True)))
    maps = torch.rand(1, 5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    f = RecordedFunction(maps, axes=space)
    assert f.names == ("distance", "roll")
    torch.testing.assert_close(f(point(3.0, 0.0))[0, 0], maps[0, 4, 0])
    torch.testing.assert_close(f(point(1.5, 95.0))[0, 0], (maps[0, 1, 0] + maps[0, 1, 1]) / 2)
    torch.testing.assert_close(f(point(3.3, 0.0))[0, 0], maps[0, 4, 0] * math.exp(-1))
    other = Reordered(f, ("roll", "distance"))
    value, gradient = other.value_and_grad(point(5.0, 1.5))
    expected_value, expected = f.value_and_grad(point(1.5, 5.0))
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(gradient, expected.flip(-1))


@pytest.mark.parametrize(
    ("shape", "message"), [((4, 5), "maps must be"), ((1, 2, 3, 4), "maps must be"), ((1, 1, 9), "at least 2 samples")]
)
def test_wrong_maps_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecordedFunction(torch.zeros(shape))


def test_an_unknown_rule_outside_the_data_is_refused(maps: Tensor) -> None:
    with pytest.raises(ValueError, match="outside must be"):
        RecordedFunction(maps, outside="wrap")


def test_complement_counts_itself_and_f() -> None:
    f = AnalyticFunction(lambda u: torch.sigmoid(u.sum(-1)))
    g = Complement(f)
    u = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value, gradient = f.value_and_grad(u)
    g.value_and_grad(u)
    torch.testing.assert_close(gradient, (value * (1 - value))[..., None].expand(-1, -1, 4))
    assert (f.evaluations, f.gradient_evaluations) == (12, 12)
    assert (g.evaluations, g.gradient_evaluations) == (6, 6)


def test_scores() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    p = logits.double().softmax(-1)
    torch.testing.assert_close(softmax_score(logits, [0]), p[:, 0])
    torch.testing.assert_close(softmax_score(logits, [0, 2]), p[:, 0] + p[:, 2])
    torch.testing.assert_close(margin_score(logits, [0]), (1 + p[:, 0] - p[:, 1]) / 2)
    assert top1_score(logits, [0]).tolist() == [1.0, 0.0]
    assert top1_score(logits, [1, 2]).tolist() == [0.0, 1.0]
    assert top1_score(logits * math.nan, [0]).isnan().all()


def test_log_softmax_keeps_the_gradient_where_softmax_saturates() -> None:
    """At a probability of 1 - 1e-13 the float32 softmax has no gradient left; f must have."""
    logits = torch.tensor([[30.0, 0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(softmax_score(logits, [0]).sum(), logits)
    assert gradient[0, 0] > 0


@pytest.fixture(scope="module")
def rendered() -> RenderedFunction:
    renderer = Rasterizer(image_size=32)
    space = renderer.space("azimuth", "elevation")
    return RenderedFunction(renderer, InkNetwork(), procedural_mesh("teapot", 0), 849, space, micro_batch_size=4)


@pytest.mark.parametrize("score", ["softmax", "margin"])
def test_rendered_gradient_follows_a_smooth_axis(rendered: RenderedFunction, score: str) -> None:
    """The background grey changes the picture smoothly: the gradient is the slope."""
    space = rendered.renderer.space("background")
    f = RenderedFunction(rendered.renderer, rendered.classifier, rendered.mesh, 849, space, score, 4)
    u = torch.tensor([[[0.997], [0.9985]]], dtype=torch.float64)
    _, gradient = f.value_and_grad(u)
    _, slope = FiniteDifference(f, 2e-4).value_and_grad(u)
    assert (slope.abs() > 1e-2).any()
    torch.testing.assert_close(gradient, slope, rtol=2e-2, atol=1e-4)


def test_top1_has_no_gradient(rendered: RenderedFunction) -> None:
    f = RenderedFunction(rendered.renderer, rendered.classifier, rendered.mesh, 849, rendered.space, "top1", 4)
    assert not f.differentiable
    with pytest.raises(ValueError, match="has no gradient"):
        f.value_and_grad(torch.zeros(1, 1, 2))


def test_rendered_function_refuses_bad_input(rendered: RenderedFunction) -> None:
    parts = (rendered.renderer, rendered.classifier, rendered.mesh)
    with pytest.raises(ValueError, match="did you mean 'azimuth'"):
        RenderedFunction(*parts, 849, SemanticSpace((Axis("azimut", 0, 1),)))
    with pytest.raises(ValueError, match="did you mean 'softmax'"):
        RenderedFunction(*parts, 849, rendered.space, "softmaxx")
    for target in ((), (-1,)):
        with pytest.raises(ValueError, match="at least one class"):
            RenderedFunction(*parts, target, rendered.space)
    with pytest.raises(ValueError, match="output 1000 of a classifier with 1000 outputs"):
        RenderedFunction(*parts, 1000, rendered.space)(torch.zeros(1, 1, 2))
    random = torch.nn.Sequential(torch.nn.Dropout(), rendered.classifier).train()
    with pytest.raises(ValueError, match=r"'0' of the classifier is in training mode: call classifier.eval\(\)"):
        RenderedFunction(parts[0], random, parts[2], 849, rendered.space)
    assert RenderedFunction(parts[0], random.eval(), parts[2], 849, rendered.space).differentiable


def test_finite_differences_stay_inside_and_count_what_they_cost() -> None:
    space = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True), Axis("elevation", -10.0, 90.0)))
    seen: list[Tensor] = []

    def f(u: Tensor) -> Tensor:
        seen.append(u)
        return 0.5 + u[..., 0] / 1000 + u[..., 1] / 500

    wrapped = FiniteDifference.of(AnalyticFunction(f), space)
    u = torch.tensor([[[0.0, 90.0], [359.5, -10.0], [30.0, 95.0]]], dtype=torch.float64)
    value, gradient = wrapped.value_and_grad(u)
    torch.testing.assert_close(value, 0.5 + u[..., 0] / 1000 + u[..., 1] / 500)
    torch.testing.assert_close(gradient, torch.tensor([1 / 1000, 1 / 500]).double().expand(1, 3, 2))
    inside = seen[0].view(3, 5, 2)[:2, :, 1]
    assert inside.min() == -10
    assert inside.max() == 90
    assert (wrapped.evaluations, wrapped.gradient_evaluations) == (15, 0)
    assert wrapped.function.evaluations == 15
    box = OIRWhiteBoxFinder(num_iterations=3).find(wrapped, torch.tensor([[100.0, 40.0]]), space)
    assert box.evaluations is not None
    assert box.gradient_evaluations is not None
    assert box.evaluations.item() == 3 * 4 * 5
    assert box.gradient_evaluations.item() == 0
