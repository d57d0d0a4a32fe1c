"""The semantic space: named axes, boxes in it, and their volumes.

Values outside this module are in the units of the axes (degrees, multiples, [0, 1] colours); the unit
space ``x = (u - low) / (high - low)`` is used for steps and widths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """One semantic parameter with its range.

    Args:
        name: the renderer's name of the parameter, e.g. ``azimuth``.
        low: smallest value, in ``unit``.
        high: largest value, in ``unit``; ``high > low``.
        unit: unit of ``low`` and ``high``, for tables and plots.
        periodic: whether ``high`` is the same point as ``low``.
        differentiable: whether f has a gradient along this axis.

    Raises:
        ValueError: for a range that is empty, inverted or not finite.

    Examples:
        >>> Axis("distance", 2.0, 4.0, unit="unit").extent
        2.0
    """

    name: str
    low: float
    high: float
    unit: str = "degree"
    periodic: bool = False
    differentiable: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("an axis needs a name")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"axis '{self.name}' has the range [{self.low}, {self.high}]: give finite values with low < high"
            )

    @property
    def extent(self) -> float:
        """``high - low``, the period of a periodic axis."""
        return self.high - self.low


@dataclass(frozen=True)
class SemanticSpace:
    """An ordered set of axes: the space Omega of the paper.

    Args:
        axes: the axes that a run sweeps, n of them, with distinct names.

    Raises:
        ValueError: for no axes or a repeated name.

    Examples:
        >>> space = SemanticSpace.default()
        >>> space.names, space.volume
        (('azimuth', 'elevation'), 36000.0)
        >>> space.intersected_volume(torch.tensor([-30.0, 50.0]), torch.tensor([30.0, 120.0])).item()  # 60 x 40
        2400.0
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        if not self.axes:
            raise ValueError("a semantic space needs at least one axis")
        names = [axis.name for axis in self.axes]
        if len(set(names)) != len(names):
            raise ValueError(f"axis names must be distinct, got {names}")

    @staticmethod
    def default() -> SemanticSpace:
        """The space of the paper (section 4.2): azimuth [0, 360) periodic, elevation [-10, 90], degrees."""
        return SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True), Axis("elevation", -10.0, 90.0)))

    def __len__(self) -> int:
        return len(self.axes)

    def __iter__(self) -> Iterator[Axis]:
        return iter(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Axis names, in order."""
        return tuple(axis.name for axis in self.axes)

    @property
    def low(self) -> Tensor:
        """Lower ends, (n,) float64."""
        return torch.tensor([axis.low for axis in self.axes], dtype=torch.float64)

    @property
    def high(self) -> Tensor:
        """Upper ends, (n,) float64."""
        return torch.tensor([axis.high for axis in self.axes], dtype=torch.float64)

    @property
    def extent(self) -> Tensor:
        """``high - low``, (n,) float64."""
        return self.high - self.low

    @property
    def periodic(self) -> Tensor:
        """Which axes are periodic, (n,) bool."""
        return torch.tensor([axis.periodic for axis in self.axes])

    @property
    def volume(self) -> float:
        """Volume of the space, the product of the extents."""
        return float(self.extent.prod())

    def to_unit(self, u: Tensor) -> Tensor:
        """``(u - low) / extent`` for u (..., n)."""
        return (u - self.low.to(u)) / self.extent.to(u)

    def from_unit(self, x: Tensor) -> Tensor:
        """``low + x * extent`` for x (..., n)."""
        return self.low.to(x) + x * self.extent.to(x)

    def contains(self, u: Tensor) -> Tensor:
        """Whether points u (..., n) lie in the space, (...) bool; any finite value of a periodic axis does."""
        inside = (u >= self.low.to(u)) & (u <= self.high.to(u)) | self.periodic.to(u.device)
        return (inside & u.isfinite()).all(-1)

    def validate(self, u0: Tensor) -> None:
        """Raise ValueError if u0 is not (K, n), not finite, or lies outside the space."""
        if u0.dim() != 2 or u0.shape[1] != len(self):
            raise ValueError(f"u0 must be (K, {len(self)}) for the axes {self.names}, got {tuple(u0.shape)}")
        outside = (~self.contains(u0)).nonzero().flatten().tolist()
        if outside:
            raise ValueError(
                f"initial point {u0[outside[0]].tolist()} (row {outside[0]}) lies outside the space "
                + ", ".join(f"{axis.name} [{axis.low:g}, {axis.high:g}]" for axis in self.axes)
            )

    def sobol(self, count: int, seed: int) -> Tensor:
        """``count`` scrambled Sobol points of the space, (count, n) float64, fixed by ``seed``."""
        engine = torch.quasirandom.SobolEngine(len(self), scramble=True, seed=seed)
        return self.from_unit(engine.draw(count, dtype=torch.float64))

    def uniform(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` independent uniform points of the space, (count, n) float64."""
        return self.from_unit(torch.rand(count, len(self), generator=generator, dtype=torch.float64))

    def project(self, a: Tensor, b: Tensor, u0: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest allowed bounds (..., n): u0 kept inside, other axes clipped, the width of periodic ones capped.

        A periodic axis is unwrapped: ``a <= u0 <= b`` and ``b - a <= period``, where a may lie below low and b above
        high; a width above the period is cut in proportion to both sides of u0.
        """
        low, high, extent = self.low.to(a), self.high.to(a), self.extent.to(a)
        periodic = self.periodic.to(a.device)
        below, above = (u0 - a).clamp_min(0), (b - u0).clamp_min(0)
        width = below + above
        shrink = torch.where(periodic & (width > extent), extent / width.clamp_min(1e-300), torch.ones_like(width))
        a, b = u0 - below * shrink, u0 + above * shrink
        a = torch.where(periodic, a, torch.minimum(torch.maximum(a, low), u0))
        b = torch.where(periodic, b, torch.maximum(torch.minimum(b, high), u0))
        return a, b

    def intersected_volume(self, a: Tensor, b: Tensor) -> Tensor:
        """Volume of each box inside the space, (...) float64 (docs/conventions.md).

        Product over axes of ``min(r, period)`` on periodic axes and of the overlap with ``[low, high]`` on the
        others; an inverted axis, or a NaN bound, gives 0. Infinite bounds are allowed.
        """
        a, b = a.double(), b.double()
        low, high = self.low.to(a), self.high.to(a)
        overlap = (torch.minimum(b, high) - torch.maximum(a, low)).clamp_min(0)
        width = torch.minimum((b - a).clamp_min(0), self.extent.to(a))
        sides = torch.where(self.periodic.to(a.device), width, overlap)
        return sides.nan_to_num(nan=0.0).prod(-1)

    def raw_volume(self, a: Tensor, b: Tensor) -> Tensor:
        """The published volume: ``min(|prod(b - a)|, Vol(Omega))``, non-finite counted as the whole, (...) float64."""
        volume = (b.double() - a.double()).prod(-1).abs()
        return volume.nan_to_num(nan=math.inf).clamp_max(self.volume)

    def as_dict(self) -> list[dict[str, str | float | bool]]:
        """The axes as plain data, for results and NetCDF attributes."""
        return [
            {"name": x.name, "low": x.low, "high": x.high, "unit": x.unit, "periodic": x.periodic} for x in self.axes
        ]


@dataclass
class Box:
    """K axis-aligned regions and how they were found.

    Args:
        a, b: bounds, (K, n) float64 in the units of the axes. On a periodic axis they are unwrapped.
        status: K words: ``converged``, ``edge`` (reached the edge of the space), ``collapsed``,
            ``iteration_limit``, ``invalid_score``, ``not_measured``; of a verified finder also ``verified``.
        steps: (K,) int64, updates made.
        evaluations: (K,) int64, forward evaluations of f.
        gradient_evaluations: (K,) int64, backward evaluations of f.

    Examples:
        >>> box = Box(torch.tensor([[-30.0, 0.0]]), torch.tensor([[30.0, 40.0]]), ["converged"])
        >>> box.center.tolist(), box.contains(torch.tensor([[10.0, 50.0]])).tolist()
        ([[0.0, 20.0]], [False])
    """

    a: Tensor
    b: Tensor
    status: Sequence[str] = field(default_factory=list)
    steps: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    evaluations: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    gradient_evaluations: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def __len__(self) -> int:
        return self.a.shape[0]

    @property
    def width(self) -> Tensor:
        """``b - a``, (K, n)."""
        return self.b - self.a

    @property
    def center(self) -> Tensor:
        """``(a + b) / 2``, (K, n)."""
        return (self.a + self.b) / 2

    def contains(self, u: Tensor) -> Tensor:
        """Whether points u (K, n) or (K, P, n) lie in their box (unwrapped bounds), (K,) or (K, P) bool."""
        a, b = (self.a, self.b) if u.dim() == self.a.dim() else (self.a[:, None], self.b[:, None])
        return ((u >= a) & (u <= b)).all(-1)
