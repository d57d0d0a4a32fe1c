"""What shapes a run takes: from short specifications to a list of :class:`ShapeSpec`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_semrob.shapes.classes import ClassTable, class_key, class_of_folder, class_target
from lightning_semrob.shapes.embedded.procedural import ALL_CLASSES, EMBEDDED_CLASSES, procedural_mesh
from lightning_semrob.shapes.io import MESH_SUFFIXES, load_mesh
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.utilities.messages import did_you_mean


@dataclass(frozen=True)
class ShapeSpec:
    """One shape to evaluate, not loaded yet.

    Args:
        class_name: its class.
        shape_id: unique within the class.
        target: network outputs that count as right.
        source: the seed of an embedded shape, or the path of a mesh file.
    """

    class_name: str
    shape_id: str
    target: tuple[int, ...]
    source: int | Path

    @property
    def from_file(self) -> bool:
        """Whether the mesh is read from a file, of which everything can be expected."""
        return not isinstance(self.source, int)

    def load(self) -> Mesh:
        """Build or read the mesh: centred, longest side 2."""
        if isinstance(self.source, int):
            return procedural_mesh(self.class_name, self.source)
        return load_mesh(self.source)


def resolve_shapes(specs: Sequence[str], table: ClassTable | None = None) -> list[ShapeSpec]:
    """The shapes that the specifications name, in order, each once. Meshes are not loaded.

    A specification is one of

    - ``teapot``: an embedded class, seed 0; ``teapot:3`` seed 3; ``teapot:0-4`` seeds 0 to 4 (a folder of that
      name is written ``./teapot``);
    - ``embedded``: every class of the default set, with ``:seeds`` as above;
    - ``path/to/file.obj=teapot``: a mesh file and its class, by name or ImageNet index;
    - ``folder``: ``class/name.obj``, ``class/id/models/model_normalized.obj`` or ``class/id/<one mesh file>``,
      where ``class`` is a class name or a ShapeNet synset id;
    - ``folder#chair,cup:2``: only these classes, of ``cup`` the first 2 ids; ``*`` stands for all others.

    ``table`` has the classes and their outputs; the registered ones if None.

    Raises:
        ValueError: for an unknown class (with the nearest match), a file or folder that does not exist, a folder
            without shapes, or two shapes of a class with the same id.

    Examples:
        >>> [shape.shape_id for shape in resolve_shapes(["teapot:0-1", "dumbbell"])]
        ['teapot:0', 'teapot:1', 'dumbbell:0']
    """
    if isinstance(specs, str):
        specs = [specs]
    found: dict[tuple[str, str], ShapeSpec] = {}
    for spec in specs:
        for item in _resolve(spec.strip(), table):
            key = (item.class_name, item.shape_id)
            if found.setdefault(key, item) != item:
                raise ValueError(
                    f"two shapes of class '{item.class_name}' have the id '{item.shape_id}' "
                    f"({found[key].source} and {item.source}): rename one of the files"
                )
    if not found:
        raise ValueError("no shapes are given: name at least one, e.g. 'teapot' or 'embedded'")
    return list(found.values())


def _resolve(spec: str, table: ClassTable | None) -> Iterator[ShapeSpec]:
    folder, hash_mark, selection = spec.rpartition("#")
    name, _, seeds = spec.partition(":")
    if class_key(name) in ("embedded", *ALL_CLASSES):
        yield from _embedded(spec, class_key(name), seeds, table)
    elif _path(spec).is_dir():
        yield from _folder(_path(spec), {"*": None}, table)
    elif hash_mark:
        if not _path(folder).is_dir():
            raise ValueError(f"'{spec}': there is no folder '{folder}'; check the path before '#'")
        yield from _folder(_path(folder), _selection(spec, selection, table), table)
    elif "=" in spec:
        path, _, label = spec.rpartition("=")
        file = _path(path)
        if not file.is_file():
            raise ValueError(f"'{spec}': there is no mesh file '{path}'; check the path before '='")
        if file.suffix.lower() not in MESH_SUFFIXES:
            raise ValueError(f"'{spec}': '{path}' is not one of {', '.join(MESH_SUFFIXES)}; convert it to one of them")
        class_name, target = class_target(label, table)
        yield ShapeSpec(class_name, _file_id(file), target, file)
    elif _path(spec).suffix.lower() in MESH_SUFFIXES:
        raise ValueError(f"'{spec}' does not name its class: write '{spec}=<class name or ImageNet index>'")
    else:
        hint = did_you_mean(class_key(name), ["embedded", *ALL_CLASSES], before="")
        hint = hint or f"the embedded classes are {', '.join(ALL_CLASSES)};"
        raise ValueError(
            f"'{spec}' is no embedded class, no mesh file and no folder: {hint} "
            "Files are written 'path/to/file.obj=class', folders 'folder' or 'folder#class1,class2'"
        )


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _file_id(file: Path) -> str:
    """The id of a mesh file: that of its folder in ShapeNet's layout ``id/models/model_normalized.obj``."""
    if file.stem == "model_normalized" and file.parent.name == "models":
        return _shown_name(file.resolve().parent.parent.name)
    return _shown_name(file.stem)


def _shown_name(name: str) -> str:
    r"""A file's name as text; bytes that are no UTF-8 as ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _embedded(spec: str, name: str, seeds: str, table: ClassTable | None) -> Iterator[ShapeSpec]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", seeds or "0")
    if not match or (match[2] is not None and int(match[2]) < int(match[1])):
        raise ValueError(f"'{spec}' has the seeds '{seeds}': write one ('{name}:3') or a range ('{name}:0-4')")
    low, high = int(match[1]), int(match[2] or match[1])
    for class_name in EMBEDDED_CLASSES if name == "embedded" else (name,):
        for seed in range(low, high + 1):
            yield ShapeSpec(class_name, f"{class_name}:{seed}", class_target(class_name, table)[1], seed)


def _selection(spec: str, text: str, table: ClassTable | None) -> dict[str, int | None]:
    """Class or folder name (or ``*``) -> largest number of shapes, None for all."""
    selection: dict[str, int | None] = {}
    for item in text.split(","):
        name, colon, count = (part.strip() for part in item.partition(":"))
        if not name or (colon and not (count.isdecimal() and int(count) > 0)):
            raise ValueError(f"'{spec}' has the selection '{text}': write classes as 'chair,cup:2' or '*:2'")
        selection["*" if name == "*" else class_of_folder(name, table)] = int(count) if colon else None
    return selection


def _folder(root: Path, selection: dict[str, int | None], table: ClassTable | None) -> Iterator[ShapeSpec]:
    folders = {path: path.name for path in _shown(root) if path.is_dir()}
    seen: set[str] = set()
    count = 0
    for path, name in folders.items():
        files = _mesh_files(path)
        if not files or ("*" not in selection and _safe_class(name, table) not in selection):
            continue
        class_name = class_of_folder(name, table)
        seen.add(class_name)
        _, target = class_target(class_name, table)
        limit = selection.get(class_name, selection.get("*"))
        for shape_id, file in files[:limit]:
            count += 1
            yield ShapeSpec(class_name, shape_id, target, file)
    absent = set(selection) - seen - {"*"}
    if absent:
        known = sorted({_safe_class(name, table) for name in folders.values()})
        hint = did_you_mean(sorted(absent)[0], known, before=": ") or ":"
        raise ValueError(f"folder '{root}' has no shapes of {sorted(absent)}{hint} It has {known}")
    if not count:
        raise ValueError(
            f"folder '{root}' has no shapes: it needs class/name.obj or class/id/models/model_normalized.obj "
            f"(also {', '.join(MESH_SUFFIXES[1:])})"
        )


def _safe_class(folder: str, table: ClassTable | None) -> str:
    """The class of a folder, or its own name where the table has none."""
    try:
        return class_of_folder(folder, table)
    except ValueError:
        return folder


def _mesh_files(folder: Path) -> list[tuple[str, Path]]:
    """(shape id, file) of every shape of one class, sorted by id."""
    found: dict[str, Path] = {}
    for path in _shown(folder):
        if path.suffix.lower() in MESH_SUFFIXES and path.is_file():
            found.setdefault(_shown_name(path.stem), path)
        elif path.is_dir():
            normalized = path / "models" / "model_normalized.obj"
            candidates = [normalized] if normalized.is_file() else _files(path / "models") or _files(path)
            if candidates:
                found.setdefault(_shown_name(path.name), candidates[0])
    return sorted(found.items())


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in _shown(folder) if path.suffix.lower() in MESH_SUFFIXES and path.is_file()]


def _shown(folder: Path) -> list[Path]:
    """What a folder holds, sorted; hidden files are no shapes (macOS leaves a ``._mug.obj`` beside every ``mug.obj``).

    Raises:
        ValueError: the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    except OSError as error:
        raise ValueError(f"folder '{folder}' cannot be read ({error.strerror}): check who may read it") from error
