"""The paper's finders without a Trainer: known answers, guards, statuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lightning_semrob import Axis, SemanticSpace
from lightning_semrob.finders import (
    NaiveFinder,
    OIRBlackBoxFinder,
    OIRWhiteBoxFinder,
    RegionFinder,
)
from lightning_semrob.functional import corner_mask, corners, naive_directions
from lightning_semrob.functions import AnalyticFunction, RecordedFunction

SPACE = SemanticSpace.default()
PAPER = [NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder]


def unit_space(n: int, periodic: bool = False) -> SemanticSpace:
    return SemanticSpace(tuple(Axis(f"x{k}", 0.0, 1.0, "unit", periodic) for k in range(n)))


def plateau(low: float, high: float, sharpness: float = 60.0) -> AnalyticFunction:
    """1 inside [low, high]^n with smooth edges, 0 outside."""

    def f(u: Tensor) -> Tensor:
        return (torch.sigmoid(sharpness * (u - low)) * torch.sigmoid(sharpness * (high - u))).prod(-1)

    return AnalyticFunction(f)


def tensor(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("finder", PAPER)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_default_mode_finds_a_plateau(finder: type[RegionFinder], n: int) -> None:
    """Where f falls from 1 to 0 (20 % to 80 % in 0.05) each bound stops on the slope or soon beyond it.

    OIR_W runs furthest down: its gradient term points outwards until f rises again.
    """
    box = finder().find(plateau(0.2, 0.7), torch.full((1, n), 0.45), unit_space(n))
    assert box.status == ["converged"]
    tolerance = 0.15 if finder is OIRWhiteBoxFinder else 0.1
    assert (box.a - 0.2).abs().max() < tolerance
    assert (box.b - 0.7).abs().max() < tolerance
    assert box.steps.item() < 60


@pytest.mark.parametrize("finder", PAPER)
def test_a_constant_one_reaches_the_edge(finder: type[RegionFinder]) -> None:
    f = AnalyticFunction(lambda u: torch.ones_like(u[..., 0]))
    box = finder().find(f, tensor((130.0, 30.0), (350.0, 80.0)), SPACE)
    assert box.status == ["edge", "edge"]
    torch.testing.assert_close(SPACE.intersected_volume(box.a, box.b), tensor((36000.0, 36000.0))[0])
    assert (box.width[:, 0] <= 360 * (1 + 1e-12)).all()


def test_a_constant_zero_collapses_and_stops() -> None:
    f = AnalyticFunction(lambda u: torch.zeros_like(u[..., 0]))
    box = NaiveFinder().find(f, tensor((130.0, 30.0)), SPACE)
    assert box.status == ["collapsed"]
    assert box.steps.item() < 5
    assert box.evaluations.item() == 4 * box.steps.item()


def test_paper_mode_is_algorithm_1_to_the_letter() -> None:
    """Three steps of a -= eta grad_a, b -= eta grad_b, from eps = 1e-5, in degrees, without projection."""
    f = AnalyticFunction(lambda u: torch.sigmoid(u.sum(-1) / 100))
    u0 = tensor((359.999, 89.999))
    a, b = u0 - 1e-5, u0 + 1e-5
    for _ in range(3):
        grad_a, grad_b = naive_directions(a, b, f(corners(a, b)), 0.1)
        a, b = a - 0.1 * grad_a, b - 0.1 * grad_b
    box = NaiveFinder(mode="paper", num_iterations=3).find(f, u0, SPACE)
    torch.testing.assert_close(box.a, a, rtol=0, atol=1e-12)
    torch.testing.assert_close(box.b, b, rtol=0, atol=1e-12)


def test_paper_mode_defaults() -> None:
    assert NaiveFinder(mode="paper").num_iterations == 600
    assert OIRBlackBoxFinder(mode="paper").alpha_for(2) == 0.05
    assert OIRWhiteBoxFinder(mode="paper").beta_for(2) == 0.0009
    assert OIRBlackBoxFinder().alpha_for(2) == pytest.approx(0.05)
    assert OIRBlackBoxFinder().alpha_for(8) == pytest.approx(1.05**0.25 - 1)
    assert OIRWhiteBoxFinder().beta_for(4) == 0.125


def test_paper_mode_does_not_move_in_three_axes_and_the_default_does() -> None:
    """The literal step is proportional to r^(n-1): a documented defect that the default mode removes."""
    f, u0, space = plateau(0.2, 0.7), torch.full((1, 3), 0.45), unit_space(3)
    paper = OIRBlackBoxFinder(mode="paper", num_iterations=50).find(f, u0, space)
    assert paper.status == ["collapsed"]
    assert paper.width.max() < 1e-4
    assert OIRBlackBoxFinder().find(f, u0, space).width.min() > 0.3


def test_axes_are_matched_by_name() -> None:
    maps = torch.rand(1, 34, 120, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    f = RecordedFunction(maps)
    swapped = SemanticSpace((SPACE.axes[1], SPACE.axes[0]))
    u0 = tensor((130.0, 30.0))
    one = OIRWhiteBoxFinder().find(f, u0, SPACE)
    other = OIRWhiteBoxFinder().find(f, u0.flip(-1), swapped)
    torch.testing.assert_close(one.a, other.a.flip(-1))
    with pytest.raises(ValueError, match="the function takes the axes"):
        NaiveFinder().find(f, torch.zeros(1, 1), SemanticSpace((Axis("roll", 0, 1),)))


@pytest.mark.parametrize("n", [15, 20])
def test_too_many_axes_say_so_before_any_work(n: int) -> None:
    with pytest.raises(ValueError, match="corner methods take 1 to"):
        NaiveFinder().find(plateau(0.2, 0.7), torch.full((1, n), 0.45), unit_space(n))


def test_twelve_axes_move() -> None:
    box = NaiveFinder(num_iterations=3).find(plateau(0.2, 0.7), torch.full((1, 12), 0.45), unit_space(12))
    assert box.evaluations.item() == 3 * 4096
    assert (box.width > 0.02).all()


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        NaiveFinder(mode="papper")
    with pytest.raises(ValueError, match="num_iterations"):
        NaiveFinder(num_iterations=0)
    with pytest.raises(ValueError, match="lies outside"):
        NaiveFinder().find(plateau(0.2, 0.7), tensor((1.5, 0.5)), unit_space(2))
    with pytest.raises(ValueError, match="alpha must be positive"):
        OIRBlackBoxFinder(alpha=-1)


@pytest.mark.parametrize("mode", ["default", "paper"])
def test_face_means_and_integrals_are_the_same_finder(mode: str) -> None:
    """Directions over the area of the face are its means: a finder may give either."""

    class Means(RegionFinder):
        def face_means(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
            upper = corner_mask(a.shape[-1]).to(values)
            return values @ (1 - upper) / 2, -(values @ upper) / 2

    class Integrals(RegionFinder):
        def directions(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
            return naive_directions(a, b, values, 0.0)

    f, u0 = plateau(0.2, 0.7), torch.full((1, 2), 0.45)
    means, integrals = (made(mode=mode, num_iterations=30).find(f, u0, unit_space(2)) for made in (Means, Integrals))
    torch.testing.assert_close(means.a, integrals.a, rtol=0, atol=1e-12)
    torch.testing.assert_close(means.b, integrals.b, rtol=0, atol=1e-12)
    with pytest.raises(NotImplementedError):
        RegionFinder().find(f, u0, unit_space(2))


def test_a_finder_may_give_integrals_as_in_version_0_1() -> None:
    class MeanFace(RegionFinder):
        name = "mean_face"

        def directions(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
            return naive_directions(a, b, values - 0.3, 0.0)

    box = MeanFace().find(plateau(0.2, 0.7), torch.full((1, 2), 0.45), unit_space(2))
    assert box.status == ["converged"]
    assert box.width.min() > 0.4
