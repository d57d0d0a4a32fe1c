"""The runs of a job in words: sides, verdict, and the views that show each region."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.records import Run
from lightning_semrob.evaluation.statements import TRAP_MEAN, trap_share
from lightning_semrob.finders.statement import Judgement
from lightning_semrob.report.figures.maps import box_outlines
from lightning_semrob.report.job import FinishedJob
from lightning_semrob.report.page.pictures import Sheet, pictures, sheet_side
from lightning_semrob.report.page.templates import amount, words
from lightning_semrob.space import SemanticSpace

_VIEW_SIDE = 176

#: A value for every axis.
Point = list[float]


@dataclass(frozen=True)
class Shot:
    """A view that shows a region: what it is, where, and which rendering of the shape's sheet."""

    name: str
    text: str
    point: Point
    tile: int


@dataclass(frozen=True)
class Region:
    """A run as the page shows it: numbers of network, finder and initial point, and texts for people.

    ``outlines`` are rectangles ``[x0, x1, y0, y1]``, none where the box cannot be drawn; ``sentence`` is what the
    verdict says; ``share`` is in percent of the space; ``lines`` are names and values of all that is known.
    """

    id: int
    network: int
    method: int
    point: int
    u0: Point
    outlines: list[list[float]]
    verdict: str
    sentence: str
    share: str
    mean: str
    worst: str
    status: str
    evaluations: int
    lines: list[tuple[str, str]]
    shots: list[Shot]


def point_of(values: Mapping[str, float | None], names: Sequence[str]) -> Point | None:
    """The values of the axes in their order; None where one is not known or not finite."""
    found = [values.get(name) for name in names]
    known = [value for value in found if value is not None and math.isfinite(value)]
    return known if len(known) == len(found) else None


def place_of(point: Sequence[float], space: SemanticSpace) -> str:
    """A point in words: ``azimuth 30°, elevation 20°``."""
    return ", ".join(f"{words(axis.name)} {amount(x, axis)}" for x, axis in zip(point, space, strict=True))


def bounds_of(a: Sequence[float], b: Sequence[float], space: SemanticSpace) -> str:
    """A box in words: ``azimuth 30° to 60°, elevation 0° to 20°``."""
    return ", ".join(
        f"{words(axis.name)} {amount(low, axis)} to {amount(high, axis)}"
        for low, high, axis in zip(a, b, space, strict=True)
    )


def interval_text(value: float | None, low: float | None, high: float | None) -> str | None:
    """A moment of f with its interval, None where it is not known."""
    if value is None:
        return None
    return f"{value:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")


def sentence_of(known: Judgement, job: FinishedJob) -> str:
    """The verdict as a sentence."""
    goal, demand = "1 - f" if job.adversarial else "f", job.demand
    condition = f"mean of {goal} at least {1 - demand.eps_m:g} and variance at most {demand.eps_v:g}"
    level = f"{100 * known.confidence:g} % confidence" if known.confidence else "the stated confidence"
    share = trap_share(known.mean_low)
    trap = f" A part whose mean is at most {TRAP_MEAN:g} fills at most {math.ceil(100 * (share or 0))} % of it."
    return {
        "valid": f"the box satisfies Eq. 2 ({condition}) at {level}.{'' if share is None else trap}",
        "invalid": f"the box does not satisfy Eq. 2 ({condition}).",
        "undecided": f"the samples do not decide Eq. 2 ({condition}) at {level}.",
    }.get(known.verdict, "nobody checked the box against Eq. 2.")


_STATUS_WORDS = {
    "converged": "came to rest",
    "edge": "reached the edge of the space",
    "collapsed": "collapsed to its initial point",
    "iteration_limit": "was still moving at the limit of updates",
    "invalid_score": "met a score that is not finite",
    "not_measured": "was not measured",
    "verified": "grown and verified on an independent sample",
}


def _region_lines(run: Run, a: Point | None, b: Point | None, u0: Point, space: SemanticSpace) -> list[tuple[str, str]]:
    """Names and values of everything that is known about a run."""
    known = run.judgement
    lines: list[tuple[str, str]] = []
    if a is not None and b is not None:
        lines += [
            (words(axis.name), f"{amount(low, axis)} to {amount(high, axis)}")
            for axis, low, high in zip(space, a, b, strict=True)
        ]
    if run.ratio is not None:
        lines.append(("share of the space", f"{100 * run.ratio:.2f} %"))
    lines.append(("status", _STATUS_WORDS.get(run.status, run.status)))
    moments = {
        "mean of f": interval_text(known.mean, known.mean_low, known.mean_high),
        "variance of f": interval_text(known.variance, known.variance_low, known.variance_high),
    }
    lines += [(name, text) for name, text in moments.items() if text is not None]
    if known.top1_rate is not None:
        lines.append(("top-1 in the box", f"{100 * known.top1_rate:.0f} % of the views"))
    worst = point_of(known.worst, space.names)
    if worst is not None and known.worst_score is not None:
        lines.append(("worst view", f"{known.worst_score:.3f} at {place_of(worst, space)}"))
    robust = {True: " (robust itself)", False: " (not robust itself)", None: ""}[known.u0_robust]
    lines.append(("initial point", place_of(u0, space) + robust))
    gradients = f", {run.gradient_evaluations} with gradient" if run.gradient_evaluations else ""
    lines.append(("growing", f"{run.steps} updates, {run.evaluations} evaluations of f{gradients}"))
    if known.verification_evaluations:
        lines.append(("verifying", f"{known.verification_evaluations} evaluations of f"))
    return lines


def regions_of(
    job: FinishedJob, environment: SemanticEnvironment, axes: SemanticSpace, methods: Sequence[str]
) -> list[list[Region]]:
    """The regions of every shape, in the order of networks, methods and initial points; ``axes`` are those mapped."""
    space = environment.space
    shapes = [(shape.class_name, shape.shape_id) for shape in environment.shapes]
    found: list[list[Region]] = [[] for _ in shapes]
    tiles: list[dict[tuple[float, ...], int]] = [{} for _ in shapes]
    for number, run in enumerate(job.rows):
        known = run.judgement
        u0, a, b, worst = (point_of(side, space.names) for side in (run.u0, run.a, run.b, known.worst))
        if run.shape not in shapes or run.network not in environment.networks or u0 is None:
            continue
        outlines, shape = box_outlines(a, b, axes), shapes.index(run.shape)
        shots = [("initial point", "initial point", u0)]
        if outlines and a is not None and b is not None:
            center = [(low + high) / 2 for low, high in zip(a, b, strict=True)]
            shots.append(("centre", "centre of the box", center))
        score = "n/a" if known.worst_score is None else f"{known.worst_score:.3f}"
        if worst is not None:
            shots.append(("worst view", f"worst view found, {score}", worst))
        region = Region(
            id=number,
            network=environment.networks.index(run.network),
            method=methods.index(run.method),
            point=run.point,
            u0=u0,
            outlines=outlines,
            verdict=run.verdict,
            sentence=sentence_of(known, job),
            share="n/a" if run.ratio is None else f"{100 * run.ratio:.2f}",
            mean=interval_text(known.mean, known.mean_low, known.mean_high) or "n/a",
            worst=score,
            status=run.status,
            evaluations=run.evaluations,
            lines=_region_lines(run, a, b, u0, space),
            shots=[
                Shot(name, text, point, tiles[shape].setdefault(tuple(point), len(tiles[shape])))
                for name, text, point in shots
            ],
        )
        found[shape].append(region)
    for regions in found:
        regions.sort(key=lambda region: (region.network, region.method, region.point))
    return found


def region_views(environment: SemanticEnvironment, shape: int, regions: Sequence[Region]) -> Sheet | None:
    """The renderings that the regions of a shape point at, every view once; None where there is no region."""
    views = {shot.tile: shot.point for region in regions for shot in region.shots}
    if not views:
        return None
    sheet = Sheet(min(_VIEW_SIDE, sheet_side(len(views) * len(environment.shapes)) * 2), min(len(views), 8), len(views))
    points = torch.tensor([views[tile] for tile in range(len(views))], dtype=torch.float64)
    size = environment.micro_batch_size
    for start in range(0, len(points), size):
        part = points[start : start + size]
        sheet.add(pictures(environment, shape, part), range(start, start + len(part)))
    return sheet
