"""The colours of faces and samples, and the gradients of the light and the camera.

Over 400 lines, because every backward step stands beside its forward step.
"""

# ruff: noqa: I001 (a name a line would be a page)

from __future__ import annotations

import warp as wp

from lightning_semrob.rendering.kernels.layout import (
    BACKGROUND, BLEND_UNIT, LIGHT, LIGHT_COLUMNS, LIT_ONCE, LOW_WORD, MODULE, TINT, VARIES, Face, Frame, Lights,
    Mesh, Slopes, f32, f64, face_of, i32, i64, lambdas, pixel_of, sample_x, sample_y, strip_of, to_matrix,
    varies, vec3l,
)  # fmt: skip


@wp.func
def light_on(lights: Lights, b: i32, normal: wp.vec3f):
    """``ambient + sum of intensity * max(0, n . l)``."""
    total = lights.ambient[b]
    for i in range(lights.intensities.shape[1]):
        total += wp.max(wp.dot(normal, lights.directions[b, i]), f32(0.0)) * lights.intensities[b, i]
    return total


@wp.func
def lit_backward(lights: Lights, slopes: Slopes, b: i32, thread: i32, normal: wp.vec3f, light: f32, to_tint: wp.vec3f):
    """Add the slopes of the tint and of :func:`light_on` to what this thread gathers; returns dL/dnormal. Under light 1
    the slope of the tint is ``to_tint``."""
    for c in range(3):
        slopes.to_light[b, thread, TINT + c] += f64(to_tint[c] * light)
    to_light = wp.dot(to_tint, lights.tint[b])
    to_normal = wp.vec3f()
    slopes.to_light[b, thread, 0] += f64(to_light)
    for i in range(lights.intensities.shape[1]):
        direction = lights.directions[b, i]
        cosine = wp.dot(normal, direction)
        if cosine > f32(0.0):
            column = LIGHT + i * LIGHT_COLUMNS
            slopes.to_light[b, thread, column] += f64(to_light * cosine)
            scaled = to_light * lights.intensities[b, i]
            for c in range(3):
                slopes.to_light[b, thread, column + 1 + c] += f64(scaled * normal[c])
            to_normal += scaled * direction
    return to_normal


@wp.func
def cut(color: wp.vec3f):
    """The colour within [0, 1]."""
    return wp.max(wp.min(color, wp.vec3f(f32(1.0))), wp.vec3f())


@wp.func
def cut_backward(color: wp.vec3f, slope: wp.vec3f):
    """The slope of :func:`cut`: 0 where the colour lies outside of [0, 1]."""
    for c in range(3):
        if not (color[c] >= f32(0.0) and color[c] <= f32(1.0)):
            slope[c] = f32(0.0)
    return slope


@wp.kernel(module=MODULE)
def light_faces(mesh: Mesh, frame: Frame, lights: Lights, run: i32):
    """Colour the faces that are LIT_ONCE; untextured ones are cut to [0, 1]. Threads: images, runs of faces."""
    b, thread = wp.tid()
    for f in range(thread * run, wp.min((thread + 1) * run, mesh.faces.shape[0])):
        face = mesh.faces[f]
        det = frame.det[b, f]
        if (face.kind & LIT_ONCE) != 0 and (det > f64(0.0) or (det < f64(0.0) and face.partner < 0)):
            light = light_on(lights, b, wp.where(det > f64(0.0), face.normal, -face.normal))
            color = wp.cw_mul(face.color, lights.tint[b]) * light
            if (face.kind & VARIES) == 0:
                color = cut(color)
            frame.lit[b, f] = color


@wp.struct
class Taps:
    """Where a bilinear, repeating sample of a texture level reads: four texels and how far it is between them."""

    above_left: i32
    above_right: i32
    below_left: i32
    below_right: i32
    right: f32
    down: f32
    width: f32
    height: f32


@wp.func
def wrapped(i: i32, size: i32):
    """A texel's place from -1 to ``size`` along a side of a texture that repeats."""
    return wp.where(i < 0, i + size, wp.where(i >= size, i - size, i))


@wp.func
def taps(level: wp.vec3i, uv: wp.vec2f):
    """The taps of a level (first texel, height, width) at uv, v up."""
    t = Taps()
    t.width = f32(level[2])
    t.height = f32(level[1])
    x = (uv[0] - wp.floor(uv[0])) * t.width - f32(0.5)
    y = (f32(1.0) - (uv[1] - wp.floor(uv[1]))) * t.height - f32(0.5)
    left, above = wp.floor(x), wp.floor(y)
    t.right = x - left
    t.down = y - above
    x0, y0 = wrapped(i32(left), level[2]), wrapped(i32(above), level[1])
    x1, y1 = wrapped(x0 + 1, level[2]), wrapped(y0 + 1, level[1])
    t.above_left = level[0] + y0 * level[2] + x0
    t.above_right = level[0] + y0 * level[2] + x1
    t.below_left = level[0] + y1 * level[2] + x0
    t.below_right = level[0] + y1 * level[2] + x1
    return t


@wp.func
def texel(mesh: Mesh, i: i32):
    """A texel's colour, 0 to 255."""
    t = mesh.texels[i]
    return wp.vec3f(f32(t[0]), f32(t[1]), f32(t[2]))


@wp.func
def level_color(mesh: Mesh, level: i32, uv: wp.vec2f):
    """Bilinear sample of a texture level."""
    t = taps(mesh.levels[level], uv)
    left, above = (f32(1.0) - t.right) / f32(255.0), f32(1.0) - t.down
    right = t.right / f32(255.0)
    return (
        left * above * texel(mesh, t.above_left)
        + right * above * texel(mesh, t.above_right)
        + left * t.down * texel(mesh, t.below_left)
        + right * t.down * texel(mesh, t.below_right)
    )


@wp.func
def level_slope(mesh: Mesh, level: i32, uv: wp.vec2f, to_color: wp.vec3f):
    """dL/duv from dL/d(:func:`level_color`)."""
    t = taps(mesh.levels[level], uv)
    al, ar = wp.dot(texel(mesh, t.above_left), to_color), wp.dot(texel(mesh, t.above_right), to_color)
    bl, br = wp.dot(texel(mesh, t.below_left), to_color), wp.dot(texel(mesh, t.below_right), to_color)
    along_u = ((ar - al) * (f32(1.0) - t.down) + (br - bl) * t.down) * t.width / f32(255.0)
    along_v = ((al - bl) * (f32(1.0) - t.right) + (ar - br) * t.right) * t.height / f32(255.0)
    return wp.vec2f(along_u, along_v)


@wp.func
def detail(mesh: Mesh, texture: i32, area: f32):
    """The mipmap level where a sample covers ``area`` of texture space, and how far it is to the next."""
    pyramid = mesh.pyramids[texture]
    base = mesh.levels[pyramid[0]]
    texels = wp.max(area * f32(base[1]) * f32(base[2]), f32(1.0))
    place = wp.min(f32(0.5) * wp.log2(texels), f32(pyramid[1] - 1))
    return pyramid[0] + i32(place), place - wp.floor(place)


@wp.func
def texture_color(mesh: Mesh, texture: i32, uv: wp.vec2f, area: f32):
    """Trilinear sample of a texture where a sample covers ``area`` of texture space."""
    level, fraction = detail(mesh, texture, area)
    color = level_color(mesh, level, uv)
    if fraction > f32(0.0):
        color += (level_color(mesh, level + 1, uv) - color) * fraction
    return color


@wp.func
def texture_slope(mesh: Mesh, texture: i32, uv: wp.vec2f, area: f32, to_color: wp.vec3f):
    """dL/duv from dL/d(:func:`texture_color`), the level held."""
    level, fraction = detail(mesh, texture, area)
    slope = level_slope(mesh, level, uv, to_color)
    if fraction > f32(0.0):
        slope += (level_slope(mesh, level + 1, uv, to_color) - slope) * fraction
    return slope


@wp.struct
class Fragment:
    """What a sample sees of a face: barycentrics and the sum of its lambdas; texture coordinates and area, and the
    colour of the texture there; of a face that is not LIT_ONCE also the colour of the surface, its unit normal on the
    seen side, what scaled it to that, and the light on it; and the colour under the light without the texture."""

    weights: wp.vec3f
    total: f64
    uv: wp.vec2f
    area: f32
    texture: wp.vec3f
    color: wp.vec3f
    normal: wp.vec3f
    scale: f32
    light: f32
    lit: wp.vec3f


@wp.func
def fragment(mesh: Mesh, frame: Frame, lights: Lights, b: i32, f: i32, face: Face, x: f64, y: f64):
    """The fragment of face f at (x, y)."""
    s = Fragment()
    lam = lambdas(frame, b, face, x, y)
    s.total = lam[0] + lam[1] + lam[2]
    w = wp.vec3f(lam / s.total)
    s.weights = w
    det = frame.det[b, f]
    s.texture = wp.vec3f(f32(1.0))
    if face.texture >= 0:
        uv0, uv1, uv2 = mesh.uv[f, 0], mesh.uv[f, 1], mesh.uv[f, 2]
        s.uv = w[0] * uv0 + w[1] * uv1 + w[2] * uv2
        one, two = uv1 - uv0, uv2 - uv0
        patch = f64(one[0] * two[1] - one[1] * two[0])
        stretch = patch * det * det / (s.total * s.total * s.total)
        s.area = f32(wp.abs(stretch) * f64(4.0) / (f64(frame.side) * f64(frame.side)))
        s.texture = texture_color(mesh, face.texture, s.uv, s.area)
    if (face.kind & LIT_ONCE) != 0:
        s.lit = frame.lit[b, f]
    else:
        s.color = w[0] * mesh.colors[f, 0] + w[1] * mesh.colors[f, 1] + w[2] * mesh.colors[f, 2]
        normal = w[0] * mesh.normals[f, 0] + w[1] * mesh.normals[f, 1] + w[2] * mesh.normals[f, 2]
        corner = mesh.vertices[face.corners[0]]
        across = wp.cross(mesh.vertices[face.corners[1]] - corner, mesh.vertices[face.corners[2]] - corner)
        s.scale = f32(1.0) / wp.max(wp.length(normal), f32(1e-12))
        if (wp.dot(normal, across) >= f32(0.0)) != (det > f64(0.0)):
            s.scale = -s.scale
        s.normal = s.scale * normal
        s.light = light_on(lights, b, s.normal)
        s.lit = wp.cw_mul(s.color, lights.tint[b]) * s.light
    return s


@wp.kernel(module=MODULE)
def shade_samples(mesh: Mesh, frame: Frame, lights: Lights, strips: i32):
    """Colour the samples whose face VARIES. Threads: images, strips of the rows of samples."""
    b, thread = wp.tid()
    half = f64(frame.side) * f64(0.5)
    s = strip_of(frame, b, thread, strips, 0)
    y = sample_y(s.row, half)
    for column in range(s.first * frame.samples, s.last * frame.samples):
        i = s.row * frame.side + column
        key = frame.keys[b, i]
        if varies(key):
            f = face_of(key)
            seen = fragment(mesh, frame, lights, b, f, mesh.faces[f], sample_x(column, half), y)
            frame.colors[b, i] = cut(wp.cw_mul(seen.lit, seen.texture))


@wp.func
def behind(lights: Lights, b: i32, pixel: i32):
    """What stands behind the object in a pixel."""
    if lights.backdrop.shape[1] > 0:
        return lights.backdrop[b, pixel]
    return lights.background[b]


@wp.func
def sample_color(frame: Frame, lights: Lights, b: i32, i: i32, key: i64):
    """The colour of sample i, which has this key, before blending."""
    if varies(key):
        return frame.colors[b, i]
    if key != i64(0):
        return frame.lit[b, face_of(key)]
    return behind(lights, b, pixel_of(frame, i))


@wp.func
def blend_of(blend: wp.vec4i):
    """The change of colour that Frame.blends holds for a sample; weights above 1 are scaled to 1."""
    return wp.vec3f(f32(blend[0]), f32(blend[1]), f32(blend[2])) / wp.max(f32(blend[3]), BLEND_UNIT)


@wp.kernel(module=MODULE)
def make_pictures(frame: Frame, lights: Lights, strips: i32, images: wp.array4d(dtype=f32)):
    """The mean over the samples of each pixel. Threads: images, strips of the rows of pixels."""
    b, thread = wp.tid()
    samples = frame.samples
    share = f32(1.0) / f32(samples * samples)
    row = thread // strips
    part = thread - row * strips
    s = strip_of(frame, b, row * samples * strips + part, strips, samples)
    for column in range(s.begin, s.end):
        color = behind(lights, b, row * (frame.side // samples) + column)
        if column >= s.first and column < s.last:
            color = wp.vec3f()
            for m in range(samples):
                i = (row * samples + m) * frame.side + column * samples
                for _n in range(samples):
                    color += sample_color(frame, lights, b, i, frame.keys[b, i])
                    blend = frame.blends[b, i]
                    if blend[3] > 0:
                        color += blend_of(blend)
                    i += 1
            color = cut(color * share)
        images[b, 0, row, column] = color[0]
        images[b, 1, row, column] = color[1]
        images[b, 2, row, column] = color[2]


@wp.func
def counted(slopes: Slopes, b: i32, slope: wp.vec3f):
    """A slope in integers."""
    unit = slopes.unit[b]
    return vec3l(i64(f64(slope[0]) * unit), i64(f64(slope[1]) * unit), i64(f64(slope[2]) * unit))


@wp.func
def uncounted(slopes: Slopes, b: i32, slope: vec3l):
    """A slope out of integers."""
    unit = f64(1.0) / slopes.unit[b]
    return wp.vec3f(f32(f64(slope[0]) * unit), f32(f64(slope[1]) * unit), f32(f64(slope[2]) * unit))


@wp.func
def give_backdrop(slopes: Slopes, b: i32, pixel: i32, slope: wp.vec3f):
    """Add a slope to the backdrop of a pixel; returns it where there is one background to take it."""
    if slopes.to_backdrop.shape[1] > 0:
        wp.atomic_add(slopes.to_backdrop, b, pixel, counted(slopes, b, slope))
        return wp.vec3f()
    return slope


@wp.func
def fragment_backward(
    mesh: Mesh, frame: Frame, lights: Lights, slopes: Slopes, b: i32, thread: i32, f: i32, face: Face,
    x: f64, y: f64, to_color: wp.vec3f,
):  # fmt: skip
    """dL/dlambda_k and the slope to Frame.lit from that to the colour of a fragment; that to the light is added to what
    this thread gathers."""
    to_lit = wp.vec3f()
    s = fragment(mesh, frame, lights, b, f, face, x, y)
    slope = cut_backward(wp.cw_mul(s.lit, s.texture), to_color)
    to_corner = wp.vec3f()
    if face.texture >= 0:
        along = texture_slope(mesh, face.texture, s.uv, s.area, wp.cw_mul(slope, s.lit))
        to_corner = wp.vec3f(wp.dot(along, mesh.uv[f, 0]), wp.dot(along, mesh.uv[f, 1]), wp.dot(along, mesh.uv[f, 2]))
    slope = wp.cw_mul(slope, s.texture)
    if (face.kind & LIT_ONCE) != 0:
        to_lit = slope
    else:
        to_normal = lit_backward(lights, slopes, b, thread, s.normal, s.light, wp.cw_mul(slope, s.color))
        to_normal = s.scale * (to_normal - wp.dot(to_normal, s.normal) * s.normal)
        color = wp.cw_mul(slope, lights.tint[b]) * s.light
        for k in range(3):
            to_corner[k] += wp.dot(color, mesh.colors[f, k]) + wp.dot(to_normal, mesh.normals[f, k])
    to_lambda = wp.vec3d(to_corner - wp.vec3f(wp.dot(to_corner, s.weights))) / s.total
    return to_lambda, to_lit


@wp.func
def planes_backward(mesh: Mesh, frame: Frame, b: i32, f: i32, to_planes: wp.mat33d):
    """dL/dcamera from dL/dn_k of face f, row k: ``n_k = p_i x p_j``."""
    face = mesh.faces[f]
    to_0, to_1, to_2 = to_planes[0], to_planes[1], to_planes[2]
    p, q, r = frame.clip[b, face.corners[0]], frame.clip[b, face.corners[1]], frame.clip[b, face.corners[2]]
    return (
        to_matrix(mesh.vertices[face.corners[0]], wp.cross(to_1, r) + wp.cross(q, to_2))
        + to_matrix(mesh.vertices[face.corners[1]], wp.cross(to_2, p) + wp.cross(r, to_0))
        + to_matrix(mesh.vertices[face.corners[2]], wp.cross(to_0, q) + wp.cross(p, to_1))
    )


@wp.func
def gathered(
    mesh: Mesh, frame: Frame, slopes: Slopes, b: i32, thread: i32, key: i64, to_lit: wp.vec3f, to_planes: wp.mat33d
):
    """Add what a run of samples with one key has gathered."""
    f = face_of(key)
    wp.atomic_add(slopes.to_face, b, f, counted(slopes, b, to_lit))
    if varies(key):
        wp.atomic_add(slopes.to_camera, b, thread, planes_backward(mesh, frame, b, f, to_planes))


@wp.kernel(module=MODULE)
def shade_samples_backward(mesh: Mesh, frame: Frame, lights: Lights, slopes: Slopes, strips: i32):
    """Carry the slopes of the samples to the faces, the camera and the background. Threads: images, strips of the rows
    of samples; what neighbouring samples of a face add to it is added at once."""
    b, thread = wp.tid()
    half = f64(frame.side) * f64(0.5)
    s = strip_of(frame, b, thread, strips, 0)
    row = s.row // frame.samples * (frame.side // frame.samples)
    y = sample_y(s.row, half)
    to_background = wp.vec3f()
    to_lit = wp.vec3f()
    to_planes = wp.mat33d()
    last = i64(0)
    for pixel in range(s.begin, s.end):
        slope = slopes.pixels[b, row + pixel]
        if pixel < s.first or pixel >= s.last:
            to_background += give_backdrop(slopes, b, row + pixel, slope * f32(frame.samples))
        else:
            for n in range(frame.samples):
                column = pixel * frame.samples + n
                i = s.row * frame.side + column
                key = frame.keys[b, i]
                if ((key ^ last) & LOW_WORD) != i64(0):
                    if last != i64(0):
                        gathered(mesh, frame, slopes, b, thread, last, to_lit, to_planes)
                        to_lit = wp.vec3f()
                        to_planes = wp.mat33d()
                    last = key
                if key == i64(0):
                    to_background += give_backdrop(slopes, b, row + pixel, slope)
                elif varies(key):
                    f = face_of(key)
                    x = sample_x(column, half)
                    total = slope + uncounted(slopes, b, slopes.to_sample[b, i])
                    to_lambda, slope_lit = fragment_backward(
                        mesh, frame, lights, slopes, b, thread, f, mesh.faces[f], x, y, total
                    )
                    to_lit += slope_lit
                    to_planes += wp.outer(to_lambda, wp.vec3d(x, y, f64(1.0)))
                else:
                    to_lit += slope
    if last != i64(0):
        gathered(mesh, frame, slopes, b, thread, last, to_lit, to_planes)
    for c in range(3):
        slopes.to_light[b, thread, BACKGROUND + c] += f64(to_background[c])


@wp.kernel(module=MODULE)
def light_faces_backward(mesh: Mesh, frame: Frame, lights: Lights, slopes: Slopes, run: i32):
    """Carry the slopes of Frame.lit to the light. Threads: images, runs of faces."""
    b, thread = wp.tid()
    for f in range(thread * run, wp.min((thread + 1) * run, mesh.faces.shape[0])):
        total = slopes.to_face[b, f]
        if total[0] != i64(0) or total[1] != i64(0) or total[2] != i64(0):
            face = mesh.faces[f]
            normal = wp.where(frame.det[b, f] > f64(0.0), face.normal, -face.normal)
            light = light_on(lights, b, normal)
            slope = uncounted(slopes, b, total)
            if (face.kind & VARIES) == 0:
                slope = cut_backward(wp.cw_mul(face.color, lights.tint[b]) * light, slope)
            lit_backward(lights, slopes, b, thread, normal, light, wp.cw_mul(slope, face.color))
