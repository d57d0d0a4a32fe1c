"""SRVR from the volume ratios of runs: means (Eq. 19), verified ratios, curves over eps_m, stability of ranks.

Intervals and comparisons are in :mod:`lightning_semrob.functional.uncertainty`; version 0.1.0 had them here.
"""

from __future__ import annotations

from itertools import combinations
from math import nan

import torch
from scipy.stats import kendalltau
from torch import Tensor

from lightning_semrob.functional.uncertainty import MINIMUM_SHAPES as MINIMUM_SHAPES
from lightning_semrob.functional.uncertainty import Difference as Difference
from lightning_semrob.functional.uncertainty import paired_difference as paired_difference


def grouped_sums(
    ratio: Tensor, network: Tensor, class_index: Tensor, method: Tensor, sizes: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """Sums and counts of the ratios in each (network, class, method), both ``sizes`` float64.

    Args:
        ratio: (K,) volumes over the volume of the space; NaN for a run that was not measured, which is left out.
        network, class_index, method: (K,) int64 group of each run.
        sizes: numbers of networks, classes and methods.
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
    """SRVR (networks, classes) of runs; the functional twin of :class:`lightning_semrob.evaluation.metrics.SRVR`.

    NaN for a group in which a method has no run; the arguments are those of :func:`grouped_sums`.

    Examples:
        >>> zero = torch.zeros(3, dtype=torch.int64)
        >>> srvr(torch.tensor([0.25, 0.75, 0.0]), zero, zero, torch.tensor([0, 0, 1]), (1, 1, 2)).tolist()
        [[0.25]]
    """
    return srvr_from_sums(*grouped_sums(ratio, network, class_index, method, sizes))


def verified_ratio(ratio: Tensor, verdict: list[str]) -> Tensor:
    """Volume ratios (K,) with 0 where the verdict is not ``valid``; a ratio that was not measured stays NaN."""
    valid = torch.tensor([word == "valid" for word in verdict], dtype=torch.bool, device=ratio.device)
    return torch.where(valid | ratio.isnan(), ratio.double(), torch.zeros_like(ratio, dtype=torch.float64))


def srvr_curve(ratio: Tensor, mean_low: Tensor, variance_high: Tensor, eps_m: Tensor, eps_v: float) -> Tensor:
    """Verified volume ratio (E, K) of each run at every eps_m (E,): a box counts where its bounds (K,) imply Eq. 2."""
    holds = (mean_low >= 1 - eps_m[:, None]) & (variance_high <= eps_v)
    return torch.where(holds | ratio.isnan(), ratio.double(), torch.zeros_like(ratio, dtype=torch.float64))


def shape_means(ratio: Tensor, shape: Tensor, shapes: int) -> Tensor:
    """Mean ratio of each shape over its runs, (shapes,) float64, from ratios (K,) and int64 shapes (K,) of the runs.

    A ratio that is NaN was not measured and is left out; a shape without any other is NaN.
    """
    known = ~ratio.isnan()
    total = torch.zeros(shapes, dtype=torch.float64).index_add(0, shape[known], ratio[known].double())
    return total / torch.bincount(shape[known], minlength=shapes)


def rank_stability(values: Tensor) -> tuple[float, float]:
    """Whether the order of networks depends on the view (a method, an initial point), from SRVR (V, N) in each view.

    The mean Kendall tau-b over pairs of views, and the share of the views that put the same network first as their mean
    does. Views with a NaN are left out; NaN without a pair, or without a view.
    """
    values = values[~values.isnan().any(1)].double().cpu()
    if len(values) == 0:
        return nan, nan
    first = float((values.argmax(1) == values.mean(0).argmax()).double().mean())
    taus = [float(kendalltau(one, other).statistic) for one, other in combinations(values.numpy(), 2)]
    return (sum(taus) / len(taus) if taus else nan), first
