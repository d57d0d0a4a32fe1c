"""Where a verified region comes from: candidates for the largest box that satisfies Eq. 2, out of samples of f.

Two ways behind one interface, :class:`Growth`, for one run each. ``propose`` gives the points to be evaluated next
(none when the budget is spent), ``update`` takes their scores, ``candidate`` gives the best box for given thresholds.
:class:`SurrogateGrowth` (n <= 2; possible for 3) interpolates its samples on lattices that zoom in on the box, and
searches the interpolant exactly. :class:`~lightning_semrob.finders.verified.faces.FaceGrowth` takes any n.

Inside, positions are relative to u0 and in units of the axes' extents: x = (u - u0) / extent.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.functional.exhaustive import largest_box
from lightning_semrob.space import SemanticSpace


@dataclass
class Candidate:
    """A box and what is believed about f in it.

    Args:
        a, b: (n,) float64 bounds, units of the axes.
        surrogate: (N_1, ..., N_n) approximate values of f in the equal cells of the box; one cell of 0 for none.
        mean, variance: of f over the box, as the growth believes.
    """

    a: Tensor
    b: Tensor
    surrogate: Tensor
    mean: float
    variance: float


class Growth(ABC):
    """One run: a box around u0 (n,) in a space, from samples.

    ``predicts`` says whether its candidates carry a surrogate of f.
    """

    predicts: bool

    def __init__(self, u0: Tensor, space: SemanticSpace, eps_m: float, eps_v: float, budget: int) -> None:
        self.u0 = u0.double()
        self.space = space
        self.eps_m = eps_m
        self.eps_v = eps_v
        self.budget = budget
        self.evaluations = 0
        self.low = torch.where(space.periodic, torch.full_like(self.u0, -0.5), (space.low - u0) / space.extent)
        self.high = torch.where(space.periodic, torch.full_like(self.u0, 0.5), (space.high - u0) / space.extent)

    @abstractmethod
    def propose(self) -> Tensor:
        """The next points to evaluate, (P, n) in units of the axes; P = 0 when the growth is over."""

    @abstractmethod
    def update(self, scores: Tensor) -> None:
        """Take the scores (P,) of the points proposed last."""

    @abstractmethod
    def candidate(self, eps_m: float, eps_v: float) -> Candidate | None:
        """The largest box believed to satisfy Eq. 2 with these thresholds, None where there is none."""

    def _physical(self, x: Tensor) -> Tensor:
        return self.u0 + x * self.space.extent


# Independent node values of variance s^2 have second differences of mean square 1.5 s^2, and their bilinear
# interpolant keeps (2/3)^2 s^2: what is lost is 0.37 of the former. In boxes that were chosen for their small variance
# 0.4 to 0.7 was measured on network maps.
_LOST = 0.6


# For n axes: nodes of the first lattice on periodic and on other axes; cells a side of all searches but the last, and
# of the last.
_FIRST = {1: (64, 48), 2: (24, 12), 3: (12, 6)}
_SEARCH = {1: 256, 2: 64, 3: 20}
_FINAL = {1: 512, 2: 96, 3: 24}


@dataclass
class _Lattice:
    """Samples at the middles of the equal cells of a window [low, low + width), (N_1, ..., N_n) values."""

    low: Tensor
    width: Tensor
    shape: tuple[int, ...]
    periodic: Tensor
    values: Tensor

    def spread(self) -> Tensor:
        """The variance within a cell that interpolation hides, at each node, estimated from second differences."""
        total = torch.zeros_like(self.values)
        for axis, (size, wraps) in enumerate(
            zip(self.shape, (self.periodic & (self.width >= 1)).tolist(), strict=True)
        ):
            index = torch.arange(size)
            if wraps:
                before, after = (index - 1) % size, (index + 1) % size
            else:
                middle = index.clamp(1, max(1, size - 2))
                before, after = (middle - 1).clamp_min(0), (middle + 1).clamp_max(size - 1)
                index = middle.clamp_max(size - 1)
            v = self.values
            bend = v.index_select(axis, index) - (v.index_select(axis, before) + v.index_select(axis, after)) / 2
            total += bend.square()
        return _LOST * total / len(self.shape)

    def nodes(self) -> Tensor:
        ticks = [(torch.arange(size).double() + 0.5) / size for size in self.shape]
        grid = torch.stack(torch.meshgrid(*ticks, indexing="ij"), -1).reshape(-1, len(self.shape))
        return self.low + grid * self.width

    def interpolate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Multilinear interpolation at x (P, n), the edge value beyond the outer nodes; and which x lie inside."""
        y = x - self.low
        y = torch.where(self.periodic, y - y.floor(), y)
        inside = ((y >= 0) & (y <= self.width)).all(-1)
        size = torch.tensor(self.shape)
        wraps = self.periodic & (self.width >= 1)
        position = y / self.width * size - 0.5
        position = torch.where(wraps, position, torch.minimum(position.clamp_min(0), (size - 1).double()))
        lower = position.floor()
        weight = position - lower
        first = torch.where(wraps, lower.remainder(size), lower).long()
        second = torch.where(wraps, (first + 1) % size, torch.minimum(first + 1, size - 1))
        strides = torch.tensor(self.values.stride())
        flat = torch.stack([self.values.reshape(-1), self.spread().reshape(-1)], -1)
        total = torch.zeros(len(x), 2, dtype=torch.float64)
        for corner in range(2 ** len(self.shape)):
            bit = torch.tensor([corner >> k & 1 for k in range(len(self.shape))], dtype=torch.bool)
            part = torch.where(bit, weight, 1 - weight).prod(-1)
            total += part[:, None] * flat[(torch.where(bit, second, first) * strides).sum(-1)]
        return total, inside


class SurrogateGrowth(Growth):
    """Zooming lattices and exact search: for n <= 3, at its best for n <= 2.

    A coarse lattice over the whole space, then two finer ones over a window around the best box of the interpolant
    so far (around u0, where there is none). A window that has no box ends the growth.
    """

    predicts = True
    _ZOOMS = 2

    def __init__(self, u0: Tensor, space: SemanticSpace, eps_m: float, eps_v: float, budget: int) -> None:
        super().__init__(u0, space, eps_m, eps_v, budget)
        n = len(space)
        if n > 3:
            raise ValueError(f"SurrogateGrowth takes at most 3 axes, got {n}")
        wide, narrow = _FIRST[n]
        shape = tuple(wide if p else narrow for p in space.periodic.tolist())
        scale = min(1.0, (0.3 * budget / math.prod(shape)) ** (1 / n))
        shape = tuple(max(2, round(size * scale)) for size in shape)
        half = 0.5 / torch.tensor(shape).double()
        low = torch.where(space.periodic, self.low - half, self.low)
        self._lattices: list[_Lattice] = []
        self._pending: _Lattice | None = self._lattice((low, self.high - self.low), shape)

    def _lattice(self, window: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> _Lattice:
        return _Lattice(*window, shape, self.space.periodic, torch.zeros(0))

    def propose(self) -> Tensor:
        return self.u0.new_zeros(0, len(self.u0)) if self._pending is None else self._physical(self._pending.nodes())

    def update(self, scores: Tensor) -> None:
        assert self._pending is not None
        n = len(self.u0)
        lattice = self._pending
        lattice.values = scores.double().reshape(lattice.shape)
        self._lattices.append(lattice)
        self.evaluations += scores.numel()
        self._pending = None
        zooms = len(self._lattices) - 1
        if zooms == self._ZOOMS:
            return
        spacing = self._lattices[-1].width / torch.tensor(self._lattices[-1].shape)
        box = self._best(self.eps_m, self.eps_v, _SEARCH[n])
        if box is None:
            box = self._best(self.eps_m + 0.04, 1.25 * self.eps_v, _SEARCH[n])
        if box is None:
            if zooms > 0:
                return
            first, last = -1.5 * spacing, 1.5 * spacing
        else:
            spacing = torch.minimum(spacing * 2, self._lattices[0].width / torch.tensor(self._lattices[0].shape))
            margin = spacing + 0.1 * (box[1] - box[0])
            first, last = box[0] - margin, box[1] + margin
        size = int(((self.budget - self.evaluations) / (self._ZOOMS - zooms)) ** (1 / n) + 1e-9)
        self._pending = self._lattice(self._clip(first, last), (size,) * n) if size >= 2 else None

    def _best(self, eps_m: float, eps_v: float, cells: int) -> tuple[Tensor, Tensor] | None:
        """The largest box: of the whole space, coarsely; of the last window; and of the one around the larger."""
        first = self._lattices[0]
        whole = (first.low, first.width)
        best = self._search(whole, eps_m, eps_v, _SEARCH[len(self.u0)], None)
        if len(self._lattices) > 1:
            last = self._lattices[-1]
            best = self._search((last.low, last.width), eps_m, eps_v, cells, best)
        if best is None:
            return None
        margin = 0.15 * (best[1] - best[0])
        window = self._clip(best[0] - margin, best[1] + margin)
        best = self._search(window, eps_m, eps_v, cells, best)
        if best is not None:  # found on coarser cells: does it hold on fine ones?
            value, spread = self._inside(best).unbind(-1)
            if value.mean() < 1 - eps_m - 2e-3 or value.var(correction=0) + spread.mean() > 1.05 * eps_v:
                best = self._search(window, eps_m, eps_v, cells, None)
        return best

    def _inside(self, box: tuple[Tensor, Tensor]) -> Tensor:
        """The interpolant and its lost square in the equal cells of a box."""
        shape = (_SEARCH[len(self.u0)],) * len(self.u0)
        cells = _Lattice(box[0], box[1] - box[0], shape, self.space.periodic, torch.zeros(0))
        return self._surrogate(cells.nodes())

    @staticmethod
    def _volume(box: tuple[Tensor, Tensor]) -> float:
        return float((box[1] - box[0]).prod())

    def _clip(self, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        periodic = self.space.periodic
        first = torch.where(periodic, first, torch.maximum(first, self.low))
        last = torch.where(periodic, last, torch.minimum(last, self.high))
        full = periodic & (last - first > 0.95)
        return torch.where(full, torch.full_like(first, -0.5), first), torch.where(
            full, torch.ones_like(first), last - first
        )

    def _surrogate(self, x: Tensor) -> Tensor:
        value = self._lattices[0].interpolate(x)[0]
        for lattice in self._lattices[1:]:
            finer, inside = lattice.interpolate(x)
            value = torch.where(inside[:, None], finer, value)
        return value

    def _search(
        self, window: tuple[Tensor, Tensor], eps_m: float, eps_v: float, cells: int, best: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor] | None:
        """The largest box of equal cells of a window, or ``best`` where that is at least as large."""
        low, width = window
        full = self.space.periodic & (width >= 1)
        shape = (cells,) * len(low)
        grid = _Lattice(low, width, shape, self.space.periodic, torch.zeros(0))
        value, spread = (x.reshape(shape) for x in self._surrogate(grid.nodes()).unbind(-1))
        step = width / cells
        size = 0.0 if best is None else self._volume(best) / float(step.prod())
        start = ((-low) / step).floor().long().clamp(0, cells - 1)
        found = largest_box(
            value, value.square() + spread, start.tolist(), full.tolist(), eps_m, eps_v, larger_than=size
        )
        if found is None:
            return best
        return (low + found[0] * step).clamp_max(0), (low + found[1] * step).clamp_min(0)

    def candidate(self, eps_m: float, eps_v: float) -> Candidate | None:
        n = len(self.u0)
        box = self._best(eps_m, eps_v, _FINAL[n])
        if box is None:
            return None
        surrogate, spread = self._inside(box).unbind(-1)
        variance = float(surrogate.var(correction=0) + spread.mean())
        a, b = self._physical(box[0]), self._physical(box[1])
        return Candidate(a, b, surrogate.reshape((_SEARCH[n],) * n), float(surrogate.mean()), variance)
