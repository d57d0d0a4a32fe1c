"""SRVR from volume ratios: means over runs within (network, class, method), then over methods (Eq. 19)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["grouped_sums", "srvr", "srvr_from_sums"]


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
