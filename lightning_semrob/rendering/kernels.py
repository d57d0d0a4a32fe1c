"""The rasteriser of the CPU, compiled by Numba: one image at a time, one thread, gradients by hand.

Notation as in :mod:`~lightning_semrob.rendering.raster_torch`: a sample is ``r = (X, Y, 1)``, a corner in clip space
is ``p = (x, y, w)``, and ``lambda_k(r) = n_k . r`` with ``n_k = p_i x p_j`` are the unnormalised barycentrics; the
inverse depth is ``sum(lambda) / det``. Gradients are gathered per face as dL/dn_k and dL/ddet, then carried to the
camera matrix once per face, since only the camera moves.

One file, long as it is: Numba's cache is renewed only when the file of a function itself changes, so that a helper in
another file could be edited and its callers go on with the old one.
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
    """:class:`~lightning_semrob.rendering.geometry.Geometry` as arrays, int32 and float32, the texels uint8."""

    vertices: Array
    faces: Array
    twin: Array
    neighbors: Array
    seams: Array
    partner: Array
    normals: Array
    flat: Array
    plain: Array
    even: Array
    colors: Array
    uv: Array
    texture: Array
    cutout: Array
    texels: Array
    pyramids: Array
    levels: Array


def _exact(function: F) -> F:
    # Two faces compute their common edge each for itself: only without fused operations they agree to the last bit.
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def _compiled(function: F) -> F:
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function))


def _inlined(function: F) -> F:
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")(function))


@_exact
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


@_exact
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


@_exact
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
    return float(mesh.texels[first + row * width + column, 3]) / 255.0


@_inlined
def _place(u: float, size: int) -> tuple[int, int, float]:
    """The two texels around u along a side of ``size`` texels, repeating, and how far u is towards the second."""
    position = (u - np.floor(u)) * size - 0.5
    low = np.floor(position)
    first = int(low)
    first = first + size if first < 0 else first
    first = first - size if first >= size else first
    second = first + 1 if first + 1 < size else 0
    return first, second, position - low


@_compiled
def _texel(t: Array, levels: Array, level: int, u: float, v: float) -> tuple[float, float, float]:
    """Bilinear, repeating sample of a texture level among the texels t: r, g, b."""
    first, height, width = levels[level, 0], levels[level, 1], levels[level, 2]
    x0, x1, fx = _place(u, width)
    y0, y1, fy = _place(1.0 - (v - np.floor(v)), height)
    above, below = first + y0 * width, first + y1 * width
    fy, gy = fy / 255.0, (1.0 - fy) / 255.0
    w00, w01, w10, w11 = (1.0 - fx) * gy, fx * gy, (1.0 - fx) * fy, fx * fy
    return (
        w00 * t[above + x0, 0] + w01 * t[above + x1, 0] + w10 * t[below + x0, 0] + w11 * t[below + x1, 0],
        w00 * t[above + x0, 1] + w01 * t[above + x1, 1] + w10 * t[below + x0, 1] + w11 * t[below + x1, 1],
        w00 * t[above + x0, 2] + w01 * t[above + x1, 2] + w10 * t[below + x0, 2] + w11 * t[below + x1, 2],
    )


@_compiled
def _texel_slope(
    t: Array, levels: Array, level: int, u: float, v: float, r: float, g: float, b: float
) -> tuple[float, float]:
    """d/du and d/dv of ``r * red + g * green + b * blue`` of the sample that :func:`_texel` takes."""
    first, height, width = levels[level, 0], levels[level, 1], levels[level, 2]
    x0, x1, fx = _place(u, width)
    y0, y1, fy = _place(1.0 - (v - np.floor(v)), height)
    above, below = first + y0 * width, first + y1 * width
    t00 = r * t[above + x0, 0] + g * t[above + x0, 1] + b * t[above + x0, 2]
    t01 = r * t[above + x1, 0] + g * t[above + x1, 1] + b * t[above + x1, 2]
    t10 = r * t[below + x0, 0] + g * t[below + x0, 1] + b * t[below + x0, 2]
    t11 = r * t[below + x1, 0] + g * t[below + x1, 1] + b * t[below + x1, 2]
    along_u = ((t01 - t00) * (1.0 - fy) + (t11 - t10) * fy) * (width / 255.0)
    along_v = ((t00 - t10) * (1.0 - fx) + (t01 - t11) * fx) * (height / 255.0)
    return along_u, along_v


@_inlined
def _detail(levels: Array, base: int, count: int, area: float) -> tuple[int, float]:
    """Level of the texture of ``count`` levels from ``base`` on where a sample covers ``area`` of it, and how far it is
    towards the next."""
    texels = area * levels[base, 1] * levels[base, 2]
    detail = 0.5 * np.log2(texels) if texels > 1.0 else 0.0
    detail = min(detail, count - 1.0)
    level = int(detail)
    return base + level, detail - level


@_compiled
def _texture(
    texels: Array, levels: Array, base: int, count: int, u: float, v: float, area: float
) -> tuple[float, float, float]:
    """Trilinear sample of a texture where a sample covers ``area`` of texture space: r, g, b."""
    level, fraction = _detail(levels, base, count, area)
    r, g, b = _texel(texels, levels, level, u, v)
    if fraction > 0.0:
        r1, g1, b1 = _texel(texels, levels, level + 1, u, v)
        r, g, b = r + (r1 - r) * fraction, g + (g1 - g) * fraction, b + (b1 - b) * fraction
    return r, g, b


@_compiled
def _texture_slope(
    texels: Array, levels: Array, base: int, count: int, u: float, v: float, area: float, r: float, g: float, b: float
) -> tuple[float, float]:
    """d/du and d/dv of ``r * red + g * green + b * blue`` of the sample that :func:`_texture` takes."""
    level, fraction = _detail(levels, base, count, area)
    along_u, along_v = _texel_slope(texels, levels, level, u, v, r, g, b)
    if fraction > 0.0:
        next_u, next_v = _texel_slope(texels, levels, level + 1, u, v, r, g, b)
        along_u, along_v = along_u + (next_u - along_u) * fraction, along_v + (next_v - along_v) * fraction
    return along_u, along_v


@_compiled
def _texture_planes(mesh: MeshArrays, planes: Array, f: int, det: float, side: int, out: Array) -> None:
    """What texture coordinates of face f need: out (10,) holds the planes (a, b, c) with u = (a X + b Y + c) / total,
    then that of v, that of the total, and the texture area of a sample times ``|total|**3``."""
    for c in range(3):
        out[c] = out[3 + c] = out[6 + c] = 0.0
        for k in range(3):
            out[c] += planes[f, k, c] * mesh.uv[f, k, 0]
            out[3 + c] += planes[f, k, c] * mesh.uv[f, k, 1]
            out[6 + c] += planes[f, k, c]
    patch = (mesh.uv[f, 1, 0] - mesh.uv[f, 0, 0]) * (mesh.uv[f, 2, 1] - mesh.uv[f, 0, 1])
    patch -= (mesh.uv[f, 1, 1] - mesh.uv[f, 0, 1]) * (mesh.uv[f, 2, 0] - mesh.uv[f, 0, 0])
    out[9] = abs(patch * det * det) * 4.0 / (side * side)


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
def _fragment(mesh: MeshArrays, planes: Array, det: float, f: int, x: float, y: float, side: int, out: Array) -> None:
    """One sample of face f: out (6, 3) holds

    0 barycentrics, 1 vertex colour, 2 texel, 3 (u, v, texture area of the sample), 4 unit normal, 5 (sum of lambda,
    length of the interpolated normal, sign that turns it to the seen side).
    """
    total = 0.0
    for k in range(3):
        out[0, k] = planes[f, k, 0] * x + planes[f, k, 1] * y + planes[f, k, 2]
        total += out[0, k]
    for k in range(3):
        out[0, k] /= total
    out[5, 0] = total
    for c in range(3):
        out[1, c] = (
            out[0, 0] * mesh.colors[f, 0, c] + out[0, 1] * mesh.colors[f, 1, c] + out[0, 2] * mesh.colors[f, 2, c]
        )
    if mesh.texture[f] >= 0:
        u = out[0, 0] * mesh.uv[f, 0, 0] + out[0, 1] * mesh.uv[f, 1, 0] + out[0, 2] * mesh.uv[f, 2, 0]
        v = out[0, 0] * mesh.uv[f, 0, 1] + out[0, 1] * mesh.uv[f, 1, 1] + out[0, 2] * mesh.uv[f, 2, 1]
        patch = (mesh.uv[f, 1, 0] - mesh.uv[f, 0, 0]) * (mesh.uv[f, 2, 1] - mesh.uv[f, 0, 1])
        patch -= (mesh.uv[f, 1, 1] - mesh.uv[f, 0, 1]) * (mesh.uv[f, 2, 0] - mesh.uv[f, 0, 0])
        out[3, 0], out[3, 1] = u, v
        out[3, 2] = abs(patch * det * det / (total * total * total)) * 4.0 / (side * side)
        base, count = mesh.pyramids[mesh.texture[f], 0], mesh.pyramids[mesh.texture[f], 1]
        out[2, 0], out[2, 1], out[2, 2] = _texture(mesh.texels, mesh.levels, base, count, u, v, out[3, 2])
    else:
        out[2] = 1.0
    for c in range(3):
        out[4, c] = (
            out[0, 0] * mesh.normals[f, 0, c] + out[0, 1] * mesh.normals[f, 1, c] + out[0, 2] * mesh.normals[f, 2, c]
        )
    length = max(np.sqrt(out[4, 0] ** 2 + out[4, 1] ** 2 + out[4, 2] ** 2), 1e-12)
    for c in range(3):
        out[4, c] /= length
    out[5, 1] = length
    out[5, 2] = _side(mesh, f, det, out[4, 0], out[4, 1], out[4, 2])


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
    """Light on the flat face f, lit (F,), and its colour if that is one, plain (F, 3), cut to [0, 1] if untextured."""
    nx, ny, nz = mesh.normals[f, 0, 0], mesh.normals[f, 0, 1], mesh.normals[f, 0, 2]
    sign = _side(mesh, f, det[f], nx, ny, nz)
    lit[f] = ambient + _light(mesh, f, sign, nx, ny, nz, directions, intensities)
    for c in range(3):
        plain[f, c] = mesh.colors[f, 0, c] * tint[c] * lit[f]
        if mesh.plain[f]:
            plain[f, c] = min(max(plain[f, c], 0.0), 1.0)


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
    out, t = np.zeros((6, 3)), np.zeros(10)
    texels, levels = mesh.texels, mesh.levels
    textured, base, count = -1, 0, 0
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
            if mesh.even[f]:
                if f != textured:
                    _texture_planes(mesh, planes, f, det[f], side, t)
                    textured = f
                    base, count = mesh.pyramids[mesh.texture[f], 0], mesh.pyramids[mesh.texture[f], 1]
                total = t[6] * x + t[7] * y + t[8]
                u, v = (t[0] * x + t[1] * y + t[2]) / total, (t[3] * x + t[4] * y + t[5]) / total
                red, green, blue = _texture(texels, levels, base, count, u, v, t[9] / abs(total * total * total))
                color[row, column, 0] = min(max(plain[f, 0] * red, 0.0), 1.0)
                color[row, column, 1] = min(max(plain[f, 1] * green, 0.0), 1.0)
                color[row, column, 2] = min(max(plain[f, 2] * blue, 0.0), 1.0)
                continue
            _fragment(mesh, planes, det[f], f, x, y, side, out)
            light = lit[f]
            if not mesh.flat[f]:
                light = ambient + _light(mesh, f, out[5, 2], out[4, 0], out[4, 1], out[4, 2], directions, intensities)
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
    colors: Array,
) -> tuple[Array, Array, Array]:
    """Render into images (B, 3, size, size); camera (B, 3, 4), the light as in ``Lighting``, all float32.

    seen (B, side, side) int32 takes the visible faces and colors (B, side, side, 3) float32 the samples' colours for
    :func:`backward`; with (1, side, side) and (1, side, side, 3) none are kept.
    Returns the boundaries of :func:`_boundaries` and where those of each image begin and end, (B + 1,).
    """
    batch, size = len(images), images.shape[2]
    side = size * samples
    keep = len(seen) == batch
    clip, planes, det = np.empty((len(mesh.vertices), 5)), np.empty((len(mesh.faces), 3, 3)), np.empty(len(mesh.faces))
    nearest = np.empty((side, side), np.float32)
    change, weight = np.empty((side * side, 3), np.float32), np.empty(side * side, np.float32)
    lit, plain = np.empty(len(mesh.faces)), np.empty((len(mesh.faces), 3), np.float32)
    numbers, values = np.empty((1 << 14, 6), np.int32), np.empty((1 << 14, 2), np.float32)
    starts = np.zeros(batch + 1, np.int64)
    scale = np.float32(1.0 / (samples * samples))
    for b in range(batch):
        face, color = seen[b if keep else 0], colors[b if keep else 0]
        flat = color.reshape(-1, 3)
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
    colors: Array,
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

    seen, colors, the boundaries and their starts are what :func:`forward` kept.
    """
    batch, size = len(slope), slope.shape[2]
    side = size * samples
    half = side * 0.5
    faces = len(mesh.faces)
    clip, planes, det = np.empty((len(mesh.vertices), 5)), np.empty((faces, 3, 3)), np.empty(faces)
    change, weight = np.empty((side * side, 3), np.float32), np.empty(side * side, np.float32)
    lit, plain = np.empty(faces), np.empty((faces, 3), np.float32)
    extra, to_pixel = np.empty((side * side, 3), np.float32), np.empty((size, size, 3))
    to_planes, to_det = np.zeros((faces, 3, 3)), np.zeros(faces)
    to_plain, to_light = np.zeros((faces, 3)), np.zeros(faces)
    used = np.zeros(faces, np.bool_)
    out, t, sums, to_color = np.zeros((6, 3)), np.zeros(10), np.zeros((3, 3)), np.zeros(3)
    texels, levels = mesh.texels, mesh.levels
    scale = 1.0 / (samples * samples)
    for b in range(batch):
        face, flat = seen[b], colors[b].reshape(-1, 3)
        numbers, values = all_numbers[starts[b] : starts[b + 1]], all_values[starts[b] : starts[b + 1]]
        _project(mesh, camera[b], side, clip, planes, det)
        lit[:] = -1.0
        _light_boundaries(mesh, det, numbers, directions[b], intensities[b], ambient[b], tint[b], lit, plain)
        _blend(numbers, values, plain, flat, change, weight)
        for row in range(size):
            for column in range(size):
                for c in range(3):
                    to_pixel[row, column, c] = scale * slope[b, c, row, column]
        extra[:] = 0.0
        _boundaries_backward(
            planes, det, plain, flat, change, weight, numbers, values, half,
            samples, to_pixel, extra, to_plain, to_planes, to_det, used,
        )  # fmt: skip
        textured, base, count = -1, 0, 0
        for row in range(side):
            y = 1.0 - (row + 0.5) / half
            for column in range(side):
                f = face[row, column]
                i = row * side + column
                red = to_pixel[row // samples, column // samples, 0] + extra[i, 0]
                green = to_pixel[row // samples, column // samples, 1] + extra[i, 1]
                blue = to_pixel[row // samples, column // samples, 2] + extra[i, 2]
                if f < 0:
                    to_background[b, 0] += red
                    to_background[b, 1] += green
                    to_background[b, 2] += blue
                    continue
                used[f] = True
                if mesh.plain[f]:
                    to_plain[f, 0] += red
                    to_plain[f, 1] += green
                    to_plain[f, 2] += blue
                    continue
                x = (column + 0.5) / half - 1.0
                if mesh.even[f]:
                    if lit[f] < 0:
                        _light_face(mesh, det, f, directions[b], intensities[b], ambient[b], tint[b], lit, plain)
                    if f != textured:
                        if textured >= 0:
                            _texture_planes_backward(mesh, textured, sums, to_planes)
                        _texture_planes(mesh, planes, f, det[f], side, t)
                        textured = f
                        base, count = mesh.pyramids[mesh.texture[f], 0], mesh.pyramids[mesh.texture[f], 1]
                    _texture_backward(texels, levels, base, count, f, x, y, t, plain, red, green, blue, to_plain, sums)
                    continue
                to_color[0], to_color[1], to_color[2] = red, green, blue
                _fragment(mesh, planes, det[f], f, x, y, side, out)
                _fragment_backward(
                    mesh, f, x, y, out, directions[b], intensities[b], ambient[b], tint[b], to_color,
                    to_planes, to_light, to_directions[b], to_intensities[b], to_ambient[b : b + 1], to_tint[b],
                )  # fmt: skip
        if textured >= 0:
            _texture_planes_backward(mesh, textured, sums, to_planes)
        for f in range(faces):
            if used[f]:
                if mesh.flat[f]:
                    _light_backward(
                        mesh, f, det[f], directions[b], intensities[b], ambient[b], tint[b], to_plain, to_light,
                        to_directions[b], to_intensities[b], to_ambient[b : b + 1], to_tint[b],
                    )  # fmt: skip
                _camera_backward(mesh.vertices, mesh.faces, f, clip, planes, to_planes, to_det[f], to_camera[b])
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
    samples: int,
    to_pixel: Array,
    extra: Array,
    to_plain: Array,
    to_planes: Array,
    to_det: Array,
    used: Array,
) -> None:
    """Gradient of the blend: from to_pixel (size, size, 3) what it adds to the shaded colours, extra, and dL/dn."""
    side = int(2 * half)
    for i in range(len(numbers)):
        t, share = values[i, 0], values[i, 1]
        p, q, before, after = numbers[i, 0], numbers[i, 1], numbers[i, 4], numbers[i, 5]
        target = p if t < 0.5 else q
        row, column = target // side // samples, target % side // samples
        amount = (0.5 - t) * share
        total = max(weight[target], np.float32(1.0))
        to_t = 0.0
        for c in range(3):
            old = plain[before, c] if before >= 0 else color[p if before == -1 else -2 - before, c]
            new = plain[after, c] if after >= 0 else color[q if after == -1 else -2 - after, c]
            gradient = to_pixel[row, column, c] / total
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
    sign = out[5, 2]
    light = ambient + _light(mesh, f, sign, out[4, 0], out[4, 1], out[4, 2], directions, intensities)
    to_sample = 0.0
    to_base, to_texel = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
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
        to_texel = (
            texel if c == 0 else to_texel[0],
            texel if c == 1 else to_texel[1],
            texel if c == 2 else to_texel[2],
        )
    if mesh.texture[f] >= 0:
        base, count = mesh.pyramids[mesh.texture[f], 0], mesh.pyramids[mesh.texture[f], 1]
        along_u, along_v = _texture_slope(
            mesh.texels,
            mesh.levels,
            base,
            count,
            out[3, 0],
            out[3, 1],
            out[3, 2],
            to_texel[0],
            to_texel[1],
            to_texel[2],
        )
    nx = ny = nz = 0.0
    if mesh.flat[f]:
        to_light[f] += to_sample
    else:
        to_ambient[0] += to_sample
        for i in range(len(intensities)):
            cosine = sign * (directions[i, 0] * out[4, 0] + directions[i, 1] * out[4, 1] + directions[i, 2] * out[4, 2])
            if cosine > 0:
                to_intensities[i] += to_sample * cosine
                for c in range(3):
                    to_directions[i, c] += to_sample * intensities[i] * sign * out[4, c]
                nx += to_sample * intensities[i] * sign * directions[i, 0]
                ny += to_sample * intensities[i] * sign * directions[i, 1]
                nz += to_sample * intensities[i] * sign * directions[i, 2]
        dot = nx * out[4, 0] + ny * out[4, 1] + nz * out[4, 2]
        nx = (nx - dot * out[4, 0]) / out[5, 1]
        ny = (ny - dot * out[4, 1]) / out[5, 1]
        nz = (nz - dot * out[4, 2]) / out[5, 1]
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
        value = (weights[k] - mean) / out[5, 0]
        to_planes[f, k, 0] += value * x
        to_planes[f, k, 1] += value * y
        to_planes[f, k, 2] += value


@_inlined
def _texture_backward(
    texels: Array,
    levels: Array,
    base: int,
    count: int,
    f: int,
    x: float,
    y: float,
    t: Array,
    plain: Array,
    red: float,
    green: float,
    blue: float,
    to_plain: Array,
    sums: Array,
) -> None:
    """Gradient of one sample of an even face: to its colour, and in sums (3, 3) what :func:`_texture_planes_backward`
    reads: rows for u, v and the total, columns for the three coefficients of a plane. t is of _texture_planes."""
    total = t[6] * x + t[7] * y + t[8]
    u, v = (t[0] * x + t[1] * y + t[2]) / total, (t[3] * x + t[4] * y + t[5]) / total
    area = t[9] / abs(total * total * total)
    r, g, b = _texture(texels, levels, base, count, u, v, area)
    red = red if 0.0 <= plain[f, 0] * r <= 1.0 else 0.0
    green = green if 0.0 <= plain[f, 1] * g <= 1.0 else 0.0
    blue = blue if 0.0 <= plain[f, 2] * b <= 1.0 else 0.0
    to_plain[f, 0] += red * r
    to_plain[f, 1] += green * g
    to_plain[f, 2] += blue * b
    red, green, blue = red * plain[f, 0], green * plain[f, 1], blue * plain[f, 2]
    along_u, along_v = _texture_slope(texels, levels, base, count, u, v, area, red, green, blue)
    along_u, along_v = along_u / total, along_v / total
    along = along_u * u + along_v * v
    sums[0, 0] += along_u * x
    sums[0, 1] += along_u * y
    sums[0, 2] += along_u
    sums[1, 0] += along_v * x
    sums[1, 1] += along_v * y
    sums[1, 2] += along_v
    sums[2, 0] += along * x
    sums[2, 1] += along * y
    sums[2, 2] += along


@_compiled
def _texture_planes_backward(mesh: MeshArrays, f: int, sums: Array, to_planes: Array) -> None:
    """Carry the sums of :func:`_texture_backward` over samples of face f to its planes, and clear them."""
    for k in range(3):
        for c in range(3):
            to_planes[f, k, c] += sums[0, c] * mesh.uv[f, k, 0] + sums[1, c] * mesh.uv[f, k, 1] - sums[2, c]
    sums[:] = 0.0


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
    to_lights: Array,
    to_directions: Array,
    to_intensities: Array,
    to_ambient: Array,
    to_tint: Array,
) -> None:
    """Gradient of the light on a flat face, from its samples' summed slopes."""
    to_light = to_lights[f]
    nx, ny, nz = mesh.normals[f, 0, 0], mesh.normals[f, 0, 1], mesh.normals[f, 0, 2]
    sign = _side(mesh, f, det, nx, ny, nz)
    if mesh.plain[f] or mesh.even[f]:
        light = ambient + _light(mesh, f, sign, nx, ny, nz, directions, intensities)
        for c in range(3):
            raw = mesh.colors[f, 0, c] * tint[c] * light
            if mesh.even[f] or 0.0 <= raw <= 1.0:
                to_light += to_plain[f, c] * mesh.colors[f, 0, c] * tint[c]
                to_tint[c] += to_plain[f, c] * mesh.colors[f, 0, c] * light
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
        gx, gy, gz = to_planes[f, k, 0], to_planes[f, k, 1], to_planes[f, k, 2]
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
