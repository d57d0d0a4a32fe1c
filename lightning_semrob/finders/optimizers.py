"""The step rule of the default mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class AdaptiveBoundSGD(Optimizer):
    """Gradient descent with a step size of its own for every bound (delta-bar-delta).

    The step size of a bound grows by ``increase`` while its direction keeps its sign. When the sign flips the last
    move is taken back and the step size shrinks by ``decrease`` (Rprop with backtracking): beyond the edge of a
    region f, and with it the direction, may be too small to bring a bound back. A move is at most ``max_move``.
    A direction of exactly zero leaves a bound, and its step size, alone: rows that are not in a
    batch have zero gradients.

    Args:
        params: bounds, each (N, n).
        scale: (n,) extents of the axes: directions are in unit space, parameters in the units of the axes.
        lr: first step size, unit space per unit direction.
        increase, decrease: factors of the step size, above and below 1.
        max_lr: largest step size.
        max_move: largest move of a bound in one step, unit space.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        scale: Tensor,
        lr: float = 0.05,
        increase: float = 1.2,
        decrease: float = 0.3,
        max_lr: float = 0.1,
        max_move: float = 0.05,
    ) -> None:
        if not (lr > 0 and increase > 1 > decrease > 0 and max_lr >= lr and max_move > 0):
            raise ValueError("AdaptiveBoundSGD needs 0 < lr <= max_lr, decrease < 1 < increase and max_move > 0")
        defaults = {"lr": lr, "increase": increase, "decrease": decrease, "max_lr": max_lr, "max_move": max_move}
        super().__init__(params, defaults)
        self.scale = scale

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One update of every bound with a non-zero direction."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for bound in group["params"]:
                if bound.grad is None:
                    continue
                state = self.state[bound]
                if not state:
                    state["step_size"] = torch.full_like(bound, group["lr"])
                    state["previous"] = torch.zeros_like(bound)
                    state["move"] = torch.zeros_like(bound)
                active, agreement = bound.grad != 0, state["previous"] * bound.grad
                flipped = agreement < 0
                size = state["step_size"]
                size = torch.where(agreement > 0, size * group["increase"], size)
                size = torch.where(flipped, size * group["decrease"], size).clamp_max(group["max_lr"])
                move = -(size * bound.grad).clamp(-group["max_move"], group["max_move"]) * self.scale.to(bound)
                move = torch.where(flipped, -state["move"], move)
                state["step_size"] = size
                state["move"] = torch.where(active, move, state["move"])
                remembered = torch.where(flipped, 0.0, bound.grad)
                state["previous"] = torch.where(active, remembered, state["previous"])
                bound.add_(move)
        return loss
