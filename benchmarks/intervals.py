"""Intervals that benchmarks compare with those of the package, or state themselves."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_semrob.functional.betting import mean_interval
from lightning_semrob.functional.uncertainty import class_mean

#: Up to this many differences all subsets are looked at, beyond it as many are drawn at random.
EXACT = 13


def symmetric_interval(
    differences: Tensor, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the centre of independent symmetric differences: all values that sign flips do not reject.

    The means of the subsets of n such differences cut the line into 2^n parts, each of which holds the centre with the
    same probability (Hartigan, J. Amer. Statist. Assoc. 1969), so the interval runs between two of these means. Exact
    for n up to 13, otherwise from random subsets. It needs no range of the values, and is used for differences of
    training seeds, whose number is small.

    Args:
        differences: (n,), one a pair, no NaN.
        confidence: reached or exceeded.
        resamples, seed: random subsets.

    Returns:
        low, high; NaN where so few differences show nothing at this confidence (below 6 at 0.95).

    Examples:
        >>> symmetric_interval(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        (1.0, 6.0)
    """
    n = len(differences)
    if n <= EXACT:
        members = (torch.arange(1, 2**n)[:, None] >> torch.arange(n) & 1).double()
    else:
        members = torch.randint(2, (resamples - 1, n), generator=torch.Generator().manual_seed(seed)).double()
    cut = math.floor((1 - confidence) / 2 * (len(members) + 1) + 1e-9)
    if cut < 1:
        return math.nan, math.nan
    means = ((members @ differences.double().cpu()) / members.sum(1).clamp_min(1)).sort().values
    return float(means[cut - 1]), float(means[-cut])


def _resampled(values: Tensor, classes: Tensor, resamples: int, seed: int) -> Tensor:
    """Class means of bootstrap samples, (R,): shapes within their class, deviations rescaled (Rao and Wu)."""
    generator = torch.Generator().manual_seed(seed)
    labels, counts = classes.unique(return_counts=True)
    single = classes[:, None].eq(labels[counts == 1]).any(-1)
    strata = [(classes == c) for c in labels[counts > 1].tolist()]
    strata += [single] if int(single.sum()) > 1 else []
    result = torch.zeros(resamples, dtype=torch.float64)
    for members in strata:
        part = values[members]
        size = len(part)
        weight = classes[members].unique().numel() / len(labels)
        deviation = part[torch.randint(size, (resamples, size), generator=generator)].mean(-1) - part.mean()
        result += weight * (part.mean() + (size / (size - 1)) ** 0.5 * deviation)
    if int(single.sum()) == 1:
        size = len(values)
        drawn = values[torch.randint(size, (resamples,), generator=generator)] - values.mean()
        result += (values[single] + (size / (size - 1)) ** 0.5 * drawn) / len(labels)
    return result


def bootstrap_interval(
    values: Tensor, classes: Tensor, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Percentile bootstrap of each network's mean, clustered by shape: version 0.1.0 stated it.

    It does not hold where most shapes are zero (``benchmarks/coverage.py``); use :func:`mean_interval_over_shapes`.

    Args:
        values: (N, S) mean of each network and shape; shapes that are NaN are left out, network by network.
        classes: (S,) int64 class of each shape.
        confidence, resamples, seed: of the interval.

    Returns:
        estimate, low, high: (N,) float64, NaN for a network without shapes (low and high NaN with fewer than 2);
        skipped: (N,) int64, shapes left out.
    """
    estimate = torch.full((3, len(values)), torch.nan, dtype=torch.float64)
    for row, value in enumerate(values.double()):
        known = ~value.isnan()
        if not bool(known.any()):
            continue
        estimate[0, row] = class_mean(value[known], classes[known])
        if int(known.sum()) > 1:
            drawn = _resampled(value[known], classes[known], resamples, seed)
            tail = (1 - confidence) / 2
            estimate[1:, row] = torch.quantile(drawn, torch.tensor([tail, 1 - tail], dtype=torch.float64))
    return estimate[0], estimate[1], estimate[2], values.isnan().sum(1)


def variance_interval(x: Tensor, alpha: float | Tensor) -> tuple[Tensor, Tensor]:
    """Betting interval of the variance of independent samples of a variable in [0, 1], valid at any stopping time.

    Upper end: of ``E (x - c)^2 >= Var x`` with c the mean of the past samples. Lower end: of
    ``E (x - x')^2 / 2 = Var x`` over successive pairs; an odd last sample is left out.

    Args:
        x: the samples so far (K, P).
        alpha: level, a number or (K,).

    Returns:
        low, high, (K,) float64 in [0, 0.25].
    """
    x = x.double()
    count = torch.arange(x.shape[-1], dtype=torch.float64, device=x.device)
    c = (0.5 + x.cumsum(-1) - x) / (1 + count)
    _, high = mean_interval((x - c).square(), alpha)
    pairs = x.shape[-1] // 2 * 2
    low, _ = mean_interval((x[:, 0:pairs:2] - x[:, 1:pairs:2]).square(), alpha)
    return (low / 2).clamp_max(0.25), high.clamp_max(0.25)
