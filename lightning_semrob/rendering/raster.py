"""The built-in renderer: a batched, differentiable rasteriser, one source of kernels for CPU and CUDA."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_semrob.rendering.camera import camera_matrix
from lightning_semrob.rendering.geometry import Geometry
from lightning_semrob.rendering.scene import PARAMETERS as PARAMETERS
from lightning_semrob.rendering.scene import Light as Light
from lightning_semrob.rendering.scene import MeshRenderer, Scene
from lightning_semrob.rendering.scene import lighting as lighting
from lightning_semrob.shapes.mesh import Mesh

if TYPE_CHECKING:
    from lightning_semrob.rendering.engine import Engine


class Rasterizer(MeshRenderer):
    """Renders a mesh with perspective, textures, ambient and directional light, antialiased and differentiable.

    Every face is lit on the side that is seen: ``colour * (ambient + directional * intensity * max(0, n . l))``,
    cut to [0, 1]. Boundaries between faces are blended where they cross the rows and columns of samples, so that
    the image is continuous in the camera and its gradient contains the motion of silhouettes. A mesh is drawn on the
    device where it lies, by the same kernels on a CPU and on a GPU (:mod:`lightning_semrob.rendering.kernels`).

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
        scene: what stands around the object; None for one grey level behind it.
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
        scene: Scene | None = None,
    ) -> None:
        super().__init__(image_size, supersampling, ambient, directional, lights, crease_angle, albedo, defaults, scene)
        if memory_limit is not None and memory_limit < 1:
            raise ValueError(f"memory_limit must be a positive number of bytes, got {memory_limit}")
        self.memory_limit = memory_limit

    def render(self, mesh: Mesh, parameters: Mapping[str, Tensor]) -> Tensor:
        """Images (B, 3, image_size, image_size); see :class:`Renderer`."""
        engine: Engine = self.prepared(mesh)
        images = []
        together = self.images_at_once(mesh, any(value.requires_grad for value in parameters.values()))
        for start in range(0, len(parameters["azimuth"]), together):
            chunk = {name: value[start : start + together] for name, value in parameters.items()}
            camera = camera_matrix(
                *(chunk[name] for name in ("azimuth", "elevation", "distance", "field_of_view", "roll"))
            )
            images.append(engine.draw(camera, self.lighting(mesh, chunk, camera), self.image_size, self.supersampling))
        return torch.cat(images)

    def memory_bytes(self, mesh: Mesh, images: int, gradient: bool = False) -> int:
        """Most bytes that rendering takes beside the mesh of F faces, V vertices and T texels.

        ``900 F + 40 V + 50 T`` for laying the mesh out, and for each image ``24 F + 24 V + 36 S + 36 image_size**2``,
        with ``S = (image_size * supersampling)**2`` samples, with a gradient ``24 F + 40 S`` more. A scene takes ``120
        image_size**2`` an image, with a gradient 250, and 12 bytes a pixel of a panorama.
        """
        samples, faces, vertices = (self.image_size * self.supersampling) ** 2, len(mesh.faces), len(mesh.vertices)
        texels = sum(texture.shape[0] * texture.shape[1] for texture in mesh.textures)
        each = 24 * faces + 24 * vertices + 36 * samples + 36 * self.image_size**2
        each += (24 * faces + 40 * samples) * gradient
        scene = 0 if self.backdrop is None else self.backdrop.bytes(images, gradient)
        return 900 * faces + 40 * vertices + 50 * texels + images * each + scene

    def images_at_once(self, mesh: Mesh, gradient: bool = False) -> int:
        """How many images of ``mesh`` fit into ``memory_limit`` together, at least one."""
        limit = self.memory_limit
        if limit is None:
            limit, device = 2**30, mesh.vertices.device
            if device.type == "cuda":
                # What PyTorch holds and does not use is free too.
                unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
                limit = (torch.cuda.mem_get_info(device)[0] + unused) // 2
        once = self.memory_bytes(mesh, 0, gradient)
        return max(1, (limit - once) // (self.memory_bytes(mesh, 1, gradient) - once))

    def resized(self, image_size: int) -> Rasterizer:
        """The same renderer with images of another size; what it knows of meshes is shared."""
        other = copy.copy(self)
        other.image_size = image_size
        if self.backdrop is not None:
            other._modules = {**self._modules, "backdrop": self.backdrop.resized(image_size)}
        return other

    def lay_out(self, geometry: Geometry) -> Engine:
        """How to draw the geometry."""
        from lightning_semrob.rendering.engine import Engine

        return Engine(geometry)
