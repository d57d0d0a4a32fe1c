"""OFF of Geomview: polygons, with normals, colours and texture coordinates at the vertices, colours at faces."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_semrob.shapes.files import text_of
from lightning_semrob.shapes.parts import DEFAULT_COLOR, Part, Source, part
from lightning_semrob.shapes.polygons import triangulate


def read_off(source: Source) -> list[Part]:
    """The part of an OFF file. Colours are whole numbers up to 255, or in [0, 1] where none is larger."""
    lines = [line.partition("#")[0].split() for line in re.split(r"\r\n|\r|\n", text_of(source.data))]
    rows = [line for line in lines if line]
    if not rows:
        raise ValueError("it is empty")
    header = re.match(r"((?:ST|C|N|4|n)*)OFF", rows[0][0])
    if header is None and not rows[0][0].isdigit():
        raise ValueError("it has no header of an OFF file")
    if header is not None and "BINARY" in rows[0]:
        raise ValueError("binary OFF is not read")
    letters = "" if header is None else header[1]
    if "n" in letters:
        raise ValueError("OFF of another dimension than 3 is not read")
    if header is not None:  # the numbers may stand on its line, and even touch it
        first = [word for word in (rows[0][0][header.end() :], *rows[0][1:]) if word]
        rows = [first, *rows[1:]] if first else rows[1:]
    vertices, faces = int(rows[0][0]), int(rows[0][1])
    if len(rows) < 1 + vertices + faces or vertices < 0 or faces < 0:
        raise ValueError(f"it ends before its {vertices} vertices and {faces} faces")
    table = rows[1 : 1 + vertices]
    points = np.array([row[:3] for row in table], dtype=np.float64)
    if "4" in letters:
        points = points / np.array([row[3:4] for row in table], dtype=np.float64)
    skip = 3 + ("4" in letters)
    if "N" in letters and "NC" not in letters:  # MeshLab's NCOFF has the colours first, as its letters have not
        skip += 3
    extra = len(table[0]) - skip if table else 0
    tint = None
    if "C" in letters or (not letters and extra in (3, 4)):
        tint = _colors([row[skip : skip + 3] for row in table])
    polygons = rows[1 + vertices : 1 + vertices + faces]
    counts = np.array([int(row[0]) for row in polygons], np.int64)
    if any(len(row) <= count for row, count in zip(polygons, counts, strict=True)):
        raise ValueError("a face has fewer corners than it says")
    index = np.array([word for row, n in zip(polygons, counts, strict=True) for word in row[1 : 1 + n]], dtype=np.int64)
    if not len(index):
        raise ValueError("it holds no faces: a cloud of points is not drawn")
    if index.min() < 0 or index.max() >= vertices:
        raise ValueError("a face names a vertex that does not exist")
    corner, owner = triangulate(points[index], counts)
    colors: Any = DEFAULT_COLOR if tint is None else tint[index[corner]]
    painted = [row[1 + n :] for row, n in zip(polygons, counts, strict=True)]
    has = np.array([len(words) >= 3 for words in painted])
    if any(len(words) == 1 for words in painted):
        source.note("colours faces by numbers of a colour map, which it does not hold")
    if has.any():
        colors = np.array(np.broadcast_to(colors, (len(corner), 3, 3)))
        own = np.zeros((faces, 3))
        own[has] = _colors([words[:3] for words in painted if len(words) >= 3])
        colors[has[owner]] = own[owner][has[owner]][:, None]
    return [part(source, points, index[corner], colors)]


def _colors(words: list[list[str]]) -> NDArray[np.float64]:
    values = np.array(words, dtype=np.float64)
    return values / (255.0 if values.max() > 1 else 1.0)
