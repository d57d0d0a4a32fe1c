"""After any finder: does the box satisfy Eq. 2? Moments, worst point and a verdict at a stated confidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.functional.betting import (
    eq2_bounds,
    eq2_start,
    eq2_update,
    eq2_verdict,
    mean_interval,
    replace_rows,
    select_rows,
)
from lightning_semrob.functions import SemanticFunction
from lightning_semrob.space import Box, SemanticSpace
from lightning_semrob.utilities.random import row_generator, stream

_BATCH = 100


class AxisDensity:
    """How often the values of one axis occur in operation: a histogram over its range.

    Args:
        weights: (m,) nonnegative weights of m equal bins of [low, high]; they are normalised.

    Raises:
        ValueError: weights that are negative, not finite or all zero.

    Examples:
        >>> AxisDensity([2, 1, 1]).cumulative(torch.tensor([1 / 3, 1.0]), periodic=False).tolist()
        [0.5, 1.0]
    """

    def __init__(self, weights: Tensor | Sequence[float]) -> None:
        weights = torch.as_tensor(weights, dtype=torch.float64)
        if weights.dim() != 1 or not bool(((weights >= 0) & weights.isfinite()).all()) or not bool(weights.sum() > 0):
            raise ValueError("a density needs a list of nonnegative weights that are not all zero")
        self.weights = weights / weights.sum()
        self._cumulative = torch.cat([torch.zeros(1).double(), self.weights.cumsum(0)])
        self._cumulative[-1] = 1.0

    def cumulative(self, x: Tensor, periodic: bool) -> Tensor:
        """Mass below x, in unit coordinates of the axis; a periodic one gains 1 with every turn."""
        turns = x.floor() if periodic else torch.zeros_like(x)
        position = (x - turns).clamp(0, 1) * len(self.weights)
        bin_index = position.floor().long().clamp_max(len(self.weights) - 1)
        return turns + self._cumulative[bin_index] + (position - bin_index) * self.weights[bin_index]

    def quantile(self, p: Tensor, periodic: bool) -> Tensor:
        """The inverse of :meth:`cumulative`, in unit coordinates."""
        turns = p.floor() if periodic else torch.zeros_like(p)
        rest = (p - turns).clamp(0, 1)
        bin_index = (torch.searchsorted(self._cumulative, rest, right=True) - 1).clamp(0, len(self.weights) - 1)
        weight = self.weights[bin_index]
        part = torch.where(weight > 0, (rest - self._cumulative[bin_index]) / weight.clamp_min(1e-300), 0.0)
        return turns + (bin_index + part.clamp(0, 1)) / len(self.weights)


Density = Sequence[AxisDensity | None]


def _masses(a: Tensor, b: Tensor, space: SemanticSpace, density: Density) -> tuple[Tensor, Tensor]:
    """Cumulative masses at the bounds, axis by axis, (..., n) each."""
    x, y = space.to_unit(a), space.to_unit(b)
    periodic = space.periodic.tolist()
    uniform = AxisDensity([1.0])
    low = [(d or uniform).cumulative(x[..., k], periodic[k]) for k, d in enumerate(density)]
    high = [(d or uniform).cumulative(y[..., k], periodic[k]) for k, d in enumerate(density)]
    return torch.stack(low, -1), torch.stack(high, -1)


def named_weights(space: SemanticSpace, density: Density | None) -> dict[str, list[float]] | None:
    """The density as plain data: axis -> weights of its bins, where it is not uniform."""
    if density is None:
        return None
    return {name: one.weights.tolist() for name, one in zip(space.names, density, strict=True) if one is not None}


def box_mass(a: Tensor, b: Tensor, space: SemanticSpace, density: Density) -> Tensor:
    """Probability (...) of boxes a, b (..., n) under independent axis densities: SRVR's volume ratio in operation."""
    low, high = _masses(a.double(), b.double(), space, density)
    return (high - low).clamp(0, 1).nan_to_num(nan=0.0).prod(-1)


def draw_views(space: SemanticSpace, count: int, seed: int, density: Density | None = None) -> Tensor:
    """Independent views of the space, (count, n) in the units of the axes: uniform, or by the density."""
    x = torch.rand(count, len(space), generator=stream(seed), dtype=torch.float64)
    return space.from_unit(x) if density is None else _quantiles(x, space, density)


def _quantiles(p: Tensor, space: SemanticSpace, density: Density) -> Tensor:
    """Points (..., n) from their cumulative masses on every axis."""
    periodic, uniform = space.periodic.tolist(), AxisDensity([1.0])
    columns = [(d or uniform).quantile(p[..., k], periodic[k]) for k, d in enumerate(density)]
    return space.from_unit(torch.stack(columns, -1))


@dataclass
class Verification:
    """What is known about K boxes; tensors (K,) float64 unless said otherwise, NaN where nothing was evaluated.

    Attributes:
        verdict: K words: ``valid``, ``invalid``, ``undecided``. Inverted and non-finite boxes are invalid; boxes
            without volume, and boxes in which f is not finite, stay undecided.
        mean, mean_low, mean_high: of f, with the bounds that the tests of the verdict give: each holds by itself with
            the stated confidence, and none contradicts the verdict.
        variance, variance_low, variance_high: likewise.
        top1, top1_low, top1_high: fraction of the box in which the target is the top-1 class, if that was asked for.
        worst_point: (K, n) the sampled point with the smallest f; worst_score: f there.
        evaluations: (K,) int64.
    """

    verdict: list[str]
    mean: Tensor
    mean_low: Tensor
    mean_high: Tensor
    variance: Tensor
    variance_low: Tensor
    variance_high: Tensor
    top1: Tensor
    top1_low: Tensor
    top1_high: Tensor
    worst_point: Tensor
    worst_score: Tensor
    evaluations: Tensor

    @property
    def valid(self) -> Tensor:
        """Rows known to satisfy Eq. 2, (K,) bool."""
        return torch.tensor([word == "valid" for word in self.verdict], dtype=torch.bool)


def verify(
    f: SemanticFunction,
    box: Box,
    space: SemanticSpace,
    index: Tensor | None = None,
    eps_m: float = 0.3,
    eps_v: float = 0.05,
    confidence: float = 0.95,
    max_evaluations: int = 1200,
    seed: int = 0,
    density: Density | None = None,
    top1: SemanticFunction | bool = False,
    runs: int = 1,
) -> Verification:
    """Sample each box independently and uniformly until Eq. 2 is decided, or the budget is spent.

    The verdict of a run is wrong with probability <= 1 - confidence, and so is each bound, although sampling stops
    at a moment that depends on the samples (:mod:`lightning_semrob.functional.betting`).

    Args:
        f: scores in [0, 1].
        box: K boxes, with bounds in the units of the axes.
        space: n axes.
        index: (K,) rows of f.
        eps_m, eps_v: Eq. 2: mean f >= 1 - eps_m and variance of f <= eps_v.
        confidence: of each run's verdict, of each bound, and of the interval of the top-1 rate.
        max_evaluations: largest number of evaluations of f for each box.
        seed: with index and the box it fixes the samples of a row, whatever else is in the batch.
        density: for each axis its density in operation or None for uniform; weighs mean and variance.
        top1: whether to measure the top-1 rate by the hits of f, which cost nothing; or a function of its own that is 1
            where the target is the top-1 class and 0 elsewhere, evaluated at the same points.
        runs: number of runs that the confidence holds for together (Bonferroni).

    Raises:
        ValueError: thresholds, confidence or budget out of range; a density that does not match the axes; f outside
            [0, 1].

    Examples:
        >>> from lightning_semrob.functions import AnalyticFunction
        >>> space = SemanticSpace.default()
        >>> f = AnalyticFunction(lambda u: torch.sigmoid(80 - u[..., 0]))  # right for azimuths below 80
        >>> low, high = torch.tensor([[0.0, 0.0]]).repeat(2, 1), torch.tensor([[70.0, 60.0], [300.0, 60.0]])
        >>> verify(f, Box(low, high), space).verdict
        ['valid', 'invalid']
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if max_evaluations < 2 or runs < 1:
        raise ValueError(f"max_evaluations must be at least 2 and runs at least 1, got {max_evaluations} and {runs}")
    if density is not None and len(density) != len(space):
        raise ValueError(f"give one density (or None) for each of the axes {space.names}, got {len(density)}")
    rows, n = box.a.shape
    a, b = box.a.detach().double().cpu(), box.b.detach().double().cpu()
    index = torch.zeros(rows, dtype=torch.int64) if index is None else index
    alpha = (1 - confidence) / runs
    test = eq2_start(rows, eps_m, eps_v)

    sound = (a.isfinite() & b.isfinite() & (a <= b)).all(-1)
    active = sound & (a < b).all(-1)
    low, high = a, b
    if density is not None:
        low, high = _masses(a.nan_to_num(), b.nan_to_num(), space, density)
        sound &= (high > low).all(-1) | ~active
        active &= sound
    verdict = ["undecided" if ok else "invalid" for ok in sound.tolist()]
    streams = [row_generator(seed, int(i), corner) for i, corner in zip(index, a, strict=True)]
    scores: list[list[Tensor]] = [[] for _ in range(rows)]
    hits: list[list[Tensor]] = [[] for _ in range(rows)]
    worst = torch.full((rows,), torch.inf, dtype=torch.float64)
    point = torch.full((rows, n), torch.nan, dtype=torch.float64)
    left = max_evaluations // 2 * 2
    while left > 0 and bool(active.any()):
        size = min(_BATCH, left)
        left -= size
        now = active.nonzero().flatten()
        x = torch.stack([torch.rand(size, n, generator=streams[k], dtype=torch.float64) for k in now.tolist()])
        u = low[now, None] + x * (high - low)[now, None]
        if density is not None:
            u = torch.minimum(torch.maximum(_quantiles(u, space, density), a[now, None]), b[now, None])
        hit: Tensor | None = None
        if top1 is True:
            value, hit = f.scores_and_hits(u, index[now])
        else:
            value = f(u, index[now])
            hit = top1(u, index[now]) if top1 else None
        smallest = value.nan_to_num(nan=-torch.inf).min(1)
        better = smallest.values < worst[now]
        worst[now] = torch.where(better, smallest.values, worst[now])
        point[now] = torch.where(better[:, None], u[torch.arange(len(now)), smallest.indices], point[now])
        part = eq2_update(select_rows(test, now), value.nan_to_num(0.0, 0.0, 0.0), eps_m, eps_v)
        decided = eq2_verdict(part, alpha).tolist()
        test = replace_rows(test, now, part)
        for j, k in enumerate(now.tolist()):
            scores[k].append(value[j])
            if hit is not None:
                hits[k].append(hit[j])
            if not bool(value[j].isfinite().all()):
                active[k] = False
            elif decided[j]:
                verdict[k] = "valid" if decided[j] > 0 else "invalid"
                active[k] = False
    worst = torch.where(worst.isfinite(), worst, torch.full_like(worst, torch.nan))
    count = torch.tensor([sum(len(part) for part in row) for row in scores], dtype=torch.int64)
    moments = _of_rows(scores, 6, lambda x: eq2_bounds(x, eps_m, eps_v, alpha))
    rates = _of_rows(hits, 3, lambda x: (x.mean(-1), *mean_interval(x, alpha)))
    columns: list[Any] = [*moments, *rates, point, worst, count]
    return Verification(verdict, *columns)


def _of_rows(samples: list[list[Tensor]], count: int, measure: Callable[[Tensor], Iterable[Tensor]]) -> list[Tensor]:
    """``measure`` of every row, ``count`` of (K,); rows with equally many samples, all finite, are measured at once."""
    result = torch.full((count, len(samples)), torch.nan, dtype=torch.float64)
    rows = [torch.cat(parts) if parts else torch.zeros(0).double() for parts in samples]
    for size in sorted({len(x) for x in rows} - {0}):
        chosen = [k for k, x in enumerate(rows) if len(x) == size and bool(x.isfinite().all())]
        if chosen:
            result[:, chosen] = torch.stack(list(measure(torch.stack([rows[k] for k in chosen]))))
    return list(result)
