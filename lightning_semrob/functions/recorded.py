"""f as an interpolated map."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from lightning_semrob.functions.base import SemanticFunction
from lightning_semrob.space import Axis, SemanticSpace


class RecordedFunction(SemanticFunction):
    """Recorded maps, interpolated multilinearly; one map for each index.

    Without ``axes`` the maps are the paper's: ``maps[k, elevation, azimuth]`` with azimuth ``360 i / width`` and
    elevation evenly from -10 to 89 degrees, and u = (azimuth, elevation). With ``axes`` dimension d of a map is
    axis d, sampled evenly: without its end point on periodic axes, with both end points on the others; u has the
    columns of ``axes`` and finders match them by name to their space.

    Beyond the data: periodic axes wrap; with an ``azimuth`` and an ``elevation`` the camera passes the pole,
    ``f(azimuth, elevation) = f(azimuth + 180, 180 - elevation)`` above 90 degrees, and between the last row and 90
    it keeps the last row. Elsewhere ``outside`` decides.

    Args:
        maps: (K, d_1, ..., d_n) scores in [0, 1].
        axes: the axes in map-dimension order.
        outside: ``damp`` (edge value times ``exp(-distance / (0.15 extent))``: 15 degrees for an extent of 100,
            which fits the authors' volumes best), ``edge`` (the edge value) or ``zero``.

    Raises:
        ValueError: maps of the wrong shape, or an unknown ``outside``.

    Examples:
        >>> maps = torch.tensor([[0.0, 1.0, 0.0, 0.0]])  # one map, four azimuths
        >>> f = RecordedFunction(maps, SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True),)))
        >>> f(torch.tensor([[[90.0], [135.0], [450.0]]])).tolist()
        [[1.0, 0.5, 1.0]]
    """

    def __init__(self, maps: Tensor, axes: SemanticSpace | None = None, outside: str = "damp") -> None:
        super().__init__()
        maps = torch.as_tensor(maps)
        if outside not in ("damp", "edge", "zero"):
            raise ValueError(f"outside must be 'damp', 'edge' or 'zero', got '{outside}'")
        if axes is None:
            if maps.dim() != 3:
                raise ValueError(f"maps must be (maps, elevation, azimuth), got {tuple(maps.shape)}; or give axes")
            axes = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True), Axis("elevation", -10.0, 90.0)))
            maps = maps.transpose(1, 2)
            ends = {"elevation": 89.0}
        else:
            ends = {}
        if maps.dim() != len(axes) + 1:
            raise ValueError(f"maps must have {len(axes) + 1} dimensions for the axes {axes.names}, got {maps.dim()}")
        if min(maps.shape[1:]) < 2:
            raise ValueError(f"a recorded map needs at least 2 samples on each axis, got {tuple(maps.shape[1:])}")
        self.axes = axes
        self.names = axes.names
        self.outside = outside
        self.maps = maps.double().contiguous()
        self._flat = self.maps.reshape(-1)
        self._last = [ends.get(axis.name, axis.high) for axis in axes]
        names = axes.names
        self._pole: tuple[int, int] | None = None
        if "azimuth" in names and "elevation" in names:
            azimuth, elevation = names.index("azimuth"), names.index("elevation")
            if axes.axes[azimuth].periodic and axes.axes[azimuth].extent == 360.0:
                self._pole = (azimuth, elevation)

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return self._interpolate(u.to(self.maps.device), index, gradient=False)[0].to(u.device)

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = self._interpolate(u.to(self.maps.device), index, gradient=True)
        return value.to(u.device), gradient.to(u.device)

    def _interpolate(self, u: Tensor, index: Tensor, gradient: bool) -> tuple[Tensor, Tensor]:
        n = u.shape[-1]
        finite = u.isfinite().all(-1)
        columns = list(torch.where(finite[..., None], u, torch.zeros_like(u)).unbind(-1))
        sign = torch.ones_like(columns[0])
        if self._pole is not None:
            azimuth, elevation = self._pole
            beyond = columns[elevation] > 90.0
            columns[azimuth] = torch.where(beyond, columns[azimuth] + 180.0, columns[azimuth])
            sign = torch.where(beyond, -sign, sign)
            columns[elevation] = torch.where(beyond, 180.0 - columns[elevation], columns[elevation])
        # Per axis: lower cell index, upper cell index, weight of the upper, slope of that weight.
        cells: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        damping = torch.ones_like(sign)
        damping_slope = torch.zeros_like(u)
        for k, axis in enumerate(self.axes):
            size, column = self.maps.shape[k + 1], columns[k]
            if axis.periodic:
                per_unit = size / axis.extent
                position = torch.remainder((column - axis.low) * per_unit, size)
                lower = position.floor().long() % size
                upper = (lower + 1) % size
                slope = torch.full_like(column, per_unit)
            else:
                last = self._last[k]
                per_unit = (size - 1) / (last - axis.low)
                position = ((column - axis.low) * per_unit).clamp(0, size - 1)
                lower = position.floor().long().clamp_max(size - 2)
                upper = lower + 1
                inside = (column >= axis.low) & (column <= last)
                slope = torch.where(inside, per_unit, 0.0)
                below, above = (axis.low - column).clamp_min(0), (column - axis.high).clamp_min(0)
                if self.outside == "damp":
                    scale = 0.15 * axis.extent
                    damping = damping * torch.exp(-(below + above) / scale)
                    damping_slope[..., k] = ((below > 0).double() - (above > 0).double()) / scale
                elif self.outside == "zero":
                    damping = damping * ((below == 0) & (above == 0)).double()
            cells.append((lower, upper, position - position.floor() if axis.periodic else position - lower, slope))
        base = index[:, None].to(u.device)
        value = torch.zeros_like(sign)
        slopes = torch.zeros_like(u)
        for corner in itertools.product((0, 1), repeat=n):
            flat = base
            weights: list[Tensor] = []
            for k, bit in enumerate(corner):
                lower, upper, weight, _ = cells[k]
                flat = flat * self.maps.shape[k + 1] + (upper if bit else lower)
                weights.append(weight if bit else 1 - weight)
            sample = self._flat[flat]
            value = value + math.prod(weights, start=sample)
            if gradient:
                for k, bit in enumerate(corner):
                    others = math.prod(weights[:k] + weights[k + 1 :], start=sample)
                    slopes[..., k] += (cells[k][3] if bit else -cells[k][3]) * others
        nan = torch.full_like(value, math.nan)
        if not gradient:
            return torch.where(finite, value * damping, nan), slopes
        slopes = slopes * damping[..., None] + damping_slope * (value * damping)[..., None]
        if self._pole is not None:
            elevation = self._pole[1]
            slopes[..., elevation] = slopes[..., elevation] * sign
        return torch.where(finite, value * damping, nan), torch.where(finite[..., None], slopes, nan[..., None])
