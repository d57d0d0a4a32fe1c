"""Samplers of training views: one for each way to train.

A sampler draws groups: one shape and several views of it. Everything random comes from the generator of the call, which
the trainer derives from (seed, epoch, step), so the only state of a sampler is what it has learnt. Shapes: G groups, V
views a group, n axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.functions import SemanticFunction
from lightning_semrob.space import Box, SemanticSpace


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


def uniform_in(low: Tensor, high: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Uniform points of boxes low, high (..., n): (..., count, n)."""
    x = torch.rand(*low.shape[:-1], count, low.shape[-1], generator=generator, dtype=torch.float64)
    return low[..., None, :] + x * (high - low)[..., None, :]


def clean_bounds(space: SemanticSpace, clean: Mapping[str, Sequence[float]]) -> Tensor:
    """Bounds of the clean views, (2, n) float64.

    Raises:
        ValueError: an axis that the space does not sweep, or a range outside it.
    """
    unknown = sorted(set(clean) - set(space.names))
    if unknown:
        raise ValueError(f"data.clean names {unknown}, which the space {space.names} does not sweep")
    bounds = []
    for axis in space:
        low, high = (float(x) for x in clean.get(axis.name, (axis.low, axis.high)))
        outside = not axis.periodic and (low < axis.low or high > axis.high)
        if low >= high or high - low > axis.extent or outside:
            raise ValueError(
                f"data.clean: {axis.name} [{low:g}, {high:g}] is no range in [{axis.low:g}, {axis.high:g}]"
            )
        bounds.append((low, high))
    return torch.tensor(bounds, dtype=torch.float64).T.contiguous()


class ViewSampler:
    """Draws classes uniformly, then a shape of each, then views by :meth:`points`.

    Attributes:
        candidates: images rendered for each view; the one with the largest loss is trained on.
        observes_all: whether :meth:`observe` is told about every trained view, or only about uniform ones.
        context: set by :meth:`bind`.
    """

    candidates: int = 1
    observes_all: bool = False
    context: ViewContext

    def bind(self, context: ViewContext) -> None:
        """Take the space and the training shapes; called once, before a state is loaded."""
        self.context = context

    @property
    def points_per_call(self) -> int:
        """Number of points at which :meth:`grow` asks for f in one call."""
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
        """Learn that f was ``score`` (B,) on shapes (B,) at views u (B, n); most samplers ignore it."""

    def refresh(self, epoch: int, generator: torch.Generator) -> None:
        """Choose views before an epoch from what was observed, without rendering; most samplers do nothing."""

    def plan(self, epoch: int, epochs: int, views: int, generator: torch.Generator) -> None:
        """Choose the ``views`` trained views of an epoch of ``epochs``; most samplers choose in each step instead."""

    def tasks(self, epoch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where to grow regions by rendering before an epoch: shapes (T,), points (T, n); most samplers want none."""
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, len(self.context.space), dtype=torch.float64)

    def grow(self, f: SemanticFunction, u0: Tensor) -> Box:
        """The region around one initial point u0 (1, n) of a task."""
        raise NotImplementedError

    def store(self, shape: Tensor, a: Tensor, b: Tensor) -> None:
        """Take the regions (T, n) grown for the tasks."""

    def state_dict(self) -> Mapping[str, Sequence[Any]]:
        """What was learnt, for a checkpoint: tensors and lists of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state of :meth:`state_dict`."""


class CleanViews(ViewSampler):
    """Views from which photographs are taken, such as the front: uniform in the clean window of the data."""

    def points(self, groups: int, count: int, generator: torch.Generator) -> Tensor:
        low, high = self.context.clean
        return uniform_in(low.expand(groups, -1), high.expand(groups, -1), count, generator)


class UniformViews(ViewSampler):
    """Views uniform over the space."""

    @property
    def explores(self) -> bool:
        return True

    def points(self, groups: int, count: int, generator: torch.Generator) -> Tensor:
        space = self.context.space
        return uniform_in(space.low.expand(groups, -1), space.high.expand(groups, -1), count, generator)


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
