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

#: Words that follow each option of a texture; of those in _NUMBERS one to three, as many as are numbers.
_OPTIONS = {"-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2}
_OPTIONS |= {"-texres": 1, "-type": 1}
_NUMBERS = ("-o", "-s", "-t")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class Rows:
    """Rows of words, as one long list: a list of lists of a large file keeps the garbage collector busy."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.widths: list[int] = []

    def add(self, words: list[str]) -> None:
        """Append a row."""
        self.words += words
        self.widths.append(len(words))

    def columns(self, first: int, last: int, fill: float) -> NDArray[np.float64] | None:
        """(N, last - first) numbers of some columns, ``fill`` where a row ends before them; None without rows."""
        if not self.widths:
            return None
        count, width = len(self.widths), max(self.widths)
        numbers = np.array(list(map(float, self.words)))
        if min(self.widths) == width and width >= last:
            return numbers.reshape(count, width)[:, first:last]
        table = np.full((count, max(width, last)), fill)
        row = np.repeat(np.arange(count), self.widths)
        start = np.cumsum(self.widths) - self.widths
        table[row, np.arange(len(numbers)) - start[row]] = numbers
        return table[:, first:last]


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
    vertices, coordinates = Rows(), Rows()
    libraries: list[str] = []
    corners: list[str] = []
    counts: list[int] = []
    before: list[tuple[int, int]] = []  # how many vertices and texture coordinates stand above each polygon
    materials: list[int] = []
    numbers: dict[str | None, int] = {None: 0}
    material = 0
    for line in lines_of(source.data):
        if line.startswith("vn"):
            continue
        word, rest = [*line.split(maxsplit=1), ""][:2]
        if word in ("v", "vt"):
            (vertices if word == "v" else coordinates).add(_words(rest))
        elif word in ("f", "fo"):
            words = _words(rest)
            corners += words
            counts.append(len(words))
            before.append((len(vertices.widths), len(coordinates.widths)))
            materials.append(material)
        elif word == "usemtl":
            material = numbers.setdefault(rest, len(numbers))
        elif word == "mtllib" and rest:
            libraries.append(rest)
    if not counts:
        raise ValueError("it holds no faces: points, lines and free-form surfaces are not drawn")
    number = np.array(counts)
    points = vertices.columns(0, 3, 0.0)
    if points is None:
        raise ValueError("it holds no vertices")
    tint = _vertex_colors(vertices)
    places = coordinates.columns(0, 2, 0.0)
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


def _words(text: str) -> list[str]:
    """The words before a comment."""
    return text.split() if "#" not in text else text.partition("#")[0].split()


def _vertex_colors(vertices: Rows) -> NDArray[np.float64] | None:
    """(V, 3) the colours behind the coordinates, white where a vertex has none; None where none has."""
    if max(vertices.widths) < 6:
        return None
    colors = vertices.columns(3, 6, np.nan)
    assert colors is not None
    colors[np.array(vertices.widths) < 6] = np.nan
    return np.nan_to_num(colors / (255 if np.nanmax(colors) > 1 else 1), nan=1.0)


def _indices(corners: list[str], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """(C, 2) vertex and texture coordinate of each corner, counted from 0; -1 for no texture coordinate."""
    text, slashes = " ".join(corners), {corner.count("/") for corner in corners}
    found = np.zeros((len(corners), 2), np.int64)
    empty = text.count("//")
    if len(slashes) == 1 and empty in (0, len(corners)):  # all corners are written alike, as in most files
        numbers = np.array(text.replace("/", " ").split(), dtype=np.int64).reshape(len(corners), -1)
        columns = 1 if empty else min(2, numbers.shape[1])
        found[:, :columns] = numbers[:, :columns]
    else:
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
