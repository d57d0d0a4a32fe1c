"""The two ways to run the paper's finders: to the letter, and in unit space with guards."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from lightning_semrob.finders.optimizers import AdaptiveBoundSGD
from lightning_semrob.finders.statuses import COLLAPSED, CONVERGED, EDGE, INVALID_SCORE, ITERATION_LIMIT, RUNNING
from lightning_semrob.functional.regions import cross_sections
from lightning_semrob.space import SemanticSpace

#: A bound is at rest when it moves less than this in a step (unit space); three such steps end a run.
REST_MOVE = 1e-3
REST_STEPS = 3
#: A box with an axis narrower than this (unit space) has collapsed.
COLLAPSED_WIDTH = 1e-3


class PaperMode:
    """Algorithms 1 and 2 of the paper to the letter: physical units, fixed step, no projection.

    T = 600 (the authors' traces; the text says 800 and 500), eta = 0.1, eps = 1e-5. A run ends early only when its
    bounds are no longer finite; the bounds are returned as they are, inverted ones too.

    Another mode is a subclass that overrides what it does otherwise. Shapes: R rows, n axes, P points.
    """

    num_iterations = 600
    #: Updates of a run on the maps of the paper's authors (benchmarks/paper_replay.py).
    typical_steps = 600
    learning_rate = 0.1
    half_width = 1e-5

    def start(self, u0: Tensor, space: SemanticSpace) -> tuple[Tensor, Tensor]:
        """First bounds around u0 (R, n)."""
        return u0 - self.half_width, u0 + self.half_width

    def optimizer(self, parameters: list[Tensor], space: SemanticSpace) -> Optimizer:
        """The optimizer of the bounds."""
        return SGD(parameters, lr=self.learning_rate)

    def points(self, points: Tensor, space: SemanticSpace) -> Tensor:
        """Where f is evaluated instead of at ``points`` (R, P, n)."""
        return points

    def coordinates(
        self, a: Tensor, b: Tensor, gradients: Tensor | None, space: SemanticSpace
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Bounds and gradients in the coordinates in which directions are computed."""
        return a, b, gradients

    def scale(self, grad_a: Tensor, grad_b: Tensor, r: Tensor, lam: float) -> tuple[Tensor, Tensor]:
        """What goes to ``a.grad`` and ``b.grad``: face integrals, scaled, with the size penalty of weight lam."""
        return (grad_a - lam * r, grad_b + lam * r) if lam else (grad_a, grad_b)

    def settle(self, a: Tensor, b: Tensor, u0: Tensor, space: SemanticSpace) -> tuple[Tensor, Tensor]:
        """Bounds after a step."""
        return a, b

    def status(self, a: Tensor, b: Tensor, resting: Tensor, steps: Tensor, limit: int, space: SemanticSpace) -> Tensor:
        """Status codes (R,) after a step; ``resting`` counts the last steps without a move."""
        finite = (a.isfinite() & b.isfinite()).all(-1)
        narrow = ((b - a) / space.extent.to(a) < COLLAPSED_WIDTH).any(-1)
        last = torch.where(resting >= REST_STEPS, CONVERGED, ITERATION_LIMIT)
        last = torch.where(narrow, COLLAPSED, last)
        return torch.where(finite, torch.where(steps >= limit, last, RUNNING), INVALID_SCORE)


class DefaultMode(PaperMode):
    """Unit space, steps that do not vanish with the width, projection, convergence (docs/finders.md, "Two modes").

    Integrals over a face are divided by its area, the cross section ``prod_{i != k} r_i``. It is positive, so the
    zeros stay. The size penalty ``lam * r_k`` becomes ``lam * prod_{i != k} r_i`` before that division. Points beyond
    the space are evaluated on its edge; periodic axes wrap.
    """

    num_iterations = 60
    typical_steps = 22
    half_width = 0.005

    def start(self, u0: Tensor, space: SemanticSpace) -> tuple[Tensor, Tensor]:
        half = self.half_width * space.extent.to(u0)
        return space.project(u0 - half, u0 + half, u0)

    def optimizer(self, parameters: list[Tensor], space: SemanticSpace) -> Optimizer:
        return AdaptiveBoundSGD(parameters, space.extent)

    def points(self, points: Tensor, space: SemanticSpace) -> Tensor:
        clipped = torch.minimum(torch.maximum(points, space.low.to(points)), space.high.to(points))
        return torch.where(space.periodic.to(points.device), points, clipped)

    def coordinates(
        self, a: Tensor, b: Tensor, gradients: Tensor | None, space: SemanticSpace
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        slopes = None if gradients is None else gradients * space.extent.to(gradients)
        return space.to_unit(a), space.to_unit(b), slopes

    def scale(self, grad_a: Tensor, grad_b: Tensor, r: Tensor, lam: float) -> tuple[Tensor, Tensor]:
        section = cross_sections(r)
        return grad_a / section - lam, grad_b / section + lam

    def settle(self, a: Tensor, b: Tensor, u0: Tensor, space: SemanticSpace) -> tuple[Tensor, Tensor]:
        return space.project(a, b, u0)

    def status(self, a: Tensor, b: Tensor, resting: Tensor, steps: Tensor, limit: int, space: SemanticSpace) -> Tensor:
        narrow = ((b - a) / space.extent.to(a) < COLLAPSED_WIDTH).any(-1)
        tolerance = 1e-9 * space.extent.to(a)
        low, high, extent = space.low.to(a), space.high.to(a), space.extent.to(a)
        edges = (a <= low + tolerance) | (b >= high - tolerance)
        touches = torch.where(space.periodic.to(a.device), b - a >= extent - tolerance, edges)
        rests = torch.where(touches.any(-1), EDGE, CONVERGED)
        code = torch.where(resting >= REST_STEPS, rests, RUNNING)
        code = torch.where((code == RUNNING) & (steps >= limit), ITERATION_LIMIT, code)
        return torch.where(narrow, COLLAPSED, code)


#: Modes by name.
MODES: dict[str, type[PaperMode]] = {"default": DefaultMode, "paper": PaperMode}
