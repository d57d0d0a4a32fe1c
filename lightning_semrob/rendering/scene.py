"""What mesh renderers share: their semantic parameters, the light, and the options of how a mesh is drawn."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from torch import Tensor

from lightning_semrob.rendering.backdrop import Backdrop
from lightning_semrob.rendering.backdrop import Scene as Scene
from lightning_semrob.rendering.base import Renderer, SemanticParameter
from lightning_semrob.rendering.geometry import Geometry, prepare
from lightning_semrob.rendering.light import Light as Light
from lightning_semrob.rendering.light import Lighting
from lightning_semrob.rendering.light import lighting as lighting
from lightning_semrob.shapes.mesh import Mesh, one_color
from lightning_semrob.space import Axis
from lightning_semrob.utilities.messages import unknown_name

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
        scene: Scene | None = None,
    ) -> None:
        super().__init__(image_size)
        if supersampling < 1:
            raise ValueError(f"supersampling must be at least 1, got {supersampling}")
        if crease_angle is not None and not 0 <= crease_angle <= 90:
            raise ValueError(f"crease_angle must lie in [0, 90] degrees, got {crease_angle}")
        if albedo is not None and not 0 <= albedo <= 1:
            raise ValueError(f"albedo must lie in [0, 1], got {albedo}")
        self.backdrop = None if scene in (None, Scene()) else Backdrop(scene, image_size)
        own = {} if self.backdrop is None else self.backdrop.semantic_parameters
        table = self._semantic_parameters = {**PARAMETERS, **own}
        for name, value in (defaults or {}).items():
            if name not in table:
                raise ValueError(f"defaults: {unknown_name('parameter', name, sorted(table))}")
            low, high = table[name].axis.low, table[name].axis.high
            if not low <= value <= high:
                raise ValueError(f"the default {value} of '{name}' lies outside its range [{low:g}, {high:g}]")
            table[name] = replace(table[name], default=float(value))
        self._in_scene = self.backdrop is not None
        self.supersampling = supersampling
        self.ambient = ambient
        self.directional = directional
        self.lights = tuple(lights)
        self.crease_angle = crease_angle
        self.albedo = albedo
        self._last: tuple[weakref.ref[Mesh], Any] | None = None

    @property
    def semantic_parameters(self) -> Mapping[str, SemanticParameter]:
        """See :data:`PARAMETERS`; with several pictures of a scene also ``picture``, the number of the picture."""
        return self._semantic_parameters

    @property
    def version(self) -> str | None:
        """That of this package, and the hash of the scene: results of other pictures are other results."""
        return f"{super().version}" + (f", scene {self.backdrop.sha256[:12]}" if self.backdrop is not None else "")

    @property
    def pictures_behind(self) -> int:
        """Those of the scene; the parameter ``picture`` says which one is there."""
        return 0 if self.backdrop is None else len(self.backdrop.names)

    def without_scene(self) -> MeshRenderer:
        """The same renderer before one grey level."""
        plain = copy.copy(self)
        plain._in_scene = False
        return plain

    def lighting(self, mesh: Mesh, parameters: Mapping[str, Tensor], camera: Tensor) -> Lighting:
        """The light and colours that ``parameters`` ((B,) tensors by name) describe, and what is behind the mesh.

        Args:
            camera: (B, 3, 4) of :func:`~lightning_semrob.rendering.camera.camera_matrix`.
        """
        light = lighting(parameters, self.ambient, self.directional, self.lights)
        if self.backdrop is None or not self._in_scene:
            return light
        return replace(light, background=self.backdrop(mesh, parameters, camera))

    def prepared(self, mesh: Mesh) -> Any:
        """What :meth:`lay_out` makes of ``mesh``; the last one is kept, as tasks of one shape travel together."""
        if self._last is None or self._last[0]() is not mesh:
            drawn = mesh if self.albedo is None else one_color(mesh, self.albedo)
            self._last = (weakref.ref(mesh), self.lay_out(prepare(drawn, self.crease_angle)))
        return self._last[1]

    def lay_out(self, geometry: Geometry) -> Any:
        """What a subclass keeps of a mesh between calls."""
        return geometry
