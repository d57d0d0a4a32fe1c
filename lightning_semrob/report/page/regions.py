"""The runs of a job as a reader meets them: sides, verdict in words, and the views that show each region."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.report.figures import box_sides
from lightning_semrob.report.page.pictures import Sheet, pictures, sheet_side
from lightning_semrob.space import Axis, SemanticSpace

__all__ = ["Row", "amount", "box_outlines", "interval_text", "place_of", "point_of", "region_views", "regions_of"]

_VIEW_SIDE = 176

Row = Mapping[str, Any]


def point_of(row: Row, side: str, names: Sequence[str]) -> list[float] | None:
    values = [row.get(f"{side}_{name}") for name in names]
    if any(value is None or not math.isfinite(value) for value in values):
        return None
    return [float(value) for value in values]  # type: ignore[arg-type]


def box_outlines(a: Sequence[float] | None, b: Sequence[float] | None, axes: SemanticSpace) -> list[list[float]]:
    """Rectangles ``[x0, x1, y0, y1]`` to draw for a box: one for each time it is seen on a periodic axis."""
    if a is None or b is None or any(low > high for low, high in zip(a, b, strict=True)):
        return []
    sides = [box_sides(low, high, axis) for low, high, axis in zip(a, b, axes, strict=False)]
    sides += [([0.0], 1.0)] * (2 - len(sides))
    (left, width), (bottom, height) = sides
    return [[x, x + width, y, y + height] for x in left for y in bottom]


def amount(value: float, axis: Axis) -> str:
    unit = {"degree": "°", "": ""}.get(axis.unit, f" {axis.unit}")
    number = round(value, 1 if axis.extent > 20 else 2)
    return f"{number + 0.0:g}{unit}"  # without the sign of a zero


def place_of(point: Sequence[float], space: SemanticSpace) -> str:
    return ", ".join(f"{axis.name.replace('_', ' ')} {amount(x, axis)}" for x, axis in zip(point, space, strict=True))


def interval_text(row: Row, name: str) -> str | None:
    value, low, high = (row.get(column) for column in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return None
    return f"{value:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")


def sentence_of(row: Row, model: Mapping[str, Any]) -> str:
    """What the verdict says, in words."""
    goal = "1 - f" if model.get("adversarial") else "f"
    eps_m, eps_v = float(model.get("eps_m", 0.3)), float(model.get("eps_v", 0.05))
    condition = f"mean of {goal} at least {1 - eps_m:g} and variance at most {eps_v:g}"
    level = f"{100 * row['confidence']:g} % confidence" if row.get("confidence") else "the stated confidence"
    return {
        "valid": f"the box satisfies Eq. 2 ({condition}) at {level}.",
        "invalid": f"the box does not satisfy Eq. 2 ({condition}).",
        "undecided": f"the samples do not decide Eq. 2 ({condition}) at {level}.",
    }.get(row["verdict"], "nobody checked the box against Eq. 2.")


_STATUS_WORDS = {
    "converged": "came to rest",
    "edge": "reached the edge of the space",
    "collapsed": "collapsed to its initial point",
    "iteration_limit": "was still moving at the limit of updates",
    "invalid_score": "met a score that is not finite",
    "not_measured": "was not measured",
    "verified": "grown and verified on an independent sample",
}


def _region_lines(row: Row, a: Any, b: Any, u0: Any, space: SemanticSpace) -> list[tuple[str, str]]:
    """Names and values of everything that is known about a run."""
    lines: list[tuple[str, str]] = []
    if a is not None and b is not None:
        lines += [
            (axis.name.replace("_", " "), f"{amount(low, axis)} to {amount(high, axis)}")
            for axis, low, high in zip(space, a, b, strict=True)
        ]
    if row.get("ratio") is not None:
        lines.append(("share of the space", f"{100 * row['ratio']:.2f} %"))
    lines.append(("status", _STATUS_WORDS.get(str(row["status"]), str(row["status"]))))
    for name, column in (("mean of f", "mean"), ("variance of f", "variance")):
        known = interval_text(row, column)
        if known is not None:
            lines.append((name, known))
    if row.get("top1_rate") is not None:
        lines.append(("top-1 in the box", f"{100 * row['top1_rate']:.0f} % of the views"))
    worst = point_of(row, "worst", space.names)
    if worst is not None and row.get("worst_score") is not None:
        lines.append(("worst view", f"{row['worst_score']:.3f} at {place_of(worst, space)}"))
    if u0 is not None:
        robust = {True: " (robust itself)", False: " (not robust itself)", None: ""}[row.get("u0_robust")]
        lines.append(("initial point", place_of(u0, space) + robust))
    gradients = f", {row['gradient_evaluations']} with gradient" if row.get("gradient_evaluations") else ""
    lines.append(("growing", f"{row['steps']} updates, {row['evaluations']} evaluations of f{gradients}"))
    if row.get("verification_evaluations"):
        lines.append(("verifying", f"{row['verification_evaluations']} evaluations of f"))
    return lines


def regions_of(
    rows: Sequence[Row], environment: SemanticEnvironment, axes: SemanticSpace, methods: list[str], model: Row
) -> list[list[dict[str, Any]]]:
    """Regions of every shape, with the places of the views that show them."""
    space = environment.space
    shapes = [(shape.class_name, shape.shape_id) for shape in environment.shapes]
    found: list[list[dict[str, Any]]] = [[] for _ in shapes]
    for number, row in enumerate(rows):
        key = (row["class_name"], row["shape_id"])
        if key not in shapes or row["network"] not in environment.networks:
            continue
        u0, a, b = (point_of(row, side, space.names) for side in ("u0", "a", "b"))
        if u0 is None:
            continue
        outlines = box_outlines(a, b, axes)
        worst = point_of(row, "worst", space.names)
        shots = [{"name": "initial point", "text": "initial point", "point": u0}]
        if outlines and a is not None and b is not None:
            center = [(low + high) / 2 for low, high in zip(a, b, strict=True)]
            shots.append({"name": "centre", "text": "centre of the box", "point": center})
        if worst is not None:
            text = f"worst view found, {row['worst_score']:.3f}"
            shots.append({"name": "worst view", "text": text, "point": worst})
        found[shapes.index(key)].append(
            {
                "id": number,
                "network": environment.networks.index(row["network"]),
                "method": methods.index(row["method"]),
                "point": row["point"],
                "u0": u0,
                "outlines": outlines,
                "verdict": row["verdict"],
                "sentence": sentence_of(row, model),
                "lines": _region_lines(row, a, b, u0, space),
                "shots": shots,
                "row": row,
            }
        )
    for regions in found:
        regions.sort(key=lambda region: (region["network"], region["method"], region["point"]))
    return found


def region_views(environment: SemanticEnvironment, shape: int, regions: list[dict[str, Any]]) -> Sheet | None:
    """The renderings that the regions of a shape point at, every view once."""
    tiles: dict[tuple[float, ...], int] = {}
    for region in regions:
        for shot in region["shots"]:
            shot["tile"] = tiles.setdefault(tuple(shot["point"]), len(tiles))
    if not tiles:
        return None
    sheet = Sheet(min(_VIEW_SIDE, sheet_side(len(tiles) * len(environment.shapes)) * 2), min(len(tiles), 8), len(tiles))
    points = torch.tensor(list(tiles), dtype=torch.float64)
    size = environment.micro_batch_size
    for start in range(0, len(points), size):
        part = points[start : start + size]
        sheet.add(pictures(environment, shape, part), range(start, start + len(part)))
    return sheet
