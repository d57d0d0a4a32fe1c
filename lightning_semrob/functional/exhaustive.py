"""The exact answer to Eq. 2 on a grid of cells: what every region finder is measured against.

A space of n <= 3 axes is cut into equal cells, N_1 x ... x N_n, and f is known by its mean and its mean square over
each cell. Boxes are snapped to the cell borders. Sums over boxes are differences of summed-area tables (Crow 1984),
so that every box around u0 is examined in constant time; periodic axes wrap, up to one period.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

# Boxes examined at once: small enough for the cache of one core, large enough to hide the cost of a call.
_CHUNK = 1 << 16


def summed_area(cells: Tensor, repeat: Sequence[int]) -> Tensor:
    """Cumulative sums over each axis with a leading zero, of the cells repeated ``repeat[k]`` times along axis k.

    (N_1, ..., N_n) -> (repeat_1 N_1 + 1, ..., repeat_n N_n + 1) float64; a periodic axis repeats 3 times, another once.
    """
    table = cells.double().repeat(*repeat)
    for axis in range(table.dim()):
        table = table.cumsum(axis)
        shape = list(table.shape)
        shape[axis] = 1
        table = torch.cat([table.new_zeros(shape), table], axis)
    return table


def _ends(cells: int, start: int, periodic: bool) -> tuple[Tensor, Tensor]:
    """Lower and upper borders that an interval around cell ``start`` can have; a periodic one in three periods."""
    if periodic:
        return start + torch.arange(1, cells + 1), start + cells + torch.arange(1, cells + 1)
    return torch.arange(start + 1), torch.arange(start + 1, cells + 1)


def _intervals(cells: int, start: int, periodic: bool) -> Tensor:
    """All pairs of borders around cell ``start``, at most ``cells`` apart, (count, 2)."""
    pairs = torch.cartesian_prod(*_ends(cells, start, periodic))
    return pairs[pairs[:, 1] - pairs[:, 0] <= cells]


def _strip(table: Tensor, intervals: list[Tensor]) -> Tensor:
    """Summed-area differences over all axes but the last: table and n - 1 of (count, 2) -> (count, N_n + 1)."""
    if not intervals:
        return table[None]
    if len(intervals) == 1:
        (i,) = intervals
        return table[i[:, 1]] - table[i[:, 0]]
    i, j = intervals
    upper = table[i[:, 1], j[:, 1]] - table[i[:, 1], j[:, 0]]
    return upper - table[i[:, 0], j[:, 1]] + table[i[:, 0], j[:, 0]]


def largest_box(
    mean: Tensor,
    square: Tensor,
    start: Sequence[int],
    periodic: Sequence[bool],
    eps_m: float,
    eps_v: float,
    larger_than: float = 0.0,
) -> tuple[Tensor, Tensor] | None:
    """The largest box of cells around a cell that satisfies Eq. 2: mean >= 1 - eps_m, variance <= eps_v.

    Args:
        mean, square: (N_1, ..., N_n) float64, n <= 3, mean of f and of f^2 over each cell.
        start: n indices of the cell that the box must hold.
        periodic: n flags.
        eps_m, eps_v: thresholds of Eq. 2.
        larger_than: only boxes of more cells than this are looked for, which is faster.

    Returns:
        first, last: (n,) int64 borders; the box holds the cells first .. last - 1, which may begin below 0 on a
        periodic axis or end above N_k, so that first <= start < last. None where no such box satisfies Eq. 2.

    Raises:
        ValueError: more than 3 axes, or a start outside the cells.
    """
    shape, n = mean.shape, mean.dim()
    if not 1 <= n <= 3:
        raise ValueError(f"an exhaustive search takes 1, 2 or 3 axes, got {n}")
    if not all(0 <= s < size for s, size in zip(start, shape, strict=True)):
        raise ValueError(f"the start {tuple(start)} lies outside the cells {tuple(shape)}")
    # The last axis is searched in full by broadcasting, so the longest one goes there.
    order = sorted(range(n), key=lambda k: shape[k])
    shape = torch.Size([shape[k] for k in order])
    start, periodic = [start[k] for k in order], [periodic[k] for k in order]
    repeat = [3 if p else 1 for p in periodic]
    first = summed_area(mean.permute(order) - (1 - eps_m), repeat)  # >= 0 over a box: the mean is reached
    second = summed_area(mean.permute(order), repeat)
    third = summed_area(square.permute(order), repeat)

    outer = [_intervals(shape[k], start[k], periodic[k]) for k in range(n - 1)]
    index = torch.cartesian_prod(*[torch.arange(len(x)) for x in outer]) if outer else torch.zeros(1, 0).long()
    index = index[:, None] if index.dim() == 1 else index
    faces = [outer[k][index[:, k]] for k in range(n - 1)]
    area = prod([f[:, 1] - f[:, 0] for f in faces], start=torch.ones(len(index), dtype=torch.int64))
    rank = torch.argsort(area, descending=True, stable=True)
    faces, area = [f[rank] for f in faces], area[rank]

    last = shape[-1]
    lower, upper = _ends(last, start[-1], periodic[-1])
    width = upper[None, :] - lower[:, None]
    # Narrower than 1 or wider than a period: no box, volume 0.
    width = torch.where(width <= last, width, torch.zeros_like(width)).double()

    best = larger_than
    found: tuple[list[Tensor], int, int] | None = None
    slack = 1e-9  # rounding of the sums: a constant f at the threshold is inside
    # Strips in which no interval at all can reach the mean are dropped before the pairs of ends are looked at.
    many = max(1, _CHUNK // len(upper))
    hopeful = [
        (strip[:, upper].amax(-1) - strip[:, lower].amin(-1) >= -slack).nonzero().flatten() + begin
        for begin in range(0, len(area), many)
        for strip in (_strip(first, [f[begin : begin + many] for f in faces]),)
    ]
    keep = torch.cat(hopeful)
    faces, area = [f[keep] for f in faces], area[keep]
    step = max(1, _CHUNK // width.numel())
    position = 0
    while position < len(area) and float(area[position]) * last > best:
        part = [f[position : position + step] for f in faces]
        cells = area[position : position + step].double()
        position += step
        strip = _strip(first, part)
        reached = strip[:, None, upper] - strip[:, lower, None] >= -slack
        reached &= width > best / cells[:, None, None]
        box, low, high = reached.nonzero(as_tuple=True)
        if not len(box):
            continue
        volume = cells[box] * width[low, high]
        low, high = lower[low], upper[high]
        sums, squares = _strip(second, part), _strip(third, part)
        average = (sums[box, high] - sums[box, low]) / volume
        spread = (squares[box, high] - squares[box, low]) / volume - average.square()
        volume = torch.where(spread <= eps_v + slack, volume, torch.zeros_like(volume))
        top = int(volume.argmax())
        if float(volume[top]) > best:
            best = float(volume[top])
            found = ([f[box[top]] for f in part], int(low[top]), int(high[top]))
    if found is None:
        return None
    pairs = [*found[0], torch.tensor([found[1], found[2]])]
    result = torch.zeros(n, 2, dtype=torch.int64)
    for k in range(n):
        result[order[k]] = pairs[k] - (shape[k] if periodic[k] else 0)
    return result[:, 0], result[:, 1]
