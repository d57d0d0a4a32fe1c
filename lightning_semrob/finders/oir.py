"""The outer-inner ratio finders of the paper, black-box and white-box."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.functional.regions import oir_b_loss, outer_bounds


class OIRBlackBoxFinder(RegionFinder):
    """OIR_B (Eq. 11, 12): scores of an outer box against an inner one; 2**(n+1) evaluations a step.

    Args:
        mode, num_iterations, adversarial, quadrature: see :class:`RegionFinder`.
        alpha: boundary factor; None for 0.05 in paper mode and ``1.05**(2/n) - 1`` in the default mode, since the
            box grows on f = 1 only while ``(1 + alpha)**n < 2``.

    Examples:
        >>> import torch
        >>> from lightning_semrob import SemanticSpace
        >>> from lightning_semrob.functions import AnalyticFunction
        >>> f = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 5))  # right within 60 degrees
        >>> box = OIRBlackBoxFinder().find(f, torch.tensor([[180.0, 40.0]]), SemanticSpace.default())
        >>> [round(x) for x in box.a[0].tolist()], [round(x) for x in box.b[0].tolist()], box.status
        ([94, 16], [266, 64], ['converged'])
    """

    name = "oir_b"

    def __init__(
        self,
        mode: str = "default",
        num_iterations: int | None = None,
        adversarial: bool = False,
        quadrature: str = "corners",
        alpha: float | None = None,
    ) -> None:
        super().__init__(mode, num_iterations, adversarial, quadrature)
        if alpha is not None and alpha <= 0:
            raise ValueError(f"alpha must be positive, got {alpha}")
        self.alpha = alpha

    def alpha_for(self, n: int) -> float:
        """The boundary factor in n axes."""
        if self.alpha is not None:
            return self.alpha
        return 0.05 if self.mode == "paper" else 1.05 ** (2 / n) - 1

    def points(self, a: Tensor, b: Tensor) -> Tensor:
        outer = outer_bounds(a, b, self.alpha_for(a.shape[-1]))
        return torch.cat([self.quadrature.points(a, b), self.quadrature.points(*outer)], dim=-2)

    def directions(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
        inner, outer = values.chunk(2, dim=-1)
        return self.quadrature.oir_b(a, b, inner, outer, self.alpha_for(a.shape[-1]))

    def losses(self, a: Tensor, b: Tensor, values: Tensor) -> Tensor:
        if not self.quadrature.has_losses:
            return super().losses(a, b, values)
        inner, outer = values.chunk(2, dim=-1)
        return oir_b_loss(a, b, inner, outer, self.alpha_for(a.shape[-1]))


class OIRWhiteBoxFinder(RegionFinder):
    """OIR_W (Eq. 14, 16-18): scores and gradients at the corners; 2**n evaluations and gradients a step.

    Args:
        mode, num_iterations, adversarial, quadrature: see :class:`RegionFinder`.
        beta: emphasis on the boundary; None for 0.0009 in paper mode and ``1 / (2n)`` in the default mode, since the
            box grows on f = 1 only for ``beta < 1 / n``.

    Examples:
        >>> import torch
        >>> from lightning_semrob import SemanticSpace
        >>> from lightning_semrob.functions import AnalyticFunction
        >>> f = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 5))  # right within 60 degrees
        >>> box = OIRWhiteBoxFinder().find(f, torch.tensor([[180.0, 40.0]]), SemanticSpace.default())
        >>> [round(x) for x in box.a[0].tolist()], [round(x) for x in box.b[0].tolist()], box.status
        ([88, 14], [272, 66], ['converged'])
    """

    name = "oir_w"
    needs_gradient = True

    def __init__(
        self,
        mode: str = "default",
        num_iterations: int | None = None,
        adversarial: bool = False,
        quadrature: str = "corners",
        beta: float | None = None,
    ) -> None:
        super().__init__(mode, num_iterations, adversarial, quadrature)
        if beta is not None and beta <= 0:
            raise ValueError(f"beta must be positive, got {beta}")
        self.beta = beta

    def beta_for(self, n: int) -> float:
        """The emphasis factor in n axes."""
        if self.beta is not None:
            return self.beta
        return 0.0009 if self.mode == "paper" else 1 / (2 * n)

    def directions(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
        assert gradients is not None
        return self.quadrature.oir_w(a, b, values, gradients, self.beta_for(a.shape[-1]))
