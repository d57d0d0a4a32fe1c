"""Procedural textures: (H, W, 3) float32 tensors in [0, 1] that repeat without a seam."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.shapes.embedded.primitives import Color


def _noise(random: np.random.Generator, height: int, width: int, frequencies: Sequence[tuple[int, int]]) -> Tensor:
    """(height, width) sum of periodic waves, one for each (down, across) frequency, in [-1, 1]."""
    y = torch.arange(height)[:, None] / height
    x = torch.arange(width)[None, :] / width
    waves = [
        torch.cos(2 * math.pi * (fy * y + sign * fx * x + float(random.random())))
        for fy, fx in frequencies
        for sign in (1, -1)
    ]
    return torch.stack(waves).mean(0)


def wood(random: np.random.Generator, color: Color, contrast: float = 0.25, size: int = 64) -> Tensor:
    """Wood grain running along u: wavy rings, fine fibres. ``contrast`` is the depth of the dark lines."""
    bend = _noise(random, size, 2 * size, [(1, 1), (2, 1), (3, 2)])
    y = torch.arange(size)[:, None] / size
    rings = 0.5 + 0.5 * torch.cos(2 * math.pi * (4 * y + 0.8 * bend))
    fibres = torch.from_numpy(random.random((size, 1)).astype(np.float32)).expand(size, 2 * size)
    shade = 1 - contrast * (0.65 * rings**2 + 0.35 * fibres)
    return (shade[..., None] * torch.tensor(color)).clamp(0, 1).float()


def planks(random: np.random.Generator, color: Color, count: int = 6, contrast: float = 0.25, size: int = 96) -> Tensor:
    """``count`` boards side by side across u, the grain along v, with dark gaps."""
    boards = []
    width = size // count
    for _ in range(count):
        tone = 0.85 + 0.25 * float(random.random())
        board = wood(random, (color[0] * tone, color[1] * tone, color[2] * tone), contrast, width).transpose(0, 1)
        board = board.contiguous().clone()
        board[:, 0] *= 0.45
        boards.append(board)
    return torch.cat(boards, 1).clamp(0, 1)


def label(
    random: np.random.Generator, paper: Color, ink: Color, accent: Color, height: int = 96, width: int = 128
) -> Tensor:
    """A printed label: border, an emblem, a bold line of letter-like blocks and lines of small print."""
    image = torch.tensor(paper).expand(height, width, 3).clone()
    dark, bright = torch.tensor(ink), torch.tensor(accent)
    edge = max(height // 24, 1)
    for inset, tone in ((edge, bright), (2 * edge, torch.tensor(paper))):
        image[inset : height - inset, inset : width - inset] = tone
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    emblem = ((x - 0.5) * width / height) ** 2 + (y - 0.3) ** 2
    image[emblem < 0.16**2] = bright
    image[emblem < 0.09**2] = torch.tensor(paper)
    _print(image, random, 0.52, 0.16, 9, dark)
    for k in range(3):
        _print(image, random, 0.74 + 0.07 * k, 0.035, 24, 0.5 * dark + 0.5 * torch.tensor(paper))
    return image


def _print(image: Tensor, random: np.random.Generator, top: float, tall: float, letters: int, ink: Tensor) -> None:
    """Write one line of letter-like blocks into the image, ``top`` and ``tall`` as shares of its height."""
    height, width = image.shape[:2]
    rows = slice(int(top * height), int((top + tall) * height) + 1)
    pitch = 0.76 * width / letters
    for k in range(letters):
        if random.random() < 0.85:
            start = int(0.12 * width + k * pitch)
            image[rows, start : start + max(int(0.6 * pitch), 1)] = ink
