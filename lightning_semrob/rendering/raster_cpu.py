"""Rasterising on the CPU with the compiled kernels, as one differentiable operation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_semrob.rendering import kernels
from lightning_semrob.rendering.geometry import Geometry
from lightning_semrob.rendering.raster_torch import Lighting

__all__ = ["arrays", "rasterize"]


def arrays(geometry: Geometry) -> kernels.MeshArrays:
    """The geometry as the kernels read it; shares memory where the types agree. Texels become bytes: textures are read
    all over, and a quarter of the memory stays in the caches."""

    def array(name: str) -> Any:
        tensor: Tensor = getattr(geometry, name).contiguous()
        if name == "texels":
            return (tensor * 255).round().to(torch.uint8).numpy()
        return tensor.to(torch.int32 if tensor.dtype == torch.int64 else tensor.dtype).numpy()

    return kernels.MeshArrays(**{name: array(name) for name in kernels.MeshArrays._fields})


def rasterize(mesh: kernels.MeshArrays, camera: Tensor, lighting: Lighting, size: int, supersampling: int) -> Tensor:
    """Images (B, 3, size, size); the same as :func:`~lightning_semrob.rendering.raster_torch.rasterize`."""
    images: Tensor = _Rasterize.apply(
        mesh,
        size,
        supersampling,
        camera,
        lighting.directions,
        lighting.intensities,
        lighting.ambient,
        lighting.color,
        lighting.background,
    )  # type: ignore[no-untyped-call]
    return images


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mesh: kernels.MeshArrays, size: int, supersampling: int, *inputs: Tensor) -> Tensor:
        batch, side = len(inputs[0]), size * supersampling
        images = torch.empty(batch, 3, size, size)
        kept = batch if any(ctx.needs_input_grad) else 1
        seen, colors = torch.empty(kept, side, side, dtype=torch.int32), torch.empty(kept, side, side, 3)
        found = kernels.forward(mesh, *_read(inputs), supersampling, images.numpy(), seen.numpy(), colors.numpy())
        if any(ctx.needs_input_grad):
            ctx.mesh, ctx.supersampling = mesh, supersampling
            ctx.save_for_backward(*inputs, seen, colors, *(torch.from_numpy(x.copy()) for x in found))
        return images

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        inputs, (seen, colors, numbers, values, starts) = ctx.saved_tensors[:6], ctx.saved_tensors[6:]
        gradients = [torch.zeros(x.shape, dtype=torch.float64) for x in inputs]
        kernels.backward(
            ctx.mesh,
            *_read(inputs),
            ctx.supersampling,
            seen.numpy(),
            colors.numpy(),
            numbers.numpy(),
            values.numpy(),
            starts.numpy(),
            slope.contiguous().numpy(),
            *_write(gradients),
        )
        return None, None, None, *(g.to(x.dtype) for g, x in zip(gradients, inputs, strict=True))


def _read(inputs: tuple[Tensor, ...]) -> tuple[Any, Any, Any, Any, Any, Any]:
    camera, directions, intensities, ambient, color, background = (
        x.detach().contiguous().to(torch.float32).numpy() for x in inputs
    )
    return camera, directions, intensities, ambient, color, background


def _write(gradients: list[Tensor]) -> tuple[Any, Any, Any, Any, Any, Any]:
    camera, directions, intensities, ambient, color, background = (x.numpy() for x in gradients)
    return camera, directions, intensities, ambient, color, background
