"""Training views from adversarial regions: the paper's idea, boxes in which the network fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.evaluation.suite import FINDERS
from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.functions import SemanticFunction
from lightning_semrob.functions.remembered import RememberedFunction
from lightning_semrob.space import Box
from lightning_semrob.training.samplers import CleanViews, Groups, UniformViews, ViewContext, ViewSampler, uniform_in


class RegionViews(ViewSampler):
    """Views from adversarial regions: boxes in which the network fails, grown by a finder on 1 - f (Eq. 4).

    A step has a share of clean views, a share of uniform ones, and the rest from the boxes. The scores of the uniform
    views of earlier steps are remembered. Before every ``every``-th epoch, initial points are drawn from these views in
    proportion to 1 - f, and the finder grows a box around each. For the finder, f at u is the mean of the remembered
    scores of the class around u (:class:`~lightning_semrob.functions.remembered.RememberedFunction`), so boxes cost no
    image. A box is used for all shapes of its class; views are drawn from all boxes of the last ``memory`` rounds
    alike.

    Args:
        clean_share, uniform_share: of the groups of a step; until there are boxes, the rest is uniform.
        finder: name of one of the paper's finders (``naive``, ``oir_b``, ``oir_w``, ``trapezoid``).
        num_iterations: updates of a box.
        regions: boxes grown in a round.
        start: first epoch with boxes.
        every: epochs between two rounds.
        memory: rounds kept.
        recent: uniform views remembered.
        width: of the mean over remembered scores, as a share of the extent of each axis.

    Raises:
        ValueError: a number out of its range, or an unknown finder.
    """

    def __init__(
        self,
        clean_share: float = 0.1875,
        uniform_share: float = 0.4375,
        finder: str = "naive",
        num_iterations: int = 10,
        regions: int = 64,
        start: int = 2,
        every: int = 1,
        memory: int = 1,
        recent: int = 2048,
        width: float = 0.07,
    ) -> None:
        if clean_share < 0 or uniform_share <= 0 or clean_share + uniform_share > 1:
            raise ValueError(
                f"clean_share {clean_share} and uniform_share {uniform_share} must not be negative, add up to at most "
                "1, and some views must be uniform: they show where the network fails"
            )
        if min(num_iterations, regions, every, memory, recent) < 1 or start < 0 or width <= 0:
            raise ValueError(
                "num_iterations, regions, every, memory and recent must be at least 1, start not negative and width "
                f"positive, got {(num_iterations, regions, every, memory, recent, start, width)}"
            )
        if finder not in FINDERS:
            raise ValueError(f"unknown finder '{finder}'; choose from {sorted(FINDERS)}")
        self.clean_share = clean_share
        self.uniform_share = uniform_share
        self.finder: RegionFinder = FINDERS[finder](num_iterations=num_iterations, adversarial=True)
        self.regions = regions
        self.start = start
        self.every = every
        self.memory = memory
        self.recent = recent
        self.width = width
        self._uniform, self._clean = UniformViews(), CleanViews()

    @property
    def name(self) -> str:
        return "regions"

    def bind(self, context: ViewContext) -> None:
        super().bind(context)
        self._uniform.bind(context)
        self._clean.bind(context)
        n = len(context.space)
        self._seen = (torch.zeros(0, dtype=torch.int64), torch.zeros(0, n).double(), torch.zeros(0).double())
        self._boxes = (torch.zeros(0, dtype=torch.int64), torch.zeros(0, n).double(), torch.zeros(0, n).double())

    @property
    def boxes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Class (M,), a and b (M, n) of the boxes that views are drawn from."""
        return self._boxes

    def draw(self, groups: int, views: int, generator: torch.Generator) -> Groups:
        clean = round(groups * self.clean_share)
        labels, a, b = self._boxes
        hard = groups - clean - max(round(groups * self.uniform_share), 1) if len(labels) else 0
        uniform = groups - clean - hard
        parts = [self._clean.draw(clean, views, generator), self._uniform.draw(uniform, views, generator)]
        if hard:
            chosen = torch.randint(len(labels), (hard,), generator=generator)
            shape = self.context.shapes_of(labels[chosen], generator)
            u = uniform_in(a[chosen], b[chosen], views, generator)
            parts.append(Groups(shape, u, torch.zeros(hard, dtype=torch.bool)))
        # In a fixed random order, so that processes that share a step all see every kind.
        order = torch.randperm(groups, generator=generator)
        merged = [torch.cat([getattr(part, name) for part in parts])[order] for name in ("shape", "u", "exploratory")]
        return Groups(*merged)

    def observe(self, shape: Tensor, u: Tensor, score: Tensor) -> None:
        new = (shape, u.double(), score.double())
        old_shape, old_u, old_score = (
            torch.cat([old, item])[-self.recent :] for old, item in zip(self._seen, new, strict=True)
        )
        self._seen = (old_shape, old_u, old_score)

    def initial_points(self, epoch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Remembered views around which to grow boxes, drawn in proportion to 1 - f: shapes (T,) and points (T, n)."""
        shape, u, score = self._seen
        weight = (1 - score).clamp(0, 1)
        if epoch < self.start or (epoch - self.start) % self.every or not bool(weight.sum() > 0):
            return super().tasks(epoch, generator)
        count = min(self.regions, int((weight > 0).sum()))
        chosen = torch.multinomial(weight, count, generator=generator)
        return shape[chosen], self.wrap(u[chosen])

    def refresh(self, epoch: int, generator: torch.Generator) -> None:
        start, u0 = self.initial_points(epoch, generator)
        if not len(start):
            return
        space, labels = self.context.space, self.context.labels
        shape, u, score = self._seen
        f = RememberedFunction(space, labels[shape], u, score, self.width)
        box = self.finder.find(f, u0, space, labels[start])
        self.store(start, box.a, box.b)

    def wrap(self, u: Tensor) -> Tensor:
        """Points with periodic axes brought into [low, high)."""
        space = self.context.space
        low, extent = space.low, space.extent
        return torch.where(space.periodic, low + torch.remainder(u - low, extent), u)

    def store(self, shape: Tensor, a: Tensor, b: Tensor) -> None:
        if not len(shape):
            return
        whole = (self.context.space.intersected_volume(a, b) > 0) & a.isfinite().all(-1) & b.isfinite().all(-1)
        new = (self.context.labels[shape[whole]], a[whole], b[whole])
        limit = self.memory * self.regions
        labels, low, high = (torch.cat([old, item])[-limit:] for old, item in zip(self._boxes, new, strict=True))
        self._boxes = (labels, low, high)

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"seen": list(self._seen), "boxes": list(self._boxes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        shape, u, score = state["seen"]
        labels, a, b = state["boxes"]
        self._seen, self._boxes = (shape, u, score), (labels, a, b)


class RenderedRegionViews(RegionViews):
    """As :class:`RegionViews`, but each box is grown on f itself, for one training shape, by rendering.

    Every evaluation of the finder counts as a rendered image, so a round has few boxes.

    Args:
        clean_share, uniform_share, finder, num_iterations, regions, start, every, memory, recent: as there.
    """

    def __init__(
        self,
        clean_share: float = 0.1875,
        uniform_share: float = 0.4375,
        finder: str = "naive",
        num_iterations: int = 6,
        regions: int = 16,
        start: int = 2,
        every: int = 3,
        memory: int = 2,
        recent: int = 1024,
    ) -> None:
        super().__init__(clean_share, uniform_share, finder, num_iterations, regions, start, every, memory, recent)

    @property
    def name(self) -> str:
        return "rendered_regions"

    @property
    def points_per_call(self) -> int:
        corner = self.context.space.low[None]
        return self.finder.points(corner, corner).shape[1]

    @property
    def largest_cost(self) -> int:
        gradients = 2 if self.finder.needs_gradient else 1
        return gradients * self.points_per_call * self.finder.num_iterations * self.regions

    def refresh(self, epoch: int, generator: torch.Generator) -> None:
        """Do nothing: :meth:`tasks` says which boxes to grow."""

    def tasks(self, epoch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.initial_points(epoch, generator)

    def grow(self, f: SemanticFunction, u0: Tensor) -> Box:
        return self.finder.find(f, u0, self.context.space)
