"""The built-in renderer: a batched, differentiable rasteriser for CPU and CUDA."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor

from lightning_semrob.rendering.base import Renderer, SemanticParameter
from lightning_semrob.rendering.camera import camera_matrix, direction
from lightning_semrob.rendering.geometry import prepare
from lightning_semrob.rendering.raster_torch import Lighting
from lightning_semrob.rendering.raster_torch import rasterize as rasterize_torch
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.space import Axis

__all__ = ["PARAMETERS", "Rasterizer", "lighting"]

Rasterize = Callable[[Tensor, Lighting], Tensor]

PARAMETERS: Final[Mapping[str, SemanticParameter]] = {
    parameter.axis.name: parameter
    for parameter in (
        SemanticParameter(Axis("azimuth", 0.0, 360.0, periodic=True), 0.0),
        SemanticParameter(Axis("elevation", -10.0, 90.0), 15.0),
        SemanticParameter(Axis("distance", 1.5, 5.0, "unit"), 2.732),
        SemanticParameter(Axis("field_of_view", 30.0, 90.0), 60.0),
        SemanticParameter(Axis("roll", -180.0, 180.0, periodic=True), 0.0),
        SemanticParameter(Axis("light_azimuth", 0.0, 360.0, periodic=True), 30.0),
        SemanticParameter(Axis("light_elevation", -10.0, 90.0), 45.0),
        SemanticParameter(Axis("light_intensity", 0.0, 2.0, "multiple"), 1.0),
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


def lighting(parameters: Mapping[str, Tensor], ambient: float, directional: float) -> Lighting:
    """The light and colours that ``parameters`` ((B,) tensors by name) describe."""
    azimuth = parameters["azimuth"] + parameters["light_azimuth"]
    color = torch.stack([parameters[f"color_{name}"] for name in ("red", "green", "blue")], -1)
    return Lighting(
        directions=direction(azimuth, parameters["light_elevation"])[:, None],
        intensities=(directional * parameters["light_intensity"])[:, None],
        ambient=torch.full_like(azimuth, ambient),
        color=color,
        background=parameters["background"][:, None].expand(-1, 3),
    )


class Rasterizer(Renderer):
    """Renders a mesh with perspective, textures, ambient and directional light, antialiased and differentiable.

    Every face is lit on the side that is seen: ``colour * (ambient + directional * intensity * max(0, n . l))``,
    cut to [0, 1]. Boundaries between faces are blended where they cross the rows and columns of samples, so that
    the image is continuous in the camera and its gradient contains the motion of silhouettes. A mesh on the CPU is
    drawn by compiled kernels where Numba is installed, any other by PyTorch.

    Args:
        image_size: side of the square image, pixels.
        supersampling: samples a pixel along each side, averaged.
        ambient: light from everywhere.
        directional: light of the one directional light at ``light_intensity`` 1.
        images_at_once: images rendered together; memory grows with it, the images do not depend on it.

    Raises:
        ValueError: for sizes or counts below 1.
    """

    def __init__(
        self,
        image_size: int = 224,
        supersampling: int = 2,
        ambient: float = 0.5,
        directional: float = 0.5,
        images_at_once: int = 16,
    ) -> None:
        super().__init__(image_size)
        if supersampling < 1 or images_at_once < 1:
            raise ValueError("supersampling and images_at_once must be at least 1")
        self.supersampling = supersampling
        self.ambient = ambient
        self.directional = directional
        self.images_at_once = images_at_once
        self._last: tuple[weakref.ref[Mesh], Rasterize] | None = None

    @property
    def semantic_parameters(self) -> Mapping[str, SemanticParameter]:
        """See :data:`PARAMETERS`."""
        return PARAMETERS

    def render(self, mesh: Mesh, parameters: Mapping[str, Tensor]) -> Tensor:
        """Images (B, 3, image_size, image_size); see :class:`Renderer`."""
        rasterize = self._prepare(mesh)
        count = len(parameters["azimuth"])
        if count == 0:
            return parameters["azimuth"].new_zeros(0, 3, self.image_size, self.image_size)
        images = []
        for start in range(0, count, self.images_at_once):
            chunk = {name: value[start : start + self.images_at_once] for name, value in parameters.items()}
            camera = camera_matrix(
                *(chunk[name] for name in ("azimuth", "elevation", "distance", "field_of_view", "roll"))
            )
            images.append(rasterize(camera, lighting(chunk, self.ambient, self.directional)))
        return torch.cat(images)

    def _prepare(self, mesh: Mesh) -> Rasterize:
        """How to render ``mesh``; the last one is kept, as tasks of one shape travel together."""
        if self._last is not None and self._last[0]() is mesh:
            return self._last[1]
        geometry, size, samples = prepare(mesh), self.image_size, self.supersampling
        rasterize: Rasterize
        if mesh.vertices.device.type == "cpu" and find_spec("numba") is not None:
            from lightning_semrob.rendering import raster_cpu

            arrays = raster_cpu.arrays(geometry)

            def rasterize(camera: Tensor, light: Lighting) -> Tensor:
                return raster_cpu.rasterize(arrays, camera, light, size, samples)
        else:

            def rasterize(camera: Tensor, light: Lighting) -> Tensor:
                return rasterize_torch(geometry, camera, light, size, samples)

        self._last = (weakref.ref(mesh), rasterize)
        return rasterize
