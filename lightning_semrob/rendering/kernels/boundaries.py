"""Antialiasing: finds where the face changes between two neighbouring samples, and blends their colours there.

Over 400 lines, because the forward and the backward kernels must find the same boundaries.
"""

# ruff: noqa: I001 (a name a line would be a page)

from __future__ import annotations

import warp as wp

from lightning_semrob.rendering.kernels.layout import (
    BACKGROUND, BLEND_UNIT, LOW_WORD, MODULE, VARIES, Face, Frame, Ints, Lights, Mesh, Slopes,
    depth_of, edge_plane, f32, f64, face_of, i32, i64, lambdas, pixel_of, sample_x, sample_y, strip_of,
    to_matrix, value_at, varies,
)  # fmt: skip
from lightning_semrob.rendering.kernels.shading import blend_of, counted, give_backdrop, planes_backward, sample_color

MAX_WALK = wp.constant(64)
#: Room for the boundaries on a segment: those of a walk, its end, and what that meets.
LISTED = wp.constant(66)
#: In place of an edge: the planes of two faces meet.
MEETS = wp.constant(3)
#: Faces that are not seen beside the two samples, so that their colour is not known.
NOWHERE = wp.constant(wp.int32(-(1 << 31)))

# How a walk over the surface ended.
COVERS = wp.constant(0)
ENDS = wp.constant(1)
ARRIVES = wp.constant(2)


@wp.struct
class Segment:
    """From sample i, at (row, column), to its neighbour j, to the right or below: numbers, keys, positions."""

    i: i32
    j: i32
    key_i: i64
    key_j: i64
    row: i32
    column: i32
    down: i32
    xi: f64
    yi: f64
    xj: f64
    yj: f64


@wp.func
def bounded(s: Segment):
    """Whether the samples of a segment see different faces."""
    return ((s.key_i ^ s.key_j) & LOW_WORD) != i64(0)


@wp.func
def segment(frame: Frame, b: i32, row: i32, column: i32, down: i32, key_i: i64):
    """The segment from the sample at (row, column), of this key, to the right or downwards; to itself at the border."""
    s = Segment()
    s.row = row
    s.column = column
    s.down = down
    s.i = row * frame.side + column
    s.j = s.i
    s.key_i = key_i
    s.key_j = key_i
    if wp.where(down == 0, column, row) + 1 < frame.side:
        s.j = s.i + wp.where(down == 0, 1, frame.side)
        s.key_j = frame.keys[b, s.j]
    if bounded(s):
        half = f64(frame.side) * f64(0.5)
        s.xi = sample_x(column, half)
        s.yi = sample_y(row, half)
        s.xj = sample_x(column + 1 - down, half)
        s.yj = sample_y(row + down, half)
    return s


@wp.struct
class Walk:
    """How a walk ended, how many seams it crossed, and the last face and edge."""

    how: i32
    seams: i32
    face: i32
    edge: i32


@wp.func
def walk(
    mesh: Mesh, frame: Frame, b: i32, start: i32, goal: i32, xp: f64, yp: f64,
    xq: f64, yq: f64, path: Ints,
):  # fmt: skip
    """Follow the surface from face ``start``, seen at p, towards q; path takes the seams crossed, 4 * face + edge.

    It ARRIVES at the face ``goal``, ENDS or folds back at the last edge, or COVERS q without an end.
    """
    w = Walk()
    w.face = start
    entry = i32(-1)
    for _step in range(MAX_WALK):
        face = mesh.faces[w.face]
        sign = wp.where(frame.det[b, w.face] > f64(0.0), f64(1.0), f64(-1.0))
        ends = lambdas(frame, b, face, xq, yq) * sign
        w.edge = -1
        if wp.min(ends) < f64(0.0):
            begins = lambdas(frame, b, face, xp, yp) * sign
            least = f64(1e300)
            for k in range(3):
                if ends[k] < f64(0.0) and k != entry:
                    t = begins[k] / (begins[k] - ends[k])
                    if t < least:
                        w.edge = k
                        least = t
        if w.edge < 0:
            break
        beyond = face.across[w.edge]
        if beyond < 0:
            w.how = ENDS
            break
        following = beyond >> 3
        entry = (beyond >> 1) & 3
        if following != goal:
            corner = mesh.faces[following].corners[entry]
            folds = wp.dot(edge_plane(frame, b, face, w.edge), frame.clip[b, corner]) * sign >= f64(0.0)
            if folds or frame.det[b, following] == f64(0.0):
                w.how = ENDS
                break
        if (beyond & 1) != 0:
            path[w.seams] = 4 * w.face + w.edge
            w.seams += 1
        if following == goal:
            w.how = ARRIVES
            break
        w.face = following
    return w


@wp.func
def source(mesh: Mesh, frame: Frame, b: i32, f: i32, s: Segment):
    """Where the colour of face f between samples i and j is found: f itself unless it VARIES, -1 less the number of a
    sample beside i or j that sees it, or NOWHERE. Of two coincident faces the one that is seen counts."""
    if frame.det[b, f] < f64(0.0) and mesh.faces[f].partner >= 0:
        f = mesh.faces[f].partner
    if (mesh.faces[f].kind & VARIES) == 0:
        return f
    beside = wp.where(s.down == 0, frame.side, 1)
    place = wp.where(s.down == 0, s.row, s.column)
    for n in range(4):
        at = wp.where((n & 1) == 0, s.i, s.j) + wp.where(n < 2, -beside, beside)
        inside = (n < 2 and place > 0) or (n >= 2 and place + 1 < frame.side)
        if inside and face_of(frame.keys[b, at]) == f:
            return -1 - at
    return NOWHERE


@wp.func
def find_between(
    mesh: Mesh, frame: Frame, b: i32, s: Segment, start: i32, goal: i32,
    edges: Ints, sources: Ints,
):  # fmt: skip
    """List the boundaries between two samples whose faces, ``start`` and ``goal`` or -1, share no edge.

    The surface at i is followed until it ends or reaches the face at j, and, if it does not, the one at j backwards:
    the nearer of those that end hides the other there. Every seam on the way is a boundary of its own. If none ends,
    the surface that was followed meets the other one. See :func:`find` for the lists.
    """
    other_edges = wp.zeros(shape=(LISTED,), dtype=wp.int32)
    w = Walk()
    back = Walk()
    w.face = -1
    back.face = -1
    if start >= 0:
        w = walk(mesh, frame, b, start, goal, s.xi, s.yi, s.xj, s.yj, edges)
    if goal >= 0 and w.how != ARRIVES:
        back = walk(mesh, frame, b, goal, start, s.xj, s.yj, s.xi, s.yi, other_edges)
    nearer = depth_of(s.key_i) >= depth_of(s.key_j)
    forwards = w.how == ARRIVES or (w.how == ENDS and (back.how == COVERS or nearer))
    if w.how == COVERS and back.how == COVERS:
        if start < 0 or goal < 0:
            return 0, forwards
        forwards = w.face != start or back.face == goal
    last = goal
    sources[0] = -1 - s.i
    end = -1 - s.j
    if not forwards:
        w = back
        last = start
        end = sources[0]
        sources[0] = -1 - s.j
        for n in range(w.seams):
            edges[n] = other_edges[n]
    within = w.seams
    if w.how == ARRIVES:
        within -= 1
    hidden = i32(0)
    for n in range(within):
        face = mesh.faces[edges[n] >> 2]
        sources[n + 1] = source(mesh, frame, b, face.across[edges[n] & 3] >> 3, s)
        if sources[n + 1] == NOWHERE:
            hidden += 1
    if hidden > 0:
        within = 0
    if w.how == ENDS:
        edges[within] = 4 * w.face + w.edge
    elif w.how == COVERS:
        edges[within] = 4 * w.face + MEETS
        edges[within + 1] = last
    sources[within + 1] = end
    if w.how == ARRIVES and w.seams == 0:
        return 0, forwards
    return within + 1, forwards


@wp.func
def find(
    mesh: Mesh, frame: Frame, b: i32, s: Segment, edges: Ints,
    sources: Ints,
):  # fmt: skip
    """List the boundaries on a segment whose samples see different faces.

    Boundary n is ``edges[n]``, 4 * face + edge, or 4 * face + MEETS with the other face in ``edges[n + 1]``; the
    colours on its two sides are ``sources[n]`` and ``sources[n + 1]``, a face, or -1 - i for a sample. All in the order
    from j to i unless ``forwards``.
    """
    here, there = face_of(s.key_i), face_of(s.key_j)
    start, goal = i32(-1), i32(-1)
    shared = i32(-1)
    if here >= 0:
        start = mesh.faces[here].twin
    if there >= 0:
        goal = mesh.faces[there].twin
        if here >= 0:
            across = mesh.faces[start].across
            for k in range(3):
                if (across[k] >> 3) == goal:
                    shared = k
    if shared < 0:
        count, forwards = find_between(mesh, frame, b, s, start, goal, edges, sources)
        return count, forwards
    edges[0] = 4 * start + shared
    sources[0] = -1 - s.i
    sources[1] = -1 - s.j
    return mesh.faces[start].across[shared] & 1, True


@wp.struct
class Crossing:
    """Where a boundary crosses a segment: the plane that is 0 on it, its values at both ends, the place t in [0, 1],
    and its share, the squared cosine between segment and normal; 0 where it does not cross."""

    plane: wp.vec3d
    begin: f64
    end: f64
    t: f32
    share: f32


@wp.func
def depth_plane(frame: Frame, b: i32, face: Face, det: f64):
    """The plane whose value is the inverse depth of the face."""
    p, q, r = frame.clip[b, face.corners[0]], frame.clip[b, face.corners[1]], frame.clip[b, face.corners[2]]
    return (wp.cross(p, q) + wp.cross(q, r) + wp.cross(r, p)) / det


@wp.func
def crossing(mesh: Mesh, frame: Frame, b: i32, s: Segment, edge: i32, other: i32):
    """The crossing of an edge, or of the line where a face meets the ``other`` one."""
    c = Crossing()
    f = edge >> 2
    face = mesh.faces[f]
    if (edge & 3) == MEETS:
        c.plane = depth_plane(frame, b, face, frame.det[b, f]) - depth_plane(
            frame, b, mesh.faces[other], frame.det[b, other]
        )
    else:
        c.plane = edge_plane(frame, b, face, edge & 3)
    c.begin = value_at(c.plane, s.xi, s.yi)
    c.end = value_at(c.plane, s.xj, s.yj)
    if c.begin != c.end:
        t = c.begin / (c.begin - c.end)
        if t >= f64(0.0) and t <= f64(1.0):
            across, along = c.plane[0] * c.plane[0], c.plane[1] * c.plane[1]
            c.t = f32(t)
            c.share = f32(wp.where(s.down == 0, across, along) / (across + along))
    return c


@wp.func
def color_of(frame: Frame, lights: Lights, b: i32, source: i32):
    """The colour of a source, as of :func:`find`."""
    if source >= 0:
        return frame.lit[b, source]
    return sample_color(frame, lights, b, -1 - source, frame.keys[b, -1 - source])


@wp.func
def blend_segment(
    mesh: Mesh, frame: Frame, lights: Lights, b: i32, s: Segment, edges: Ints,
    sources: Ints,
):  # fmt: skip
    """Add what the boundaries on a segment do to its samples.

    The sample whose half of the segment holds the boundary takes ``|t - 1/2| * share`` of the colour beyond.
    """
    count, forwards = find(mesh, frame, b, s, edges, sources)
    for n in range(count):
        c = crossing(mesh, frame, b, s, edges[n], edges[n + 1])
        if c.share > f32(0.0):
            amount = (f32(0.5) - c.t) * c.share
            change = color_of(frame, lights, b, sources[n + 1]) - color_of(frame, lights, b, sources[n])
            if not forwards:
                change = -change
            change = change * (amount * BLEND_UNIT)
            weight = wp.abs(amount) * BLEND_UNIT
            blend = wp.vec4i(
                i32(wp.rint(change[0])), i32(wp.rint(change[1])), i32(wp.rint(change[2])), i32(wp.rint(weight))
            )
            wp.atomic_add(frame.blends, b, wp.where(c.t < f32(0.5), s.i, s.j), blend)


@wp.kernel(module=MODULE)
def blend_boundaries(mesh: Mesh, frame: Frame, lights: Lights, strips: i32):
    """Blend across all visible boundaries. Threads: images, strips of the rows of samples."""
    b, thread = wp.tid()
    strip = strip_of(frame, b, thread, strips, 1)
    edges = wp.zeros(shape=(LISTED,), dtype=wp.int32)
    sources = wp.zeros(shape=(LISTED,), dtype=wp.int32)
    for column in range(strip.first * frame.samples, strip.last * frame.samples):
        key = frame.keys[b, strip.row * frame.side + column]
        for down in range(2):
            s = segment(frame, b, strip.row, column, down, key)
            if bounded(s):
                blend_segment(mesh, frame, lights, b, s, edges, sources)


@wp.func
def give(frame: Frame, slopes: Slopes, b: i32, source: i32, slope: wp.vec3f):
    """Add a slope to the colour of a source; returns it where that is the background."""
    f = source
    if source < 0:
        key = frame.keys[b, -1 - source]
        f = face_of(key)
        if varies(key):
            wp.atomic_add(slopes.to_sample, b, -1 - source, counted(slopes, b, slope))
            return wp.vec3f()
    if f < 0:
        return give_backdrop(slopes, b, pixel_of(frame, -1 - source), slope)
    wp.atomic_add(slopes.to_face, b, f, counted(slopes, b, slope))
    return wp.vec3f()


@wp.func
def depth_backward(mesh: Mesh, frame: Frame, b: i32, f: i32, to_plane: wp.vec3d):
    """dL/dcamera from that to :func:`depth_plane`, ``sum of n_k / det``; the determinant is of degree 3 in the corners:
    ``2 ddet = sum of p_k . dn_k``."""
    face = mesh.faces[f]
    det = frame.det[b, f]
    p, q, r = frame.clip[b, face.corners[0]], frame.clip[b, face.corners[1]], frame.clip[b, face.corners[2]]
    half = -wp.dot(depth_plane(frame, b, face, det), to_plane) / det * f64(0.5)
    slope = to_plane / det
    return planes_backward(mesh, frame, b, f, wp.matrix_from_rows(slope + half * p, slope + half * q, slope + half * r))


@wp.func
def boundary_backward(mesh: Mesh, frame: Frame, b: i32, s: Segment, c: Crossing, edge: i32, other: i32, to_t: f32):
    """dL/dcamera from that to the place t of a crossing."""
    squared = (c.begin - c.end) * (c.begin - c.end)
    to_begin, to_end = -f64(to_t) * c.end / squared, f64(to_t) * c.begin / squared
    to_plane = wp.vec3d(to_begin * s.xi + to_end * s.xj, to_begin * s.yi + to_end * s.yj, to_begin + to_end)
    f = edge >> 2
    face = mesh.faces[f]
    if (edge & 3) == MEETS:
        return depth_backward(mesh, frame, b, f, to_plane) - depth_backward(mesh, frame, b, other, to_plane)
    i, j = face.corners[((edge & 3) + 1) % 3], face.corners[((edge & 3) + 2) % 3]
    result = to_matrix(mesh.vertices[i], wp.cross(frame.clip[b, j], to_plane))
    return result + to_matrix(mesh.vertices[j], wp.cross(to_plane, frame.clip[b, i]))


@wp.func(inline=True)
def segment_backward(
    mesh: Mesh, frame: Frame, lights: Lights, slopes: Slopes, b: i32, thread: i32, s: Segment,
    edges: Ints, sources: Ints,
):  # fmt: skip
    """The slope of :func:`blend_segment`; returns dL/dbackground, and adds the others where they belong."""
    to_background = wp.vec3f()
    count, forwards = find(mesh, frame, b, s, edges, sources)
    for n in range(count):
        c = crossing(mesh, frame, b, s, edges[n], edges[n + 1])
        if c.share > f32(0.0):
            before = wp.where(forwards, sources[n], sources[n + 1])
            after = wp.where(forwards, sources[n + 1], sources[n])
            at_i = c.t < f32(0.5)
            blended = wp.where(at_i, s.i, s.j)
            slope = slopes.pixels[b, pixel_of(frame, blended)]
            blend = frame.blends[b, blended]
            change = color_of(frame, lights, b, after) - color_of(frame, lights, b, before)
            weight = wp.max(f32(blend[3]) / BLEND_UNIT, f32(1.0))
            slope = slope / weight
            to_t = -wp.dot(slope, change) * c.share
            if weight > f32(1.0):
                to_t += wp.dot(slope, blend_of(blend)) * wp.where(at_i, c.share, -c.share)
            slope = slope * ((f32(0.5) - c.t) * c.share)
            to_background += give(frame, slopes, b, after, slope) + give(frame, slopes, b, before, -slope)
            if to_t != f32(0.0):
                to_camera = boundary_backward(mesh, frame, b, s, c, edges[n], edges[n + 1], to_t)
                wp.atomic_add(slopes.to_camera, b, thread, to_camera)
    return to_background


@wp.kernel(module=MODULE)
def blend_boundaries_backward(mesh: Mesh, frame: Frame, lights: Lights, slopes: Slopes, strips: i32):
    """Carry the slopes of the samples back over the blends, to the colours and to the camera. Threads: images, strips
    of the rows of samples."""
    b, thread = wp.tid()
    strip = strip_of(frame, b, thread, strips, 1)
    edges = wp.zeros(shape=(LISTED,), dtype=wp.int32)
    sources = wp.zeros(shape=(LISTED,), dtype=wp.int32)
    to_background = wp.vec3f()
    for column in range(strip.first * frame.samples, strip.last * frame.samples):
        key = frame.keys[b, strip.row * frame.side + column]
        for down in range(2):
            s = segment(frame, b, strip.row, column, down, key)
            if bounded(s):
                to_background += segment_backward(mesh, frame, lights, slopes, b, thread, s, edges, sources)
    for c in range(3):
        slopes.to_light[b, thread, BACKGROUND + c] += f64(to_background[c])
