"""The tiles that a space is cut into."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lightning_semrob.space import SemanticSpace
from lightning_semrob.verification.region import AxisDensity, Density, box_mass


@dataclass(frozen=True)
class Tiles:
    """A space cut into equal tiles, T of them, numbered with the last axis fastest.

    Args:
        space: n axes.
        shape: number of tiles along each axis.
        density: for each axis its density in operation or None for uniform; None for a uniform space.

    Raises:
        ValueError: a shape or a density that does not match the axes.

    Examples:
        >>> tiles = Tiles(SemanticSpace.default(), (24, 8))
        >>> tiles.count, tiles.low[1].tolist(), tiles.high[1].tolist()
        (192, [0.0, 2.5], [15.0, 15.0])
    """

    space: SemanticSpace
    shape: tuple[int, ...]
    density: Density | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        names = self.space.names
        if len(self.shape) != len(self.space) or min(self.shape) < 1:
            raise ValueError(f"tiles must be {len(names)} positive numbers for the axes {names}, got {self.shape}")
        if self.density is not None and len(self.density) != len(self.space):
            raise ValueError(f"give one density (or None) for each of the axes {names}, got {len(self.density)}")

    @property
    def count(self) -> int:
        """T."""
        return math.prod(self.shape)

    @cached_property
    def cell(self) -> Tensor:
        """Position of each tile along each axis, (T, n) int64."""
        ticks = [torch.arange(size) for size in self.shape]
        return torch.stack(torch.meshgrid(*ticks, indexing="ij"), -1).reshape(-1, len(self.shape))

    @cached_property
    def low(self) -> Tensor:
        """Lower ends of the tiles, (T, n) float64 in the units of the axes."""
        return self.space.from_unit(self.cell.double() / torch.tensor(self.shape))

    @cached_property
    def high(self) -> Tensor:
        """Upper ends of the tiles, (T, n) float64."""
        return self.space.from_unit((self.cell + 1).double() / torch.tensor(self.shape))

    @cached_property
    def mass(self) -> Tensor:
        """Share of the space, or probability under the density, of each tile, (T,) float64."""
        if self.density is None:
            return torch.full((self.count,), 1 / self.count, dtype=torch.float64)
        return box_mass(self.low, self.high, self.space, self.density)

    @cached_property
    def neighbours(self) -> Tensor:
        """Tiles across the lower and the upper face of each axis, (T, n, 2) int64, -1 where the space ends."""
        number = torch.arange(self.count).view(self.shape)
        result = torch.empty(self.count, len(self.shape), 2, dtype=torch.int64)
        for k, axis in enumerate(self.space):
            for side, shift in enumerate((1, -1)):
                across = number.roll(shift, k)
                if not axis.periodic:
                    across.select(k, 0 if side == 0 else self.shape[k] - 1).fill_(-1)
                elif self.shape[k] == 1:
                    across.fill_(-1)
                result[:, k, side] = across.flatten()
        return result

    def points(self, tile: Tensor, x: Tensor) -> Tensor:
        """Points of tiles (P,) at x (P, n) in [0, 1)^n, uniform there if x is (under the density, if there is one)."""
        low, high = self.low[tile], self.high[tile]
        if self.density is None:
            return low + x * (high - low)
        columns = []
        for k, (axis, density) in enumerate(zip(self.space, self.density, strict=True)):
            weights = density or AxisDensity([1.0])
            ends = self.space.to_unit(low)[:, k], self.space.to_unit(high)[:, k]
            # A tile never crosses the seam of a periodic axis.
            first, last = (weights.cumulative(end, periodic=False) for end in ends)
            unit = weights.quantile(first + x[:, k] * (last - first), periodic=False)
            columns.append((axis.low + unit * axis.extent).clamp(low[:, k], high[:, k]))
        return torch.stack(columns, -1)
