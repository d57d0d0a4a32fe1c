"""Milliseconds an image and memory of the renderers, by faces, pixels and batch, forward and with gradients.

    python benchmarks/rendering.py
    python benchmarks/rendering.py --shapes "path/to/model.obj=chair" --pixels 224 --batches 16
    python benchmarks/rendering.py --memory --faces 2500 100000
    python benchmarks/rendering.py --shapes embedded path/to/shapes --record today.npz
    python benchmarks/rendering.py --shapes embedded path/to/shapes --against today.npz
    python benchmarks/rendering.py --rival path/to/another/checkout

``--memory`` compares the growth of a fresh process with ``Rasterizer.memory_bytes``. Open3D's ray casting (Embree),
where it is installed, is the yardstick without a gradient.

``--record`` keeps two pictures of each shape, one at a random viewpoint and one with every axis random, two lights and
a crease angle, and the gradients of a smooth score along all axes; ``--against`` compares with them, and prints which
faces are nearest, by float64, where a pixel differs by more than 1/255. ``--rival`` times
the rasteriser of another checkout of this project and this one's in turn, in two processes.

One thread; each number is the least of ``--repeats`` runs, of the process' own CPU time (on a GPU: of the clock).
Without ``--shapes`` the meshes are tessellated tori, half of whose faces look away.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.rendering import Light, Rasterizer, Renderer
from lightning_semrob.rendering.camera import camera_matrix, direction
from lightning_semrob.rendering.raster import lighting
from lightning_semrob.shapes.catalog import resolve_shapes
from lightning_semrob.shapes.mesh import Mesh

if TYPE_CHECKING:
    from lightning_semrob.rendering import Scene

Draw = Callable[[Mesh, Tensor], Tensor]
OPEN3D = "Open3D ray casting"
AXES = ("azimuth", "elevation")
CAMERA = ("azimuth", "elevation", "distance", "field_of_view", "roll")


def torus(faces: int, texels: int = 0) -> Mesh:
    """A torus of about so many faces in as many shades, longest side 2, with a texture of ``texels**2`` if any."""
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
    if texels == 0:
        return Mesh(vertices, triangles, colors.contiguous(), name="torus")
    uv = torch.rand(len(triangles), 3, 2, generator=torch.Generator().manual_seed(1))
    texture = torch.rand(texels, texels, 3, generator=torch.Generator().manual_seed(2))
    numbers = torch.zeros(len(triangles), dtype=torch.int64)
    return Mesh(vertices, triangles, colors.contiguous(), uv, numbers, (texture,), name="torus")


def backends(pixels: int, device: str) -> dict[str, Draw]:
    """Name -> (mesh, views (B, 2)) to images, of every backend that can be imported here."""

    def of(renderer: Renderer) -> Draw:
        return lambda mesh, u: renderer(mesh, u, AXES)

    found = {"Rasterizer": of(Rasterizer(pixels))}
    if device == "cpu":
        found["Rasterizer, 1 sample"] = of(Rasterizer(pixels, supersampling=1))
    if find_spec("pytorch3d") is not None and find_spec("lightning_semrob.rendering.pytorch3d") is not None:
        from lightning_semrob.rendering.pytorch3d import PyTorch3DRenderer

        found["PyTorch3D"] = of(PyTorch3DRenderer(pixels))
    if device == "cpu" and find_spec("open3d") is not None:
        found[OPEN3D] = ray_casting(pixels)
    return found


def ray_casting(pixels: int) -> Draw:
    """Open3D: one ray a sample, 2 x 2 samples a pixel, face colours under the same light; textures are left out."""
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


def memory(
    faces: int, texels: int, pixels: int, batch: int, gradients: bool, scene: Scene | None = None
) -> tuple[float, float]:
    """Growth of the peak memory of this process by one call, MiB, and what the formula says. Call it once a process."""
    mesh = torus(faces, texels)

    def draw(renderer: Rasterizer, mesh: Mesh, views: Tensor) -> None:
        images = renderer(mesh, views.requires_grad_(gradients), ("azimuth", "elevation"))
        if gradients:
            images.sum().backward()

    renderer = Rasterizer(pixels, scene=scene)
    draw(Rasterizer(16), torus(64, 8), torch.zeros(1, 2))
    before = forget_peak()
    draw(renderer, mesh, torch.rand(batch, 2, generator=torch.Generator().manual_seed(0)) * 90)
    return recent_peak() - before, renderer.memory_bytes(mesh, batch, gradients) / 2**20


def compare_memory(options: argparse.Namespace) -> None:
    """A line for each call, in a process of its own."""
    print(" faces  texture  pixels  batch  gradient  measured MiB  formula MiB")
    context = multiprocessing.get_context("spawn")
    cases = itertools.product(options.faces, options.texture, options.pixels, options.batches, (False, True))
    for faces, texels, pixels, batch, gradients in cases:
        with context.Pool(1) as pool:
            measured, formula = pool.apply(memory, (faces, texels, pixels, batch, gradients))
        line = f"{faces:6d} {texels:8d} {pixels:7d} {batch:6d} {gradients!s:>9s}"
        print(f"{line} {measured:13.0f} {formula:12.0f}", flush=True)


def smooth_score(pixels: int) -> Tensor:
    """(3, pixels, pixels): a random field without detail, whose product with an image is a smooth score."""
    coarse = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (pixels, pixels), mode="bicubic", align_corners=True)[0] / pixels**2


def compared(seed: int, pixels: int) -> list[tuple[Rasterizer, Tensor]]:
    """The two pictures that are compared of a mesh: by which renderer, and at which values (n,) of all its axes."""
    plain = Rasterizer(pixels)
    lit = Rasterizer(pixels, crease_angle=40.0, lights=(Light(-60.0, 20.0, 0.2),))
    points = plain.space(*plain.semantic_parameters).sobol(2, seed=seed).float()
    points[0, 2:] = torch.tensor([parameter.default for parameter in plain.semantic_parameters.values()])[2:]
    return [(plain, points[0]), (lit, points[1])]


def pictures(mesh: Mesh, seed: int, pixels: int, device: str) -> tuple[Tensor, Tensor]:
    """(2, 3, H, W) the two pictures that are recorded of a mesh, and (2, n) the gradients of their smooth scores."""
    images, slopes = [], []
    for renderer, point in compared(seed, pixels):
        u = point[None].to(device).requires_grad_(True)
        image = renderer(mesh.to(device), u, tuple(renderer.semantic_parameters))
        images.append(image.detach().cpu()[0])
        slopes.append(torch.autograd.grad((image * smooth_score(pixels).to(device)).sum(), u)[0].cpu()[0])
    return torch.stack(images), torch.stack(slopes)


def print_nearest(mesh: Mesh, renderer: Rasterizer, point: Tensor, row: int, column: int) -> None:
    """The nearest faces that look at the camera, by float64, in each sample of a pixel; how much farther than the
    first they are, as a part of the inverse depth."""
    values = dict(zip(renderer.semantic_parameters, point[:, None], strict=True))
    camera = camera_matrix(*(values[name] for name in CAMERA))[0].double()
    corners = (mesh.vertices.double() @ camera[:, :3].T + camera[:, 3])[mesh.faces]
    planes = torch.linalg.cross(corners.roll(-1, 1), corners.roll(-2, 1))
    determinant = (corners[:, 0] * planes[:, 0]).sum(-1)
    side = renderer.image_size * renderer.supersampling
    for down, right in itertools.product(range(renderer.supersampling), repeat=2):
        y = 1 - (2 * (renderer.supersampling * row + down) + 1) / side
        x = (2 * (renderer.supersampling * column + right) + 1) / side - 1
        lambdas = planes @ torch.tensor([x, y, 1.0], dtype=torch.float64)
        inverse = torch.where((lambdas >= 0).all(-1) & (determinant > 0), lambdas.sum(-1) / determinant, 0.0)
        near, faces = inverse.topk(min(3, len(inverse)))
        words = [f"{n} (+{1 - z / near[0]:.2e})" for n, z in zip(faces.tolist(), near.tolist(), strict=True) if z > 0]
        print(f"    sample {down} {right}: faces {', '.join(words) or 'none'}")


def compare_pictures(options: argparse.Namespace) -> None:
    """Record the pictures of the shapes, or compare with recorded ones."""
    specs, pixels = resolve_shapes(options.shapes or ["embedded"]), options.pixels[0]
    drawn = [pictures(spec.load(), number, pixels, options.device) for number, spec in enumerate(specs)]
    names = np.array([f"{spec.class_name} {spec.shape_id}" for spec in specs])
    images, slopes = (torch.stack(part).numpy() for part in zip(*drawn, strict=True))
    if options.record:
        np.savez(options.record, names=names, images=images, slopes=slopes)
        return
    with np.load(options.against) as recorded:
        if recorded["names"].tolist() != names.tolist():
            raise SystemExit(f"{options.against} was recorded of other shapes")
        apart = 255 * np.abs(images - recorded["images"])
        slope = np.abs(slopes - recorded["slopes"]).max(-1) / np.abs(recorded["slopes"]).max(-1)
    print("shape                  mean /255   max /255  pixels > 1/255  gradient apart")
    for n in np.argsort(-apart.reshape(len(names), -1).max(1))[:10]:
        over = int((apart[n].max(1) > 1).sum())
        print(f"{names[n][:22]:22s} {apart[n].mean():9.6f} {apart[n].max():10.4f} {over:15d} {slope[n].max():15.1e}")
    over = int((apart.max(2) > 1).sum())
    print(f"all {len(names):3d}                {apart.mean():9.6f} {apart.max():10.4f} {over:15d} {slope.max():15.1e}")
    print(f"of {apart[:, :, 0].size} pixels; median of how far the gradients are apart: {np.median(slope):.1e}")
    for n, which, row, column in np.argwhere(apart.max(2) > 1)[:20]:
        print(f"{names[n]}, picture {which}, row {row}, column {column}: {apart[n, which, :, row, column].max():.2f}")
        print_nearest(specs[n].load(), *compared(int(n), pixels)[which], int(row), int(column))


def serve(options: argparse.Namespace) -> None:
    """Answer each line "mesh gradients" of the input with "faces milliseconds" of one call."""
    meshes = [spec.load() for spec in resolve_shapes(options.shapes)] if options.shapes else []
    meshes = meshes or [torus(count) for count in options.faces]
    views = random_views(options.batches[0])
    renderer = Rasterizer(options.pixels[0])
    for line in sys.stdin:
        number, gradients = map(int, line.split())
        took = measure(lambda mesh, u: renderer(mesh, u, AXES), meshes[number], views, bool(gradients), 1)
        print(len(meshes[number].faces), took, flush=True)


def compare_speed(options: argparse.Namespace) -> None:
    """This rasteriser and the rival's, each in a process of its own, asked in turn; the least of ``--repeats``."""
    here = Path(__file__).resolve().parents[1]
    words = ["--serve", "--pixels", str(options.pixels[0]), "--batches", str(options.batches[0])]
    words += ["--shapes", *options.shapes] if options.shapes else ["--faces", *map(str, options.faces)]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, *words], env={**os.environ, "PYTHONPATH": str(folder)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for folder in (here, Path(options.rival).resolve())
    ]  # fmt: skip

    def ask(process: subprocess.Popen[str], number: int, gradients: int) -> tuple[int, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{number} {gradients}\n")
        process.stdin.flush()
        faces, took = process.stdout.readline().split()
        return int(faces), float(took)

    print("mesh    faces   forward ms: this, rival, ratio   with gradient ms: this, rival, ratio")
    for number in range(len(resolve_shapes(options.shapes)) if options.shapes else len(options.faces)):
        best, faces = [[math.inf, math.inf], [math.inf, math.inf]], 0
        for _, gradients, which in itertools.product(range(options.repeats), (0, 1), (0, 1)):
            faces, took = ask(processes[which], number, gradients)
            best[gradients][which] = min(best[gradients][which], took)
        (a, b), (c, d) = best
        print(f"{number:4d} {faces:8d} {a:13.2f} {b:7.2f} {a / b:6.2f} {c:18.2f} {d:7.2f} {c / d:6.2f}", flush=True)
    for process in processes:
        process.communicate()


def random_views(batch: int) -> Tensor:
    """(B, 2) azimuths and elevations."""
    views = torch.rand(batch, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([360.0, 100.0])
    return views - torch.tensor([0.0, 10.0])


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
    parser.add_argument("--texture", type=int, nargs="+", default=[0], help="side of the texture, with --memory")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--memory", action="store_true", help="compare memory with the formula instead")
    instead.add_argument("--record", metavar="FILE", help="keep pictures and gradients of the shapes instead")
    instead.add_argument("--against", metavar="FILE", help="compare pictures and gradients with kept ones instead")
    instead.add_argument("--rival", metavar="FOLDER", help="compare the speed with that of another checkout instead")
    instead.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.record or options.against:
        compare_pictures(options)
        return
    if options.rival or options.serve:
        (serve if options.serve else compare_speed)(options)
        return
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
                    views = random_views(batch).to(options.device)
                    forward = measure(draw, mesh, views, False, options.repeats)
                    both = math.nan if name == OPEN3D else measure(draw, mesh, views, True, options.repeats)
                    print(
                        f"{name:21s} {len(mesh.faces):6d} {pixels:7d} {batch:6d} {forward:11.2f} {both:17.2f} "
                        f"{peak(options.device):16.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
