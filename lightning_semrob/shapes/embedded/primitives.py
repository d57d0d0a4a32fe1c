"""Building blocks of the embedded shapes: grids, lathes, tubes, boxes, prisms, and how to move and join them.

Lengths are in arbitrary units (a finished shape is normalised), angles in degrees. Up is +y and the front faces
+z. Every block is oriented outward: its faces run counter-clockwise seen from outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_semrob.shapes.mesh import Mesh, merge, normalize, remove_degenerate_faces

Color: TypeAlias = tuple[float, float, float]
Points: TypeAlias = Sequence[Sequence[float]] | Tensor

# Faces that meet at less than this angle are shaded as one smooth surface: above the 360/16 = 22.5 degrees of the
# coarsest tube, below the 45 degrees of a bevel.
CREASE_DEGREES = 35.0


@dataclass(frozen=True)
class Material:
    """A colour, or a texture that the colour tints.

    Args:
        color: red, green, blue in [0, 1].
        texture: (H, W, 3) float32 in [0, 1], first row on top; None for a plain colour.
        repeat: on grids, how often the texture repeats (around, along); on boxes and prisms, repeats per unit
            length (along the grain, across it).
    """

    color: Color = (1.0, 1.0, 1.0)
    texture: Tensor | None = None
    repeat: tuple[float, float] = (1.0, 1.0)


def _material(paint: Material | Color) -> Material:
    return paint if isinstance(paint, Material) else Material(paint)


def _tensor(points: Points) -> Tensor:
    return torch.as_tensor(points, dtype=torch.float64)


def spline(points: Points, samples: int = 8) -> Tensor:
    """A Catmull-Rom curve through ``points`` (P, d): (1 + (P - 1) * samples, d) float64."""
    p = _tensor(points)
    before, after = 2 * p[:1] - p[1:2], 2 * p[-1:] - p[-2:-1]
    p = torch.cat([before, p, after])
    t = torch.arange(samples, dtype=torch.float64)[None, :, None] / samples
    p0, p1, p2, p3 = (p[k : len(p) - 3 + k, None] for k in range(4))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return torch.cat([curve.flatten(0, 1), p[-2:-1]])


def arc(
    center: tuple[float, float], radius: float | tuple[float, float], start: float, end: float, samples: int = 8
) -> list[tuple[float, float]]:
    """Points of an elliptic arc in the plane from ``start`` to ``end`` degrees, 0 along the first axis."""
    rx, ry = radius if isinstance(radius, tuple) else (radius, radius)
    angles = [math.radians(start + (end - start) * k / samples) for k in range(samples + 1)]
    return [(center[0] + rx * math.cos(a), center[1] + ry * math.sin(a)) for a in angles]


def _smooth_normals(corners: Tensor) -> Tensor:
    """(F, 3, 3) normals: at each corner the area-weighted mean over the faces there within the crease angle."""
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    extent = float((corners.amax((0, 1)) - corners.amin((0, 1))).max())
    keys = (corners.reshape(-1, 3) / (extent * 1e-6)).round().long()
    _, point = keys.unique(dim=0, return_inverse=True)
    order = point.argsort(stable=True)
    count = point.bincount()
    first = count.cumsum(0) - count
    repeats = count[point]
    this = torch.arange(len(point)).repeat_interleave(repeats)
    offset = torch.arange(len(this)) - (repeats.cumsum(0) - repeats).repeat_interleave(repeats)
    other = order[first[point[this]] + offset]
    unit = F.normalize(area, dim=-1)
    near = (unit[this // 3] * unit[other // 3]).sum(-1) > math.cos(math.radians(CREASE_DEGREES))
    total = torch.zeros(len(point), 3, dtype=area.dtype).index_add(0, this[near], area[other[near] // 3])
    return F.normalize(total, dim=-1).reshape(-1, 3, 3)


def _build(vertices: Tensor, faces: Tensor, colors: Tensor | None, uv: Tensor, material: Material) -> Mesh:
    """A part: degenerate faces out, smooth normals in; ``colors`` (F, 3) override the material's colour."""
    corners = vertices[faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1)
    extent = float((vertices.amax(0) - vertices.amin(0)).max())
    keep = area > 1e-10 * extent**2
    faces, uv = faces[keep], uv[keep]
    if colors is None:
        colors = torch.tensor(material.color).expand(len(faces), 3)
    else:
        colors = colors[keep]
    textured = material.texture is not None
    return Mesh(
        vertices=vertices.float(),
        faces=faces,
        corner_colors=colors[:, None].expand(-1, 3, -1).float().contiguous(),
        corner_uv=uv.float(),
        face_texture=torch.full((len(faces),), 0 if textured else -1),
        textures=() if material.texture is None else (material.texture,),
        corner_normals=_smooth_normals(vertices[faces]).float(),
    )


def grid_surface(
    points: Tensor, paint: Material | Color = Material(), colors: Tensor | None = None, closed: bool = False
) -> Mesh:
    """The surface over a grid of points, seen from outside: columns to the right, rows upward.

    Args:
        points: (R, C, 3), any two neighbours may coincide (poles).
        paint: material of the whole.
        colors: (R - 1, C - 1 or C if closed, 3) colour of each cell, in place of the material's.
        closed: whether the last column joins the first.
    """
    material = _material(paint)
    points = points.to(torch.float64)
    rows, columns = points.shape[:2]
    cells = columns if closed else columns - 1
    i, j = torch.meshgrid(torch.arange(rows - 1), torch.arange(cells), indexing="ij")
    right = (j + 1) % columns
    quads = torch.stack([i * columns + j, i * columns + right, (i + 1) * columns + right, (i + 1) * columns + j], -1)
    length = (points[1:] - points[:-1]).norm(dim=-1).mean(1).cumsum(0)
    v = torch.cat([torch.zeros(1, dtype=torch.float64), length / length[-1].clamp_min(1e-12)])
    u0, u1 = j.double() / cells, (j + 1).double() / cells
    corner_u, corner_v = torch.stack([u0, u1, u1, u0], -1), torch.stack([v[i], v[i], v[i + 1], v[i + 1]], -1)
    uv = torch.stack([corner_u * material.repeat[0], corner_v * material.repeat[1]], -1)
    pick = torch.tensor([[0, 1, 2], [0, 2, 3]])
    face_colors = None if colors is None else colors.reshape(-1, 3).repeat_interleave(2, 0)
    return _build(
        points.reshape(-1, 3),
        quads.reshape(-1, 4)[:, pick].reshape(-1, 3),
        face_colors,
        uv.reshape(-1, 4, 2)[:, pick].reshape(-1, 3, 2),
        material,
    )


def lathe(
    profile: Points,
    paint: Material | Color = Material(),
    segments: int = 32,
    sector: tuple[float, float] = (0.0, 360.0),
    colors: Tensor | None = None,
) -> Mesh:
    """A surface of revolution about +y.

    Args:
        profile: (P, 2) radius and height, upward along the outside; a profile that starts and ends on the axis
            (over the rim and down the inside, say) gives a closed solid.
        paint: material.
        segments: number of steps around.
        sector: part of the turn, degrees; 0 is the front (+z), 90 is +x.
        colors: (P - 1, segments, 3) colour of each cell, in place of the material's.
    """
    radius, height = _tensor(profile).unbind(-1)
    closed = sector[1] - sector[0] >= 360.0
    steps = segments if closed else segments + 1
    angle = torch.deg2rad(sector[0] + (sector[1] - sector[0]) * torch.arange(steps, dtype=torch.float64) / segments)
    x, z = radius[:, None] * angle.sin(), radius[:, None] * angle.cos()
    return grid_surface(torch.stack([x, height[:, None].expand_as(x), z], -1), paint, colors, closed)


def tube(
    path: Points,
    radius: float | Sequence[float] | Tensor,
    paint: Material | Color = Material(),
    segments: int = 10,
    aspect: float = 1.0,
    side: tuple[float, float, float] | None = None,
) -> Mesh:
    """A tube with closed ends along a curve.

    Args:
        path: (P, 3) points of the axis.
        radius: one, or one for each point.
        segments: number of steps around.
        aspect: the radius along ``side``, as a multiple of the other: flat straps have a large one.
        side: a direction across the path; any by default.
    """
    p = _tensor(path)
    radii = torch.as_tensor(radius, dtype=torch.float64).expand(len(p))
    tangent = torch.empty_like(p)
    tangent[1:-1] = F.normalize(p[2:] - p[:-2], dim=-1)
    tangent[0], tangent[-1] = F.normalize(p[1] - p[0], dim=0), F.normalize(p[-1] - p[-2], dim=0)
    start = torch.eye(3, dtype=torch.float64)[int(tangent[0].abs().argmin())] if side is None else _tensor([side])[0]
    normals = []
    for t in tangent:  # parallel transport: the frame turns no more than the path
        start = F.normalize(start - (start @ t) * t, dim=0)
        normals.append(start)
    normal = torch.stack(normals)
    binormal = torch.linalg.cross(tangent, normal)
    angle = torch.arange(segments, dtype=torch.float64) * (2 * math.pi / segments)
    around = (
        aspect * angle.cos()[None, :, None] * normal[:, None] + angle.sin()[None, :, None] * binormal[:, None]
    ) * radii[:, None, None] + p[:, None]
    ends = [p[k].expand(1, segments, 3) for k in (0, -1)]
    return grid_surface(torch.cat([ends[0], around, ends[1]]), paint, closed=True)


def rod(
    start: Sequence[float],
    end: Sequence[float],
    radius: float,
    paint: Material | Color = Material(),
    segments: int = 10,
) -> Mesh:
    """A straight round rod."""
    return tube([start, end], radius, paint, segments)


def cylinder(
    radius: float,
    bottom: float,
    top: float,
    paint: Material | Color = Material(),
    segments: int = 32,
    bevel: float = 0.0,
    top_radius: float | None = None,
) -> Mesh:
    """An upright closed cylinder or cone frustum with bevelled rims."""
    upper = radius if top_radius is None else top_radius
    low = [(radius - bevel, bottom), (radius, bottom + bevel)] if bevel else [(radius, bottom)]
    high = [(upper, top - bevel), (upper - bevel, top)] if bevel else [(upper, top)]
    return lathe([(0.0, bottom), *low, *high, (0.0, top)], paint, segments)


def sphere(
    radius: float | tuple[float, float, float],
    center: Sequence[float] = (0.0, 0.0, 0.0),
    paint: Material | Color = Material(),
    segments: int = 24,
) -> Mesh:
    """A sphere or, with three radii, an ellipsoid."""
    radii = radius if isinstance(radius, tuple) else (radius, radius, radius)
    ball = lathe(arc((0.0, 0.0), 1.0, -90.0, 90.0, max(segments // 2, 4)), paint, segments)
    return move(stretch(ball, radii), center)


def ring(
    radius: float, thickness: float, height: float, paint: Material | Color = Material(), segments: int = 32
) -> Mesh:
    """A horizontal torus at ``height``: ``thickness`` is the radius of its tube."""
    return lathe(arc((radius, height), thickness, 0.0, 360.0, 10), paint, segments)


def _planar_uv(corners: Tensor, material: Material) -> Tensor:
    """(F, 3, 2): each face projected along its main axis, u along the longest side of the part."""
    size = corners.amax((0, 1)) - corners.amin((0, 1))
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).abs()
    drop = normal.argmax(-1)
    table = torch.tensor([[a for a in size.argsort(descending=True).tolist() if a != d] for d in range(3)])
    axes = table[drop][:, None].expand(-1, 3, -1)
    return corners.gather(-1, axes) * torch.tensor(material.repeat, dtype=corners.dtype)


def _convex(vertices: Tensor, polygons: Iterable[Sequence[int]], material: Material) -> Mesh:
    """A convex solid from its polygons, each in either winding."""
    fans = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    faces = torch.tensor(fans)
    corners = vertices[faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = (normal * (corners.mean(1) - vertices.mean(0))).sum(-1) < 0
    faces[inward] = faces[inward].flip(-1)
    return _build(vertices, faces, None, _planar_uv(vertices[faces], material), material)


def box(
    size: Sequence[float],
    center: Sequence[float] = (0.0, 0.0, 0.0),
    paint: Material | Color = Material(),
    bevel: float | None = None,
) -> Mesh:
    """A box with chamfered edges, ``bevel`` wide (default: 6 % of the shortest side)."""
    half = [s / 2 for s in size]
    inset = 0.06 * min(size) if bevel is None else bevel
    signs = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    vertices = torch.tensor(
        [[s[a] * (half[a] - (inset if a != k else 0.0)) for a in range(3)] for s in signs for k in range(3)],
        dtype=torch.float64,
    )

    def corner(s: dict[int, int], k: int) -> int:
        return 3 * signs.index((s[0], s[1], s[2])) + k

    polygons: list[list[int]] = [[3 * c, 3 * c + 1, 3 * c + 2] for c in range(8)]
    loop = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        polygons += [[corner({k: s, i: p, j: q}, k) for p, q in loop] for s in (-1, 1)]
        polygons += [[corner({k: s, i: p, j: q}, m) for s, m in ((-1, i), (1, i), (1, j), (-1, j))] for p, q in loop]
    return move(_convex(vertices, polygons, _material(paint)), center)


def prism(outline: Points, depth: float, paint: Material | Color = Material(), bevel: float = 0.0) -> Mesh:
    """A convex outline (N, 2) in the xy plane, extruded to z in [-depth / 2, depth / 2], its rims bevelled."""
    flat = _tensor(outline)
    n = len(flat)
    center = flat.mean(0)
    reach = (flat - center).norm(dim=-1).max()
    inner = center + (flat - center) * (1 - bevel / reach)
    layers = [(inner, -depth / 2), (flat, bevel - depth / 2), (flat, depth / 2 - bevel), (inner, depth / 2)]
    vertices = torch.cat([torch.cat([xy, torch.full((n, 1), z, dtype=torch.float64)], -1) for xy, z in layers])
    sides = [
        [m * n + k, m * n + (k + 1) % n, (m + 1) * n + (k + 1) % n, (m + 1) * n + k] for m in range(3) for k in range(n)
    ]
    return _convex(vertices, [list(range(n)), list(range(3 * n, 4 * n)), *sides], _material(paint))


def _linear(mesh: Mesh, matrix: Tensor) -> Mesh:
    normals = mesh.corner_normals
    if normals is not None:
        normals = F.normalize(normals @ torch.linalg.inv(matrix), dim=-1)
    return replace(mesh, vertices=mesh.vertices @ matrix.T, corner_normals=normals)


def move(mesh: Mesh, offset: Sequence[float]) -> Mesh:
    """The mesh shifted by (x, y, z)."""
    return replace(mesh, vertices=mesh.vertices + torch.tensor(list(offset), dtype=mesh.vertices.dtype))


def stretch(mesh: Mesh, factors: Sequence[float]) -> Mesh:
    """The mesh scaled along x, y, z by positive factors."""
    return _linear(mesh, torch.diag(torch.tensor(list(factors), dtype=mesh.vertices.dtype)))


def rotate(mesh: Mesh, axis: str, degrees: float) -> Mesh:
    """The mesh turned about the x, y or z axis, right-handed."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    k = "xyz".index(axis)
    i, j = (k + 1) % 3, (k + 2) % 3
    matrix = torch.eye(3, dtype=mesh.vertices.dtype)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = cosine, -sine, sine, cosine
    return _linear(mesh, matrix)


def round_copies(mesh: Mesh, count: int, start: float = 0.0) -> list[Mesh]:
    """``count`` copies evenly turned about +y, the first by ``start`` degrees."""
    return [rotate(mesh, "y", start + 360.0 * k / count) for k in range(count)]


def finish(parts: Sequence[Mesh], name: str) -> Mesh:
    """The parts as one normalised mesh without degenerate faces."""
    return replace(normalize(remove_degenerate_faces(merge(parts, name))), dropped_faces=0)
