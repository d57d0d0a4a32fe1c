"""Verified boxes: large, true, independent of their batch; and the verification of any box."""

import math

import pytest
import torch
from torch import Tensor

from lightning_semrob import Axis, Box, SemanticSpace
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.finders.exhaustive import ExhaustiveFinder
from lightning_semrob.finders.verified.faces import FaceGrowth
from lightning_semrob.finders.verified.finder import VerifiedFinder
from lightning_semrob.finders.verified.search import VerifiedSearch
from lightning_semrob.finders.verified.surrogate import SurrogateGrowth
from lightning_semrob.functional.betting import ControlVariate, eq2_bounds
from lightning_semrob.functions import AnalyticFunction, RecordedFunction, SemanticFunction
from lightning_semrob.verification.region import AxisDensity, box_mass, verify


def cube(n: int) -> SemanticSpace:
    return SemanticSpace(tuple(Axis(f"axis{k}", -1.0, 1.0, unit="1") for k in range(n)))


def plateau(n: int, half: float = 0.4, edge: float = 0.02) -> AnalyticFunction:
    """About 1 in the box |u_k| < half, 0 outside."""
    return AnalyticFunction(lambda u: torch.sigmoid((half - u.abs()) / edge).prod(-1))


def smooth_maps(count: int, seed: int) -> Tensor:
    """Scores with plateaus, (count, 34, 120)."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.randn(count, 1, 5, 9, generator=generator, dtype=torch.float64)
    low = torch.cat([low, low[..., :1]], -1)  # periodic
    maps = torch.nn.functional.interpolate(low, size=(34, 121), mode="bilinear", align_corners=True)[:, 0, :, :120]
    return torch.sigmoid(4 * maps + 2)


def dense(f: SemanticFunction, box: Box, row: int, index: Tensor) -> tuple[float, float]:
    tick = (torch.arange(200).double() + 0.5) / 200
    grid = torch.cartesian_prod(tick, tick)
    value = f((box.a[row] + grid * (box.b[row] - box.a[row]))[None], index[row : row + 1])
    return float(value.mean()), float(value.var())


def test_boxes_on_maps_are_valid_and_close_to_the_exact_ones() -> None:
    f, space = RecordedFunction(smooth_maps(8, seed=0)), SemanticSpace.default()
    index = torch.arange(8)
    u0 = space.uniform(8, torch.Generator().manual_seed(1))
    box = VerifiedSearch(0.3, 0.05).find(f, u0, space, index)
    assert int(box.evaluations.sum()) == f.evaluations
    exact = ExhaustiveFinder(0.28, 0.0425).find(f, u0, space, index)
    ours, best = space.intersected_volume(box.a, box.b), space.intersected_volume(exact.a, exact.b)
    assert set(box.status) <= {"verified", "collapsed"}
    assert box.status.count("verified") >= 4
    for row, status in enumerate(box.status):
        if status == "verified":
            mean, variance = dense(f, box, row, index)
            assert mean >= 0.69
            assert variance <= 0.055
    assert float((ours / best)[best > 0.002 * space.volume].median()) > 0.9
    assert bool(((box.a <= u0) & (u0 <= box.b) & (box.b - box.a <= 360 + 1e-9)).all())
    assert bool((box.a[:, 1] >= -10 - 1e-9).all())
    assert bool((box.b[:, 1] <= 90 + 1e-9).all())
    assert bool((box.evaluations <= 1150 + 1800).all())
    assert bool((box.gradient_evaluations == 0).all())


def test_rows_do_not_depend_on_their_batch_and_seeds_repeat() -> None:
    f, space = RecordedFunction(smooth_maps(3, seed=2)), SemanticSpace.default()
    index, u0 = torch.tensor([2, 0, 1]), torch.tensor([[350.0, 10], [40, 50], [200, 80]]).double()
    finder = VerifiedSearch(0.4, 0.1, growth_evaluations=400)
    together = finder.find(f, u0, space, index)
    for k in range(3):
        alone = finder.find(f, u0[k : k + 1], space, index[k : k + 1])
        assert torch.equal(alone.a[0], together.a[k])
        assert torch.equal(alone.b[0], together.b[k])
        assert alone.status[0] == together.status[k]
        assert alone.evaluations[0] == together.evaluations[k]


def test_no_axis_prefers_the_seam() -> None:
    def f(u: Tensor) -> Tensor:
        azimuth = torch.remainder(u[..., 0] + 180, 360) - 180
        return torch.sigmoid((60 - azimuth.abs()) / 2) * torch.sigmoid((30 - (u[..., 1] - 40).abs()) / 2)

    box = VerifiedSearch().find(
        AnalyticFunction(f), torch.tensor([[350.0, 40], [10, 40]]).double(), SemanticSpace.default()
    )
    assert box.status == ["verified", "verified"]
    widths = box.b - box.a
    assert bool((widths[:, 0] > 105).all())
    assert bool((widths[:, 1] > 50).all())
    assert box.a[0, 0] > 250
    assert box.b[0, 0] > 400


@pytest.mark.parametrize("n", [1, 3, 6])
def test_other_dimensions(n: int) -> None:
    f, u0 = plateau(n), torch.full((1, n), 0.1).double()
    finder = VerifiedSearch(0.3, 0.05, growth_evaluations=1150 if n == 1 else 4000)
    box = finder.find(f, u0, cube(n))
    assert box.status == ["verified"]
    width = box.b - box.a
    assert bool(((width - 0.8).abs() < 0.8 * 0.12).all())


def test_whole_space_and_nothing() -> None:
    space, u0 = SemanticSpace.default(), torch.tensor([[20.0, 0.0]]).double()
    box = VerifiedSearch().find(AnalyticFunction(lambda u: torch.ones_like(u[..., 0])), u0, space)
    assert box.status == ["verified"]
    assert float(space.intersected_volume(box.a, box.b)) == pytest.approx(space.volume)
    box = VerifiedSearch().find(AnalyticFunction(lambda u: torch.zeros_like(u[..., 0])), u0, space)
    assert box.status == ["collapsed"]
    assert torch.equal(box.a, u0)
    assert torch.equal(box.b, u0)
    assert int(box.evaluations) < 800
    for n in (2, 5):
        middle = torch.zeros(1, n).double()
        box = VerifiedSearch().find(AnalyticFunction(lambda u: u[..., 0] * math.nan), middle, cube(n))
        assert box.status == ["invalid_score"]
        assert torch.equal(box.a, box.b)


def test_a_lie_while_growing_is_not_believed() -> None:
    """f looks perfect on the lattices of the growing and has mean 0.65 on the samples of the verification."""
    finder = VerifiedSearch(growth_evaluations=300)
    space, u0 = SemanticSpace.default(), torch.tensor([[180.0, 40.0]]).double().repeat(12, 1)
    runs = finder.start(u0, space, torch.arange(12))
    generator = torch.Generator().manual_seed(0)
    for run in runs:
        while not run.over:
            count, growing = len(run.propose()), run.status == "growing"
            random = 0.5 + 0.3 * torch.rand(count, generator=generator, dtype=torch.float64)
            run.update(torch.ones(count).double() if growing else random)
    assert finder.result(runs).status.count("verified") <= 2


def test_confidence_over_many_runs_costs_samples() -> None:
    f, u0 = plateau(2, edge=0.1), torch.zeros(1, 2).double()
    one, many = VerifiedSearch().find(f, u0, cube(2)), VerifiedSearch(runs=10_000).find(f, u0, cube(2))
    assert one.status == many.status == ["verified"]
    assert int(many.evaluations) > int(one.evaluations)


def test_growth_on_faces_costs_no_corners() -> None:
    n = 20
    growth = FaceGrowth(torch.zeros(n).double(), cube(n), 0.3, 0.05, 20_000)
    points = growth.propose()
    assert len(points) < 20 * n
    assert bool((points.abs() <= 0.03).all())
    with pytest.raises(ValueError, match="at most 3"):
        SurrogateGrowth(torch.zeros(4).double(), cube(4), 0.3, 0.05, 1000)


def test_errors() -> None:
    for arguments in ({"eps_m": 0.0}, {"eps_v": 0.3}, {"confidence": 1.0}, {"runs": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            VerifiedSearch(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="outside"):
        VerifiedSearch().find(plateau(2), torch.full((1, 2), 2.0).double(), cube(2))


def test_intervals_hold_at_the_share_of_their_attempt() -> None:
    """All attempts of a run share its error: the interval of the one that succeeded may spend its own part only."""
    finder = VerifiedFinder(eps_m=0.3, eps_v=0.05)
    f, space = RecordedFunction(smooth_maps(8, seed=0)), SemanticSpace.default()
    finder.start(space.sobol(8, 3), space, torch.arange(8))
    attempts = set()
    for row in range(8):
        (run,) = finder.search.start(finder.u0[row : row + 1], space, torch.tensor([row]))
        finder.search.run(f, [run], torch.tensor([row]))
        if run.status != "verified":
            continue
        attempts.add(run.attempt)
        found = finder._statement(run)
        assert run.level <= 0.05 * sum((0.75, 0.2, 0.05)[: run.attempt + 1]) + 1e-12
        known = ControlVariate(torch.cat(run._predicted)[None], *run.moments)
        bounds = eq2_bounds(run.scores[None], 0.3, 0.05, run.level, known)
        assert (found.mean_low, found.variance_high) == (float(bounds.mean_low), float(bounds.variance_high))
        assert found.mean_low <= found.mean <= found.mean_high
        assert found.variance_low <= found.variance <= found.variance_high
        assert abs(found.mean - float(known.mean[0] + (run.scores - known.values[0]).mean())) < 1e-9
        assert found.mean_low >= 0.7
        assert found.variance_high <= 0.05
        assert found.mean_low <= float(eq2_bounds(run.scores[None], 0.3, 0.05, 0.05, known).mean_low)
    assert attempts


def test_a_finder_of_its_own_runs_does_not_join_another_statement() -> None:
    finder = VerifiedFinder(runs=5, seed=3)
    with pytest.raises(ValueError, match=r"about 5 runs together, the job makes them about 1\b"):
        finder.join(1, seed=0)
    finder.join(5, seed=0)
    assert finder.search.seed == 3
    other = VerifiedFinder()
    other.join(7, seed=4)
    assert (other.search.runs, other.search.seed) == (7, 4)


def test_a_suite_refuses_a_finder_of_other_thresholds() -> None:
    with pytest.raises(ValueError, match=r"\(0.6, 0.05, 0.95\) cannot be judged by a suite with \(0.3, 0.05, 0.95\)"):
        FinderSuite([VerifiedFinder(eps_m=0.6)])
    assert FinderSuite([VerifiedFinder(eps_m=0.6)], eps_m=0.6).names == ["verified"]


def half_good(u: Tensor) -> Tensor:
    """1 for the first axis below 0, 0.2 above."""
    return torch.where(u[..., 0] < 0, 1.0, 0.2)


def test_verdicts_of_boxes_from_elsewhere() -> None:
    a = torch.tensor([[-1.0, -1], [0.1, -1], [-1, -1], [0.5, 0.5], [0.2, 0.2], [math.nan, 0]]).double()
    b = torch.tensor([[-0.1, 1.0], [1.0, 1], [1, 1], [0.5, 0.5], [0.1, 0.4], [1, 1]]).double()
    result = verify(AnalyticFunction(half_good), Box(a, b), cube(2))
    assert result.verdict == ["valid", "invalid", "invalid", "undecided", "invalid", "invalid"]
    assert result.valid.tolist() == [True] + [False] * 5
    assert result.evaluations[3:].tolist() == [0, 0, 0]
    assert result.mean[:2].tolist() == pytest.approx([1.0, 0.2])
    assert bool((result.mean_low <= result.mean)[:3].all())
    assert bool((result.mean_high >= result.mean)[:3].all())
    assert bool((result.variance_low <= result.variance + 1e-12)[:3].all())
    assert result.mean[3:].isnan().all()
    assert float(result.worst_score[2]) == pytest.approx(0.2)
    assert float(result.worst_point[2, 0]) > 0
    assert result.top1.isnan().all()


def test_budget_top1_and_batches() -> None:
    f, space = AnalyticFunction(lambda u: 0.7 + 0 * u[..., 0]), cube(2)
    box = Box(-torch.ones(3, 2).double(), torch.ones(3, 2).double())
    result = verify(f, box, space, max_evaluations=301)
    assert result.verdict == ["undecided"] * 3
    assert result.evaluations.tolist() == [300] * 3
    f = AnalyticFunction(half_good)
    box = Box(torch.tensor([[-1.0, -1], [-0.5, 0]]).double(), torch.tensor([[0.5, 1.0], [0.2, 1]]).double())
    top1 = AnalyticFunction(lambda u: (u[..., 0] < 0).double())
    both = verify(f, box, space, torch.tensor([4, 7]), top1=top1, max_evaluations=600)
    alone = verify(f, Box(box.a[1:], box.b[1:]), space, torch.tensor([7]), top1=top1, max_evaluations=600)
    assert both.verdict[1] == alone.verdict[0]
    assert float(both.mean[1]) == float(alone.mean[0])
    assert bool((both.top1_low <= torch.tensor([2 / 3, 5 / 7])).all())
    assert bool((both.top1_high >= torch.tensor([2 / 3, 5 / 7])).all())
    nan = verify(AnalyticFunction(lambda u: u[..., 0] * math.nan), box, space)
    assert nan.verdict == ["undecided"] * 2
    assert nan.mean.isnan().all()


def test_density_weighs_what_occurs() -> None:
    f, space = AnalyticFunction(half_good), cube(2)
    box = Box(-torch.ones(1, 2).double(), torch.ones(1, 2).double())
    mostly_good = [AxisDensity([0.99, 0.01]), None]
    result = verify(f, box, space, density=mostly_good)
    assert result.verdict == ["valid"]
    assert float(result.mean) > 0.95
    assert verify(f, box, space, density=[None, None]).verdict == ["invalid"]
    assert verify(f, Box(box.a, 0 * box.b), space, density=[AxisDensity([0.0, 1.0]), None]).verdict == ["invalid"]
    assert float(box_mass(box.a, box.b * 0, space, mostly_good)) == pytest.approx(0.99 * 0.5)
    with pytest.raises(ValueError, match="one density"):
        verify(f, box, space, density=[None])
    with pytest.raises(ValueError, match="nonnegative"):
        AxisDensity([0.0, 0.0])


def test_density_of_a_periodic_axis_wraps() -> None:
    space = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True),))
    density = [AxisDensity([1.0, 0.0, 0.0, 3.0])]
    a, b = torch.tensor([[270.0], [-45.0], [0.0], [0.0]]).double(), torch.tensor([[450.0], [45], [360], [90]]).double()
    assert box_mass(a, b, space, density).tolist() == pytest.approx([1.0, 0.5, 1.0, 0.25])
    seen: list[Tensor] = []

    def f(u: Tensor) -> Tensor:
        seen.append(u)
        return torch.ones_like(u[..., 0])

    verify(AnalyticFunction(f), Box(a[1:2], b[1:2]), space, density=density)
    u = torch.cat(seen, 1)
    assert bool(((u >= -45) & (u <= 45)).all())
    assert float((u < 0).double().mean()) == pytest.approx(0.75, abs=0.1)


def test_errors_of_verification() -> None:
    box = Box(torch.zeros(1, 2).double(), torch.ones(1, 2).double())
    with pytest.raises(ValueError, match="confidence"):
        verify(plateau(2), box, cube(2), confidence=0.0)
    with pytest.raises(ValueError, match="max_evaluations"):
        verify(plateau(2), box, cube(2), max_evaluations=1)
