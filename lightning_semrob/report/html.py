"""One page that a person reads: verdicts, maps with boxes and renderings, traps, and what repeats the job.

``report.html`` is a single file that needs no network. The maps behind it are measured on a coarse grid, every view
rendered once for all networks, and saved as ``maps.nc`` beside it, so that the page can be made again without a
network call.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import torch
from torch import Tensor

from lightning_semrob.environment import SemanticEnvironment
from lightning_semrob.functional.srvr import MINIMUM_SHAPES
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.report.markup import html_table as _table
from lightning_semrob.report.markup import html_text as _text
from lightning_semrob.report.pictures import MAPS_FILE, Sheet, jpeg, measure_maps, pictures, saved_grid, sheet_side
from lightning_semrob.report.plots import axis_label, box_sides, method_color, network_color, network_label, tick_step
from lightning_semrob.report.tables import (
    Table,
    cost_table,
    count_table,
    format_comparisons,
    read_summary,
    srvr_table,
)
from lightning_semrob.results import write_atomically
from lightning_semrob.space import Axis, Box, SemanticSpace
from lightning_semrob.traps import Trap, adversarial_boxes, rank_traps, shared_holes, worst_views

__all__ = [
    "REPORT_FILE",
    "build_page",
    "environment_of",
    "missing_packages",
    "page_traps",
    "report_folder",
    "write_report",
]

REPORT_FILE = "report.html"
#: Traps of each kind on the page.
_TRAPS_SHOWN = 4
#: Boxes in which traps are looked for; each takes up to two seconds.
_TRAP_BOXES = 100
#: End of the colours of the spread between networks: that of two that disagree wholly.
_SPREAD = 0.5
_VIEW_SIDE = 176
_INSTALL = "pip install 'lightning-semrob[report]'"

Row = Mapping[str, Any]


def missing_packages() -> str | None:
    """One sentence on what the page needs and how to get it; None where everything is there."""
    absent = [name for name in ("plotly", "xarray", "h5netcdf") if find_spec(name) is None]
    return f"no {REPORT_FILE}: it needs {', '.join(absent)}; {_INSTALL}" if absent else None


# ---- regions


def _point(row: Row, side: str, names: Sequence[str]) -> list[float] | None:
    values = [row.get(f"{side}_{name}") for name in names]
    if any(value is None or not math.isfinite(value) for value in values):
        return None
    return [float(value) for value in values]  # type: ignore[arg-type]


def _outlines(a: Sequence[float] | None, b: Sequence[float] | None, axes: SemanticSpace) -> list[list[float]]:
    """Rectangles ``[x0, x1, y0, y1]`` to draw for a box: one for each time it is seen on a periodic axis."""
    if a is None or b is None or any(low > high for low, high in zip(a, b, strict=True)):
        return []
    sides = [box_sides(low, high, axis) for low, high, axis in zip(a, b, axes, strict=False)]
    sides += [([0.0], 1.0)] * (2 - len(sides))
    (left, width), (bottom, height) = sides
    return [[x, x + width, y, y + height] for x in left for y in bottom]


def _amount(value: float, axis: Axis) -> str:
    unit = {"degree": "°", "": ""}.get(axis.unit, f" {axis.unit}")
    number = round(value, 1 if axis.extent > 20 else 2)
    return f"{number + 0.0:g}{unit}"  # without the sign of a zero


def _place(point: Sequence[float], space: SemanticSpace) -> str:
    return ", ".join(f"{axis.name.replace('_', ' ')} {_amount(x, axis)}" for x, axis in zip(point, space, strict=True))


def _interval(row: Row, name: str) -> str | None:
    value, low, high = (row.get(column) for column in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return None
    return f"{value:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")


def _sentence(row: Row, model: Mapping[str, Any]) -> str:
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
            (axis.name.replace("_", " "), f"{_amount(low, axis)} to {_amount(high, axis)}")
            for axis, low, high in zip(space, a, b, strict=True)
        ]
    if row.get("ratio") is not None:
        lines.append(("share of the space", f"{100 * row['ratio']:.2f} %"))
    lines.append(("status", _STATUS_WORDS.get(str(row["status"]), str(row["status"]))))
    for name, column in (("mean of f", "mean"), ("variance of f", "variance")):
        known = _interval(row, column)
        if known is not None:
            lines.append((name, known))
    if row.get("top1_rate") is not None:
        lines.append(("top-1 in the box", f"{100 * row['top1_rate']:.0f} % of the views"))
    worst = _point(row, "worst", space.names)
    if worst is not None and row.get("worst_score") is not None:
        lines.append(("worst view", f"{row['worst_score']:.3f} at {_place(worst, space)}"))
    if u0 is not None:
        robust = {True: " (robust itself)", False: " (not robust itself)", None: ""}[row.get("u0_robust")]
        lines.append(("initial point", _place(u0, space) + robust))
    gradients = f", {row['gradient_evaluations']} with gradient" if row.get("gradient_evaluations") else ""
    lines.append(("growing", f"{row['steps']} updates, {row['evaluations']} evaluations of f{gradients}"))
    if row.get("verification_evaluations"):
        lines.append(("verifying", f"{row['verification_evaluations']} evaluations of f"))
    return lines


def _regions(
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
        u0, a, b = (_point(row, side, space.names) for side in ("u0", "a", "b"))
        if u0 is None:
            continue
        outlines = _outlines(a, b, axes)
        worst = _point(row, "worst", space.names)
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
                "sentence": _sentence(row, model),
                "lines": _region_lines(row, a, b, u0, space),
                "shots": shots,
                "row": row,
            }
        )
    for regions in found:
        regions.sort(key=lambda region: (region["network"], region["method"], region["point"]))
    return found


def _region_views(environment: SemanticEnvironment, shape: int, regions: list[dict[str, Any]]) -> Sheet | None:
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


# ---- traps


def _valid_boxes(rows: Sequence[Row], maps: SemanticMaps) -> tuple[Box, Tensor]:
    """The boxes that satisfy Eq. 2, the largest first, and the maps that they lie on."""
    objects = list(zip(maps.class_names, maps.shapes, strict=True))
    a: list[list[float]] = []
    b: list[list[float]] = []
    index: list[int] = []
    for row in sorted(rows, key=lambda row: -(row.get("ratio") or 0.0)):
        low, high = (_point(row, side, maps.axes.names) for side in ("a", "b"))
        known = row["network"] in maps.networks and (row["class_name"], row["shape_id"]) in objects
        if len(a) < _TRAP_BOXES and row["verdict"] == "valid" and known and low is not None and high is not None:
            a.append(low)
            b.append(high)
            shape = objects.index((row["class_name"], row["shape_id"]))
            index.append(maps.index(maps.networks.index(row["network"]), shape))
    low_high = [torch.tensor(side, dtype=torch.float64).view(-1, len(maps.axes)) for side in (a, b)]
    return Box(low_high[0], low_high[1]), torch.tensor(index, dtype=torch.int64)


def page_traps(
    rows: Sequence[Row], maps: SemanticMaps, space: SemanticSpace, model: Mapping[str, Any], seed: int = 0
) -> list[Trap]:
    """The traps that the page lists, the worst of each kind first.

    Adversarial boxes are looked for on the maps, inside the largest boxes that satisfy Eq. 2, where these are boxes of
    the mapped axes and about f (not about 1 - f).
    """
    thresholds: dict[str, Any] = {name: model[name] for name in ("eps_m", "eps_v", "confidence") if name in model}
    robust, index = _valid_boxes(rows, maps)
    measured = maps.scores.isfinite().flatten(2).all(2).all(0)
    known = maps.select(shapes=measured.nonzero().flatten().tolist())
    if not known.shapes:
        return []
    traps: list[Trap] = []
    if len(index) and len(space) == len(maps.axes) and not model.get("adversarial"):
        pairs = adversarial_boxes(maps.function(), robust, maps.axes, index, seed=seed, **thresholds)
        for row, trap in pairs:
            network, shape = divmod(int(index[row]), len(maps.shapes))
            owner, class_name = (maps.networks[network],), maps.class_names[shape]
            traps.append(replace(trap, networks=owner, class_name=class_name, shape=maps.shapes[shape]))
    holes = [
        replace(hole, class_name=name)
        for name in dict.fromkeys(known.class_names)
        for hole in shared_holes(known.data_map(name))
    ]
    return [*traps, *rank_traps(holes), *worst_views(known)]


_TRAP_WORDS = {
    "adversarial box": "inside a box that satisfies Eq. 2 the network fails: the mean of f is {mean}, {depth} below "
    "that of the box around it",
    "shared hole": "{who} here: mean score {mean}, {volume} of the space",
    "worst view": "the lowest mean score of the class: {worst}, {depth} below that of the map",
}


def _trap_card(trap: Trap, environment: SemanticEnvironment, maps: SemanticMaps) -> str:
    """A trap with the rendering of its worst view; for a mean over shapes the first shape of the class."""
    members = [k for k, shape in enumerate(environment.shapes) if shape.class_name == trap.class_name]
    number = next((k for k in members if environment.shapes[k].shape_id == trap.shape), members[0])
    values = dict(maps.fixed) | dict(zip(maps.axes.names, trap.worst_point.tolist(), strict=True))
    point = torch.tensor([[values[name] for name in environment.space.names]], dtype=torch.float64)
    place = _place(trap.worst_point.tolist(), maps.axes)
    try:
        sheet = Sheet(176, 1, 1)
        sheet.add(pictures(environment, number, point), [0])
        alternative = _text(f"{trap.class_name} at {place}")
        picture = f'<img src="data:image/jpeg;base64,{jpeg(sheet.image)}" width="176" height="176" alt="{alternative}">'
    except (ValueError, OSError):
        picture = ""
    words = _TRAP_WORDS[trap.kind].format(
        mean=f"{trap.mean:.2f}",
        depth=f"{trap.depth:.2f}",
        worst=f"{trap.worst_score:.2f}",
        volume=f"{100 * trap.volume:.1f} %",
        who="every network fails, even the best one," if len(trap.networks) > 1 else "the network fails",
    )
    bounds = ""
    if trap.kind != "worst view":
        bounds = ", ".join(
            f"{axis.name.replace('_', ' ')} {_amount(low, axis)} to {_amount(high, axis)}"
            for axis, low, high in zip(maps.axes, trap.a.tolist(), trap.b.tolist(), strict=True)
        )
        bounds = f"<br>{'within ' if trap.kind == 'shared hole' else ''}{_text(bounds)}"
    who = _name(trap.networks[0]) if len(trap.networks) == 1 else "all networks"
    what = trap.class_name if trap.shape.startswith("mean of") else trap.shape
    return (
        f"<li>{picture}<strong>{_text(trap.kind)}</strong>: {_text(what)}, {who}<br>{_text(words)}.{bounds}"
        f'<br><span class="soft">picture: {_text(place)}</span></li>'
    )


def _traps_section(traps: Sequence[Trap], environment: SemanticEnvironment, maps: SemanticMaps) -> str:
    """The worst traps of each kind as cards."""
    cards, left = [], 0
    for kind in _TRAP_WORDS:
        found = [trap for trap in traps if trap.kind == kind]
        cards += [_trap_card(trap, environment, maps) for trap in found[:_TRAPS_SHOWN]]
        left += len(found[_TRAPS_SHOWN:])
    none = (
        ""
        if any(trap.kind == "adversarial box" for trap in traps)
        else (" No box in which a network fails was found inside a box that satisfies Eq. 2.")
    )
    more = f"<p>{left} more are not shown.</p>" if left else ""
    return (
        '<section id="traps"><h2>Traps</h2><p>Where a good average deceives, looked for on the maps above, '
        f'between whose views f is interpolated.{none}</p><ul class="cards">{"".join(cards)}</ul>{more}</section>'
    )


# ---- HTML


def _json(value: Any) -> str:
    """JSON that may stand in a script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _swatch(color: str) -> str:
    return f'<span class="swatch" style="--c:{color}"></span>'


def _name(network: str) -> str:
    """A network with its colour."""
    text = _text(network_label(network)).replace("_", "_<wbr>").replace("/", "/<wbr>")
    return f'<span class="name">{_swatch(network_color(network))}{text}</span>'


def _interval_bar(estimate: float, low: float, high: float, largest: float, color: str) -> str:
    """A bar of the estimate with its interval, drawn to the largest value of the table."""
    if estimate != estimate:
        return ""
    scale = 100 / largest if largest > 0 else 0.0
    whisker = ""
    if low == low and high == high:
        whisker = (
            f'<path d="M{low * scale:.2f} 11H{high * scale:.2f}M{low * scale:.2f} 6V16M{high * scale:.2f} 6V16" '
            'stroke="#1b1f24" stroke-width="1.5" vector-effect="non-scaling-stroke" fill="none"/>'
        )
    return (
        '<svg viewBox="-1 0 102 22" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect x="0" y="5" width="{estimate * scale:.2f}" height="12" fill="{color}" opacity=".75"/>{whisker}</svg>'
    )


def _percent(value: float) -> str:
    return "n/a" if value != value else f"{100 * value:.2f} %"


def _verdict_table(summary: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """The first screen: verified SRVR of every network with its interval, and what the paper's boxes are worth."""
    method = "verified" if "verified" in summary["methods"] else "mean"
    if method not in summary["intervals"]["verified"]:
        method = summary["methods"][0]
    found = summary["intervals"]["verified"][method]
    grown = summary["intervals"]["intersected"].get("mean")
    enough = found["shapes"] >= MINIMUM_SHAPES
    values = [
        (float(found["estimate"][k]), float(found["low"][k]), float(found["high"][k]))
        for k in range(len(summary["networks"]))
    ]
    if not enough:
        values = [(value, math.nan, math.nan) for value, _, _ in values]
    finite = [x for value in values for x in value if x == x]
    largest = max(finite, default=0.0)
    level = f"{100 * summary['confidence']:g} % interval"
    lines = []
    for k, network in enumerate(summary["networks"]):
        estimate, low, high = values[k]
        text = f"{level} {100 * low:.2f} to {100 * high:.2f}" if low == low else ""
        own = [row for row in rows if row["network"] == network]
        valid, checked = (
            sum(row["verdict"] in words for row in own) for words in (("valid",), ("valid", "invalid", "undecided"))
        )
        paper = "n/a" if grown is None else _percent(float(grown["estimate"][k]))
        lines.append(
            f'<tr><th scope="row">{_name(network)}</th>'
            f'<td><span class="figure">{_percent(estimate)}</span><br><span class="soft small">{text}</span></td>'
            f'<td class="wide">{_interval_bar(estimate, low, high, largest, network_color(network))}</td>'
            f'<td class="number wide">{paper}</td><td class="number">{valid} of {checked}</td></tr>'
        )
    who = (
        "of the verified finder"
        if method == "verified"
        else ("of the paper's three finders" if method == "mean" else f"of {method}")
    )
    short = (
        ""
        if enough
        else (f' <span class="soft">No interval: {found["shapes"]} shapes, {MINIMUM_SHAPES} are needed for one.</span>')
    )
    return (
        f"<p>Verified SRVR is the share of the space that the boxes {_text(who)} fill and in which the network is "
        f"known to satisfy the paper's definition of robust.{short}</p>"
        '<table class="verdicts"><thead><tr><th scope="col">network</th><th scope="col">verified SRVR</th>'
        '<th scope="col" class="wide"><span class="skip">interval</span></th>'
        '<th scope="col" class="number wide">SRVR of the paper\'s finders, not verified</th>'
        '<th scope="col" class="number">valid boxes</th>'
        f"</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _findings(summary: Mapping[str, Any]) -> str:
    """Who is more robust, where the data can tell, and where they cannot."""
    lines = format_comparisons(summary).splitlines()
    if len(summary["networks"]) > 1 and not lines:
        lines.append("the networks are not compared: that takes the verified finder, or all three of the paper's")
    lines += [f"not measured: {name}: {reason}" for name, reason in (summary.get("not_measured") or {}).items()]
    if not lines:
        return ""
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f'<div class="findings"><strong>What the data can tell</strong><ul>{items}</ul></div>'


def _legend(methods: Sequence[str]) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" checked data-method="{k}"> '
        f'<span class="stroke" style="--c:{method_color(name)}"></span>{_text(name)}</label>'
        for k, name in enumerate(methods)
    )
    return (
        f'<fieldset class="legend"><legend>Boxes</legend>{boxes}'
        '<span><span class="stroke" style="--c:#1b1f24"></span>satisfies Eq. 2</span>'
        '<span><span class="stroke broken" style="--c:#1b1f24"></span>does not, or undecided</span>'
        '<span class="ramp">score 0 <i></i> 1</span></fieldset>'
    )


def _region_table(regions: Sequence[Mapping[str, Any]], environment: SemanticEnvironment, methods: list[str]) -> str:
    lines = []
    for region in regions:
        row = region["row"]
        share = "n/a" if row.get("ratio") is None else f"{100 * row['ratio']:.2f}"
        drawn = "" if region["outlines"] else ' <span class="soft">(cannot be drawn)</span>'
        worst = "n/a" if row.get("worst_score") is None else f"{row['worst_score']:.3f}"
        number = region["id"]
        lines.append(
            f'<tr data-region="{number}"><th scope="row">{_name(environment.networks[region["network"]])}</th>'
            f'<td><button type="button" data-region="{number}" aria-pressed="false">'
            f"{_swatch(method_color(methods[region['method']]))}{_text(methods[region['method']])}, "
            f"point {region['point'] + 1}</button>{drawn}</td>"
            f'<td><span class="chip {_text(row["verdict"]).replace(" ", "-")}">{_text(row["verdict"])}</span></td>'
            f'<td class="number">{share}</td><td class="number">{_interval(row, "mean") or "n/a"}</td>'
            f'<td class="number">{worst}</td><td>{_text(row["status"].replace("_", " "))}</td>'
            f'<td class="number">{row["evaluations"]}</td></tr>'
        )
    names = ("network", "method", "verdict", "% of space", "mean of f [interval]", "worst f", "status", "evaluations")
    numbers = {3, 4, 5, 7}
    head = "".join(
        f'<th scope="col"{" class=number" if k in numbers else ""}>{name}</th>' for k, name in enumerate(names)
    )
    return (
        f'<div class="scroll"><table class="regions"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _shape_section(
    number: int,
    title: str,
    maps: SemanticMaps,
    regions: list[dict[str, Any]],
    environment: SemanticEnvironment,
    methods: list[str],
) -> str:
    figures = []
    for k, network in enumerate(environment.networks):
        mean = float(maps.scores[k, number].double().nanmean())
        known = "not measured" if mean != mean else f"mean score {mean:.2f}"
        label = f"Map of {network_label(network)} for {title}: arrow keys move the point, Enter picks the box there"
        kind = "map line" if len(maps.axes) == 1 else "map"
        figures.append(
            f'<figure><figcaption>{_name(network)} <span class="soft">{known}</span></figcaption>'
            f'<div class="{kind}" data-network="{k}" tabindex="0" role="application" '
            f'aria-label="{_text(label)}"></div></figure>'
        )
    return (
        f'<section class="shape" id="shape-{number}" data-shape="{number}"><h3 class="name">{_text(title)}</h3>'
        f'<div class="stage"><div class="maps">{"".join(figures)}</div>'
        f'<aside class="view" aria-label="{_text("View of " + title)}"></aside></div>'
        f"{_region_table(regions, environment, methods)}</section>"
    )


def _class_section(number: int, name: str, maps: SemanticMaps) -> str:
    """What all networks make of a class, and where they differ; nothing for a single network."""
    if len(maps.networks) < 2:
        return ""
    shapes = _plural(sum(one == name for one in maps.class_names), "shape")
    words = {
        "mean": f"mean score over {len(maps.networks)} networks and {shapes}",
        "spread": f"spread between the networks (standard deviation, colours from 0 to {_SPREAD:g})",
    }
    kind = "map line plain" if len(maps.axes) == 1 else "map plain"
    figures = "".join(
        f'<figure><figcaption>{text}</figcaption><div class="{kind}" data-class="{number}" data-kind="{what}" '
        f'role="img" aria-label="{_text(f"{name}: {text}")}"></div></figure>'
        for what, text in words.items()
    )
    return (
        f'<h3 class="name">{_text(name.replace("_", " "))}: all networks together</h3><div class="pair">{figures}</div>'
    )


def _axis_data(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    return {
        "label": axis.name.replace("_", " "),
        "title": axis_label(axis),
        "mark": {"degree": "°", "": ""}.get(axis.unit, axis.unit),
        "low": axis.low,
        "high": axis.high,
        "periodic": axis.periodic,
        "tick": tick_step(axis),
        "values": list(values),
    }


def _rounded(table: Any) -> Any:
    """Scores for the page: four digits, NaN as null."""
    if isinstance(table, list):
        return [_rounded(item) for item in table]
    return None if table != table else round(table, 4)


def _class_data(name: str, maps: SemanticMaps) -> dict[str, Any]:
    """The data map of a class for the page, rows along the ordinate."""
    found = maps.data_map(name)
    tables = {"mean": found.mean, "spread": found.spread}
    return {what: _rounded((x.T if x.dim() == 2 else x).tolist()) for what, x in tables.items()}


def _titles(environment: SemanticEnvironment) -> list[str]:
    return [
        shape.shape_id if shape.class_name in shape.shape_id else f"{shape.class_name}: {shape.shape_id}"
        for shape in environment.shapes
    ]


def _curve(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    curve = summary.get("eps_m_curve")
    if not curve:
        return None
    lines = []
    for dash, name in enumerate(("verified", "mean")):
        for k, _ in enumerate(summary["networks"]):
            if name in curve["verified_ratio"]:
                values = (100 * torch.as_tensor(curve["verified_ratio"][name])[k]).tolist()
                lines.append({"network": k, "dash": dash, "values": _rounded(values)})
    return {"eps_m": list(curve["eps_m"]), "lines": lines} if lines else None


def _curve_section(summary: Mapping[str, Any], curve: Mapping[str, Any] | None) -> str:
    if curve is None:
        return ""
    items = "".join(f"<span>{_name(network)}</span>" for network in summary["networks"])
    drawn = {line["dash"] for line in curve["lines"]}
    words = {0: ("stroke", "verified finder"), 1: ("stroke broken", "mean of the paper's three")}
    items += "".join(
        f'<span><span class="{kind}" style="--c:#1b1f24"></span>{word}</span>'
        for dash, (kind, word) in words.items()
        if dash in drawn
    )
    return (
        "<h3>Verified SRVR against the demand</h3><p>How much of the space is verified when the mean of f may fall "
        f"short of 1 by eps_m, with eps_v = {summary['eps_m_curve']['eps_v']:g}.</p>"
        f'<div class="legend">{items}</div><div class="curve" id="curve"></div>'
    )


def _cividis() -> str:
    """The colours of the maps, as a CSS gradient."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    stops = ", ".join(to_hex(colormaps["cividis"](x)) for x in np.linspace(0, 1, 9))
    return f"linear-gradient(90deg, {stops})"


_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)


def build_page(
    environment: SemanticEnvironment,
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    maps: SemanticMaps,
    sheets: Sequence[Sheet | None],
    config: str,
    versions: Mapping[str, str],
    opening: str = "",
) -> str:
    """The whole page as one text.

    Args:
        environment: set up; renders the views of the regions.
        rows: runs as in :func:`lightning_semrob.results.run_schema`.
        summary: as of :func:`lightning_semrob.report.tables.summarize`.
        maps, sheets: as of :func:`measure_maps`.
        config: the configuration that decides the numbers, as yaml.
        versions: of what the numbers depend on.
        opening: HTML of a section that comes first.
    """
    import yaml
    from plotly.offline import get_plotlyjs

    settings = yaml.safe_load(config) or {}
    model = settings.get("model") or {}
    methods = list(summary["methods"])
    axes, space = maps.axes, environment.space
    titles = _titles(environment)
    regions = _regions(rows, environment, axes, methods, model)
    shapes: list[dict[str, Any]] = []
    sections: dict[str, list[str]] = {}
    for number, shape in enumerate(environment.shapes):
        views = None
        if sheets[number] is not None:
            views = _region_views(environment, number, regions[number])
        else:
            for region in regions[number]:
                region["shots"] = []
        starts = list(dict.fromkeys(tuple(region["u0"]) for region in regions[number]))
        scores = maps.scores[:, number]
        if len(axes) == 2:
            scores = scores.transpose(1, 2)  # rows of the ordinate
        sheet = sheets[number]
        shapes.append(
            {
                "title": titles[number],
                "scores": _rounded(scores.tolist()),
                "starts": [list(u) for u in starts] or [[(axis.low + axis.high) / 2 for axis in axes]],
                "sheet": None if sheet is None else sheet.data(),
                "views": None if views is None else views.data(),
                "regions": [{k: v for k, v in region.items() if k != "row"} for region in regions[number]],
            }
        )
        section = _shape_section(number, titles[number], maps, regions[number], environment, methods)
        sections.setdefault(shape.class_name, []).append(section)
    curve = _curve(summary)
    data = {
        "axes": [_axis_data(axis, maps.values(k).tolist()) for k, axis in enumerate(axes)],
        "space": [_axis_data(axis, []) for axis in space],
        "networks": [{"name": network_label(name), "color": network_color(name)} for name in environment.networks],
        "methods": [{"name": name, "color": method_color(name)} for name in methods],
        "shapes": shapes,
        "classes": [_class_data(name, maps) for name in sections],
        "spread": _SPREAD,
        "curve": curve,
    }
    files = {name: (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")}
    content = [
        _head(environment, summary),
        _navigation(titles),
        f'<main>{opening}<section id="verdict" aria-label="Verdict">',
        _verdict_table(summary, rows),
        _findings(summary),
        "</section>",
        '<section id="regions"><h2>Where the networks work, and where not</h2>',
        _about_maps(maps, space),
        _legend(methods),
        *(
            f'<section class="class" aria-label="{_text(name)}">'
            f"{_class_section(k, name, maps)}{''.join(parts)}</section>"
            for k, (name, parts) in enumerate(sections.items())
        ),
        "</section>",
        _traps_section(page_traps(rows, maps, space, model, environment.seed), environment, maps),
        '<section id="numbers"><h2>All numbers</h2>',
        _table(srvr_table(summary), 2, "SRVR, percent of the space: mean volume of the boxes inside it"),
        _curve_section(summary, curve),
        "<h3>How the runs ended</h3>",
        '<div class="tables">',
        _table(count_table(summary["status"]), 1, "status"),
        _table(count_table(summary["verdict"]), 1, "verdict of Eq. 2"),
        _table(cost_table(summary), 1, "evaluations of f"),
        f"</div><p>The maps of this page took {maps.evaluations} evaluations more, every view rendered once.</p>",
        "</section>",
        _repeat(config, versions, settings),
        "</main>",
        "<footer>Made by lightning_semrob. Nothing on this page is loaded from a network.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        "<title>Semantic robustness: "
        + _text(", ".join(network_label(name) for name in environment.networks))
        + f"</title><style>:root {{ --cividis: {_cividis()}; }}\n{files['page.css']}</style></head><body>"
        + "\n".join(content)
        + f'<script type="application/json" id="data">{_json(data)}</script>\n'
        + f"<script>{get_plotlyjs()}</script>\n<script>{files['page.js']}</script></body></html>\n"
    )


def _plural(count: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{count} {word if count == 1 else plural}"


def _head(environment: SemanticEnvironment, summary: Mapping[str, Any]) -> str:
    axes = ", ".join(
        f"{axis.name.replace('_', ' ')} {_amount(axis.low, axis)} to {_amount(axis.high, axis)}"
        for axis in environment.space
    )
    counts = ", ".join(
        (
            _plural(len(environment.networks), "network"),
            f"{_plural(len(environment.shapes), 'shape')} of {_plural(len(environment.class_names), 'class')}",
            _plural(int(summary["runs"]), "run"),
        )
    )
    return (
        '<a class="skip" href="#verdict">Skip to the verdict</a><header class="top"><h1>Semantic robustness report</h1>'
        f'<p class="soft">{_text(counts)}, over {_text(axes)}</p></header>'
    )


def _navigation(titles: Sequence[str]) -> str:
    options = "".join(f'<option value="shape-{k}">{_text(title)}</option>' for k, title in enumerate(titles))
    return (
        '<nav class="bar" aria-label="Sections"><div><a href="#verdict">Verdict</a><a href="#regions">Maps</a>'
        '<a href="#traps">Traps</a>'
        '<a href="#numbers">Numbers</a><a href="#repeat">Repeat</a>'
        f"<label><span>Shape </span>"
        f'<select id="jump" aria-label="Shape"><option value="">shape …</option>{options}</select></label></div></nav>'
    )


def _about_maps(maps: SemanticMaps, space: SemanticSpace) -> str:
    steps = " and ".join(
        f"every {_amount(float(maps.values(k)[1] - maps.values(k)[0]), axis)} of {axis.name.replace('_', ' ')}"
        for k, axis in enumerate(maps.axes)
    )
    text = (
        f"The colour is the score of the true class, measured {steps}. Point at a map for the score and the rendering "
        "of the nearest measured view; click a box, or press a button of the table, for what is known about it. "
    )
    if len(maps.axes) == 2:
        text += "White dots are the initial points. "
    if len(maps.networks) > 1:
        text += (
            "Where the mean over the networks and the spread between them are both low every network fails, which "
            "speaks of the data; where the spread is high only some do."
        )
    result = f"<p>{_text(text)}</p>"
    if len(space) > len(maps.axes):
        others = ", ".join(
            f"{name.replace('_', ' ')} = {_amount(value, space.axes[space.names.index(name)])}"
            for name, value in maps.fixed.items()
        )
        names = " and ".join(axis.name.replace("_", " ") for axis in maps.axes).capitalize()
        result += (
            f"<p><strong>These maps show {len(maps.axes)} of {len(space)} axes.</strong> {_text(names)} vary and the "
            f"others stay at {_text(others)}. Boxes are drawn by their sides along the shown axes, whether they reach "
            "these values of the others or not.</p>"
        )
    return result


def _repeat(config: str, versions: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    table: Table = (["what", "version"], [[name, version] for name, version in versions.items()])
    seed = settings.get("seed_everything", 0)
    return (
        '<section id="repeat"><h2>Repeat it</h2><p>Save these settings as <code>config.yaml</code> (they also stand in '
        "the output folder) and run</p><pre>python evaluate.py --config config.yaml</pre>"
        f"<p>Everything random is fixed by seed {_text(seed)}.</p><pre>{_text(config)}</pre>"
        f"<h3>Versions</h3>{_table(table, 2)}</section>"
    )


# ---- files


def write_report(
    environment: SemanticEnvironment,
    folder: str | Path,
    grid: Sequence[int] | None = None,
    say: Callable[[str], None] = print,
) -> Path | None:
    """Write ``report.html`` (and ``maps.nc``) into the output folder of a finished job.

    Args:
        environment: of the job; see :func:`environment_of`.
        folder: holds ``config.yaml``, ``runs.parquet``, ``summary.json`` and ``versions.json``.
        grid: samples of the mapped axes; ``DEFAULT_GRID`` if None.
        say: where the sentence on size and cost goes.

    Returns:
        The path, or None where a package is missing; then ``say`` hears how to get it.

    Raises:
        ValueError: the folder holds no finished job, or the grid does not match the axes.
        OSError: the page cannot be written.
    """
    folder = Path(folder)
    missing = missing_packages()
    if missing is not None:
        say(missing)
        return None
    summary = read_summary(folder / "summary.json")
    try:
        rows = pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist()
        config = (folder / "config.yaml").read_text(encoding="utf-8")
        versions = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"'{folder}' does not hold a finished job ({error}): run evaluate.py again") from error
    maps, sheets, evaluations = measure_maps(environment, folder, grid)
    page = build_page(environment, rows, summary, maps, sheets, config, versions)
    path = folder / REPORT_FILE
    write_atomically(path, lambda file: _write_text(file, page))
    size = " x ".join(str(count) for count in maps.grid)
    cost = f"its {size} maps took {evaluations} evaluations of f" if evaluations else f"maps taken from {MAPS_FILE}"
    say(f"report: {path} ({path.stat().st_size / 2**20:.1f} MB; {cost})")
    return path


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def environment_of(folder: str | Path) -> SemanticEnvironment:
    """The environment of an old output folder, from its ``config.yaml``.

    Raises:
        ValueError: there is no such file, or it does not describe an environment.
    """
    import yaml
    from jsonargparse import ArgumentError, ArgumentParser

    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise ValueError(f"there is no '{path}': give the output folder of a job of evaluate.py")
    settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(SemanticEnvironment, "data")
    data = {"seed": int(settings.get("seed_everything") or 0)} | dict(settings.get("data") or {})
    try:
        made = parser.instantiate_classes(parser.parse_object({"data": data}))
    except (ArgumentError, TypeError, KeyError) as error:
        raise ValueError(f"'{path}' does not describe an environment: {error}") from error
    environment: SemanticEnvironment = made.data
    environment.setup()
    return environment


def report_folder(
    folder: str | Path, grid: Sequence[int] | None = None, say: Callable[[str], None] = print
) -> Path | None:
    """The page of an old output folder; see :func:`write_report`."""
    missing = missing_packages()
    if missing is not None:
        say(missing)
        return None
    return write_report(environment_of(folder), folder, saved_grid(folder) if grid is None else grid, say)
