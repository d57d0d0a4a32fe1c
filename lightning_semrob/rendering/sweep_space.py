"""The space that a job sweeps, from the axes that a renderer has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_semrob.rendering.base import Renderer
from lightning_semrob.space import Axis, SemanticSpace

__all__ = ["sweep_space"]


def sweep_space(renderer: Renderer, axes: Mapping[str, Sequence[float] | None] | Sequence[str]) -> SemanticSpace:
    """The swept space from axis names, with a narrower range where one is given.

    Args:
        renderer: knows the widest range, unit and periodicity of every axis.
        axes: names, or name -> ``[low, high]`` (None for the renderer's range). A narrowed periodic axis is no
            longer periodic.

    Raises:
        ValueError: an unknown axis, or an empty or inverted range.
    """
    ranges: Mapping[str, Sequence[float] | None] = axes if isinstance(axes, Mapping) else dict.fromkeys(axes)
    if not ranges:
        raise ValueError(f"the space needs at least one axis of {sorted(renderer.semantic_parameters)}")
    swept = []
    for name, limits in ranges.items():
        known = renderer.space(name).axes[0]
        if limits is None:
            swept.append(known)
            continue
        if len(limits) != 2:
            raise ValueError(f"the range of axis '{name}' must be [low, high], got {list(limits)}")
        low, high = float(limits[0]), float(limits[1])
        periodic = known.periodic and abs((high - low) - known.extent) < 1e-9
        swept.append(Axis(name, low, high, known.unit, periodic, known.differentiable))
    return SemanticSpace(tuple(swept))
