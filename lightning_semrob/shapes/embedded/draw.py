"""What a procedural class is made of: a function from a :class:`Draw` to a mesh, registered with its indices."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from lightning_semrob.shapes.embedded.primitives import Color
from lightning_semrob.shapes.mesh import Mesh

T = TypeVar("T")


class Draw:
    """The parameters of one shape: seed 0 takes every default, other seeds draw at random.

    Args:
        class_name: classes with the same seed draw independently.
        seed: not negative.
    """

    def __init__(self, class_name: str, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"the seed of a '{class_name}' must not be negative, got {seed}: give 0, 1, 2, ...")
        self.canonical = seed == 0
        self.random = np.random.default_rng([zlib.crc32(class_name.encode()), seed])

    def number(self, default: float, low: float, high: float) -> float:
        """A number in [low, high]."""
        return default if self.canonical else float(self.random.uniform(low, high))

    def integer(self, default: int, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return default if self.canonical else int(self.random.integers(low, high + 1))

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, the first by default."""
        return options[0] if self.canonical else options[int(self.random.integers(len(options)))]

    def flag(self, default: bool, probability: float = 0.5) -> bool:
        """True with the given probability."""
        return default if self.canonical else bool(self.random.random() < probability)

    def color(self, *options: Color, jitter: float = 0.06) -> Color:
        """One of the colours, shifted a little in each channel (not by default)."""
        red, green, blue = self.choice(options)
        if self.canonical:
            return red, green, blue
        shift = self.random.uniform(-jitter, jitter, 3)
        low, high = 0.02, 0.98
        return tuple(  # type: ignore[return-value]
            min(max(c + float(d), low), high) for c, d in zip((red, green, blue), shift, strict=True)
        )


Builder: TypeAlias = Callable[[Draw], list[Mesh]]


@dataclass(frozen=True)
class ProceduralClass:
    """A registered class: ImageNet-1k indices, the builder of its parts, whether it passes acceptance."""

    name: str
    imagenet: tuple[int, ...]
    build: Builder
    accepted: bool


REGISTRY: dict[str, ProceduralClass] = {}


def shape(*imagenet: int, accepted: bool = True) -> Callable[[Builder], Builder]:
    """Register a builder under its function name.

    Args:
        imagenet: ImageNet-1k indices that count as right.
        accepted: whether most of its shapes pass ``benchmarks/acceptance.py``, which puts it in the default set.
    """

    def register(build: Builder) -> Builder:
        REGISTRY[build.__name__] = ProceduralClass(build.__name__, imagenet, build, accepted)
        return build

    return register
