"""Trusted and failing shares of networks over shapes: means by class, intervals, pairs.

N networks, S shapes, C classes. A share is what a trust map calls trusted (or failing) of the space of one shape: at
most alpha of the calls are wrong in expectation (:mod:`lightning_semrob.functional.calls`). The intervals are about the
mean over the classes of the share of a new shape, by :func:`lightning_semrob.functional.uncertainty.
mean_interval_over_shapes`; what is undecided counts neither as trusted nor as failing, so that the trusted share is
bounded from above by 1 minus the failing one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from lightning_semrob.functional.uncertainty import (
    Difference,
    ShapeInterval,
    call_differences,
    mean_interval_over_shapes,
    paired_difference,
)


def share_by_class(share: Tensor, classes: Tensor, count: int) -> Tensor:
    """Mean share of each network over the shapes of each class, (N, C) float64; NaN for a class that was not measured.

    Shares are (N, S) in [0, 1], NaN where a shape was not measured; classes are (S,) int64, ``count`` of them.
    """
    share = share.double()
    return torch.stack([share[:, classes == c].nanmean(1) for c in range(count)], 1)


def share_intervals(share: Tensor, classes: Tensor, confidence: float = 0.95) -> list[ShapeInterval]:
    """The mean over classes of each network with its interval over shapes; shares (N, S) as above."""
    return [mean_interval_over_shapes(row.double(), classes, confidence) for row in share]


def compare_shares(share: Tensor, classes: Tensor, confidence: float = 0.95) -> list[tuple[int, int, Difference]]:
    """Every pair of networks on the shapes that both were measured on; verdicts after Holm's correction over the pairs.

    With probability ``confidence`` no verdict is wrong; each interval has it too. Shares (N, S), classes (S,) int64.
    """
    pairs: Sequence[tuple[int, int]] = list(combinations(range(len(share)), 2))
    found = [
        paired_difference(share[first], share[second], classes, confidence, pairs=len(pairs)) for first, second in pairs
    ]
    return [(*pair, difference) for pair, difference in zip(pairs, call_differences(found, confidence), strict=True)]
