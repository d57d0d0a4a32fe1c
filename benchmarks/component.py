"""How well boxes fill the connected part of the space around u0 in which f is high, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from lightning_semrob.space import SemanticSpace


def cell_coverage(a: Tensor, b: Tensor, space: SemanticSpace, cells: Sequence[int]) -> list[Tensor]:
    """Fraction of each cell of each axis that boxes cover, for ``overlap_with_component``.

    Args:
        a, b: (K, n) bounds, unwrapped on periodic axes.
        space: n axes.
        cells: n numbers of cells.

    Returns:
        n tensors (K, N_k) float64 in [0, 1].
    """
    x, y = space.to_unit(a.double()), space.to_unit(b.double())
    result = []
    for k, (size, wraps) in enumerate(zip(cells, space.periodic.tolist(), strict=True)):
        first, last = x[:, k, None] * size, y[:, k, None] * size
        begin = torch.arange(size).double()
        if wraps:  # brought to a start in the first period, the box ends in the second
            turns = (first / size).floor() * size
            first, last = first - turns, last - turns
        parts = [
            (torch.minimum(last, begin + shift + 1) - torch.maximum(first, begin + shift)).clamp_min(0)
            for shift in ((0, size) if wraps else (0,))
        ]
        result.append(sum(parts[1:], parts[0]).clamp_max(1))
    return result


def component_around(values: Tensor, start: Sequence[int], periodic: Sequence[bool], tau: float) -> Tensor:
    """The connected component of f >= tau around a cell, by flood fill over shared faces.

    Args:
        values: (N_1, ..., N_n) values of f, one a cell.
        start: n indices of the cell.
        periodic: n flags.
        tau: threshold.

    Returns:
        (N_1, ..., N_n) bool, all False where f < tau at the start.
    """
    free = values >= tau
    component = torch.zeros_like(free)
    component[tuple(start)] = free[tuple(start)]
    while True:
        grown = component.clone()
        for axis, wraps in enumerate(periodic):
            for shift in (1, -1):
                moved = component.roll(shift, axis)
                if not wraps:
                    moved = moved.clone()
                    moved.select(axis, 0 if shift == 1 else -1).fill_(False)
                grown |= moved
        grown &= free
        if torch.equal(grown, component):
            return component
        component = grown


def overlap_with_component(component: Tensor, coverage: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Intersection over union, and covered fraction, of boxes against a component of cells.

    Args:
        component: (N_1, ..., N_n) bool.
        coverage: n of (K, N_k) float64, the fraction of each cell of axis k that box k covers, in [0, 1].

    Returns:
        iou, covered: (K,) float64; ``covered`` is |box and component| / |component|; both NaN for an empty one.
    """
    total = component.sum().double()
    inner = component.double()[None].expand(coverage[0].shape[0], *component.shape)
    for part in coverage:  # contracts the first remaining axis
        inner = torch.einsum("ki,ki...->k...", part, inner)
    volume = prod([part.sum(-1) for part in coverage], start=torch.ones_like(inner))
    empty = torch.full_like(inner, torch.nan)
    iou = inner / (volume + total - inner)
    return (torch.where(total > 0, iou, empty), torch.where(total > 0, inner / total, empty))
