"""The bad end of scores at many views: a low quantile, the worst regions, and a paired test that holds for both.

S shapes are seen from the same V views. Quantiles and worst regions are no means over shapes, so the intervals of
:mod:`lightning_semrob.functional.uncertainty` do not apply to them: :func:`swap_p_value` tests any statistic.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["low_quantile", "swap_p_value", "worst_regions"]


def low_quantile(scores: Tensor, share: float = 0.05) -> Tensor:
    """The smallest score that at least ``share`` of all views of all shapes do not exceed: (..., S, V) -> (...).

    Examples:
        >>> low_quantile(torch.arange(100.0).view(1, 10, 10)).tolist()
        [4.0]
    """
    flat = scores.flatten(-2)
    return flat.kthvalue(max(math.ceil(share * flat.shape[-1] - 1e-9), 1), -1).values


def worst_regions(scores: Tensor, classes: Tensor, regions: Tensor, share: float = 0.1) -> Tensor:
    """Mean score of the worst regions.

    The score of a class in a region is the mean over the shapes of the class and the views of the region. All pairs of
    class and region are sorted by it, and the mean of the worst ``share`` of them is returned.

    Args:
        scores: (..., S, V).
        classes: (S,) int64 class of each shape.
        regions: (V,) int64 region of each view; one without views counts nowhere.
        share: of the pairs, rounded up.

    Returns:
        (...), in the type of the scores.

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

    The sign-flip test where the statistic is no mean: all scores of a shape are swapped between the networks, at
    random, shape by shape, and the difference of the statistic is computed anew. The observed order is among those
    drawn, so the test is exact.

    Args:
        first, second: (R, S, V) scores of R trained networks each; a shape is swapped in all R at once.
        statistic: (R, S, V) -> (R,); its mean over R counts.
        resamples, seed: random swaps.

    Examples:
        >>> scores = torch.rand(1, 8, 20, generator=torch.Generator().manual_seed(0))
        >>> swap_p_value(scores, scores, low_quantile)
        1.0
    """
    generator = torch.Generator().manual_seed(seed)
    observed = abs(float((statistic(first) - statistic(second)).mean())) - 1e-9
    count = 0
    for _ in range(resamples):
        swapped = torch.rand(first.shape[-2], 1, generator=generator) < 0.5
        difference = statistic(torch.where(swapped, second, first)) - statistic(torch.where(swapped, first, second))
        count += abs(float(difference.mean())) >= observed
    return (1 + count) / (resamples + 1)
