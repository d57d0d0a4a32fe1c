"""The soft shadow of a mesh on the ground below it: how much of an evenly bright sky it hides there."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from lightning_semrob.rendering.camera import camera_matrix
from lightning_semrob.rendering.geometry import prepare
from lightning_semrob.rendering.light import Lighting
from lightning_semrob.shapes.mesh import Mesh

WIDTH: Final = 2.5
"""The shadow is known on the ground from -WIDTH to WIDTH, world units; beyond there is none."""

_CELLS = 160
#: The mesh is cut into slabs at these heights above the ground.
_HEIGHTS = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.0)
#: From where it is looked at from below, nearly in parallel.
_BELOW = 100.0


@torch.no_grad()
def ground_shadow(mesh: Mesh) -> tuple[Tensor, float]:
    """The shadow map of a mesh and the height y of the ground, which it touches with its lowest vertex.

    A flat patch at height h hides from the ground point at distance r from below it the share
    ``h^2 / (pi (r^2 + h^2)^2)`` of an evenly bright sky for each unit of area (the form factor of a small patch, as
    for radiant exchange between parallel surfaces). What is seen of the mesh from below is cut into slabs by height;
    each hides the sum of its patches, and slabs hide independently of each other.

    Returns:
        (1, 1, 160, 160) float32 in [0, 1], rows from +z to -z, columns from -x to +x; and y.
    """
    # Drawn by the rasteriser, which is there whatever draws the images.
    from lightning_semrob.rendering.engine import Engine

    device = mesh.vertices.device
    ground = float(mesh.vertices[mesh.faces.unique(), 1].min())
    height = (mesh.vertices[:, 1] - ground) / 2
    seen = torch.stack((height, torch.ones_like(height), torch.zeros_like(height)), -1)[mesh.faces].clamp(0, 1)
    plain = Mesh(mesh.vertices, mesh.faces, seen, name=mesh.name)

    def row(value: float) -> Tensor:
        return torch.full((1,), value, device=device)

    angle = 2 * math.degrees(math.atan(WIDTH / (_BELOW + ground)))
    camera = camera_matrix(row(0.0), row(-90.0), row(_BELOW), row(angle), row(0.0))
    zeros = torch.zeros(1, 3, device=device)
    light = Lighting(zeros[:, None], row(0.0)[None], row(1.0), torch.ones_like(zeros), zeros)
    image = Engine(prepare(plain, None)).draw(camera, light, _CELLS, 2)[0].double().cpu()
    covered = image[1]
    place = (2 * image[0] / covered.clamp_min(1e-6)).clamp(_HEIGHTS[0], _HEIGHTS[-1]).log()
    marks = torch.tensor(_HEIGHTS, dtype=torch.float64).log()
    light_left = torch.ones_like(covered)
    for k, mark in enumerate(marks):
        # Each height belongs to the two slabs next to it, by its logarithm.
        weight = torch.ones_like(place)
        if k > 0:
            weight = torch.minimum(weight, (place - marks[k - 1]) / (mark - marks[k - 1]))
        if k + 1 < len(marks):
            weight = torch.minimum(weight, (marks[k + 1] - place) / (marks[k + 1] - mark))
        light_left *= 1 - _spread(covered * weight.clamp(0, 1), _HEIGHTS[k]).clamp(0, 1)
    middle = (2 * torch.arange(_CELLS, dtype=torch.float64) + 1) / _CELLS - 1
    edge = ((1 - (middle.square()[:, None] + middle.square()).sqrt()) / 0.3).clamp(0, 1)
    shadow = (1 - light_left) * edge**2 * (3 - 2 * edge)
    return shadow.float().to(device)[None, None], ground


def _spread(patches: Tensor, height: float) -> Tensor:
    """What patches (N, N) at a height hide from the ground below and around them."""
    size = 2 * len(patches)
    step = torch.fft.fftfreq(size, 1.0 / size, dtype=torch.float64) * (2 * WIDTH / _CELLS)
    away = step.square()[:, None] + step.square()
    kernel = height**2 / (away + height**2).square()
    kernel /= kernel.sum()
    product = torch.fft.rfft2(patches, (size, size)) * torch.fft.rfft2(kernel)
    hidden: Tensor = torch.fft.irfft2(product, (size, size))[: len(patches), : len(patches)]
    return hidden
