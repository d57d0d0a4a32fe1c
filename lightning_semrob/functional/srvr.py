"""SRVR from the volume ratios of runs: means (Eq. 19), verified ratios, curves over eps_m, stability of ranks.

Intervals and comparisons are in :mod:`lightning_semrob.functional.uncertainty`; version 0.1.0 had them here.
"""

from __future__ import annotations

import torch
from scipy.stats import kendalltau
from torch import Tensor

from lightning_semrob.functional.uncertainty import (
    MINIMUM_SHAPES,
    Difference,
    bootstrap_interval,
    paired_difference,
)

__all__ = [
    "MINIMUM_SHAPES",
    "Difference",
    "bootstrap_interval",
    "grouped_sums",
    "paired_difference",
    "rank_stability",
    "shape_means",
    "srvr",
    "srvr_curve",
    "srvr_from_sums",
    "verified_ratio",
]


def grouped_sums(
    ratio: Tensor, network: Tensor, class_index: Tensor, method: Tensor, sizes: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """Sums and counts of the ratios in each (network, class, method); NaN ratios are left out.

    Args:
        ratio: (K,) float.
        network, class_index, method: (K,) int64 group of each run.
        sizes: numbers of networks, classes and methods.

    Returns:
        total, count: both ``sizes`` float64.
    """
    known = ~ratio.isnan()
    place = tuple(x[known] for x in (network, class_index, method))
    zeros = torch.zeros(sizes, dtype=torch.float64, device=ratio.device)
    total = zeros.index_put(place, ratio[known].double(), accumulate=True)
    count = zeros.index_put(place, torch.ones_like(ratio[known], dtype=torch.float64), accumulate=True)
    return total, count


def srvr_from_sums(total: Tensor, count: Tensor) -> Tensor:
    """SRVR per network and class, (networks, classes): NaN where a method has no run (0 / 0), never 0."""
    return (total / count).mean(-1)


def srvr(ratio: Tensor, network: Tensor, class_index: Tensor, method: Tensor, sizes: tuple[int, int, int]) -> Tensor:
    """SRVR per network and class from runs; the functional twin of :class:`lightning_semrob.evaluation.metrics.SRVR`.

    Args:
        ratio: (K,) volumes over the volume of the space, intersected or raw; NaN for a run that was not measured.
        network, class_index, method: (K,) int64 group of each run.
        sizes: numbers of networks, classes and methods (the paper's: naive, OIR_B, OIR_W).

    Returns:
        (networks, classes) float64 in [0, 1], NaN for a group in which a method has no run.

    Examples:
        >>> zero, method = torch.zeros(3, dtype=torch.int64), torch.tensor([0, 0, 1])
        >>> srvr(torch.tensor([0.25, 0.75, 0.0]), zero, zero, method, (1, 1, 2)).tolist()  # mean of 0.5 and 0
        [[0.25]]
    """
    return srvr_from_sums(*grouped_sums(ratio, network, class_index, method, sizes))


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
