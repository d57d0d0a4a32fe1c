"""Growth is recorded as it happens."""

from __future__ import annotations

import pytest
import torch

from lightning_semrob.finders import NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder, VerifiedFinder
from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.finders.trace import trace_growth
from lightning_semrob.functions import AnalyticFunction, FiniteDifference, RecordedFunction
from lightning_semrob.space import SemanticSpace

SPACE = SemanticSpace.default()
U0 = torch.tensor([[180.0, 40.0], [100.0, 30.0]], dtype=torch.float64)


def bump(u: torch.Tensor) -> torch.Tensor:
    return torch.exp(-(((u[..., 0] - 180) / 90) ** 4) - ((u[..., 1] - 40) / 40) ** 4)


@pytest.mark.parametrize("finder", [NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder])
@pytest.mark.parametrize("mode", ["default", "paper"])
def test_a_trace_ends_in_the_box_that_find_returns(finder: type[RegionFinder], mode: str) -> None:
    f = AnalyticFunction(bump, SPACE.names)
    box, trace = trace_growth(finder(mode=mode, num_iterations=12), f, U0, SPACE)  # type: ignore[call-arg]
    expected = finder(mode=mode, num_iterations=12).find(f, U0, SPACE)  # type: ignore[call-arg]
    assert torch.equal(box.a, expected.a)
    assert torch.equal(box.b, expected.b)
    assert (trace[-1, 0, 1] - trace[-1, 0, 0] > trace[0, 0, 1] - trace[0, 0, 0]).all()


def test_the_verified_finder_has_two_moments_that_differ() -> None:
    box, trace = trace_growth(VerifiedFinder(), AnalyticFunction(bump, SPACE.names), U0[:1], SPACE)
    assert torch.equal(box.a, VerifiedFinder().find(AnalyticFunction(bump, SPACE.names), U0[:1], SPACE).a)
    assert len(trace.unique(dim=0)) == 2


def test_a_white_box_finder_needs_gradients() -> None:
    class NoGradient(RecordedFunction):
        differentiable = False

    with pytest.raises(ValueError, match="needs gradients and f has none"):
        trace_growth(OIRWhiteBoxFinder(), NoGradient(torch.rand(1, 5, 8)), U0, SPACE)


def test_a_trace_counts_what_finite_differences_cost() -> None:
    """A gradient of 2 axes takes 5 evaluations at each of 4 corners, in a trace as in ``find``."""
    f = FiniteDifference.of(AnalyticFunction(bump, SPACE.names), SPACE)
    box, _ = trace_growth(OIRWhiteBoxFinder(num_iterations=3), f, U0, SPACE)
    assert torch.equal(box.evaluations, box.steps * 4 * 5)
    assert int(box.evaluations.sum()) == f.evaluations
    assert not box.gradient_evaluations.any()
