"""The built-in renderer: a batched, differentiable rasteriser for CPU and CUDA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from lightning_semrob.rendering.camera import camera_matrix
from lightning_semrob.rendering.geometry import Geometry
from lightning_semrob.rendering.raster_torch import Lighting
from lightning_semrob.rendering.raster_torch import rasterize as rasterize_torch
from lightning_semrob.rendering.scene import PARAMETERS, Light, MeshRenderer, lighting
from lightning_semrob.shapes.mesh import Mesh

__all__ = ["PARAMETERS", "Light", "Rasterizer", "kernel_bytes", "lighting", "operation_bytes"]

Rasterize = Callable[[Tensor, Lighting], Tensor]


def _on_kernels(vertices: Tensor) -> bool:
    """Whether the compiled kernels draw a mesh with these vertices."""
    return vertices.device.type == "cpu"


def _free_bytes(device: torch.device) -> int:
    """Free memory of a GPU, with what PyTorch holds of it and does not use."""
    held: int = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + held


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


class Rasterizer(MeshRenderer):
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
        albedo: grey level of every surface, 1 for white; None keeps the mesh's own colours and textures.
        defaults: values of parameters that a run does not sweep, where they are not those of :data:`PARAMETERS`.
        memory_limit: bytes that rendering may take; as many images are rendered together as fit
            (:meth:`memory_bytes`), at least one. None for 1 GiB on the CPU, half of the free memory of a GPU. The
            images do not depend on it.

    Raises:
        ValueError: for sizes below 1, a limit that is not positive, a crease angle outside [0, 90], an albedo outside
            [0, 1], a default of an unknown parameter or outside its range.

    Examples:
        >>> from lightning_semrob.shapes import procedural_mesh
        >>> renderer = Rasterizer(image_size=32)
        >>> u = torch.tensor([[30.0, 20.0]], requires_grad=True)  # degrees
        >>> image = renderer(procedural_mesh("teapot", 0), u, ("azimuth", "elevation"))
        >>> image.shape, torch.autograd.grad(image.mean(), u)[0].shape
        (torch.Size([1, 3, 32, 32]), torch.Size([1, 2]))
    """

    def __init__(
        self,
        image_size: int = 224,
        supersampling: int = 2,
        ambient: float = 0.5,
        directional: float = 0.5,
        lights: Sequence[Light] = (),
        crease_angle: float | None = None,
        albedo: float | None = None,
        defaults: Mapping[str, float] | None = None,
        memory_limit: int | None = None,
    ) -> None:
        super().__init__(image_size, supersampling, ambient, directional, lights, crease_angle, albedo, defaults)
        if memory_limit is not None and memory_limit < 1:
            raise ValueError(f"memory_limit must be a positive number of bytes, got {memory_limit}")
        self.memory_limit = memory_limit

    def render(self, mesh: Mesh, parameters: Mapping[str, Tensor]) -> Tensor:
        """Images (B, 3, image_size, image_size); see :class:`Renderer`."""
        rasterize: Rasterize = self.prepared(mesh)
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
            images.append(rasterize(camera, self.lighting(chunk)))
        return torch.cat(images)

    def memory_bytes(self, mesh: Mesh, images: int, gradient: bool = False) -> int:
        """Most bytes that rendering takes beside the mesh: :func:`kernel_bytes` or :func:`operation_bytes`."""
        formula = kernel_bytes if _on_kernels(mesh.vertices) else operation_bytes
        return formula(mesh, self.image_size, self.supersampling, images, gradient)

    def images_at_once(self, mesh: Mesh, gradient: bool = False) -> int:
        """How many images of ``mesh`` fit into ``memory_limit`` together, at least one."""
        limit = self.memory_limit
        if limit is None:
            device = mesh.vertices.device
            limit = _free_bytes(device) // 2 if device.type == "cuda" else 2**30
        once = self.memory_bytes(mesh, 0, gradient)
        return max(1, (limit - once) // (self.memory_bytes(mesh, 1, gradient) - once))

    def lay_out(self, geometry: Geometry) -> Rasterize:
        """How to draw the geometry."""
        size, samples = self.image_size, self.supersampling
        if _on_kernels(geometry.vertices):
            from lightning_semrob.rendering import raster_cpu

            arrays = raster_cpu.arrays(geometry)
            return lambda camera, light: raster_cpu.rasterize(arrays, camera, light, size, samples)
        return lambda camera, light: rasterize_torch(geometry, camera, light, size, samples)
