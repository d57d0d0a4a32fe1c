"""Pots, cups, bottles: mostly surfaces of revolution with handles, spouts and labels."""

from __future__ import annotations

from dataclasses import replace

import torch

from lightning_semrob.shapes.embedded import textures
from lightning_semrob.shapes.embedded.draw import Draw, shape
from lightning_semrob.shapes.embedded.primitives import (
    Color,
    Material,
    arc,
    cylinder,
    lathe,
    move,
    ring,
    rotate,
    sphere,
    spline,
    tube,
)
from lightning_semrob.shapes.mesh import Mesh

WHITE: Color = (0.93, 0.92, 0.89)
CREAM: Color = (0.9, 0.84, 0.7)
BLUE: Color = (0.16, 0.28, 0.6)
RED: Color = (0.74, 0.13, 0.1)
GREEN: Color = (0.14, 0.42, 0.22)
BROWN: Color = (0.42, 0.24, 0.12)
STEEL: Color = (0.66, 0.68, 0.7)
GOLD: Color = (0.8, 0.62, 0.2)
BLACK: Color = (0.07, 0.07, 0.08)


def _vessel(
    outer: list[tuple[float, float]], wall: float, floor: float, paint: Material | Color, segments: int = 36
) -> Mesh:
    """A closed solid of revolution around ``outer``, which runs from the foot to the rim, with an inner wall."""
    inner = [(max(r - wall, 0.0), max(y, floor)) for r, y in reversed(outer)]
    rim = [(outer[-1][0] - wall / 2, outer[-1][1] + wall / 3)]
    start = [(0.0, outer[0][1])]
    return lathe([*start, *outer, *rim, *inner, (0.0, floor)], paint, segments)


def _curve(points: list[tuple[float, float]], samples: int = 5) -> list[tuple[float, float]]:
    return [(max(r, 0.0), y) for r, y in spline(points, samples).tolist()]


def _ear(top: tuple[float, float], bottom: tuple[float, float], reach: float, radius: float, paint: Color) -> Mesh:
    """A C-shaped handle in the xy plane on the +x side, from ``top`` to ``bottom`` (x, y)."""
    (x0, y0), (x1, y1) = top, bottom
    path = spline(
        [
            (x0 - radius, y0, 0.0),
            (x0 + 0.55 * reach, y0 + 0.25 * radius, 0.0),
            (max(x0, x1) + reach, 0.7 * y0 + 0.3 * y1, 0.0),
            (x1 + 0.7 * reach, 0.25 * y0 + 0.75 * y1, 0.0),
            (x1 - radius, y1, 0.0),
        ],
        5,
    )
    return tube(path, radius, paint, 8, aspect=1.5, side=(0.0, 0.0, 1.0))


@shape(849)
def teapot(draw: Draw) -> list[Mesh]:
    """A round pot with spout, handle, lid and knob; the spout points to +x."""
    body = draw.color(WHITE, BLUE, CREAM, (0.55, 0.2, 0.14), (0.3, 0.5, 0.45))
    trim = draw.color(BLUE, GOLD, BROWN, RED, WHITE)
    height = draw.number(1.0, 0.8, 1.15)
    belly = draw.number(0.78, 0.68, 0.85)
    pot = _curve([(0.45, 0.0), (0.5, 0.04), (belly, 0.42 * height), (0.62, 0.8 * height), (0.4, height)], 6)
    lid = [(0.44, height - 0.02), *_curve([(0.44, height + 0.02), (0.3, height + 0.1), (0.06, height + 0.14)], 4)]
    lid += arc((0.0, height + 0.22), 0.09, -50.0, 90.0, 6)
    spout = spline(
        [(belly - 0.2, 0.3, 0.0), (belly + 0.2, 0.42, 0.0), (belly + 0.36, 0.75, 0.0), (belly + 0.58, 0.95, 0.0)], 5
    )
    spout[:, 1] *= height
    radii = torch.linspace(0.2, 0.07, len(spout))
    parts = [
        lathe([(0.0, 0.0), *pot, (0.0, height)], body),
        lathe([(0.0, height - 0.02), *lid], trim if draw.flag(False) else body),
        tube(spout, radii, body, 12),
        rotate(_ear((belly - 0.18, 0.82 * height), (belly - 0.06, 0.25 * height), 0.45, 0.055, trim), "y", 180.0),
        ring(0.43, 0.03, height, trim),
    ]
    if draw.flag(True):
        band = [(r + 0.006, y) for r, y in pot if 0.35 * height < y < 0.62 * height]
        parts.append(lathe(band, trim, 36))
    return parts


@shape(968)
def cup(draw: Draw) -> list[Mesh]:
    """A cup with handle, filled with coffee, on a saucer."""
    china = draw.color(WHITE, CREAM, (0.75, 0.85, 0.88), (0.85, 0.7, 0.7))
    trim = draw.color(BLUE, GOLD, RED, GREEN)
    mouth, height = draw.number(0.5, 0.44, 0.56), draw.number(0.52, 0.46, 0.62)
    foot = draw.number(0.26, 0.22, 0.32)
    wall = _curve([(foot, 0.06), (foot + 0.05, 0.1), (0.9 * mouth, 0.4 * height), (mouth, 0.06 + height)], 5)
    top = 0.06 + height
    plate = [(0.0, 0.0), (0.34, 0.0), (0.36, 0.03), *_curve([(0.5, 0.05), (0.75, 0.12), (0.85, 0.17)], 4)]
    saucer = [
        *plate,
        (0.85, 0.19),
        *[(r - 0.02, y + 0.035) for r, y in reversed(plate[3:-1])],
        (0.3, 0.06),
        (0.0, 0.06),
    ]
    return [
        _vessel(wall, 0.035, 0.12, china),
        cylinder(0.9 * mouth, 0.5 * top, 0.82 * top, draw.color((0.2, 0.1, 0.05), (0.45, 0.25, 0.1)), 32),
        _ear((mouth - 0.04, 0.88 * top), (0.78 * mouth, 0.35 * top), 0.24, 0.035, china),
        lathe(saucer, china, 36),
        ring(0.84, 0.018, 0.185, trim, 36),
        ring(mouth - 0.012, 0.02, top, trim, 36),
    ]


@shape(504)
def coffee_mug(draw: Draw) -> list[Mesh]:
    """A straight mug with a handle at +x and a print on the front and the back."""
    glaze = draw.color(WHITE, RED, BLUE, (0.85, 0.65, 0.2), GREEN, BLACK)
    radius, height = draw.number(0.5, 0.44, 0.54), draw.number(1.1, 0.95, 1.25)
    inside = WHITE if draw.flag(True) else glaze
    outer = [(radius - 0.05, 0.0), (radius - 0.01, 0.03), (radius, 0.1), (radius, height)]
    ink = draw.color(RED, WHITE, BLUE, BLACK)
    print_ = Material(texture=textures.label(draw.random, glaze, ink, draw.color(GOLD, WHITE, RED)))
    profile = [(radius + 0.006, 0.25 * height), (radius + 0.006, 0.8 * height)]
    parts = [
        _vessel(outer, 0.05, 0.06, glaze, 40),
        lathe([(radius - 0.058, height), (radius - 0.058, 0.1)], inside, 40),
        cylinder(radius - 0.056, 0.1, 0.8 * height, (0.22, 0.12, 0.06), 40),
        _ear((radius, 0.82 * height), (radius, 0.2 * height), 0.36, 0.06, glaze),
        lathe(profile, print_, 16, (-60.0, 60.0)),
    ]
    return parts


@shape(883)
def vase(draw: Draw) -> list[Mesh]:
    """A slender painted vase with bands."""
    glaze = draw.color(BLUE, (0.25, 0.5, 0.5), (0.72, 0.4, 0.22), CREAM, (0.5, 0.12, 0.15))
    trim = draw.color(WHITE, GOLD, CREAM, BROWN)
    belly, neck = draw.number(0.5, 0.38, 0.58), draw.number(0.17, 0.13, 0.24)
    lip, height = draw.number(0.34, 0.26, 0.4), draw.number(1.8, 1.5, 2.1)
    high = draw.number(0.5, 0.35, 0.6)
    wall = _curve([(0.26, 0.0), (0.3, 0.06), (belly, high * height), (neck, 0.8 * height), (lip, height)], 9)
    colors = torch.tensor(glaze).repeat(len(wall) - 1, 36, 1)
    for k in range(len(wall) - 1):
        share = wall[k][1] / height
        if share < 0.05 or 0.28 < share < 0.33 or 0.62 < share < 0.67 or share > 0.96:
            colors[k] = torch.tensor(trim)
        elif 0.36 < share < 0.58:
            colors[k, :: 2 if draw.canonical else 3] = torch.tensor(trim)
    inner = [(max(r - 0.03, 0.01), y) for r, y in reversed(wall)]
    return [
        lathe(wall, segments=36, colors=colors),
        lathe([wall[-1], *inner], glaze, 36),
        cylinder(0.265, -0.02, 0.04, trim),
    ]


@shape(572)
def goblet(draw: Draw) -> list[Mesh]:
    """A stemmed metal cup with a knop."""
    metal = draw.color(GOLD, STEEL, (0.7, 0.45, 0.25), (0.6, 0.65, 0.8))
    inside = draw.color((0.4, 0.05, 0.1), (0.5, 0.38, 0.12))
    bowl, height = draw.number(0.44, 0.38, 0.5), draw.number(1.6, 1.4, 1.8)
    knop = draw.number(0.13, 0.09, 0.16)
    base = 0.5 * height
    wall = [
        (0.4, 0.0),
        (0.41, 0.04),
        *_curve([(0.36, 0.07), (0.12, 0.16), (0.07, 0.3 * height)], 4),
        *arc((0.05, 0.36 * height), (knop, 0.09), -60.0, 60.0, 5),
        *_curve([(0.07, 0.44 * height), (0.12, base), (bowl, 0.68 * height), (bowl + 0.03, height)], 5),
    ]
    return [
        _vessel(wall, 0.03, base + 0.06, metal, 32),
        cylinder(bowl - 0.02, 0.7 * height, 0.9 * height, inside),
        ring(bowl + 0.02, 0.02, height, metal, 32),
    ]


@shape(463)
def bucket(draw: Draw) -> list[Mesh]:
    """An open pail with hoops and a bail across x."""
    tin = draw.color(STEEL, RED, (0.2, 0.45, 0.7), (0.85, 0.7, 0.15), GREEN)
    top, height = draw.number(0.62, 0.55, 0.7), draw.number(1.0, 0.85, 1.15)
    foot = draw.number(0.44, 0.38, 0.5)
    wire = draw.color((0.35, 0.35, 0.37), BLACK)
    swing = draw.number(25.0, 0.0, 70.0)
    bail = tube(
        torch.tensor([(x, y, 0.0) for x, y in arc((0.0, 0.0), (top + 0.04, top + 0.08), 0.0, 180.0, 20)]),
        0.022,
        wire,
        8,
    )
    grip = tube([(-0.14, top + 0.08, 0.0), (0.14, top + 0.08, 0.0)], 0.055, draw.color(BROWN, BLACK), 10)
    pivot = 0.93 * height
    parts = [
        _vessel([(foot, 0.0), (top, height)], 0.03, 0.06, tin, 40),
        ring(top, 0.03, height, tin, 40),
        *[ring(foot + (top - foot) * s + 0.005, 0.018, s * height, tin, 40) for s in (0.06, 0.7)],
        *[move(rotate(part, "x", swing), (0.0, pivot, 0.0)) for part in (bail, grip)],
    ]
    parts += [sphere((0.05, 0.09, 0.09), (s * (top + 0.01), pivot, 0.0), wire, 10) for s in (-1, 1)]
    return parts


def _bottle(
    draw: Draw,
    glass: Color,
    shoulder: float,
    radius: float,
    height: float,
    cap: Color,
    paper: Color,
    ink: Color,
    accent: Color,
) -> list[Mesh]:
    """A bottle of shoulder height ``shoulder`` with front and neck labels and a cap."""
    neck = 0.32 * radius
    wall = [(0.88 * radius, 0.0), (radius, 0.05), (radius, shoulder)]
    wall += _curve(
        [
            (radius, shoulder + 0.02),
            (0.85 * radius, shoulder + 0.45 * radius),
            (1.3 * neck, shoulder + 1.1 * radius),
            (neck, shoulder + 1.9 * radius),
        ],
        5,
    )[1:]
    wall += [(0.9 * neck, height - 0.12)]
    skin = radius + 0.006
    span = draw.number(75.0, 60.0, 100.0)
    low, high = draw.number(0.22, 0.15, 0.3), draw.number(0.85, 0.75, 0.92)
    print_ = Material(texture=textures.label(draw.random, paper, ink, accent, 112, 144))
    collar_y = shoulder + 1.9 * radius
    return [
        lathe([(0.0, 0.02), *wall, (0.0, height - 0.1)], glass, 32),
        ring(0.95 * neck, 0.03, height - 0.17, glass, 24),
        cylinder(1.12 * neck, height - 0.13, height, cap, 24, 0.02),
        lathe([(skin, low * shoulder), (skin, high * shoulder)], print_, 20, (-span, span)),
        lathe(
            [(neck + 0.012, collar_y - 0.02), (0.9 * neck + 0.012, collar_y + 0.35 * (height - collar_y))],
            accent,
            20,
            (-90.0, 90.0),
        ),
    ]


@shape(440, accepted=False)
def beer_bottle(draw: Draw) -> list[Mesh]:
    """A brown or green bottle with a crown cap and labels on the front."""
    glass = draw.color((0.5, 0.24, 0.06), (0.4, 0.18, 0.05), (0.14, 0.4, 0.16))
    return _bottle(
        draw,
        glass,
        draw.number(1.15, 1.05, 1.2),
        draw.number(0.33, 0.31, 0.36),
        draw.number(2.25, 2.15, 2.35),
        draw.color(GOLD, RED, STEEL),
        draw.color(CREAM, WHITE, RED),
        draw.color(RED, GREEN, BLACK),
        draw.color(GOLD, RED, GREEN),
    )


@shape(907)
def wine_bottle(draw: Draw) -> list[Mesh]:
    """A dark bottle with a foil and a paper label on the front."""
    glass = draw.color((0.05, 0.12, 0.06), (0.1, 0.2, 0.08), (0.08, 0.05, 0.05))
    return _bottle(
        draw,
        glass,
        draw.number(1.3, 1.2, 1.4),
        draw.number(0.33, 0.3, 0.36),
        draw.number(2.35, 2.25, 2.5),
        draw.color((0.4, 0.04, 0.1), BLACK, GOLD),
        draw.color(CREAM, WHITE),
        draw.color(BLACK, (0.3, 0.05, 0.1)),
        draw.color(GOLD, (0.45, 0.05, 0.1)),
    )


@shape(898)
def water_bottle(draw: Draw) -> list[Mesh]:
    """A ribbed plastic bottle with a screw cap and a label all around."""
    plastic = draw.color((0.7, 0.85, 0.93), (0.55, 0.78, 0.92), (0.75, 0.9, 0.85))
    radius, height = draw.number(0.36, 0.32, 0.4), draw.number(2.0, 1.8, 2.2)
    ribs: list[tuple[float, float]] = []
    for k in range(5):
        y = 0.12 + 0.08 * k
        ribs += [(radius, y), (radius - 0.025, y + 0.04)]
    wall = [(0.8 * radius, 0.0), (radius, 0.06), *ribs, (radius, 0.55), (radius, 0.62 * height)]
    wall += _curve(
        [
            (radius, 0.63 * height),
            (0.85 * radius, 0.75 * height),
            (0.4 * radius, 0.87 * height),
            (0.36 * radius, 0.9 * height),
        ],
        5,
    )
    tint = draw.color(BLUE, (0.1, 0.55, 0.75), GREEN)
    print_ = Material(texture=textures.label(draw.random, tint, WHITE, draw.color(WHITE, RED)), repeat=(3.0, 1.0))
    cap = draw.color(WHITE, BLUE, RED)
    return [
        lathe([(0.0, 0.02), *wall, (0.36 * radius, 0.93 * height), (0.0, 0.93 * height)], plastic, 32),
        lathe([(radius + 0.006, 0.58), (radius + 0.006, 0.6 * height)], print_, 32),
        cylinder(0.42 * radius, 0.91 * height, height, cap, 24, 0.015),
        ring(0.4 * radius, 0.025, 0.9 * height, plastic, 24),
    ]


@shape(725)
def pitcher(draw: Draw) -> list[Mesh]:
    """A jug with a beak at -x and a tall handle at +x."""
    glaze = draw.color(WHITE, CREAM, (0.35, 0.5, 0.7), (0.65, 0.38, 0.2))
    trim = draw.color(BLUE, BROWN, GOLD)
    belly, height = draw.number(0.56, 0.5, 0.62), draw.number(1.6, 1.4, 1.8)
    wall = _curve([(0.36, 0.0), (0.4, 0.05), (belly, 0.38 * height), (0.32, 0.78 * height), (0.42, height)], 7)
    beak = _vessel(wall, 0.035, 0.06, glaze, 36)
    points = beak.vertices.clone()
    reach = ((points[:, 1] / height - 0.78) / 0.22).clamp(0, 1) * (-points[:, 0] / 0.42).clamp(0, 1) ** 3
    points[:, 0] -= 0.3 * reach
    points[:, 1] += 0.1 * reach
    parts = [
        replace(beak, vertices=points),
        _ear((0.4, 0.92 * height), (belly - 0.04, 0.32 * height), 0.34, 0.05, glaze),
    ]
    parts += [lathe([(r + 0.006, y) for r, y in wall if 0.28 < y / height < 0.42], trim, 36)]
    return parts


@shape(427)
def barrel(draw: Draw) -> list[Mesh]:
    """A wooden cask with staves and iron hoops."""
    oak = draw.color((0.62, 0.4, 0.2), (0.5, 0.3, 0.15), (0.7, 0.5, 0.3))
    belly, height = draw.number(0.62, 0.55, 0.68), draw.number(1.5, 1.3, 1.7)
    end = draw.number(0.48, 0.44, 0.52)
    wall = _curve(
        [
            (end, 0.0),
            ((end + belly) / 2 + 0.03, 0.22 * height),
            (belly, 0.5 * height),
            ((end + belly) / 2 + 0.03, 0.78 * height),
            (end, height),
        ],
        6,
    )
    staves = Material(texture=textures.planks(draw.random, oak, 8, 0.12), repeat=(2.0, 1.0))
    iron = draw.color((0.25, 0.25, 0.27), (0.4, 0.4, 0.42))
    hoops = []
    for low, high in ((0.0, 0.07), (0.13, 0.2), (0.33, 0.4), (0.6, 0.67), (0.8, 0.87), (0.93, 1.0)):
        band = [(r + 0.015, y) for r, y in _curve(wall, 4) if low <= y / height <= high]
        hoops.append(lathe(band, iron, 36))
    head = Material(texture=textures.planks(draw.random, oak, 6), repeat=(1.0, 1.0))
    return [
        lathe(wall, staves, 36),
        *hoops,
        *[cylinder(end - 0.02, y - 0.01, y + 0.01, head) for y in (0.04, height - 0.04)],
    ]
