"""Which face each sample sees."""

# ruff: noqa: I001 (a name a line would be a page)

from __future__ import annotations

import warp as wp

from lightning_semrob.rendering.kernels.layout import (
    CUTOUT, FARTHER, FRONT, LARGEST, LAST_FACE, MODULE, NEAR, VARIES, VARIES_IN_KEY, Face, Frame, Mesh,
    depth_of, f32, f64, face_of, i32, i64, key_of, lambdas, sample_x, sample_y, value_at,
)  # fmt: skip


@wp.func
def fused(a: f32, b: f32, c: f32):
    """``a * b + c`` in float64, whose product is exact, rounded to float32: the same on every device."""
    return f32(f64(a) * f64(b) + f64(c))


@wp.kernel(module=MODULE)
def project(mesh: Mesh, frame: Frame, run: i32):
    """Carry the vertices to clip space, in float32. Threads: images, runs of vertices."""
    b, thread = wp.tid()
    if thread == 0:
        frame.extent[b] = wp.vec4i(frame.side, 1, frame.side, 1)
    c = frame.camera[b]
    for v in range(thread * run, wp.min((thread + 1) * run, mesh.vertices.shape[0])):
        p = mesh.vertices[v]
        q = wp.vec3d()
        for i in range(3):
            q[i] = f64(fused(c[i, 2], p[2], fused(c[i, 0], p[0], c[i, 1] * p[1])) + c[i, 3])
        frame.clip[b, v] = q


@wp.struct
class Outline:
    """A face on the grid of samples. In each row it covers the columns from the largest of ``left + left_slope * row``,
    a bound and up to two edges, to the smallest of ``right + right_slope * row``."""

    first: i32
    last: i32
    left: wp.vec3d
    left_slope: wp.vec3d
    right: wp.vec3d
    right_slope: wp.vec3d
    depth: wp.vec3d
    crosses: wp.bool


@wp.func
def outline(p: wp.vec3d, q: wp.vec3d, r: wp.vec3d, det: f64, side: i32):
    """The outline of a face with corners p, q, r in clip space; no rows where it shows nothing."""
    o = Outline()
    half = f64(side) * f64(0.5)
    edge = f64(side - 1)
    left, right, top, bottom = f64(0.0), edge, f64(0.0), edge
    o.crosses = wp.min(wp.vec3d(p[2], q[2], r[2])) < NEAR
    if not o.crosses:
        x = wp.vec3d(p[0] / p[2], q[0] / q[2], r[0] / r[2])
        y = wp.vec3d(p[1] / p[2], q[1] / q[2], r[1] / r[2])
        left = wp.max(left, (wp.min(x) + f64(1.0)) * half - f64(0.5))
        right = wp.min(right, (wp.max(x) + f64(1.0)) * half - f64(0.5))
        top = wp.max(top, (f64(1.0) - wp.max(y)) * half - f64(0.5))
        bottom = wp.min(bottom, (f64(1.0) - wp.min(y)) * half - f64(0.5))
    elif wp.max(wp.vec3d(p[2], q[2], r[2])) < NEAR:
        bottom = f64(-1.0)
    o.first = i32(wp.ceil(top))
    o.last = i32(wp.floor(bottom))
    if wp.ceil(left) > wp.floor(right):
        o.last = -1
    if o.first <= o.last:
        o.left = wp.vec3d(left)
        o.right = wp.vec3d(right)
        n0, n1, n2 = wp.cross(q, r), wp.cross(r, p), wp.cross(p, q)
        for k in range(3):
            n = wp.where(k == 0, n0, wp.where(k == 1, n1, n2))
            if n[0] != f64(0.0):
                slope = n[1] / n[0]
                start = half - f64(0.5) - (n[1] * (f64(1.0) - f64(0.5) / half) + n[2]) / n[0] * half
                if (n[0] > f64(0.0)) == (det > f64(0.0)):
                    o.left = wp.vec3d(o.left[0], start, o.left[1])
                    o.left_slope = wp.vec3d(f64(0.0), slope, o.left_slope[1])
                else:
                    o.right = wp.vec3d(o.right[0], start, o.right[1])
                    o.right_slope = wp.vec3d(f64(0.0), slope, o.right_slope[1])
        o.depth = (n0 + n1 + n2) / det
    return o


@wp.func
def opaque(mesh: Mesh, f: i32, texture: i32, lam: wp.vec3d):
    """Whether the finest level of the face's texture has no hole where its lambdas are lam."""
    total = lam[0] + lam[1] + lam[2]
    a, b, c = mesh.uv[f, 0], mesh.uv[f, 1], mesh.uv[f, 2]
    u = (lam[0] * f64(a[0]) + lam[1] * f64(b[0]) + lam[2] * f64(c[0])) / total
    v = (lam[0] * f64(a[1]) + lam[1] * f64(b[1]) + lam[2] * f64(c[1])) / total
    level = mesh.levels[mesh.pyramids[texture][0]]
    column = wp.min(i32((u - wp.floor(u)) * f64(level[2])), level[2] - 1)
    row = wp.min(i32((f64(1.0) - (v - wp.floor(v))) * f64(level[1])), level[1] - 1)
    return i32(mesh.texels[level[0] + row * level[2] + column][3]) >= 128


@wp.func
def solid(mesh: Mesh, frame: Frame, b: i32, f: i32, face: Face, z: f64, x: f64, y: f64):
    """Whether face f, of inverse depth z at (x, y), is there, beyond the near plane and not in a hole."""
    lam = lambdas(frame, b, face, x, y)
    if frame.det[b, f] < f64(0.0):
        lam = -lam
    there = z > f64(0.0) and z <= LARGEST and wp.min(lam) >= f64(0.0)
    if there and (face.kind & CUTOUT) != 0:
        there = opaque(mesh, f, face.texture, lam)
    return there


@wp.func
def fill(mesh: Mesh, frame: Frame, b: i32, f: i32, det: f64, part: i32, parts: i32, settle: bool):
    """Offer face f to every ``parts``-th row of samples that it covers.

    Drawing: the largest key wins, and faces that are as near as another one are marked. Settling: of all faces as near
    as the nearest, the front-facing one of the lowest number wins.
    """
    face = mesh.faces[f]
    side = frame.side
    half = f64(side) * f64(0.5)
    o = outline(
        frame.clip[b, face.corners[0]], frame.clip[b, face.corners[1]], frame.clip[b, face.corners[2]], det, side
    )
    e = frame.extent[b]
    bounds = wp.vec4i(o.first, -o.last, i32(wp.ceil(o.left[0])), -i32(wp.floor(o.right[0])))
    if not settle and o.first <= o.last and wp.min(bounds - e) < 0:
        wp.atomic_min(frame.extent, b, bounds)
    rank = i64((LAST_FACE - f) << 1)
    if det > f64(0.0):
        rank += i64(FRONT)
    if (face.kind & VARIES) != 0:
        rank += i64(VARIES_IN_KEY)
    careful = o.crosses or (face.kind & CUTOUT) != 0
    step = o.depth[0] / half
    row = o.first + part
    while row <= o.last:
        r = f64(row)
        first = i32(wp.ceil(wp.max(o.left + o.left_slope * r)))
        last = i32(wp.floor(wp.min(o.right + o.right_slope * r)))
        y = sample_y(row, half)
        start = value_at(o.depth, sample_x(first, half), y)
        for column in range(first, last + 1):
            z = start + step * f64(column - first)
            depth = f32(wp.clamp(z, f64(0.0), LARGEST))
            i = row * side + column
            nearest = depth_of(frame.keys[b, i])
            if depth > nearest * FARTHER and (
                not careful or solid(mesh, frame, b, f, face, z, sample_x(column, half), y)
            ):
                if settle:
                    wp.atomic_max(frame.keys, b, i, key_of(nearest, rank))
                else:
                    before = wp.atomic_max(frame.keys, b, i, key_of(depth, rank))
                    nearest = depth_of(before)
                    if before != i64(0) and depth > nearest * FARTHER and nearest > depth * FARTHER:
                        frame.tied[b, f] = wp.uint8(1)
                        frame.tied[b, face_of(before)] = wp.uint8(1)
        row += parts


@wp.kernel(module=MODULE)
def draw_faces(mesh: Mesh, frame: Frame, run: i32, parts: i32):
    """Offer all faces to the samples. Threads: images, runs of faces, parts of a face's rows."""
    b, thread, part = wp.tid()
    for f in range(thread * run, wp.min((thread + 1) * run, mesh.faces.shape[0])):
        face = mesh.faces[f]
        p, q, r = frame.clip[b, face.corners[0]], frame.clip[b, face.corners[1]], frame.clip[b, face.corners[2]]
        det = wp.dot(p, wp.cross(q, r))
        frame.det[b, f] = det
        if det > f64(0.0) or (det < f64(0.0) and face.partner < 0):
            fill(mesh, frame, b, f, det, part, parts, False)


@wp.kernel(module=MODULE)
def settle_ties(mesh: Mesh, frame: Frame, run: i32, parts: i32):
    """Offer the tied faces once more. Threads as of :func:`draw_faces`."""
    b, thread, part = wp.tid()
    for f in range(thread * run, wp.min((thread + 1) * run, mesh.faces.shape[0])):
        if frame.tied[b, f] != wp.uint8(0):
            fill(mesh, frame, b, f, frame.det[b, f], part, parts, True)
