"""Mesh files: OBJ with MTL and textures, GLB, PLY, OFF."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.shapes.mesh import Mesh, merge, normalize, remove_degenerate_faces

__all__ = ["DEFAULT_COLOR", "MESH_SUFFIXES", "MeshFileError", "load_mesh"]

MESH_SUFFIXES = (".obj", ".glb", ".gltf", ".ply", ".off")

DEFAULT_COLOR = (0.8, 0.8, 0.8)
"""Colour of faces that have neither a material nor vertex colours: a neutral light grey."""

# A texture is at most this many pixels wide: more than that only aliases in images of a few hundred pixels.
MAX_TEXTURE_SIZE = 1024


class MeshFileError(ValueError):
    """A mesh file is missing, empty or broken."""


def load_mesh(path: str | Path) -> Mesh:
    """Read a mesh file: flat shaded, centred, longest side 2.

    Axes stay as they are in the file: up must be +y, as in ShapeNet and glTF. (ShapeNet's fronts look to -z: azimuth
    180 sees the seat of a chair, the nose of an aeroplane.) Materials, textures, vertex and face
    colours are kept; opacity is ignored. Degenerate faces are dropped and counted in ``dropped_faces``.

    Args:
        path: .obj (its .mtl and textures are found beside it), .glb, .gltf, .ply or .off.

    Raises:
        MeshFileError: for a missing, empty or broken file; it names the file and the remedy.
    """
    file = Path(path)
    if file.suffix.lower() not in MESH_SUFFIXES:
        raise MeshFileError(f"mesh file '{file}' is not one of {', '.join(MESH_SUFFIXES)}: convert it to one of them")
    if not file.is_file():
        raise MeshFileError(f"there is no mesh file '{file}': check the path")
    if file.stat().st_size == 0:
        raise MeshFileError(f"mesh file '{file}' is empty: export or download it again")
    import trimesh
    from trimesh.resolvers import FilePathResolver

    missing = _missing_assets(file) if file.suffix.lower() == ".obj" else []
    if missing:
        warnings.warn(
            f"mesh file '{file}' names {', '.join(missing)}, not found beside it: those faces lose their colours; "
            "copy the files there",
            stacklevel=2,
        )
    try:
        resolver = FilePathResolver(str(file))
        resolver.allow_anywhere = True  # ShapeNet's textures are in ../images
        with warnings.catch_warnings():
            # numpy's text parser only warns about numbers that it cannot read
            warnings.filterwarnings("error", message="string or file could not be read")
            scene = trimesh.load_scene(file, process=False, resolver=resolver)
        parts = [
            _part(scene.geometry[name], matrix)
            for matrix, name in (scene.graph[node] for node in scene.graph.nodes_geometry)
            if isinstance(scene.geometry[name], trimesh.Trimesh) and len(scene.geometry[name].faces)
        ]
        if not parts:
            raise ValueError("it holds no triangles")
        mesh = remove_degenerate_faces(merge(parts, str(file)))
        return normalize(mesh)
    except Exception as error:
        raise MeshFileError(
            f"mesh file '{file}' cannot be read ({type(error).__name__}: {error}): "
            "open it in a mesh viewer and export it again as OBJ, GLB, PLY or OFF"
        ) from error


def _missing_assets(file: Path) -> list[str]:
    """The material files and textures that an OBJ file names and that do not exist."""
    missing = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        libraries = [line.split(maxsplit=1)[1].strip() for line in lines if line.startswith("mtllib ")]
    for library in libraries:
        material = file.parent / library
        if not material.is_file():
            missing.append(library)
            continue
        for line in material.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split(maxsplit=1)
            if len(words) == 2 and words[0].lower() == "map_kd" and not (file.parent / words[1].strip()).is_file():
                missing.append(words[1].strip())
    return missing


def _part(geometry: Any, matrix: np.ndarray[Any, np.dtype[np.float64]]) -> Mesh:
    """One trimesh geometry in scene coordinates, with at most one texture."""
    vertices = torch.from_numpy(np.asarray(geometry.vertices, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3])
    faces = torch.from_numpy(np.asarray(geometry.faces, dtype=np.int64).copy())
    if np.linalg.det(matrix[:3, :3]) < 0:
        faces = faces.flip(-1)
    colors, texture = _appearance(geometry, faces)
    uv = getattr(geometry.visual, "uv", None)
    if uv is None or len(uv) != len(vertices):
        texture, corner_uv = None, torch.zeros(len(faces), 3, 2)
    else:
        corner_uv = torch.from_numpy(np.nan_to_num(np.asarray(uv, dtype=np.float32)[:, :2]))[faces]
    return Mesh(
        vertices=vertices.float(),
        faces=faces,
        corner_colors=colors,
        corner_uv=corner_uv,
        face_texture=torch.full((len(faces),), -1 if texture is None else 0),
        textures=() if texture is None else (texture,),
    )


def _appearance(geometry: Any, faces: Tensor) -> tuple[Tensor, Tensor | None]:
    """Corner colours (F, 3, 3) and the texture of a geometry."""
    visual = geometry.visual
    plain = torch.tensor(DEFAULT_COLOR)
    if visual.kind == "vertex":
        return torch.from_numpy(np.asarray(visual.vertex_colors)[:, :3] / np.float32(255)).float()[faces], None
    if visual.kind == "face":
        face_colors = torch.from_numpy(np.asarray(visual.face_colors)[:, :3] / np.float32(255)).float()
        return face_colors[:, None].expand(-1, 3, -1).contiguous(), None
    texture = None
    if visual.kind == "texture":
        material = visual.material
        image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
        texture = None if image is None else _texture(image)
        color = _material_color(material)
        if color is not None and not (texture is not None and float(color.max()) == 0):
            plain = color
        elif texture is not None:
            plain = torch.ones(3)
    return plain.expand(len(faces), 3, 3).contiguous(), texture


def _material_color(material: Any) -> Tensor | None:
    """The diffuse colour (3,) that a file gives, None where it gives none."""
    if hasattr(material, "baseColorFactor"):
        value = material.baseColorFactor
    elif "kd" in getattr(material, "kwargs", {}):
        value = material.diffuse
    else:
        value = None
    if value is None:
        return torch.ones(3) if hasattr(material, "baseColorFactor") else None
    rgb = np.asarray(value)
    scale = 255.0 if np.issubdtype(rgb.dtype, np.integer) else 1.0
    return torch.from_numpy((rgb[:3] / scale).astype(np.float32))


def _texture(image: Any) -> Tensor:
    """(H, W, 3 or 4) float32, at most ``MAX_TEXTURE_SIZE`` on a side; 4 only where some pixel is not opaque."""
    image = image.convert("RGBA")
    image.thumbnail((MAX_TEXTURE_SIZE, MAX_TEXTURE_SIZE))
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / np.float32(255))
    return pixels if float(pixels[..., 3].min()) < 1 else pixels[..., :3].contiguous()
