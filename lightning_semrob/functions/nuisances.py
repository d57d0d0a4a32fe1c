"""Nuisances: backgrounds and light that f is not about, drawn once and averaged over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.rendering import Renderer
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.random import stream

#: What is drawn, uniformly, where the renderer has it and the space does not sweep it; None for its whole range.
NUISANCE_RANGES: dict[str, tuple[float, float] | None] = {
    "light_azimuth": None,
    "light_elevation": (20.0, 80.0),
    "light_intensity": (0.5, 1.5),
    "background": None,
}


@dataclass(frozen=True)
class Nuisances:
    """Fixed settings of parameters of the renderer: f is the mean of the scores under each of them.

    Attributes:
        names: of the parameters.
        values: (k, m) float64, one row a draw.

    Examples:
        >>> from lightning_semrob.rendering import Rasterizer, Scene
        >>> drawn = Nuisances.draw(Rasterizer(32, scene=Scene("embedded:wood,grass")), ["azimuth", "elevation"], 4)
        >>> drawn.names, sorted(drawn.values[:, 0].tolist())
        (('picture', 'light_azimuth', 'light_elevation', 'light_intensity'), [0.0, 0.0, 1.0, 1.0])
    """

    names: tuple[str, ...]
    values: Tensor

    @classmethod
    def draw(cls, renderer: Renderer, swept: Sequence[str], count: int, seed: int = 0) -> Nuisances:
        """``count`` settings, which depend on the renderer's parameters and the seed alone.

        Pictures of the renderer's scene take turns in a random order, so that each is drawn once before any is drawn
        twice. The light (``light_azimuth``, ``light_elevation`` from 20 to 80 degrees, ``light_intensity`` from 0.5 to
        1.5) is drawn from a scrambled Sobol sequence, and so is the grey level ``background`` where there are no
        pictures.

        Args:
            renderer: whose parameters are drawn.
            swept: names of the parameters that f is about; they are not drawn.
            count: k.
            seed: of the draws.

        Raises:
            ValueError: fewer than one draw, or a renderer that has nothing to draw.
        """
        if count < 1:
            raise ValueError(f"nuisances must be at least 1 draw, or 0 for none, got {count}")
        table = renderer.semantic_parameters
        pictured = renderer.pictures_behind > 0
        own = [name for name in NUISANCE_RANGES if name in table and name not in swept]
        names = [name for name in own if name != "background" or not pictured]
        pictures = [name for name in ("picture",) if name in table and name not in swept]
        columns = []
        if pictures:
            order = torch.randperm(renderer.pictures_behind, generator=stream(seed, 0x9C))
            columns.append(order.repeat(-(-count // len(order)))[:count, None].double())
        if names:
            axes = [renderer.parameter(name).swept(NUISANCE_RANGES[name]) for name in names]
            columns.append(SemanticSpace(tuple(axes)).sobol(count, seed))
        if not columns:
            raise ValueError(
                f"{type(renderer).__name__} has no background and no light to draw beside the axes {list(swept)}: "
                "leave nuisances at 0"
            )
        return cls((*pictures, *names), torch.cat(columns, 1))

    def __len__(self) -> int:
        """k."""
        return len(self.values)

    def as_dict(self) -> dict[str, list[float]]:
        """Name -> its value in each draw."""
        return dict(zip(self.names, self.values.T.tolist(), strict=True))

    def rows(self, u: Tensor) -> Tensor:
        """Every point (B, n) under every draw, (B * k, n + m), the draws of a point one after the other."""
        own = self.values.to(u).repeat(len(u), 1)
        return torch.cat((u.repeat_interleave(len(self), 0), own), 1)
