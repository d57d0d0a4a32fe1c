"""The built-in renderer: a batched, differentiable rasteriser for CPU and CUDA."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

__all__ = ["PARAMETERS", "Light", "Rasterizer", "kernel_bytes", "lighting", "operation_bytes"]

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


def _compiled(mesh: Mesh) -> bool:
    """Whether the compiled kernels draw ``mesh``."""
    return mesh.vertices.device.type == "cpu" and find_spec("numba") is not None


def kernel_bytes(mesh: Mesh, image_size: int, supersampling: int, images: int, gradient: bool) -> int:
    """Most bytes that the compiled kernels take for a mesh of F faces and V vertices, beside the mesh.

    ``900 F + 40 V + 36 S`` once (700 F of it for laying the mesh out), with ``S = (image_size * supersampling)**2``
    samples an image, and ``12 image_size**2`` an image, with a gradient ``56 S`` more, which stay until the backward
    pass.
    """
    samples = (image_size * supersampling) ** 2
    once = 900 * len(mesh.faces) + 40 * len(mesh.vertices) + 36 * samples
    return once + images * (12 * image_size**2 + 56 * samples * gradient)


def operation_bytes(mesh: Mesh, image_size: int, supersampling: int, images: int, gradient: bool) -> int:
    """Most bytes that the PyTorch operations take for a mesh of F faces.

    ``2**29`` once for the (face, sample) pairs, which are looked at in chunks whatever F is, and ``400 F + 300 S`` an
    image of S samples, with a gradient ``800 F + 1500 S``.
    """
    samples = (image_size * supersampling) ** 2
    each = 800 * len(mesh.faces) + 1500 * samples if gradient else 400 * len(mesh.faces) + 300 * samples
    return 2**29 + images * each


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
        directional: light of the main directional light at ``light_intensity`` 1.
        lights: further directional lights.
        crease_angle: shade edges between faces that meet at no more than this smoothly, degrees; 0 is flat, None keeps
            the mesh's own normals (files are flat).
        memory_limit: bytes that rendering may take; as many images are rendered together as fit
            (:meth:`memory_bytes`), at least one. None for 1 GiB on the CPU, half of the free memory of a GPU. The
            images do not depend on it.

    Raises:
        ValueError: for sizes below 1, a limit that is not positive, a crease angle outside [0, 90].
    """

    def __init__(
        self,
        image_size: int = 224,
        supersampling: int = 2,
        ambient: float = 0.5,
        directional: float = 0.5,
        lights: Sequence[Light] = (),
        crease_angle: float | None = None,
        memory_limit: int | None = None,
    ) -> None:
        super().__init__(image_size)
        if supersampling < 1:
            raise ValueError(f"supersampling must be at least 1, got {supersampling}")
        if memory_limit is not None and memory_limit < 1:
            raise ValueError(f"memory_limit must be a positive number of bytes, got {memory_limit}")
        if crease_angle is not None and not 0 <= crease_angle <= 90:
            raise ValueError(f"crease_angle must lie in [0, 90] degrees, got {crease_angle}")
        self.supersampling = supersampling
        self.ambient = ambient
        self.directional = directional
        self.lights = tuple(lights)
        self.crease_angle = crease_angle
        self.memory_limit = memory_limit
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
        together = self.images_at_once(mesh, any(value.requires_grad for value in parameters.values()))
        for start in range(0, count, together):
            chunk = {name: value[start : start + together] for name, value in parameters.items()}
            camera = camera_matrix(
                *(chunk[name] for name in ("azimuth", "elevation", "distance", "field_of_view", "roll"))
            )
            images.append(rasterize(camera, lighting(chunk, self.ambient, self.directional, self.lights)))
        return torch.cat(images)

    def memory_bytes(self, mesh: Mesh, images: int, gradient: bool = False) -> int:
        """Most bytes that rendering takes beside the mesh: :func:`kernel_bytes` or :func:`operation_bytes`."""
        formula = kernel_bytes if _compiled(mesh) else operation_bytes
        return formula(mesh, self.image_size, self.supersampling, images, gradient)

    def images_at_once(self, mesh: Mesh, gradient: bool = False) -> int:
        """How many images of ``mesh`` fit into ``memory_limit`` together, at least one."""
        limit = self.memory_limit
        if limit is None:
            device = mesh.vertices.device
            limit = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 2**30
        once = self.memory_bytes(mesh, 0, gradient)
        return max(1, (limit - once) // (self.memory_bytes(mesh, 1, gradient) - once))

    def _prepare(self, mesh: Mesh) -> Rasterize:
        """How to render ``mesh``; the last one is kept, as tasks of one shape travel together."""
        if self._last is not None and self._last[0]() is mesh:
            return self._last[1]
        geometry, size, samples = prepare(mesh, self.crease_angle), self.image_size, self.supersampling
        rasterize: Rasterize
        if _compiled(mesh):
            from lightning_semrob.rendering import raster_cpu

            arrays = raster_cpu.arrays(geometry)

            def rasterize(camera: Tensor, light: Lighting) -> Tensor:
                return raster_cpu.rasterize(arrays, camera, light, size, samples)
        else:

            def rasterize(camera: Tensor, light: Lighting) -> Tensor:
                return rasterize_torch(geometry, camera, light, size, samples)

        self._last = (weakref.ref(mesh), rasterize)
        return rasterize
