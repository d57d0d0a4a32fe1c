"""Functions that wrap another f."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_semrob.functions.base import SemanticFunction
from lightning_semrob.space import SemanticSpace


class _Wrapper(SemanticFunction):
    """A function of another function; both count evaluations."""

    def __init__(self, function: SemanticFunction) -> None:
        super().__init__()
        self.function = function
        self.names = function.names
        self.differentiable = function.differentiable

    def gradient_cost(self, n: int) -> tuple[int, int]:
        return self.function.gradient_cost(n)

    def _scores_and_hits(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.function.scores_and_hits(u, index)


class Complement(_Wrapper):
    """1 - f: the adversarial target of Eq. 3 and 4."""

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return 1 - self.function(u, index)

    def _scores_and_hits(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        scores, hits = self.function.scores_and_hits(u, index)
        return 1 - scores, hits

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = self.function.value_and_grad(u, index)
        return 1 - value, -gradient


class FiniteDifference(_Wrapper):
    """Central differences of any f: gradients where f has none, or to check its own, at 2n extra evaluations a point.

    ``df/du_k = (f(u + h_k e_k) - f(u - h_k e_k)) / 2 h_k``; at the border of an axis of ``space`` that is not periodic
    the outer point is moved onto the border and the difference is divided by the remaining distance.

    Args:
        function: any f.
        step: h, half the distance of the two points, one value per axis in its unit, or one for all.
        space: the axes in the order of the columns of u; None for axes without borders.

    Raises:
        ValueError: a step that is not positive.
    """

    def __init__(
        self, function: SemanticFunction, step: float | Sequence[float] = 1.0, space: SemanticSpace | None = None
    ) -> None:
        super().__init__(function)
        self.step = torch.as_tensor(step, dtype=torch.float64)
        self.space = space
        self.differentiable = True
        if not bool((self.step > 0).all()):
            raise ValueError(f"the step of finite differences must be positive, got {step}")

    @staticmethod
    def of(function: SemanticFunction, space: SemanticSpace) -> FiniteDifference:
        """With steps of 1 degree, or 1 % of the range of an axis in another unit."""
        return FiniteDifference(function, window_half_widths(space).tolist(), space)

    def gradient_cost(self, n: int) -> tuple[int, int]:
        return 2 * n + 1, 0

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return self.function(u, index)

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        tasks, points, n = u.shape
        shift = torch.diag(self.step.to(u).expand(n))
        stencil = u[:, :, None] + torch.cat([torch.zeros_like(shift[:1]), shift, -shift])
        if self.space is not None:
            # Steps end at the border of the space; a point that lies outside stays where it is.
            low = torch.minimum(self.space.low.to(u), u)[:, :, None]
            high = torch.maximum(self.space.high.to(u), u)[:, :, None]
            stencil = torch.where(self.space.periodic.to(u.device), stencil, stencil.clamp(low, high))
        value = self.function(stencil.view(tasks, -1, n), index).view(tasks, points, 2 * n + 1)
        ahead, behind = (stencil[:, :, 1 + k * n : 1 + (k + 1) * n].diagonal(dim1=-2, dim2=-1) for k in range(2))
        gradient = (value[..., 1 : n + 1] - value[..., n + 1 :]) / (ahead - behind)
        return value[..., 0], gradient


class Reordered(_Wrapper):
    """The same f with the columns of u in another order.

    Args:
        function: f with known ``names``.
        names: the same names, in the order of the columns of u.

    Raises:
        ValueError: the names are not those of the function.
    """

    def __init__(self, function: SemanticFunction, names: tuple[str, ...]) -> None:
        super().__init__(function)
        if function.names is None or set(function.names) != set(names):
            raise ValueError(f"the function takes the axes {function.names}, the space has {names}")
        self.names = names
        self._forward = [names.index(name) for name in function.names]
        self._backward = [function.names.index(name) for name in names]

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return self.function(u[..., self._forward], index)

    def _scores_and_hits(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.function.scores_and_hits(u[..., self._forward], index)

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = self.function.value_and_grad(u[..., self._forward], index)
        return value, gradient[..., self._backward]


def window_half_widths(space: SemanticSpace) -> Tensor:
    """Half the window over which a slope of f is measured: 1 degree, or 1 % of the range in another unit, (n,)."""
    return torch.tensor([1.0 if axis.unit == "degree" else 0.01 * axis.extent for axis in space], dtype=torch.float64)


def prepare_function(f: SemanticFunction, space: SemanticSpace, adversarial: bool = False) -> SemanticFunction:
    """f with its columns in the order of the space, and ``1 - f`` for adversarial regions (Eq. 4)."""
    if f.names is not None and f.names != space.names:
        f = Reordered(f, space.names)
    return Complement(f) if adversarial else f
