"""Mesh files of any kind that is read: which reader takes which."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lightning_semrob.shapes.files import Assets, FolderAssets, MeshFileError, ZipAssets
from lightning_semrob.shapes.gltf_scene import read_gltf
from lightning_semrob.shapes.libraries import read_3mf, read_collada, read_stl, read_usd
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.shapes.obj import read_obj
from lightning_semrob.shapes.off import read_off
from lightning_semrob.shapes.parts import DEFAULT_COLOR as DEFAULT_COLOR
from lightning_semrob.shapes.parts import Part, Source, assemble
from lightning_semrob.shapes.ply import read_ply

READERS: Mapping[str, Callable[[Source], list[Part]]] = {
    ".obj": read_obj,
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".ply": read_ply,
    ".off": read_off,
    ".stl": read_stl,
    ".dae": read_collada,
    ".3mf": read_3mf,
    ".usdz": read_usd,
    ".usd": read_usd,
    ".usda": read_usd,
    ".usdc": read_usd,
}
"""What reads the parts of a file, by its suffix."""

MESH_SUFFIXES = (*READERS, ".zip")


def load_mesh(path: str | Path) -> Mesh:
    """Read a mesh file: flat shaded, centred, longest side 2.

    Axes stay as they are in the file, unless its format says which one is up: up is +y here, as in ShapeNet and glTF.
    (ShapeNet's fronts look to -z: azimuth 180 sees the seat of a chair, the nose of an aeroplane.) Materials,
    textures, vertex and face colours are kept; docs/howto/meshes.md has the table of what is read. What is not drawn
    as the file has it is warned of and kept in ``notes``. Degenerate faces are dropped and counted in
    ``dropped_faces``.

    Args:
        path: a file of one of ``MESH_SUFFIXES``; a ZIP archive holds one such file and those that it names.

    Raises:
        MeshFileError: for a file that is missing, empty, broken, too large, or that cannot be drawn as it is meant; it
            names the file and the remedy.
    """
    file = Path(path)
    if file.suffix.lower() not in MESH_SUFFIXES:
        raise MeshFileError(f"mesh file '{file}' is not one of {', '.join(MESH_SUFFIXES)}: convert it to one of them")
    if not file.is_file():
        raise MeshFileError(f"there is no mesh file '{file}': check the path")
    if file.stat().st_size == 0:
        raise MeshFileError(f"mesh file '{file}' is empty: export or download it again")
    try:
        source, suffix = _source(file)
        mesh = assemble(READERS[suffix](source), source.name)
    except MeshFileError:
        raise
    except MemoryError as error:
        raise MeshFileError(f"mesh file '{file}' does not fit into memory: simplify it") from error
    except Exception as error:
        said = str(error) if isinstance(error, ValueError) else f"it is broken, {type(error).__name__}: {error}"
        raise MeshFileError(
            f"mesh file '{file}' cannot be read ({said}): "
            "open it in a mesh viewer and export it again as OBJ, GLB, PLY or OFF"
        ) from error
    for note in source.notes:
        warnings.warn(f"mesh file '{file}' {note}", stacklevel=2)
    return replace(mesh, notes=tuple(source.notes))


def _source(file: Path) -> tuple[Source, str]:
    """The file to read, and the suffix that says how; of an archive, the one mesh file in it."""
    folder = FolderAssets(file)
    data = folder.main(file)
    suffix = file.suffix.lower()
    assets: Assets = folder
    if suffix == ".zip":
        archive = ZipAssets(file, data)
        names = [name for name in archive.names() if PurePosixPath(name).suffix.lower() in READERS]
        named = [name for name in names if PurePosixPath(name).stem in (file.stem, "model_normalized")]
        if len(names) != 1 and len(named) != 1:
            some = f" ({', '.join(names[:5])})" if names else ""
            raise MeshFileError(
                f"mesh file '{file}' holds {len(names)} mesh files{some}: an archive is read if it holds one; unpack "
                "it and name the file"
            )
        name = names[0] if len(names) == 1 else named[0]
        data, assets, suffix = archive.main(name), archive, PurePosixPath(name).suffix.lower()
    if suffix == ".gltf" and data[:4] == b"glTF":
        suffix = ".glb"
    return Source(str(file), data, assets), suffix
