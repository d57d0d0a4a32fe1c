"""The printed sentences and tables of the trust maps of a job."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_semrob.functional.uncertainty import ShapeInterval
from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.report.tables import Table, format_table
from lightning_semrob.trust.summary import TrustSummary
from lightning_semrob.utilities.messages import percent


def _labels(trust: TrustSummary) -> dict[str, str]:
    return labels_by_name([line.network for line in trust.networks])


def _interval(found: ShapeInterval) -> str:
    text = percent(found.estimate, 0, " %")
    return text if found.shapes < 2 else f"{text} [{percent(found.low, 0)}, {percent(found.high, 0)}]"


def network_sentences(trust: TrustSummary) -> list[str]:
    """One sentence a network: where it is trusted and failing, its largest trusted region, its worst trap."""
    labels, level = _labels(trust), percent(trust.alpha, 0, " %")
    wrong = f"wrong calls <= {level}" if trust.error == "fdr" else f"any wrong call with probability <= {level}"
    sentences = []
    for line in trust.networks:
        own, count = [found for found in trust.maps if found.network == line.network], line.trusted.shapes
        text = (
            f"{labels[line.network]}: trusted in {percent(line.trusted.estimate, 0, ' %')} of the views of "
            f"{count} object{'s' if count != 1 else ''}, failing in {percent(line.failing.estimate, 0, ' %')}, "
            f"undecided in {percent(line.undecided.estimate, 0, ' %')} ({wrong})"
        )
        boxes = [(found.largest_box.share, found.shape, found.largest_box) for found in own if found.largest_box]
        if boxes:
            _, shape, box = max(boxes, key=lambda item: item[0])
            text += f"; largest trusted region of {shape}: {box.text}"
        traps = [
            (found.worst_trap.share * (1 - trust.eps - found.worst_trap.mean), found.shape, found.worst_trap)
            for found in own
            if found.worst_trap
        ]
        if traps:
            _, shape, trap = max(traps, key=lambda item: item[0])
            what = "rate of right answers" if trust.score == "top1" else "mean score"
            text += f"; worst trap: {shape}, {trap.text}, {what} {trap.mean:.2f}"
        sentences.append(text)
    return sentences


def pair_sentences(trust: TrustSummary) -> list[str]:
    """One sentence a pair of networks: who is more robust, and by how much."""
    labels, sentences = _labels(trust), []
    for (first, second), found in zip(trust.pairs, trust.comparisons, strict=True):
        names, estimate, low, high = (labels[first], labels[second]), found.estimate, found.low, found.high
        if found.verdict == "less robust":
            names, estimate, low, high = names[::-1], -estimate, -high, -low
        if found.verdict in ("more robust", "less robust"):
            text = f"{names[0]} is more robust than {names[1]} on these shapes by trusted share"
        else:
            text = f"{names[0]} and {names[1]}: {found.verdict} by trusted share"
        if low == low:
            text += f" (difference {percent(estimate, 0)} points [{percent(low, 0)}, {percent(high, 0)}], "
            text += f"p = {found.p_holm:.3f})"
        sentences.append(text)
    return sentences


def trust_headline(trust: TrustSummary) -> list[str]:
    """A few sentences for a stranger: each network, its best region, its worst trap, and who is more robust."""
    return [*network_sentences(trust), *pair_sentences(trust)]


def trust_table(trust: TrustSummary) -> Table:
    """Columns and lines of the shares of every network, with intervals over shapes.

    The true share lies between the trusted share and 1 minus the failing share.
    """
    labels = _labels(trust)
    lines = []
    for line in trust.networks:
        failing = line.failing
        most = failing._replace(estimate=1 - failing.estimate, low=1 - failing.high, high=1 - failing.low)
        shares = (_interval(line.trusted), _interval(most), percent(line.undecided.estimate, 0, " %"))
        lines.append([labels[line.network], _interval(line.top1), *shares])
    return ["network", "right answers", "trusted", "at most (1 - failing)", "undecided"], lines


def maps_table(trust: TrustSummary) -> Table:
    """Columns and lines of every map, percent of the space."""
    labels = _labels(trust)

    def shares(values: Sequence[float | None]) -> list[str]:
        return ["n/a" if value is None else percent(value, 0) for value in values]

    lines = [
        [
            labels[found.network],
            found.class_name,
            found.shape_id,
            *shares([found.trusted, found.failing, found.undecided, found.top1]),
            str(found.traps),
            str(found.evaluations),
        ]
        for found in trust.maps
    ]
    columns = ["network", "class", "shape", "trusted", "failing", "undecided", "right answers", "traps", "evaluations"]
    return columns, lines


def format_trust(trust: TrustSummary) -> str:
    """The headline, the shares of every network and those of every map."""
    tiles, rate = " x ".join(map(str, trust.tiles)), trust.score == "top1"
    what = "the rate of right answers" if rate else "the mean score"
    about = (
        f"A tile of the space ({tiles}) is trusted where {what} is >= {1 - trust.eps:g}, failing where it is "
        f"<= {trust.eps:g}.\nRight answers: rate over the space. [{percent(trust.confidence, 0, ' %')} interval over "
        "shapes]"
    )
    return "\n".join(
        [
            *trust_headline(trust),
            "",
            format_table(*trust_table(trust), left=1),
            about,
            "",
            "Every map, percent of the space",
            format_table(*maps_table(trust), left=3),
        ]
    )
