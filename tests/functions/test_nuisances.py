"""f as a mean over draws of background and light."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from tiny_network import InkNetwork
from torch import Tensor, nn

from lightning_semrob.functions import Nuisances, RenderedFunction, SemanticFunction
from lightning_semrob.rendering import Rasterizer, Renderer, Scene
from lightning_semrob.rendering.cache import CachedRenderer
from tests.functions.test_function_contract import SPACE, FunctionContract
from tests.rendering.test_rendering_contract import smooth_weights


@cache
def renderer(size: int = 32) -> Renderer:
    return Rasterizer(size, scene=Scene("embedded:wood,gradient,tiles", shadow=0.5))


class Smooth(nn.Module):
    """A logit of the teapot that is not saturated whatever stands behind it."""

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        self.register_buffer("weight", 15 * smooth_weights(size, seed=2))

    def forward(self, images: Tensor) -> Tensor:
        logits = images.new_zeros(len(images), 1000)
        logits[:, 849] = 7.0 + (images * self.weight).sum((1, 2, 3))
        return logits


def function(draws: int, seed: int = 0) -> RenderedFunction:
    return RenderedFunction.of("teapot", Smooth(), renderer=renderer(), nuisances=draws, seed=seed, micro_batch_size=4)


class TestNuisances(FunctionContract):
    tolerance = 1e-7

    def make(self) -> SemanticFunction:
        return function(3)

    def test_hits_come_with_the_scores(self, f: SemanticFunction) -> None:
        scores, hits = f.scores_and_hits(self.u)
        assert torch.equal(scores, f(self.u))
        assert bool(((3 * hits - (3 * hits).round()).abs() < 1e-6).all())  # parts of three draws


def test_it_is_the_mean_of_the_scores_under_each_draw() -> None:
    f, u = function(5), SPACE.sobol(6, 3)[None]
    drawn = f.nuisances
    assert drawn is not None
    one_by_one = []
    for values in drawn.values:
        setting = Nuisances(drawn.names, values[None])
        one_by_one.append(RenderedFunction(
            renderer(), f.classifier, f.mesh, f.target, SPACE, micro_batch_size=4, nuisances=setting
        ))  # fmt: skip
    scores = torch.stack([part(u) for part in one_by_one], -1)
    torch.testing.assert_close(f(u), scores.mean(-1), rtol=0, atol=1e-7)
    gradients = torch.stack([part.value_and_grad(u)[1] for part in one_by_one], -1)
    torch.testing.assert_close(f.value_and_grad(u)[1], gradients.mean(-1), rtol=1e-4, atol=1e-7)
    found = f.scores_by_draw(u)
    torch.testing.assert_close(found.scores, scores, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.spread, scores.std(-1), rtol=0, atol=1e-6)
    assert found.spread.max() > 0.01
    assert (one_by_one[0].scores_by_draw(u).spread == 0).all()


def test_gradients_agree_with_fitted_slopes() -> None:
    f = RenderedFunction.of("teapot", Smooth(96), renderer=renderer(96), nuisances=2)
    steps = torch.linspace(-2, 2, 9, dtype=torch.float64)
    u = SPACE.sobol(5, 5)[:, None].repeat(1, len(steps), 1)
    u[..., 0] += steps
    value, gradient = f.value_and_grad(u)
    slope = ((value - value.mean(1, keepdim=True)) * steps).sum(1) / steps.square().sum()
    mean = gradient[..., 0].mean(1)
    strong = slope.abs() > 0.2 * slope.abs().max()
    assert strong.sum() >= 2
    assert (mean * slope > 0)[strong].all()
    assert float((mean / slope)[strong].median()) == pytest.approx(1, abs=0.15)


def test_draws_are_fixed_by_the_seed_and_balanced() -> None:
    first, again, other = (Nuisances.draw(renderer(), SPACE.names, 7, seed) for seed in (0, 0, 1))
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, other.values)
    assert first.names == ("picture", "light_azimuth", "light_elevation", "light_intensity")
    counts = torch.bincount(first.values[:, 0].long())
    assert sorted(counts.tolist()) == [2, 2, 3]
    elevation, intensity = first.values[:, 2], first.values[:, 3]
    assert elevation.min() >= 20
    assert elevation.max() <= 80
    assert intensity.min() >= 0.5
    assert intensity.max() <= 1.5
    assert torch.equal(Nuisances.draw(CachedRenderer(renderer()), SPACE.names, 7).values, first.values)


def test_what_is_swept_is_not_drawn_and_a_plain_background_is() -> None:
    swept = Nuisances.draw(renderer(), ["azimuth", "light_azimuth", "picture"], 2)
    assert swept.names == ("light_elevation", "light_intensity")
    assert Nuisances.draw(Rasterizer(32), ["azimuth"], 2).names[-1] == "background"
    with pytest.raises(ValueError, match="no background and no light"):
        Nuisances.draw(Rasterizer(32), ["light_azimuth", "light_elevation", "light_intensity", "background"], 2)
    with pytest.raises(ValueError, match="at least 1 draw"):
        Nuisances.draw(renderer(), SPACE.names, -1)


def test_a_scene_belongs_to_the_renderer() -> None:
    with pytest.raises(ValueError, match="give the scene to it"):
        RenderedFunction.of("teapot", InkNetwork(), renderer=renderer(), scene=Scene(shadow=0.5))
    plain = RenderedFunction.of("teapot", InkNetwork(), image_size=32)
    shaded = RenderedFunction.of("teapot", InkNetwork(), image_size=32, scene=Scene(shadow=1.0))
    assert not torch.equal(plain(SPACE.sobol(4, 0)[None]), shaded(SPACE.sobol(4, 0)[None]))
