"""What the kernels read and write: records, numbers packed into one, and the geometry of one face."""

from __future__ import annotations

import warp as wp

from lightning_semrob.rendering import camera

#: All kernels form one Warp module. Two faces compute their common edge each for itself: only without fused operations
#: they agree to the last bit, and a CPU agrees with a GPU.
MODULE = wp.get_module("lightning_semrob_rasterizer")
MODULE.options.update(enable_backward=False, fuse_fp=False)

f32 = wp.float32
f64 = wp.float64
i32 = wp.int32
i64 = wp.int64
mat34f = wp.types.matrix(shape=(3, 4), dtype=wp.float32)
mat34d = wp.types.matrix(shape=(3, 4), dtype=wp.float64)
vec3l = wp.types.vector(length=3, dtype=wp.int64)
Ints = wp.array(dtype=wp.int32)
vec4b = wp.types.vector(length=4, dtype=wp.uint8)

NEAR = wp.constant(wp.float64(camera.NEAR))
LARGEST = wp.constant(wp.float64(1.0 / camera.NEAR))

# A key says what a sample sees: the bits of the inverse depth in the high word, so that the largest key is the nearest
# face, and below it (front-facing, number counted down, colour differs from sample to sample). 0 is the background.
FRONT = wp.constant(wp.int32(1 << 30))
LAST_FACE = wp.constant(wp.int32((1 << 29) - 1))
VARIES_IN_KEY = wp.constant(wp.int32(1))
LOW_WORD = wp.constant(wp.int64((1 << 32) - 1))
WORD = wp.constant(wp.int64(32))
#: A face is as near as another one if its inverse depth is larger than this part of the other's.
FARTHER = wp.constant(wp.float32(1.0 - camera.DEPTH_TOLERANCE))

# Bits of Face.kind.
LIT_ONCE = wp.constant(1)
VARIES = wp.constant(2)
CUTOUT = wp.constant(4)

#: Blends and slopes are summed in integers, so that no sum depends on its order.
BLEND_UNIT = wp.constant(wp.float32(2.0**23))
SLOPE_UNIT = 2.0**38

# Columns of Slopes.to_light: ambient, three of the tint, three of the background, then of each light its intensity and
# its direction.
TINT = wp.constant(1)
BACKGROUND = wp.constant(4)
LIGHT = wp.constant(7)
LIGHT_COLUMNS = wp.constant(4)


@wp.struct
class Face:
    """A face of :class:`~lightning_semrob.rendering.geometry.Geometry`, 64 bytes."""

    corners: wp.vec3i
    across: wp.vec3i
    """Beyond edge k (opposite to corner k): 8 * face + 2 * edge of that face + 1 at a seam; -1 for nothing."""
    twin: i32
    partner: i32
    kind: i32
    """LIT_ONCE: flat and of one colour; VARIES: the colour differs from sample to sample; CUTOUT: has holes."""
    texture: i32
    normal: wp.vec3f
    """Of a face that is LIT_ONCE, on the side where its corners turn counter-clockwise; so is the colour."""
    color: wp.vec3f


@wp.struct
class Mesh:
    """One mesh, see :class:`~lightning_semrob.rendering.geometry.Geometry`."""

    vertices: wp.array(dtype=wp.vec3f)
    faces: wp.array(dtype=Face)
    normals: wp.array2d(dtype=wp.vec3f)
    colors: wp.array2d(dtype=wp.vec3f)
    uv: wp.array2d(dtype=wp.vec2f)
    texels: wp.array(dtype=vec4b)
    levels: wp.array(dtype=wp.vec3i)
    pyramids: wp.array(dtype=wp.vec2i)


@wp.struct
class Lights:
    """The light and colours of B images, see :class:`~lightning_semrob.rendering.light.Lighting`."""

    directions: wp.array2d(dtype=wp.vec3f)
    intensities: wp.array2d(dtype=wp.float32)
    ambient: wp.array(dtype=wp.float32)
    tint: wp.array(dtype=wp.vec3f)
    background: wp.array(dtype=wp.vec3f)
    """(B): the colour behind the object, where there is no backdrop."""
    backdrop: wp.array2d(dtype=wp.vec3f)
    """(B, P): the colour behind the object in each pixel; of no pixels where one colour is behind all of it."""


@wp.struct
class Frame:
    """B images in the making, of ``side**2`` samples each; samples are numbered row by row."""

    side: i32
    samples: i32
    """Samples a pixel along each side."""
    camera: wp.array(dtype=mat34f)
    clip: wp.array2d(dtype=wp.vec3d)
    """(B, V): x, y, w of each vertex."""
    det: wp.array2d(dtype=wp.float64)
    """(B, F): positive where a face is seen counter-clockwise, 0 edge-on."""
    lit: wp.array2d(dtype=wp.vec3f)
    """(B, F): the colour, under the light, of each face that is LIT_ONCE."""
    extent: wp.array(dtype=wp.vec4i)
    """(B): first row, less the last row, first column, less the last column of samples that may see a face."""
    tied: wp.array2d(dtype=wp.uint8)
    """(B, F): whether the face is as near as another one somewhere."""
    keys: wp.array2d(dtype=wp.int64)
    """(B, S): what each sample sees."""
    colors: wp.array2d(dtype=wp.vec3f)
    """(B, S): the colour of the samples that see a face that VARIES."""
    blends: wp.array2d(dtype=wp.vec4i)
    """(B, S): in BLEND_UNIT, how boundaries change the colour of each sample, and by how much they weigh."""


@wp.struct
class Slopes:
    """Gradients on their way from B images to the camera and the light."""

    pixels: wp.array2d(dtype=wp.vec3f)
    """(B, P): dL/d(colour of one sample of the pixel)."""
    unit: wp.array(dtype=wp.float64)
    """(B): the integers below are slopes times this."""
    to_face: wp.array2d(dtype=vec3l)
    """(B, F): to :attr:`Frame.lit`."""
    to_sample: wp.array2d(dtype=vec3l)
    """(B, S): to :attr:`Frame.colors`, from boundaries."""
    to_camera: wp.array2d(dtype=mat34d)
    """(B, T): of each thread."""
    to_light: wp.array3d(dtype=wp.float64)
    """(B, T, 7 + 4 L): of each thread, columns as named above."""
    to_backdrop: wp.array2d(dtype=vec3l)
    """(B, P): to :attr:`Lights.backdrop`; of no pixels where it is not asked for."""


@wp.struct
class Strip:
    """The part of a row of samples that a thread looks at: pixels from begin to end, those in the extent from first to
    last."""

    row: i32
    begin: i32
    end: i32
    first: i32
    last: i32


@wp.func
def strip_of(frame: Frame, b: i32, thread: i32, strips: i32, margin: i32):
    """The strip of a thread, with so many strips a row; the extent is widened by ``margin`` samples."""
    s = Strip()
    size = frame.side // frame.samples
    s.row = thread // strips
    length = (size + strips - 1) // strips
    s.begin = (thread - s.row * strips) * length
    s.end = wp.min(s.begin + length, size)
    e = frame.extent[b]
    s.first = s.end
    s.last = s.end
    if s.row >= e[0] - margin and s.row <= margin - e[1]:
        s.first = wp.clamp(wp.max(e[2] - margin, 0) // frame.samples, s.begin, s.end)
        s.last = wp.clamp((margin - e[3]) // frame.samples + 1, s.first, s.end)
    return s


@wp.func
def face_of(key: i64):
    """The face that a key names, -1 for the background."""
    if key == i64(0):
        return i32(-1)
    return LAST_FACE - ((i32(key & LOW_WORD) >> 1) & LAST_FACE)


@wp.func
def depth_of(key: i64):
    """The inverse depth in a key."""
    return wp.cast(i32(key >> WORD), wp.float32)


@wp.func
def key_of(depth: f32, rank: i64):
    """The key of a face at an inverse depth; rank is its low word."""
    return (i64(wp.cast(depth, wp.int32)) << WORD) + rank


@wp.func
def varies(key: i64):
    """Whether the colour of a sample stands in Frame.colors."""
    return (i32(key & i64(VARIES_IN_KEY))) != 0


@wp.func
def pixel_of(frame: Frame, i: i32):
    """The pixel in which sample i lies, row by row."""
    row = i // frame.side
    size = frame.side // frame.samples
    return row // frame.samples * size + (i - row * frame.side) // frame.samples


@wp.func
def sample_x(column: i32, half: f64):
    """X of a column of samples, in [-1, 1]; half is half their number."""
    return (f64(column) + f64(0.5)) / half - f64(1.0)


@wp.func
def sample_y(row: i32, half: f64):
    """Y of a row of samples, in [-1, 1]."""
    return f64(1.0) - (f64(row) + f64(0.5)) / half


@wp.func
def value_at(plane: wp.vec3d, x: f64, y: f64):
    """``plane . (x, y, 1)``."""
    return plane[0] * x + plane[1] * y + plane[2]


@wp.func
def edge_plane(frame: Frame, b: i32, face: Face, edge: i32):
    """``n_k = p_i x p_j`` of the edge."""
    return wp.cross(frame.clip[b, face.corners[(edge + 1) % 3]], frame.clip[b, face.corners[(edge + 2) % 3]])


@wp.func
def lambdas(frame: Frame, b: i32, face: Face, x: f64, y: f64):
    """The three ``lambda_k`` of a face at (x, y)."""
    p, q, r = frame.clip[b, face.corners[0]], frame.clip[b, face.corners[1]], frame.clip[b, face.corners[2]]
    p0, p1 = p[0] - p[2] * x, p[1] - p[2] * y
    q0, q1 = q[0] - q[2] * x, q[1] - q[2] * y
    r0, r1 = r[0] - r[2] * x, r[1] - r[2] * y
    return wp.vec3d(q0 * r1 - r0 * q1, r0 * p1 - p0 * r1, p0 * q1 - q0 * p1)


@wp.func
def to_matrix(point: wp.vec3f, slope: wp.vec3d):
    """dL/dcamera from dL/dp of a vertex."""
    x, y, z = f64(point[0]), f64(point[1]), f64(point[2])
    a, b, c = slope[0], slope[1], slope[2]
    return mat34d(a * x, a * y, a * z, a, b * x, b * y, b * z, b, c * x, c * y, c * z, c)
