"""Things of all kinds: balls, tools, toys, street furniture.

Over 400 lines: one function for each class, and nothing else.
"""

from __future__ import annotations

import math

import torch

from lightning_semrob.shapes.embedded import textures
from lightning_semrob.shapes.embedded.draw import Draw, shape
from lightning_semrob.shapes.embedded.primitives import (
    Color,
    Material,
    arc,
    box,
    cylinder,
    grid_surface,
    lathe,
    move,
    prism,
    ring,
    rod,
    rotate,
    round_copies,
    sphere,
    spline,
    stretch,
    tube,
)
from lightning_semrob.shapes.mesh import Mesh

WHITE: Color = (0.95, 0.95, 0.94)
BLACK: Color = (0.06, 0.06, 0.07)
RED: Color = (0.8, 0.1, 0.1)
ORANGE: Color = (0.92, 0.5, 0.1)
YELLOW: Color = (0.95, 0.78, 0.12)
GREEN: Color = (0.1, 0.5, 0.22)
BLUE: Color = (0.1, 0.25, 0.65)
PURPLE: Color = (0.42, 0.15, 0.5)
STEEL: Color = (0.66, 0.68, 0.71)
IRON: Color = (0.2, 0.2, 0.22)
WOOD: Color = (0.6, 0.4, 0.22)
BRASS: Color = (0.78, 0.6, 0.25)


def _palette(draw: Draw, count: int) -> list[Color]:
    """``count`` different bright colours."""
    wheel = [RED, YELLOW, BLUE, GREEN, ORANGE, PURPLE, WHITE]
    start, step = (0, 1) if draw.canonical else (int(draw.random.integers(7)), int(draw.random.integers(1, 4)))
    return [wheel[(start + step * k) % len(wheel)] for k in range(count)]


@shape(417)
def balloon(draw: Draw) -> list[Mesh]:
    """A hot-air balloon with gores of several colours, a skirt, ropes and a basket."""
    gores = draw.integer(16, 12, 24)
    colors = _palette(draw, draw.integer(4, 2, 5))
    fat = draw.number(1.0, 0.9, 1.08)
    outline = spline(
        [(0.16, 0.0), (0.42, 0.32), (0.85 * fat, 0.95), (fat, 1.45), (0.8 * fat, 2.05), (0.4, 2.35), (0.0, 2.42)], 4
    )
    outline[:, 0].clamp_(min=0.0)
    paint = torch.zeros(len(outline) - 1, 2 * gores, 3)
    spiral = draw.choice([0, 1, -1])
    for row in range(len(outline) - 1):
        for k in range(2 * gores):
            paint[row, k] = torch.tensor(colors[((k // 2) + spiral * (row // 4)) % len(colors)])
    wicker = draw.color((0.5, 0.33, 0.16), (0.4, 0.25, 0.12))
    drop = draw.number(0.5, 0.4, 0.6)
    ropes = [rod((0.13, -drop, 0.13), (0.12, 0.02, 0.12), 0.01, IRON, 6)]
    return [
        lathe(outline, segments=2 * gores, colors=paint),
        lathe([(0.2, -0.14), (0.16, 0.0)], colors[0], 32),
        box(
            (0.34, 0.26, 0.34),
            (0.0, -drop - 0.12, 0.0),
            Material(texture=textures.planks(draw.random, wicker, 8), repeat=(3.0, 3.0)),
            0.04,
        ),
        ring(0.2, 0.02, -drop + 0.02, wicker, 20),
        *[copy for rope in ropes for copy in round_copies(rope, 4)],
    ]


@shape(879)
def umbrella(draw: Draw) -> list[Mesh]:
    """An open umbrella with scalloped panels, ribs, shaft and crook."""
    panels = draw.integer(8, 8, 10)
    colors = _palette(draw, draw.integer(2, 1, 3))
    if draw.canonical:
        colors = [RED, RED]
    height = draw.number(0.5, 0.42, 0.6)
    per = 6
    rows = 9
    grid = torch.zeros(rows, panels * per, 3, dtype=torch.float64)
    paint = torch.zeros(rows - 1, panels * per, 3)
    for i in range(rows):
        share = 1 - i / (rows - 1)
        for k in range(panels * per):
            angle = 2 * math.pi * k / (panels * per)
            between = math.sin(math.pi * (k % per) / per)
            radius = share * (1 - 0.07 * between * share)
            y = height * (1 - share**2) - 0.05 * between * share * (1 - share) + 0.04 * between * share**6
            grid[i, k] = torch.tensor([radius * math.sin(angle), y, radius * math.cos(angle)])
    for k in range(panels * per):
        paint[:, k] = torch.tensor(colors[(k // per) % len(colors)])
    metal, grip = draw.color(STEEL, IRON), draw.color((0.35, 0.2, 0.1), BLACK)
    reach = draw.number(1.15, 1.0, 1.3)
    crook = [
        (0.0, -reach, 0.0),
        *[(0.11 + x, -reach - 0.12 + y, 0.0) for x, y in arc((0.0, 0.0), 0.11, 180.0, 350.0, 10)],
    ]
    rib = tube([(0.0, height - 0.01, 0.0), (0.5, 0.74 * height, 0.0), (1.0, 0.0, 0.0)], 0.01, metal, 6)
    stay = rod((0.0, 0.1, 0.0), (0.5, 0.72 * height, 0.0), 0.008, metal, 6)
    return [
        grid_surface(grid, colors=paint, closed=True),
        rod((0.0, -reach, 0.0), (0.0, height + 0.14, 0.0), 0.025, metal, 10),
        tube(crook, 0.045, grip, 10),
        *round_copies(rib, panels, 90.0),
        *round_copies(stay, panels, 90.0),
    ]


@shape(543)
def dumbbell(draw: Draw) -> list[Mesh]:
    """Two heads on a knurled bar along x."""
    style = draw.choice(["hexagon", "plates", "round"])
    head = draw.color((0.1, 0.1, 0.11), (0.2, 0.25, 0.3), (0.5, 0.1, 0.15), (0.12, 0.25, 0.45))
    radius, thick, grip = draw.number(0.42, 0.36, 0.48), draw.number(0.5, 0.4, 0.56), draw.number(0.62, 0.52, 0.72)
    parts = [rod((-grip - 0.1, 0.0, 0.0), (grip + 0.1, 0.0, 0.0), 0.09, STEEL, 16)]
    knurl = [
        rotate(ring(0.088, 0.012, -0.5 * grip + 0.05 * grip * k * 2, (0.5, 0.5, 0.53), 16), "z", 90.0)
        for k in range(11)
    ]
    parts += knurl
    for s in (-1, 1):
        x = s * (grip + thick / 2)
        if style == "hexagon":
            outline = [(radius * math.cos(math.pi * k / 3), radius * math.sin(math.pi * k / 3)) for k in range(6)]
            block = rotate(prism(outline, thick, head, 0.07), "y", 90.0)
            parts.append(move(block, (x, 0.0, 0.0)))
            parts.append(
                move(rotate(cylinder(0.14, -0.02, 0.02, STEEL, 20, 0.005), "z", 90.0), (s * (grip + thick), 0.0, 0.0))
            )
        elif style == "plates":
            for k, share in enumerate((1.0, 1.0, 0.75)):
                plate = rotate(cylinder(share * radius, -0.07, 0.07, head, 28, 0.02), "z", 90.0)
                parts.append(move(plate, (s * (grip - 0.1 + 0.15 * k), 0.0, 0.0)))
            parts.append(rod((s * grip, 0.0, 0.0), (s * (grip + 0.4), 0.0, 0.0), 0.07, STEEL, 14))
            parts.append(
                move(rotate(cylinder(0.13, -0.06, 0.06, STEEL, 16, 0.02), "z", 90.0), (s * (grip + 0.34), 0.0, 0.0))
            )
        else:
            parts.append(
                move(rotate(cylinder(radius, -thick / 2, thick / 2, head, 28, 0.09), "z", 90.0), (x, 0.0, 0.0))
            )
    return parts


@shape(604)
def hourglass(draw: Draw) -> list[Mesh]:
    """Two glass bulbs with sand between wooden plates, with three pillars."""
    wood = Material(
        texture=textures.wood(draw.random, draw.color(WOOD, (0.35, 0.2, 0.1), (0.75, 0.55, 0.3))), repeat=(2.0, 1.0)
    )
    sand = draw.color((0.88, 0.7, 0.42), (0.9, 0.85, 0.7), (0.75, 0.3, 0.2), (0.35, 0.5, 0.7))
    glass = draw.color((0.84, 0.91, 0.94), (0.9, 0.93, 0.95))
    radius, half = draw.number(0.45, 0.38, 0.5), draw.number(0.85, 0.75, 0.95)
    bulb = spline(
        [
            (0.3, -half),
            (radius, -0.6 * half),
            (0.7 * radius, -0.25 * half),
            (0.05, 0.0),
            (0.7 * radius, 0.25 * half),
            (radius, 0.6 * half),
            (0.3, half),
        ],
        5,
    ).tolist()
    low = [(r + 0.004, y) for r, y in bulb if y < -draw.number(0.45, 0.35, 0.6) * half]
    fill = draw.number(0.5, 0.3, 0.6)
    high = [(r + 0.004, y) for r, y in bulb if 0.08 * half < y < fill * half]
    pillar = [
        (0.05, -half),
        (0.065, -0.8 * half),
        (0.035, -0.7 * half),
        (0.06, 0.0),
        (0.035, 0.7 * half),
        (0.065, 0.8 * half),
        (0.05, half),
    ]
    post = move(lathe(spline(pillar, 3), wood, 10), (radius + 0.1, 0.0, 0.0))
    plate = radius + 0.2
    return [
        lathe([(0.0, -half), *bulb, (0.0, half)], glass, 32),
        lathe([*low, (0.0, low[-1][1] + 0.12)], sand, 32),
        lathe([(0.0, high[0][1]), *high, (0.0, high[-1][1])], sand, 32),
        lathe([(0.055, -0.04), (0.055, 0.04)], sand, 12),
        *[cylinder(plate, s * half - 0.06, s * half + 0.06, wood, 36, 0.025) for s in (-1, 1)],
        *[cylinder(0.8 * plate, s * (half + 0.08) - 0.03, s * (half + 0.08) + 0.03, wood, 36, 0.015) for s in (-1, 1)],
        *round_copies(post, draw.integer(3, 3, 4), 30.0),
    ]


@shape(470)
def candle(draw: Draw) -> list[Mesh]:
    """A burning candle with drips, in a holder with a finger ring at +x."""
    wax = draw.color((0.95, 0.92, 0.82), (0.75, 0.12, 0.12), (0.9, 0.75, 0.5), (0.3, 0.4, 0.6))
    metal = draw.color(BRASS, STEEL, IRON)
    radius, height = draw.number(0.2, 0.16, 0.26), draw.number(1.2, 0.9, 1.4)
    dish = [(0.0, 0.0), (0.4, 0.0), (0.55, 0.1), (0.58, 0.11), (0.4, 0.05), (0.0, 0.05)]
    flame = spline([(0.0, 0.0), (0.09, 0.1), (0.1, 0.17), (0.05, 0.3), (0.0, 0.42)], 4)
    flame[:, 0].clamp_(min=0.0)
    glow = torch.tensor([(1.0, 0.55 + 0.4 * k / len(flame), 0.1 + 0.4 * k / len(flame)) for k in range(len(flame) - 1)])
    top = height + 0.05
    parts = [
        lathe(dish, metal, 36),
        cylinder(radius + 0.04, 0.04, 0.22, metal, 28, 0.02),
        lathe(
            [
                (0.0, 0.1),
                (radius, 0.1),
                (radius, top - 0.02),
                (radius - 0.03, top),
                (radius - 0.08, top - 0.05),
                (0.0, top - 0.06),
            ],
            wax,
            28,
        ),
        rod((0.0, top - 0.1, 0.0), (0.0, top + 0.08, 0.0), 0.015, BLACK, 6),
        move(lathe(flame, segments=16, colors=glow[:, None].expand(-1, 16, -1)), (0.0, top + 0.03, 0.0)),
        tube(
            [
                (0.5 + 0.14 + 0.14 * math.cos(a / 8 * math.pi), 0.14 + 0.14 * math.sin(a / 8 * math.pi), 0.0)
                for a in range(17)
            ],
            0.025,
            metal,
            8,
        ),
    ]
    for _ in range(draw.integer(4, 2, 6)):
        angle, drip = float(draw.random.uniform(0, 360)), float(draw.random.uniform(0.15, 0.5))
        path = [(0.0, top - 0.01, radius - 0.02), (0.0, top - 0.04, radius), (0.0, top - drip, radius)]
        parts.append(rotate(tube(path, [0.03, 0.03, 0.045], wax, 8), "y", angle))
    return parts


@shape(920)
def traffic_light(draw: Draw) -> list[Mesh]:
    """A signal head with three hooded lamps to +z on a pole."""
    case = draw.color((0.13, 0.14, 0.14), (0.9, 0.68, 0.1), (0.12, 0.3, 0.2))
    lit = draw.choice([0, 2, 1])
    lamps: list[Color] = [(0.95, 0.1, 0.08), (1.0, 0.75, 0.1), (0.1, 0.85, 0.4)]
    pole = draw.number(0.4, 0.3, 0.6)
    parts = [
        box((0.62, 1.7, 0.42), (0.0, 0.0, 0.0), case, 0.06),
        cylinder(0.08, -0.85 - pole, -0.8, draw.color((0.4, 0.42, 0.43), BLACK), 16),
        cylinder(0.1, 0.84, 0.93, case, 16, 0.02),
    ]
    hood = lathe([(0.24, 0.0), (0.26, 0.3), (0.235, 0.3), (0.22, 0.0)], case, 20, (-110.0, 110.0))
    hood = rotate(rotate(hood, "y", 180.0), "x", 90.0)
    for k, color in enumerate(lamps):
        y = 0.54 - 0.54 * k
        dim = color if k == lit or draw.canonical else (0.8 * color[0], 0.8 * color[1], 0.8 * color[2])
        lens = stretch(sphere(0.21, (0.0, 0.0, 0.0), dim, 20), (1.0, 1.0, 0.35))
        parts += [
            move(lens, (0.0, y, 0.21)),
            move(rotate(ring(0.225, 0.03, 0.0, case, 24), "x", 90.0), (0.0, y, 0.215)),
            move(hood, (0.0, y, 0.2)),
        ]
    if draw.flag(False, 0.4):
        parts.append(box((0.86, 1.95, 0.03), (0.0, 0.0, -0.05), BLACK, 0.01))
    return parts


@shape(919)
def street_sign(draw: Draw) -> list[Mesh]:
    """Two name boards crossing at a right angle on a pole."""
    board = draw.color((0.05, 0.4, 0.22), (0.1, 0.25, 0.6))
    steel = draw.color((0.6, 0.62, 0.64), (0.35, 0.36, 0.37))
    long, tall = draw.number(1.7, 1.4, 2.0), draw.number(0.36, 0.3, 0.42)
    height = draw.number(1.5, 1.2, 1.8)
    parts = [
        cylinder(0.05, 0.0, height + 2 * tall + 0.1, steel, 14),
        sphere(0.07, (0.0, height + 2 * tall + 0.12, 0.0), steel, 12),
    ]
    for k in range(2):
        plate = _name_board(draw, long, tall, board)
        parts += [move(rotate(part, "y", 90.0 * k), (0.0, height + (k + 0.5) * (tall + 0.03), 0.0)) for part in plate]
    return parts


def _name_board(draw: Draw, long: float, tall: float, board: Color) -> list[Mesh]:
    """A plate in the xy plane with a white border and letters on both sides."""
    size = (48, int(48 * long / tall))
    image = torch.tensor(board).expand(*size, 3).clone()
    white = torch.tensor(WHITE)
    image[2:4, 2:-2], image[-4:-2, 2:-2], image[2:-2, 2:4], image[2:-2, -4:-2] = white, white, white, white
    x = size[1] // 8
    while x < 0.85 * size[1]:
        wide = int(draw.random.integers(9, 15))
        _letter(image, x, wide, int(draw.random.integers(7)))
        x += wide + 5
    face = Material(texture=image)
    front = grid_surface(
        torch.tensor([[(-long / 2, y, 0.025), (long / 2, y, 0.025)] for y in (-tall / 2, tall / 2)]), face
    )
    return [box((long, tall, 0.045), paint=board, bevel=0.01), front, rotate(front, "y", 180.0)]


def _letter(image: torch.Tensor, x: int, wide: int, kind: int) -> None:
    """One block capital, 26 rows tall, of strokes four wide."""
    white = torch.tensor(WHITE)
    top, bottom, pen = 11, 37, 4
    if kind != 6:
        image[top:bottom, x : x + pen] = white
    if kind in (0, 1, 3):
        image[top : top + pen, x : x + wide] = white
    if kind in (0, 1, 2, 5):
        image[22:26, x : x + wide] = white
    if kind in (0, 3, 4):
        image[bottom - pen : bottom, x : x + wide] = white
    if kind in (2, 3, 5):
        image[top:bottom, x + wide - pen : x + wide] = white
    if kind == 6:
        image[top : top + pen, x : x + wide] = white
        image[top:bottom, x + wide // 2 - 2 : x + wide // 2 + 2] = white


@shape(430)
def basketball(draw: Draw) -> list[Mesh]:
    """An orange ball with black seams."""
    leather = draw.color((0.8, 0.38, 0.12), (0.7, 0.3, 0.1), (0.85, 0.45, 0.2))
    black = torch.tensor((0.07, 0.06, 0.06))
    size = 192
    latitude = math.pi * (0.5 - (torch.arange(size) + 0.5) / size)[:, None]
    longitude = 2 * math.pi * ((torch.arange(2 * size) + 0.5) / (2 * size))[None, :]
    x, y, z = latitude.cos() * longitude.sin(), latitude.sin().expand(size, 2 * size), latitude.cos() * longitude.cos()
    curve = draw.number(0.62, 0.55, 0.68)
    # Two great circles, and two loops about +-x that bend towards them.
    loop = x.abs() - curve - 0.2 * (z**2 - y**2)
    distance = torch.stack([x.abs().expand_as(loop), y.abs(), loop.abs()]).amin(0)
    grain = torch.from_numpy(draw.random.random((size, 2 * size))).float()[..., None]
    image = torch.tensor(leather) * (0.9 + 0.1 * grain)
    image[distance < draw.number(0.03, 0.022, 0.04)] = black
    tilt = draw.number(20.0, -60.0, 60.0)
    return [rotate(sphere(1.0, paint=Material(texture=image), segments=40), "z", tilt)]


@shape(805)
def soccer_ball(draw: Draw) -> list[Mesh]:
    """A white ball with twelve dark pentagons."""
    white, dark = draw.color(WHITE, (0.95, 0.9, 0.6)), draw.color(BLACK, BLUE, RED)
    golden = (1 + math.sqrt(5)) / 2
    spots = torch.tensor(
        [p for a in (-1, 1) for b in (-golden, golden) for p in ((0.0, a, b), (a, b, 0.0), (b, 0.0, a))]
    )
    spots = spots / spots.norm(dim=-1, keepdim=True)
    size = 192
    latitude = math.pi * (0.5 - (torch.arange(size) + 0.5) / size)[:, None]
    longitude = 2 * math.pi * ((torch.arange(2 * size) + 0.5) / (2 * size))[None, :]
    p = torch.stack(
        [latitude.cos() * longitude.sin(), latitude.sin().expand(size, 2 * size), latitude.cos() * longitude.cos()], -1
    )
    # The faces of a truncated icosahedron: pentagons about the 12 spots, hexagons about the 20 centres of three.
    triples = [
        (i, j, k)
        for i in range(12)
        for j in range(i)
        for k in range(j)
        if min(spots[i] @ spots[j], spots[j] @ spots[k], spots[i] @ spots[k]) > 0.4
    ]
    hexagons = torch.stack([spots[i] + spots[j] + spots[k] for i, j, k in triples])
    hexagons = hexagons / hexagons.norm(dim=-1, keepdim=True)
    five = (p @ spots.T) / 0.9393
    six = (p @ hexagons.T) / 0.9149
    both = torch.cat([five, six], -1).topk(2, dim=-1)
    image = torch.where((both.indices[..., :1] < 12), torch.tensor(dark), torch.tensor(white))
    image[both.values[..., 0] - both.values[..., 1] < 0.022] = torch.tensor((0.3, 0.3, 0.32))
    return [rotate(sphere(1.0, paint=Material(texture=image), segments=40), "x", draw.number(15.0, 0.0, 180.0))]


@shape(607)
def jack_o_lantern(draw: Draw) -> list[Mesh]:
    """A ribbed pumpkin with a stem and a carved face to +z."""
    skin = draw.color((0.9, 0.45, 0.08), (0.85, 0.38, 0.06), (0.93, 0.52, 0.12))
    glow = draw.color((1.0, 0.85, 0.25), (0.1, 0.05, 0.02), jitter=0.03)
    flat = draw.number(0.8, 0.68, 0.95)
    ribs = draw.integer(12, 10, 14)
    rows, columns = 29, 72
    grid = torch.zeros(rows, columns, 3, dtype=torch.float64)
    for i in range(rows):
        polar = math.pi * (i / (rows - 1) - 0.5)
        for k in range(columns):
            turn = 2 * math.pi * k / columns
            r = (1 - 0.07 * abs(math.cos(ribs * turn / 2)) ** 6) * math.cos(polar) ** 0.85 if 0 < i < rows - 1 else 0.0
            grid[i, k] = torch.tensor(
                [
                    r * math.sin(turn),
                    flat * math.sin(polar) * (1 - 0.12 * abs(math.sin(polar)) ** 6),
                    r * math.cos(turn),
                ]
            )
    height, width = 128, 256
    image = torch.tensor(skin).expand(height, width, 3).clone()
    y, x = torch.meshgrid(
        1 - (torch.arange(height) + 0.5) / height * 2, (torch.arange(width) + 0.5) / width * 360, indexing="ij"
    )
    x = (x + 180) % 360 - 180
    tall = draw.number(0.3, 0.24, 0.36)
    eyes = ((x.abs() - 27).abs() < 15 * (1 - (y - 0.2) / tall)) & (y > 0.2) & (y < 0.2 + tall)
    nose = (x.abs() < 9 * (1 - (y - 0.02) / 0.14)) & (y > 0.02) & (y < 0.16)
    smile = draw.number(0.22, 0.1, 0.3)
    middle = -0.26 + smile * (x / 45) ** 2
    teeth = ((x / draw.number(11.0, 8.0, 14.0)).floor() % 2 == 0).float() * 0.09
    mouth = (x.abs() < 48) & (y < middle + 0.12 - teeth) & (y > middle - 0.12 + teeth * 0.5)
    hole = eyes | nose | mouth
    image[hole] = torch.tensor(glow)
    stem = spline([(0.0, 0.75 * flat, 0.0), (0.0, flat + 0.05, 0.0), (0.08, flat + 0.25, 0.05)], 4)
    green = draw.color((0.3, 0.36, 0.14), (0.4, 0.3, 0.15))
    return [
        grid_surface(grid, Material(texture=image), closed=True),
        tube(stem, [0.16, 0.14, 0.12, 0.1, 0.09, 0.09, 0.08, 0.09, 0.1], green, 8),
    ]


@shape(637, accepted=False)
def mailbox(draw: Draw) -> list[Mesh]:
    """A rural mailbox with a rounded top, door at +z and a red flag, on a post."""
    tin = draw.color((0.3, 0.32, 0.35), (0.12, 0.12, 0.13), (0.15, 0.3, 0.55), (0.7, 0.7, 0.72), RED)
    wood = Material(texture=textures.wood(draw.random, draw.color(WOOD, (0.45, 0.32, 0.2), WHITE)), repeat=(0.6, 1.6))
    wide, long, tall = draw.number(0.42, 0.38, 0.46), draw.number(1.1, 1.0, 1.25), draw.number(0.42, 0.36, 0.48)
    outline = [(-wide, 0.0), (wide, 0.0), *arc((0.0, tall), wide, 0.0, 180.0, 14)]
    door = [(x * 1.05, y * 1.03) for x, y in outline]
    post = draw.number(0.9, 0.7, 1.1)
    parts = [
        prism(outline, long, tin, 0.01),
        move(prism(door, 0.05, tin, 0.015), (0.0, -0.01, long / 2)),
        move(prism(door, 0.05, tin, 0.015), (0.0, -0.01, -long / 2)),
        box((0.14, 0.08, 0.06), (0.0, tall + 0.24, long / 2 + 0.04), STEEL, 0.02),
        box((0.03, 0.5, 0.05), (wide + 0.03, tall + 0.12, 0.1), RED, 0.01),
        box((0.03, 0.14, 0.24), (wide + 0.03, tall + 0.38, 0.19), RED, 0.01),
        box((0.6 * wide + 0.2, 0.06, long - 0.1), (0.0, -0.03, 0.0), wood),
        box((0.17, post, 0.17), (0.0, -post / 2 - 0.05, 0.0), wood, 0.015),
        rod((0.0, -0.5, -0.05), (0.0, -0.06, -0.45), 0.05, wood, 8),
    ]
    return parts


@shape(448)
def birdhouse(draw: Draw) -> list[Mesh]:
    """A wooden box with a pitched roof, a round hole and a perch to +z."""
    wall = Material(
        texture=textures.planks(
            draw.random, draw.color((0.75, 0.55, 0.32), (0.7, 0.25, 0.2), (0.35, 0.5, 0.6), (0.9, 0.85, 0.7)), 6
        ),
        repeat=(1.2, 1.2),
    )
    roof = Material(
        texture=textures.wood(draw.random, draw.color((0.4, 0.25, 0.15), (0.3, 0.3, 0.32), (0.55, 0.2, 0.15))),
        repeat=(0.8, 2.0),
    )
    wide, tall, deep = draw.number(0.5, 0.42, 0.58), draw.number(0.95, 0.8, 1.15), draw.number(0.9, 0.8, 1.0)
    rise = draw.number(0.42, 0.32, 0.55)
    outline = [(-wide, 0.0), (wide, 0.0), (wide, tall), (0.0, tall + rise), (-wide, tall)]
    slope = math.degrees(math.atan2(rise, wide))
    span = math.hypot(wide, rise) + 0.2
    parts = [prism(outline, deep, wall, 0.01), box((2 * wide + 0.14, 0.05, deep + 0.16), (0.0, -0.02, 0.0), roof)]
    for s in (-1, 1):
        panel = rotate(box((span, 0.06, deep + 0.24), (span / 2 - 0.03, 0.02, 0.0), roof), "z", -slope)
        parts.append(move(panel if s > 0 else rotate(panel, "y", 180.0), (0.0, tall + rise, 0.0)))
    hole = draw.number(0.17, 0.14, 0.2)
    parts += [
        move(rotate(cylinder(hole, 0.0, 0.012, (0.05, 0.04, 0.03), 24), "x", 90.0), (0.0, 0.62 * tall, deep / 2)),
        move(rotate(ring(hole, 0.025, 0.0, roof, 24), "x", 90.0), (0.0, 0.62 * tall, deep / 2 + 0.01)),
        rod((0.0, 0.36 * tall, deep / 2 - 0.05), (0.0, 0.36 * tall, deep / 2 + 0.26), 0.035, WOOD, 10),
    ]
    if draw.flag(True):
        parts.append(cylinder(0.06, -0.7, -0.03, WOOD, 12))
    return parts


@shape(541)
def drum(draw: Draw) -> list[Mesh]:
    """A snare or toy drum with hoops, lugs or zigzag cords and two sticks."""
    shell = draw.color(RED, BLUE, (0.1, 0.35, 0.25), (0.12, 0.12, 0.14), (0.55, 0.3, 0.15))
    hoop = draw.color(STEEL, BRASS, WHITE)
    radius, height = draw.number(0.75, 0.65, 0.85), draw.number(0.75, 0.55, 1.0)
    parts = [
        cylinder(radius, 0.0, height, shell, 40),
        *[
            lathe(
                [(radius, y - 0.05), (radius + 0.05, y - 0.05), (radius + 0.05, y + 0.05), (radius, y + 0.05)], hoop, 40
            )
            for y in (0.03, height - 0.03)
        ],
        cylinder(radius - 0.01, height - 0.02, height + 0.015, draw.color((0.95, 0.93, 0.88), WHITE), 40),
        cylinder(radius - 0.01, -0.015, 0.02, WHITE, 40),
    ]
    lugs = draw.integer(8, 6, 10)
    if draw.flag(True, 0.6):
        lug = move(box((0.07, 0.3 * height, 0.06), paint=STEEL), (0.0, height / 2, radius + 0.03))
        bolt = rod((0.0, 0.03, radius + 0.05), (0.0, height - 0.02, radius + 0.05), 0.018, STEEL, 8)
        parts += round_copies(lug, lugs) + round_copies(bolt, lugs)
    else:
        half = math.pi / lugs
        reach = radius + 0.04
        for s in (-1, 1):
            cord = rod(
                (reach * math.sin(s * half), 0.07, reach * math.cos(s * half)),
                (0.0, height - 0.07, reach),
                0.018,
                WHITE,
                6,
            )
            parts += round_copies(cord, lugs)
    if draw.flag(True, 0.7):
        for s in (-1, 1):
            stick = [(s * 0.12, height + 0.05, -0.35), (s * 0.2, height + 0.06, -0.25), (s * 0.5, height + 0.1, 0.75)]
            parts.append(tube(stick, [0.03, 0.025, 0.035], (0.85, 0.68, 0.42), 8))
    return parts


@shape(779)
def school_bus(draw: Draw) -> list[Mesh]:
    """A yellow bus with a bonnet to +z, dark windows, black rails and lamps."""
    yellow = draw.color((0.97, 0.68, 0.05), (0.95, 0.62, 0.04), (0.98, 0.74, 0.1))
    glass, black = (0.12, 0.15, 0.2), (0.08, 0.08, 0.09)
    long, wide, tall = draw.number(2.6, 2.0, 3.0), draw.number(0.9, 0.84, 0.98), draw.number(0.95, 0.88, 1.02)
    nose, floor = draw.number(0.6, 0.45, 0.65), 0.3
    z = long / 2
    parts = [
        box((wide, tall, long), (0.0, floor + tall / 2, 0.0), yellow, 0.08),
        box((wide - 0.1, 0.48 * tall, nose), (0.0, floor + 0.24 * tall, z + nose / 2 - 0.04), yellow, 0.08),
        box((wide - 0.14, 0.32 * tall, 0.02), (0.0, floor + 0.72 * tall, z), glass, 0.005),
        box((wide - 0.14, 0.1, 0.03), (0.0, floor + 0.92 * tall, z), black, 0.005),
        box((wide + 0.04, 0.12, 0.08), (0.0, floor + 0.05, z + nose), black, 0.02),
        box((wide + 0.04, 0.12, 0.08), (0.0, floor + 0.05, -z), black, 0.02),
        box((0.5 * wide, 0.2 * tall, 0.03), (0.0, floor + 0.26 * tall, z + nose - 0.04), black, 0.01),
        box((wide - 0.2, 0.3 * tall, 0.02), (0.0, floor + 0.68 * tall, -z), glass, 0.005),
        box((0.3, 0.55 * tall, 0.02), (0.0, floor + 0.32 * tall, -z), (0.85, 0.55, 0.04), 0.005),
    ]
    windows = draw.integer(8, 6, 10)
    pitch = (long - 0.2) / windows
    for s in (-1, 1):
        x = s * wide / 2
        parts += [
            box((0.02, 0.28 * tall, 0.8 * pitch), (x, floor + 0.7 * tall, -z + 0.1 + (k + 0.5) * pitch), glass, 0.005)
            for k in range(windows)
        ]
        parts += [
            box((0.025, 0.035, long - 0.06), (x, floor + share * tall, 0.0), black, 0.005)
            for share in (0.18, 0.36, 0.5)
        ]
        for wheel in (-0.62 * z, z + 0.45 * nose):
            parts.append(
                move(
                    rotate(cylinder(0.25, -0.08, 0.08, (0.07, 0.07, 0.08), 28, 0.03), "z", 90.0),
                    (s * (wide / 2 - 0.06), 0.22, wheel),
                )
            )
            parts.append(
                move(
                    rotate(cylinder(0.12, -0.09, 0.09, (0.75, 0.75, 0.75), 20, 0.02), "z", 90.0),
                    (s * (wide / 2 - 0.06), 0.22, wheel),
                )
            )
        parts.append(
            move(
                rotate(cylinder(0.08, 0.0, 0.03, (0.98, 0.97, 0.9), 20), "x", 90.0),
                (s * (wide / 2 - 0.16), floor + 0.26 * tall, z + nose - 0.04),
            )
        )
        for end, color in ((z, (0.9, 0.15, 0.1)), (-z, (0.9, 0.15, 0.1))):
            parts.append(
                sphere(
                    (0.055, 0.055, 0.03),
                    (s * (wide / 2 - 0.14), floor + 0.92 * tall, end + math.copysign(0.015, end)),
                    color,
                    12,
                )
            )
    return parts


@shape(701)
def parachute(draw: Draw) -> list[Mesh]:
    """A round canopy with gores, lines that meet at a harness."""
    gores = draw.integer(16, 12, 20)
    colors = _palette(draw, draw.integer(3, 2, 4))
    deep = draw.number(0.6, 0.5, 0.72)
    rows = arc((0.0, 0.0), (1.0, deep), 0.0, 90.0, 10)
    rows[-1] = (0.0, rows[-1][1])
    paint = torch.zeros(len(rows) - 1, 2 * gores, 3)
    for k in range(2 * gores):
        paint[:, k] = torch.tensor(colors[(k // 2) % len(colors)])
    drop = draw.number(1.3, 1.1, 1.5)
    line = rod((0.98, 0.0, 0.0), (0.03, -drop, 0.0), 0.008, (0.3, 0.3, 0.32), 4)
    return [
        lathe(rows, segments=2 * gores, colors=paint),
        *round_copies(line, gores),
        sphere(0.09, (0.0, -drop + 0.02, 0.0), (0.75, 0.55, 0.4), 12),
        box((0.2, 0.34, 0.14), (0.0, -drop - 0.22, 0.0), draw.color((0.2, 0.3, 0.2), BLUE), 0.04),
        *[
            rod((s * 0.06, -drop - 0.38, 0.0), (s * 0.08, -drop - 0.75, 0.05), 0.05, (0.15, 0.17, 0.22), 8)
            for s in (-1, 1)
        ],
        *[rod((s * 0.1, -drop - 0.1, 0.0), (s * 0.16, -drop + 0.2, 0.0), 0.035, (0.2, 0.3, 0.2), 8) for s in (-1, 1)],
    ]
