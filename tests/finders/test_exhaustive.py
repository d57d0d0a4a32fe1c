"""The exact search against every box, one by one."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from benchmarks.component import cell_coverage, component_around, overlap_with_component
from lightning_semrob import Axis, SemanticSpace
from lightning_semrob.finders.exhaustive import ExhaustiveFinder, cell_moments
from lightning_semrob.functional.exhaustive import largest_box
from lightning_semrob.functions import AnalyticFunction, RecordedFunction


def by_hand(mean: Tensor, square: Tensor, start: list[int], periodic: list[bool], eps_m: float, eps_v: float) -> int:
    """Cells of the largest valid box, by trying all."""
    best = 0
    ranges = []
    for size, wraps, s in zip(mean.shape, periodic, start, strict=True):
        firsts = range(s - size + 1, s + 1) if wraps else range(s + 1)
        lasts = range(s + 1, s + size + 1) if wraps else range(s + 1, size + 1)
        ranges.append([(i, j) for i in firsts for j in lasts if j - i <= size])
    for box in itertools.product(*ranges):
        x, y = mean, square
        for axis, (i, j) in enumerate(box):
            index = torch.arange(i, j) % mean.shape[axis]
            x, y = x.index_select(axis, index), y.index_select(axis, index)
        if x.mean() >= 1 - eps_m and y.mean() - x.mean() ** 2 <= eps_v:
            best = max(best, x.numel())
    return best


@pytest.mark.parametrize(
    ("shape", "periodic"),
    [
        ((9,), [True]),
        ((9,), [False]),
        ((7, 5), [True, False]),
        ((5, 7), [True, False]),
        ((4, 5), [True, True]),
        ((4, 5, 3), [True, False, False]),
    ],
)
def test_largest_box_equals_brute_force(shape: tuple[int, ...], periodic: list[bool]) -> None:
    generator = torch.Generator().manual_seed(sum(shape))
    found = 0
    for _ in range(6):
        mean = 0.3 + 0.7 * torch.rand(shape, generator=generator, dtype=torch.float64)
        square = mean**2 + 0.01
        start = [int(torch.randint(size, (1,), generator=generator)) for size in shape]
        box = largest_box(mean, square, start, periodic, 0.3, 0.03)
        expected = by_hand(mean, square, start, periodic, 0.3, 0.03)
        assert (0 if box is None else int((box[1] - box[0]).prod())) == expected
        if box is not None:
            found += 1
            assert (box[0] <= torch.tensor(start)).all()
            assert (torch.tensor(start) < box[1]).all()
            larger = largest_box(mean, square, start, periodic, 0.3, 0.03, larger_than=expected)
            assert larger is None
    assert found > 0


def test_a_box_across_the_seam_of_a_periodic_axis() -> None:
    mean = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 1.0]).double()
    first, last = largest_box(mean, mean, [0], [True], 0.1, 0.1) or (None, None)
    assert first is not None
    assert last is not None
    assert (int(first), int(last)) == (-1, 2)
    first, last = largest_box(mean, mean, [5], [True], 0.1, 0.1) or (None, None)
    assert first is not None
    assert last is not None
    assert (int(first), int(last)) == (5, 8)
    box = largest_box(mean, mean, [0], [False], 0.1, 0.1)
    assert box is not None
    assert (int(box[0]), int(box[1])) == (0, 2)
    assert largest_box(mean, mean, [3], [True], 0.1, 0.1) is None
    whole = largest_box(torch.ones(6).double(), torch.ones(6).double(), [2], [True], 0.1, 0.1)
    assert whole is not None
    assert int(whole[1] - whole[0]) == 6


def test_variance_alone_can_bind() -> None:
    # Half of the box at 1, half at 0.6: mean 0.8, variance 0.04.
    mean = torch.tensor([1.0, 1.0, 0.6, 0.6]).double()
    box = largest_box(mean, mean**2, [0], [False], 0.3, 0.05)
    assert box is not None
    assert int(box[1]) == 4
    box = largest_box(mean, mean**2, [0], [False], 0.3, 0.036)
    assert box is not None
    assert int(box[1]) == 3


def test_moments_are_exact_for_a_multilinear_map_with_knots_on_borders() -> None:
    space = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True), Axis("light", 0.0, 1.0, unit="1")))
    maps = torch.rand(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    f = RecordedFunction(maps, space)
    index = torch.tensor([1, 0])
    coarse = cell_moments(f, index, space, (6, 3))
    fine = cell_moments(f, index, space, (48, 24))
    for a, b in zip(coarse, fine, strict=True):
        torch.testing.assert_close(a, b.reshape(2, 6, 8, 3, 8).mean((2, 4)))


def test_finder_on_a_plateau_and_at_unwrapped_points() -> None:
    space = SemanticSpace.default()

    def plateau(u: Tensor) -> Tensor:
        azimuth = torch.remainder(u[..., 0] + 180, 360) - 180
        return ((azimuth.abs() < 60) & (u[..., 1] > 10) & (u[..., 1] < 50)).double()

    f = AnalyticFunction(plateau)
    u0 = torch.tensor([[350.0, 20.0], [10.0, 30.0], [-10.0, 20.0], [180.0, 20.0]]).double()
    box = ExhaustiveFinder(1e-6, 0.2).find(f, u0, space)
    assert box.status == ["converged", "converged", "converged", "collapsed"]
    torch.testing.assert_close(box.a, torch.tensor([[300.0, 10], [-60, 10], [-60, 10], [180, 20]]).double())
    torch.testing.assert_close(box.b, torch.tensor([[420.0, 50], [60, 50], [60, 50], [180, 20]]).double())
    assert bool((box.evaluations == 4 * 240 * 50).all())


def test_one_and_three_axes() -> None:
    def bump(u: Tensor) -> Tensor:
        return (u.abs() < 0.5).all(-1).double()

    f = AnalyticFunction(bump)
    for n, cells in ((1, (100,)), (3, (20, 20, 20))):
        space = SemanticSpace(tuple(Axis(f"axis{k}", -1.0, 1.0) for k in range(n)))
        box = ExhaustiveFinder(0.01, 0.05, cells).find(f, torch.full((1, n), 0.1).double(), space)
        torch.testing.assert_close(box.a, torch.full((1, n), -0.5).double())
        torch.testing.assert_close(box.b, torch.full((1, n), 0.5).double())


def test_rows_do_not_depend_on_their_batch() -> None:
    maps = torch.rand(3, 34, 120, generator=torch.Generator().manual_seed(3)).double().sqrt()
    f, space = RecordedFunction(maps), SemanticSpace.default()
    u0, index = torch.tensor([[0.0, 0.0], [359.0, 90.0], [100.0, -10.0]]).double(), torch.tensor([2, 0, 1])
    finder = ExhaustiveFinder(0.4, 0.1, (40, 20))
    together = finder.find(f, u0, space, index)
    for k in range(3):
        alone = finder.find(f, u0[k : k + 1], space, index[k : k + 1])
        assert torch.equal(alone.a[0], together.a[k])
        assert torch.equal(alone.b[0], together.b[k])
    assert bool(((together.a <= u0) & (u0 <= together.b)).all())


def test_component_wraps_and_measures_boxes() -> None:
    values = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    component = component_around(values, [0, 0], [False, True], 0.5)
    assert component.int().tolist() == [[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert component_around(values, [0, 0], [False, False], 0.5).int().tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0] * 4]
    assert not component_around(values, [0, 1], [False, True], 0.5).any()
    rows = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).double()
    columns = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]]).double()
    iou, covered = overlap_with_component(component, [rows, columns])
    torch.testing.assert_close(iou, torch.tensor([2 / 3, 2 / 3]).double())
    torch.testing.assert_close(covered, torch.tensor([2 / 3, 2 / 3]).double())
    iou, _ = overlap_with_component(torch.zeros_like(component), [rows, columns])
    assert all(math.isnan(x) for x in iou.tolist())


def test_coverage_of_cells_by_boxes() -> None:
    space = SemanticSpace.default()
    a = torch.tensor([[-90.0, -10.0], [45, 15], [0, 90]]).double()
    b = torch.tensor([[45.0, 90.0], [180, 40], [360, 90]]).double()
    azimuth, elevation = cell_coverage(a, b, space, (4, 4))
    assert azimuth.tolist() == [[0.5, 0, 0, 1], [0.5, 1, 0, 0], [1, 1, 1, 1]]
    assert elevation.tolist() == [[1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]
    component = torch.zeros(4, 4, dtype=torch.bool)
    component[0, 1] = component[1, 1] = True
    iou, covered = overlap_with_component(component, [azimuth, elevation])
    assert iou[1] == 1.5 / 2
    assert covered[1] == 1.5 / 2


def test_errors() -> None:
    four = SemanticSpace(tuple(Axis(f"axis{k}", 0.0, 1.0) for k in range(4)))
    f = AnalyticFunction(lambda u: u.sum(-1))
    with pytest.raises(ValueError, match="at most 3 axes"):
        ExhaustiveFinder().find(f, torch.full((1, 4), 0.5).double(), four)
    with pytest.raises(ValueError, match="cells must be 2"):
        ExhaustiveFinder(cells=(3,)).find(f, torch.zeros(1, 2).double(), SemanticSpace.default())
    with pytest.raises(ValueError, match="outside the cells"):
        largest_box(torch.ones(3), torch.ones(3), [3], [False], 0.3, 0.05)
    with pytest.raises(ValueError, match="1, 2 or 3"):
        largest_box(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), [0] * 4, [False] * 4, 0.3, 0.05)
