"""The bounds of a finder after every update, for figures of how boxes grow."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.functions import SemanticFunction
from lightning_semrob.space import Box, SemanticSpace


def trace_growth(
    finder: RegionFinder, f: SemanticFunction, u0: Tensor, space: SemanticSpace, index: Tensor | None = None
) -> tuple[Box, Tensor]:
    """Run a finder as its ``find`` does and keep its bounds (T + 1, K, 2, n) at the start and after each of T updates.

    A row that has ended keeps its last bounds; the verified finder sets its own at the end only.
    """
    bounds: list[Tensor] = []
    box = finder.find(f, u0, space, index, lambda it: bounds.append(torch.stack([it.a, it.b], 1).detach().clone()))
    return box, torch.stack(bounds)
