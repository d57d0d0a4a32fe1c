"""The largest boxes of trusted tiles."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_semrob.functional.exhaustive import summed_area
from lightning_semrob.space import Box
from lightning_semrob.trust.tiles import Tiles

# Boxes examined at a time.
_CHUNK = 1 << 22


@dataclass
class TrustedBoxes(Box):
    """Boxes in which every tile is trusted, ordered by what each adds to the share covered so far.

    Attributes:
        share: (K,) float64 share of the space (or mass under the density) of each box.
        new_share: (K,) what it adds to those before it.
    """

    share: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    new_share: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))


def _intervals(size: int, periodic: bool) -> Tensor:
    """First tile and end (exclusive) of every interval of an axis, (I, 2); on a periodic axis it may pass the end."""
    first, width = torch.meshgrid(torch.arange(size), torch.arange(1, size + 1), indexing="ij")
    allowed = (first == 0) | (width < size) if periodic else first + width <= size
    return torch.stack([first[allowed], (first + width)[allowed]], 1)


def _box_sums(table: Tensor, intervals: list[Tensor]) -> Tensor:
    """Sums over all boxes, (I_1, ..., I_n), from a summed-area table."""
    for axis, pairs in enumerate(intervals):
        table = table.index_select(axis, pairs[:, 1]) - table.index_select(axis, pairs[:, 0])
    return table


def trusted_boxes(trusted: Tensor, tiles: Tiles, count: int = 8) -> TrustedBoxes:
    """At most ``count`` boxes of trusted tiles, chosen greedily: each is the box that adds the largest share.

    ``trusted`` is (T,) bool, in the shape of the tiles or flat. On a periodic axis the bounds are unwrapped.
    """
    space, trusted = tiles.space, trusted.reshape(tiles.shape)
    periodic = space.periodic.tolist()
    repeat = [2 if wraps else 1 for wraps in periodic]
    intervals = [_intervals(size, wraps) for size, wraps in zip(tiles.shape, periodic, strict=True)]
    mass = tiles.mass.reshape(tiles.shape)
    barred = summed_area((~trusted).double(), repeat)
    others = 1
    for pairs in intervals[1:]:
        others *= len(pairs)
    free = trusted.clone()
    found: list[tuple[list[Tensor], float, float]] = []
    while len(found) < count and bool(free.any()):
        fresh, whole = summed_area(mass * free, repeat), summed_area(mass, repeat)
        best: tuple[float, float] = (0.0, 0.0)
        corner: list[Tensor] = []
        for part in intervals[0].split(max(1, _CHUNK // others)):
            sides = [part, *intervals[1:]]
            allowed = _box_sums(barred, sides) < 0.5
            gain = torch.where(allowed, _box_sums(fresh, sides), -1.0)
            # Of boxes that add the same, the one that covers most.
            share = torch.where(gain >= gain.max() - 1e-12, _box_sums(whole, sides), -1.0)
            top = int(share.argmax())
            value = float(gain.flatten()[top]), float(share.flatten()[top])
            if value > (best[0] + 1e-12, best[1]):
                best = value
                place = torch.unravel_index(torch.tensor(top), gain.shape)
                corner = [side[place[k]] for k, side in enumerate(sides)]
        if best[0] <= 1e-12:
            break
        found.append((corner, best[1], best[0]))
        inside = [
            torch.zeros(size, dtype=torch.bool).index_fill(0, torch.arange(int(pair[0]), int(pair[1])) % size, True)
            for pair, size in zip(corner, tiles.shape, strict=True)
        ]
        covered = torch.ones(tiles.shape, dtype=torch.bool)
        for k, line in enumerate(inside):
            covered &= line.view([-1 if axis == k else 1 for axis in range(len(inside))])
        free &= ~covered
    ends = torch.stack([torch.stack(corner) for corner, _, _ in found]) if found else torch.zeros(0, len(space), 2)
    unit = ends.double() / torch.tensor(tiles.shape)[:, None]
    zero = torch.zeros(len(found), dtype=torch.int64)
    return TrustedBoxes(
        space.from_unit(unit[..., 0]),
        space.from_unit(unit[..., 1]),
        ["trusted"] * len(found),
        zero,
        zero.clone(),
        zero.clone(),
        torch.tensor([share for _, share, _ in found], dtype=torch.float64),
        torch.tensor([gain for _, _, gain in found], dtype=torch.float64),
    )


def box_text(a: Tensor, b: Tensor, tiles: Tiles) -> str:
    """A box in words: ``azimuth 148 to 212, elevation -10 to 37``; periodic bounds within one turn."""
    words = []
    for axis, low, high in zip(tiles.space, a.tolist(), b.tolist(), strict=True):
        if axis.periodic and high - low >= axis.extent * (1 - 1e-9):
            words.append(f"{axis.name} all around")
            continue
        if axis.periodic:
            low, high = (axis.low + (end - axis.low) % axis.extent for end in (low, high))
        words.append(f"{axis.name} {low:.3g} to {high:.3g}")
    return ", ".join(words)
