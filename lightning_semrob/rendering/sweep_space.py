"""The space that a job sweeps, from the axes that a renderer has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_semrob.rendering.base import Renderer
from lightning_semrob.space import SemanticSpace


def sweep_space(renderer: Renderer, axes: Mapping[str, Sequence[float] | None] | Sequence[str]) -> SemanticSpace:
    """The swept space from axis names, with a narrower range where one is given.

    Args:
        axes: names, or name -> ``[low, high]`` (None for the renderer's). A narrowed periodic axis is not periodic.

    Raises:
        ValueError: an unknown axis, an empty or inverted range, or one outside of what the renderer means.
    """
    ranges: Mapping[str, Sequence[float] | None] = axes if isinstance(axes, Mapping) else dict.fromkeys(axes)
    if not ranges:
        raise ValueError(f"the space needs at least one axis of {sorted(renderer.semantic_parameters)}")
    return SemanticSpace(tuple(renderer.parameter(name).swept(limits) for name, limits in ranges.items()))
