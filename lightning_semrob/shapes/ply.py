"""PLY: polygons or strips, with colours at vertices or faces, or a texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_semrob.shapes.files import text_of
from lightning_semrob.shapes.images import Paint
from lightning_semrob.shapes.parts import DEFAULT_COLOR, Part, Source, part
from lightning_semrob.shapes.polygons import strip, triangulate

_TYPES = {"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2"}
_TYPES |= {"uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4"}
_TYPES |= {"double": "f8", "float64": "f8", "int64": "i8", "uint64": "u8"}
_COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_PLACES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("s0", "t0"), ("u0", "v0"))


@dataclass
class Rows:
    """The values of one list property: how many each row has, and all of them, row after row."""

    counts: NDArray[np.int64]
    values: NDArray[Any]


Element = dict[str, Any]


def read_ply(source: Source) -> list[Part]:
    """The part of a PLY file; face colours are taken where vertices have none, or all the same one."""
    elements, textures = _elements(source.data)
    vertex, face = elements.get("vertex"), elements.get("face", {})
    if vertex is None or not {"x", "y", "z"} <= vertex.keys():
        raise ValueError("it holds no vertices")
    points = np.stack([vertex[name] for name in "xyz"], -1).astype(np.float64)
    lists = next((face[name] for name in ("vertex_indices", "vertex_index") if name in face), None)
    strips = next(
        (e["vertex_indices"] for n, e in elements.items() if n == "tristrips" and "vertex_indices" in e), None
    )
    if lists is not None and len(lists.values):
        at = lists.values.astype(np.int64)
        _check(at, len(points))
        corner, owner = triangulate(points[at], lists.counts)
        faces = at[corner]
    elif strips is not None:
        faces, owner, corner = _strips(strips.values.astype(np.int64)), None, None
        _check(faces, len(points))
    else:
        raise ValueError("it holds no faces: a cloud of points is not drawn")
    colors: Any = None
    at_vertices, at_faces = _colors(vertex), _colors(face)
    if at_vertices is not None and not (at_faces is not None and (at_vertices == at_vertices[:1]).all()):
        colors = at_vertices[faces]
    elif at_faces is not None and owner is not None:
        colors = at_faces[owner]
    uv, paint = _uv(vertex, face, faces, corner, owner, lists), None
    if uv is not None and textures:
        if len(textures) > 1:
            source.note(f"names {len(textures)} textures, of which {textures[0]} alone is drawn")
        image = source.image(textures[0])
        if image is not None:
            paint = Paint(image, holes=None if source.textures.opaque(image, 0.5) else 0.5)
    if colors is None:
        colors = DEFAULT_COLOR if paint is None else (1.0, 1.0, 1.0)
    return [part(source, points, faces, colors, uv, paint)]


def _check(index: NDArray[np.int64], count: int) -> None:
    if len(index) and (index.min() < 0 or index.max() >= count):
        raise ValueError("a face names a vertex that does not exist")


def _strips(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """(T, 3) the triangles of strips that -1 separates."""
    pieces = np.split(values, np.flatnonzero(values < 0))
    found = [strip(piece[piece >= 0]) for piece in pieces if (piece >= 0).sum() >= 3]
    if not found:
        raise ValueError("it holds no faces: its strips are empty")
    return np.concatenate(found)


def _colors(element: Element) -> NDArray[np.float64] | None:
    """(N, 3) display values, None where the element has none."""
    for names in _COLORS:
        if all(name in element for name in names):
            values = np.stack([element[name] for name in names], -1)
            if values.dtype.kind in "iu":
                return values / float(np.iinfo(values.dtype).max)
            return values / (255.0 if values.size and np.nanmax(values) > 1 else 1.0)
    return None


def _uv(
    vertex: Element,
    face: Element,
    faces: NDArray[np.int64],
    corner: NDArray[np.int64] | None,
    owner: NDArray[np.int64] | None,
    lists: Rows | None,
) -> NDArray[np.float64] | None:
    """(F, 3, 2) with the second coordinate down, from the list of each face or from the vertices."""
    own = face.get("texcoord")
    uv: Any = None
    if isinstance(own, Rows) and corner is not None and owner is not None and lists is not None:
        has = own.counts == 2 * lists.counts
        first = np.cumsum(own.counts) - own.counts
        within = corner - (np.cumsum(lists.counts) - lists.counts)[owner][:, None]
        index = np.where(has[owner][:, None], first[owner][:, None] + 2 * within, 0)
        if len(own.values) > 1:
            uv = np.stack((own.values[index], own.values[index + 1]), -1).astype(np.float64)
            uv[~has[owner]] = np.nan
    else:
        names = next((pair for pair in _PLACES if all(name in vertex for name in pair)), None)
        if names is not None:
            uv = np.stack([vertex[name] for name in names], -1).astype(np.float64)[faces]
    return None if uv is None else np.stack((uv[..., 0], 1 - uv[..., 1]), -1)


def _elements(data: bytes) -> tuple[dict[str, Element], list[str]]:
    """Element name -> property name -> values (N,) or rows, and the textures that comments name."""
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise ValueError("it has no header of a PLY file")
    start = end + len(b"end_header")
    start += 2 if data[start : start + 2] == b"\r\n" else 1
    form, textures = "", []
    layout: list[tuple[str, int, list[tuple[str, str, str | None]]]] = []
    for line in text_of(data[:end]).replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        words = line.split()
        if words[:1] == ["format"]:
            form = words[1]
        elif words[:2] in (["comment", "TextureFile"], ["comment", "texturefile"]):
            textures.append(line.split(maxsplit=2)[2].strip())
        elif words[:1] == ["element"]:
            layout.append((words[1], int(words[2]), []))
        elif words[:2] == ["property", "list"]:
            layout[-1][2].append((words[4], _TYPES[words[3]], _TYPES[words[2]]))
        elif words[:1] == ["property"]:
            layout[-1][2].append((words[2], _TYPES[words[1]], None))
    found: dict[str, Element] = {}
    if form == "ascii":
        rows = [line.split() for line in data[start:].replace(b"\r", b"\n").split(b"\n") if line.strip()]
        for name, count, properties in layout:
            if len(rows) < count:
                raise ValueError(f"it ends before its {count} rows of '{name}'")
            found[name] = _ascii(rows[:count], properties)
            rows = rows[count:]
    elif form in ("binary_little_endian", "binary_big_endian"):
        order = "<" if form == "binary_little_endian" else ">"
        at = start
        for name, count, properties in layout:
            found[name], at = _binary(data, at, count, properties, order)
    else:
        raise ValueError(f"it has the unknown format '{form}'")
    return found, textures


def _native(values: NDArray[Any], kind: str) -> NDArray[Any]:
    return values.astype(np.dtype(kind))


def _ascii(rows: list[list[bytes]], properties: Any) -> Element:
    """The element of rows of words; words that the header does not speak of stand at the ends of rows."""
    columns: dict[str, list[bytes]] = {name: [] for name, _, _ in properties}
    sizes: dict[str, list[int]] = {name: [] for name, _, size in properties if size}
    for row in rows:
        at = 0
        for name, _, size in properties:
            many = 1
            if at >= len(row):
                raise ValueError("a row has fewer values than its header says")
            if size:
                many = int(row[at])
                sizes[name].append(many)
                at += 1
            words = row[at : at + many]
            if len(words) < many:
                raise ValueError("a row has fewer values than its header says")
            columns[name] += words
            at += many
    element: Element = {}
    for name, kind, size in properties:
        values = _parsed(np.array(columns[name]), kind)
        element[name] = _rows(sizes[name], values) if size else values
    return element


def _parsed(words: NDArray[Any], kind: str) -> NDArray[Any]:
    if not len(words):
        return np.empty(0, kind)
    numbers = words.astype(np.float64)
    if not kind.startswith("f") and len(numbers) and (numbers % 1).any():
        return numbers  # colours in [0, 1], said to be bytes
    return numbers.astype(kind)


def _rows(sizes: Any, values: NDArray[Any]) -> Rows:
    counts = np.asarray(sizes, np.int64)
    if counts.sum() != len(values) or (len(counts) and counts.min() < 0):
        raise ValueError("it ends within an element")
    return Rows(counts, values)


def _binary(data: bytes, at: int, count: int, properties: Any, order: str) -> tuple[Element, int]:
    """The element that begins at byte ``at``, and the byte after it."""
    many = {name: 0 for name, _, size in properties if size}
    if many and count:  # most often all rows are as long as the first
        offset = at
        for name, kind, size in properties:
            if size:
                many[name] = int(np.frombuffer(data, order + size, 1, offset)[0])
                offset += np.dtype(size).itemsize + max(0, many[name]) * np.dtype(kind).itemsize
            else:
                offset += np.dtype(kind).itemsize
    if all(0 <= length <= len(data) for length in many.values()):
        fields: list[Any] = []
        for name, kind, size in properties:
            fields += [(f"{name} size", order + size)] if size else []
            fields.append((name, order + kind, (many[name],)) if size else (name, order + kind))
        row = np.dtype(fields)
        if at + row.itemsize * count <= len(data):
            table = np.frombuffer(data, row, count, at)
            if all((table[f"{name} size"] == length).all() for name, length in many.items()):
                element: Element = {
                    name: _rows(np.full(count, many[name]), _native(table[name].reshape(-1), kind))
                    if size
                    else _native(table[name], kind)
                    for name, kind, size in properties
                }
                return element, at + row.itemsize * count
    if not many:
        raise ValueError("it ends within an element")
    return _binary_rows(data, at, count, properties, order)


def _binary_rows(data: bytes, at: int, count: int, properties: Any, order: str) -> tuple[Element, int]:
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name, _, _ in properties}
    sizes: dict[str, list[int]] = {name: [] for name, _, size in properties if size}
    kinds = {
        name: (np.dtype(order + kind), np.dtype(order + size) if size else None) for name, kind, size in properties
    }
    for _ in range(count):
        for name, (kind, size) in kinds.items():
            length = 1
            if size is not None:
                length = int(np.frombuffer(data, size, 1, at)[0])
                sizes[name].append(length)
                at += size.itemsize
            if length < 0:
                raise ValueError("a list has a negative length")
            columns[name].append(np.frombuffer(data, kind, length, at) if length else np.empty(0, kind))
            at += kind.itemsize * length
    element: Element = {}
    for name, kind, size in properties:
        values = _native(np.concatenate(columns[name]) if columns[name] else np.empty(0), kind)
        element[name] = _rows(sizes[name], values) if size else values
    return element, at
