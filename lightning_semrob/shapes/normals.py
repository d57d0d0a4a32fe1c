"""Normals for smooth shading, from the angles between faces."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lightning_semrob.shapes.mesh import Mesh

# (corner, other corner at the same position) pairs looked at together: a fan of many faces has very many.
_PAIRS = 1 << 21


def smooth_normals(mesh: Mesh, crease_angle: float) -> Mesh:
    """The mesh with smooth normals: at each corner the mean over the faces there that lie within ``crease_angle``.

    ``n(f, v) = normalize(sum of +- A(g) n(g))`` over the faces g at the position of v whose planes make an angle of at
    most ``crease_angle`` with that of f; A is the area, and the sign turns n(g) to the side of n(f), since many meshes
    hold faces in both windings. Edges sharper than the crease angle stay sharp.

    Args:
        mesh: corners at equal positions belong together, whatever their numbers.
        crease_angle: degrees in [0, 90]; 0 gives flat faces.

    Raises:
        ValueError: a crease angle outside [0, 90].
    """
    if not 0 <= crease_angle <= 90:
        raise ValueError(f"crease_angle must lie in [0, 90] degrees, got {crease_angle}")
    vertices, welded = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    faces = welded[mesh.faces]
    corners = vertices.double()[faces]
    cross = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    unit = torch.nn.functional.normalize(cross, dim=-1, eps=1e-300)
    least = math.cos(math.radians(crease_angle)) - 1e-9

    # Corners sorted by position: those of one vertex are neighbours in the list.
    at = faces.flatten()
    order = torch.argsort(at, stable=True)
    count = torch.bincount(at, minlength=len(vertices))
    first = count.cumsum(0) - count
    owner = torch.div(order, 3, rounding_mode="floor")
    partners = count[at[order]]
    ends = partners.cumsum(0)
    sums = torch.zeros(len(at), 3, dtype=torch.float64, device=at.device)
    total = int(ends[-1])
    for start in range(0, total, _PAIRS):
        pair = torch.arange(start, min(start + _PAIRS, total), device=at.device)
        here = torch.searchsorted(ends, pair, right=True)
        there = first[at[order[here]]] + pair - (ends[here] - partners[here])
        cosine = (unit[owner[here]] * unit[owner[there]]).sum(-1)
        weight = torch.where(cosine.abs() >= least, cosine.sign(), torch.zeros_like(cosine))
        sums.index_add_(0, here, weight[:, None] * cross[owner[there]])
    normals = torch.empty_like(sums)
    normals[order] = torch.nn.functional.normalize(sums, dim=-1, eps=1e-300)
    return replace(mesh, corner_normals=_exactly_flat(normals.view(-1, 3, 3), unit).float())


def _exactly_flat(normals: Tensor, unit: Tensor) -> Tensor:
    """Corner normals (F, 3, 3); a face whose three agree with its own but for rounding gets that one, so it is flat."""
    flat = ((normals - unit[:, None]).abs().amax((1, 2)) < 1e-7)[:, None, None]
    return torch.where(flat, unit[:, None], normals)
