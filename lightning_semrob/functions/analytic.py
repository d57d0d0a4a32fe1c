"""f as a formula."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_semrob.functions.base import SemanticFunction


class AnalyticFunction(SemanticFunction):
    """A formula, for checks and notebooks.

    Args:
        function: maps u (K, P, n) float64 to scores (K, P), differentiable by autograd.
        names: names of the columns of u.

    Examples:
        >>> f = AnalyticFunction(lambda u: u.square().sum(-1))
        >>> value, gradient = f.value_and_grad(torch.tensor([[[0.5, 0.25]]]))
        >>> value.tolist(), gradient.tolist()
        ([[0.3125]], [[[1.0, 0.5]]])
    """

    def __init__(self, function: Callable[[Tensor], Tensor], names: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.function = function
        self.names = names

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        with torch.no_grad():
            return self.function(u).double()

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            u = u.detach().clone().requires_grad_(True)
            value = self.function(u).double()
            if not value.requires_grad:
                return value, torch.zeros_like(u)
            (gradient,) = torch.autograd.grad(value.sum(), u)
        return value.detach(), gradient
