"""One update of several finders that share renderings and network calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from lightning_semrob.finders.modes import NOT_MEASURED

if TYPE_CHECKING:
    from lightning_semrob.evaluation.environment import SemanticEnvironment
    from lightning_semrob.finders.base import RegionFinder
    from lightning_semrob.sharing.work import TaskBatch

__all__ = ["update_together"]


def update_together(
    finders: Sequence[RegionFinder], optimizers: Sequence[Any], batch: TaskBatch, environment: SemanticEnvironment
) -> int:
    """One update of the running rows of a batch in every finder, with one call of f for all that need values only
    and one for all that need gradients; returns evaluations of f.

    A shape that cannot be loaded ends its rows as ``not_measured``; the job goes on.
    """
    pairs = zip(finders, optimizers, strict=True)
    running = [(finder, optimizer, finder.active(batch.rows)) for finder, optimizer in pairs]
    running = [item for item in running if len(item[2])]
    if not running:
        return 0
    try:
        environment.mesh(batch.shape)
    except (ValueError, OSError) as error:
        environment.report_failure(batch.shape, error)
        for finder, _, rows in running:
            finder.code[rows] = NOT_MEASURED
        return 0
    evaluations = 0
    f = environment.function(batch.network, batch.shape)
    for wants_gradient in (False, True):
        group = [item for item in running if item[0].needs_gradient == wants_gradient]
        if not group:
            continue
        if wants_gradient:
            for finder, _, rows in group:
                evaluations += finder.audit(rows, f)
        points = [finder.request_rows(rows) for finder, _, rows in group]
        sizes = [len(part) for parts in points for part in parts]
        flat = torch.cat([part.to(environment.device) for parts in points for part in parts])[None]
        values, gradients = f.value_and_grad(flat) if wants_gradient else (f(flat), None)
        scores = iter(values[0].split(sizes))
        slopes = None if gradients is None else iter(gradients[0].split(sizes))
        for (finder, optimizer, rows), parts in zip(group, points, strict=True):
            finder.gradient_cost = f.gradient_cost(len(environment.space))
            evaluations += sum(map(len, parts)) * (finder.gradient_cost[0] if wants_gradient else 1)
            value = [next(scores) for _ in parts]
            slope = None if slopes is None else [next(slopes) for _ in parts]
            if finder.adversarial:  # Eq. 4: the same finder on 1 - f
                value = [1 - part for part in value]
                slope = None if slope is None else [-part for part in slope]
            finder.apply_rows(rows, value, slope, optimizer)
    return evaluations
