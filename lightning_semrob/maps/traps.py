"""Where robust regions deceive: adversarial boxes inside robust ones, holes that networks share, worst views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from lightning_semrob.evaluation.records import Run
from lightning_semrob.finders.oir import OIRBlackBoxFinder
from lightning_semrob.finders.verified.finder import VerifiedFinder
from lightning_semrob.functions import Complement, SemanticFunction, prepare_function
from lightning_semrob.maps import DataMap, SemanticMaps, grid_points
from lightning_semrob.space import Axis, Box, SemanticSpace
from lightning_semrob.verification.region import verify

#: Robust boxes that :func:`find_traps` searches; each takes up to two seconds.
MOST_BOXES = 100


@dataclass(frozen=True)
class Trap:
    """A region (or a view) in which networks fail.

    Args:
        kind: ``adversarial box``, ``shared hole`` or ``worst view``.
        networks, class_name, shape: whose, and of which object; of a hole all networks, ``mean of K`` for averages.
        a, b: (n,) its bounds (of a hole that is no box: those around it), unwrapped on periodic axes.
        worst_point, worst_score: (n,) where the score is smallest.
        mean, depth: score in it, and how far it lies below that of the robust box around it, or the holes' threshold.
        volume: share of the space, of the hole itself where it is no box.
        verdict: of Eq. 2 for 1 - f in the box; ``not verified`` where no box was tested.
    """

    kind: str
    networks: tuple[str, ...]
    class_name: str
    shape: str
    a: Tensor
    b: Tensor
    worst_point: Tensor
    worst_score: float
    mean: float
    depth: float
    volume: float
    verdict: str = "not verified"


def rank_traps(traps: Sequence[Trap]) -> list[Trap]:
    """Sorted by volume times depth, the score that is missing; views, which have no volume, by depth."""
    return sorted(traps, key=lambda trap: (trap.volume * trap.depth, trap.depth), reverse=True)


def _inside(a: Tensor, b: Tensor, space: SemanticSpace) -> SemanticSpace:
    """The space of a box; an axis stays periodic where the box goes all around."""
    axes = []
    for axis, low, high in zip(space, a.tolist(), b.tolist(), strict=True):
        around = axis.periodic and high - low >= axis.extent * (1 - 1e-9)
        axes.append(axis if around else Axis(axis.name, low, high, axis.unit, differentiable=axis.differentiable))
    return SemanticSpace(tuple(axes))


def adversarial_boxes(
    f: SemanticFunction,
    robust: Box,
    space: SemanticSpace,
    index: Tensor | None = None,
    *,
    eps_m: float = 0.3,
    eps_v: float = 0.05,
    confidence: float = 0.95,
    scouts: int = 256,
    starts: int = 3,
    max_evaluations: int = 1200,
    seed: int = 0,
    most: int | None = None,
) -> list[tuple[int, Trap]]:
    """Boxes in which 1 - f satisfies Eq. 2, inside boxes in which f does.

    Both are judged by :func:`lightning_semrob.verification.region.verify`, each at the stated confidence; boxes of
    ``robust`` that are not known to be robust are left out. In each one ``scouts`` quasi-random points are looked at;
    from the lowest that no trap contains yet, the verified finder grows an adversarial box within the robust one.

    Args:
        f: scores in [0, 1].
        robust: K boxes.
        space: n axes.
        index: (K,) rows of f.
        eps_m, eps_v: Eq. 2, for both.
        confidence: of each verdict.
        scouts, starts: points looked at in a box, and traps looked for.
        max_evaluations: of each verification, and of growing each trap.
        seed: of all samples.
        most: only the largest so many robust boxes are searched; all if None.

    Returns:
        Pairs of the row in ``robust`` and its trap (without network and shape), ranked.
    """
    f = prepare_function(f, space)
    rows = len(robust)
    index = torch.zeros(rows, dtype=torch.int64) if index is None else index
    statement = verify(f, robust, space, index, eps_m, eps_v, confidence, max_evaluations, seed)
    found: list[tuple[int, Trap]] = []
    searched = statement.valid.nonzero().flatten()
    if most is not None and len(searched) > most:
        volume = space.intersected_volume(robust.a[searched], robust.b[searched])
        searched = searched[volume.argsort(descending=True, stable=True)[:most]]
    for row in searched.tolist():
        own, inner = index[row : row + 1], _inside(robust.a[row], robust.b[row], space)
        points = inner.sobol(scouts, seed)
        scores = f(points[None], own)[0]
        free = scores < eps_m
        for _ in range(starts):
            if not bool(free.any()):
                break
            lowest = int(torch.where(free, scores, torch.inf).argmin())
            free[lowest] = False
            finder = VerifiedFinder(
                eps_m, eps_v, confidence, 1, max_evaluations, max_evaluations, seed, adversarial=True
            )
            grown = finder.find(f, points[lowest : lowest + 1], inner, own)
            if not bool((grown.b > grown.a).all()):
                continue
            # Fresh samples: the seed differs from that of the search.
            judged = verify(Complement(f), grown, space, own, eps_m, eps_v, confidence, max_evaluations, seed + 1)
            free &= ~((points >= grown.a[0]) & (points <= grown.b[0])).all(-1)
            if judged.verdict[0] != "valid":
                continue
            inside = ((points >= grown.a[0]) & (points <= grown.b[0])).all(-1)
            worst = int(torch.where(inside, scores, torch.inf).argmin())
            mean = 1 - float(judged.mean[0])
            trap = Trap(
                "adversarial box",
                (),
                "",
                "",
                grown.a[0],
                grown.b[0],
                points[worst],
                float(scores[worst]),
                mean,
                float(statement.mean[row]) - mean,
                float(space.intersected_volume(grown.a[0], grown.b[0])) / space.volume,
                judged.verdict[0],
            )
            found.append((row, trap))
    order = rank_traps([trap for _, trap in found])
    return sorted(found, key=lambda pair: next(i for i, trap in enumerate(order) if trap is pair[1]))


def _components(low: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], periodic: Sequence[bool]) -> list[Tensor]:
    """Connected parts of a mask (neighbours along the axes), joined over the ends of periodic axes, (M, n) each."""
    labels, count = ndimage.label(low)
    ends = [(labels.take(0, axis), labels.take(-1, axis)) for axis, wraps in enumerate(periodic) if wraps]
    first, last = (np.concatenate([np.zeros(0, int), *(end[k].ravel() for end in ends)]) for k in range(2))
    both = (first > 0) & (last > 0)
    graph = coo_array((both[both], (first[both], last[both])), shape=(count + 1, count + 1))
    parts = connected_components(graph, directed=False)[1][labels]
    return [torch.from_numpy(np.argwhere(parts == part)) for part in np.unique(parts[low])]


def _extent(samples: Tensor, axis: Axis, count: int) -> tuple[float, float]:
    """The interval that samples cover, each half a step to both sides; it may pass the end of a periodic axis."""
    step = axis.extent / (count if axis.periodic else count - 1)
    present = samples.unique().tolist()
    first, last = present[0], present[-1]
    if axis.periodic and len(present) == count:
        return axis.low, axis.high
    if axis.periodic:
        gaps = [(present[(i + 1) % len(present)] - x) % count or count for i, x in enumerate(present)]
        widest = gaps.index(max(gaps))
        first = present[(widest + 1) % len(present)]
        last = first + count - gaps[widest]
    low, high = axis.low + (first - 0.5) * step, axis.low + (last + 0.5) * step
    return (low, high) if axis.periodic else (max(low, axis.low), min(high, axis.high))


def shared_holes(data: DataMap, threshold: float = 0.3, smallest: int = 2) -> list[Trap]:
    """Connected parts of a data map in which even the best network (mean over shapes) scores below a threshold.

    A hole has at least ``smallest`` samples of the grid. Ranked by volume times depth, which is the threshold minus the
    best network's mean score in the hole.
    """
    best = data.best.nan_to_num(nan=1.0)
    points = grid_points(data.axes, best.shape).unflatten(0, tuple(best.shape))
    holes = []
    for part in _components((best < threshold).numpy(), [axis.periodic for axis in data.axes]):
        if len(part) < smallest:
            continue
        where = tuple(part.T)
        bounds = [_extent(part[:, k], axis, best.shape[k]) for k, axis in enumerate(data.axes)]
        scores = best[where]
        worst = int(data.mean[where].argmin())
        holes.append(
            Trap(
                "shared hole",
                data.networks,
                "",
                f"mean of {data.shapes}",
                torch.tensor([low for low, _ in bounds], dtype=torch.float64),
                torch.tensor([high for _, high in bounds], dtype=torch.float64),
                points[where][worst],
                float(data.mean[where][worst]),
                float(data.mean[where].mean()),
                threshold - float(scores.mean()),
                len(part) / best.numel(),
            )
        )
    return rank_traps(holes)


def worst_views(maps: SemanticMaps) -> list[Trap]:
    """The view of the lowest mean score over networks and shapes, one for each class, the lowest first.

    Its depth is the mean score of the map minus that of the view.
    """
    views = []
    for class_name in dict.fromkeys(maps.class_names):
        data = maps.data_map(class_name)
        mean = data.mean.flatten()
        worst = int(mean.nan_to_num(nan=torch.inf).argmin())
        point, score = grid_points(maps.axes, maps.grid)[worst], float(mean[worst])
        shape = f"mean of {data.shapes}"
        depth = float(mean.nanmean()) - score
        views.append(
            Trap("worst view", maps.networks, class_name, shape, point, point, point, score, score, depth, 0.0)
        )
    return sorted(views, key=lambda view: view.worst_score)


def _same(first: Trap, second: Trap, space: SemanticSpace) -> bool:
    """Whether two boxes of one network and shape share more than half of the smaller one."""
    if (first.networks, first.class_name, first.shape) != (second.networks, second.class_name, second.shape):
        return False
    turns = ((first.a + first.b - second.a - second.b) / (2 * space.extent)).round()
    shift = torch.where(space.periodic, turns * space.extent, 0.0)
    shared = (torch.minimum(first.b, second.b + shift) - torch.maximum(first.a, second.a + shift)).clamp_min(0).prod()
    return bool(shared > 0.5 * torch.minimum((first.b - first.a).prod(), (second.b - second.a).prod()))


def robust_boxes(runs: Sequence[Run], maps: SemanticMaps) -> tuple[Box, Tensor]:
    """The boxes of a job's runs that satisfy Eq. 2, and the rows (K,) of ``maps.function()`` that they lie on.

    Boxes over other axes than the mapped ones, and those of networks and shapes that are not mapped, are left out.
    """
    names, shapes = maps.axes.names, list(zip(maps.class_names, maps.shapes, strict=True))
    bounds, index = [], []
    for run in runs:
        mapped = run.network in maps.networks and run.shape in shapes and set(run.a) == set(names)
        if run.verdict == "valid" and mapped:
            bounds.append([[side[name] for name in names] for side in (run.a, run.b)])
            index.append(maps.index(maps.networks.index(run.network), shapes.index(run.shape)))
    both = torch.tensor(bounds, dtype=torch.float64).view(-1, 2, len(names))
    return Box(both[:, 0], both[:, 1]), torch.tensor(index, dtype=torch.int64)


def grown_boxes(maps: SemanticMaps, points: int, eps_m: float, eps_v: float, seed: int) -> tuple[Box, Tensor]:
    """Boxes that OIR_B and the verified finder grow on every map from Sobol points, and their rows (K,) of
    ``maps.function()``.
    """
    f, rows = maps.function(), len(maps.networks) * len(maps.shapes)
    u0 = maps.axes.sobol(points, seed).repeat(rows, 1)
    index = torch.arange(rows).repeat_interleave(points)
    usable = f.maps.flatten(1).isfinite().all(1)[index]
    u0, index = u0[usable], index[usable]
    found = [
        finder.find(f, u0, maps.axes, index)
        for finder in (OIRBlackBoxFinder(), VerifiedFinder(eps_m, eps_v, seed=seed))
    ]
    return Box(torch.cat([x.a for x in found]), torch.cat([x.b for x in found])), index.repeat(2)


def find_traps(
    maps: SemanticMaps,
    robust: Box,
    index: Tensor,
    *,
    threshold: float = 0.3,
    eps_m: float = 0.3,
    eps_v: float = 0.05,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Trap]:
    """All kinds of traps of saved maps: adversarial boxes, then the shared holes and worst views of every class.

    The command and the report page list what this finds. Shapes that were not measured everywhere have no traps. Only
    the ``MOST_BOXES`` largest of the robust boxes (K over the mapped axes, on the rows ``index`` (K,) of
    ``maps.function()``) are searched. ``threshold`` is of the holes, the other settings are of Eq. 2 and the samples.
    """
    measured = maps.scores.isfinite().flatten(2).all(2).all(0)
    known = maps.select(shapes=measured.nonzero().flatten().tolist())
    if not known.shapes:
        return []
    usable = measured[index % len(maps.shapes)].nonzero().flatten()
    traps: list[Trap] = []
    pairs = adversarial_boxes(
        maps.function(), Box(robust.a[usable], robust.b[usable]), maps.axes, index[usable],
        eps_m=eps_m, eps_v=eps_v, confidence=confidence, seed=seed, most=MOST_BOXES,
    )  # fmt: skip
    for row, trap in pairs:
        network, shape = divmod(int(index[usable[row]]), len(maps.shapes))
        turn = torch.where(maps.axes.periodic, ((trap.a - maps.axes.low) / maps.axes.extent).floor(), 0.0)
        shift = turn * maps.axes.extent
        trap = replace(
            trap,
            networks=(maps.networks[network],), class_name=maps.class_names[shape], shape=maps.shapes[shape],
            a=trap.a - shift, b=trap.b - shift, worst_point=trap.worst_point - shift,
        )  # fmt: skip
        # Robust boxes overlap; a trap in what they share is listed once.
        if not any(_same(trap, other, maps.axes) for other in traps):
            traps.append(trap)
    holes = [
        replace(hole, class_name=class_name)
        for class_name in dict.fromkeys(known.class_names)
        for hole in shared_holes(known.data_map(class_name), threshold)
    ]
    return [*traps, *rank_traps(holes), *worst_views(known)]
