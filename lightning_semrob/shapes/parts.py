"""Parts of a mesh as a file gives them, and the one mesh that they make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_semrob.shapes.files import Assets, MeshFileError
from lightning_semrob.shapes.images import Paint, Textures, place
from lightning_semrob.shapes.mesh import Mesh, merge, normalize, remove_degenerate_faces

DEFAULT_COLOR = (0.8, 0.8, 0.8)
"""Colour of faces that have neither a material nor vertex colours: a neutral light grey."""

MAX_FACES = 5_000_000
"""A mesh of more triangles is refused: laying it out takes 900 bytes a face."""

Part = Mesh
"""A part is a mesh whose vertices are still float64 and lie where the file says."""


class Source:
    """A mesh file while it is read.

    Args:
        name: of the file, for messages.
        data: its content.
        assets: the files beside it.
    """

    def __init__(self, name: str, data: bytes, assets: Assets) -> None:
        self.name = name
        self.data = data
        self.assets = assets
        self.textures = Textures(name)
        self.notes: list[str] = []
        self.faces = 0

    def note(self, text: str) -> None:
        """Say once what is not drawn as the file has it."""
        if text not in self.notes:
            self.notes.append(text)

    def image(self, name: str, beside: str = "") -> int | None:
        """The number in ``textures`` of an image file; where it cannot be used, None and a note."""
        data = self.assets.read(name, beside)
        if data is None:
            self.note(f"names {name}, not found beside it")
            return None
        number = self.textures.add((name, beside), lambda: data)
        if number is None:
            self.note(f"names {name}, which is no image that Pillow reads")
        return number

    def count(self, faces: int) -> None:
        """Count the triangles of a part; MeshFileError where there are more than ``MAX_FACES``."""
        self.faces += faces
        if self.faces > MAX_FACES:
            raise MeshFileError(f"mesh file '{self.name}' has more than {MAX_FACES:,} triangles: simplify it")


def part(
    source: Source,
    vertices: NDArray[np.float64],
    faces: NDArray[np.int64],
    colors: Any = DEFAULT_COLOR,
    uv: NDArray[np.float64] | None = None,
    paint: Paint | None = None,
    modes: tuple[str, str] = ("repeat", "repeat"),
) -> Part:
    """A part with at most one texture.

    Args:
        source: the file that it comes from.
        vertices: (V, 3); those that no face uses may be anything.
        faces: (F, 3).
        colors: (3,), (F, 3) or (F, 3, 3) display values.
        uv: (F, 3, 2), the second coordinate down the rows; without it, or with numbers that are not finite, there is
            no texture on the face.
        paint: the texture.
        modes: how it goes on beyond its edges, as of :func:`~lightning_semrob.shapes.images.place`.
    """
    source.count(len(faces))
    if len(faces) and (int(faces.min()) < 0 or int(faces.max()) >= len(vertices)):
        raise ValueError("a face names a vertex that does not exist")
    used, faces = np.unique(faces, return_inverse=True)
    points = np.asarray(vertices, np.float64)[used]
    if not np.isfinite(points).all():
        raise ValueError("a vertex that a face uses has a coordinate that is not a finite number")
    faces = faces.reshape(-1, 3)
    tint = np.asarray(colors, np.float32)
    if tint.ndim == 2:
        tint = tint[:, None]
    tint = np.array(np.broadcast_to(tint, (len(faces), 3, 3)), np.float32)
    has = np.zeros(len(faces), bool) if uv is None or paint is None else np.isfinite(uv).all((1, 2))
    textures: tuple[torch.Tensor, ...] = ()
    corner_uv = np.zeros((len(faces), 3, 2))
    if uv is not None and paint is not None and has.any():
        placed, tiles = place(uv[has].astype(np.float64), modes, source.textures.size(paint))
        texture, factor = source.textures.make(paint, tiles)
        tint[has] *= np.asarray(factor, np.float32)
        corner_uv[has] = placed
        corner_uv[..., 1] = 1 - corner_uv[..., 1]
        textures = (texture,)
    return Mesh(
        vertices=torch.from_numpy(points),
        faces=torch.from_numpy(faces.astype(np.int64)),
        corner_colors=torch.from_numpy(np.clip(np.nan_to_num(tint), 0, 1)),
        corner_uv=torch.from_numpy(corner_uv.astype(np.float32)),
        face_texture=torch.from_numpy(np.where(has, 0, -1)),
        textures=textures,
    )


def assemble(parts: Sequence[Part], name: str) -> Mesh:
    """One mesh of the parts: degenerate faces dropped, centred and scaled in float64, then float32."""
    if not parts:
        raise ValueError("it holds no faces: points and lines are not drawn")
    mesh = normalize(remove_degenerate_faces(merge(parts, name)))
    if not math.isfinite(float(mesh.vertices.abs().max())):
        raise ValueError("its coordinates are too large to be scaled")
    return replace(mesh, vertices=mesh.vertices.float())
