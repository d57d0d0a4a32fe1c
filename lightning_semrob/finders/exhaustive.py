"""The exact yardstick: the largest box around u0 that satisfies Eq. 2, by looking at every box of a grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_semrob.functional.exhaustive import largest_box
from lightning_semrob.functions import SemanticFunction
from lightning_semrob.space import Box, SemanticSpace

# Cells of the first periodic axis and of every other one: seconds a run, and 1.5 x 2 degrees in the default space.
_CELLS = {1: (720, 720), 2: (240, 50), 3: (36, 18)}
# Two Gauss-Legendre points a cell and axis, in units of the cell: exact for the mean and the mean square of a
# multilinear f whose knots are borders of cells.
_GAUSS = (0.5 - math.sqrt(1 / 12), 0.5 + math.sqrt(1 / 12))


def cell_moments(
    f: SemanticFunction, index: Tensor, space: SemanticSpace, cells: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Mean and mean square of f over the equal cells of the space, (K, N_1, ..., N_n), by 2^n Gauss points a cell."""
    n, shape = len(space), tuple(cells)
    mean = torch.zeros(len(index), *shape, dtype=torch.float64)
    square = torch.zeros_like(mean)
    for offset in itertools.product(_GAUSS, repeat=n):
        ticks = [(torch.arange(size).double() + o) / size for size, o in zip(shape, offset, strict=True)]
        x = torch.stack(torch.meshgrid(*ticks, indexing="ij"), -1).reshape(1, -1, n)
        value = f(space.from_unit(x).expand(len(index), -1, -1), index).reshape(mean.shape)
        mean += value / 2**n
        square += value.square() / 2**n
    return mean, square


def start_cells(u0: Tensor, space: SemanticSpace, cells: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The cell of each u0 (K, n): indices (K, n) int64, and the periods (K, n) by which u0 lies off the first one."""
    size = torch.tensor(list(cells))
    position = (space.to_unit(u0.double()) * size).floor().long()
    turns = torch.where(space.periodic, position.div(size, rounding_mode="floor"), torch.zeros_like(position))
    return torch.minimum(position - turns * size, size - 1), turns


class ExhaustiveFinder:
    """The largest box of grid cells around u0 with mean f >= 1 - eps_m and variance <= eps_v, for n <= 3 axes.

    f is replaced by its mean and mean square over equal cells; bounds lie on the borders of the cells (so a box may
    miss up to one cell on each side of the continuous optimum), the cell of u0 is always inside. Needs
    ``2^n N_1 ... N_n`` evaluations a run, so it is for recorded maps and formulas.

    Args:
        eps_m: the mean of f over the region must reach 1 - eps_m.
        eps_v: the variance of f over the region must not exceed it.
        cells: cells of each axis, or None: 720 for n = 1; 240 on the first periodic axis and 50 on others for n = 2;
            36 and 18 for n = 3.

    Examples:
        >>> from lightning_semrob.functions import AnalyticFunction
        >>> f = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 5))  # right within 60 degrees
        >>> box = ExhaustiveFinder(cells=(72, 10)).find(f, torch.tensor([[180.0, 40.0]]), SemanticSpace.default())
        >>> [round(x) for x in box.a[0].tolist()], [round(x) for x in box.b[0].tolist()]
        ([110, -10], [240, 90])
    """

    def __init__(self, eps_m: float = 0.3, eps_v: float = 0.05, cells: Sequence[int] | None = None) -> None:
        self.eps_m = eps_m
        self.eps_v = eps_v
        self.cells = None if cells is None else tuple(cells)

    def shape(self, space: SemanticSpace) -> tuple[int, ...]:
        """Cells of each axis of a space.

        Raises:
            ValueError: more than 3 axes, or a number of cells that does not match the axes.
        """
        n = len(space)
        if n not in _CELLS:
            raise ValueError(f"an exhaustive search takes at most 3 axes, got {n}: {space.names}")
        if self.cells is not None:
            if len(self.cells) != n or min(self.cells) < 1:
                raise ValueError(f"cells must be {n} positive numbers for the axes {space.names}, got {self.cells}")
            return self.cells
        first = space.periodic.tolist().index(True) if bool(space.periodic.any()) else -1
        return tuple(_CELLS[n][0] if k == first else _CELLS[n][1] for k in range(n))

    def find(self, f: SemanticFunction, u0: Tensor, space: SemanticSpace, index: Tensor | None = None) -> Box:
        """The exact boxes around u0 (K, n); rows without one are collapsed to u0 (status ``collapsed``).

        Raises:
            ValueError: u0 outside the space, or more than 3 axes.
        """
        u0 = u0.detach().double().cpu()
        space.validate(u0)
        index = torch.zeros(len(u0), dtype=torch.int64) if index is None else index
        shape = self.shape(space)
        start, turns = start_cells(u0, space, shape)
        size = torch.tensor(shape)
        a, b = u0.clone(), u0.clone()
        status = []
        moments: tuple[Tensor, Tensor] | None = None
        for row in range(len(u0)):
            if moments is None or index[row] != index[row - 1]:
                moments = cell_moments(f, index[row : row + 1], space, shape)
            if not bool(moments[0].isfinite().all()):
                status.append("invalid_score")
                continue
            found = largest_box(
                moments[0][0], moments[1][0], start[row].tolist(), space.periodic.tolist(), self.eps_m, self.eps_v
            )
            status.append("collapsed" if found is None else "converged")
            if found is not None:
                a[row] = torch.minimum(space.from_unit((found[0] + turns[row] * size) / size.double()), u0[row])
                b[row] = torch.maximum(space.from_unit((found[1] + turns[row] * size) / size.double()), u0[row])
        cost = torch.full((len(u0),), math.prod(shape) * 2 ** len(space), dtype=torch.int64)
        return Box(a, b, status, torch.ones_like(cost), cost, torch.zeros_like(cost))
