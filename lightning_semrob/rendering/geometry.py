"""A mesh laid out for rasterising: corner positions, normals, colours and all textures in one table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.shapes.mesh import Mesh

__all__ = ["Geometry", "prepare"]


@dataclass(frozen=True)
class Geometry:
    """What the rasteriser reads of one mesh. F faces, T texels.

    Args:
        corners: (F, 3, 3) float32, world positions of the corners of each face.
        normals: (F, 3, 3) float32 unit normals at the corners; all three equal on a flat face.
        flat: (F,) bool, whether the three normals of the face are equal.
        colors: (F, 3, 3) float32, colours at the corners.
        uv: (F, 3, 2) float32, texture coordinates (zeros without texture).
        texture: (F,) int64, row of ``table``, -1 for none.
        texels: (T, 4) float32, every texture's rows one after another.
        table: (K, 3) int64, of each texture: first texel, height, width.
    """

    corners: Tensor
    normals: Tensor
    flat: Tensor
    colors: Tensor
    uv: Tensor
    texture: Tensor
    texels: Tensor
    table: Tensor


def prepare(mesh: Mesh) -> Geometry:
    """Lay out ``mesh`` for the rasteriser, on the mesh's device."""
    device = mesh.vertices.device
    faces = len(mesh.faces)
    corners = mesh.vertices.to(torch.float32)[mesh.faces]
    if mesh.corner_normals is None:
        edge1, edge2 = (corners[:, 1] - corners[:, 0]).double(), (corners[:, 2] - corners[:, 0]).double()
        normal = torch.nn.functional.normalize(torch.linalg.cross(edge1, edge2), dim=-1, eps=1e-30)
        normals = normal.float()[:, None].expand(faces, 3, 3).contiguous()
    else:
        normals = mesh.corner_normals.to(torch.float32)
    uv = mesh.corner_uv if mesh.corner_uv is not None else torch.zeros(faces, 3, 2, device=device)
    if mesh.face_texture is None or not mesh.textures or mesh.corner_uv is None:
        texture = torch.full((faces,), -1, dtype=torch.int64, device=device)
    else:
        texture = mesh.face_texture.to(torch.int64)
    texels, table, first = [], [], 0
    for image in mesh.textures:
        height, width, channels = image.shape
        rgba = torch.ones(height, width, 4, device=device)
        rgba[..., :channels] = image
        texels.append(rgba.reshape(-1, 4))
        table.append((first, height, width))
        first += height * width
    return Geometry(
        corners=corners.contiguous(),
        normals=normals,
        flat=(normals == normals[:, :1]).flatten(1).all(1),
        colors=mesh.corner_colors.to(torch.float32),
        uv=uv.to(torch.float32),
        texture=texture,
        texels=torch.cat(texels) if texels else torch.ones(1, 4, device=device),
        table=torch.tensor(table or [(0, 1, 1)], dtype=torch.int64, device=device),
    )
