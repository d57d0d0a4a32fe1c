"""Textures: images read once, with the colours and the edges that a material gives them worked in."""

from __future__ import annotations

import io
import math
import warnings
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_semrob.shapes.files import MeshFileError

MAX_TEXTURE_SIZE = 1024
"""Textures are at most this many pixels wide: more than that only aliases in images of a few hundred pixels."""

MAX_PIXELS = 2**27
"""Larger images are refused, before they are unpacked: 512 MiB, 11,585 pixels square."""

_COPIES = 8  # Of one image, with factors worked in; further ones multiply the colours at the corners instead.

Floats = NDArray[np.float32]


def srgb(value: Any) -> NDArray[np.float64]:
    """Display values of linear ones (IEC 61966-2-1), both in [0, 1]."""
    x = np.clip(np.asarray(value, np.float64), 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055)


def linear(value: Any) -> NDArray[np.float64]:
    """Linear values of display ones (IEC 61966-2-1), both in [0, 1]."""
    x = np.asarray(value, np.float64)
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


@dataclass(frozen=True)
class Paint:
    """How the pixels of a texture follow from images. Images are numbers that :meth:`Textures.add` gave.

    Args:
        image: the colours; None for white.
        factor: multiplies the linear colours.
        light: image of the light that the surface gives off, None for white.
        light_factor: multiplies it; what it gives off is added to the linear colours.
        holes: opacity below which there is a hole; None where opacity is ignored.
        opacity: multiplies the opacity.
        mask: image whose brightness is the opacity.
        gain: (base, gain) of display values, ``base + gain * colour``.
    """

    image: int | None
    factor: tuple[float, ...] = (1.0, 1.0, 1.0)
    light: int | None = None
    light_factor: tuple[float, ...] = (0.0, 0.0, 0.0)
    holes: float | None = None
    opacity: float = 1.0
    mask: int | None = None
    gain: tuple[float, float] = (0.0, 1.0)


class Textures:
    """The images of one mesh file and the textures made of them, each made once however many parts use it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._images: list[Floats] = []
        self._numbers: dict[Hashable, int | None] = {}
        self._made: dict[Hashable, Tensor] = {}
        self._copies: Counter[int | None] = Counter()

    def add(self, key: Hashable, read: Callable[[], bytes]) -> int | None:
        """The number of an image, read at the first call with this key; None where Pillow cannot read it.

        Raises:
            MeshFileError: it has more than ``MAX_PIXELS`` pixels.
        """
        if key not in self._numbers:
            pixels = _pixels(read(), self.name)
            self._numbers[key] = None if pixels is None else len(self._images)
            self._images += [] if pixels is None else [pixels]
        return self._numbers[key]

    def make(self, paint: Paint, tiles: tuple[Any, Any] = (None, None)) -> tuple[Tensor, tuple[float, ...]]:
        """The texture (H, W, 3 or 4) of a paint, and the factor that is left for the corners, display values.

        ``tiles`` says along columns and rows how it goes on beyond its edges, as of :func:`place`.
        """
        left: tuple[float, ...] = (1.0, 1.0, 1.0)
        key = (paint, tiles)
        tinted = paint.factor != (1.0, 1.0, 1.0) and paint.light_factor == (0.0, 0.0, 0.0)
        if key not in self._made and tinted and self._copies[paint.image] >= _COPIES:
            left = tuple(float(c) for c in srgb(paint.factor))
            paint = replace(paint, factor=(1.0, 1.0, 1.0))
            key = (paint, tiles)
        if key not in self._made:
            self._copies[paint.image] += 1
            self._made[key] = torch.from_numpy(np.ascontiguousarray(_tiled(self._painted(paint), tiles)))
        return self._made[key], left

    def opaque(self, number: int, holes: float) -> bool:
        """Whether an image has no holes; one that is nothing but a hole counts as opaque, as it must show something."""
        alpha = self._images[number][..., 3]
        return float(alpha.min()) >= 1 or float(alpha.max()) < holes

    def size(self, paint: Paint) -> tuple[int, int]:
        """Width and height of the texture of a paint, pixels: those of its largest image."""
        used = [self._images[k] for k in (paint.image, paint.light, paint.mask) if k is not None]
        height, width = max((image.shape[:2] for image in used), key=lambda size: size[0] * size[1])
        return width, height

    def _painted(self, paint: Paint) -> Floats:
        width, height = self.size(paint)
        base = self._resized(paint.image, width, height)
        colors: NDArray[Any] = base[..., :3]
        alpha: NDArray[Any] = base[..., 3:] * np.float32(paint.opacity)
        if paint.gain != (0.0, 1.0):
            colors = np.clip(paint.gain[0] + paint.gain[1] * colors, 0, 1)
        if paint.factor != (1.0, 1.0, 1.0) or paint.light_factor != (0.0, 0.0, 0.0):
            glow = linear(self._resized(paint.light, width, height)[..., :3]) * np.asarray(paint.light_factor)
            colors = srgb(linear(colors) * np.asarray(paint.factor) + glow)
        if paint.mask is not None:
            alpha = self._resized(paint.mask, width, height)[..., :3].mean(-1, keepdims=True)
        if paint.holes is None or alpha.min() >= max(1.0, paint.holes):
            return colors.astype(np.float32)
        # The renderer's holes begin at 1/2, the file's at its own cutoff.
        low = alpha < paint.holes
        alpha = np.where(low, 0.5 * alpha / max(paint.holes, 1e-6), 0.5 + 0.5 * (alpha - paint.holes))
        alpha = np.where(low, np.minimum(alpha, 0.49), np.clip(alpha, 0.5, 1))
        return np.concatenate((colors, alpha), -1).astype(np.float32)

    def _resized(self, number: int | None, width: int, height: int) -> Floats:
        pixels = np.ones((1, 1, 4), np.float32) if number is None else self._images[number]
        return _scaled(pixels, width, height)


def _pixels(data: bytes, name: str) -> Floats | None:
    """(H, W, 4) float32 RGBA in [0, 1], at most ``MAX_TEXTURE_SIZE`` on a side."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, on odd files that it reads all the same
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise _too_large(name, f"a texture of {image.width} x {image.height} pixels")
                image.draft("RGB", (MAX_TEXTURE_SIZE, MAX_TEXTURE_SIZE))
                if image.mode.startswith("I"):
                    grey = Image.fromarray((np.asarray(image, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
                    return _shrunk(grey.convert("RGBA"))
                return _shrunk(image.convert("RGBA"))
    except Image.DecompressionBombError as error:  # Pillow's own limit, for images that it has not yet opened
        raise _too_large(name, "a texture of too many pixels") from error
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError, ValueError) as error:
        if isinstance(error, MeshFileError):
            raise
        return None


def _too_large(name: str, what: str) -> MeshFileError:
    return MeshFileError(
        f"mesh file '{name}' has {what}, more than {MAX_PIXELS:,}: scale it down (textures are drawn with "
        f"{MAX_TEXTURE_SIZE} a side at most)"
    )


def _shrunk(image: Any) -> Floats:
    """Colours and opacity scaled apart: pixels that are see-through keep the colours that they have."""
    size = MAX_TEXTURE_SIZE, MAX_TEXTURE_SIZE
    colors, alpha = image.convert("RGB"), image.getchannel("A")
    colors.thumbnail(size)
    alpha.thumbnail(size)
    return np.dstack((np.asarray(colors), np.asarray(alpha))).astype(np.float32) / np.float32(255)


def _scaled(pixels: Floats, width: int, height: int) -> Floats:
    if pixels.shape[:2] == (height, width):
        return pixels
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    scaled = torch.nn.functional.interpolate(
        image, size=(height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return np.asarray(scaled[0].permute(1, 2, 0).clamp(0, 1).contiguous())


def place(
    uv: NDArray[np.float64], modes: tuple[str, str], size: tuple[int, int]
) -> tuple[NDArray[np.float64], tuple[Any, Any]]:
    """Texture coordinates for a texture that repeats, of one that may be clamped or mirrored at its edges.

    Args:
        uv: (F, 3, 2), the first coordinate along the columns, the second down the rows.
        modes: of each: ``repeat``, ``clamp`` or ``mirror``.
        size: width and height of the texture, pixels.

    Returns:
        coordinates (F, 3, 2), and for each direction what :meth:`Textures.make` is to do: None, ``"mirror"``, or
        (pixels, pixels before, pixels after) where the edges are drawn out.
    """
    uv = uv.copy()
    tiles: list[Any] = [None, None]
    for axis, (mode, pixels) in enumerate(zip(modes, size, strict=True)):
        x = uv[..., axis]
        if not len(x):
            continue
        inside = x.min() >= -1e-6 and x.max() <= 1 + 1e-6
        if mode == "repeat":
            if np.abs(x).max() > 16:  # float32 would lose digits
                x -= np.floor(x.min())
        elif mode == "mirror" and not inside:
            tiles[axis] = "mirror"
            x -= 2 * np.floor(x.min() / 2)
            x /= 2
        else:
            x[(x <= 0).all(1)] = 0.0
            x[(x >= 1).all(1)] = 1.0
            np.clip(x, -4, 5, out=x)
            before, after = (_step(far) for far in (-float(x.min()), float(x.max()) - 1))
            pixels = min(pixels, int(2 * MAX_TEXTURE_SIZE / (1 + before + after)))
            first, last = math.ceil(before * pixels), math.ceil(after * pixels)
            tiles[axis] = (pixels, first, last) if first or last else None
            whole = pixels + first + last
            # Half a texel from the edge: nearer, a texture that repeats mixes in the other side.
            x[...] = np.clip((x * pixels + first) / whole, 0.5 / whole, 1 - 0.5 / whole)
    return uv, (tiles[0], tiles[1])


def _step(far: float) -> float:
    """The next of a few values, so that parts share textures."""
    return next(step for step in (0.0, 0.125, 0.5, 1.0, 2.0, 4.0) if far <= step + 1e-6)


def _tiled(pixels: Floats, tiles: tuple[Any, Any]) -> Floats:
    for axis, tile in ((1, tiles[0]), (0, tiles[1])):
        if tile == "mirror":
            pixels = np.concatenate((pixels, np.flip(pixels, axis)), axis)
        elif tile is not None:
            height, width = (pixels.shape[0], tile[0]) if axis == 1 else (tile[0], pixels.shape[1])
            pads = [(0, 0)] * 3
            pads[axis] = tile[1:]
            pixels = np.pad(_scaled(pixels, width, height), pads, mode="edge")
    return pixels
