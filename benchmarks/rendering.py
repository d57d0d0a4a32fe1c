"""Milliseconds an image and memory of the renderers, by faces, pixels and batch, forward and with gradients.

    python benchmarks/rendering.py
    python benchmarks/rendering.py --shapes "path/to/model.obj=chair" --pixels 224 --batches 16

One thread; each number is the least of ``--repeats`` runs, of the process' own CPU time (on a GPU: of the clock).
Without ``--shapes`` the meshes are tessellated tori, half of whose faces look away.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

from lightning_semrob.rendering import Rasterizer, Renderer
from lightning_semrob.rendering.geometry import prepare
from lightning_semrob.rendering.raster import lighting
from lightning_semrob.rendering.raster_torch import rasterize
from lightning_semrob.shapes.catalog import resolve_shapes
from lightning_semrob.shapes.mesh import Mesh

Draw = Callable[[Mesh, Tensor], Tensor]


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
    return found


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
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)

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
                    both = measure(draw, mesh, views, True, options.repeats)
                    print(
                        f"{name:21s} {len(mesh.faces):6d} {pixels:7d} {batch:6d} {forward:11.2f} {both:17.2f} "
                        f"{peak(options.device):16.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
