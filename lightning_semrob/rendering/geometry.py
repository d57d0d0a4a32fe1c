"""A mesh laid out for rasterising: welded corners, neighbours, normals, colours and a table of textures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.shapes.normals import smooth_normals


@dataclass(frozen=True)
class Geometry:
    """What the rasterisers read of one mesh. F faces, V welded vertices, T texels, K textures, M mipmap levels.

    Args:
        vertices: (V, 3) float32, distinct positions, world units.
        faces: (F, 3) int64.
        twin: (F,) int64, the first face with the same three positions in any order (coincident faces).
        neighbors: (F, 3) int64, ``4 * g + m`` where edge m of face g is edge k of this face (edge k is opposite
            to corner k); -1 where the mesh ends or more than two distinct faces meet. Of twins, the first counts.
        seams: (F, 3) bool, whether normal, colour or texture jump across the edge; False where shading goes on.
        partner: (F,) int64, a coincident face in the other winding, -1 for none or if one of them has holes.
        normals: (F, 3, 3) float32 unit normals at the corners; all three equal on a flat face.
        one_color: (F,) bool, flat faces whose corners have one colour: lit once for all their samples.
        colors: (F, 3, 3) float32, colours at the corners.
        uv: (F, 3, 2) float32, texture coordinates (zeros without texture).
        texture: (F,) int64, row of ``pyramids``, -1 for none.
        cutout: (F,) bool, whether the texture has transparent texels (alpha below 1/2), which are holes.
        texels: (T, 4) float32 RGBA, the rows of every level of every texture, one after another, multiples of 1/255.
        pyramids: (K, 2) int64, of each texture: its first level in ``levels`` and how many it has.
        levels: (M, 3) int64, of each level: first texel, height, width.
    """

    vertices: Tensor
    faces: Tensor
    twin: Tensor
    neighbors: Tensor
    seams: Tensor
    partner: Tensor
    normals: Tensor
    one_color: Tensor
    colors: Tensor
    uv: Tensor
    texture: Tensor
    cutout: Tensor
    texels: Tensor
    pyramids: Tensor
    levels: Tensor


def prepare(mesh: Mesh, crease_angle: float | None = None) -> Geometry:
    """Lay out ``mesh`` for the rasterisers, on the mesh's device.

    Args:
        mesh: what is drawn.
        crease_angle: as of :func:`~lightning_semrob.shapes.normals.smooth_normals`; None keeps the mesh's own normals.
    """
    if crease_angle is not None:
        mesh = smooth_normals(mesh, crease_angle)
    device = mesh.vertices.device
    count = len(mesh.faces)
    vertices, welded = torch.unique(mesh.vertices.to(torch.float32), dim=0, return_inverse=True)
    faces = welded[mesh.faces]
    corners = vertices[faces]
    edge1, edge2 = (corners[:, 1] - corners[:, 0]).double(), (corners[:, 2] - corners[:, 0]).double()
    normal = torch.nn.functional.normalize(torch.linalg.cross(edge1, edge2), dim=-1, eps=1e-30)
    normals = normal.float()[:, None].expand(count, 3, 3)
    if mesh.corner_normals is not None:
        normals = mesh.corner_normals.to(torch.float32)
    flat = (normals == normals[:, :1]).flatten(1).all(1)
    colors = mesh.corner_colors.to(torch.float32)
    uv = torch.zeros(count, 3, 2, device=device)
    texture = torch.full((count,), -1, dtype=torch.int64, device=device)
    if mesh.corner_uv is not None and mesh.face_texture is not None and mesh.textures:
        uv = mesh.corner_uv.to(torch.float32)
        texture = mesh.face_texture.to(torch.int64)
    texels, pyramids, levels, holes = _mipmaps(mesh.textures, device)
    twin, neighbors = _neighbors(faces)
    cutout = holes[texture.clamp_min(0)] & (texture >= 0)
    attributes = torch.cat((normals, colors, uv, texture[:, None, None].expand(-1, 3, 1)), -1)
    return Geometry(
        vertices=vertices,
        faces=faces,
        twin=twin,
        neighbors=neighbors,
        seams=_seams(faces, neighbors, attributes),
        partner=_partner(faces, twin, cutout),
        normals=normals.contiguous(),
        one_color=flat & (colors == colors[:, :1]).flatten(1).all(1),
        colors=colors.contiguous(),
        uv=uv.contiguous(),
        texture=texture,
        cutout=cutout,
        texels=texels,
        pyramids=pyramids,
        levels=levels,
    )


def _mipmaps(textures: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """texels, pyramids, levels of :class:`Geometry`, and (K,) bool whether a texture has holes."""
    texels: list[Tensor] = []
    pyramids: list[tuple[int, int]] = []
    levels: list[tuple[int, int, int]] = []
    holes: list[bool] = []
    first = 0
    for image in textures or (torch.ones(1, 1, 3),):
        height, width, channels = image.shape
        level = torch.ones(height, width, 4, device=device)
        level[..., :channels] = image
        holes.append(bool((level[..., 3] < 0.5).any()))
        start = len(levels)
        while True:
            texels.append((level.reshape(-1, 4) * 255).round() / 255)
            levels.append((first, height, width))
            first += height * width
            if height == 1 and width == 1:
                break
            height, width = max(1, height // 2), max(1, width // 2)
            smaller = torch.nn.functional.adaptive_avg_pool2d(level.permute(2, 0, 1)[None], (height, width))
            level = smaller[0].permute(1, 2, 0)
        pyramids.append((start, len(levels) - start))
    table = torch.tensor(pyramids, device=device), torch.tensor(levels, device=device)
    return torch.cat(texels), *table, torch.tensor(holes, device=device)


def _neighbors(faces: Tensor) -> tuple[Tensor, Tensor]:
    """twin (F,) and neighbors (F, 3) of :class:`Geometry` from welded faces (F, 3)."""
    count = len(faces)
    device = faces.device
    number = torch.arange(count, device=device)
    _, same = torch.unique(faces.sort(-1).values, dim=0, return_inverse=True)
    twin = torch.full((count,), count, device=device).scatter_reduce_(0, same, number, "amin")[same]

    first = (twin == number).nonzero().flatten()
    ends = torch.stack([faces[first][:, [(k + 1) % 3, (k + 2) % 3]] for k in range(3)], 1).view(-1, 2)
    owner = 4 * first.repeat_interleave(3) + torch.arange(3, device=device).repeat(len(first))
    low, high = ends.amin(-1), ends.amax(-1)
    order = torch.argsort(low * (int(faces.max()) + 1) + high, stable=True)
    key = (low * (int(faces.max()) + 1) + high)[order]
    _, counts = torch.unique_consecutive(key, return_counts=True)
    start = (counts.cumsum(0) - counts)[counts == 2]
    one, other = owner[order[start]], owner[order[start + 1]]
    neighbors = torch.full((count, 4), -1, dtype=torch.int64, device=device).flatten()
    neighbors[one], neighbors[other] = other, one
    return twin, neighbors.view(count, 4)[:, :3].contiguous()


def _seams(faces: Tensor, neighbors: Tensor, attributes: Tensor) -> Tensor:
    """(F, 3) bool: whether the corner attributes (F, 3, A) of the two faces at an edge differ at its ends."""
    seams = torch.ones_like(neighbors, dtype=torch.bool)
    face, edge = (neighbors >= 0).nonzero(as_tuple=True)
    other, across = neighbors[face, edge] >> 2, neighbors[face, edge] & 3
    same = torch.ones(len(face), dtype=torch.bool, device=faces.device)
    for step in (1, 2):
        corner = (edge + step) % 3
        first, second = (across + 1) % 3, (across + 2) % 3
        match = torch.where(faces[other, first] == faces[face, corner], first, second)
        same &= ((attributes[face, corner] - attributes[other, match]).abs() <= 1e-4).all(-1)
    seams[face, edge] = ~same
    return seams


def _partner(faces: Tensor, twin: Tensor, cutout: Tensor) -> Tensor:
    """(F,) int64: the first coincident face in the other winding; -1 for none or where one of them has holes."""
    count = len(faces)
    number = torch.arange(count, device=faces.device)
    lowest = faces.argmin(-1)
    winding = (faces[number, (lowest + 1) % 3] < faces[number, (lowest + 2) % 3]).to(torch.int64)
    first = torch.full((2 * count,), count, device=faces.device)
    first.scatter_reduce_(0, 2 * twin + winding, number, "amin")
    other = first[2 * twin + 1 - winding]
    solid = torch.zeros_like(number).index_add_(0, twin, cutout.to(torch.int64)) == 0
    return torch.where((other < count) & solid[twin], other, -1)
