"""The naive finder of the paper."""

from __future__ import annotations

from torch import Tensor

from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.functional.regions import naive_loss


class NaiveFinder(RegionFinder):
    """Largest integral of f against the size of the box (Eq. 7); 2**n evaluations a step.

    In the default mode the mean of f over a face is weighed against lambda: ``lambda * prod_{i != k} r_i`` in place
    of ``lambda * r_k``. In 2-D this equals Eq. 7 for squares; Eq. 7 itself collapses for n >= 3.

    Args:
        mode, num_iterations, adversarial, quadrature: see :class:`RegionFinder`.
        lam: weight lambda of the size penalty.

    Examples:
        >>> import torch
        >>> from lightning_semrob import SemanticSpace
        >>> from lightning_semrob.functions import AnalyticFunction
        >>> f = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 5))  # right within 60 degrees
        >>> box = NaiveFinder().find(f, torch.tensor([[180.0, 40.0]]), SemanticSpace.default())
        >>> [round(x) for x in box.a[0].tolist()], [round(x) for x in box.b[0].tolist()], box.status
        ([109, 20], [251, 60], ['converged'])
    """

    name = "naive"

    def __init__(
        self,
        mode: str = "default",
        num_iterations: int | None = None,
        adversarial: bool = False,
        quadrature: str = "corners",
        lam: float = 0.1,
    ) -> None:
        super().__init__(mode, num_iterations, adversarial, quadrature)
        self.lam = lam

    def directions(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.quadrature.naive(a, b, values, 0.0)

    def losses(self, a: Tensor, b: Tensor, values: Tensor) -> Tensor:
        return naive_loss(a, b, values, self.lam) if self.quadrature.has_losses else super().losses(a, b, values)
