"""Which process works on which row of the task table: pure functions of what is known about the rows.

Rows are ordered by shape, then by network; a (network, shape) group shares renderings and network calls. Slices are
contiguous, so that a mesh stays with one process if the shares are still even.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: States of a row: not started; started by its owner; its runs have ended but boxes are left to verify; ended.
OPEN, STARTED, GROWN, DONE = range(4)

#: The share of a row's cost that is left in each state.
_LEFT = (1.0, 0.5, 0.25, 0.0)

#: A cut between shapes, or else between groups, is preferred if it misses the even cut by at most this part of a share;
#: later cuts may miss by more, since what they leave can be shared again.
_TOLERANCE, _LATER_TOLERANCE = 0.125, 0.5


def _cut(before: Tensor, target: float, tolerance: float, *units: Tensor) -> int:
    """The row before which the cost of all earlier rows, ``before`` (N + 1,), is nearest to ``target``.

    If possible, the cut is within the tolerance and between two values of the first of ``units`` (N,), or else of the
    second, and so on.
    """
    distance = (before - target).abs()
    for unit in units:
        edge = torch.ones_like(before, dtype=torch.bool)
        edge[1:-1] = unit[1:] != unit[:-1]
        allowed = edge & (distance <= tolerance)
        if bool(allowed.any()):
            return int(torch.where(allowed, distance, torch.inf).argmin())
    return int(distance.argmin())


def share(cost: Tensor, shape: Tensor, group: Tensor, processes: int) -> Tensor:
    """Cut the rows (N,) into contiguous slices of about equal cost, one for each process; returns their owners, int64.

    Costs are positive, 0 for rows that have ended; rows are ordered by shape, then by (network, shape) group. If there
    are fewer rows than processes, some own none.
    """
    before = torch.cat([cost.new_zeros(1), cost.cumsum(0)])
    part = float(before[-1]) / processes
    cuts = [_cut(before, part * k, _TOLERANCE * part, shape, group) for k in range(1, processes)]
    rows = torch.arange(len(cost))
    return torch.stack([rows >= cut for cut in cuts]).sum(0) if cuts else torch.zeros_like(rows)


def loads(owners: Tensor, state: Tensor, cost: Tensor, processes: int) -> Tensor:
    """Cost of what each process still has to do, (processes,); a row that was started counts for a part of its cost."""
    left = cost * torch.tensor(_LEFT, dtype=cost.dtype)[state]
    return torch.zeros(processes, dtype=cost.dtype).index_add(0, owners, left)


def share_again(owners: Tensor, state: Tensor, cost: Tensor, shape: Tensor, group: Tensor, processes: int) -> Tensor:
    """Give each process that has nothing left about half of what the busiest can spare; returns the new owners (N,).

    Whole shapes are handed over if possible, else groups, else rows. ``state`` is ``OPEN``, ``STARTED``, ``GROWN`` or
    ``DONE`` of each row; rows that are ``STARTED`` or ``DONE`` keep their owners. ``cost`` is of a whole row.
    """
    owners = owners.clone()
    movable = (state == OPEN) | (state == GROWN)
    while True:
        left = loads(owners, state, cost, processes)
        idle = (left == 0).nonzero().flatten().tolist()
        busy = torch.zeros(processes, dtype=torch.bool).index_fill(0, owners[state == STARTED], True)
        # A process that has started no row keeps one.
        spare = torch.bincount(owners[movable], minlength=processes) - (~busy).long()
        if not idle or not bool((spare > 0).any()):
            return owners
        donor = int(torch.where(spare > 0, left, -1.0).argmax())
        # The owner is verifying the first of the grown rows, so the last ones are handed over.
        rows = (movable & (owners == donor)).nonzero().flatten()
        rows = rows[state[rows].argsort(descending=True, stable=True)]
        part = loads(torch.arange(len(rows)), state[rows], cost[rows], len(rows))
        before = torch.cat([cost.new_zeros(1), part.cumsum(0)])
        half, own = float(left[donor]) / 2, float(left[donor] - before[-1])
        cut = _cut(before, half - own, _LATER_TOLERANCE * half, shape[rows], group[rows])
        cut = min(max(cut, 0 if bool(busy[donor]) else 1), len(rows) - 1)
        owners[rows[cut:]] = idle[0]
