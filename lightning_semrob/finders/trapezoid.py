"""The trapezoid finder of the paper's appendix."""

from __future__ import annotations

from torch import Tensor

from lightning_semrob.finders.naive import NaiveFinder


class TrapezoidFinder(NaiveFinder):
    """The naive loss with its trapezoid approximation differentiated exactly (appendix 0.B.5).

    2**n evaluations and gradients a step. The authors report that it diverges; it is kept for comparison. The arguments
    are those of :class:`NaiveFinder`, whose loss it shares.

    Examples:
        >>> import torch
        >>> from lightning_semrob import SemanticSpace
        >>> from lightning_semrob.functions import AnalyticFunction
        >>> f = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 5))  # right within 60 degrees
        >>> box = TrapezoidFinder(num_iterations=5).find(f, torch.tensor([[180.0, 40.0]]), SemanticSpace.default())
        >>> box.gradient_evaluations.tolist()  # 5 steps, 4 corners
        [20]
    """

    name = "trapezoid"
    needs_gradient = True

    def points(self, a: Tensor, b: Tensor) -> Tensor:
        return self.quadrature.trapezoid_points(a, b)

    def directions(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
        assert gradients is not None
        return self.quadrature.trapezoid(a, b, values, gradients, 0.0)
