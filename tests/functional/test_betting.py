"""Intervals and verdicts hold on known truth, also when sampling stops at a convenient moment."""

import math

import pytest
import torch
from torch import Tensor

from benchmarks.intervals import variance_interval
from lightning_semrob.functional.betting import (
    ControlVariate,
    eq2_bounds,
    eq2_evidence,
    eq2_start,
    eq2_update,
    eq2_verdict,
    mean_interval,
    select_rows,
    wealth_start,
    wealth_update,
)
from lightning_semrob.functional.uncertainty import clopper_pearson

TRUTHS = ["hole", "bimodal", "constant", "uniform", "edge"]


def draw(kind: str, shape: tuple[int, int], seed: int) -> tuple[Tensor, float, float]:
    """Samples of a known distribution on [0, 1], its mean and its variance."""
    u = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if kind == "hole":  # f = 1 but for 0.1 % of the volume
        return (u > 0.001).double(), 0.999, 0.001 * 0.999
    if kind == "bimodal":
        return torch.where(u < 0.3, 0.05, 0.95).double(), 0.68, 0.3 * 0.7 * 0.81
    if kind == "constant":
        return torch.full(shape, 0.7, dtype=torch.float64), 0.7, 0.0
    if kind == "uniform":
        return u, 0.5, 1 / 12
    return u**8, 1 / 9, 1 / 17 - 1 / 81


def coverage(repetitions: int, hits: Tensor) -> float:
    """Coverage plus the error of the test itself: the upper Clopper-Pearson limit at 99.9 %."""
    return float(clopper_pearson(hits.sum(), torch.tensor(repetitions), 0.998)[1])


@pytest.mark.parametrize("kind", TRUTHS)
def test_intervals_hold_under_optional_stopping(kind: str) -> None:
    repetitions = 400
    x, mean, variance = draw(kind, (repetitions, 300), seed=1)
    mean_held = torch.ones(repetitions, dtype=torch.bool)
    variance_held = torch.ones(repetitions, dtype=torch.bool)
    for size in (20, 100, 300):  # the worst of these moments counts
        low, high = mean_interval(x[:, :size], 0.05)
        mean_held &= (low <= mean) & (mean <= high)
        low, high = variance_interval(x[:, :size], 0.05)
        variance_held &= (low <= variance) & (variance <= high)
    assert coverage(repetitions, mean_held) >= 0.95
    assert coverage(repetitions, variance_held) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRUTHS)
def test_intervals_hold_in_two_thousand_repetitions(kind: str) -> None:
    repetitions = 2000
    x, mean, variance = draw(kind, (repetitions, 600), seed=2)
    held = torch.ones(repetitions, 2, dtype=torch.bool)
    for size in (10, 30, 100, 300, 600):
        for k, (interval, truth) in enumerate([(mean_interval, mean), (variance_interval, variance)]):
            low, high = interval(x[:, :size], 0.05)
            held[:, k] &= (low <= truth) & (truth <= high)
    assert coverage(repetitions, held[:, 0]) >= 0.95
    assert coverage(repetitions, held[:, 1]) >= 0.95


def stopped_verdicts(x: Tensor, eps_m: float, eps_v: float, alpha: float) -> Tensor:
    """The first verdict of each row, however late."""
    test = eq2_start(len(x), eps_m, eps_v)
    verdict = torch.zeros(len(x), dtype=torch.int64)
    for part in x.split(50, dim=1):
        test = eq2_update(test, part, eps_m, eps_v)
        verdict = torch.where(verdict == 0, eq2_verdict(test, alpha), verdict)
    return verdict


@pytest.mark.parametrize("kind", TRUTHS)
@pytest.mark.parametrize("violated", ["mean", "variance", "neither"])
def test_verdicts_are_rarely_wrong_at_the_threshold(kind: str, violated: str) -> None:
    repetitions = 2000
    x, mean, variance = draw(kind, (repetitions, 400), seed=3)
    if variance == 0.0 and violated != "mean":
        pytest.skip("a constant has no variance to violate or to meet exactly")
    tiny = 1e-9
    eps_m = 1 - mean + (-tiny if violated == "mean" else tiny)
    eps_v = 0.25 if violated == "mean" else variance + (-tiny if violated == "variance" else tiny)
    verdict = stopped_verdicts(x, eps_m, eps_v, 0.05)
    wrong = verdict == (-1 if violated == "neither" else 1)
    assert float(clopper_pearson(wrong.sum(), torch.tensor(repetitions), 0.998)[0]) <= 0.05


def test_clear_cases_are_decided() -> None:
    x, _, _ = draw("hole", (200, 600), seed=4)
    assert (stopped_verdicts(x, 0.3, 0.05, 0.05) == 1).all()
    x, _, _ = draw("bimodal", (200, 600), seed=4)
    assert (stopped_verdicts(x, 0.2, 0.25, 0.05) == -1).all()  # the mean is 0.68
    assert (stopped_verdicts(x, 0.5, 0.1, 0.05) == -1).all()  # the variance is 0.17
    assert (stopped_verdicts(x, 0.5, 0.25, 0.05) == 1).all()


def test_surrogate_keeps_the_statement_and_saves_samples() -> None:
    generator = torch.Generator().manual_seed(5)
    u = torch.rand(1000, 800, generator=generator, dtype=torch.float64)
    noise = 0.05 * (torch.rand(1000, 800, generator=generator, dtype=torch.float64) - 0.5)
    g = (0.4 + 0.6 * u).clamp(0.05, 0.95)
    f = g + noise
    cells = (0.4 + 0.6 * (torch.arange(100_000).double() + 0.5) / 100_000).clamp(0.05, 0.95)
    known = [x.expand(1000) for x in (cells.mean(), cells.square().mean(), cells.amin(), cells.amax())]
    mean, variance = float(cells.mean()), float(cells.var(correction=0)) + 0.05**2 / 12

    def verdicts(eps_m: float, eps_v: float, surrogate: bool) -> tuple[Tensor, Tensor]:
        test = eq2_start(1000, eps_m, eps_v)
        verdict, when = torch.zeros(1000).long(), torch.full((1000,), 800)
        for begin in range(0, 800, 50):
            part = slice(begin, begin + 50)
            more = ControlVariate(g[:, part], *known) if surrogate else None
            test = eq2_update(test, f[:, part], eps_m, eps_v, more)
            new = eq2_verdict(test, 0.05)
            when = torch.where((verdict == 0) & (new != 0), begin + 50, when)
            verdict = torch.where(verdict == 0, new, verdict)
        return verdict, when

    verdict, _ = verdicts(1 - mean - 1e-9, 0.25, True)
    assert (verdict == 1).double().mean() <= 0.06
    verdict, _ = verdicts(0.9, variance - 1e-9, True)
    assert (verdict == 1).double().mean() <= 0.06
    verdict, with_surrogate = verdicts(1 - mean + 0.02, 1.3 * variance, True)
    assert (verdict == 1).double().mean() > 0.95
    _, without = verdicts(1 - mean + 0.02, 1.3 * variance, False)
    assert with_surrogate.double().median() < 0.7 * without.double().median()


def with_surrogate(rows: int, samples: int, seed: int) -> tuple[Tensor, ControlVariate, float, float]:
    """f, its surrogate, mean and variance of f."""
    generator = torch.Generator().manual_seed(seed)
    u, noise = torch.rand(2, rows, samples, generator=generator, dtype=torch.float64)
    g = (0.4 + 0.6 * u).clamp(0.05, 0.95)
    cells = (0.4 + 0.6 * (torch.arange(100_000).double() + 0.5) / 100_000).clamp(0.05, 0.95)
    known = [x.expand(rows) for x in (cells.mean(), cells.square().mean(), cells.amin(), cells.amax())]
    variance = float(cells.var(correction=0)) + 0.05**2 / 12
    return g + 0.05 * (noise - 0.5), ControlVariate(g, *known), float(cells.mean()), variance


@pytest.mark.parametrize("surrogate", [True, False])
def test_bounds_hold_and_never_contradict_the_verdict(surrogate: bool) -> None:
    f, known, mean, variance = with_surrogate(150, 160, 8)
    more = known if surrogate else None
    for eps_m, eps_v in ((0.35, 0.04), (1 - mean, variance)):
        test = eq2_update(eq2_start(150, eps_m, eps_v), f, eps_m, eps_v, more)
        middle, low, high, spread, variance_low, variance_high = eq2_bounds(f, eps_m, eps_v, 0.05, more)
        assert ((low <= middle) & (middle <= high) & (variance_low <= spread) & (spread <= variance_high)).all()
        verdict = eq2_verdict(test, 0.05)
        assert ((verdict == 1) == ((low >= 1 - eps_m) & (variance_high <= eps_v))).all()
        assert ((high < 1 - eps_m) | (variance_low > eps_v))[verdict == -1].all()
        for held in (low <= mean, mean <= high, variance_low <= variance, variance <= variance_high):
            assert coverage(150, held) >= 0.95
    plain = eq2_bounds(f, 0.3, 0.05, 0.05)
    bounds = eq2_bounds(f, 0.3, 0.05, 0.05, known)
    assert (bounds.mean_high - bounds.mean_low).mean() < 0.7 * (plain.mean_high - plain.mean_low).mean()
    # So do the estimates, which no longer are those of the samples alone.
    assert (bounds.mean - mean).square().mean() < 0.2 * (plain.mean - mean).square().mean()
    assert (bounds.variance - variance).square().mean() < 0.5 * (plain.variance - variance).square().mean()
    # Without a surrogate they are those of the sample, but where a bound that fell on the way lies beyond.
    for own, sample in ((plain.mean, f.mean(-1)), (plain.variance, f.var(-1))):
        assert ((own - sample).abs() > 1e-9).double().mean() < 0.03


def test_state_does_not_depend_on_how_samples_arrive() -> None:
    x, _, _ = draw("uniform", (4, 120), seed=6)
    whole = eq2_update(eq2_start(4, 0.6, 0.1), x, 0.6, 0.1)
    parts = eq2_start(4, 0.6, 0.1)
    for part in x.split(30, dim=1):
        parts = eq2_update(parts, part, 0.6, 0.1)
    alone = eq2_update(eq2_start(1, 0.6, 0.1), x[2:3], 0.6, 0.1)
    for a, b in zip(eq2_evidence(whole), eq2_evidence(parts), strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(eq2_evidence(select_rows(whole, torch.tensor([2]))), eq2_evidence(alone), strict=True):
        torch.testing.assert_close(a, b)


def test_wealth_is_a_supermartingale() -> None:
    x = torch.tensor([[-0.5, 0.5, 0.5, -0.5], [0.5, 0.5, 0.5, 0.5]]).double()
    wealth = wealth_update(wealth_start((2,)), x, torch.full_like(x, -0.5))
    assert wealth.log_peak[1] > wealth.log_peak[0] >= 0
    # Over all equally likely sequences of a fair coin the mean wealth is exactly 1.
    coins = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5]).double()] * 8)
    wealth = wealth_update(wealth_start((256,)), coins, torch.full_like(coins, -0.5))
    torch.testing.assert_close(wealth.log_stakes.exp().mean(0), torch.ones(10).double())


def test_intervals_shrink_and_levels_broadcast() -> None:
    x, _, _ = draw("bimodal", (3, 2000), seed=7)
    few, many = mean_interval(x[:, :200], 0.05), mean_interval(x, torch.tensor([0.05, 0.05, 0.001]))
    assert ((many[1] - many[0]) < (few[1] - few[0])).all()
    assert ((many[1] - many[0]) < 0.1).all()
    assert (many[1] - many[0])[2] > (many[1] - many[0])[:2].min() * 1.05
    low, high = mean_interval(x[:, :0], 0.05)
    assert low.tolist() == [0.0] * 3
    assert high.tolist() == [1.0] * 3


def test_clopper_pearson_against_published_values() -> None:
    low, high = clopper_pearson(torch.tensor([0, 10, 5]), torch.tensor([10, 10, 10]))
    assert low[0] == 0
    assert high[1] == 1
    assert math.isclose(float(high[0]), 0.3085, abs_tol=1e-4)
    assert math.isclose(float(low[2]), 0.1871, abs_tol=1e-4)
    assert clopper_pearson(torch.tensor(0), torch.tensor(0)) == (0.0, 1.0)
    with pytest.raises(ValueError, match="between 0"):
        clopper_pearson(torch.tensor(3), torch.tensor(2))
    with pytest.raises(ValueError, match="confidence"):
        clopper_pearson(torch.tensor(1), torch.tensor(2), 1.0)


def test_errors() -> None:
    with pytest.raises(ValueError, match="eps_m"):
        eq2_start(1, 0.0, 0.05)
    with pytest.raises(ValueError, match="eps_v"):
        eq2_start(1, 0.3, 0.3)
    with pytest.raises(ValueError, match=r"scores must lie in \[0, 1\], got -199"):
        eq2_update(eq2_start(1, 0.3, 0.05), torch.tensor([[1.0, -199.0]]).double(), 0.3, 0.05)
    with pytest.raises(ValueError, match="even"):
        eq2_update(eq2_start(1, 0.3, 0.05), torch.zeros(1, 3).double(), 0.3, 0.05)
