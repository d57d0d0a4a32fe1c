"""Trained networks at many views of every held-out shape: failures, mean and the bad end, and who is better by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.functional.tails import low_quantile, swap_p_value, worst_regions
from lightning_semrob.functional.uncertainty import class_mean, holm, paired_difference
from lightning_semrob.trust.mapper import TrustSettings
from lightning_semrob.utilities.record import Record


@dataclass(frozen=True, eq=False)
class ViewStatistics(Record):
    """How a network scores views of the held-out shapes.

    Attributes:
        score: mean of f over the space and the shapes.
        worst_score: mean over the shapes of the smallest f.
        accuracy, accuracy_clean: over the space, and on clean views.
        low_score: 5 % quantile of f over all views of all shapes.
        worst_regions: mean f of the worst tenth of all pairs of a class and a region of the space.
        accuracy_real: on held-out real images, None if there are none.
    """

    score: float
    worst_score: float
    accuracy: float
    accuracy_clean: float
    low_score: float
    worst_regions: float
    accuracy_real: float | None = None

    @property
    def failures(self) -> float:
        """Share of wrong answers over the space."""
        return 1 - self.accuracy


@dataclass(frozen=True, eq=False)
class Gain(Record):
    """A measure of two runs on the same shapes.

    Attributes:
        measure: what, in words.
        before, after: values of the two runs.
        low, high: 95 % interval of after minus before over new shapes; NaN for a quantile and the worst regions, which
            are no means over shapes.
        p_value: of the sign-flip test over shapes; ``p_holm`` the same corrected for the measures of one table.
        shapes: compared.
    """

    measure: str
    before: float
    after: float
    low: float
    high: float
    p_value: float
    shapes: int
    p_holm: float = math.nan

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True)
class DenseViews:
    """Scores of N runs at the same V views of S shapes.

    Attributes:
        names: of the runs.
        classes: (S,) int64 class of each shape.
        regions: (V,) int64 region of each view: the tiles of the coarse trust map of the space.
        score, hit: f and right answers, (N, S, V) float64.
        clean_hit: right answers at a quarter as many clean views, (N, S, V // 4).
    """

    names: list[str]
    classes: Tensor
    regions: Tensor
    score: Tensor
    hit: Tensor
    clean_hit: Tensor

    @property
    def tails(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The two measures that are no means over shapes, as functions of scores (..., S, V)."""
        regions = partial(worst_regions, classes=self.classes, regions=self.regions)
        return {"low_score": low_quantile, "worst_regions": regions}

    def statistics(self) -> dict[str, ViewStatistics]:
        """Of each run, by its name."""
        columns = [
            self.score.mean((1, 2)),
            self.score.amin(2).mean(1),
            self.hit.mean((1, 2)),
            self.clean_hit.mean((1, 2)),
            *(tail(self.score) for tail in self.tails.values()),
        ]
        rows = torch.stack(columns, 1).tolist()
        return {name: ViewStatistics(*row) for name, row in zip(self.names, rows, strict=True)}

    def gains(self, before: str, after: str, resamples: int = 2000) -> list[Gain]:
        """Failures, mean, 5 % quantile and worst tenth of regions, paired by shape; not corrected yet."""
        rows = [self.names.index(before), self.names.index(after)]
        score, failure = self.score[rows], (1 - self.hit[rows]).mean(2)
        found = [
            compare_shape_means("top-1 failures", failure[0], failure[1], self.classes),
            compare_shape_means("mean f", score[0].mean(1), score[1].mean(1), self.classes),
        ]
        for words, tail in zip(("5 % quantile of f", "worst tenth of regions"), self.tails.values(), strict=True):
            first, second = (float(tail(part)) for part in score)
            p_value = swap_p_value(score[:1], score[1:], tail, resamples)
            found.append(Gain(words, first, second, math.nan, math.nan, p_value, len(self.classes)))
        return found


def compare_shape_means(measure: str, before: Tensor, after: Tensor, classes: Tensor) -> Gain:
    """A measure that each shape has, (S,) in [0, 1], NaN where it is missing; the means are those over classes."""
    found = paired_difference(after, before, classes)
    known = ~(before + after).isnan()
    first, second = (float(class_mean(part[known], classes[known])) for part in (before, after))
    return Gain(measure, first, second, found.low, found.high, found.p_value, found.shapes)


def correct(gains: Sequence[Gain]) -> list[Gain]:
    """The same with ``p_holm``, corrected for their number."""
    return [replace(gain, p_holm=p) for gain, p in zip(gains, holm([gain.p_value for gain in gains]), strict=True)]


def look_at(environment: SemanticEnvironment, names: Sequence[str], clean: Tensor, views: int) -> DenseViews:
    """Score each network of an environment on Sobol views of every shape, by the f that is evaluated.

    Args:
        environment: set up; its networks are called ``names``.
        clean: bounds of the clean views, (2, n).
        views: uniform views of each shape; of clean ones a quarter as many are looked at, at least one.
    """
    space, (low, high) = environment.space, clean
    x = torch.quasirandom.SobolEngine(len(space), scramble=True, seed=environment.seed).draw(views, dtype=torch.float64)
    front = low + x[: max(views // 4, 1)] * (high - low)
    points = torch.cat([space.from_unit(x), front])[None]
    found = torch.zeros(2, len(names), len(environment.shapes), points.shape[1], dtype=torch.float64)
    for shape in range(len(environment.shapes)):
        for number in range(len(names)):
            for part, values in zip(found, environment.function(number, shape).scores_and_hits(points), strict=True):
                part[number, shape] = values[0]
    size = TrustSettings().grid(space)
    cell = (x * torch.tensor(size)).long().minimum(torch.tensor(size) - 1)
    regions = torch.zeros(views, dtype=torch.int64)
    for column, count in zip(cell.T, size, strict=True):
        regions = regions * count + column
    classes = torch.tensor([environment.class_of(shape) for shape in range(len(environment.shapes))])
    score, hit = found
    return DenseViews(list(names), classes, regions, score[..., :views], hit[..., :views], hit[..., views:])
