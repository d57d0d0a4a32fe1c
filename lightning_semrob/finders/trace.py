"""The bounds of a finder after every update, for figures of how boxes grow."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_semrob.finders.base import RegionFinder, prepare_function
from lightning_semrob.functions import SemanticFunction
from lightning_semrob.space import Box, SemanticSpace

__all__ = ["trace_growth"]


def trace_growth(
    finder: RegionFinder, f: SemanticFunction, u0: Tensor, space: SemanticSpace, index: Tensor | None = None
) -> tuple[Box, Tensor]:
    """Run a finder as ``find`` does and keep all bounds on the way.

    Args:
        finder: any; the verified finder sets its bounds at its last step only.
        f: the score.
        u0: (K, n) initial points.
        space: the swept axes.
        index: (K,) rows of f.

    Returns:
        The boxes, and the bounds (T + 1, K, 2, n) float64: a and b at the start and after each of T updates; a row
        that has ended keeps its last ones.

    Raises:
        ValueError: as ``find``.
    """
    f = prepare_function(f, space, finder.adversarial)
    if finder.needs_gradient and not f.differentiable:
        raise ValueError(f"{type(finder).__name__} needs gradients and f has none: use a black-box finder")
    u0 = torch.as_tensor(u0)
    finder.start(u0, space, torch.zeros(len(u0), dtype=torch.int64) if index is None else index)
    optimizer = finder.configure_optimizers()
    bounds = [torch.stack([finder.a, finder.b], 1).detach().clone()]
    rows = finder.active(torch.arange(len(u0)))
    while len(rows):
        values, gradients = [], []
        for row, points in zip(rows.tolist(), finder.request_rows(rows), strict=True):
            own = finder.index[row : row + 1]
            if finder.needs_gradient:
                value, gradient = f.value_and_grad(points[None], own)
                gradients.append(gradient[0])
            else:
                value = f(points[None], own)
            values.append(value[0])
        finder.apply_rows(rows, values, gradients if finder.needs_gradient else None, optimizer)
        bounds.append(torch.stack([finder.a, finder.b], 1).detach().clone())
        rows = finder.active(rows)
    return finder.boxes(), torch.stack(bounds)
