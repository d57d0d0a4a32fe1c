"""E-values of bets stay e-values whatever the surrogate does, and the calls hold for every truth."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lightning_semrob.functional.bets import STAKES, bet, stake_growth
from lightning_semrob.functional.calls import call_evidence, call_sides, called_tiles, largest_trap


def wealth(x: Tensor, y: Tensor, slope: float, others: Tensor, eps: float) -> Tensor:
    """log e-values (R, S) of R sequences of scores x (R, P) at positions y in [-1/2, 1/2], with g = slope * y."""
    threshold, above = call_sides(eps)
    log_e = torch.zeros(len(x), len(threshold)).double()
    past = torch.zeros(len(x), len(threshold), 2 * len(STAKES)).double()
    for j in range(x.shape[1]):
        reach = torch.full_like(x[:, j], abs(slope) / 2)
        growth = stake_growth(x[:, j], slope * y[:, j], reach, threshold, above)
        log_e += bet(growth, past, others)
        past += growth
    return log_e


@pytest.mark.parametrize("slope", [0.0, 0.8, -0.8])
@pytest.mark.parametrize("truth", ["two values", "edge", "level"])
def test_expected_wealth_is_at_most_one(truth: str, slope: float) -> None:
    """The mean is at the threshold of both nulls of eps = 1/2; neighbours foretell the wrong thing."""
    generator = torch.Generator().manual_seed(1)
    y = torch.rand(20000, 6, generator=generator).double() - 0.5
    if truth == "two values":
        x = (torch.rand(y.shape, generator=generator) < 0.5).double()
    else:
        x = (y > 0).double() if truth == "edge" else torch.full_like(y, 0.5)
    others = torch.zeros(2, 2 * len(STAKES)).double()
    others[0, 0] = others[1, 9] = 5.0  # sure of large stakes, without and with the control variate
    e = wealth(x, y, slope, others, 0.5).exp()
    error = e.std(0) / math.sqrt(len(e))
    assert bool((e.mean(0) <= 1 + 4 * error + 1e-9).all())
    assert bool((e >= 0).all())


def test_a_surrogate_that_knows_f_decides_sooner() -> None:
    y = torch.rand(200, 40, generator=torch.Generator().manual_seed(2)).double() - 0.5
    x = (y > -0.1).double()  # mean 0.6
    zero = torch.zeros(2, 2 * len(STAKES)).double()
    plain, informed = (wealth(x, y, slope, zero, 0.5)[:, 0].median() for slope in (0.0, 1.0))
    assert informed > plain + 0.5


def test_thresholds_of_calls() -> None:
    e = torch.tensor([[40.0, 0.1, 30.0, 0.2], [0.1, 50.0, 0.2, 10.0], [0.3, 0.2, 30.0, 20.0]]).double().log()
    evidence = call_evidence(e).exp()
    torch.testing.assert_close(evidence[0], torch.tensor([20.0, 0.05, 0.2]).double())
    torch.testing.assert_close(evidence[1], torch.tensor([0.05, 10.0, 0.2]).double())
    torch.testing.assert_close(evidence[2], torch.tensor([0.15, 0.1, 20.0]).double())
    assert call_evidence(e[:, :2])[..., 2].tolist() == [-math.inf] * 3
    for eps in (0.0, 0.6):
        with pytest.raises(ValueError, match="eps must lie in"):
            call_sides(eps)


def test_e_bh_is_the_step_up_rule() -> None:
    generator = torch.Generator().manual_seed(3)
    evidence = torch.randn(50, 30, generator=generator).double() * 3
    called = called_tiles(evidence, 0.1)
    for row, own in zip(evidence, called, strict=True):
        ranked = row.sort(descending=True).values.tolist()
        k = max((k for k in range(1, 31) if ranked[k - 1] >= math.log(30 / (0.1 * k))), default=0)
        assert own.tolist() == [value >= (ranked[k - 1] if k else math.inf) for value in row.tolist()]
    assert bool((called_tiles(evidence, 0.1, "simultaneous") <= called).all())
    with pytest.raises(ValueError, match="error must be"):
        called_tiles(evidence, 0.1, "fwer")


@pytest.mark.parametrize("tau", [0.0, 0.3, 0.9])
def test_largest_trap_is_reached_and_never_passed(tau: float) -> None:
    share = torch.rand(100, generator=torch.Generator().manual_seed(4)).double()
    mean = share * tau + (1 - share)  # a part at tau, the rest at 1
    torch.testing.assert_close(largest_trap(mean, tau), share)
    assert bool((largest_trap(mean - 0.01, tau) >= share).all())
    with pytest.raises(ValueError, match="tau must lie"):
        largest_trap(mean, 1.0)
