"""The mesh that every renderer takes: triangles with per-corner colours and optional textures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lightning_semrob.utilities.digest import tensors_sha256


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh. F faces, V vertices; the up axis is +y, the front faces +z.

    Args:
        vertices: (V, 3) float32.
        faces: (F, 3) int64, counter-clockwise seen from outside.
        corner_colors: (F, 3, 3) float32 in [0, 1], the colour at each corner of each face: covers vertex,
            face and material colours. Multiplied with the texture where there is one.
        corner_uv: (F, 3, 2) float32 texture coordinates, v up, repeating; needed where ``face_texture >= 0``.
        face_texture: (F,) int64, index into ``textures``, -1 for none.
        textures: each (H, W, 3 or 4) float32 in [0, 1], first row on top.
        corner_normals: (F, 3, 3) float32 unit normals for smooth shading; None for flat.
        name: for messages.
        dropped_faces: how many degenerate faces were dropped on the way here.
        notes: what is not drawn as its file has it, each a sentence without its subject.
    """

    vertices: Tensor
    faces: Tensor
    corner_colors: Tensor
    corner_uv: Tensor | None = None
    face_texture: Tensor | None = None
    textures: tuple[Tensor, ...] = field(default=())
    corner_normals: Tensor | None = None
    name: str = "mesh"
    dropped_faces: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.vertices.dim() != 2 or self.vertices.shape[-1] != 3 or not bool(self.vertices.isfinite().all()):
            raise ValueError(f"mesh '{self.name}': vertices must be (V, 3) and finite")
        if self.faces.dim() != 2 or self.faces.shape[-1] != 3 or len(self.faces) == 0:
            raise ValueError(f"mesh '{self.name}' has no faces: it cannot be rendered")
        if int(self.faces.min()) < 0 or int(self.faces.max()) >= len(self.vertices):
            raise ValueError(f"mesh '{self.name}': a face names a vertex that does not exist")
        if self.corner_colors.shape != (len(self.faces), 3, 3):
            raise ValueError(
                f"mesh '{self.name}': corner_colors must be (F, 3, 3), got {tuple(self.corner_colors.shape)}"
            )

    @property
    def sha256(self) -> str:
        """SHA-256 of all that is drawn (not of name and counts), computed at each access; the same on every device."""
        optional = ("corner_uv", "face_texture", "corner_normals")
        named = [(name, getattr(self, name)) for name in ("vertices", "faces", "corner_colors", *optional)]
        named += [(f"texture {number}", texture) for number, texture in enumerate(self.textures)]
        return tensors_sha256((name, value) for name, value in named if value is not None)

    def to(self, device: torch.device | str) -> Mesh:
        """The same mesh on another device."""

        def move(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(device)

        return replace(
            self,
            vertices=self.vertices.to(device),
            faces=self.faces.to(device),
            corner_colors=self.corner_colors.to(device),
            corner_uv=move(self.corner_uv),
            face_texture=move(self.face_texture),
            textures=tuple(t.to(device) for t in self.textures),
            corner_normals=move(self.corner_normals),
        )


def merge(parts: Sequence[Mesh], name: str = "mesh") -> Mesh:
    """One mesh of several parts; a texture that parts share is kept once, normals only where all parts have them."""
    textures: list[Tensor] = []
    index_of: dict[int, int] = {}
    faces, face_texture, uv, offset = [], [], [], 0
    for part in parts:
        local = [-1]
        for texture in part.textures:
            if id(texture) not in index_of:
                index_of[id(texture)] = len(textures)
                textures.append(texture)
            local.append(index_of[id(texture)])
        count = len(part.faces)
        untextured = torch.full((count,), -1)
        own = untextured if part.face_texture is None else part.face_texture
        face_texture.append(torch.tensor(local)[own + 1])
        uv.append(torch.zeros(count, 3, 2) if part.corner_uv is None else part.corner_uv)
        faces.append(part.faces + offset)
        offset += len(part.vertices)
    normals = [part.corner_normals for part in parts if part.corner_normals is not None]
    return Mesh(
        vertices=torch.cat([part.vertices for part in parts]),
        faces=torch.cat(faces),
        corner_colors=torch.cat([part.corner_colors for part in parts]),
        corner_uv=torch.cat(uv),
        face_texture=torch.cat(face_texture),
        textures=tuple(textures),
        corner_normals=torch.cat(normals) if len(normals) == len(parts) else None,
        name=name,
        dropped_faces=sum(part.dropped_faces for part in parts),
    )


def one_color(mesh: Mesh, grey: float) -> Mesh:
    """The mesh without textures, every surface of the grey level ``grey`` in [0, 1]."""
    colors = torch.full_like(mesh.corner_colors, grey)
    return replace(mesh, corner_colors=colors, corner_uv=None, face_texture=None, textures=())


def remove_degenerate_faces(mesh: Mesh, relative_area: float = 1e-12) -> Mesh:
    """Drop faces with an area below ``relative_area * extent**2`` and count them in ``dropped_faces``.

    Raises:
        ValueError: if no face is left.
    """
    corners = mesh.vertices.double()[mesh.faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1) / 2
    extent = float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max())
    keep = area > relative_area * extent**2
    if bool(keep.all()):
        return mesh
    if not bool(keep.any()):
        raise ValueError(f"mesh '{mesh.name}': every face is degenerate (zero area)")

    def pick(x: Tensor | None) -> Tensor | None:
        return None if x is None else x[keep]

    return replace(
        mesh,
        faces=mesh.faces[keep],
        corner_colors=mesh.corner_colors[keep],
        corner_uv=pick(mesh.corner_uv),
        face_texture=pick(mesh.face_texture),
        corner_normals=pick(mesh.corner_normals),
        dropped_faces=mesh.dropped_faces + int((~keep).sum()),
    )


def normalize(mesh: Mesh) -> Mesh:
    """Centre the bounding box of the used vertices on the origin and scale its longest side to 2."""
    used = mesh.vertices[mesh.faces.unique()]
    low, high = used.amin(0), used.amax(0)
    extent = float((high - low).max())
    if extent <= 0:
        raise ValueError(f"mesh '{mesh.name}' is a single point: it cannot be scaled")
    return replace(mesh, vertices=(mesh.vertices - (low + high) / 2) * (2.0 / extent))
