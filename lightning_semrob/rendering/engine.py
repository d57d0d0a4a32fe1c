"""Rasterising with the kernels, on the device of the mesh, as one differentiable operation."""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

from lightning_semrob.rendering.geometry import Geometry
from lightning_semrob.rendering.kernels import boundaries, layout, quiet, shading, visibility
from lightning_semrob.rendering.light import Lighting

# A thread of a GPU takes one vertex or face, a part of the rows of a face, and a strip of so many pixels.
STRIP = 4
PARTS = 8

_LIGHTS = ("directions", "intensities", "ambient", "tint", "background")


def device_of(tensor: Tensor) -> Any:
    """Warp's name of the device on which a tensor lies."""
    return wp.device_from_torch(tensor.device)


def _array(tensor: Tensor, dtype: Any, device: Any) -> Any:
    """The tensor, which is contiguous, as an array of Warp; its last dimensions are those of ``dtype``."""
    inner = 1 if dtype is layout.Face else len(getattr(dtype, "_shape_", ()))
    shape, size = tuple(tensor.shape[: tensor.dim() - inner]), tensor.numel() * tensor.element_size()
    return wp.array(ptr=tensor.data_ptr(), dtype=dtype, shape=shape, device=device, capacity=size)


def _struct(kind: Any, tensors: dict[str, Tensor], device: Any) -> Any:
    """A struct of the kernels with these tensors as fields. It does not keep them alive."""
    struct = kind()
    for name, tensor in tensors.items():
        setattr(struct, name, _array(tensor, kind.vars[name].type.dtype, device))
    return struct


@dataclass
class _Drawn:
    """B images that were made, and what the way back needs of them."""

    inputs: dict[str, Tensor]
    tensors: dict[str, Tensor]
    frame: Any
    lights: Any


class Engine:
    """Draws one mesh.

    Args:
        geometry: the mesh, on the device on which it is drawn.
    """

    def __init__(self, geometry: Geometry) -> None:
        g = geometry
        self.device = wp.get_device(device_of(g.vertices))
        with quiet():
            wp.load_module(layout.MODULE.name, device=self.device)
        self.vertices, self.faces = len(g.vertices), len(g.faces)
        varies = ~g.one_color | (g.texture >= 0)
        self.varies = bool(varies.any())
        across = torch.where(g.neighbors >= 0, 8 * (g.neighbors >> 2) + 2 * (g.neighbors & 3) + g.seams, -1)
        kind = layout.LIT_ONCE * g.one_color + layout.VARIES * varies + layout.CUTOUT * g.cutout
        corners = g.vertices[g.faces]
        turning = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal = g.normals[:, 0]
        normal = torch.where((normal * turning).sum(-1, keepdim=True) < 0, -normal, normal)
        whole = [x.to(torch.int32) for x in (g.faces, across)]
        whole += [x[:, None].to(torch.int32) for x in (g.twin, g.partner, kind, g.texture)]
        real = [x.contiguous().view(torch.int32) for x in (normal, g.colors[:, 0])]
        self._tensors = {
            "vertices": g.vertices.contiguous(),
            "faces": torch.cat(whole + real, 1),
            "normals": g.normals,
            "colors": g.colors,
            "uv": g.uv,
            # Textures are read all over: a quarter of the memory stays in the caches.
            "texels": (g.texels * 255).round().to(torch.uint8),
            "levels": g.levels.to(torch.int32),
            "pyramids": g.pyramids.to(torch.int32),
        }
        self._mesh = _struct(layout.Mesh, self._tensors, self.device)
        self._spare: dict[tuple[int, int], dict[str, Tensor]] = {}

    def draw(self, camera: Tensor, lighting: Lighting, size: int, samples: int) -> Tensor:
        """Images (B, 3, size, size) float32 in [0, 1] under cameras (B, 3, 4) of
        :func:`~lightning_semrob.rendering.camera.camera_matrix`, with ``samples**2`` samples a pixel.
        """
        light = (lighting.directions, lighting.intensities, lighting.ambient, lighting.color, lighting.background)
        images: Tensor = _Draw.apply(self, size, samples, camera, *light)  # type: ignore[no-untyped-call]
        return images

    def forward(self, size: int, samples: int, keep: bool, *inputs: Tensor) -> tuple[Tensor, _Drawn]:
        """Images, and what :meth:`backward` needs. The next call overwrites the latter unless it is kept."""
        camera, *light = (x.detach().to(torch.float32).contiguous() for x in inputs)
        batch, side = len(camera), size * samples
        tensors, named = self._buffers(batch, side), dict(zip(_LIGHTS, light, strict=True))
        named |= self._behind(named["background"])
        with self._on_stream():
            frame = _struct(layout.Frame, {**tensors, "camera": camera}, self.device)
            frame.side, frame.samples = side, samples
            lights = _struct(layout.Lights, named, self.device)
            images = torch.empty(batch, 3, size, size, device=camera.device)
            strips, parts, run = self._cut(size)
            faces, vertices = -(-self.faces // run), -(-self.vertices // run)
            self._launch(visibility.project, (batch, vertices), self._mesh, frame, run)
            self._launch(visibility.draw_faces, (batch, faces, parts), self._mesh, frame, run, parts)
            self._launch(visibility.settle_ties, (batch, faces, parts), self._mesh, frame, run, parts)
            self._launch(shading.light_faces, (batch, faces), self._mesh, frame, lights, run)
            if self.varies:
                self._launch(shading.shade_samples, (batch, side * strips), self._mesh, frame, lights, strips)
            self._launch(boundaries.blend_boundaries, (batch, side * strips), self._mesh, frame, lights, strips)
            out = _array(images, wp.float32, self.device)
            self._launch(shading.make_pictures, (batch, size * strips), frame, lights, strips, out)
        drawn = _Drawn({"camera": camera, **named}, tensors, frame, lights)
        if not self.device.is_cuda:
            # PyTorch returns large buffers to the system, whose pages cost more than the kernels when they come again.
            if keep:
                weakref.finalize(drawn, self._spare.__setitem__, (batch, side), tensors).atexit = False
            else:
                self._spare = {(batch, side): tensors}
        return images, drawn

    def _behind(self, background: Tensor) -> dict[str, Tensor]:
        """Background and backdrop of :class:`~lightning_semrob.rendering.kernels.layout.Lights`, one of them empty."""
        batch = len(background)
        if background.dim() == 2:
            return {"background": background, "backdrop": self._empty(torch.float32, batch, 0, 3)}
        pixels = background.permute(0, 2, 3, 1).reshape(batch, -1, 3).contiguous()
        return {"background": self._empty(torch.float32, batch, 3).zero_(), "backdrop": pixels}

    def backward(self, drawn: _Drawn, slope: Tensor, needs_backdrop: bool) -> tuple[Tensor, ...]:
        """dL/d(camera, directions, intensities, ambient, color, background) from dL/dimages (B, 3, size, size).

        That to a background of pixels is zero unless ``needs_backdrop``.
        """
        batch, _, size, _ = slope.shape
        side = drawn.frame.side
        samples = side // size
        strips, _, _ = self._cut(size)
        threads, lights = side * strips, drawn.inputs["intensities"].shape[1]
        pictured = drawn.inputs["backdrop"].shape[1] > 0
        behind = size * size if pictured and needs_backdrop else 0
        run = -(-self.faces // threads)
        peak = slope.abs().amax((1, 2, 3)).double()
        finite = peak.isfinite()
        pixels = slope.permute(0, 2, 3, 1).float() / samples**2
        whole, real = torch.int64, torch.float64
        tensors = {
            "pixels": pixels.reshape(batch, size * size, 3).contiguous(),
            "unit": torch.where(finite & (peak > 0), layout.SLOPE_UNIT / peak, 1.0),
            "to_face": self._empty(whole, batch, self.faces, 3).zero_(),
            "to_sample": self._empty(whole, batch, side * side * self.varies, 3).zero_(),
            "to_camera": self._empty(real, batch, threads, 3, 4).zero_(),
            "to_light": self._empty(real, batch, threads, 7 + 4 * lights).zero_(),
            "to_backdrop": self._empty(whole, batch, behind, 3).zero_(),
        }
        with self._on_stream():
            slopes = _struct(layout.Slopes, tensors, self.device)
            inputs = (self._mesh, drawn.frame, drawn.lights, slopes)
            self._launch(boundaries.blend_boundaries_backward, (batch, threads), *inputs, strips)
            self._launch(shading.shade_samples_backward, (batch, threads), *inputs, strips)
            self._launch(shading.light_faces_backward, (batch, -(-self.faces // run)), *inputs, run)
        lost = torch.where(finite, 1.0, torch.nan)
        to_camera = tensors["to_camera"].sum(1) * lost[:, None, None]
        to_light = tensors["to_light"].sum(1) * lost[:, None]
        each = to_light[:, 7:].view(batch, lights, 4)
        to_background = to_light[:, 4:7]
        if pictured:
            to_background = to_light.new_zeros(batch, 3, size, size)
            if behind:
                scale = (lost / tensors["unit"])[:, None, None]
                to_background = (tensors["to_backdrop"] * scale).permute(0, 2, 1).reshape(to_background.shape)
        return to_camera, each[..., 1:], each[..., 0], to_light[:, 0], to_light[:, 1:4], to_background

    def _cut(self, size: int) -> tuple[int, int, int]:
        """How many strips a row of samples is cut into, how many parts the rows of a face, and how many vertices or
        faces a thread takes.
        """
        return (-(-size // STRIP), PARTS, 1) if self.device.is_cuda else (1, 1, 1 << 30)

    def _on_stream(self) -> Any:
        """Launch on PyTorch's stream of a GPU."""
        if not self.device.is_cuda:
            return nullcontext()
        stream = torch.cuda.current_stream(self._tensors["faces"].device)
        return wp.ScopedStream(wp.stream_from_torch(stream))

    def _launch(self, kernel: Any, threads: tuple[int, ...], *inputs: Any) -> None:
        wp.launch(kernel, threads, inputs, device=self.device)

    def _empty(self, dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self._tensors["faces"].device)

    def _buffers(self, batch: int, side: int) -> dict[str, Tensor]:
        """The tensors of a :class:`~lightning_semrob.rendering.kernels.layout.Frame`."""
        tensors = self._spare.pop((batch, side), None)
        self._spare.clear()
        if tensors is None:
            samples, single, double = side * side, torch.float32, torch.float64
            tensors = {
                "clip": self._empty(double, batch, self.vertices, 3),
                "det": self._empty(double, batch, self.faces),
                "lit": self._empty(single, batch, self.faces, 3),
                "extent": self._empty(torch.int32, batch, 4),
                "tied": self._empty(torch.uint8, batch, self.faces),
                "keys": self._empty(torch.int64, batch, samples),
                "colors": self._empty(single, batch, samples * self.varies, 3),
                "blends": self._empty(torch.int32, batch, samples, 4),
            }
        for name in ("tied", "keys", "blends"):
            tensors[name].zero_()
        return tensors


class _Draw(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, engine: Engine, size: int, samples: int, *inputs: Tensor) -> Tensor:
        keep = any(ctx.needs_input_grad)
        images, drawn = engine.forward(size, samples, keep, *inputs)
        if keep:
            ctx.engine, ctx.drawn, ctx.dtypes = engine, drawn, [x.dtype for x in inputs]
        return images

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.engine.backward(ctx.drawn, slope, ctx.needs_input_grad[-1])
        return None, None, None, *(g.to(dtype) for g, dtype in zip(gradients, ctx.dtypes, strict=True))
