"""Formats that other packages read: COLLADA by pycollada, STL and 3MF by trimesh."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_semrob.shapes.files import MAX_BYTES, MeshFileError
from lightning_semrob.shapes.images import Paint
from lightning_semrob.shapes.parts import DEFAULT_COLOR, Part, Source, part
from lightning_semrob.shapes.polygons import triangulate

__all__ = ["read_3mf", "read_collada", "read_stl"]

#: (3, 3) from an up axis to +y, by the name that COLLADA has for it.
_UP = {
    "X_UP": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "Y_UP": np.eye(3),
    "Z_UP": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


def read_stl(source: Source) -> list[Part]:
    """The parts of an STL file, with its face colours; which way is up it does not say: +y is taken."""
    return _trimesh(source, "stl", np.eye(3))


def read_3mf(source: Source) -> list[Part]:
    """The parts of a 3MF file: up is +z by its standard. Its colours are not read."""
    _needs(source, "3MF", {"lxml": "lxml", "networkx": "networkx"})
    with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
            raise MeshFileError(f"mesh file '{source.name}' unpacks to more than {MAX_BYTES // 2**20} MiB: reduce it")
        models = [archive.read(name) for name in archive.namelist() if name.lower().endswith(".model")]
    if any(word in model for model in models for word in (b"displaycolor", b"colorgroup", b"texture2d")):
        source.note("has colours or textures: of 3MF the form alone is read")
    return _trimesh(source, "3mf", _UP["Z_UP"])


def _needs(source: Source, what: str, packages: Mapping[str, str]) -> None:
    """Refuse where a module, whose package is the value, is not installed."""
    from importlib.util import find_spec

    lacking = [package for module, package in packages.items() if find_spec(module) is None]
    if lacking:
        raise MeshFileError(f"mesh file '{source.name}' is {what}: run 'pip install {' '.join(lacking)}' to read it")


def _trimesh(source: Source, kind: str, up: NDArray[np.float64]) -> list[Part]:
    import trimesh

    with warnings.catch_warnings():
        # numpy's text parser only warns about numbers that it cannot read
        warnings.filterwarnings("error", message="string or file could not be read")
        scene = trimesh.load_scene(io.BytesIO(source.data), file_type=kind, process=False)
    found = []
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        geometry = scene.geometry[name]
        if not isinstance(geometry, trimesh.Trimesh) or not len(geometry.faces):
            continue
        faces = np.asarray(geometry.faces, np.int64)
        points = (np.asarray(geometry.vertices, np.float64) @ matrix[:3, :3].T + matrix[:3, 3]) @ up.T
        if np.linalg.det(matrix[:3, :3]) < 0:
            faces = faces[:, ::-1]
        colors: Any = DEFAULT_COLOR
        visual: Any = geometry.visual
        if visual.kind == "face":
            colors = np.asarray(visual.face_colors)[:, :3] / 255.0
        elif visual.kind == "vertex":
            colors = np.asarray(visual.vertex_colors)[faces, :3] / 255.0
        found.append(part(source, points, faces, colors))
    return found


def read_collada(source: Source) -> list[Part]:
    """The parts of a COLLADA file, turned so that its up axis is +y; skins stay in their bind pose."""
    _needs(source, "COLLADA", {"collada": "pycollada"})
    import collada

    def read(name: str) -> bytes:
        data = source.assets.read(name)
        if data is None:
            raise collada.common.DaeBrokenRefError(name)
        return data

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # pycollada uses numpy.matrix
        return _collada(source, collada.Collada(io.BytesIO(source.data), [collada.common.DaeError], read))


def _collada(source: Source, document: Any) -> list[Part]:
    up = _UP.get(str(document.assetInfo.upaxis), np.eye(3))
    found: list[Part] = []
    if document.scene is None:
        return found
    for kind in ("geometry", "controller"):
        for bound in document.scene.objects(kind):
            if not hasattr(bound, "geometry" if kind == "controller" else "primitives"):
                source.note("has morph targets, which are not read from COLLADA")
                continue
            if kind == "controller":
                source.note("has skins, which are drawn in their bind pose")
                bound = bound.geometry
            found += [
                each
                for primitive in bound.primitives()
                if (each := _polygons(source, primitive, bound.matrix, up)) is not None
            ]
    return found


def _polygons(source: Source, primitive: Any, matrix: Any, up: NDArray[np.float64]) -> Part | None:
    """One list of polygons with one material; None for lines."""
    index = primitive.vertex_index if hasattr(primitive, "vertex_index") else None
    if index is None or index.ndim > 2 or primitive.vertex is None or not len(index):
        return None
    original = primitive.original
    if index.ndim == 2 and index.shape[1] != 3:
        return None
    counts = np.asarray(original.vcounts, np.int64) if hasattr(original, "vcounts") else np.full(len(index), 3)
    points = np.asarray(primitive.vertex, np.float64) @ up.T
    flat = np.asarray(index, np.int64).reshape(-1)
    corner, _ = triangulate(points[flat], counts)
    if not len(corner):
        return None
    if np.linalg.det(matrix[:3, :3]) < 0:
        corner = corner[:, ::-1]
    effect = primitive.material.effect if primitive.material is not None else None
    color, paint, uv = _look(source, effect, primitive)
    tint = original.sources.get("COLOR")
    if tint:
        where = np.asarray(original.index, np.int64).reshape(len(flat), -1)[:, tint[0][0]]
        colors = np.asarray(tint[0][4].data, np.float64)[where[corner]][..., :3] * (1.0 if color is None else color)
    elif color is None:
        colors = np.array(DEFAULT_COLOR)
    else:
        colors = np.asarray(color)
    return part(source, points, flat[corner], colors, None if uv is None else uv[corner], paint)


def _look(source: Source, effect: Any, primitive: Any) -> tuple[Any, Paint | None, Any]:
    """The colour, the texture and the coordinates (C, 2) of an effect; what it gives off is added to its colour."""
    import collada

    if effect is None:
        return None, None, None
    diffuse, glow = effect.diffuse, effect.emission
    if isinstance(diffuse, collada.material.Map):
        image = source.image(diffuse.sampler.surface.image.path)
        sets = primitive.texcoordset
        if image is None or not sets:
            return (1.0, 1.0, 1.0) if image is not None else None, None, None
        number = 0
        wanted = (getattr(primitive, "inputmap", None) or {}).get(diffuse.texcoord)
        if wanted is not None and wanted[1] is not None and str(wanted[1]).isdigit():
            number = min(int(wanted[1]), len(sets) - 1)
        index = np.asarray(primitive.texcoord_indexset[number], np.int64).reshape(-1)
        uv = np.asarray(sets[number], np.float64)[index][:, :2]
        holes = None if source.textures.opaque(image, 0.5) else 0.5
        return (1.0, 1.0, 1.0), Paint(image, holes=holes), np.stack((uv[:, 0], 1 - uv[:, 1]), -1)
    color = np.zeros(3) if diffuse is None and glow is not None else None
    if diffuse is not None:
        color = np.asarray(diffuse, np.float64)[:3]
    if glow is not None and not isinstance(glow, collada.material.Map):
        color = np.asarray(glow, np.float64)[:3] + (0.0 if color is None else color)
    return (None if color is None else np.clip(color, 0, 1)), None, None
