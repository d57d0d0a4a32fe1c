"""Pictures for behind an object: embedded ones, which are made by code, files and folders."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.shapes.embedded.textures import planks
from lightning_semrob.shapes.images import MAX_PIXELS
from lightning_semrob.utilities.messages import unknown_name

#: What a folder's pictures end with; Pillow reads them.
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

#: All pictures of a scene are kept in memory, 150 KB each at 224 pixels.
MOST_PICTURES = 1000

#: Rows of the embedded pictures and panoramas.
_SIDE, _TALL = 512, 768


@dataclass(frozen=True)
class Picture:
    """A picture that is not made or read yet.

    Args:
        name: of the embedded picture or of the file.
        read: makes it, (H, W, 3) float32 in [0, 1], first row on top.
    """

    name: str
    read: Callable[[], Tensor]


def find_pictures(source: str, embedded: Mapping[str, Callable[[], Tensor]]) -> list[Picture]:
    """The pictures that ``source`` names, in order; files are not read yet.

    Args:
        source: ``embedded`` for all embedded ones, ``embedded:grass,wood`` for some, the path of a file, or of a
            folder for all pictures in it, by name.
        embedded: the embedded ones.

    Raises:
        ValueError: a name or path that does not exist, a folder without pictures or with too many.
    """
    kind, _, chosen = source.partition(":")
    if kind == "embedded":
        names = [name.strip() for name in chosen.split(",")] if chosen else list(embedded)
        for name in names:
            if name not in embedded:
                raise ValueError(unknown_name("embedded picture", name, list(embedded)))
        return [Picture(name, embedded[name]) for name in dict.fromkeys(names)]
    path = Path(source).expanduser()
    if path.is_dir():
        named = [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
        files = [file for file in named if file.is_file()]  # no pipes and devices
        if not 1 <= len(files) <= MOST_PICTURES:
            raise ValueError(
                f"folder '{source}' has {len(files)} pictures ({', '.join(SUFFIXES)}): give one with 1 to "
                f"{MOST_PICTURES}, or 'embedded'"
            )
    elif path.is_file():
        files = [path]
    else:
        raise ValueError(f"there are no pictures '{source}': give a file, a folder, 'embedded' or 'embedded:NAME,NAME'")
    return [Picture(file.name, lambda file=file: _read(file)) for file in files]  # type: ignore[misc]


def _read(path: Path) -> Tensor:
    """A picture file as RGB; what is see-through is white."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # of Pillow, on odd files that it reads all the same
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            upright = ImageOps.exif_transpose(image).convert("RGBA")
            white = Image.new("RGBA", upright.size, "white")
            pixels = np.asarray(Image.alpha_composite(white, upright).convert("RGB"), np.float32) / np.float32(255)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"picture '{path}' cannot be read ({error}): mend it or take it away") from error
    return torch.from_numpy(pixels)


# ---- embedded ones


def _field(seed: int, height: int, width: int, cells: int, octaves: int = 5, stretch: int = 1) -> Tensor:
    """(height, width) of cloudy noise in [0, 1] that goes on over its left and right edges.

    Args:
        cells: across the width in the coarsest octave.
        stretch: how many times longer than wide the cells are, across.
    """
    random = np.random.default_rng(seed)
    total = torch.zeros(height, width, dtype=torch.float64)
    for octave in range(octaves):
        across = cells << octave
        down = max(2, round(across * stretch * height / width))
        lattice = torch.from_numpy(random.random((1, 1, down + 3, across)))
        lattice = torch.cat((lattice[..., -2:], lattice, lattice[..., :2]), -1)
        size = round(height * (down + 3) / down), round(width * (across + 4) / across)
        fine = torch.nn.functional.interpolate(lattice, size=size, mode="bicubic", align_corners=False)[0, 0]
        left = round(2 * width / across)
        total += fine[:height, left : left + width] / 2**octave
    low, high = total.min(), total.max()
    return ((total - low) / (high - low)).float()


def _mix(first: tuple[float, ...] | Tensor, second: tuple[float, ...] | Tensor, share: Tensor) -> Tensor:
    """Colours between two, by a share (H, W)."""
    a, b = torch.as_tensor(first, dtype=torch.float32), torch.as_tensor(second, dtype=torch.float32)
    return a + (b - a) * share.clamp(0, 1)[..., None]


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the pixel centres, in [0, 1]."""
    y, x = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    return y[:, None].expand(height, width), x[None].expand(height, width)


def _sky(height: Tensor, clouds: Tensor) -> Tensor:
    """The sky by height above the horizon, in [0, 1], under clouds."""
    blue = _mix((0.78, 0.87, 0.95), (0.25, 0.48, 0.83), height.clamp_min(0).sqrt())
    return _mix(blue, (0.97, 0.97, 0.98), ((clouds - 0.45) * 3).clamp(0, 1) * (height * 6).clamp(0, 1))


def _meadow(away: Tensor, patches: Tensor, blades: Tensor) -> Tensor:
    """Grass, which pales with its distance, in [0, 1]."""
    near = _mix((0.20, 0.33, 0.10), (0.52, 0.60, 0.27), 0.6 * patches + 0.4 * blades)
    return _mix(near, (0.60, 0.66, 0.52), away)


def _sky_and_ground() -> Tensor:
    y, _ = _grid(_SIDE, _SIDE)
    horizon = 0.55
    sky = _sky((horizon - y) / horizon, _field(1, _SIDE, _SIDE, 3, stretch=3))
    depth = (y - horizon).clamp_min(1e-3)
    ground = _meadow(
        (1 - depth / 0.12).clamp(0, 1), _field(2, _SIDE, _SIDE, 5, stretch=3), _field(3, _SIDE, _SIDE, 96, 2)
    )
    return torch.where((y < horizon)[..., None], sky, ground)


def _wood() -> Tensor:
    random = np.random.default_rng(4)
    boards = planks(random, (0.62, 0.42, 0.25), count=6, contrast=0.3, size=_SIDE)
    image = boards.permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(image, (_SIDE, _SIDE), mode="bilinear", align_corners=False)[0].permute(
        1, 2, 0
    )


def _grass() -> Tensor:
    blades = _field(5, _SIDE, _SIDE, 64, 3).T.contiguous()
    long = _field(6, _SIDE, _SIDE, 12, 4, stretch=5).T.contiguous()
    shade = 0.5 * long + 0.35 * blades + 0.15 * _field(7, _SIDE, _SIDE, 4, 3)
    return _mix((0.10, 0.20, 0.04), (0.55, 0.70, 0.25), (shade - 0.25) * 1.8)


def _cells(rows: int, columns: int, joint: float, shift: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Bricks: row and column of the brick of each pixel, and how far, 0 to 1, it lies from the joints."""
    y, x = _grid(_SIDE, _SIDE)
    row = (y * rows).floor()
    along = x * columns + shift * (row % 2)
    column = along.floor() % columns
    inside = torch.minimum(
        0.5 - (y * rows - row - 0.5).abs(), (0.5 - (along - along.floor() - 0.5).abs()) * rows / columns
    )
    return row.long(), column.long(), ((inside - joint / 2) / (joint / 2)).clamp(0, 1)


def _tiles() -> Tensor:
    row, column, inside = _cells(6, 6, 0.05)
    tone = torch.from_numpy(np.random.default_rng(8).random((6, 6)).astype(np.float32))[row, column]
    glaze = _mix((0.70, 0.78, 0.80), (0.86, 0.90, 0.90), 0.7 * tone + 0.3 * _field(9, _SIDE, _SIDE, 6, 4))
    return _mix((0.50, 0.49, 0.47), glaze, inside)


def _wall() -> Tensor:
    row, column, inside = _cells(14, 6, 0.12, 0.5)
    tone = torch.from_numpy(np.random.default_rng(10).random((14, 6)).astype(np.float32))[row, column]
    brick = _mix((0.45, 0.20, 0.14), (0.72, 0.42, 0.30), 0.6 * tone + 0.4 * _field(11, _SIDE, _SIDE, 48, 3))
    return _mix(_mix((0.62, 0.60, 0.56), (0.76, 0.74, 0.70), _field(12, _SIDE, _SIDE, 96, 2)), brick, inside)


def _gradient() -> Tensor:
    y, x = _grid(_SIDE, _SIDE)
    glow = torch.exp(-((x - 0.5) ** 2 + (y - 0.4) ** 2) / 0.18)
    return _mix((0.22, 0.26, 0.34), (0.82, 0.84, 0.86), glow)


def _noise() -> Tensor:
    return torch.stack([_field(13 + k, _SIDE, _SIDE, 4, 7) for k in range(3)], -1)


def _checker() -> Tensor:
    y, x = _grid(_SIDE, _SIDE)
    return _mix((0.25, 0.25, 0.25), (0.85, 0.85, 0.85), ((y * 8).floor() + (x * 8).floor()) % 2)


def _directions(height: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors (x, y, z) of the pixels of an equirectangular panorama; its middle is -z, what a camera in front of
    an object sees."""
    y, x = _grid(height, 2 * height)
    longitude, latitude = 2 * math.pi * (x - 0.5), math.pi * (0.5 - y)
    return latitude.cos() * longitude.sin(), latitude.sin(), -latitude.cos() * longitude.cos()


def _field_panorama() -> Tensor:
    x, y, z = _directions(_TALL)
    around = torch.atan2(x, -z)
    hills = 0.045 + 0.025 * (3 * around).sin() + 0.015 * (7 * around + 1).sin()
    sky = _sky(y, _field(16, _TALL, 2 * _TALL, 6, stretch=2))
    hill = _mix((0.30, 0.40, 0.35), (0.40, 0.50, 0.38), _field(17, _TALL, 2 * _TALL, 48, 3))
    patches, blades = _field(18, _TALL, 2 * _TALL, 12, 5), _field(19, _TALL, 2 * _TALL, 192, 2)
    ground = _meadow(1 + y * 6, patches, blades)
    return torch.where((y > hills)[..., None], sky, torch.where((y > 0)[..., None], hill, ground))


def _room_panorama() -> Tensor:
    """A room with a window, a door and pictures, looked at from its middle."""
    x, y, z = _directions(_TALL)
    wide, above, below, deep = 3.0, 1.5, 1.2, 2.5
    wall_x, wall_z = wide / x.abs().clamp_min(1e-6), deep / z.abs().clamp_min(1e-6)
    vertical = torch.where(y > 0, above, below) / y.abs().clamp_min(1e-6)
    wall = torch.minimum(wall_x, wall_z)
    reach = torch.minimum(wall, vertical)
    px, py, pz = x * reach, y * reach, z * reach
    along = torch.where(wall_x < wall_z, pz, px)  # of a wall, from its middle
    side = torch.where(wall_x < wall_z, torch.where(x > 0, 1, 3), torch.where(z > 0, 2, 0))
    shade = torch.tensor([0.92, 0.82, 0.76, 0.86])[side]
    color = torch.tensor([0.86, 0.82, 0.72]) * shade[..., None]
    color = torch.where((py < -below + 0.12)[..., None], torch.tensor([0.92, 0.91, 0.88]), color)

    def panel(number: int, left: float, right: float, low: float, high: float, paint: Tensor) -> None:
        nonlocal color
        inside = (side == number) & (along > left) & (along < right) & (py > low) & (py < high)
        rim = inside & ~((along > left + 0.06) & (along < right - 0.06) & (py > low + 0.06) & (py < high - 0.06))
        color = torch.where(inside[..., None], paint, color)
        color = torch.where(rim[..., None], torch.tensor([0.35, 0.24, 0.15]), color)

    view = _mix((0.55, 0.68, 0.48), (0.80, 0.90, 0.98), ((py + 0.1) * 4).clamp(0, 1))
    panel(1, -1.0, 1.0, -0.3, 1.1, view)
    panel(2, -2.2, -1.3, -below, 0.8, torch.tensor([0.58, 0.40, 0.26]))
    for number, left, paint in ((0, -1.8, 14), (0, 0.9, 15), (2, 0.4, 20), (3, -0.5, 21)):
        art = torch.stack([_field(paint + 7 * k, 96, 128, 4, 3) for k in range(3)], -1)
        down, across = ((0.75 - py) * 128).long().clamp(0, 95), ((along - left) * 128).long().clamp(0, 127)
        panel(number, left, left + 1.0, 0.0, 0.75, art[down, across])
    boards = _wood()
    row, column = (((p / 1.5 + 0.3) % 1.0 * _SIDE).long().clamp(0, _SIDE - 1) for p in (pz, px))
    floor = boards[row, column] * (0.75 + 0.25 * torch.exp(-(px**2 + pz**2) / 4))[..., None]
    flat = vertical <= wall
    ceiling = torch.tensor([0.93, 0.93, 0.91]).expand_as(color)
    return torch.where(flat[..., None], torch.where((y > 0)[..., None], ceiling, floor), color)


EMBEDDED_PICTURES: Final[Mapping[str, Callable[[], Tensor]]] = {
    "sky_and_ground": _sky_and_ground,
    "wood": _wood,
    "grass": _grass,
    "tiles": _tiles,
    "wall": _wall,
    "gradient": _gradient,
    "noise": _noise,
    "checker": _checker,
}
"""Embedded background pictures by name, each (512, 512, 3)."""

EMBEDDED_PANORAMAS: Final[Mapping[str, Callable[[], Tensor]]] = {"field": _field_panorama, "room": _room_panorama}
"""Embedded equirectangular panoramas by name, each (768, 1536, 3)."""
