"""Cells of an even grid that are split where a function changes, and multilinear interpolation in them.

Shape letters: C cells, n axes, 2**n corners in the order of :func:`corner_mask`, N functions. A cell is (n, 2) whole
numbers, its first and last sample on every axis; on a periodic axis of d samples, sample d is sample 0 again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_semrob.functional.regions import corner_mask


def coarse_cells(shape: Sequence[int], periodic: Sequence[bool], stride: int) -> Tensor:
    """Cells (C, n, 2) with sides of ``stride`` samples (the last of an axis shorter) that cover a grid.

    Args:
        shape: samples (d_1, ..., d_n).
        periodic: which axes are.
        stride: at least 1.
    """
    sides = []
    for count, closed in zip(shape, periodic, strict=True):
        last = count if closed else count - 1
        knots = [*range(0, last, stride), last]
        sides.append(list(itertools.pairwise(knots)))
    return torch.tensor(list(itertools.product(*sides)), dtype=torch.int64).view(-1, len(shape), 2)


def _flat(samples: Tensor, shape: Sequence[int]) -> Tensor:
    """Flat index of samples (..., n), those beyond the end wrapped."""
    index = torch.zeros(samples.shape[:-1], dtype=torch.int64)
    for k, count in enumerate(shape):
        index = index * count + samples[..., k] % count
    return index


def cell_corners(cells: Tensor, shape: Sequence[int]) -> Tensor:
    """Flat grid index of the corners of cells (C, n, 2), (C, 2**n)."""
    mask = corner_mask(len(shape)).to(torch.int64)
    low, high = cells[:, None, :, 0], cells[:, None, :, 1]
    return _flat(low + mask * (high - low), shape)


def cell_ranges(corners: Tensor) -> Tensor:
    """Largest minus smallest corner value, averaged over functions: (N, C, 2**n) -> (C,)."""
    return (corners.amax(-1) - corners.amin(-1)).mean(0)


def hidden_samples(cells: Tensor) -> Tensor:
    """Samples of each cell that are not corners, (C,) int64."""
    sides = cells[..., 1] - cells[..., 0] + 1
    hidden: Tensor = sides.prod(-1) - 2 ** cells.shape[1]
    return hidden


def split_cells(cells: Tensor, corners: Tensor) -> Tensor:
    """Halve cells (C, n, 2) across their longest side, or, of equal sides, the one along which their values (N, C,
    2**n) at the corners differ most: (2C, n, 2). One side must be longer than 1.
    """
    n = cells.shape[1]
    mask = corner_mask(n).bool()
    change = torch.stack(
        [(corners[..., mask[:, k]] - corners[..., ~mask[:, k]]).abs().mean((0, 2)) for k in range(n)], -1
    )
    side = cells[..., 1] - cells[..., 0]
    longest = side == side.amax(-1, keepdim=True)
    axis = torch.where(longest, change.nan_to_num(), -1.0).argmax(-1)
    rows = torch.arange(len(cells))
    middle = cells[rows, axis].sum(-1) // 2
    first, second = cells.clone(), cells.clone()
    first[rows, axis, 1] = middle
    second[rows, axis, 0] = middle
    return torch.cat([first, second])


def interpolate_cells(cells: Tensor, values: Tensor, shape: Sequence[int]) -> Tensor:
    """Multilinear interpolation of all samples from the corners of the cells that cover the grid: (N, d_1 * ... * d_n).

    A sample on the border of several cells takes the mean of their values.

    Args:
        cells: (C, n, 2).
        values: (N, d_1 * ... * d_n), known at all corners.
        shape: (d_1, ..., d_n).
    """
    n = len(shape)
    total, count = torch.zeros_like(values), torch.zeros(math.prod(shape), dtype=values.dtype)
    mask = corner_mask(n).to(values)
    corners = values[:, cell_corners(cells, shape)]
    sides = cells[..., 1] - cells[..., 0]
    for side in sides.unique(dim=0):
        chosen = (sides == side).all(-1)
        offsets = torch.cartesian_prod(*(torch.arange(int(s) + 1) for s in side)).view(-1, n)
        part = offsets.to(values) / side.to(values)
        weight = (mask * part[:, None] + (1 - mask) * (1 - part[:, None])).prod(-1)  # samples, corners
        index = _flat(cells[chosen][:, None, :, 0] + offsets, shape).flatten()
        total.index_add_(1, index, (corners[:, chosen] @ weight.T).flatten(1))
        count.index_add_(0, index, torch.ones(len(index), dtype=values.dtype))
    return total / count
