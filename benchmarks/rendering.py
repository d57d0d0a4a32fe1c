"""Milliseconds an image and memory of the renderers, by faces, pixels and batch, forward and with gradients.

    python benchmarks/rendering.py
    python benchmarks/rendering.py --shapes "path/to/model.obj=chair" --pixels 224 --batches 16
    python benchmarks/rendering.py --memory --faces 2500 100000

``--memory`` compares the growth of a fresh process with ``Rasterizer.memory_bytes``. Open3D's ray casting (Embree),
where it is installed, is the yardstick without a gradient.

One thread; each number is the least of ``--repeats`` runs, of the process' own CPU time (on a GPU: of the clock).
Without ``--shapes`` the meshes are tessellated tori, half of whose faces look away.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.rendering import Rasterizer, Renderer
from lightning_semrob.rendering.camera import direction
from lightning_semrob.rendering.geometry import prepare
from lightning_semrob.rendering.raster import kernel_bytes, lighting, operation_bytes
from lightning_semrob.rendering.raster_torch import rasterize
from lightning_semrob.shapes.catalog import resolve_shapes
from lightning_semrob.shapes.mesh import Mesh

Draw = Callable[[Mesh, Tensor], Tensor]
OPEN3D = "Open3D ray casting"


def torus(faces: int) -> Mesh:
    """A torus of about so many faces in as many shades, longest side 2."""
    rings = max(3, round(math.sqrt(faces)))
    sides = max(3, round(faces / 2 / rings))
    i, j = torch.meshgrid(torch.arange(rings), torch.arange(sides), indexing="ij")
    a, b = 2 * math.pi * i / rings, 2 * math.pi * j / sides
    radius = 0.7 + 0.3 * b.cos()
    vertices = torch.stack((radius * a.cos(), 0.3 * b.sin(), -radius * a.sin()), -1).view(-1, 3)

    def number(di: int, dj: int) -> Tensor:
        return ((i + di) % rings * sides + (j + dj) % sides).flatten()

    p, q, r, s = number(0, 0), number(1, 0), number(1, 1), number(0, 1)
    triangles = torch.cat((torch.stack((p, q, r), -1), torch.stack((p, r, s), -1)))
    colors = torch.rand(len(triangles), 1, 3, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1)
    return Mesh(vertices, triangles, colors.contiguous(), name="torus")


def backends(pixels: int, device: str) -> dict[str, Draw]:
    """Name -> (mesh, views (B, 2)) to images, of every backend that can be imported here."""
    names = ("azimuth", "elevation")

    def of(renderer: Renderer) -> Draw:
        return lambda mesh, u: renderer(mesh, u, names)

    def torch_path(mesh: Mesh, u: Tensor) -> Tensor:
        table = Rasterizer(pixels).semantic_parameters
        point = {name: u.new_full((len(u),), parameter.default) for name, parameter in table.items()}
        point.update(azimuth=u[:, 0], elevation=u[:, 1])
        from lightning_semrob.rendering.camera import camera_matrix

        keys = ("azimuth", "elevation", "distance", "field_of_view", "roll")
        camera = camera_matrix(*(point[key] for key in keys))
        return rasterize(prepare(mesh), camera, lighting(point, 0.5, 0.5), pixels, 2)

    found = {"Rasterizer": of(Rasterizer(pixels))}
    if device == "cpu":
        found["Rasterizer, 1 sample"] = of(Rasterizer(pixels, supersampling=1))
        found["PyTorch operations"] = torch_path
    if find_spec("pytorch3d") is not None and find_spec("lightning_semrob.rendering.pytorch3d") is not None:
        from lightning_semrob.rendering.pytorch3d import PyTorch3DRenderer

        found["PyTorch3D"] = of(PyTorch3DRenderer(pixels))
    if device == "cpu" and find_spec("open3d") is not None:
        found[OPEN3D] = ray_casting(pixels)
    return found


def ray_casting(pixels: int) -> Draw:
    """Open3D: one ray a sample, 2 x 2 samples a pixel, face colours under the same light; textures are left out."""
    import numpy as np
    import open3d as o3d

    scenes: dict[int, Any] = {}

    def draw(mesh: Mesh, u: Tensor) -> Tensor:
        if id(mesh) not in scenes:
            scene = o3d.t.geometry.RaycastingScene(nthreads=1)
            scene.add_triangles(mesh.vertices.numpy(), mesh.faces.numpy().astype(np.uint32))
            scenes[id(mesh)] = scene
        table = Rasterizer(pixels).semantic_parameters
        point = {name: u.new_full((len(u),), parameter.default) for name, parameter in table.items()}
        point.update(azimuth=u[:, 0], elevation=u[:, 1])
        light = lighting(point, 0.5, 0.5)
        side = 2 * pixels
        steps = (2 * torch.arange(side) + 1) / side - 1
        tangent = math.tan(math.radians(30.0))
        images = []
        for b in range(len(u)):
            eye = direction(u[b : b + 1, 0], u[b : b + 1, 1])[0]
            right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), eye), dim=0)
            up = torch.linalg.cross(eye, right)
            rays = steps[None, :, None] * tangent * right - steps[:, None, None] * tangent * up - eye
            rays = torch.cat(((2.732 * eye).expand_as(rays), rays), -1)
            hit = scenes[id(mesh)].cast_rays(o3d.core.Tensor(rays.contiguous().numpy()), nthreads=1)
            face = torch.from_numpy(hit["primitive_ids"].numpy().astype(np.int64))
            normal = torch.from_numpy(hit["primitive_normals"].numpy())
            normal = torch.where((normal * rays[..., 3:]).sum(-1, keepdim=True) > 0, -normal, normal)
            lit = 0.5 + 0.5 * (normal @ light.directions[b, 0]).clamp_min(0)
            seen = face < len(mesh.faces)
            color = mesh.corner_colors[face.clamp_max(len(mesh.faces) - 1), 0] * lit[..., None]
            image = torch.where(seen[..., None], color, torch.ones(3))
            images.append(image.view(pixels, 2, pixels, 2, 3).mean((1, 3)).permute(2, 0, 1))
        return torch.stack(images)

    return draw


def forget_peak() -> float:
    """Forget the peak memory of this process (Linux); returns what it holds now, MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def recent_peak() -> float:
    """Peak memory since :func:`forget_peak`, MiB."""
    return _status("VmHWM")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def memory(name: str, faces: int, pixels: int, batch: int, gradients: bool) -> tuple[float, float]:
    """Growth of the peak memory of this process by one call, MiB, and what the formula says. Call it once a process."""
    draw = backends(pixels, "cpu")[name]
    mesh = torus(faces)
    warm = torch.zeros(1, 2, requires_grad=gradients)
    images = backends(16, "cpu")[name](torus(64), warm)
    if gradients:
        images.sum().backward()
    prepare(mesh)
    before = forget_peak()
    views = torch.rand(batch, 2, generator=torch.Generator().manual_seed(0)) * 90
    images = draw(mesh, views.requires_grad_(gradients))
    if gradients:
        images.sum().backward()
    formula = kernel_bytes if name == "Rasterizer" else operation_bytes
    return recent_peak() - before, formula(mesh, pixels, 2, batch, gradients) / 2**20


def compare_memory(options: argparse.Namespace) -> None:
    """A line for each call, in a process of its own."""
    print("backend                faces  pixels  batch  gradient  measured MiB  formula MiB")
    context = multiprocessing.get_context("spawn")
    for name in ("Rasterizer", "PyTorch operations"):
        for faces, pixels, batch in itertools.product(options.faces, options.pixels, options.batches):
            for gradients in (False, True):
                with context.Pool(1) as pool:
                    measured, formula = pool.apply(memory, (name, faces, pixels, batch, gradients))
                line = f"{name:21s} {faces:6d} {pixels:7d} {batch:6d} {gradients!s:>9s}"
                print(f"{line} {measured:13.0f} {formula:12.0f}", flush=True)


def measure(draw: Draw, mesh: Mesh, views: Tensor, gradients: bool, repeats: int) -> float:
    """Least milliseconds an image."""
    cuda = views.device.type == "cuda"
    clock = time.perf_counter if cuda else time.process_time

    def once() -> float:
        at = views.clone().requires_grad_(gradients)
        if cuda:
            torch.cuda.synchronize()
        start = clock()
        images = draw(mesh, at)
        if gradients:
            images.sum().backward()
        if cuda:
            torch.cuda.synchronize()
        return clock() - start

    once()
    return min(once() for _ in range(repeats)) / len(views) * 1e3


def peak(device: str) -> float:
    """Peak memory so far in MiB: of the GPU, or of the process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=[], help="as of evaluate.py --data.shapes")
    parser.add_argument("--faces", type=int, nargs="+", default=[2500, 15000, 40000], help="of the tori")
    parser.add_argument("--pixels", type=int, nargs="+", default=[224])
    parser.add_argument("--batches", type=int, nargs="+", default=[16])
    parser.add_argument("--backends", nargs="+", help="names as printed; all by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="compare memory with the formula instead")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.memory:
        compare_memory(options)
        return

    meshes = [spec.load() for spec in resolve_shapes(options.shapes)] if options.shapes else []
    meshes = meshes or [torus(count) for count in options.faces]
    print("backend                faces  pixels  batch  forward ms  with gradient ms  peak MiB so far")
    for pixels in options.pixels:
        for name, draw in backends(pixels, options.device).items():
            if options.backends and name not in options.backends:
                continue
            for mesh in meshes:
                mesh = mesh.to(options.device)
                for batch in options.batches:
                    generator = torch.Generator().manual_seed(0)
                    views = torch.rand(batch, 2, generator=generator) * torch.tensor([360.0, 100.0])
                    views = (views - torch.tensor([0.0, 10.0])).to(options.device)
                    forward = measure(draw, mesh, views, False, options.repeats)
                    both = math.nan if name == OPEN3D else measure(draw, mesh, views, True, options.repeats)
                    print(
                        f"{name:21s} {len(mesh.faces):6d} {pixels:7d} {batch:6d} {forward:11.2f} {both:17.2f} "
                        f"{peak(options.device):16.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
