"""The rasteriser of the CPU, compiled by Numba: one image at a time, one thread, gradients by hand.

Notation as in :mod:`~lightning_semrob.rendering.raster_torch`: a sample is ``r = (X, Y, 1)``, a corner in clip space
is ``p = (x, y, w)``, and ``lambda_k(r) = n_k . r`` with ``n_k = p_i x p_j`` are the unnormalised barycentrics; the
inverse depth is ``sum(lambda) / det``. Gradients are gathered per face as dL/dn_k and dL/ddet, then carried to the
camera matrix once per face, since only the camera moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["MeshArrays", "backward", "forward"]

Array = npt.NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])

NEAR = 0.05
TOLERANCE = 2e-5
MAX_WALK = 64


class MeshArrays(NamedTuple):
    """:class:`~lightning_semrob.rendering.geometry.Geometry` as arrays, int32 and float32."""

    vertices: Array
    faces: Array
    twin: Array
    neighbors: Array
    seams: Array
    partner: Array
    normals: Array
    flat: Array
    plain: Array
    colors: Array
    uv: Array
    texture: Array
    cutout: Array
    texels: Array
    pyramids: Array
    levels: Array


def _compiled(function: F) -> F:
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def _inlined(function: F) -> F:
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")(function))


@_compiled
def _project(mesh: MeshArrays, camera: Array, side: int, clip: Array, planes: Array, det: Array) -> None:
    """Fill clip (V, 5): x, y, w, column and row; planes (F, 3, 3): n_k of every face; det (F,); all float64."""
    half = side * 0.5
    for v in range(len(clip)):
        x, y, z = mesh.vertices[v, 0], mesh.vertices[v, 1], mesh.vertices[v, 2]
        for i in range(3):
            clip[v, i] = camera[i, 0] * x + camera[i, 1] * y + camera[i, 2] * z + camera[i, 3]
        if clip[v, 2] >= NEAR:
            clip[v, 3] = (clip[v, 0] / clip[v, 2] + 1.0) * half - 0.5
            clip[v, 4] = (1.0 - clip[v, 1] / clip[v, 2]) * half - 0.5
    for f in range(len(planes)):
        for k in range(3):
            i, j = mesh.faces[f, (k + 1) % 3], mesh.faces[f, (k + 2) % 3]
            planes[f, k, 0] = clip[i, 1] * clip[j, 2] - clip[i, 2] * clip[j, 1]
            planes[f, k, 1] = clip[i, 2] * clip[j, 0] - clip[i, 0] * clip[j, 2]
            planes[f, k, 2] = clip[i, 0] * clip[j, 1] - clip[i, 1] * clip[j, 0]
        a = mesh.faces[f, 0]
        det[f] = clip[a, 0] * planes[f, 0, 0] + clip[a, 1] * planes[f, 0, 1] + clip[a, 2] * planes[f, 0, 2]


@_compiled
def _visibility(
    mesh: MeshArrays, clip: Array, planes: Array, det: Array, side: int, nearest: Array, face: Array
) -> None:
    """The face seen at each sample, face (side, side) int32 or -1, and its inverse depth, nearest (side, side).

    A face takes a sample if it is nearer, or as near (within TOLERANCE) and turned to the front where the other is not.
    """
    half = side * 0.5
    far = 1.0 / NEAR
    face[:] = -1
    nearest[:] = 0.0
    lower, upper = np.float32(1.0 - TOLERANCE), np.float32(1.0 + TOLERANCE)
    edge = side - 1.0
    for f in range(len(planes)):
        if det[f] == 0.0 or (det[f] < 0 and mesh.partner[f] >= 0):
            continue
        i, j, k = mesh.faces[f, 0], mesh.faces[f, 1], mesh.faces[f, 2]
        crosses = min(clip[i, 2], clip[j, 2], clip[k, 2]) < NEAR
        left, right, top, bottom = 0.0, edge, 0.0, edge
        if not crosses:
            left, right = (
                max(left, min(clip[i, 3], clip[j, 3], clip[k, 3])),
                min(right, max(clip[i, 3], clip[j, 3], clip[k, 3])),
            )
            top, bottom = (
                max(top, min(clip[i, 4], clip[j, 4], clip[k, 4])),
                min(bottom, max(clip[i, 4], clip[j, 4], clip[k, 4])),
            )
        elif max(clip[i, 2], clip[j, 2], clip[k, 2]) < NEAR:
            continue
        first_row, last_row = int(np.ceil(top)), int(np.floor(bottom))
        if first_row > last_row or np.ceil(left) > np.floor(right):
            continue
        sign = 1.0 if det[f] > 0 else -1.0
        left_0, left_1, right_0, right_1 = left, left, right, right
        slope_left_0 = slope_left_1 = slope_right_0 = slope_right_1 = 0.0
        za = zb = zc = 0.0
        for k in range(3):
            a, b, c = planes[f, k, 0] * sign, planes[f, k, 1] * sign, planes[f, k, 2] * sign
            za, zb, zc = za + a, zb + b, zc + c
            if a == 0:
                continue
            slope = b / a
            start = half - 0.5 - (b * (1.0 - 0.5 / half) + c) / a * half
            if a > 0:
                left_1, slope_left_1, left_0, slope_left_0 = left_0, slope_left_0, start, slope
            else:
                right_1, slope_right_1, right_0, slope_right_0 = right_0, slope_right_0, start, slope
        inverse = sign / det[f]
        za, zb, zc = za * inverse, zb * inverse, zc * inverse
        step = za / half
        careful = crosses or mesh.cutout[f]
        for row in range(first_row, last_row + 1):
            low = max(left, left_0 + slope_left_0 * row, left_1 + slope_left_1 * row)
            high = min(right, right_0 + slope_right_0 * row, right_1 + slope_right_1 * row)
            first, last = int(np.ceil(low)), int(np.floor(high))
            if first > last:
                continue
            y = 1.0 - (row + 0.5) / half
            start = za * ((first + 0.5) / half - 1.0) + zb * y + zc
            for column in range(first, last + 1):
                z = np.float32(start + step * (column - first))
                seen = nearest[row, column]
                if z <= seen * lower:
                    continue
                if z <= seen * upper:
                    other = face[row, column]
                    if det[f] < 0 or other < 0 or det[other] > 0:
                        continue
                if careful and not _solid(mesh, planes, f, sign, float(z), far, (column + 0.5) / half - 1.0, y):
                    continue
                nearest[row, column] = max(z, seen)
                face[row, column] = f


@_compiled
def _solid(mesh: MeshArrays, planes: Array, f: int, sign: float, z: float, far: float, x: float, y: float) -> bool:
    """Whether face f is at (x, y), beyond the near plane and not in a hole of its texture."""
    if not 0 < z <= far:
        return False
    for k in range(3):
        if (planes[f, k, 0] * x + planes[f, k, 1] * y + planes[f, k, 2]) * sign < 0:
            return False
    return not mesh.cutout[f] or _alpha(mesh, planes, f, x, y) >= 0.5


@_compiled
def _alpha(mesh: MeshArrays, planes: Array, f: int, x: float, y: float) -> float:
    """Opacity of the face's texture at (x, y), from the finest level."""
    total, u, v = 0.0, 0.0, 0.0
    for k in range(3):
        value = planes[f, k, 0] * x + planes[f, k, 1] * y + planes[f, k, 2]
        total += value
        u += value * mesh.uv[f, k, 0]
        v += value * mesh.uv[f, k, 1]
    level = mesh.pyramids[mesh.texture[f], 0]
    first, height, width = mesh.levels[level, 0], mesh.levels[level, 1], mesh.levels[level, 2]
    u, v = u / total, v / total
    column = min(int((u - np.floor(u)) * width), width - 1)
    row = min(int((1.0 - (v - np.floor(v))) * height), height - 1)
    return float(mesh.texels[first + row * width + column, 3])


@_compiled
def _texel(mesh: MeshArrays, level: int, u: float, v: float, out: Array) -> None:
    """Bilinear, repeating sample: out (3, 3), rows value, d/du, d/dv of r, g, b."""
    first, height, width = mesh.levels[level, 0], mesh.levels[level, 1], mesh.levels[level, 2]
    column, row = (u - np.floor(u)) * width - 0.5, (1.0 - (v - np.floor(v))) * height - 0.5
    left, top = np.floor(column), np.floor(row)
    fx, fy = column - left, row - top
    x0, y0 = int(left), int(top)
    x0, y0 = x0 + width if x0 < 0 else x0, y0 + height if y0 < 0 else y0
    x0, y0 = x0 - width if x0 >= width else x0, y0 - height if y0 >= height else y0
    x1, y1 = x0 + 1 if x0 + 1 < width else 0, y0 + 1 if y0 + 1 < height else 0
    i00, i01 = first + y0 * width + x0, first + y0 * width + x1
    i10, i11 = first + y1 * width + x0, first + y1 * width + x1
    for c in range(3):
        t00, t01, t10, t11 = mesh.texels[i00, c], mesh.texels[i01, c], mesh.texels[i10, c], mesh.texels[i11, c]
        above, below = t00 + (t01 - t00) * fx, t10 + (t11 - t10) * fx
        out[0, c] = above + (below - above) * fy
        out[1, c] = ((t01 - t00) * (1.0 - fy) + (t11 - t10) * fy) * width
        out[2, c] = -(below - above) * height


@_compiled
def _texture(mesh: MeshArrays, f: int, u: float, v: float, area: float, out: Array, other: Array) -> None:
    """Trilinear sample of the face's texture where a sample covers ``area`` of texture space; out as _texel."""
    texture = mesh.texture[f]
    base, count = mesh.pyramids[texture, 0], mesh.pyramids[texture, 1]
    texels = area * mesh.levels[base, 1] * mesh.levels[base, 2]
    detail = 0.5 * np.log2(texels) if texels > 1.0 else 0.0
    detail = min(detail, count - 1.0)
    level = min(int(detail), count - 1)
    fraction = detail - level
    _texel(mesh, base + level, u, v, out)
    if fraction > 0.0 and level + 1 < count:
        _texel(mesh, base + level + 1, u, v, other)
        for i in range(3):
            for c in range(3):
                out[i, c] += (other[i, c] - out[i, c]) * fraction


@_compiled
def _light(
    mesh: MeshArrays, f: int, sign: float, nx: float, ny: float, nz: float, directions: Array, intensities: Array
) -> float:
    """Directional light on face f at the normal, turned to the side that is seen."""
    total = 0.0
    for i in range(len(intensities)):
        cosine = (nx * directions[i, 0] + ny * directions[i, 1] + nz * directions[i, 2]) * sign
        if cosine > 0:
            total += cosine * intensities[i]
    return total


@_compiled
def _side(mesh: MeshArrays, f: int, det: float, nx: float, ny: float, nz: float) -> float:
    """+1 where the normal points to the side of face f that is seen, else -1."""
    a, b, c = mesh.faces[f, 0], mesh.faces[f, 1], mesh.faces[f, 2]
    ux = mesh.vertices[b, 0] - mesh.vertices[a, 0]
    uy = mesh.vertices[b, 1] - mesh.vertices[a, 1]
    uz = mesh.vertices[b, 2] - mesh.vertices[a, 2]
    vx = mesh.vertices[c, 0] - mesh.vertices[a, 0]
    vy = mesh.vertices[c, 1] - mesh.vertices[a, 1]
    vz = mesh.vertices[c, 2] - mesh.vertices[a, 2]
    dot = nx * (uy * vz - uz * vy) + ny * (uz * vx - ux * vz) + nz * (ux * vy - uy * vx)
    return 1.0 if (dot >= 0) == (det > 0) else -1.0


@_compiled
def _fragment(
    mesh: MeshArrays, planes: Array, det: float, f: int, x: float, y: float, side: int, out: Array, other: Array
) -> None:
    """One sample of face f: out (8, 3) holds barycentrics, vertex colour, texel and its two slopes, normal, and sums.

    Rows: 0 barycentrics, 1 colour, 2 texel, 3 d texel / du, 4 d texel / dv, 5 unit normal, 6 (sum of lambda, length
    of the interpolated normal, sign that turns it to the seen side).
    """
    total = 0.0
    for k in range(3):
        out[0, k] = planes[f, k, 0] * x + planes[f, k, 1] * y + planes[f, k, 2]
        total += out[0, k]
    for k in range(3):
        out[0, k] /= total
    out[6, 0] = total
    for c in range(3):
        out[1, c] = (
            out[0, 0] * mesh.colors[f, 0, c] + out[0, 1] * mesh.colors[f, 1, c] + out[0, 2] * mesh.colors[f, 2, c]
        )
    if mesh.texture[f] >= 0:
        u = out[0, 0] * mesh.uv[f, 0, 0] + out[0, 1] * mesh.uv[f, 1, 0] + out[0, 2] * mesh.uv[f, 2, 0]
        v = out[0, 0] * mesh.uv[f, 0, 1] + out[0, 1] * mesh.uv[f, 1, 1] + out[0, 2] * mesh.uv[f, 2, 1]
        patch = (mesh.uv[f, 1, 0] - mesh.uv[f, 0, 0]) * (mesh.uv[f, 2, 1] - mesh.uv[f, 0, 1])
        patch -= (mesh.uv[f, 1, 1] - mesh.uv[f, 0, 1]) * (mesh.uv[f, 2, 0] - mesh.uv[f, 0, 0])
        area = abs(patch * det * det / (total * total * total)) * 4.0 / (side * side)
        _texture(mesh, f, u, v, area, out[2:5], other)
    else:
        out[2:5] = 0.0
        out[2] = 1.0
    for c in range(3):
        out[5, c] = (
            out[0, 0] * mesh.normals[f, 0, c] + out[0, 1] * mesh.normals[f, 1, c] + out[0, 2] * mesh.normals[f, 2, c]
        )
    length = max(np.sqrt(out[5, 0] ** 2 + out[5, 1] ** 2 + out[5, 2] ** 2), 1e-12)
    for c in range(3):
        out[5, c] /= length
    out[6, 1] = length
    out[6, 2] = _side(mesh, f, det, out[5, 0], out[5, 1], out[5, 2])


@_compiled
def _light_face(
    mesh: MeshArrays,
    det: Array,
    f: int,
    directions: Array,
    intensities: Array,
    ambient: float,
    tint: Array,
    lit: Array,
    plain: Array,
) -> None:
    """Light on the flat face f, lit (F,), and its colour if that is one, plain (F, 3)."""
    nx, ny, nz = mesh.normals[f, 0, 0], mesh.normals[f, 0, 1], mesh.normals[f, 0, 2]
    sign = _side(mesh, f, det[f], nx, ny, nz)
    lit[f] = ambient + _light(mesh, f, sign, nx, ny, nz, directions, intensities)
    for c in range(3):
        plain[f, c] = min(max(mesh.colors[f, 0, c] * tint[c] * lit[f], 0.0), 1.0)


@_compiled
def _shade(
    mesh: MeshArrays,
    planes: Array,
    det: Array,
    face: Array,
    directions: Array,
    intensities: Array,
    ambient: float,
    tint: Array,
    background: Array,
    lit: Array,
    plain: Array,
    color: Array,
) -> None:
    """The colour of each sample, (side, side, 3) float32. Flat faces are lit once, as they are met: lit < 0 before."""
    side = len(face)
    half = side * 0.5
    out, other = np.zeros((7, 3)), np.zeros((3, 3))
    lit[:] = -1.0
    for row in range(side):
        y = 1.0 - (row + 0.5) / half
        for column in range(side):
            f = face[row, column]
            if f < 0:
                for c in range(3):
                    color[row, column, c] = background[c]
                continue
            if mesh.flat[f] and lit[f] < 0:
                _light_face(mesh, det, f, directions, intensities, ambient, tint, lit, plain)
            if mesh.plain[f]:
                for c in range(3):
                    color[row, column, c] = plain[f, c]
                continue
            x = (column + 0.5) / half - 1.0
            _fragment(mesh, planes, det[f], f, x, y, side, out, other)
            light = lit[f]
            if not mesh.flat[f]:
                light = ambient + _light(mesh, f, out[6, 2], out[5, 0], out[5, 1], out[5, 2], directions, intensities)
            for c in range(3):
                color[row, column, c] = min(max(out[1, c] * out[2, c] * tint[c] * light, 0.0), 1.0)


@_compiled
def _walk(
    faces: Array,
    neighbors: Array,
    seams: Array,
    clip: Array,
    planes: Array,
    det: Array,
    start: int,
    goal: int,
    xp: float,
    yp: float,
    xq: float,
    yq: float,
    path: Array,
) -> tuple[int, int, int, int]:
    """Follow the surface from face ``start``, seen at p, towards q; path (., 4) takes the seams crossed.

    A row of path begins (face, edge, following face). Returns how it went, the number of seams, and the last face and
    edge: 0, it covers q without an end; 1, it ends or folds back at that edge; 2, it reaches the face ``goal``.
    """
    f, entry, count = start, -1, 0
    for _ in range(MAX_WALK):
        sign = 1.0 if det[f] > 0 else -1.0
        edge, least = -1, np.inf
        for k in range(3):
            if k == entry:
                continue
            end = sign * (planes[f, k, 0] * xq + planes[f, k, 1] * yq + planes[f, k, 2])
            if end < 0:
                begin = sign * (planes[f, k, 0] * xp + planes[f, k, 1] * yp + planes[f, k, 2])
                t = begin / (begin - end)
                if t < least:
                    edge, least = k, t
        if edge < 0:
            return 0, count, f, -1
        following = neighbors[f, edge]
        if following < 0:
            return 1, count, f, edge
        g, m = following >> 2, following & 3
        if g != goal:
            v = faces[g, m]
            beyond = planes[f, edge, 0] * clip[v, 0] + planes[f, edge, 1] * clip[v, 1]
            if (beyond + planes[f, edge, 2] * clip[v, 2]) * sign >= 0 or det[g] == 0:
                return 1, count, f, edge
        if seams[f, edge]:
            path[count, 0], path[count, 1], path[count, 2] = f, edge, g
            count += 1
        if g == goal:
            return 2, count, f, edge
        f, entry = g, m
    return 0, count, f, -1


@_compiled
def _between(
    mesh_faces: Array,
    twin: Array,
    partner: Array,
    neighbors: Array,
    seams: Array,
    plain: Array,
    clip: Array,
    planes: Array,
    det: Array,
    nearest: Array,
    face: Array,
    here: int,
    there: int,
    p: tuple[int, int],
    q: tuple[int, int],
    side: int,
    path: Array,
    count: int,
    numbers: Array,
    values: Array,
) -> int:
    """Append what lies between face ``here`` at sample p and ``there`` at q to numbers and values; the new count.

    The faces share no edge. The surface at p is followed until it ends or reaches the face at q, and, if it does
    not, the one at q backwards: the nearer of those that end hides the other there. Every seam on the way is a
    boundary of its own. If none ends, the surface that was followed meets the other one.
    """
    half = side * 0.5
    xp, yp = (p[1] + 0.5) / half - 1.0, 1.0 - (p[0] + 0.5) / half
    xq, yq = (q[1] + 0.5) / half - 1.0, 1.0 - (q[0] + 0.5) / half
    row = p[0] == q[0]
    i, j = p[0] * side + p[1], q[0] * side + q[1]
    start = twin[here] if here >= 0 else -1
    goal = twin[there] if there >= 0 else -1
    how_p, seams_p, face_p, edge_p = 0, 0, -1, -1
    how_q, seams_q, face_q, edge_q = 0, 0, -1, -1
    if here >= 0:
        how_p, seams_p, face_p, edge_p = _walk(
            mesh_faces, neighbors, seams, clip, planes, det, start, goal, xp, yp, xq, yq, path
        )
    if there >= 0 and how_p != 2:
        how_q, seams_q, face_q, edge_q = _walk(
            mesh_faces, neighbors, seams, clip, planes, det, goal, start, xq, yq, xp, yp, path[MAX_WALK:]
        )
    forwards = how_p == 2 or (how_p == 1 and (how_q == 0 or nearest[p] >= nearest[q]))
    if how_p == 0 and how_q == 0:
        if here < 0 or there < 0:
            return count
        forwards = face_p != start or face_q == goal
    if forwards:
        how, crossed, end, edge, last = how_p, seams_p, face_p, edge_p, goal
        steps = path
    else:
        how, crossed, end, edge, last = how_q, seams_q, face_q, edge_q, start
        steps = path[MAX_WALK:]

    known = True
    for n in range(crossed if how != 2 else crossed - 1):
        steps[n, 3] = _source(face, partner, plain, det, steps[n, 2], p, q)
        known = known and steps[n, 3] != -1
    before, after = -1, -1
    if known:
        for n in range(crossed):
            after = -1 if how == 2 and n == crossed - 1 else steps[n, 3]
            old, new = (before, after) if forwards else (after, before)
            count = _append(
                planes, i, j, row, steps[n, 0], steps[n, 1], old, new, xp, yp, xq, yq, count, numbers, values
            )
            before = after
    elif how == 2:
        end, edge = steps[0, 0], steps[0, 1]
    if how == 2 and known:
        return count
    old, new = (before, -1) if forwards else (-1, before)
    if how == 0:
        return _intersection(planes, det, i, j, row, end, last, old, new, xp, yp, xq, yq, count, numbers, values)
    return _append(planes, i, j, row, end, edge, old, new, xp, yp, xq, yq, count, numbers, values)


@_compiled
def _source(
    face: Array, partner: Array, plain: Array, det: Array, f: int, p: tuple[int, int], q: tuple[int, int]
) -> int:
    """Where the colour of face f between samples p and q is found: f itself where it is plain, -2 less the number of
    a sample beside p or q that sees f, or -1 for nowhere. Of two coincident faces the one that is seen counts.
    """
    if det[f] < 0 and partner[f] >= 0:
        f = partner[f]
    if plain[f]:
        return f
    side = len(face)
    down, right = q[1] - p[1], q[0] - p[0]
    for sign in (-1, 1):
        for r, c in (p, q):
            r, c = r + sign * down, c + sign * right
            if 0 <= r < side and 0 <= c < side and face[r, c] == f:
                return -2 - (r * side + c)
    return -1


@_compiled
def _append(
    planes: Array,
    i: int,
    j: int,
    row: bool,
    f: int,
    edge: int,
    before: int,
    after: int,
    xp: float,
    yp: float,
    xq: float,
    yq: float,
    count: int,
    numbers: Array,
    values: Array,
) -> int:
    """Append the crossing of an edge of face f with the segment from sample i to j, if there is one."""
    a, b, c = planes[f, edge, 0], planes[f, edge, 1], planes[f, edge, 2]
    begin, end = a * xp + b * yp + c, a * xq + b * yq + c
    if begin == end:
        return count
    t = begin / (begin - end)
    if not 0 <= t <= 1:
        return count
    numbers[count, 0], numbers[count, 1], numbers[count, 2], numbers[count, 3] = i, j, f, edge
    numbers[count, 4], numbers[count, 5] = before, after
    values[count, 0], values[count, 1] = t, (a * a if row else b * b) / (a * a + b * b)
    return count + 1


@_compiled
def _intersection(
    planes: Array,
    det: Array,
    i: int,
    j: int,
    row: bool,
    f: int,
    g: int,
    before: int,
    after: int,
    xp: float,
    yp: float,
    xq: float,
    yq: float,
    count: int,
    numbers: Array,
    values: Array,
) -> int:
    """Append the point between samples i and j where the planes of faces f and g have one depth, if there is one."""
    begin = _inverse(planes, det, f, xp, yp) - _inverse(planes, det, g, xp, yp)
    end = _inverse(planes, det, f, xq, yq) - _inverse(planes, det, g, xq, yq)
    if begin == end:
        return count
    t = begin / (begin - end)
    if not 0 <= t <= 1:
        return count
    a = (planes[f, 0, 0] + planes[f, 1, 0] + planes[f, 2, 0]) / det[f]
    a -= (planes[g, 0, 0] + planes[g, 1, 0] + planes[g, 2, 0]) / det[g]
    b = (planes[f, 0, 1] + planes[f, 1, 1] + planes[f, 2, 1]) / det[f]
    b -= (planes[g, 0, 1] + planes[g, 1, 1] + planes[g, 2, 1]) / det[g]
    numbers[count, 0], numbers[count, 1], numbers[count, 2], numbers[count, 3] = i, j, f, -1 - g
    numbers[count, 4], numbers[count, 5] = before, after
    values[count, 0], values[count, 1] = t, (a * a if row else b * b) / (a * a + b * b)
    return count + 1


@_inlined
def _inverse(planes: Array, det: Array, f: int, x: float, y: float) -> float:
    """Inverse depth of the plane of face f at (x, y)."""
    a = planes[f, 0, 0] + planes[f, 1, 0] + planes[f, 2, 0]
    b = planes[f, 0, 1] + planes[f, 1, 1] + planes[f, 2, 1]
    c = planes[f, 0, 2] + planes[f, 1, 2] + planes[f, 2, 2]
    return float((a * x + b * y + c) / det[f])


@_compiled
def _extent(face: Array) -> tuple[int, int, int, int]:
    """First and last row and column that show a face."""
    side = len(face)
    top, bottom, left, right = side, -1, side, -1
    for row in range(side):
        for column in range(side):
            if face[row, column] >= 0:
                top, bottom, left, right = min(top, row), row, min(left, column), max(right, column)
    return top, bottom, left, right


@_compiled
def _boundaries(
    mesh: MeshArrays,
    clip: Array,
    planes: Array,
    det: Array,
    nearest: Array,
    face: Array,
    count: int,
    numbers: Array,
    values: Array,
) -> tuple[int, Array, Array]:
    """Append all visible boundaries after the first ``count`` rows; returns the new count and the grown arrays.

    Columns of numbers (., 6): samples p and q; face and edge, or for an intersection one face and -1 less the other;
    the colours that meet there, before and after, as of :func:`_source`, -1 for those of p and of q. Columns of values
    (., 2): where it crosses the segment, t in [0, 1], and its share, the squared cosine between segment and normal.
    """
    side = len(face)
    half = side * 0.5
    faces, twin, partner, neighbors = mesh.faces, mesh.twin, mesh.partner, mesh.neighbors
    seams, plain = mesh.seams, mesh.plain
    path = np.empty((2 * MAX_WALK, 4), np.int64)
    top, bottom, left, right = _extent(face)
    for row in range(max(top - 1, 0), bottom + 1):
        for column in range(max(left - 1, 0), right + 1):
            here = face[row, column]
            for down in range(2):
                r, c = row + down, column + 1 - down
                if r >= side or c >= side or face[r, c] == here:
                    continue
                if count + MAX_WALK >= len(numbers):
                    numbers, values = _grown(numbers), _grown(values)
                there, shared = face[r, c], -1
                if here >= 0 and there >= 0:
                    start, goal = twin[here], twin[there]
                    for k in range(3):
                        if neighbors[start, k] >= 0 and neighbors[start, k] >> 2 == goal:
                            shared = k
                if shared < 0:
                    count = _between(
                        faces, twin, partner, neighbors, seams, plain, clip, planes, det, nearest,
                        face, here, there, (row, column), (r, c), side, path, count, numbers, values,
                    )  # fmt: skip
                elif seams[twin[here], shared]:
                    count = _append(
                        planes, row * side + column, r * side + c, down == 0, twin[here], shared, -1, -1,
                        (column + 0.5) / half - 1.0, 1.0 - (row + 0.5) / half,
                        (c + 0.5) / half - 1.0, 1.0 - (r + 0.5) / half, count, numbers, values,
                    )  # fmt: skip
    return count, numbers, values


@_compiled
def _grown(rows: Array) -> Array:
    """A copy with room for twice as many rows."""
    larger = np.empty((2 * len(rows), rows.shape[1]), rows.dtype)
    larger[: len(rows)] = rows
    return larger


@_compiled
def _light_boundaries(
    mesh: MeshArrays,
    det: Array,
    numbers: Array,
    directions: Array,
    intensities: Array,
    ambient: float,
    tint: Array,
    lit: Array,
    plain: Array,
) -> None:
    """Light the faces that boundaries name and no sample sees."""
    for i in range(len(numbers)):
        for column in range(4, 6):
            f = numbers[i, column]
            if f >= 0 and lit[f] < 0:
                _light_face(mesh, det, f, directions, intensities, ambient, tint, lit, plain)


@_compiled
def _blend(numbers: Array, values: Array, plain: Array, color: Array, change: Array, weight: Array) -> None:
    """Sums over the boundaries of each sample: change (., 3) of its colour and weight (.)."""
    change[:] = 0.0
    weight[:] = 0.0
    for i in range(len(numbers)):
        t, share = values[i, 0], values[i, 1]
        p, q, before, after = numbers[i, 0], numbers[i, 1], numbers[i, 4], numbers[i, 5]
        target = p if t < 0.5 else q
        amount = (0.5 - t) * share
        weight[target] += abs(amount)
        for c in range(3):
            old = plain[before, c] if before >= 0 else color[p if before == -1 else -2 - before, c]
            new = plain[after, c] if after >= 0 else color[q if after == -1 else -2 - after, c]
            change[target, c] += amount * (new - old)


@_compiled
def forward(
    mesh: MeshArrays,
    camera: Array,
    directions: Array,
    intensities: Array,
    ambient: Array,
    tint: Array,
    background: Array,
    samples: int,
    images: Array,
    seen: Array,
) -> tuple[Array, Array, Array]:
    """Render into images (B, 3, size, size); camera (B, 3, 4), the light as in ``Lighting``, all float32.

    seen (B, side, side) int32 takes the visible faces for :func:`backward`; with (1, side, side) none are kept.
    Returns the boundaries of :func:`_boundaries` and where those of each image begin and end, (B + 1,).
    """
    batch, size = len(images), images.shape[2]
    side = size * samples
    keep = len(seen) == batch
    clip, planes, det = np.empty((len(mesh.vertices), 5)), np.empty((len(mesh.faces), 3, 3)), np.empty(len(mesh.faces))
    nearest = np.empty((side, side), np.float32)
    color, change = np.empty((side, side, 3), np.float32), np.empty((side * side, 3), np.float32)
    weight = np.empty(side * side, np.float32)
    lit, plain = np.empty(len(mesh.faces)), np.empty((len(mesh.faces), 3), np.float32)
    numbers, values = np.empty((1 << 14, 6), np.int32), np.empty((1 << 14, 2), np.float32)
    starts = np.zeros(batch + 1, np.int64)
    scale = np.float32(1.0 / (samples * samples))
    flat = color.reshape(-1, 3)
    for b in range(batch):
        face = seen[b if keep else 0]
        begin = starts[b] if keep else 0
        _project(mesh, camera[b], side, clip, planes, det)
        _visibility(mesh, clip, planes, det, side, nearest, face)
        _shade(
            mesh,
            planes,
            det,
            face,
            directions[b],
            intensities[b],
            ambient[b],
            tint[b],
            background[b],
            lit,
            plain,
            color,
        )
        end, numbers, values = _boundaries(mesh, clip, planes, det, nearest, face, begin, numbers, values)
        starts[b + 1] = end
        _light_boundaries(mesh, det, numbers[begin:end], directions[b], intensities[b], ambient[b], tint[b], lit, plain)
        _blend(numbers[begin:end], values[begin:end], plain, flat, change, weight)
        for row in range(size):
            for column in range(size):
                red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
                for m in range(samples):
                    for n in range(samples):
                        i = (row * samples + m) * side + column * samples + n
                        red, green, blue = red + flat[i, 0], green + flat[i, 1], blue + flat[i, 2]
                        if weight[i] > 0:
                            total = max(weight[i], np.float32(1.0))
                            red += change[i, 0] / total
                            green += change[i, 1] / total
                            blue += change[i, 2] / total
                images[b, 0, row, column] = scale * red
                images[b, 1, row, column] = scale * green
                images[b, 2, row, column] = scale * blue
    return numbers[: starts[batch]], values[: starts[batch]], starts


@_compiled
def backward(
    mesh: MeshArrays,
    camera: Array,
    directions: Array,
    intensities: Array,
    ambient: Array,
    tint: Array,
    background: Array,
    samples: int,
    seen: Array,
    all_numbers: Array,
    all_values: Array,
    starts: Array,
    slope: Array,
    to_camera: Array,
    to_directions: Array,
    to_intensities: Array,
    to_ambient: Array,
    to_tint: Array,
    to_background: Array,
) -> None:
    """Carry slope (B, 3, size, size), dL/dimages, to the inputs: ``to_*``, zeroed float64 arrays of their shapes.

    seen, the boundaries and their starts are what :func:`forward` kept.
    """
    batch, size = len(slope), slope.shape[2]
    side = size * samples
    half = side * 0.5
    faces = len(mesh.faces)
    clip, planes, det = np.empty((len(mesh.vertices), 5)), np.empty((faces, 3, 3)), np.empty(faces)
    color, change = np.empty((side, side, 3), np.float32), np.empty((side * side, 3), np.float32)
    weight = np.empty(side * side, np.float32)
    lit, plain = np.empty(len(mesh.faces)), np.empty((len(mesh.faces), 3), np.float32)
    to_color = np.empty((side * side, 3))
    to_planes, to_det = np.zeros((faces, 3, 3)), np.zeros(faces)
    to_plain, to_light = np.zeros((faces, 3)), np.zeros(faces)
    used = np.zeros(faces, np.bool_)
    out, other = np.zeros((7, 3)), np.zeros((3, 3))
    flat = color.reshape(-1, 3)
    scale = 1.0 / (samples * samples)
    for b in range(batch):
        face = seen[b]
        numbers, values = all_numbers[starts[b] : starts[b + 1]], all_values[starts[b] : starts[b + 1]]
        _project(mesh, camera[b], side, clip, planes, det)
        _shade(
            mesh,
            planes,
            det,
            face,
            directions[b],
            intensities[b],
            ambient[b],
            tint[b],
            background[b],
            lit,
            plain,
            color,
        )
        _light_boundaries(mesh, det, numbers, directions[b], intensities[b], ambient[b], tint[b], lit, plain)
        _blend(numbers, values, plain, flat, change, weight)
        for row in range(size):
            for column in range(size):
                for m in range(samples):
                    for n in range(samples):
                        i = (row * samples + m) * side + column * samples + n
                        for c in range(3):
                            to_color[i, c] = scale * slope[b, c, row, column]
        _boundaries_backward(
            planes, det, plain, flat, change, weight, numbers, values, half,
            to_color, to_plain, to_planes, to_det, used,
        )  # fmt: skip
        for row in range(side):
            y = 1.0 - (row + 0.5) / half
            for column in range(side):
                f = face[row, column]
                i = row * side + column
                if f < 0:
                    for c in range(3):
                        to_background[b, c] += to_color[i, c]
                    continue
                used[f] = True
                if mesh.plain[f]:
                    for c in range(3):
                        to_plain[f, c] += to_color[i, c]
                    continue
                x = (column + 0.5) / half - 1.0
                _fragment(mesh, planes, det[f], f, x, y, side, out, other)
                _fragment_backward(
                    mesh, f, x, y, out, directions[b], intensities[b], ambient[b], tint[b], to_color[i],
                    to_planes, to_light, to_directions[b], to_intensities[b], to_ambient[b : b + 1], to_tint[b],
                )  # fmt: skip
        for f in range(faces):
            if used[f]:
                if mesh.flat[f]:
                    _light_backward(
                        mesh, f, det[f], directions[b], intensities[b], ambient[b], tint[b], to_plain[f], to_light[f],
                        to_directions[b], to_intensities[b], to_ambient[b : b + 1], to_tint[b],
                    )  # fmt: skip
                _camera_backward(mesh.vertices, mesh.faces, f, clip, planes, to_planes[f], to_det[f], to_camera[b])
                to_planes[f] = 0.0
                to_det[f] = 0.0
                to_plain[f] = 0.0
                to_light[f] = 0.0
                used[f] = False


@_compiled
def _boundaries_backward(
    planes: Array,
    det: Array,
    plain: Array,
    color: Array,
    change: Array,
    weight: Array,
    numbers: Array,
    values: Array,
    half: float,
    to_color: Array,
    to_plain: Array,
    to_planes: Array,
    to_det: Array,
    used: Array,
) -> None:
    """Gradient of the blend: to_color from the image's samples to the shaded colours, and dL/dn of moving edges."""
    side = int(2 * half)
    extra = np.zeros_like(to_color)
    for i in range(len(numbers)):
        t, share = values[i, 0], values[i, 1]
        p, q, before, after = numbers[i, 0], numbers[i, 1], numbers[i, 4], numbers[i, 5]
        target = p if t < 0.5 else q
        amount = (0.5 - t) * share
        total = max(weight[target], np.float32(1.0))
        to_t = 0.0
        for c in range(3):
            old = plain[before, c] if before >= 0 else color[p if before == -1 else -2 - before, c]
            new = plain[after, c] if after >= 0 else color[q if after == -1 else -2 - after, c]
            gradient = to_color[target, c] / total
            to_t -= gradient * share * (new - old)
            if total > 1.0:
                to_t += gradient * share * change[target, c] / total * (1.0 if t < 0.5 else -1.0)
            if after < 0:
                extra[q if after == -1 else -2 - after, c] += gradient * amount
            else:
                to_plain[after, c] += gradient * amount
                used[after] = True
            if before < 0:
                extra[p if before == -1 else -2 - before, c] -= gradient * amount
            else:
                to_plain[before, c] -= gradient * amount
                used[before] = True
        if to_t == 0.0:
            continue
        xp, yp = (p % side + 0.5) / half - 1.0, 1.0 - (p // side + 0.5) / half
        xq, yq = (q % side + 0.5) / half - 1.0, 1.0 - (q // side + 0.5) / half
        f, g = numbers[i, 2], numbers[i, 3]
        used[f] = True
        if g >= 0:
            begin = planes[f, g, 0] * xp + planes[f, g, 1] * yp + planes[f, g, 2]
            end = planes[f, g, 0] * xq + planes[f, g, 1] * yq + planes[f, g, 2]
            squared = (begin - end) ** 2
            to_begin, to_end = -to_t * end / squared, to_t * begin / squared
            to_planes[f, g, 0] += to_begin * xp + to_end * xq
            to_planes[f, g, 1] += to_begin * yp + to_end * yq
            to_planes[f, g, 2] += to_begin + to_end
        else:
            g = -1 - g
            used[g] = True
            fp, fq = _inverse(planes, det, f, xp, yp), _inverse(planes, det, f, xq, yq)
            gp, gq = _inverse(planes, det, g, xp, yp), _inverse(planes, det, g, xq, yq)
            squared = (fp - gp - fq + gq) ** 2
            to_begin, to_end = -to_t * (fq - gq) / squared, to_t * (fp - gp) / squared
            for k in range(3):
                x, y, one = to_begin * xp + to_end * xq, to_begin * yp + to_end * yq, to_begin + to_end
                to_planes[f, k, 0] += x / det[f]
                to_planes[f, k, 1] += y / det[f]
                to_planes[f, k, 2] += one / det[f]
                to_planes[g, k, 0] -= x / det[g]
                to_planes[g, k, 1] -= y / det[g]
                to_planes[g, k, 2] -= one / det[g]
            to_det[f] -= (to_begin * fp + to_end * fq) / det[f]
            to_det[g] += (to_begin * gp + to_end * gq) / det[g]
    to_color += extra


@_compiled
def _fragment_backward(
    mesh: MeshArrays,
    f: int,
    x: float,
    y: float,
    out: Array,
    directions: Array,
    intensities: Array,
    ambient: float,
    tint: Array,
    to_color: Array,
    to_planes: Array,
    to_light: Array,
    to_directions: Array,
    to_intensities: Array,
    to_ambient: Array,
    to_tint: Array,
) -> None:
    """Gradient of one shaded sample that is not plain; out is of _fragment."""
    sign = out[6, 2]
    light = ambient + _light(mesh, f, sign, out[5, 0], out[5, 1], out[5, 2], directions, intensities)
    to_sample = 0.0
    to_base = (0.0, 0.0, 0.0)
    along_u = along_v = 0.0
    for c in range(3):
        albedo = out[1, c] * out[2, c]
        raw = albedo * tint[c] * light
        if raw > 1.0 or raw < 0.0:
            continue
        gradient = to_color[c]
        to_sample += gradient * albedo * tint[c]
        to_tint[c] += gradient * albedo * light
        base = gradient * out[2, c] * tint[c] * light
        to_base = (
            base if c == 0 else to_base[0],
            base if c == 1 else to_base[1],
            base if c == 2 else to_base[2],
        )
        texel = gradient * out[1, c] * tint[c] * light
        along_u += texel * out[3, c]
        along_v += texel * out[4, c]
    nx = ny = nz = 0.0
    if mesh.flat[f]:
        to_light[f] += to_sample
    else:
        to_ambient[0] += to_sample
        for i in range(len(intensities)):
            cosine = sign * (directions[i, 0] * out[5, 0] + directions[i, 1] * out[5, 1] + directions[i, 2] * out[5, 2])
            if cosine > 0:
                to_intensities[i] += to_sample * cosine
                for c in range(3):
                    to_directions[i, c] += to_sample * intensities[i] * sign * out[5, c]
                nx += to_sample * intensities[i] * sign * directions[i, 0]
                ny += to_sample * intensities[i] * sign * directions[i, 1]
                nz += to_sample * intensities[i] * sign * directions[i, 2]
        dot = nx * out[5, 0] + ny * out[5, 1] + nz * out[5, 2]
        nx = (nx - dot * out[5, 0]) / out[6, 1]
        ny = (ny - dot * out[5, 1]) / out[6, 1]
        nz = (nz - dot * out[5, 2]) / out[6, 1]
    mean = 0.0
    weights = (0.0, 0.0, 0.0)
    for k in range(3):
        value = along_u * mesh.uv[f, k, 0] + along_v * mesh.uv[f, k, 1]
        value += to_base[0] * mesh.colors[f, k, 0] + to_base[1] * mesh.colors[f, k, 1]
        value += to_base[2] * mesh.colors[f, k, 2]
        value += nx * mesh.normals[f, k, 0] + ny * mesh.normals[f, k, 1] + nz * mesh.normals[f, k, 2]
        mean += value * out[0, k]
        weights = (
            value if k == 0 else weights[0],
            value if k == 1 else weights[1],
            value if k == 2 else weights[2],
        )
    for k in range(3):
        value = (weights[k] - mean) / out[6, 0]
        to_planes[f, k, 0] += value * x
        to_planes[f, k, 1] += value * y
        to_planes[f, k, 2] += value


@_compiled
def _light_backward(
    mesh: MeshArrays,
    f: int,
    det: float,
    directions: Array,
    intensities: Array,
    ambient: float,
    tint: Array,
    to_plain: Array,
    to_light: float,
    to_directions: Array,
    to_intensities: Array,
    to_ambient: Array,
    to_tint: Array,
) -> None:
    """Gradient of the light on a flat face, from its samples' summed slopes."""
    nx, ny, nz = mesh.normals[f, 0, 0], mesh.normals[f, 0, 1], mesh.normals[f, 0, 2]
    sign = _side(mesh, f, det, nx, ny, nz)
    if mesh.plain[f]:
        light = ambient + _light(mesh, f, sign, nx, ny, nz, directions, intensities)
        for c in range(3):
            raw = mesh.colors[f, 0, c] * tint[c] * light
            if 0.0 <= raw <= 1.0:
                to_light += to_plain[c] * mesh.colors[f, 0, c] * tint[c]
                to_tint[c] += to_plain[c] * mesh.colors[f, 0, c] * light
    to_ambient[0] += to_light
    for i in range(len(intensities)):
        cosine = sign * (directions[i, 0] * nx + directions[i, 1] * ny + directions[i, 2] * nz)
        if cosine > 0:
            to_intensities[i] += to_light * cosine
            to_directions[i, 0] += to_light * intensities[i] * sign * nx
            to_directions[i, 1] += to_light * intensities[i] * sign * ny
            to_directions[i, 2] += to_light * intensities[i] * sign * nz


@_compiled
def _camera_backward(
    vertices: Array,
    faces: Array,
    f: int,
    clip: Array,
    planes: Array,
    to_planes: Array,
    to_det: float,
    to_camera: Array,
) -> None:
    """dL/dcamera from dL/dn_k and dL/ddet of face f: n_k = p_i x p_j and ddet/dp_k = n_k."""
    for k in range(3):
        i, j, v = faces[f, (k + 1) % 3], faces[f, (k + 2) % 3], faces[f, k]
        gx, gy, gz = to_planes[k, 0], to_planes[k, 1], to_planes[k, 2]
        for row in range(3):
            one, two = (row + 1) % 3, (row + 2) % 3
            g1 = gx if one == 0 else (gy if one == 1 else gz)
            g2 = gx if two == 0 else (gy if two == 1 else gz)
            to_i = clip[j, one] * g2 - clip[j, two] * g1
            to_j = g1 * clip[i, two] - g2 * clip[i, one]
            to_v = to_det * planes[f, k, row]
            for c in range(3):
                to_camera[row, c] += to_i * vertices[i, c] + to_j * vertices[j, c] + to_v * vertices[v, c]
            to_camera[row, 3] += to_i + to_j + to_v
