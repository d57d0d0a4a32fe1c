"""Semantic traps of a trust map: failing or mixed tiles that trusted ones enclose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from lightning_semrob.trust.tiles import Tiles


@dataclass(frozen=True)
class EnclosedTrap:
    """Failing or mixed tiles, connected over their faces, around which all tiles are trusted.

    Attributes:
        tiles: numbers of its failing and mixed tiles.
        undecided: numbers of the undecided tiles that lie among them.
        share: of the space (or mass under the density) that its failing and mixed tiles fill.
        depth: how far their mean score lies below the ``1 - eps`` that the tiles around them keep.
        mean: mean score of its failing and mixed tiles.
        worst: number of the tile with the smallest mean score; worst_mean: its mean.
        a, b: (n,) bounds around it, unwrapped on periodic axes.
        at_edge: whether it touches an end of the space.
    """

    tiles: tuple[int, ...]
    undecided: tuple[int, ...]
    share: float
    depth: float
    mean: float
    worst: int
    worst_mean: float
    a: Tensor
    b: Tensor
    at_edge: bool


def _components(member: Tensor, tiles: Tiles) -> list[Tensor]:
    """Connected sets of tiles of a mask (T,), over shared faces, each as its numbers."""
    number = torch.arange(tiles.count)[:, None].expand(-1, tiles.neighbours.flatten(1).shape[1])
    beside = tiles.neighbours.flatten(1)
    edge = (beside >= 0) & member[number] & member[beside.clamp_min(0)]
    rows, columns = number[edge].numpy(), beside[edge].numpy()
    graph = coo_array((torch.ones(len(rows)).numpy(), (rows, columns)), shape=(tiles.count, tiles.count))
    label = torch.from_numpy(connected_components(graph, directed=False)[1])
    return [((label == name) & member).nonzero().flatten() for name in label[member].unique()]


def _bounds(numbers: Tensor, tiles: Tiles) -> tuple[Tensor, Tensor]:
    """The smallest box around tiles; on a periodic axis the widest gap is left out."""
    cells, space = tiles.cell[numbers], tiles.space
    a, b = space.low.clone(), space.high.clone()
    for k, axis in enumerate(space):
        size, present = tiles.shape[k], cells[:, k].unique()
        first, width = int(present[0]), int(present[-1]) - int(present[0]) + 1
        if axis.periodic and len(present) < size:
            gaps = (present.roll(-1) - present) % size
            widest = int(gaps.argmax())
            if len(present) > 1:
                first, width = int(present[(widest + 1) % len(present)]), size - int(gaps[widest]) + 1
        a[k] = axis.low + first * axis.extent / size
        b[k] = axis.low + (first + width) * axis.extent / size
    return a, b


def enclosed_traps(call: Tensor, mean: Tensor, tiles: Tiles, eps: float) -> list[EnclosedTrap]:
    """Traps of one map, ranked by share times depth: the score that is missing in them.

    A trap is a connected set of tiles that are not trusted, at least one of them failing or mixed, whose neighbours all
    belong to one larger connected set of trusted tiles. (If that set were smaller, it would be the enclosed one.)
    The ends of the space count as closed; ``at_edge`` says where a trap touches one. ``call`` (T,) is a position in
    ``CALLS``, -1 for undecided, ``mean`` (T,) the mean score.
    """
    trusted = call == 0
    islands = torch.full((tiles.count,), -1, dtype=torch.int64)
    sizes = []
    for name, part in enumerate(_components(trusted, tiles)):
        islands[part] = name
        sizes.append(float(tiles.mass[part].sum()))
    beside, open_axis = tiles.neighbours, ~tiles.space.periodic
    traps = []
    for part in _components(~trusted, tiles):
        bad = part[call[part] > 0]
        around = beside[part].flatten()
        shores = islands[around[around >= 0]]
        names = shores[shores >= 0].unique().tolist()
        if not len(bad) or len(names) != 1 or sizes[names[0]] <= float(tiles.mass[part].sum()):
            continue
        weight = tiles.mass[bad]
        share = float(weight.sum())
        average = float((mean[bad] * weight).sum() / weight.sum())
        worst = int(bad[mean[bad].argmin()])
        a, b = _bounds(bad, tiles)
        traps.append(
            EnclosedTrap(
                tuple(bad.tolist()),
                tuple(part[call[part] < 0].tolist()),
                share,
                1 - eps - average,
                average,
                worst,
                float(mean[worst]),
                a,
                b,
                bool((beside[part] < 0)[:, open_axis].any()),
            )
        )
    return sorted(traps, key=lambda trap: trap.share * trap.depth, reverse=True)
