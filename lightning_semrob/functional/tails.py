"""The bad end of scores at many views: a low quantile, the worst regions, and a paired test that holds for both.

S shapes are seen from the same V views. Quantiles and worst regions are no means over shapes, so the intervals of
:mod:`lightning_semrob.functional.uncertainty` do not apply to them: :func:`swap_p_value` tests any statistic.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def low_quantile(scores: Tensor, share: float = 0.05) -> Tensor:
    """The smallest score that at least ``share`` of all views of all shapes do not exceed: (..., S, V) -> (...)."""
    flat = scores.flatten(-2)
    return flat.kthvalue(max(math.ceil(share * flat.shape[-1] - 1e-9), 1), -1).values


def worst_regions(scores: Tensor, classes: Tensor, regions: Tensor, share: float = 0.1) -> Tensor:
    """Mean score of the worst ``share`` of all pairs of class and region: (..., S, V) -> (...).

    The score of a pair is the mean over the shapes of the class, ``classes`` (S,) int64, and the views of the region,
    ``regions`` (V,) int64. A region without views counts nowhere; the number of pairs is rounded up.

    Examples:
        >>> scores = torch.tensor([[0.2, 0.4, 1.0], [1.0, 1.0, 1.0]])
        >>> round(float(worst_regions(scores, torch.tensor([0, 1]), torch.tensor([0, 0, 1]))), 3)
        0.3
    """
    by_class, by_region = (
        (groups.unique()[:, None] == groups).to(scores) / groups.unique(return_counts=True)[1][:, None].to(scores)
        for groups in (classes, regions)
    )
    cells = (by_class @ (scores @ by_region.T)).flatten(-2)
    worst: Tensor = cells.topk(math.ceil(share * cells.shape[-1] - 1e-9), -1, largest=False).values
    return worst.mean(-1)


def swap_p_value(
    first: Tensor, second: Tensor, statistic: Callable[[Tensor], Tensor], resamples: int = 2000, seed: int = 0
) -> float:
    """Two-sided p-value of "the two networks are exchangeable on each shape", for any statistic.

    The sign-flip test where the statistic is no mean: all scores of a shape are swapped between the networks at random,
    shape by shape. The observed order is among those drawn, so the test is exact.

    Args:
        first, second: (R, S, V) scores of R trained networks each; a shape is swapped in all R at once.
        statistic: (R, S, V) -> (R,); its mean over R counts.
        resamples, seed: random swaps.
    """
    generator = torch.Generator().manual_seed(seed)
    observed = abs(float((statistic(first) - statistic(second)).mean())) - 1e-9
    count = 0
    for _ in range(resamples):
        swapped = torch.rand(first.shape[-2], 1, generator=generator) < 0.5
        difference = statistic(torch.where(swapped, second, first)) - statistic(torch.where(swapped, first, second))
        count += abs(float(difference.mean())) >= observed
    return (1 + count) / (resamples + 1)
