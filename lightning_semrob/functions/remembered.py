"""f of a class as a kernel mean of scores that were measured before; it renders nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_semrob.functions import SemanticFunction
from lightning_semrob.space import SemanticSpace

#: The mean score of the class counts like this many views; far from all remembered views it decides f.
_PRIOR = 0.5


class RememberedFunction(SemanticFunction):
    """Mean of the remembered scores of a class around u, with Gaussian weights (Nadaraya and Watson, 1964).

    ``index`` of a call is the class. Periodic axes wrap around. Far from all remembered views f is the mean score of
    the class.

    Args:
        space: the axes.
        label: (N,) int64 class of each remembered view.
        u: (N, n) float64 views.
        score: (N,) float64 scores in [0, 1].
        width: standard deviation of the weights, as a share of the extent of each axis.
    """

    def __init__(self, space: SemanticSpace, label: Tensor, u: Tensor, score: Tensor, width: float) -> None:
        super().__init__()
        self.names = space.names
        self._label, self._u, self._score = label, u, score
        self._extent, self._periodic, self._scale = space.extent, space.periodic, space.extent * width
        classes = torch.arange(int(label.max()) + 1)
        own = (label == classes[:, None]).double()
        self._mean = (own @ score + score.mean()) / (own.sum(1) + 1)

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        away = u[:, :, None] - self._u
        half = self._extent / 2
        away = torch.where(self._periodic, torch.remainder(away + half, self._extent) - half, away) / self._scale
        weight = torch.exp(-away.square().sum(-1) / 2) * (self._label == index[:, None])[:, None]
        mean = self._mean[index][:, None]
        return (weight @ self._score + _PRIOR * mean) / (weight.sum(-1) + _PRIOR)

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            u = u.detach().clone().requires_grad_(True)
            value = self._value(u, index)
            (gradient,) = torch.autograd.grad(value.sum(), u)
        return value.detach(), gradient
