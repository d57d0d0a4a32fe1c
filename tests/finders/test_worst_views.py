"""Random search and CMA-ES for the view of the lowest score."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_semrob import AnalyticFunction, Axis, Box, SemanticFunction, SemanticSpace
from lightning_semrob.finders.worst_views import CMAESSearch, RandomSearch, ViewSearch

pytest.importorskip("cma", reason="cma is absent: pip install cma")

SPACE = SemanticSpace.default()
SEARCHES = [RandomSearch, CMAESSearch]


def pit(u: Tensor) -> Tensor:
    """1 with a smooth pit of depth 0.8 at azimuth 358, elevation 35: its minimum is 0.2."""
    turn = torch.remainder(u[..., 0] - 358 + 180, 360) - 180
    return 1 - 0.8 * torch.exp(-((turn / 60) ** 2) - ((u[..., 1] - 35) / 20) ** 2)


def f() -> AnalyticFunction:
    return AnalyticFunction(pit, SPACE.names)


def test_cma_es_finds_the_minimum_across_the_seam_of_a_periodic_axis() -> None:
    found = CMAESSearch(200).search(f(), SPACE)
    assert float(found.score) == pytest.approx(0.2, abs=1e-4)
    assert 0 <= float(found.point[0, 0]) < 360
    assert float((found.point[0, 0] - 358 + 180) % 360 - 180) == pytest.approx(0, abs=1)
    assert float(found.point[0, 1]) == pytest.approx(35, abs=1)
    assert float(RandomSearch(200).search(f(), SPACE).score) > float(found.score)


def test_random_search_is_uniform() -> None:
    """Its lowest score is the least of so many independent draws: the level sets' masses are uniform quantiles."""
    space = SemanticSpace((Axis("x", 0.0, 1.0),))
    line = AnalyticFunction(lambda u: u[..., 0])
    scores = RandomSearch(9).search(line, space, index=torch.arange(400)).score
    assert float(scores.mean()) == pytest.approx(0.1, abs=4 * 0.09 / 20)


@pytest.mark.parametrize("kind", SEARCHES)
def test_the_budget_is_spent_exactly_and_the_trace_falls(kind: type[ViewSearch]) -> None:
    function = f()
    found = kind(101).search(function, SPACE)
    assert function.evaluations == found.evaluations == 101
    assert bool((found.lowest.diff() <= 0).all())
    assert float(found.lowest[0, -1]) == float(found.score)
    assert float(function(found.point[None])) == float(found.score)


@pytest.mark.parametrize("kind", SEARCHES)
def test_seeds_fix_the_result_whatever_the_batch_size_and_the_other_rows(kind: type[ViewSearch]) -> None:
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr]  # noqa: NPY002
    torch_state = torch.get_rng_state()
    boxes = Box(torch.tensor([[10.0, 0.0], [300.0, 10.0]]), torch.tensor([[80.0, 30.0], [420.0, 60.0]]))
    index = torch.tensor([0, 3])
    whole = kind(60, seed=4).search(f(), SPACE, boxes, index)
    small = kind(60, batch_size=7, seed=4).search(f(), SPACE, boxes, index)
    single = kind(60, seed=4).search(f(), SPACE, Box(boxes.a[1:], boxes.b[1:]), index[1:])
    assert torch.equal(whole.point, small.point)
    assert torch.equal(whole.lowest, small.lowest)
    assert torch.equal(whole.point[1:], single.point)
    assert bool((whole.point >= boxes.a).all() and (whole.point <= boxes.b).all())
    assert not torch.equal(whole.point, kind(60, seed=5).search(f(), SPACE, boxes, index).point)
    # The minimum at 358 degrees lies in the second box, whose azimuth is unwrapped.
    assert float(whole.score[1]) < 0.25 < float(whole.score[0])
    assert np.array_equal(np.random.get_state()[1], state)  # type: ignore[arg-type]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize("kind", SEARCHES)
def test_flat_and_broken_scores_end(kind: type[ViewSearch]) -> None:
    """On a plateau CMA-ES stops and starts again; a score that is not finite is never the worst."""
    flat = kind(80).search(AnalyticFunction(lambda u: 0.5 + 0 * u[..., 0]), SPACE)
    assert float(flat.score) == 0.5
    half = kind(80).search(AnalyticFunction(lambda u: torch.where(u[..., 0] < 180, torch.nan, 0.25)), SPACE)
    assert float(half.score) == 0.25
    assert float(half.point[0, 0]) >= 180
    never = kind(10).search(AnalyticFunction(lambda u: torch.nan * u[..., 0]), SPACE)
    assert float(never.score) == torch.inf


@pytest.mark.parametrize("kind", SEARCHES)
def test_one_axis_and_six(kind: type[ViewSearch]) -> None:
    for n in (1, 6):
        space = SemanticSpace(tuple(Axis(f"x{k}", -1.0, 1.0, periodic=k == 0) for k in range(n)))
        found = kind(300).search(AnalyticFunction(lambda u: u.square().mean(-1)), space)
        assert found.point.shape == (1, n)
        assert float(found.score) < (0.01 if kind is CMAESSearch or n == 1 else 0.3)


def test_columns_are_matched_by_name() -> None:
    swapped = SemanticSpace((SPACE.axes[1], SPACE.axes[0]))
    found = CMAESSearch(200).search(f(), swapped)
    assert float(found.point[0, 0]) == pytest.approx(35, abs=1)


def test_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        RandomSearch(0)
    with pytest.raises(ValueError, match="step must be positive"):
        CMAESSearch(10, step=0)
    with pytest.raises(ValueError, match="finite bounds a <= b"):
        RandomSearch(5).search(f(), SPACE, Box(torch.tensor([[2.0, 2.0]]), torch.tensor([[1.0, 3.0]])))
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install cma"):
        CMAESSearch(10)


def missing(name: str) -> None:
    raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_the_interface_is_one() -> None:
    """A search of one's own is one method."""

    class Lattice(ViewSearch):
        def minimize(self, score, periodic, generator) -> None:  # type: ignore[no-untyped-def]
            tick = torch.linspace(0, 1, 10, dtype=torch.float64)
            score(torch.cartesian_prod(tick, tick))

    function: SemanticFunction = f()
    assert Lattice(100).search(function, SPACE).evaluations == 100
