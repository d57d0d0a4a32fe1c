"""What every f has: shape checks and counters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class SemanticFunction(ABC):
    """Base of all f: shape checks and counters here, values in the subclass.

    Attributes:
        names: names of the columns of u, None where they are not known.
        differentiable: whether :meth:`value_and_grad` works.
        evaluations, gradient_evaluations: points evaluated so far, forward and backward. A gradient evaluation
            counts in both, since it computes the value too.
    """

    names: tuple[str, ...] | None = None
    differentiable: bool = True

    def __init__(self) -> None:
        self.evaluations = 0
        self.gradient_evaluations = 0

    def __call__(self, u: Tensor, index: Tensor | None = None) -> Tensor:
        """Scores at u (K, P, n); ``index`` (K,) defaults to zeros. Returns (K, P) float64 on the device of u."""
        u, index = self._check(u, index)
        self.evaluations += u.shape[0] * u.shape[1]
        return self._value(u, index)

    def scores_and_hits(self, u: Tensor, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores (K, P), and 1.0 where the target is the top-1 class and 0.0 elsewhere (K, P), by the same evaluations.

        ValueError where the function is not about classes.
        """
        u, index = self._check(u, index)
        self.evaluations += u.shape[0] * u.shape[1]
        return self._scores_and_hits(u, index)

    def value_and_grad(self, u: Tensor, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores (K, P) and gradients (K, P, n) per unit of each axis, float64.

        Raises:
            ValueError: the function has no gradient.
        """
        if not self.differentiable:
            raise ValueError(f"{type(self).__name__} has no gradient: use a black-box finder, or FiniteDifference")
        u, index = self._check(u, index)
        forward, backward = self.gradient_cost(u.shape[-1])
        self.evaluations += forward * u.shape[0] * u.shape[1]
        self.gradient_evaluations += backward * u.shape[0] * u.shape[1]
        return self._value_and_grad(u, index)

    def gradient_cost(self, n: int) -> tuple[int, int]:
        """Forward and gradient evaluations that :meth:`value_and_grad` spends on one point of n axes."""
        return 1, 1

    @abstractmethod
    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        """Scores at u (K, P, n), float64."""

    @abstractmethod
    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and gradients at u (K, P, n), float64."""

    def _scores_and_hits(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Scores at u (K, P, n), float64, and top-1 hits."""
        raise ValueError(f"{type(self).__name__} has no classes, so nothing is the top-1 class")

    def _check(self, u: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
        if u.dim() != 3:
            raise ValueError(f"u must be (tasks, points, axes), got {tuple(u.shape)}")
        if self.names is not None and u.shape[-1] != len(self.names):
            raise ValueError(f"u has {u.shape[-1]} axes, the function takes {len(self.names)}: {self.names}")
        if index is None:
            index = torch.zeros(u.shape[0], dtype=torch.int64, device=u.device)
        if index.shape != u.shape[:1]:
            raise ValueError(f"index must be ({u.shape[0]},), got {tuple(index.shape)}")
        return u.double(), index.to(u.device)


def evaluate_rows(
    f: SemanticFunction, points: Sequence[Tensor], index: Tensor, with_gradient: bool = False
) -> tuple[list[Tensor], list[Tensor] | None]:
    """f at K tensors of points (P_k, n), in as few calls as possible: scores (P_k,) and, if asked, gradients (P_k, n).

    If all rows ``index`` (K,) of f are equal there is one call, otherwise one for each different P_k.
    """
    sizes = [len(part) for part in points]
    alike = bool((index == index[0]).all())
    keys = [0] * len(points) if alike else sizes
    values, slopes = [part[:, 0] for part in points], list(points)  # what rows without points keep
    for key in sorted(set(keys)):
        rows = [k for k, own in enumerate(keys) if own == key and sizes[k]]
        if not rows:
            continue
        item = index[rows[:1] if alike else rows]
        u = torch.cat([points[k] for k in rows])
        u = u.view(len(item), len(u) // len(item), -1)
        value, slope = f.value_and_grad(u, item) if with_gradient else (f(u, item), u)
        parts = [sizes[k] for k in rows]
        for k, own, along in zip(rows, value.flatten().split(parts), slope.flatten(0, 1).split(parts), strict=True):
            values[k], slopes[k] = own, along
    return values, slopes if with_gradient else None
