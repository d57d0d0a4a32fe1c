"""The parts of the report page, each from the tables and maps of a job to HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.functional.uncertainty import MINIMUM_SHAPES
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.report.figures import method_color, network_color, network_label
from lightning_semrob.report.page.markup import html_table, html_text, network_name, swatch
from lightning_semrob.report.page.regions import Row, amount, interval_text
from lightning_semrob.report.tables import Table, format_comparisons
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.messages import percent

__all__ = [
    "SPREAD",
    "about_maps",
    "class_section",
    "curve_section",
    "findings",
    "head",
    "legend",
    "navigation",
    "repeat_section",
    "shape_section",
    "verdict_table",
]

#: End of the colours of the spread between networks: that of two that disagree wholly.
SPREAD = 0.5


def plural(count: int, word: str) -> str:
    """``1 shape``, ``2 shapes``, ``2 classes``."""
    many = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{count} {word if count == 1 else many}"


def head(environment: SemanticEnvironment, summary: Mapping[str, Any]) -> str:
    """Title, counts and axes."""
    axes = ", ".join(
        f"{axis.name.replace('_', ' ')} {amount(axis.low, axis)} to {amount(axis.high, axis)}"
        for axis in environment.space
    )
    counts = ", ".join(
        (
            plural(len(environment.networks), "network"),
            f"{plural(len(environment.shapes), 'shape')} of {plural(len(environment.class_names), 'class')}",
            plural(int(summary["runs"]), "run"),
        )
    )
    return (
        '<a class="skip" href="#verdict">Skip to the verdict</a><header class="top"><h1>Semantic robustness report</h1>'
        f'<p class="soft">{html_text(counts)}, over {html_text(axes)}</p></header>'
    )


def navigation(titles: Sequence[str]) -> str:
    options = "".join(f'<option value="shape-{k}">{html_text(title)}</option>' for k, title in enumerate(titles))
    return (
        '<nav class="bar" aria-label="Sections"><div><a href="#verdict">Verdict</a><a href="#regions">Maps</a>'
        '<a href="#traps">Traps</a>'
        '<a href="#numbers">Numbers</a><a href="#repeat">Repeat</a>'
        f"<label><span>Shape </span>"
        f'<select id="jump" aria-label="Shape"><option value="">shape …</option>{options}</select></label></div></nav>'
    )


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


def verdict_table(summary: Mapping[str, Any], rows: Sequence[Row]) -> str:
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
        paper = "n/a" if grown is None else percent(float(grown["estimate"][k]), unit=" %")
        share = percent(estimate, unit=" %")
        lines.append(
            f'<tr><th scope="row">{network_name(network)}</th>'
            f'<td><span class="figure">{share}</span><br><span class="soft small">{text}</span></td>'
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
        f"<p>Verified SRVR is the share of the space that the boxes {html_text(who)} fill and in which the network is "
        f"known to satisfy the paper's definition of robust.{short}</p>"
        '<table class="verdicts"><thead><tr><th scope="col">network</th><th scope="col">verified SRVR</th>'
        '<th scope="col" class="wide"><span class="skip">interval</span></th>'
        '<th scope="col" class="number wide">SRVR of the paper\'s finders, not verified</th>'
        '<th scope="col" class="number">valid boxes</th>'
        f"</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def findings(summary: Mapping[str, Any]) -> str:
    """Who is more robust, where the data can tell, and where they cannot."""
    lines = format_comparisons(summary).splitlines()
    if len(summary["networks"]) > 1 and not lines:
        lines.append("the networks are not compared: that takes the verified finder, or all three of the paper's")
    lines += [f"not measured: {name}: {reason}" for name, reason in (summary.get("not_measured") or {}).items()]
    if not lines:
        return ""
    items = "".join(f"<li>{html_text(line)}</li>" for line in lines)
    return f'<div class="findings"><strong>What the data can tell</strong><ul>{items}</ul></div>'


def legend(methods: Sequence[str]) -> str:
    """What the colours and lines of the maps mean, with a switch for the boxes of each method."""
    boxes = "".join(
        f'<label><input type="checkbox" checked data-method="{k}"> '
        f'<span class="stroke" style="--c:{method_color(name)}"></span>{html_text(name)}</label>'
        for k, name in enumerate(methods)
    )
    return (
        f'<fieldset class="legend"><legend>Boxes</legend>{boxes}'
        '<span><span class="stroke" style="--c:#1b1f24"></span>satisfies Eq. 2</span>'
        '<span><span class="stroke broken" style="--c:#1b1f24"></span>does not, or undecided</span>'
        '<span class="ramp">score 0 <i></i> 1</span></fieldset>'
    )


def about_maps(maps: SemanticMaps, space: SemanticSpace) -> str:
    """How the maps were measured, and what of the space they show."""
    steps = " and ".join(
        f"every {amount(float(maps.values(k)[1] - maps.values(k)[0]), axis)} of {axis.name.replace('_', ' ')}"
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
    result = f"<p>{html_text(text)}</p>"
    if len(space) > len(maps.axes):
        others = ", ".join(
            f"{name.replace('_', ' ')} = {amount(value, space.axes[space.names.index(name)])}"
            for name, value in maps.fixed.items()
        )
        names = " and ".join(axis.name.replace("_", " ") for axis in maps.axes).capitalize()
        result += (
            f"<p><strong>These maps show {len(maps.axes)} of {len(space)} axes.</strong> {html_text(names)} vary and "
            f"the others stay at {html_text(others)}. Boxes are drawn by their sides along the shown axes, whether "
            "they reach these values of the others or not.</p>"
        )
    return result


def region_table(regions: Sequence[Mapping[str, Any]], environment: SemanticEnvironment, methods: list[str]) -> str:
    """One line a run, with the button that picks its box."""
    lines = []
    for region in regions:
        row = region["row"]
        share = "n/a" if row.get("ratio") is None else f"{100 * row['ratio']:.2f}"
        drawn = "" if region["outlines"] else ' <span class="soft">(cannot be drawn)</span>'
        worst = "n/a" if row.get("worst_score") is None else f"{row['worst_score']:.3f}"
        number, verdict = region["id"], html_text(row["verdict"])
        lines.append(
            f'<tr data-region="{number}"><th scope="row">{network_name(environment.networks[region["network"]])}</th>'
            f'<td><button type="button" data-region="{number}" aria-pressed="false">'
            f"{swatch(method_color(methods[region['method']]))}{html_text(methods[region['method']])}, "
            f"point {region['point'] + 1}</button>{drawn}</td>"
            f'<td><span class="chip {verdict.replace(" ", "-")}">{verdict}</span></td>'
            f'<td class="number">{share}</td><td class="number">{interval_text(row, "mean") or "n/a"}</td>'
            f'<td class="number">{worst}</td><td>{html_text(row["status"].replace("_", " "))}</td>'
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


def shape_section(
    number: int,
    title: str,
    maps: SemanticMaps,
    regions: list[dict[str, Any]],
    environment: SemanticEnvironment,
    methods: list[str],
) -> str:
    """The maps of one shape, a view beside them, and the table of its regions."""
    figures = []
    for k, network in enumerate(environment.networks):
        mean = float(maps.scores[k, number].double().nanmean())
        known = "not measured" if mean != mean else f"mean score {mean:.2f}"
        label = f"Map of {network_label(network)} for {title}: arrow keys move the point, Enter picks the box there"
        kind = "map line" if len(maps.axes) == 1 else "map"
        figures.append(
            f'<figure><figcaption>{network_name(network)} <span class="soft">{known}</span></figcaption>'
            f'<div class="{kind}" data-network="{k}" tabindex="0" role="application" '
            f'aria-label="{html_text(label)}"></div></figure>'
        )
    return (
        f'<section class="shape" id="shape-{number}" data-shape="{number}"><h3 class="name">{html_text(title)}</h3>'
        f'<div class="stage"><div class="maps">{"".join(figures)}</div>'
        f'<aside class="view" aria-label="{html_text("View of " + title)}"></aside></div>'
        f"{region_table(regions, environment, methods)}</section>"
    )


def class_section(number: int, name: str, maps: SemanticMaps) -> str:
    """What all networks make of a class, and where they differ; nothing for a single network."""
    if len(maps.networks) < 2:
        return ""
    shapes = plural(sum(one == name for one in maps.class_names), "shape")
    words = {
        "mean": f"mean score over {len(maps.networks)} networks and {shapes}",
        "spread": f"spread between the networks (standard deviation, colours from 0 to {SPREAD:g})",
    }
    kind = "map line plain" if len(maps.axes) == 1 else "map plain"
    figures = "".join(
        f'<figure><figcaption>{text}</figcaption><div class="{kind}" data-class="{number}" data-kind="{what}" '
        f'role="img" aria-label="{html_text(f"{name}: {text}")}"></div></figure>'
        for what, text in words.items()
    )
    title = html_text(name.replace("_", " "))
    return f'<h3 class="name">{title}: all networks together</h3><div class="pair">{figures}</div>'


def curve_section(summary: Mapping[str, Any], curve: Mapping[str, Any] | None) -> str:
    """Verified SRVR against eps_m; nothing where it was not computed."""
    if curve is None:
        return ""
    items = "".join(f"<span>{network_name(network)}</span>" for network in summary["networks"])
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


def repeat_section(config: str, versions: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """Settings, command and versions."""
    table: Table = (["what", "version"], [[name, version] for name, version in versions.items()])
    seed = settings.get("seed_everything", 0)
    return (
        '<section id="repeat"><h2>Repeat it</h2><p>Save these settings as <code>config.yaml</code> (they also stand in '
        "the output folder) and run</p><pre>python evaluate.py --config config.yaml</pre>"
        f"<p>Everything random is fixed by seed {html_text(seed)}.</p><pre>{html_text(config)}</pre>"
        f"<h3>Versions</h3>{html_table(table, 2)}</section>"
    )
