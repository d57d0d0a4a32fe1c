"""Tables, chairs, lamps and other things made of boards and rods.

Over 400 lines: one function for each class, and nothing else.
"""

from __future__ import annotations

import torch

from lightning_semrob.shapes.embedded import textures
from lightning_semrob.shapes.embedded.draw import Draw, shape
from lightning_semrob.shapes.embedded.primitives import (
    Color,
    Material,
    arc,
    box,
    cylinder,
    lathe,
    move,
    ring,
    rod,
    rotate,
    sphere,
    spline,
    tube,
)
from lightning_semrob.shapes.mesh import Mesh, merge

OAK: Color = (0.68, 0.46, 0.25)
WALNUT: Color = (0.4, 0.24, 0.13)
PINE: Color = (0.82, 0.63, 0.38)
CHERRY: Color = (0.55, 0.24, 0.12)
IRON: Color = (0.12, 0.12, 0.13)
STEEL: Color = (0.62, 0.64, 0.67)
BRASS: Color = (0.75, 0.58, 0.25)
WHITE: Color = (0.93, 0.92, 0.88)


def _wood(draw: Draw, *options: Color) -> Material:
    return Material(texture=textures.wood(draw.random, draw.color(*options)), repeat=(0.6, 1.6))


def _legs(leg: Mesh, x: float, z: float) -> list[Mesh]:
    """Four copies of a leg at (+-x, +-z)."""
    return [move(leg, (sx * x, 0.0, sz * z)) for sx in (-1, 1) for sz in (-1, 1)]


@shape(703)
def park_bench(draw: Draw) -> list[Mesh]:
    """Slats on two iron or wooden frames, with a back and armrests; the sitter looks to +z."""
    slat = _wood(draw, OAK, CHERRY, WALNUT, (0.3, 0.45, 0.28))
    frame = draw.color(IRON, (0.15, 0.28, 0.18), (0.35, 0.35, 0.37))
    width, seat = draw.number(2.4, 2.0, 2.8), draw.number(0.62, 0.55, 0.68)
    seats, backs = draw.integer(5, 4, 6), draw.integer(4, 3, 5)
    parts = []
    for k in range(seats):
        z = 0.42 - 0.84 * k / (seats - 1)
        parts.append(box((width, 0.06, 0.66 / seats), (0.0, seat + 0.03 * (z / 0.42) ** 2, z), slat))
    lean = draw.number(14.0, 8.0, 20.0)
    for k in range(backs):
        y = 0.2 + 0.62 * k / (backs - 1)
        board = box((width, 0.5 / backs, 0.05), (0.0, y, 0.04), slat)
        parts.append(move(rotate(board, "x", -lean), (0.0, seat, -0.46)))
    supports = (-0.42, 0.42) if draw.flag(True, 0.6) else (-0.42, 0.0, 0.42)
    for share in supports:
        x = share * width
        post = rotate(box((0.07, 0.95, 0.07), (0.0, 0.45, 0.0), frame), "x", -lean)
        parts += [
            move(post, (x, seat - 0.02, -0.5)),
            box((0.07, 0.07, 0.95), (x, seat - 0.07, 0.0), frame),
            box((0.08, seat - 0.05, 0.08), (x, seat / 2 - 0.05, 0.4), frame),
            box((0.08, seat - 0.05, 0.08), (x, seat / 2 - 0.05, -0.48), frame),
            box((0.08, 0.06, 0.98), (x, -0.03, -0.04), frame),
        ]
        if share:
            rest = spline(
                [
                    (x, seat, 0.43),
                    (x, seat + 0.2, 0.46),
                    (x, seat + 0.3, 0.3),
                    (x, seat + 0.3, -0.1),
                    (x, seat + 0.32, -0.52),
                ],
                4,
            )
            parts.append(tube(rest, 0.04, frame, 8, aspect=1.4, side=(1.0, 0.0, 0.0)))
    return parts


@shape(736)
def pool_table(draw: Draw) -> list[Mesh]:
    """A felt table with cushions, pockets, balls and a cue."""
    felt = draw.color((0.07, 0.42, 0.2), (0.1, 0.3, 0.55), (0.5, 0.1, 0.12))
    wood = _wood(draw, CHERRY, WALNUT, OAK)
    long, wide = draw.number(2.4, 2.2, 2.6), draw.number(1.3, 1.15, 1.4)
    top = draw.number(0.8, 0.7, 0.85)
    x, z = long / 2, wide / 2
    parts = [
        box((long, 0.08, wide), (0.0, top, 0.0), felt),
        *[box((long + 0.28, 0.14, 0.14), (0.0, top + 0.03, s * (z + 0.07)), wood) for s in (-1, 1)],
        *[box((0.14, 0.14, wide), (s * (x + 0.07), top + 0.03, 0.0), wood) for s in (-1, 1)],
        *[box((long - 0.16, 0.08, 0.06), (0.0, top + 0.05, s * (z - 0.02)), felt) for s in (-1, 1)],
        *[box((0.06, 0.08, wide - 0.16), (s * (x - 0.02), top + 0.05, 0.0), felt) for s in (-1, 1)],
        box((long + 0.1, 0.2, wide + 0.1), (0.0, top - 0.12, 0.0), wood),
    ]
    pocket = cylinder(0.085, top - 0.05, top + 0.107, (0.04, 0.04, 0.04), 16)
    parts += [move(pocket, (sx * x, 0.0, sz * (z + 0.01))) for sx in (-1, 0, 1) for sz in (-1, 1)]
    profile = [(0.0, 0.0), (0.09, 0.0), (0.1, 0.06), (0.06, 0.12), (0.1, 0.35), (0.13, top - 0.2), (0.0, top - 0.2)]
    leg = lathe(profile, wood, 12) if draw.flag(True) else box((0.2, top - 0.2, 0.2), (0.0, (top - 0.2) / 2, 0.0), wood)
    parts += _legs(leg, x - 0.15, z - 0.15)
    balls = [
        (0.85, 0.65, 0.1),
        (0.1, 0.2, 0.6),
        (0.75, 0.1, 0.1),
        (0.4, 0.1, 0.45),
        (0.9, 0.4, 0.1),
        (0.08, 0.08, 0.08),
    ]
    spots = [(0.62 + 0.075 * row, 0.086 * (k - row / 2)) for row in range(3) for k in range(row + 1)]
    if draw.flag(True, 0.7):
        parts += [sphere(0.043, (sx, top + 0.083, sz), color, 10) for (sx, sz), color in zip(spots, balls, strict=True)]
        parts.append(sphere(0.043, (-0.6, top + 0.083, 0.1), WHITE, 10))
        cue = [(-1.1, top + 0.14, 0.35), (-0.05, top + 0.07, 0.12)]
        parts.append(tube(cue, [0.025, 0.012], PINE, 8))
    return parts


@shape(532)
def dining_table(draw: Draw) -> list[Mesh]:
    """A table with turned or square legs and an apron."""
    wood = _wood(draw, CHERRY, OAK, WALNUT)
    long, wide, height = draw.number(2.2, 1.8, 2.5), draw.number(1.2, 1.0, 1.3), draw.number(1.0, 0.9, 1.1)
    turned = draw.flag(True, 0.6)
    profile = spline(
        [(0.05, 0.0), (0.07, 0.05), (0.045, 0.12), (0.075, 0.5 * height), (0.05, 0.7 * height), (0.09, 0.76 * height)],
        4,
    ).tolist()
    leg = (
        lathe([(0.0, 0.0), *profile, (0.09, height), (0.0, height)], wood, 14)
        if turned
        else box((0.13, height, 0.13), (0.0, height / 2, 0.0), wood)
    )
    parts = [
        box((long, 0.08, wide), (0.0, height + 0.04, 0.0), wood, 0.02),
        *_legs(leg, long / 2 - 0.16, wide / 2 - 0.16),
        *[box((long - 0.4, 0.14, 0.04), (0.0, height - 0.07, s * (wide / 2 - 0.14)), wood) for s in (-1, 1)],
        *[box((0.04, 0.14, wide - 0.4), (s * (long / 2 - 0.14), height - 0.07, 0.0), wood) for s in (-1, 1)],
    ]
    return parts + _place_settings(draw, long, wide, height + 0.08)


def _place_settings(draw: Draw, long: float, wide: float, top: float) -> list[Mesh]:
    """Chairs around the table."""
    parts: list[Mesh] = []
    wood = _wood(draw, CHERRY, OAK, WALNUT)
    chair = _side_chair(wood, draw.color((0.75, 0.68, 0.55), (0.5, 0.15, 0.15), (0.3, 0.35, 0.45)), 0.62 * top)
    places = draw.integer(2, 2, 3)
    for k in range(places):
        x = (k - (places - 1) / 2) * long / (places + 0.3)
        parts.append(move(chair, (x, 0.0, -wide / 2 - 0.12)))
        parts.append(move(rotate(chair, "y", 180.0), (x, 0.0, wide / 2 + 0.12)))
    return parts


def _side_chair(wood: Material, cushion: Color, seat: float) -> Mesh:
    """A chair with its seat at the origin, looking to +z."""
    back = 1.25 * seat
    parts = [
        box((0.46, 0.05, 0.46), (0.0, seat - 0.03, 0.0), wood),
        box((0.44, 0.05, 0.44), (0.0, seat + 0.01, 0.0), cushion, 0.02),
        *[box((0.05, seat - 0.04, 0.05), (s * 0.2, seat / 2 - 0.02, 0.2), wood) for s in (-1, 1)],
        *[box((0.05, seat + back, 0.05), (s * 0.2, (seat + back) / 2, -0.21), wood) for s in (-1, 1)],
        *[box((0.4, 0.09, 0.035), (0.0, seat + share * back, -0.21), wood) for share in (0.4, 0.68, 0.95)],
    ]
    return merge(parts, "chair")


@shape(559)
def folding_chair(draw: Draw) -> list[Mesh]:
    """Crossed legs of steel tube or wood, a seat and a back; the sitter looks to +z."""
    wooden = draw.flag(False, 0.4)
    frame: Material | Color = _wood(draw, PINE, OAK) if wooden else draw.color(STEEL, IRON, (0.5, 0.4, 0.3))
    panel: Material | Color = frame if wooden else draw.color((0.16, 0.17, 0.2), (0.2, 0.3, 0.5), (0.5, 0.42, 0.32))
    wide, seat, back = draw.number(0.9, 0.8, 1.0), draw.number(0.9, 0.82, 0.98), draw.number(1.7, 1.6, 1.85)
    half = wide / 2
    parts = []
    for s in (-1, 1):
        parts.append(
            tube(spline([(s * half, 0.0, 0.5), (s * half, seat, -0.2), (s * half, back, -0.5)], 4), 0.04, frame, 8)
        )
        parts.append(rod((s * (half - 0.08), 0.0, -0.55), (s * (half - 0.08), seat, 0.4), 0.036, frame, 8))
    for y, z, x in ((0.12, 0.41, half), (0.15, -0.4, half - 0.08), (seat - 0.1, 0.3, half - 0.08)):
        parts.append(rod((-x, y, z), (x, y, z), 0.03, frame, 8))
    if wooden:
        parts += [box((wide - 0.2, 0.04, 0.13), (0.0, seat, 0.36 - 0.17 * k), panel) for k in range(5)]
        parts += [box((wide, 0.15, 0.04), (0.0, back - 0.12 - 0.24 * k, -0.46 + 0.08 * k), panel) for k in range(2)]
    else:
        parts.append(box((wide - 0.1, 0.06, 0.85), (0.0, seat, 0.02), panel, 0.025))
        parts.append(
            move(rotate(box((wide, 0.42, 0.05), (0.0, 0.0, 0.0), panel, 0.02), "x", -18.0), (0.0, back - 0.22, -0.41))
        )
        parts.append(rod((-half, back, -0.5), (half, back, -0.5), 0.04, frame, 8))
    return parts


@shape(765)
def rocking_chair(draw: Draw) -> list[Mesh]:
    """A spindle-back chair with armrests on two rockers, looking to +z."""
    wood = _wood(draw, CHERRY, OAK, WALNUT)
    wide, seat, back = draw.number(1.0, 0.9, 1.1), draw.number(0.7, 0.62, 0.76), draw.number(1.25, 1.1, 1.4)
    half = wide / 2
    parts = [box((wide, 0.08, 0.95), (0.0, seat, 0.0), wood, 0.03)]
    lean = draw.number(0.32, 0.2, 0.4)
    spindles = draw.integer(7, 5, 8)
    for k in range(spindles):
        x = (k / (spindles - 1) - 0.5) * 1.7 * half
        edge = k in (0, spindles - 1)
        parts.append(rod((x, seat, -0.42), (x, seat + back, -0.42 - lean), 0.04 if edge else 0.022, wood, 8))
    parts.append(
        move(
            rotate(box((1.8 * half + 0.1, 0.24, 0.06), (0.0, 0.0, 0.0), wood, 0.02), "x", -14.0),
            (0.0, seat + back, -0.42 - lean),
        )
    )
    for s in (-1, 1):
        x = s * (half - 0.06)
        runner = spline([(x, 0.24, 0.85), (x, 0.05, 0.45), (x, 0.0, -0.05), (x, 0.06, -0.6), (x, 0.3, -1.15)], 5)
        parts.append(tube(runner, 0.045, wood, 8))
        parts += [
            rod((x, 0.05, 0.4), (x, seat, 0.38), 0.045, wood, 8),
            rod((x, 0.05, -0.45), (x, seat, -0.38), 0.045, wood, 8),
        ]
        parts.append(rod((x, seat, 0.33), (x, seat + 0.38, 0.36), 0.035, wood, 8))
        parts.append(box((0.12, 0.05, 0.95), (x, seat + 0.4, -0.06), wood, 0.02))
    parts += [rod((-half, 0.38, z), (half, 0.38, z), 0.03, wood, 8) for z in (0.38, -0.41)]
    return parts


@shape(846)
def table_lamp(draw: Draw) -> list[Mesh]:
    """A turned base under a cone shade."""
    base = draw.color((0.2, 0.35, 0.55), BRASS, WHITE, (0.6, 0.3, 0.2), IRON)
    fabric = draw.color((0.96, 0.9, 0.75), (0.95, 0.95, 0.92), (0.85, 0.7, 0.5))
    height = draw.number(1.0, 0.85, 1.2)
    belly, foot = draw.number(0.28, 0.16, 0.34), draw.number(0.32, 0.28, 0.38)
    body = spline(
        [(foot, 0.05), (0.12, 0.12), (belly, 0.4 * height), (0.1, 0.75 * height), (0.06, 0.85 * height)], 6
    ).tolist()
    low, top = draw.number(0.68, 0.58, 0.75), draw.number(0.34, 0.26, 0.44)
    shade = draw.number(0.72, 0.6, 0.8)
    y = 0.92 * height
    profile = [(low, y), (top, y + shade), (top - 0.02, y + shade), (low - 0.02, y), (low, y)]
    trim = draw.color(BRASS, IRON)
    return [
        lathe([(0.0, 0.0), (foot, 0.0), *body, (0.0, 0.86 * height)], base, 32),
        rod((0.0, 0.8 * height, 0.0), (0.0, y + shade + 0.1, 0.0), 0.025, trim, 8),
        lathe(profile, fabric, 40),
        ring(low, 0.02, y, trim, 40),
        ring(top, 0.02, y + shade, trim, 40),
        rod((-top, y + shade - 0.03, 0.0), (top, y + shade - 0.03, 0.0), 0.012, trim, 6),
        sphere(0.05, (0.0, y + shade + 0.12, 0.0), trim, 10),
        sphere((0.1, 0.16, 0.1), (0.0, y + 0.25, 0.0), (1.0, 0.98, 0.85), 12),
    ]


@shape(619)
def lampshade(draw: Draw) -> list[Mesh]:
    """A pleated or plain shade with trims, on a short stem."""
    fabric = draw.color((0.93, 0.82, 0.6), (0.95, 0.93, 0.88), (0.75, 0.3, 0.25), (0.45, 0.55, 0.45))
    trim = draw.color((0.55, 0.38, 0.2), BRASS, WALNUT)
    low, top, height = draw.number(0.8, 0.68, 0.9), draw.number(0.42, 0.32, 0.55), draw.number(0.85, 0.7, 1.0)
    sag = draw.number(-0.06, -0.1, 0.04)
    outer = spline([(low, 0.0), ((low + top) / 2 + sag, 0.5 * height), (top, height)], 6)
    pleats = 48
    shadow = torch.tensor(fabric) * draw.number(0.86, 0.8, 0.95)
    colors = torch.tensor(fabric).repeat(len(outer) - 1, pleats, 1)
    colors[:, ::2] = shadow
    inner = [(r - 0.02, y) for r, y in outer.flip(0).tolist()]
    return [
        lathe(outer, segments=pleats, colors=colors),
        lathe([(top, height), *inner, (low, 0.0)], fabric, pleats),
        ring(low, 0.025, 0.0, trim, 48),
        ring(top, 0.025, height, trim, 48),
        *[
            rotate(rod((-top, height - 0.06, 0.0), (top, height - 0.06, 0.0), 0.012, trim, 6), "y", a)
            for a in (0, 60, 120)
        ],
        cylinder(0.06, -0.25, 0.25 * height, trim, 16),
        sphere((0.14, 0.2, 0.14), (0.0, 0.42 * height, 0.0), (1.0, 0.98, 0.85), 14),
    ]


@shape(453)
def bookcase(draw: Draw) -> list[Mesh]:
    """Shelves with rows of books, open to +z."""
    wood = _wood(draw, OAK, WALNUT, CHERRY, PINE)
    wide, shelves = draw.number(1.4, 1.1, 1.7), draw.integer(4, 3, 5)
    pitch, deep = 0.48, 0.4
    height = shelves * pitch
    parts = [
        *[box((0.06, height + 0.06, deep), (s * wide / 2, height / 2, 0.0), wood) for s in (-1, 1)],
        *[box((wide, 0.05, deep), (0.0, k * pitch, 0.0), wood, 0.004) for k in range(shelves + 1)],
    ]
    covers: list[Color] = [
        (0.55, 0.12, 0.1),
        (0.12, 0.2, 0.45),
        (0.1, 0.35, 0.2),
        (0.75, 0.6, 0.3),
        (0.3, 0.15, 0.3),
        (0.85, 0.82, 0.75),
        (0.15, 0.15, 0.17),
    ]
    for k in range(shelves):
        x = -wide / 2 + 0.05
        while x < wide / 2 - 0.13:
            thick, tall = float(draw.random.uniform(0.05, 0.1)), float(draw.random.uniform(0.28, 0.4))
            cover = covers[int(draw.random.integers(len(covers)))]
            if draw.random.random() < 0.92:
                parts.append(
                    box((thick, tall, 0.26), (x + thick / 2, k * pitch + 0.025 + tall / 2, -0.02), cover, 0.008)
                )
            x += thick + 0.006
    return parts


@shape(493)
def chiffonier(draw: Draw) -> list[Mesh]:
    """A chest of drawers with knobs on +z."""
    wood = _wood(draw, CHERRY, OAK, PINE, WHITE)
    knob = draw.color(BRASS, IRON, WHITE)
    wide, deep, rows = draw.number(1.2, 1.0, 1.5), draw.number(0.62, 0.55, 0.7), draw.integer(5, 3, 6)
    pitch = draw.number(0.3, 0.26, 0.33)
    height = rows * pitch
    parts = [
        box((wide, height + 0.04, deep), (0.0, height / 2, 0.0), wood, 0.02),
        box((wide + 0.12, 0.07, deep + 0.1), (0.0, height + 0.05, 0.02), wood, 0.025),
        box((wide + 0.08, 0.08, deep + 0.06), (0.0, -0.06, 0.0), wood, 0.02),
        *_legs(cylinder(0.05, -0.22, -0.06, wood, 12), wide / 2 - 0.08, deep / 2 - 0.08),
    ]
    for k in range(rows):
        y = (k + 0.5) * pitch
        split = k == rows - 1 and draw.flag(True)
        for x, w in ((-wide / 4, wide / 2), (wide / 4, wide / 2)) if split else ((0.0, wide),):
            parts.append(box((w - 0.09, pitch - 0.05, 0.05), (x, y, deep / 2), wood, 0.015))
            spots = (0.0,) if split else (-wide / 4, wide / 4)
            parts += [sphere(0.035, (x + s, y, deep / 2 + 0.055), knob, 10) for s in spots]
    return parts


@shape(564, accepted=False)
def four_poster(draw: Draw) -> list[Mesh]:
    """A bed with four posts and a canopy frame; the head is at -z."""
    wood = _wood(draw, CHERRY, WALNUT, OAK)
    sheet = draw.color(WHITE, (0.75, 0.8, 0.88), (0.85, 0.75, 0.7))
    cover = draw.color((0.5, 0.16, 0.18), (0.2, 0.3, 0.5), (0.75, 0.68, 0.5), WHITE)
    wide, long, high = draw.number(1.5, 1.3, 1.7), draw.number(2.0, 1.85, 2.1), draw.number(1.7, 1.5, 1.9)
    x, z = wide / 2, long / 2
    profile = spline(
        [(0.06, 0.0), (0.075, 0.3), (0.05, 0.36), (0.07, 0.6), (0.045, 0.5 * high + 0.3), (0.04, high)], 4
    ).tolist()
    post = lathe([(0.0, 0.0), *profile, (0.0, high)], wood, 12)
    parts = _legs(post, x, z)
    parts += [sphere(0.075, (sx * x, high + 0.05, sz * z), wood, 12) for sx in (-1, 1) for sz in (-1, 1)]
    parts += [
        box((wide, 0.22, long), (0.0, 0.36, 0.0), wood, 0.02),
        box((wide - 0.06, 0.2, long - 0.06), (0.0, 0.55, 0.0), sheet, 0.06),
        box((wide + 0.02, 0.2, 0.66 * long), (0.0, 0.57, 0.15 * long), cover, 0.06),
        box((wide, 0.65, 0.06), (0.0, 0.75, -z), wood, 0.02),
        box((wide, 0.25, 0.06), (0.0, 0.5, z), wood, 0.02),
        *[move(box((0.58, 0.16, 0.36), paint=sheet, bevel=0.06), (s * 0.34, 0.72, -z + 0.28)) for s in (-1, 1)],
        *[box((wide, 0.06, 0.06), (0.0, high, s * z), wood) for s in (-1, 1)],
        *[box((0.06, 0.06, long), (s * x, high, 0.0), wood) for s in (-1, 1)],
    ]
    return parts


@shape(892, 409)
def wall_clock(draw: Draw) -> list[Mesh]:
    """A round clock whose face looks to +z: a wall clock and an analog clock alike."""
    case = draw.color((0.12, 0.12, 0.13), (0.6, 0.12, 0.1), WALNUT, BRASS, (0.2, 0.35, 0.55))
    face = draw.color(WHITE, (0.95, 0.9, 0.78), (0.9, 0.92, 0.95))
    ink = draw.color((0.08, 0.08, 0.09), (0.25, 0.12, 0.08), jitter=0.02)
    rim = draw.number(0.12, 0.08, 0.16)
    body = [
        (0.0, -0.12),
        (0.96, -0.12),
        (1.0, -0.08),
        (1.0, 0.06),
        *arc((1.0 - rim / 2, 0.08), rim / 2, 0.0, 180.0, 8),
        (1.0 - rim, 0.02),
        (0.0, 0.02),
    ]
    parts = [lathe(body, case, 48), cylinder(1.0 - rim, 0.0, 0.03, face, 48)]
    marks = 60 if draw.flag(True) else 12
    for k in range(marks):
        hour = k * 60 // marks % 5 == 0
        size = (0.045, 0.02, 0.16) if hour else (0.015, 0.02, 0.06)
        tick = box(size, (0.0, 0.034, -(0.96 - rim - size[2] / 2)), ink, 0.003)
        parts.append(rotate(tick, "y", -360.0 * k / marks))
    hours, minutes = draw.number(10.0, 0.0, 12.0), draw.number(9.0, 0.0, 60.0)
    for angle, long, wide, y in ((hours * 30 + minutes / 2, 0.45, 0.06, 0.05), (minutes * 6, 0.72, 0.04, 0.07)):
        parts.append(rotate(box((wide, 0.015, long), (0.0, y, -long / 2 + 0.08), ink, 0.004), "y", -angle))
    parts += [
        rotate(
            box((0.015, 0.01, 0.85), (0.0, 0.085, -0.25), (0.75, 0.1, 0.08), 0.002), "y", draw.number(150.0, 0, 360)
        ),
        cylinder(0.05, 0.02, 0.1, ink, 16),
    ]
    return [rotate(part, "x", 90.0) for part in parts]
