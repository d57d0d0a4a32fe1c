"""How sure is a mean over shapes, and the difference of two networks? Intervals, sign-flip tests, Holm, power.

Over 400 lines, so that all that is said about shapes rests on one definition of classes and weights.

The target is the mean over these classes, each with the same weight, of the expected value of a new shape of the class.
Classes are fixed; the shapes of a class are independent draws from it, with values in a known range. A shape is the
unit: its runs (initial points, methods) share one mesh and are no independent observations. With one shape a class the
spread within classes cannot be seen; the interval then also covers classes that were drawn at random.

S shapes, C classes; a shape of a class with n_c shapes has the weight w_i = 1 / (C n_c), so that weights add up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import beta as beta_distribution
from scipy.stats import norm
from torch import Tensor

#: With fewer shapes a comparison says "too few shapes to compare": 2^5 sign patterns cannot reach p = 0.05 two-sided.
MINIMUM_SHAPES = 6

# Up to this many differences that are not zero all sign patterns are tried, beyond it as many are drawn at random.
_EXACT = 13


class ShapeInterval(NamedTuple):
    """Mean over classes with its interval, all NaN without a shape; ``shapes`` counted and ``skipped`` (NaN)."""

    estimate: float
    low: float
    high: float
    shapes: int
    skipped: int


def mean_interval_over_shapes(
    values: Tensor,
    classes: Tensor,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
    draws: int = 10_000,
    seed: int = 0,
) -> ShapeInterval:
    """Interval of the class mean of bounded values that also holds where most values are equal, as zeros are.

    The bound of Gaffke (2005; Learned-Miller and Thomas 2020; Phan, Thomas and Learned-Miller 2021), with weights: each
    shape gets a random weight ``w_i g_i`` and one imagined shape at the worst value of the range gets ``w g_0``, all g
    standard exponential; the upper end is the 1 - alpha / 2 quantile of the weighted mean, the lower end likewise. For
    equal weights this is Gaffke's bound, for zeros and ones Clopper and Pearson's. For unequal classes w is such
    that values which are all at one end give exactly the largest mean that they do not exclude, whichever classes it is
    due to. Where every class has two shapes or more, the same is computed with each class shifted to the common mean
    (deviations rescaled as by Rao and Wu, JASA 1988) and the narrower end counts. That the bound holds is a conjecture
    without a known counterexample; ``benchmarks/coverage.py`` measures it.

    Args:
        values, classes: (S,) one value a shape, NaN where it was not measured (left out), and its int64 class.
        confidence, bounds: of the two-sided interval; smallest and largest possible value.
        draws, seed: random weightings. The order of the shapes does not matter.

    Raises:
        ValueError: classes of another length, values outside the bounds, confidence outside (0, 1), under 100 draws.

    Examples:
        >>> mean_interval_over_shapes(torch.zeros(34), torch.arange(34)).high < 0.11
        True
    """
    _check(values, classes, confidence, draws)
    known = ~values.isnan()
    shapes, skipped = int(known.sum()), int((~known).sum())
    if shapes == 0:
        return ShapeInterval(math.nan, math.nan, math.nan, 0, skipped)
    low, high = bounds
    x = (values[known].double().cpu() - low) / (high - low)
    if bool(((x < -1e-9) | (x > 1 + 1e-9)).any()):
        raise ValueError(f"values must lie in [{low:g}, {high:g}], got {values[known].min()} to {values[known].max()}")
    lower, upper = interval_ends(x[None], classes[known].cpu(), confidence, draws, seed)
    estimate = float(_weights(classes[known].cpu())[0] @ x)
    ends = [low + (high - low) * end for end in (estimate, min(float(lower), estimate), max(float(upper), estimate))]
    return ShapeInterval(ends[0], ends[1], ends[2], shapes, skipped)


def interval_ends(x: Tensor, classes: Tensor, confidence: float, draws: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ends (R,) of :func:`mean_interval_over_shapes` for R samples x (R, S) in [0, 1] of the same classes (S,)."""
    weight, place, counts = _weights(classes)
    tail = (1 - confidence) / 2
    g, extra = _exponentials(x.shape[1], draws, seed)
    shares = g * weight.sort().values
    total = shares.sum(1)
    more = extra * _extra_weight(counts, tail, extra / total)
    lower, upper = torch.zeros_like(x[:, 0]), torch.ones_like(x[:, 0])
    for y, bottom, top in _stages(x, weight, place, counts):
        # In the order of weights and values the draws meet the same values whatever the order given.
        order = np.lexsort((y.numpy(), weight.expand_as(y).numpy()))
        mean = torch.gather(y, 1, torch.from_numpy(order)) @ shares.T
        high = np.quantile(((mean + more * top) / (total + more)).numpy(), 1 - tail, axis=1)
        low = np.quantile(((mean + more * bottom) / (total + more)).numpy(), tail, axis=1)
        lower, upper = torch.maximum(lower, torch.from_numpy(low)), torch.minimum(upper, torch.from_numpy(high))
    return lower, upper


def _weights(classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weight (S,) of each shape, number (S,) of its class and sizes (C,) of the classes."""
    _, place, counts = classes.unique(return_inverse=True, return_counts=True)
    return 1.0 / (len(counts) * counts[place].double()), place, counts


@lru_cache(maxsize=4)
def _exponentials(shapes: int, draws: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.empty(draws, shapes + 1, dtype=torch.float64).exponential_(generator=generator)
    return drawn[:, :-1], drawn[:, -1]


def _stages(x: Tensor, weight: Tensor, place: Tensor, counts: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Values (R, S) to bound the mean of, with the worst values (R, 1) of a shape: as they are, and centred."""
    bottom = torch.zeros_like(x[:, :1])
    stages = [(x, bottom, bottom + 1)]
    if len(counts) > 1 and int(counts.min()) > 1:
        means = torch.zeros(len(x), len(counts), dtype=torch.float64).index_add(1, place, x) / counts
        size, n = counts[place].double(), x.shape[1]
        mean = (x @ weight)[:, None]
        centred = mean + (size / (size - 1) * (n - 1) / n).sqrt() * (x - means[:, place])
        low, high = means.aminmax(dim=1, keepdim=True)
        stages.append((centred, mean - high, mean + 1 - low))
    return stages


def _extra_weight(counts: Tensor, tail: float, ratio: Tensor) -> float:
    """Weight of the imagined shape, which makes the bound exact where all values are at one end.

    With probability q_c^(n_c) all shapes of class c are at that end though 1 - q_c of its mass is at the other; the
    largest mean of 1 - q_c with ``prod q_c^(n_c) = tail`` has q_c = min(1, lambda n_c) (Lagrange).
    """
    size = counts.double().sort().values
    level = float(((math.log(tail) - (size * size.log()).cumsum(0)) / size.cumsum(0)).max())
    mean = float((1 - (size.log() + level).exp().clamp_max(1)).mean())
    return mean / (1 - mean) / float(torch.quantile(ratio, 1 - tail))


def _check(values: Tensor, classes: Tensor, confidence: float, draws: int) -> None:
    if classes.shape != values.shape[-1:]:
        raise ValueError(f"classes must be ({values.shape[-1]},), one for each shape, got {tuple(classes.shape)}")
    if not 0 < confidence < 1 or draws < 100:
        raise ValueError(f"confidence must lie in (0, 1) and resamples be at least 100: {confidence}, {draws}")


def class_mean(values: Tensor, classes: Tensor) -> Tensor:
    """Mean over classes of the mean over their shapes: values (..., S) -> (...)."""
    means = [values[..., classes == c].mean(-1) for c in classes.unique().tolist()]
    return torch.stack(means, -1).mean(-1)


class Difference(NamedTuple):
    """Mean of one network minus that of another on the same shapes.

    ``estimate`` with the interval ``low`` to ``high`` and the two-sided ``p_value`` of the sign-flip test; ``shapes``
    compared, ``skipped`` where either is missing; ``verdict``: ``more robust``, ``less robust``,
    ``not distinguishable`` or ``too few shapes to compare``; ``p_holm``, the p-value corrected for the pairs compared
    together; ``detectable``, the difference that so many shapes would show (:func:`detectable_difference`).
    """

    estimate: float
    low: float
    high: float
    p_value: float
    shapes: int
    skipped: int
    verdict: str
    p_holm: float = math.nan
    detectable: float = math.nan


#: The verdict where volumes are compared: a larger one, the lower bound of one box around one point, calls no network
#: more robust.
OF_VOLUMES = {"more robust": "larger", "less robust": "smaller"}


def paired_difference(
    first: Tensor,
    second: Tensor,
    classes: Tensor,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    pairs: int = 1,
) -> Difference:
    """Compare two networks on the shapes that both were measured on.

    The verdict is that of the sign-flip test alone, as if this were the only pair: :func:`call_differences` corrects it
    for several. The interval beside it holds for the difference of the means, and is wider.

    Args:
        first, second: (S,) mean of each shape in [0, 1], NaN where it was not measured.
        classes: (S,) int64 class of each shape.
        confidence, resamples, seed: of the interval and the test.
        pairs: compared together, for ``detectable``.

    Examples:
        >>> one = torch.tensor([0.5, 0.6, 0.7, 0.8, 0.6, 0.7])
        >>> paired_difference(one, one - 0.2, torch.zeros(6, dtype=torch.int64)).verdict
        'more robust'
    """
    _check(first, classes, confidence, resamples)
    difference = (first - second).double().cpu()
    known = ~difference.isnan()
    difference, labels = difference[known], classes[known].cpu()
    shapes, skipped = len(difference), int((~known).sum())
    if shapes < MINIMUM_SHAPES:
        estimate = float(class_mean(difference, labels)) if shapes else math.nan
        return Difference(estimate, math.nan, math.nan, math.nan, shapes, skipped, "too few shapes to compare")
    found = mean_interval_over_shapes(difference, labels, confidence, (-1.0, 1.0), resamples, seed)
    p_value = sign_flip_p_value(difference, labels, resamples, seed + 1)
    detectable = detectable_difference(difference, labels, (1 - confidence) / pairs)
    compared = Difference(found.estimate, found.low, found.high, p_value, shapes, skipped, "", math.nan, detectable)
    return call_differences([compared], confidence)[0]


def paired_differences(
    values: Tensor, classes: Tensor, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> list[tuple[int, int, Difference]]:
    """All pairs (first, second, first minus second) of N networks, called together (Holm).

    ``values`` (N, S) are the means of each network and shape in [0, 1], NaN where not measured; ``classes`` (S,) int64.
    ``confidence`` is of all calls together, and of each interval.
    """
    pairs = list(combinations(range(len(values)), 2))
    found = [
        paired_difference(values[i], values[k], classes, confidence, resamples, seed, len(pairs)) for i, k in pairs
    ]
    called = call_differences(found, confidence)
    return [(i, k, difference) for (i, k), difference in zip(pairs, called, strict=True)]


def call_differences(differences: Sequence[Difference], confidence: float = 0.95) -> list[Difference]:
    """The same differences with ``p_holm``, and a ``verdict`` each: any of them is wrong with probability <= alpha.

    alpha is 1 - confidence. Pairs with too few shapes are not counted.
    """
    corrected = holm([found.p_value for found in differences])
    words = {1: "more robust", -1: "less robust", 0: "not distinguishable"}
    called = []
    for found, p in zip(differences, corrected, strict=True):
        if not math.isnan(p):
            sign = (found.estimate > 0) - (found.estimate < 0) if p <= 1 - confidence + 1e-12 else 0
            found = found._replace(p_holm=p, verdict=words[sign])
        called.append(found)
    return called


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, Scand. J. Statist. 1979); NaN stays NaN and is not counted.

    Examples:
        >>> holm([0.03, 0.01, 0.5])
        [0.06, 0.03, 0.5]
    """
    order = sorted((p, k) for k, p in enumerate(p_values) if not math.isnan(p))
    corrected, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, k) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[k] = largest
    return corrected


def sign_flip_p_value(difference: Tensor, classes: Tensor, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of "the two networks are exchangeable on each shape": signs of the differences are random.

    Exact with up to 13 differences that are not zero, otherwise from ``resamples`` random signs, the observed ones
    among them. The statistic is the class mean of ``difference`` (S,). Where only the means agree the test is right for
    many shapes.

    Examples:
        >>> sign_flip_p_value(torch.tensor([0.3, 0.2, 0.1, 0.0]), torch.zeros(4, dtype=torch.int64))
        0.25
    """
    parts = difference.double() * _weights(classes)[0]
    size = parts[parts != 0].abs().sort().values
    observed = abs(float(parts.sum())) - 1e-12
    if len(size) <= _EXACT:
        bits = torch.arange(2 ** len(size))[:, None] >> torch.arange(len(size)) & 1
        return float((((2 * bits.double() - 1) @ size).abs() >= observed).double().mean())
    generator = torch.Generator().manual_seed(seed)
    signs = 2.0 * torch.randint(2, (resamples, len(size)), generator=generator, dtype=torch.float64) - 1
    return float(1 + ((signs @ size).abs() >= observed).sum()) / (resamples + 1)


def detectable_difference(difference: Tensor, classes: Tensor, alpha: float = 0.05, power: float = 0.8) -> float:
    """The difference of means that the sign-flip test at level alpha would show with probability ``power``.

    From the spread of the differences (S,) at hand, in the normal approximation: the test rejects where
    ``|mean| >= z sqrt(sum (w d)^2)``, in which a difference of the means counts too, so that with few shapes none is
    large enough. For m pairs give alpha / m, the first step of Holm's. NaN where no difference can be shown: fewer than
    ``log2(2 / alpha)`` differences are not zero.
    """
    if len(difference) < 2 or 2.0 ** (1 - int((difference != 0).sum())) > alpha:
        return math.nan
    weight = _weights(classes)[0]
    spread = difference.double() - (weight * difference).sum()
    deviation = math.sqrt((weight * spread).square().sum() * len(spread) / (len(spread) - 1))
    rejects, needs = float(norm.isf(alpha / 2)), float(norm.ppf(power))
    rest = 1 - rejects**2 * float(weight.square().sum())
    if rest <= 0:
        return math.nan
    return deviation * (needs + math.sqrt(needs**2 + rest * (rejects**2 - needs**2))) / rest


def clopper_pearson(successes: Tensor, trials: Tensor, confidence: float = 0.95) -> tuple[Tensor, Tensor]:
    """Exact interval (low, high) of a rate at a fixed number of trials (Clopper and Pearson, Biometrika 1934).

    Counts (...) must have ``0 <= successes <= trials``; without trials the interval is 0 to 1.

    Raises:
        ValueError: counts outside the range, or a confidence outside (0, 1).

    Examples:
        >>> low, high = clopper_pearson(torch.tensor([20]), torch.tensor([20]))
        >>> round(float(low), 4), float(high)
        (0.8316, 1.0)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    s, t = torch.as_tensor(successes).double(), torch.as_tensor(trials).double()
    if bool(((s < 0) | (s > t)).any()):
        raise ValueError("successes must lie between 0 and the number of trials")
    tail = (1 - confidence) / 2
    hits, misses = s.cpu(), (t - s).cpu()
    low = torch.as_tensor(beta_distribution.ppf(tail, hits.clamp_min(0.5).numpy(), (misses + 1).numpy())).to(s)
    high = torch.as_tensor(beta_distribution.ppf(1 - tail, (hits + 1).numpy(), misses.clamp_min(0.5).numpy())).to(s)
    return torch.where(s > 0, low, torch.zeros_like(s)), torch.where(s < t, high, torch.ones_like(s))
