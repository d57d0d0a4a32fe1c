"""Where training views come from: a sampler for each way to train.

A sampler draws groups: one shape and several views of it. Everything random comes from the generator of the call, which
the trainer derives from (seed, epoch, step), so a sampler's state is only what it has learnt. Shapes: G groups, V views
a group, n axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.evaluation.suite import FINDERS
from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.functions import SemanticFunction
from lightning_semrob.functions.remembered import RememberedFunction
from lightning_semrob.space import Box, SemanticSpace

__all__ = [
    "CleanViews",
    "Groups",
    "RegionViews",
    "RenderedRegionViews",
    "UniformViews",
    "ViewContext",
    "ViewSampler",
    "WorstOfKViews",
]


@dataclass(frozen=True)
class ViewContext:
    """What a sampler draws from.

    Args:
        space: the swept axes.
        clean: bounds of the clean views, (2, n) float64 in the units of the axes; a periodic axis may be unwrapped.
        labels: (S,) int64 class of each training shape; every class 0..C-1 has a shape.
    """

    space: SemanticSpace
    clean: Tensor
    labels: Tensor

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    def shapes_of(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """A random training shape of each class, (G,) int64."""
        scores = torch.rand(len(classes), len(self.labels), generator=generator)
        return scores.masked_fill(self.labels[None] != classes[:, None], -1.0).argmax(1)


@dataclass(frozen=True)
class Groups:
    """Groups of views to render.

    Args:
        shape: (G,) int64 training shape.
        u: (G, V * candidates, n) float64 views in the units of the axes; candidates of one view follow each other.
        exploratory: (G,) bool, whether the views are uniform over the space.
    """

    shape: Tensor
    u: Tensor
    exploratory: Tensor


def _uniform_in(low: Tensor, high: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Uniform points of boxes low, high (..., n): (..., count, n)."""
    x = torch.rand(*low.shape[:-1], count, low.shape[-1], generator=generator, dtype=torch.float64)
    return low[..., None, :] + x * (high - low)[..., None, :]


class ViewSampler:
    """Draws classes uniformly, then a shape of each, then views by :meth:`points`.

    Attributes:
        candidates: images rendered for each one that is trained on: the one with the largest loss.
        context: set by :meth:`bind`.
    """

    candidates: int = 1
    context: ViewContext

    def bind(self, context: ViewContext) -> None:
        """Take the space and the training shapes; called once, before a state is loaded."""
        self.context = context

    @property
    def points_per_call(self) -> int:
        """Points that :meth:`grow` asks f for at a time."""
        return 1

    @property
    def largest_cost(self) -> int:
        """Most evaluations of f that the regions of an epoch may need."""
        return 0

    def points(self, groups: int, count: int, generator: torch.Generator) -> Tensor:
        """Views of each group, (groups, count, n)."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """A short name for files and tables."""
        return type(self).__name__.removesuffix("Views").lower()

    @property
    def explores(self) -> bool:
        """Whether all views are uniform over the space."""
        return False

    def draw(self, groups: int, views: int, generator: torch.Generator) -> Groups:
        """``groups`` shapes with ``views`` views (times ``candidates``) each."""
        classes = torch.randint(self.context.num_classes, (groups,), generator=generator)
        shape = self.context.shapes_of(classes, generator)
        u = self.points(groups, views * self.candidates, generator)
        return Groups(shape, u, torch.full((groups,), self.explores))

    def observe(self, shape: Tensor, u: Tensor, score: Tensor) -> None:
        """Training showed f = ``score`` (B,) on shapes (B,) at uniform views u (B, n); most samplers learn nothing."""

    def refresh(self, epoch: int, generator: torch.Generator) -> None:
        """Make up its mind before an epoch, from what was observed and without a rendering; most have nothing to."""

    def tasks(self, epoch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where regions are to be grown by rendering before an epoch: shapes (T,), points (T, n); most want none."""
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, len(self.context.space), dtype=torch.float64)

    def grow(self, f: SemanticFunction, u0: Tensor) -> Box:
        """The region around one initial point u0 (1, n) of a task."""
        raise NotImplementedError

    def store(self, shape: Tensor, a: Tensor, b: Tensor) -> None:
        """Take the regions (T, n) that were grown for the tasks."""

    def state_dict(self) -> dict[str, Any]:
        """What was learnt, for a checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state of :meth:`state_dict`."""


class CleanViews(ViewSampler):
    """Views as photographs are taken: uniform in the clean window of the data, say from the front."""

    def points(self, groups: int, count: int, generator: torch.Generator) -> Tensor:
        low, high = self.context.clean
        return _uniform_in(low.expand(groups, -1), high.expand(groups, -1), count, generator)


class UniformViews(ViewSampler):
    """Views uniform over the space."""

    @property
    def explores(self) -> bool:
        return True

    def points(self, groups: int, count: int, generator: torch.Generator) -> Tensor:
        space = self.context.space
        return _uniform_in(space.low.expand(groups, -1), space.high.expand(groups, -1), count, generator)


class WorstOfKViews(UniformViews):
    """The worst of k uniform views: k are rendered, the one with the largest loss is trained on.

    Args:
        k: candidates of each view, at least 2.
    """

    def __init__(self, k: int = 4) -> None:
        if k < 2:
            raise ValueError(f"worst of k needs k of at least 2, got {k}; UniformViews is k = 1")
        self.candidates = k

    @property
    def name(self) -> str:
        return f"worst_of_{self.candidates}"


class RegionViews(ViewSampler):
    """Views from adversarial regions: boxes in which the network fails, grown by a finder on 1 - f (Eq. 4).

    A step has a share of clean views, a share of uniform ones, and the rest from the boxes. What the network makes of
    the uniform views of earlier steps is remembered. Before every ``every``-th epoch initial points are drawn from
    these in proportion to 1 - f, and the finder grows a box around each, where f is the mean of the remembered scores
    of the class around u (:class:`~lightning_semrob.functions.remembered.RememberedFunction`). So boxes cost no image.
    A box counts for all shapes of its class, and all boxes of the last ``memory`` rounds are drawn from alike.

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

    def points(self, groups: int, count: int, generator: torch.Generator) -> Tensor:
        return self._uniform.points(groups, count, generator)

    def draw(self, groups: int, views: int, generator: torch.Generator) -> Groups:
        clean = round(groups * self.clean_share)
        labels, a, b = self._boxes
        hard = groups - clean - max(round(groups * self.uniform_share), 1) if len(labels) else 0
        uniform = groups - clean - hard
        parts = [self._clean.draw(clean, views, generator), self._uniform.draw(uniform, views, generator)]
        if hard:
            chosen = torch.randint(len(labels), (hard,), generator=generator)
            shape = self.context.shapes_of(labels[chosen], generator)
            u = _uniform_in(a[chosen], b[chosen], views, generator)
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
        """Remembered views to grow boxes from, in proportion to 1 - f: shapes (T,) and points (T, n)."""
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

    def state_dict(self) -> dict[str, Any]:
        return {"seen": list(self._seen), "boxes": list(self._boxes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        shape, u, score = state["seen"]
        labels, a, b = state["boxes"]
        self._seen, self._boxes = (shape, u, score), (labels, a, b)


class RenderedRegionViews(RegionViews):
    """As :class:`RegionViews`, with boxes grown on f itself: one training shape each, rendered anew.

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
        """Nothing: :meth:`tasks` says what is to be grown."""

    def tasks(self, epoch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.initial_points(epoch, generator)

    def grow(self, f: SemanticFunction, u0: Tensor) -> Box:
        return self.finder.find(f, u0, self.context.space)
