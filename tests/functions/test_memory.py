"""f is computed once at a point, and is the same whether it was remembered or not."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_semrob.functions import RenderedFunction
from lightning_semrob.functions.memory import ScoreMemory
from lightning_semrob.rendering import Rasterizer
from lightning_semrob.shapes import resolve_shapes
from tests.tiny_network import InkNetwork


def function(memory: ScoreMemory | None) -> RenderedFunction:
    (shape,) = resolve_shapes(["teapot"])
    renderer = Rasterizer(32)
    space = renderer.space("azimuth", "elevation")
    return RenderedFunction(renderer, InkNetwork().eval(), shape.load(), shape.target, space, memory=memory)


def test_remembered_scores_are_those_that_were_computed() -> None:
    memory = ScoreMemory()
    f, plain = function(memory), function(None)
    u = f.space.sobol(10, 0)[None]
    first = f(u)
    assert torch.equal(first, plain(u))
    assert (memory.asked, memory.computed, len(memory)) == (10, 10, 10)
    mixed = torch.cat([u[:, 5:], f.space.sobol(20, 0)[None, 15:], u[:, :1], u[:, :1]], 1)
    scores, hits = f.scores_and_hits(mixed)
    assert torch.equal(scores, plain(mixed))
    assert torch.equal(hits, plain.scores_and_hits(mixed)[1])
    assert (memory.asked, memory.computed) == (22, 15)
    assert f.evaluations == 22


def test_a_point_that_is_asked_for_twice_at_once_is_computed_once() -> None:
    shown: list[Tensor] = []

    def compute(u: Tensor) -> tuple[Tensor, Tensor]:
        shown.append(u)
        return u.sum(-1), u.amax(-1)

    memory = ScoreMemory()
    u = torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]], dtype=torch.float64)
    scores, hits = memory.recall(u, compute)
    assert scores.tolist() == [3.0, 7.0, 3.0]
    assert hits.tolist() == [2.0, 4.0, 2.0]
    assert [part.tolist() for part in shown] == [[[1.0, 2.0], [3.0, 4.0]]]


def test_scores_that_are_not_finite_are_asked_for_again() -> None:
    memory = ScoreMemory()
    u = torch.zeros(1, 2, dtype=torch.float64)
    assert memory.recall(u, lambda u: (torch.full((1,), torch.nan), torch.full((1,), torch.nan)))[0].isnan().all()
    assert memory.recall(u, lambda u: (torch.ones(1), torch.ones(1)))[0].tolist() == [1.0]


def test_gradients_are_computed_anew() -> None:
    memory = ScoreMemory()
    f = function(memory)
    u = f.space.sobol(4, 0)[None]
    f(u)
    value, gradient = f.value_and_grad(u)
    assert memory.computed == 4
    assert torch.equal(gradient, function(None).value_and_grad(u)[1])
    torch.testing.assert_close(value, f(u))
