"""What mesh renderers share: their semantic parameters, the light, and the options of how a mesh is drawn."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from lightning_semrob.rendering.base import Renderer, SemanticParameter
from lightning_semrob.rendering.camera import direction
from lightning_semrob.rendering.geometry import Geometry, prepare
from lightning_semrob.shapes.mesh import Mesh, one_color
from lightning_semrob.space import Axis
from lightning_semrob.utilities.messages import unknown_name

__all__ = ["DEPTH_TOLERANCE", "NEAR", "PARAMETERS", "Light", "Lighting", "MeshRenderer", "lighting"]

NEAR: Final = 0.05
"""Surfaces nearer than this to the camera plane, world units, are cut away."""

DEPTH_TOLERANCE: Final = 2e-5
"""Depths that differ by less than this fraction are the same surface: rounding of float32 positions is 1e-7."""

PARAMETERS: Final[Mapping[str, SemanticParameter]] = {
    parameter.axis.name: parameter
    for parameter in (
        SemanticParameter(Axis("azimuth", 0.0, 360.0, periodic=True), 0.0),
        SemanticParameter(Axis("elevation", -10.0, 90.0), 15.0, (-90.0, 90.0)),
        SemanticParameter(Axis("distance", 1.5, 5.0, "unit"), 2.732, (1.0, 100.0)),
        SemanticParameter(Axis("field_of_view", 30.0, 90.0), 60.0, (1.0, 170.0)),
        SemanticParameter(Axis("roll", -180.0, 180.0, periodic=True), 0.0),
        SemanticParameter(Axis("light_azimuth", 0.0, 360.0, periodic=True), 30.0),
        SemanticParameter(Axis("light_elevation", -10.0, 90.0), 45.0, (-90.0, 90.0)),
        SemanticParameter(Axis("light_intensity", 0.0, 2.0, "multiple"), 1.0, (0.0, 100.0)),
        SemanticParameter(Axis("color_red", 0.0, 1.0, "multiple"), 1.0),
        SemanticParameter(Axis("color_green", 0.0, 1.0, "multiple"), 1.0),
        SemanticParameter(Axis("color_blue", 0.0, 1.0, "multiple"), 1.0),
        SemanticParameter(Axis("background", 0.0, 1.0, "grey level"), 1.0),
    )
}
"""The semantic parameters of every mesh renderer here, with their widest useful ranges and defaults.

- azimuth, elevation: where the camera is, seen from the object; (0, 0) is on +z, (90, 0) on +x, elevation 90 on +y.
  Beyond 90 the camera keeps turning over the pole (see :func:`camera_matrix`).
- distance: from the origin, world units (objects have a longest side of 2); field_of_view: full angle of the image.
- roll: turns the picture counter-clockwise.
- light_azimuth: measured from the camera's azimuth, so that 0 is light from the camera's side, 180 back light, and
  every view is lit alike (an object on a turntable in a studio). light_elevation: above the horizon of the world.
- light_intensity: multiplies the directional light, not the ambient light.
- color_*: multiply the object's red, green and blue; background: grey level behind the object.
"""


@dataclass(frozen=True)
class Light:
    """A fixed directional light beside the main one.

    Args:
        azimuth: degrees from the camera's azimuth, as ``light_azimuth``.
        elevation: degrees above the horizon of the world.
        intensity: as ``directional``.
    """

    azimuth: float
    elevation: float
    intensity: float


@dataclass(frozen=True)
class Lighting:
    """The light and the colours of B images with L directional lights.

    Args:
        directions: (B, L, 3) unit vectors towards the lights, world space.
        intensities: (B, L).
        ambient: (B,) light from everywhere.
        color: (B, 3) multiplies the colour of the object.
        background: (B, 3).
    """

    directions: Tensor
    intensities: Tensor
    ambient: Tensor
    color: Tensor
    background: Tensor


def lighting(
    parameters: Mapping[str, Tensor], ambient: float, directional: float, lights: Sequence[Light] = ()
) -> Lighting:
    """The light and colours that ``parameters`` ((B,) tensors by name) describe, with fixed further lights."""
    main = direction(parameters["azimuth"] + parameters["light_azimuth"], parameters["light_elevation"])
    directions, intensities = [main], [directional * parameters["light_intensity"]]
    for light in lights:
        azimuth = parameters["azimuth"] + light.azimuth
        directions.append(direction(azimuth, torch.full_like(azimuth, light.elevation)))
        intensities.append(torch.full_like(azimuth, light.intensity))
    color = torch.stack([parameters[f"color_{name}"] for name in ("red", "green", "blue")], -1)
    return Lighting(
        directions=torch.stack(directions, 1),
        intensities=torch.stack(intensities, 1),
        ambient=torch.full_like(parameters["azimuth"], ambient),
        color=color,
        background=parameters["background"][:, None].expand(-1, 3),
    )


def with_defaults(defaults: Mapping[str, float]) -> Mapping[str, SemanticParameter]:
    """:data:`PARAMETERS` with other defaults.

    Raises:
        ValueError: an unknown parameter, or a value outside its range.
    """
    table = dict(PARAMETERS)
    for name, value in defaults.items():
        if name not in table:
            raise ValueError(f"defaults: {unknown_name('parameter', name, sorted(table))}")
        axis = table[name].axis
        if not axis.low <= value <= axis.high:
            raise ValueError(f"the default {value} of '{name}' lies outside its range [{axis.low:g}, {axis.high:g}]")
        table[name] = replace(table[name], default=float(value))
    return table


class MeshRenderer(Renderer):
    """A renderer of meshes under one camera, light and shading model.

    Args and errors: as of :class:`~lightning_semrob.rendering.Rasterizer`.
    """

    def __init__(
        self,
        image_size: int,
        supersampling: int,
        ambient: float,
        directional: float,
        lights: Sequence[Light],
        crease_angle: float | None,
        albedo: float | None,
        defaults: Mapping[str, float] | None,
    ) -> None:
        super().__init__(image_size)
        if supersampling < 1:
            raise ValueError(f"supersampling must be at least 1, got {supersampling}")
        if crease_angle is not None and not 0 <= crease_angle <= 90:
            raise ValueError(f"crease_angle must lie in [0, 90] degrees, got {crease_angle}")
        if albedo is not None and not 0 <= albedo <= 1:
            raise ValueError(f"albedo must lie in [0, 1], got {albedo}")
        self._semantic_parameters = with_defaults(defaults or {})
        self.supersampling = supersampling
        self.ambient = ambient
        self.directional = directional
        self.lights = tuple(lights)
        self.crease_angle = crease_angle
        self.albedo = albedo
        self._last: tuple[weakref.ref[Mesh], Any] | None = None

    @property
    def semantic_parameters(self) -> Mapping[str, SemanticParameter]:
        """See :data:`PARAMETERS`."""
        return self._semantic_parameters

    def lighting(self, parameters: Mapping[str, Tensor]) -> Lighting:
        """The light and colours that ``parameters`` ((B,) tensors by name) describe."""
        return lighting(parameters, self.ambient, self.directional, self.lights)

    def prepared(self, mesh: Mesh) -> Any:
        """What :meth:`lay_out` makes of ``mesh``; the last one is kept, as tasks of one shape travel together."""
        if self._last is None or self._last[0]() is not mesh:
            drawn = mesh if self.albedo is None else one_color(mesh, self.albedo)
            self._last = (weakref.ref(mesh), self.lay_out(prepare(drawn, self.crease_angle)))
        return self._last[1]

    def lay_out(self, geometry: Geometry) -> Any:
        """What a subclass keeps of a mesh between calls."""
        return geometry
