"""Do the built-in rasteriser and PyTorch3D draw the same picture? Needs an installation of pytorch3d.

    python benchmarks/backends.py --shapes teapot park_bench "path/to/folder#cup:2"

For each shape, over the views: the least silhouette IoU (the object white on black, a pixel is inside from 3/8
coverage on), the largest mean absolute colour difference in 1/255, the mean difference between PyTorch3D's hard image
and the soft one whose gradient it uses (the gap), and CPU milliseconds an image of both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_semrob.rendering import Rasterizer, Renderer
from lightning_semrob.rendering.pytorch3d import PyTorch3DRenderer
from lightning_semrob.shapes.catalog import resolve_shapes
from lightning_semrob.shapes.mesh import Mesh

NAMES = ("azimuth", "elevation", "background")
VIEWS = ((35.0, 20.0, 0.0), (200.0, 70.0, 0.0))


def silhouettes(renderer: Renderer, mesh: Mesh, u: Tensor) -> Tensor:
    """(B, H, W) bool: white object, black background, ambient light 1/2."""
    white = replace(
        mesh, corner_colors=torch.ones_like(mesh.corner_colors), corner_uv=None, face_texture=None, textures=()
    )
    images: Tensor = renderer(white, u, NAMES)
    return images.amax(1) > 0.5 * 3 / 8


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["teapot", "park_bench", "dumbbell"])
    parser.add_argument("--pixels", type=int, default=224)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    ours, theirs = Rasterizer(options.pixels), PyTorch3DRenderer(options.pixels)
    u = torch.tensor(VIEWS)
    print("shape                       faces  textures     IoU  colour /255  gap /255  ours ms  PyTorch3D ms")
    for spec in resolve_shapes(options.shapes):
        mesh = spec.load()
        ours(mesh, u, NAMES)  # compiles the kernels
        images, milliseconds = [], []
        for renderer in (ours, theirs):
            start = time.process_time()
            images.append(renderer(mesh, u, NAMES))
            milliseconds.append((time.process_time() - start) / len(u) * 1e3)
        first, second = silhouettes(ours, mesh, u), silhouettes(theirs, mesh, u)
        overlap = ((first & second).sum((1, 2)) / (first | second).sum((1, 2))).min()
        color = (images[0] - images[1]).abs().mean((1, 2, 3)).max() * 255
        gap = theirs.gap(mesh, u, NAMES).mean() * 255
        name = f"{spec.class_name} {spec.shape_id[:8]}"
        print(
            f"{name:26s} {len(mesh.faces):6d} {len(mesh.textures):9d} {overlap:7.4f} {color:12.2f} {gap:9.2f} "
            f"{milliseconds[0]:8.0f} {milliseconds[1]:13.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
