"""The search behind the verified finder: only boxes that passed an independent verification are returned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_semrob.finders.verified.faces import FaceGrowth
from lightning_semrob.finders.verified.surrogate import Candidate, Growth, SurrogateGrowth
from lightning_semrob.functional.betting import (
    ControlVariate,
    Eq2Bounds,
    eq2_bounds,
    eq2_evidence,
    eq2_start,
    eq2_update,
    eq2_verdict,
)
from lightning_semrob.functions import SemanticFunction, evaluate_rows
from lightning_semrob.space import Box, SemanticSpace
from lightning_semrob.utilities.random import row_generator

# What the mixture of bets pays, in nats, before its evidence grows in proportion to the samples.
_REGRET = 1.5
# Errors of the interpolant to be expected, of the mean and as a fraction of eps_v: a failed attempt's estimate of them
# is trusted as far as its own standard error is smaller.
_ERROR = (0.006, 0.08)
_BATCH = 60
_VERIFYING = 1  # purpose of the random streams; those that describe a box have none
# Where the first of three attempts would ask for margins over this part of eps_m or eps_v, there is one attempt with
# all of the error.
_SEVERAL = 1 / 3


@dataclass(frozen=True)
class Attempt:
    """One attempt at verification.

    ``share`` of 1 - confidence that it may spend; ``part`` of the samples left in which it should succeed, and ``most``
    that it may use.
    """

    share: float
    part: float
    most: float

    def margins(self, level: float, left: int, eps_v: float, noise: float) -> tuple[float, float]:
        """By how much a box must clear 1 - eps_m and eps_v to be verified at this level with ``left`` samples.

        A hole of mass p, f = 0 in it, can only be excluded with evidence / p samples. So the margins are those that the
        samples at hand can tell from zero: p in the mean, about 0.85 p in the variance. Without a surrogate the noise
        of f itself asks for more: evidence grows by margin^2 / (2 noise) a sample.
        """
        evidence, samples = _REGRET - math.log(level), self.part * left
        hole = evidence / samples
        above = max(hole, math.sqrt(2 * evidence * noise / samples)) + _ERROR[0] / 2
        below = max(0.85 * hole, math.sqrt(2 * evidence * 0.7 * noise / samples)) + _ERROR[1] / 4 * eps_v
        return above, below


_ONE = (Attempt(1.0, 0.75, 1.0),)
_THREE = (Attempt(0.75, 0.4, 0.5), Attempt(0.2, 0.5, 0.75), Attempt(0.05, 0.75, 1.0))


def attempts(budget: int, alpha: float, eps_m: float, eps_v: float, noise: float) -> tuple[Attempt, ...]:
    """The attempts that a budget of verification samples pays for, fixed before any sample is drawn.

    Three, unless the first would ask for margins over a third of eps_m or eps_v: then one, with all of the error alpha.
    """
    above, below = _THREE[0].margins(alpha * _THREE[0].share, budget, eps_v, noise)
    return _THREE if above <= _SEVERAL * eps_m and below <= _SEVERAL * eps_v else _ONE


class Reach(NamedTuple):
    """What an attempt asks of a box: mean of f at least ``mean``, variance at most ``variance``, as growing believes.

    ``level`` is the error that it may spend, ``samples`` what it may use at most. No box has a ``mean`` above 1 or a
    ``variance`` below 0.
    """

    level: float
    samples: int
    mean: float
    variance: float


class VerifiedRun:
    """One row: growing, then attempts at verification, each with fresh samples and its share of the error.

    ``propose`` gives the points (P, n) to evaluate next, none where the run is over, and ``update`` takes their scores.
    ``spent`` counts the evaluations for verifying.
    """

    def __init__(self, growth: Growth, generator: torch.Generator, alpha: float, budget: int) -> None:
        self.growth = growth
        self.generator = generator
        self.alpha = alpha
        self.budget = budget
        self.spent = 0
        self.steps = 0
        self.attempt = -1
        self.deficit = [0.0, 0.0]
        self.noise = 0.0 if growth.predicts else growth.eps_v
        self.attempts = attempts(budget, alpha, growth.eps_m, growth.eps_v, self.noise)
        self.level = 0.0
        self.candidate: Candidate | None = None
        self.status = "growing"
        self._cells = torch.zeros(0)
        self._scores: list[Tensor] = []
        self._predicted: list[Tensor] = []
        self._pending = growth.propose()
        if len(self._pending) == 0:  # the budget does not pay for one round of growing
            self._stop("collapsed")

    @property
    def scores(self) -> Tensor:
        """f at the verification samples of the last attempt."""
        return torch.cat(self._scores) if self._scores else torch.zeros(0, dtype=torch.float64)

    def bounds(self) -> Eq2Bounds:
        """What the tests of the last attempt say about mean and variance, at the error that it may spend."""
        growth, predicted = self.growth, torch.cat(self._predicted)[None]
        return eq2_bounds(
            self.scores[None], growth.eps_m, growth.eps_v, self.level, ControlVariate(predicted, *self.moments)
        )

    @property
    def over(self) -> bool:
        return self.status not in ("growing", "verifying")

    def propose(self) -> Tensor:
        return self._pending

    def update(self, scores: Tensor) -> None:
        self.steps += 1
        if not bool(scores.isfinite().all()):
            self._stop("invalid_score")
        elif self.status == "growing":
            self.growth.update(scores)
            self._pending = self.growth.propose()
            if len(self._pending) == 0:
                self.status = "verifying"
                self._next_attempt()
        else:
            self._verify(scores)

    def _stop(self, status: str) -> None:
        self.status = status
        self._pending = self._pending[:0]

    def _next_attempt(self) -> None:
        growth = self.growth
        self.attempt += 1
        if self.attempt == len(self.attempts) or self.spent + 2 * _BATCH > self.budget:
            return self._stop("collapsed")
        attempt, left = self.attempts[self.attempt], self.budget - self.spent
        self.level += self.alpha * attempt.share  # with that of attempts that had no box to try
        self.limit = int(attempt.most * left)
        above, below = attempt.margins(self.level, left, growth.eps_v, self.noise)
        eps_m, eps_v = growth.eps_m - above - self.deficit[0], growth.eps_v - below - self.deficit[1]
        self.candidate = growth.candidate(eps_m, eps_v) if eps_m > 0 and eps_v > 0 else None
        if self.candidate is None:
            return self._next_attempt()
        self.test = eq2_start(1, growth.eps_m, growth.eps_v)
        self._scores, self._predicted = [], []
        g = self.candidate.surrogate
        self.moments = [g.mean()[None], g.square().mean()[None], g.amin()[None], g.amax()[None]]
        self._draw(min(_BATCH, self.limit // 2 * 2))

    def _draw(self, count: int) -> None:
        assert self.candidate is not None
        a, b, g = self.candidate.a, self.candidate.b, self.candidate.surrogate
        x = torch.rand(count, len(a), generator=self.generator, dtype=torch.float64)
        size = torch.tensor(g.shape)
        cells = torch.minimum((x * size).long(), size - 1)
        self._cells = g[tuple(cells.unbind(-1))]
        self._pending = a + x * (b - a)

    def _verify(self, f: Tensor) -> None:
        assert self.candidate is not None
        growth = self.growth
        self.spent += len(f)
        self._scores.append(f)
        self._predicted.append(self._cells)
        g = ControlVariate(self._cells[None], *self.moments)
        self.test = eq2_update(self.test, f[None], growth.eps_m, growth.eps_v, g)
        if int(eq2_verdict(self.test, self.level)) == 1:
            self._stop("verified")
            return
        used = sum(len(part) for part in self._scores)
        evidence = float(eq2_evidence(self.test)[0])
        needed = -math.log(self.level)
        left = (self.limit - used) // 2 * 2
        hopeless = used >= 4 * _BATCH and (evidence + _REGRET) * (used + left) / used < 0.8 * (needed + _REGRET)
        if left < 2 or hopeless or int(eq2_verdict(self.test, 0.1)) == -1:
            self._learn()
            self.level = 0.0
            self._next_attempt()
        else:
            self._draw(min(_BATCH, left))

    def _learn(self) -> None:
        """By how much the surrogate was wrong in the box that was given up."""
        assert self.candidate is not None
        f, g, cells = torch.cat(self._scores), torch.cat(self._predicted), self.candidate.surrogate
        mean = float(cells.mean() + (f - g).mean())
        excess = (f - mean).square() - (g - mean).square()
        variance = float((cells - mean).square().mean() + excess.mean())
        found = (self.candidate.mean - mean, variance - self.candidate.variance)
        noise = (float((f - g).var()) / len(f), float(excess.var()) / len(f))
        expected = (_ERROR[0], _ERROR[1] * self.growth.eps_v)
        for k in range(2):
            self.deficit[k] = max(self.deficit[k], found[k] / (1 + noise[k] / expected[k] ** 2))


class VerifiedSearch:
    """Grows the largest box around u0 with mean f >= 1 - eps_m and variance <= eps_v, and verifies it.

    Growing uses samples inside and on the faces (:mod:`lightning_semrob.finders.verified.surrogate`). Verification
    draws fresh independent uniform samples in the box and bets against "Eq. 2 does not hold"
    (:mod:`lightning_semrob.functional.betting`), with the interpolant of the growing as a control variate. A box
    that cannot be verified is given up for a smaller one; all attempts of a run share its error 1 - confidence. So with
    probability >= confidence a run does not return a box that violates Eq. 2. Rows are independent of each other.

    Args:
        eps_m: the mean of f over the region must reach 1 - eps_m.
        eps_v: the variance of f over the region must not exceed it.
        confidence: of the statement about each run.
        runs: number of runs that the confidence holds for together (Bonferroni); 1 for each run alone.
        growth_evaluations: evaluations for growing a box; None for 1150 up to n = 2 and 2000 n beyond.
        verification_evaluations: largest number of evaluations for verifying; None for 1800 up to n = 2, else 5000.
        seed: of the verification samples; with ``index`` and u0 it fixes the numbers of a row.
    """

    def __init__(
        self,
        eps_m: float = 0.3,
        eps_v: float = 0.05,
        confidence: float = 0.95,
        runs: int = 1,
        growth_evaluations: int | None = None,
        verification_evaluations: int | None = None,
        seed: int = 0,
    ) -> None:
        eq2_start(1, eps_m, eps_v)  # raises on thresholds that cannot be met
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
        if runs < 1:
            raise ValueError(f"runs must be at least 1, got {runs}")
        for name, value in (("growth", growth_evaluations), ("verification", verification_evaluations)):
            if value is not None and value < 1:
                raise ValueError(f"{name}_evaluations must be at least 1, got {value}")
        self.eps_m = eps_m
        self.eps_v = eps_v
        self.confidence = confidence
        self.runs = runs
        self.growth_evaluations = growth_evaluations
        self.verification_evaluations = verification_evaluations
        self.seed = seed

    def budget(self, n: int) -> tuple[int, int]:
        """Largest numbers of evaluations for growing and for verifying a box of n axes."""
        growing = self.growth_evaluations or (1150 if n <= 2 else 2000 * n)
        return growing, self.verification_evaluations or (1800 if n <= 2 else 5000)

    def reach(self, n: int) -> list[Reach]:
        """What each attempt asks of a box of n axes, were those before it to use all that they may."""
        left, alpha = self.budget(n)[1], (1 - self.confidence) / self.runs
        noise = 0.0 if self.growth(n).predicts else self.eps_v
        found = []
        for attempt in attempts(left, alpha, self.eps_m, self.eps_v, noise):
            above, below = attempt.margins(alpha * attempt.share, left, self.eps_v, noise)
            samples = int(attempt.most * left)
            found.append(Reach(alpha * attempt.share, samples, 1 - self.eps_m + above, self.eps_v - below))
            left -= samples
        return found

    @staticmethod
    def growth(n: int) -> type[Growth]:
        """How boxes of n axes are grown."""
        return SurrogateGrowth if n <= 2 else FaceGrowth

    def start(
        self, u0: Tensor, space: SemanticSpace, index: Tensor | None = None, seed: int | None = None
    ) -> list[VerifiedRun]:
        """K runs from u0 (K, n), before any evaluation; ``index`` (K,) names their rows of f.

        ``seed`` replaces that of the search.
        """
        u0 = u0.detach().double().cpu()
        space.validate(u0)
        index = torch.zeros(len(u0), dtype=torch.int64) if index is None else index
        growing, verifying = self.budget(len(space))
        kind, seed = self.growth(len(space)), self.seed if seed is None else seed
        alpha, runs = (1 - self.confidence) / self.runs, []
        for u, row in zip(u0, index.tolist(), strict=True):
            growth = kind(u, space, self.eps_m, self.eps_v, growing)
            runs.append(VerifiedRun(growth, row_generator(seed, row, u, _VERIFYING), alpha, verifying))
        return runs

    def run(self, f: SemanticFunction, runs: Sequence[VerifiedRun], index: Tensor) -> Box:
        """Evaluate f wherever runs ask for it, until all are over."""
        while not all(run.over for run in runs):
            scores, _ = evaluate_rows(f, [run.propose() for run in runs], index)
            for run, score in zip(runs, scores, strict=True):
                if not run.over:
                    run.update(score)
        return self.result(runs)

    def result(self, runs: Sequence[VerifiedRun]) -> Box:
        """The boxes: ``verified``, or collapsed to u0 (``collapsed``, or ``invalid_score`` where f was not finite)."""
        a = torch.stack([run.growth.u0 for run in runs])
        b = a.clone()
        for row, run in enumerate(runs):
            if run.status == "verified" and run.candidate is not None:
                a[row], b[row] = run.candidate.a, run.candidate.b
        steps = torch.tensor([run.steps for run in runs])
        cost = torch.tensor([run.growth.evaluations + run.spent for run in runs])
        return Box(a, b, [run.status for run in runs], steps, cost, torch.zeros_like(cost))

    def find(self, f: SemanticFunction, u0: Tensor, space: SemanticSpace, index: Tensor | None = None) -> Box:
        """Verified boxes around u0 (K, n), ValueError outside the space; ``index`` (K,) names their rows of f."""
        index = torch.zeros(len(u0), dtype=torch.int64) if index is None else index
        return self.run(f, self.start(u0, space, index), index)
