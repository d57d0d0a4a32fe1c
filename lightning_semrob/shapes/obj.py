"""Wavefront OBJ and its materials (MTL)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_semrob.shapes.files import lines_of
from lightning_semrob.shapes.images import Paint
from lightning_semrob.shapes.parts import DEFAULT_COLOR, Part, Source, part
from lightning_semrob.shapes.polygons import triangulate

__all__ = ["read_obj"]

#: Words that follow each option of a texture; of those in _NUMBERS one to three, as many as are numbers.
_OPTIONS = {"-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2}
_OPTIONS |= {"-texres": 1, "-type": 1}
_NUMBERS = ("-o", "-s", "-t")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass
class Map:
    """A texture of a material: its file, the values of its options, and the MTL file that names it."""

    name: str
    options: dict[str, list[str]]
    library: str


@dataclass
class Material:
    """What an MTL file says of one material."""

    color: tuple[float, ...] | None = None
    glow: tuple[float, ...] = (0.0, 0.0, 0.0)
    maps: dict[str, Map] = field(default_factory=dict)


def read_obj(source: Source) -> list[Part]:
    """The parts of an OBJ file, one for each material.

    Polygons may be concave, indices relative; vertex colours (``v x y z r g b``) multiply the material's.
    """
    vertices: list[list[str]] = []
    coordinates: list[list[str]] = []
    libraries: list[str] = []
    corners: list[str] = []
    counts: list[int] = []
    before: list[tuple[int, int]] = []  # how many vertices and texture coordinates stand above each polygon
    materials: list[int] = []
    numbers: dict[str | None, int] = {None: 0}
    material = 0
    for line in lines_of(source.data):
        word, rest = [*line.split(maxsplit=1), ""][:2]
        if word in ("v", "vt"):
            (vertices if word == "v" else coordinates).append(rest.partition("#")[0].split())
        elif word in ("f", "fo"):
            words = rest.partition("#")[0].split()
            corners += words
            counts.append(len(words))
            before.append((len(vertices), len(coordinates)))
            materials.append(material)
        elif word == "usemtl":
            material = numbers.setdefault(rest, len(numbers))
        elif word == "mtllib":
            libraries.append(rest)
    if not counts:
        raise ValueError("it holds no faces: points, lines and free-form surfaces are not drawn")
    number = np.array(counts)
    points = _columns(vertices, 3)
    if points is None:
        raise ValueError("it holds no vertices")
    tint = _vertex_colors(vertices)
    places = _columns(coordinates, 2)
    index = _indices(corners, np.repeat(np.array(before), number, 0))
    if index[:, 0].min() < 0 or index[:, 0].max() >= len(points):
        raise ValueError("a face names a vertex that does not exist")
    faces, polygon = triangulate(points[index[:, 0]], number)
    vertex, place = index[faces, 0], index[faces, 1]
    uv = None
    if places is not None:
        known = (place >= 0) & (place < len(places))
        uv = np.where(known[..., None], places[np.where(known, place, 0)], np.nan)
    described = _libraries(source, libraries)
    parts = []
    for name, number_of in numbers.items():
        own = (np.array(materials) == number_of)[polygon]
        if not own.any():
            continue
        if name is not None and name not in described and described:
            source.note(f"uses the material {name}, which its material files do not describe")
        colors = None if tint is None else tint[vertex[own]]
        parts.append(
            _part(source, points, vertex[own], described.get(name or ""), colors, None if uv is None else uv[own])
        )
    return parts


def _part(
    source: Source,
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    material: Material | None,
    tint: NDArray[np.float64] | None,
    uv: NDArray[np.float64] | None,
) -> Part:
    material = material or Material()
    color = material.color
    paint, modes = None, ("repeat", "repeat")
    shown = material.maps.get("map_kd") or material.maps.get("map_ke")
    image = None if shown is None or uv is None else source.image(shown.name, shown.library)
    if shown is not None and image is not None and uv is not None:
        options = shown.options
        scale, offset = (_triple(options, key, fill)[:2] for key, fill in (("-s", 1.0), ("-o", 0.0)))
        uv = uv * scale + offset
        if options.get("-clamp") == ["on"]:
            modes = ("clamp", "clamp")
        base, gain = (float(word) for word in options.get("-mm", ("0", "1")))
        cut = material.maps.get("map_d")
        mask = None
        if cut is not None and cut.name != shown.name:
            mask = source.image(cut.name, cut.library)
        holes = None if mask is None and source.textures.opaque(image, 0.5) else 0.5
        paint = Paint(image, holes=holes, mask=mask, gain=(base, gain))
        if color is None or max(color) == 0:
            color = (1.0, 1.0, 1.0)  # a black material under a texture is an exporter's default
    if color is None:
        color = DEFAULT_COLOR if tint is None else (1.0, 1.0, 1.0)
    colors = np.minimum(np.asarray(color) * (1.0 if tint is None else tint) + np.asarray(material.glow), 1.0)
    if uv is not None:
        uv = np.stack((uv[..., 0], 1 - uv[..., 1]), -1)
    return part(source, points, faces, colors, uv, paint, modes)


def _columns(rows: list[list[str]], count: int) -> NDArray[np.float64] | None:
    """(N, count) the first numbers of each row, 0 where a row is shorter."""
    if not rows:
        return None
    short = [row[:count] if len(row) >= count else [*row, *["0"] * (count - len(row))] for row in rows]
    return np.array(short, dtype=np.float64)


def _vertex_colors(rows: list[list[str]]) -> NDArray[np.float64] | None:
    """(V, 3) the colours behind the coordinates, white where a vertex has none; None where none has."""
    if not any(len(row) >= 6 for row in rows):
        return None
    white = ["nan"] * 3
    colors = np.array([row[3:6] if len(row) >= 6 else white for row in rows], dtype=np.float64)
    largest = np.nanmax(colors)
    return np.nan_to_num(colors / (255 if largest > 1 else 1), nan=1.0)


def _indices(corners: list[str], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """(C, 2) vertex and texture coordinate of each corner, counted from 0; -1 for no texture coordinate."""
    found = np.full((len(corners), 2), 0, np.int64)
    for k, corner in enumerate(corners):
        words = corner.split("/")
        found[k, 0] = int(words[0])
        if len(words) > 1 and words[1]:
            found[k, 1] = int(words[1])
    if (found[:, 0] == 0).any():
        raise ValueError("a face names the vertex 0; vertices are counted from 1")
    return np.where(found < 0, found + before, found - 1)


def _libraries(source: Source, names: Sequence[str]) -> dict[str, Material]:
    """The materials of all material files; of two with one name, the first."""
    found: dict[str, Material] = {}
    for line in dict.fromkeys(names):
        whole = source.assets.read(line)
        files = {line: whole} if whole is not None else {name: source.assets.read(name) for name in line.split()}
        for name, data in files.items():
            if data is None:
                source.note(f"names {name}, not found beside it")
            else:
                for key, material in _materials(data, name).items():
                    found.setdefault(key, material)
    return found


def _materials(data: bytes, library: str) -> dict[str, Material]:
    found: dict[str, Material] = {}
    current = Material()
    for line in lines_of(data):
        word, rest = [*line.split(maxsplit=1), "", ""][:2]
        key = word.lower()
        if key == "newmtl":
            current = found.setdefault(rest, Material())
        elif key == "kd" or key == "ke":
            values = _color(rest)
            if values is not None and key == "kd":
                current.color = values
            elif values is not None:
                current.glow = values
        elif key.startswith("map_") and rest:
            current.maps[key] = _map(rest, library)
    return found


def _color(text: str) -> tuple[float, ...] | None:
    """Red, green and blue; one number stands for all three; None for spectra."""
    try:
        values = [float(word) for word in text.split()[:3]]
    except ValueError:
        return None
    return tuple((values * 3)[:3]) if len(values) == 1 else tuple(values) if len(values) == 3 else None


def _map(text: str, library: str) -> Map:
    options: dict[str, list[str]] = {}
    rest = text
    while rest.startswith("-"):
        option, _, after = rest.partition(" ")
        words = re.split(r"\s+", after.strip())
        key = option.lower()
        if key in _NUMBERS:
            count = next((k for k, word in enumerate(words[:3]) if not _NUMBER.fullmatch(word)), min(3, len(words)))
        elif key in _OPTIONS:
            count = _OPTIONS[key]
        else:
            break
        options[key] = words[:count]
        rest = [*after.strip().split(maxsplit=count), ""][count] if count else after.strip()
    return Map(rest.strip(), options, library)


def _triple(options: dict[str, list[str]], key: str, fill: float) -> Any:
    values = [float(word) for word in options.get(key, [])]
    return np.array([*values, *[fill] * (3 - len(values))])
