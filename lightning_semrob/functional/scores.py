"""Scores of a classifier's logits, all in [0, 1] and float64 (a target is a set of class indices)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def log_softmax_score(logits: Tensor, target: Sequence[int]) -> Tensor:
    """Log of the summed softmax probability of the target classes. (B, classes) -> (B,) float64."""
    log_probability = logits.double().log_softmax(-1)
    return log_probability[:, list(target)].logsumexp(-1)


def softmax_score(logits: Tensor, target: Sequence[int]) -> Tensor:
    """f of Eq. 1: softmax probability of the true class, summed over synonyms. (B, classes) -> (B,) float64.

    Examples:
        >>> softmax_score(torch.zeros(1, 4), target=[0, 2]).tolist()
        [0.5]
    """
    return log_softmax_score(logits, target).exp()


def margin_score(logits: Tensor, target: Sequence[int]) -> Tensor:
    """``(1 + p_target - p_best_other) / 2``: above 1/2 exactly where the target wins. (B, classes) -> (B,) float64."""
    probability = logits.double().softmax(-1)
    other = torch.ones(logits.shape[-1], dtype=torch.bool, device=logits.device)
    other[list(target)] = False
    return (1 + probability[:, list(target)].sum(-1) - probability[:, other].amax(-1)) / 2


def top1_score(logits: Tensor, target: Sequence[int]) -> Tensor:
    """1 where the largest logit belongs to the target, else 0; NaN logits give NaN. (B, classes) -> (B,) float64."""
    hit = torch.isin(logits.argmax(-1), torch.tensor(list(target), device=logits.device)).double()
    return torch.where(logits.isfinite().all(-1), hit, torch.full_like(hit, torch.nan))


#: Scores by the name that configurations use; ``top1`` has no gradient.
SCORES: dict[str, Callable[[Tensor, Sequence[int]], Tensor]] = {
    "softmax": softmax_score,
    "margin": margin_score,
    "top1": top1_score,
}
