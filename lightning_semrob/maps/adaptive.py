"""Measuring a map where it changes, and interpolating the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.functional.refinement import (
    cell_corners,
    cell_ranges,
    coarse_cells,
    hidden_samples,
    interpolate_cells,
    split_cells,
)


@dataclass(frozen=True)
class AdaptiveMap:
    """N functions on one grid, measured where they change and interpolated elsewhere.

    Args:
        values: (N, P) over the P samples of the grid.
        measured: (P,) bool.
        error: (N,) mean absolute error over the grid, estimated from samples that were held out.
    """

    values: Tensor
    measured: Tensor
    error: Tensor


#: Sides of the first cells, in samples. Changes smaller than a cell can be missed.
_STRIDE = 4
#: A cell whose corners differ by less is not split.
_FLAT = 0.01


def adaptive_map(
    evaluate: Callable[[Tensor], Tensor],
    shape: Sequence[int],
    periodic: Sequence[bool],
    share: float,
    seed: int = 0,
    batch: int = 16,
) -> AdaptiveMap:
    """Split the cells in which most of the change is hidden, until a share of the grid is measured.

    A coarse grid comes first (every 4th sample of an axis); then the cells with the largest product of range (over
    the corners, averaged over functions) and number of unmeasured samples are halved. It ends early where no cell has
    a range above 0.01. At last up to 64 random samples, by ``seed``, are measured and compared with their
    interpolation.

    Args:
        evaluate: flat indices of samples (M,) -> values (N, M).
        shape, periodic: (d_1, ..., d_n), and which axes are.
        share: largest share of the samples that is measured, in (0, 1].
        batch: samples that are asked for together, if there are so many.

    Raises:
        ValueError: a share that does not allow the coarse grid and the check.
    """
    total = math.prod(shape)
    cells = coarse_cells(shape, periodic, _STRIDE)
    first = cell_corners(cells, shape).unique()
    budget = math.floor(share * total)
    checks = min(64, max(1, budget // 10), total - len(first))
    if not share <= 1 or budget < len(first) + checks:
        smallest = math.ceil(100 * (len(first) + checks + 1) / total) / 100
        raise ValueError(f"a share of {share} of {total} samples is out of range: give {smallest:g} to 1")
    values = torch.zeros(0, total, dtype=torch.float64)
    measured = torch.zeros(total, dtype=torch.bool)

    def measure(index: Tensor) -> None:
        nonlocal values
        found = evaluate(index).double()
        if not len(values):
            values = found.new_full((len(found), total), torch.nan)
        values[:, index] = found
        measured[index] = True

    measure(first)
    while (left := budget - checks - int(measured.sum())) > 0:
        corners = values[:, cell_corners(cells, shape)]
        ranges, hidden = cell_ranges(corners).nan_to_num(), hidden_samples(cells)
        gain = torch.where((ranges > _FLAT) & (hidden > 0), ranges * hidden, 0.0)
        order = gain.argsort(descending=True, stable=True)[: int((gain > 0).sum())]
        if not len(order):
            break
        # As many of the best cells as fill a batch, or what is left.
        order = order[: 8 * batch]
        parts = split_cells(cells[order], corners[:, order])
        new = cell_corners(parts, shape).view(2, len(order), -1).transpose(0, 1).flatten(1)
        asked: dict[int, None] = {}
        chosen = 0
        for row in new.tolist():
            fresh = [i for i in dict.fromkeys(row) if not measured[i] and i not in asked]
            if len(asked) + len(fresh) > left:
                break
            asked |= dict.fromkeys(fresh)
            chosen += 1
            if len(asked) >= batch:
                break
        if not chosen:
            break
        if asked:
            measure(torch.tensor(list(asked)))
        keep = torch.ones(len(cells), dtype=torch.bool)
        keep[order[:chosen]] = False
        cells = torch.cat([cells[keep], parts.view(2, len(order), *cells.shape[1:])[:, :chosen].flatten(0, 1)])
    estimate = interpolate_cells(cells, values, shape)
    unmeasured = (~measured).nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    held_out = unmeasured[torch.randperm(len(unmeasured), generator=generator)[:checks]]
    error = torch.zeros(len(values), dtype=torch.float64)
    if len(held_out):
        measure(held_out)
        error = (estimate - values)[:, held_out].abs().mean(1) * (len(unmeasured) - len(held_out)) / total
    return AdaptiveMap(torch.where(measured, values, estimate), measured, error)
