"""What every finder promises: inherit :class:`FinderContract`, or :class:`RegionContract` for a RegionFinder."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_semrob import Axis, Box, SemanticSpace
from lightning_semrob.finders import (
    ExhaustiveFinder,
    NaiveFinder,
    OIRBlackBoxFinder,
    OIRWhiteBoxFinder,
    RegionFinder,
    TrapezoidFinder,
    VerifiedFinder,
)
from lightning_semrob.finders.statuses import STATUSES, Status
from lightning_semrob.finders.trace import trace_growth
from lightning_semrob.functional import corner_mask
from lightning_semrob.functions import Complement, RecordedFunction

SPACE = SemanticSpace.default()
U0, INDEX = SPACE.sobol(3, 2), torch.arange(3) % 2
TENSORS = ("a", "b", "steps", "evaluations", "gradient_evaluations")


def recorded() -> RecordedFunction:
    """Two maps with regions of several sizes."""
    noise = torch.rand(2, 1, 34, 120, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    smooth = torch.nn.functional.avg_pool2d(noise, 9, 1, 4, count_include_pad=False)[:, 0]
    return RecordedFunction(torch.sigmoid(60 * (smooth - 0.48)))


class FinderContract:
    """Tests of one finder.

    Attributes:
        bounded: whether boxes hold u0 and stay in the space.
    """

    bounded = True

    def make(self, **changes: Any) -> Any:
        raise NotImplementedError

    def find(self, rows: Tensor | None = None, **changes: Any) -> Box:
        rows = torch.arange(len(U0)) if rows is None else rows
        box: Box = self.make(**changes).find(recorded(), U0[rows], SPACE, INDEX[rows])
        return box

    def test_batch_equals_loop(self) -> None:
        together = self.find()
        for row in range(len(U0)):
            alone = self.find(torch.tensor([row]))
            for name in ("a", "b"):
                found, expected = getattr(alone, name)[0], getattr(together, name)[row]
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-9, equal_nan=True)
            assert alone.status[0] == together.status[row]
            assert alone.evaluations[0] == together.evaluations[row]

    def test_the_same_run_has_the_same_box(self) -> None:
        one, other = self.find(), self.find()
        assert one.status == other.status
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in TENSORS)

    def test_every_run_ends_with_a_known_status(self) -> None:
        box = self.find()
        assert set(box.status) <= set(STATUSES) - {"running", "not_measured"}
        assert (box.a.dtype, box.steps.dtype, box.evaluations.dtype) == (torch.float64, torch.int64, torch.int64)
        assert (box.steps >= 1).all()

    def test_bounds_keep_u0_and_the_space(self) -> None:
        if not self.bounded:
            return
        box = self.find()
        assert box.contains(U0).all()
        assert (box.a[:, 1] >= -10).all()
        assert (box.b[:, 1] <= 90).all()
        assert (box.width[:, 0] <= 360 * (1 + 1e-12)).all()

    def test_evaluations_are_those_of_f(self) -> None:
        f = recorded()
        box = self.make().find(f, U0[:1], SPACE, INDEX[:1])
        assert box.evaluations.tolist() == [f.evaluations]
        assert box.gradient_evaluations.tolist() == [f.gradient_evaluations]

    def test_scores_that_are_not_finite_end_their_run_alone(self) -> None:
        maps = torch.full((2, 34, 120), 0.9, dtype=torch.float64)
        maps[1] = math.nan
        u0 = torch.tensor([[100.0, 30.0]] * 2, dtype=torch.float64)
        box = self.make().find(RecordedFunction(maps), u0, SPACE, torch.tensor([0, 1]))
        assert box.status[1] == "invalid_score"
        assert box.status[0] != "invalid_score"
        assert bool(box.a.isfinite().all() and box.b.isfinite().all())

    def test_a_point_outside_is_refused(self) -> None:
        with pytest.raises(ValueError, match="outside"):
            self.make().find(recorded(), torch.tensor([[100.0, 95.0]]), SPACE)


class RegionContract(FinderContract):
    """Tests of a RegionFinder.

    Attributes:
        points: evaluations a step; None if they vary.
    """

    points: int | None = 4

    def make(self, **changes: Any) -> RegionFinder:
        raise NotImplementedError

    def test_each_step_costs_its_points(self) -> None:
        finder = self.make()
        box = finder.find(recorded(), U0, SPACE, INDEX)
        if self.points is not None:
            assert torch.equal(box.evaluations, box.steps * self.points)
            paid = box.evaluations if finder.needs_gradient else torch.zeros_like(box.evaluations)
            assert torch.equal(box.gradient_evaluations, paid)
        assert [Status(code).word for code in finder.code.tolist()] == box.status

    def test_adversarial_is_the_finder_on_the_complement(self) -> None:
        one = self.make(adversarial=True).find(Complement(recorded()), U0, SPACE, INDEX)
        other = self.find()
        torch.testing.assert_close(one.a, other.a, rtol=0, atol=1e-6, equal_nan=True)
        assert one.status == other.status

    def test_axes_are_matched_by_name(self) -> None:
        swapped = SemanticSpace((SPACE.axes[1], SPACE.axes[0]))
        box = self.make().find(recorded(), U0[:2].flip(-1), swapped, INDEX[:2])
        assert box.a.shape == (2, 2)
        with pytest.raises(ValueError, match="the function takes the axes"):
            self.make().find(recorded(), torch.zeros(1, 1), SemanticSpace((Axis("roll", 0, 1),)))

    def test_a_trace_begins_at_u0_and_ends_in_the_box(self) -> None:
        box, trace = trace_growth(self.make(), recorded(), U0, SPACE, INDEX)
        expected = self.find()
        assert all(
            torch.equal(getattr(box, name).nan_to_num(), getattr(expected, name).nan_to_num()) for name in TENSORS
        )
        assert box.status == expected.status
        assert trace.shape == (int(expected.steps.max()) + 1, len(U0), 2, 2)
        assert torch.equal(trace[-1].nan_to_num(), torch.stack([box.a, box.b], 1).nan_to_num())
        assert bool((trace[0, :, 0] <= U0).all() and (trace[0, :, 1] >= U0).all())

    def test_a_finder_that_verifies_says_what_it_found(self) -> None:
        finder = self.make()
        finder.find(recorded(), U0, SPACE, INDEX)
        assert finder.verifies == (finder.verification_budget(2) is not None) == (finder.statement(0) is not None)
        assert finder.expected_evaluations(SPACE) > 0


class TestNaive(RegionContract):
    def make(self, **changes: Any) -> RegionFinder:
        return NaiveFinder(**{"num_iterations": 30} | changes)


class TestTrapezoid(RegionContract):
    def make(self, **changes: Any) -> RegionFinder:
        return TrapezoidFinder(**{"num_iterations": 30} | changes)


class TestOIRBlackBox(RegionContract):
    points = 8

    def make(self, **changes: Any) -> RegionFinder:
        return OIRBlackBoxFinder(**{"num_iterations": 30} | changes)


class TestOIRWhiteBox(RegionContract):
    def make(self, **changes: Any) -> RegionFinder:
        return OIRWhiteBoxFinder(**{"num_iterations": 30} | changes)


class TestOIRWhiteBoxOnFaces(RegionContract):
    points = 64

    def make(self, **changes: Any) -> RegionFinder:
        return OIRWhiteBoxFinder(**{"num_iterations": 20, "quadrature": "sobol"} | changes)


class TestPaperMode(RegionContract):
    bounded = False

    def make(self, **changes: Any) -> RegionFinder:
        return OIRWhiteBoxFinder(**{"mode": "paper", "num_iterations": 20} | changes)


class Threshold(RegionFinder):
    """A finder as docs/extending.md has it."""

    def face_means(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
        upper = corner_mask(a.shape[-1]).to(values)
        return values @ (1 - upper) / 2 - 0.5, 0.5 - values @ upper / 2


class TestFinderOfTheUser(RegionContract):
    def make(self, **changes: Any) -> RegionFinder:
        class Threshold(RegionFinder):
            def face_means(
                self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None
            ) -> tuple[Tensor, Tensor]:
                upper = corner_mask(a.shape[-1]).to(values)
                return values @ (1 - upper) / 2 - 0.5, 0.5 - values @ upper / 2

        return Threshold(**{"num_iterations": 30} | changes)


class TestVerified(RegionContract):
    points = None

    def make(self, **changes: Any) -> RegionFinder:
        return VerifiedFinder(**{"growth_evaluations": 80, "verification_evaluations": 300} | changes)


class TestExhaustive(FinderContract):
    def make(self, **changes: Any) -> ExhaustiveFinder:
        return ExhaustiveFinder(cells=(36, 10))
