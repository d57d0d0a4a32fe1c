"""How sure is an SRVR? Intervals clustered by shape, paired differences, curves over eps_m, stability of ranks.

A shape is the unit: its runs (initial points, methods) share one mesh and are no independent observations. Classes
are fixed and count equally, shapes are resampled within their class. S shapes, N networks, R resamples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.stats import kendalltau
from torch import Tensor

from lightning_semrob.functional.volume_ratio import srvr

__all__ = [
    "MINIMUM_SHAPES",
    "Difference",
    "bootstrap_interval",
    "paired_difference",
    "rank_stability",
    "shape_means",
    "srvr",
    "srvr_curve",
    "verified_ratio",
]

#: With fewer shapes a comparison says "too few shapes to compare": 2^5 sign patterns cannot reach p = 0.05 two-sided.
MINIMUM_SHAPES = 6


def verified_ratio(ratio: Tensor, verdict: list[str]) -> Tensor:
    """Volume ratios (K,) with 0 where the verdict is not ``valid``; a ratio that was not measured stays NaN."""
    valid = torch.tensor([word == "valid" for word in verdict], dtype=torch.bool, device=ratio.device)
    return torch.where(valid | ratio.isnan(), ratio.double(), torch.zeros_like(ratio, dtype=torch.float64))


def srvr_curve(ratio: Tensor, mean_low: Tensor, variance_high: Tensor, eps_m: Tensor, eps_v: float) -> Tensor:
    """Verified volume ratio of each run as a function of eps_m: the box counts where its intervals imply Eq. 2.

    Args:
        ratio: (K,) volume ratios.
        mean_low, variance_high: (K,) ends of the intervals of mean and variance; NaN counts as not verified.
        eps_m: (E,) thresholds.
        eps_v: threshold of the variance.

    Returns:
        (E, K) float64, nondecreasing in eps_m; average it over runs for the curve.
    """
    holds = (mean_low >= 1 - eps_m[:, None]) & (variance_high <= eps_v)
    return torch.where(holds | ratio.isnan(), ratio.double(), torch.zeros_like(ratio, dtype=torch.float64))


def shape_means(ratio: Tensor, shape: Tensor, shapes: int) -> Tensor:
    """Mean ratio of each shape over its runs, (shapes,) float64; NaN for a shape without a measured run.

    Args:
        ratio: (K,), NaN for a run that was not measured (it is left out).
        shape: (K,) int64 shape of each run.
        shapes: number of shapes.
    """
    known = ~ratio.isnan()
    total = torch.zeros(shapes, dtype=torch.float64).index_add(0, shape[known], ratio[known].double())
    return total / torch.bincount(shape[known], minlength=shapes)


def _class_mean(values: Tensor, classes: Tensor) -> Tensor:
    """Mean over classes of the mean over their shapes: values (..., S) -> (...)."""
    means = [values[..., classes == c].mean(-1) for c in classes.unique().tolist()]
    return torch.stack(means, -1).mean(-1)


def _resampled(values: Tensor, classes: Tensor, resamples: int, seed: int) -> Tensor:
    """Class means of bootstrap samples, (R, N) for values (N, S): the same shapes for all N.

    Resampling s shapes understates the variance of their mean by (s - 1) / s; deviations are rescaled for that (Rao and
    Wu, JASA 1988). Classes with a single shape are resampled as one stratum, which errs on the wide side; where
    there is one such class it is given the spread of all shapes.
    """
    generator = torch.Generator().manual_seed(seed)
    labels, counts = classes.unique(return_counts=True)
    single = classes[:, None].eq(labels[counts == 1]).any(-1)
    strata = [(classes == c) for c in labels[counts > 1].tolist()]
    strata += [single] if int(single.sum()) > 1 else []
    result = torch.zeros(resamples, values.shape[0], dtype=torch.float64)
    for members in strata:
        part = values[:, members]
        size = part.shape[1]
        weight = classes[members].unique().numel() / len(labels)
        pick = torch.randint(size, (resamples, size), generator=generator)
        center = part.mean(1)
        deviation = part[:, pick].mean(-1).T - center
        result += weight * (center + (size / (size - 1)) ** 0.5 * deviation)
    if int(single.sum()) == 1:
        size = values.shape[1]
        pick = torch.randint(size, (resamples,), generator=generator)
        deviation = (size / (size - 1)) ** 0.5 * (values[:, pick] - values.mean(1, keepdim=True))
        result += (values[:, single] + deviation).T / len(labels)
    return result


def _check(classes: Tensor, shapes: int, confidence: float, resamples: int) -> None:
    if classes.shape != (shapes,):
        raise ValueError(f"classes must be ({shapes},), one for each shape, got {tuple(classes.shape)}")
    if not 0 < confidence < 1 or resamples < 100:
        raise ValueError(f"confidence must lie in (0, 1) and resamples be at least 100: {confidence}, {resamples}")


def bootstrap_interval(
    values: Tensor, classes: Tensor, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean over classes of each network's SRVR, with a percentile bootstrap interval clustered by shape.

    Args:
        values: (N, S) mean ratio of each network and shape; shapes that are NaN are left out, network by network.
        classes: (S,) int64 class of each shape.
        confidence, resamples, seed: of the interval.

    Returns:
        estimate, low, high: (N,) float64, NaN for a network without shapes (low and high NaN with fewer than 2);
        skipped: (N,) int64, shapes left out.

    Examples:
        >>> values = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
        >>> estimate, low, high, _ = bootstrap_interval(values, torch.zeros(6, dtype=torch.int64))
        >>> round(float(estimate), 2), bool(low < estimate < high)
        (0.35, True)
    """
    _check(classes, values.shape[1], confidence, resamples)
    estimate = torch.full((3, len(values)), torch.nan, dtype=torch.float64)
    for row, value in enumerate(values.double()):
        known = ~value.isnan()
        if not bool(known.any()):
            continue
        estimate[0, row] = _class_mean(value[known], classes[known])
        if int(known.sum()) > 1:
            drawn = _resampled(value[None, known], classes[known], resamples, seed)[:, 0]
            tail = (1 - confidence) / 2
            estimate[1:, row] = torch.quantile(drawn, torch.tensor([tail, 1 - tail], dtype=torch.float64))
    return estimate[0], estimate[1], estimate[2], values.isnan().sum(1)


class Difference(NamedTuple):
    """SRVR of one network minus that of another on the same shapes.

    ``estimate`` with the interval ``low`` to ``high`` and the two-sided permutation ``p_value``; ``shapes`` compared,
    ``skipped`` where either is missing; ``verdict``: ``more robust``, ``less robust``, ``not distinguishable`` or
    ``too few shapes to compare``.
    """

    estimate: float
    low: float
    high: float
    p_value: float
    shapes: int
    skipped: int
    verdict: str


def paired_difference(
    first: Tensor, second: Tensor, classes: Tensor, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Difference:
    """Compare two networks on the shapes that both were measured on.

    The interval is the bootstrap of :func:`bootstrap_interval` on the differences of each shape. The permutation test
    exchanges the two networks within shapes (changes signs at random; the observed one counts as a draw).

    Args:
        first, second: (S,) mean ratio of each shape, NaN where it was not measured.
        classes: (S,) int64 class of each shape.
        confidence, resamples, seed: of the interval and the test.

    Examples:
        >>> one = torch.tensor([0.5, 0.6, 0.7, 0.8, 0.6, 0.7])
        >>> paired_difference(one, one - 0.2, torch.zeros(6, dtype=torch.int64)).verdict
        'more robust'
    """
    _check(classes, len(first), confidence, resamples)
    difference = (first - second).double()
    known = ~difference.isnan()
    difference, labels = difference[known], classes[known]
    shapes, skipped = len(difference), int((~known).sum())
    nan = float("nan")
    if shapes == 0:
        return Difference(nan, nan, nan, nan, 0, skipped, "too few shapes to compare")
    estimate = float(_class_mean(difference, labels))
    if shapes < MINIMUM_SHAPES:
        return Difference(estimate, nan, nan, nan, shapes, skipped, "too few shapes to compare")
    _, low, high, _ = bootstrap_interval(difference[None], labels, confidence, resamples, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    signs = 2.0 * torch.randint(2, (resamples, shapes), generator=generator) - 1
    permuted = _class_mean(signs * difference, labels)
    p_value = float(1 + (permuted.abs() >= abs(estimate) - 1e-15).sum()) / (resamples + 1)
    verdict = "more robust" if low > 0 else "less robust" if high < 0 else "not distinguishable"
    return Difference(estimate, float(low), float(high), p_value, shapes, skipped, verdict)


def rank_stability(values: Tensor) -> tuple[float, float]:
    """Whether the order of N networks depends on the view: a method, an initial point, a number of steps.

    Args:
        values: (V, N) SRVR of each network in each view; views with a NaN are left out.

    Returns:
        the mean Kendall tau-b over pairs of views, and the fraction of views that put the network first that is first
        in their mean. NaN with fewer than 2 views (tau) or none.
    """
    values = values[~values.isnan().any(1)].double().cpu()
    if len(values) == 0:
        return float("nan"), float("nan")
    winner = int(values.mean(0).argmax())
    first = float((values.argmax(1) == winner).double().mean())
    taus = [
        float(kendalltau(values[i].numpy(), values[j].numpy()).statistic)
        for i in range(len(values))
        for j in range(i + 1, len(values))
    ]
    return (sum(taus) / len(taus) if taus else float("nan")), first
