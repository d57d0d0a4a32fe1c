"""Eq. 2 as a statement with a stated confidence: betting on bounded variables.

Letters: K rows (runs), P samples of each row, J stakes. Everything is one test, repeated. For X >= low with
E[X | past] <= m the wealth ``prod_t (1 + lambda (X_t - m))``, 0 <= lambda < 1 / (m - low), is a nonnegative
supermartingale that starts at 1, and so is an average of J such wealths with different bets; it ever reaches 1 / alpha
with probability at most alpha (Ville). So a rejection of "E X <= m" stays true when sampling goes on until it happens.
See Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 2024); mixing the bets
is Cover's universal portfolio, which is never behind a fixed bet by more than its weight.

Eq. 2, mean f >= 1 - eps_m and variance of f <= eps_v, needs no bounds on E f and E f^2 that are then combined: for any
c known before the sample ``E (f - c)^2 >= Var f``, so betting on (f - c)^2 with c the running mean tests the
variance directly and loses nothing to the uncertainty of the mean. A region is called valid when "E f < 1 - eps_m"
and "Var f > eps_v" are both rejected at level alpha (an intersection-union test: no correction), and invalid when "E f
>= 1 - eps_m" or "Var f <= eps_v" is rejected at level alpha / 2. Either verdict is wrong with probability <= alpha.

A surrogate g of f, fixed before the sampling and with known moments over the region, may be subtracted: f - g and
(f - c)^2 - (g - c)^2 have the same expectations up to known constants, and far less variance. g = 0 is the plain test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_semrob.functional.uncertainty import clopper_pearson as clopper_pearson

# The bets of the mixture, as fractions of the largest admissible one. At 1 a single sample at the bound would ruin
# the bettor; the largest ones decide regions without noise, the smallest ones those that are close to a threshold.
# The weights favour the large ones, where samples are few.
_STAKES = 0.95 * 0.6 ** torch.arange(10, dtype=torch.float64)
_LOG_WEIGHTS = torch.log_softmax(-0.35 * torch.arange(10, dtype=torch.float64), 0)


_ROUNDING = 1e-6  # by how much a sum of float32 probabilities may leave [0, 1]


class Wealth(NamedTuple):
    """State of a one-sided betting test.

    ``log_stakes`` (..., J) float64 are the logarithms of the wealth of each stake; ``log_peak`` (...) is the largest
    logarithm of their weighted mean so far.
    """

    log_stakes: Tensor
    log_peak: Tensor


def wealth_start(shape: tuple[int, ...], device: torch.device | str = "cpu") -> Wealth:
    """Wealth 1, before any sample."""
    log_peak = torch.zeros(shape, dtype=torch.float64, device=device)
    return Wealth(log_peak.new_zeros(*shape, len(_STAKES)), log_peak)


def wealth_update(wealth: Wealth, x: Tensor, low: Tensor) -> Wealth:
    """Bet against ``E[X | past] <= 0`` on the samples x (..., P) float64, in their order.

    ``low`` (..., P) are negative lower bounds of x, each known before its sample. (For E X <= m give x - m, low - m.)
    ``log_peak >= log(1 / alpha)`` of the new state rejects at level alpha.
    """
    if x.shape[-1] == 0:
        return wealth
    ratio = x / (-low).clamp_min(1e-12)
    steps = torch.log1p(ratio[..., None] * _STAKES.to(x.device)).cumsum(-2)
    path = wealth.log_stakes[..., None, :] + steps
    mixture = torch.logsumexp(path + _LOG_WEIGHTS.to(x.device), -1)
    return Wealth(path[..., -1, :], torch.maximum(wealth.log_peak, mixture.amax(-1)))


def _log_wealth(x: Tensor, m: Tensor, bets: Tensor) -> Tensor:
    """Logarithm of the mean over bets of prod_t (1 + min(bet, 0.95 / m) (x_t - m)): x (K, P), m (K,) -> (K,)."""
    bet = torch.minimum(bets, _STAKES[0] / m.clamp_min(1e-12)[:, None])
    logs = torch.log1p(bet[:, None] * (x - m[:, None])[..., None]).sum(1)
    return torch.logsumexp(logs, -1) - math.log(len(bets))


def _lower_end(x: Tensor, level: Tensor) -> Tensor:
    # Each bet is fixed or 0.95 / m: either way the wealth falls with m, so bisection finds the rejected m exactly.
    bets = 16.0 * 0.5 ** torch.arange(10, dtype=torch.float64, device=x.device)
    low, high = torch.zeros_like(x[:, 0]), torch.ones_like(x[:, 0])
    for _ in range(14):
        middle = (low + high) / 2
        rejected = _log_wealth(x, middle, bets) >= level
        low, high = torch.where(rejected, middle, low), torch.where(rejected, high, middle)
    return low


def mean_interval(x: Tensor, alpha: float | Tensor) -> tuple[Tensor, Tensor]:
    """Betting interval of the mean of a variable in [0, 1], valid at any stopping time.

    Args:
        x: the samples so far (K, P), P the same for all rows.
        alpha: level, a number or (K,).

    Returns:
        low, high: (K,) float64, rounded outward by at most 1e-4; they hold together with probability >= 1 - alpha.

    Examples:
        >>> low, high = mean_interval(torch.full((1, 200), 0.8), alpha=0.05)
        >>> bool(low < 0.8 < high and high - low < 0.25)
        True
    """
    x = x.double()
    if x.shape[-1] == 0:
        return torch.zeros_like(x[:, :1].sum(-1)), torch.ones_like(x[:, :1].sum(-1))
    level = torch.log(2 / torch.as_tensor(alpha, dtype=torch.float64, device=x.device)).expand(x.shape[0])
    parts = zip(x.split(256), level.split(256), strict=True)
    ends = [(_lower_end(part, bound), 1 - _lower_end(1 - part, bound)) for part, bound in parts]
    return torch.cat([low for low, _ in ends]), torch.cat([high for _, high in ends])


class Eq2Test(NamedTuple):
    """State of the tests of Eq. 2: four one-sided tests with fields (K,), and the plain sums of f.

    ``mean_reached`` rejects E f < 1 - eps_m, ``variance_reached`` Var f > eps_v, ``mean_missed`` E f >= 1 - eps_m and
    ``variance_missed`` Var f <= eps_v.
    """

    mean_reached: Wealth
    variance_reached: Wealth
    mean_missed: Wealth
    variance_missed: Wealth
    samples: Tensor
    total: Tensor


def eq2_start(rows: int, eps_m: float, eps_v: float, device: torch.device | str = "cpu") -> Eq2Test:
    """Tests of Eq. 2 for ``rows`` regions, before any sample; eps_m in the unit of f, eps_v in that of its square.

    Raises:
        ValueError: eps_m outside (0, 1) or eps_v outside (0, 1/4].
    """
    if not 0 < eps_m < 1:
        raise ValueError(f"eps_m must lie in (0, 1), got {eps_m}")
    if not 0 < eps_v <= 0.25:
        raise ValueError(f"eps_v must lie in (0, 0.25], the variance of a score in [0, 1]; got {eps_v}")
    zero = torch.zeros(rows, dtype=torch.float64, device=device)
    start = wealth_start((rows,), device)
    return Eq2Test(start, start, start, start, zero + 1.0, zero + 1.0 - eps_m)


class ControlVariate(NamedTuple):
    """A surrogate g of f: (K, P) values at the samples; mean, mean square and bounds over each region, (K,) each."""

    values: Tensor
    mean: Tensor
    square: Tensor
    low: Tensor
    high: Tensor


def eq2_update(test: Eq2Test, f: Tensor, eps_m: float, eps_v: float, g: ControlVariate | None = None) -> Eq2Test:
    """Add independent samples of f over the regions, with a surrogate g or without.

    Args:
        test: the state.
        f: (K, P) scores in [0, 1], P even (the test of too large a variance uses pairs).
        eps_m, eps_v: thresholds of Eq. 2.
        g: the surrogate at the same points.

    Returns:
        The new state.

    Raises:
        ValueError: P is odd, or a score outside [0, 1] (the bets would be worth nothing).
    """
    if f.shape[-1] % 2:
        raise ValueError(f"give an even number of samples, got {f.shape[-1]}")
    if f.shape[-1] == 0:
        return test
    if bool((f < -_ROUNDING).any()) or bool((f > 1 + _ROUNDING).any()):
        worst = f.flatten()[(f - 0.5).abs().argmax()]
        raise ValueError(f"scores must lie in [0, 1], got {float(worst):g}: give probabilities or rates, not logits")
    bets = _bets(test, f, g)
    thresholds = (eps_m, eps_v, eps_m, eps_v)
    a, b, c, d = (wealth_update(old, *bet(eps)) for old, bet, eps in zip(test[:4], bets, thresholds, strict=True))
    return Eq2Test(a, b, c, d, test.samples + f.shape[-1], test.total + f.sum(-1))


_Bet = Callable[[float | Tensor], tuple[Tensor, Tensor]]


def _bets(test: Eq2Test, f: Tensor, surrogate: ControlVariate | None) -> tuple[_Bet, _Bet, _Bet, _Bet]:
    """For each of the four tests: from its threshold, a number or (K, 1), to what is bet on and its lower bounds."""
    zero = torch.zeros_like(f)
    g, *known = surrogate or ControlVariate(zero, *zero[:, :1].expand(-1, 4).unbind(-1))
    first, second, low, high = (x[:, None] for x in known)
    rest = f - g

    # c: mean of the past samples. (f - c)^2 <= max(c, 1 - c)^2, and (g - c)^2 >= the square of c's distance to g.
    index = torch.arange(f.shape[-1], dtype=torch.float64, device=f.device)
    c = ((test.total[:, None] + f.cumsum(-1) - f) / (test.samples[:, None] + index)).clamp(0, 1)
    farthest = torch.maximum(c, 1 - c)
    nearest = (low - c).clamp_min(0) + (c - high).clamp_min(0)
    square = second - 2 * c * first + c * c  # mean of (g - c)^2
    half = (f[:, 0::2] - f[:, 1::2]).square() / 2

    def mean_reached(eps: float | Tensor) -> tuple[Tensor, Tensor]:
        threshold = 1 - eps - first
        return rest - threshold, (-high - threshold).expand_as(f)

    def variance_reached(eps: float | Tensor) -> tuple[Tensor, Tensor]:
        gain = eps - square - (f - c).square() + (g - c).square()
        return gain, eps - square - farthest.square() + nearest.square()

    def mean_missed(eps: float | Tensor) -> tuple[Tensor, Tensor]:
        threshold = 1 - eps - first
        return threshold - rest, (low - 1 + threshold).expand_as(f)

    def variance_missed(eps: float | Tensor) -> tuple[Tensor, Tensor]:
        return half - eps, torch.zeros_like(half) - eps

    return mean_reached, variance_reached, mean_missed, variance_missed


def eq2_evidence(test: Eq2Test) -> tuple[Tensor, Tensor]:
    """Logarithms of the evidence for validity and for invalidity, each (K,): log 1 / (smallest rejecting alpha)."""
    valid = torch.minimum(test.mean_reached.log_peak, test.variance_reached.log_peak)
    invalid = torch.maximum(test.mean_missed.log_peak, test.variance_missed.log_peak) - math.log(2)
    return valid, invalid


def eq2_verdict(test: Eq2Test, alpha: float | Tensor) -> Tensor:
    """Verdict of Eq. 2, (K,) int64: 1 valid, -1 invalid, 0 undecided; wrong with probability <= alpha at any time.

    ``alpha`` is a number or (K,). For a statement about R runs together give alpha / R.
    """
    valid, invalid = eq2_evidence(test)
    level = -torch.log(torch.as_tensor(alpha, dtype=torch.float64, device=valid.device))
    return (valid >= level).long() - ((invalid >= level) & (valid < level)).long()


class Eq2Bounds(NamedTuple):
    """Mean and variance with one-sided bounds, (K,) float64; each bound holds with probability >= 1 - alpha.

    The estimates rest on the samples and the surrogate, as the bounds do, and lie between them.
    """

    mean: Tensor
    mean_low: Tensor
    mean_high: Tensor
    variance: Tensor
    variance_low: Tensor
    variance_high: Tensor


def eq2_bounds(
    f: Tensor, eps_m: float, eps_v: float, alpha: float | Tensor, g: ControlVariate | None = None
) -> Eq2Bounds:
    """What the tests of Eq. 2 on all samples say about mean and variance: the thresholds that they reject.

    ``mean_low`` is the largest threshold t for which "E f < t" is rejected, and so on. With the samples of a verdict
    they never contradict it: ``valid`` has ``mean_low >= 1 - eps_m`` and ``variance_high <= eps_v``. The wealth of each
    test is monotone in its threshold, so bisection finds the bounds; they are rounded outward by at most 1e-4.

    Args:
        f: the samples (K, P) of :func:`eq2_update` so far, P even.
        eps_m, eps_v: thresholds of the verdict.
        alpha: of each bound by itself, a number or (K,).
        g: the surrogate of the test.

    Examples:
        >>> bounds = eq2_bounds(torch.full((1, 200), 0.8).double(), 0.3, 0.05, alpha=0.05)
        >>> bool(bounds.mean_low >= 0.7), bool(bounds.variance_high <= 0.05)
        (True, True)
    """
    bets = _bets(eq2_start(len(f), eps_m, eps_v, f.device), f, g)
    needed = -torch.log(torch.as_tensor(alpha, dtype=torch.float64, device=f.device))
    # For each test the threshold of eps_m or eps_v that is always rejected, the one that never is, and the verdict's.
    ends = ((1.0, 0.0, eps_m), (0.25, 0.0, eps_v), (0.0, 1.0, eps_m), (0.0, 0.25, eps_v))
    found = []
    for bet, (always, never, verdict) in zip(bets, ends, strict=True):
        rejected = torch.full_like(f[:, :1], always)
        kept = torch.full_like(rejected, never)
        threshold = torch.full_like(rejected, verdict)  # first, so that the bound falls on its side exactly
        for _ in range(14):
            wealth = wealth_update(wealth_start((len(f),), f.device), *bet(threshold))
            reject = (wealth.log_peak >= needed)[:, None]
            rejected, kept = torch.where(reject, threshold, rejected), torch.where(reject, kept, threshold)
            threshold = (rejected + kept) / 2
        found.append(rejected[:, 0])
    mean, variance = _moments(f, g)
    mean_low, variance_high, mean_high, variance_low = 1 - found[0], found[1], 1 - found[2], found[3]
    return Eq2Bounds(
        torch.minimum(torch.maximum(mean, mean_low), mean_high),
        mean_low,
        mean_high,
        torch.minimum(torch.maximum(variance, variance_low), variance_high),
        variance_low,
        variance_high,
    )


def _moments(f: Tensor, g: ControlVariate | None) -> tuple[Tensor, Tensor]:
    """Unbiased mean and variance of f (K, P) by the surrogate: that of the sample where there is none."""
    if g is None:
        return f.mean(-1), f.var(-1)
    mean = g.mean + (f - g.values).mean(-1)
    square = g.square + (f.square() - g.values.square()).mean(-1)
    return mean, square - mean.square() + (f - g.values).var(-1) / f.shape[-1]


def select_rows(test: Eq2Test, rows: Tensor) -> Eq2Test:
    """The given rows of a state, for K' indices or a (K,) mask."""
    a, b, c, d = (Wealth(x.log_stakes[rows], x.log_peak[rows]) for x in test[:4])
    return Eq2Test(a, b, c, d, test.samples[rows], test.total[rows])


def replace_rows(test: Eq2Test, rows: Tensor, part: Eq2Test) -> Eq2Test:
    """``test`` with the given K' rows (indices) taken from ``part``."""
    a, b, c, d = (
        Wealth(x.log_stakes.index_copy(0, rows, y.log_stakes), x.log_peak.index_copy(0, rows, y.log_peak))
        for x, y in zip(test[:4], part[:4], strict=True)
    )
    return Eq2Test(
        a, b, c, d, test.samples.index_copy(0, rows, part.samples), test.total.index_copy(0, rows, part.total)
    )
