"""The tables that ``evaluate.py`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_semrob.evaluation.summary import Comparison, Summary
from lightning_semrob.functional.uncertainty import MINIMUM_SHAPES, OF_VOLUMES, Difference
from lightning_semrob.networks.labels import labels_by_name, network_labels
from lightning_semrob.utilities.messages import percent

if TYPE_CHECKING:
    from lightning_semrob.maps.traps import Trap

#: Column names and lines of a table.
Table = tuple[list[str], list[list[str]]]


def srvr_table(summary: Summary) -> Table:
    """Columns and lines of :func:`format_srvr_table`."""
    methods = summary.methods
    columns = ["network", "class", *methods, "SRVR", "paper's raw", "SRVR verified"]
    tables = summary.srvr
    lines: list[list[str]] = []
    for i, network in enumerate(network_labels(summary.networks)):
        series = [tables["intersected"][method][i] for method in methods]
        series += [tables[volume]["mean"][i] for volume in ("intersected", "raw", "verified")]
        for j, class_name in enumerate(summary.classes):
            lines.append([network, class_name, *(percent(float(values[j])) for values in series)])
        if len(summary.classes) > 1:
            lines.append([network, "all classes", *(percent(float(values.nanmean())) for values in series)])
    return columns, lines


def format_srvr_table(summary: Summary) -> str:
    """SRVR in percent of the space by network and class: each method, the mean of the paper's three, raw, verified."""
    return format_table(*srvr_table(summary), left=2)


def format_verified_table(summary: Summary) -> str:
    """Verified SRVR of every method over all classes, percent of the space.

    With its interval over shapes where there are at least ``MINIMUM_SHAPES``.
    """
    methods = list(summary.intervals["verified"])
    lines = []
    for i, network in enumerate(network_labels(summary.networks)):
        line = [network]
        for method in methods:
            found = summary.intervals["verified"][method]
            estimate, low, high = (percent(float(values[i])) for values in (found.estimate, found.low, found.high))
            line.append(f"{estimate} [{low}, {high}]" if found.shapes >= MINIMUM_SHAPES else estimate)
        lines.append(line)
    return format_table(["network", *("mean of three" if m == "mean" else m for m in methods)], lines, left=1)


def format_curve(summary: Summary) -> str:
    """Verified SRVR, percent of the space, against eps_m, one line a network and method."""
    curve = summary.eps_m_curve
    lines = [
        [network, "mean of three" if name == "mean" else name, *(percent(float(x)) for x in values[i])]
        for i, network in enumerate(network_labels(summary.networks))
        for name, values in curve.verified_ratio.items()
        if name in ("mean", "verified")
    ]
    return format_table(["network", "method", *(f"{x:g}" for x in curve.eps_m)], lines, left=2) if lines else ""


def format_stability(summary: Summary) -> str:
    """How far the order of the networks depends on method and initial point."""
    lines = [
        [name, str(found.views), f"{found.kendall_tau:.2f}", percent(found.share_with_the_same_first, 0, " %")]
        for name, found in summary.rank_stability["intersected"].items()
    ]
    return format_table(["order over", "views", "Kendall tau", "same network first"], lines, left=1) if lines else ""


def format_comparisons(summary: Summary, names: Mapping[str, str] | None = None) -> str:
    """One sentence for each pair of networks by verified SRVR, with the verdict of the sign-flip test (Holm).

    A volume is a lower bound of one box around one point. It is therefore called larger or smaller, never more robust.
    ``names`` says what networks are called; their labels if None.
    """
    names = names or labels_by_name(summary.networks)
    method = "verified" if "verified" in summary.methods else "mean"
    lines = []
    for pair in summary.comparisons:
        if pair.volume == "verified" and pair.method == method:
            first, second = (names.get(name, name) for name in (pair.first, pair.second))
            lines.append(f"{first} against {second}: {difference_in_words(pair, 'verified SRVR')}")
    return "\n".join(lines)


def viewpoint_table(summary: Summary) -> Table:
    """Columns and lines: viewpoint accuracy of each network over all classes with its interval, and the mean score.

    In a job with nuisances also the mean spread of the scores over draws.
    """
    lines, spread = [], None
    if summary.viewpoints is not None:
        accuracy, score, shapes = summary.viewpoints.accuracy, summary.viewpoints.mean_score, summary.viewpoints.shapes
        spread = summary.viewpoints.spread
        for k, name in enumerate(network_labels(summary.networks)):
            found = (accuracy.estimate, accuracy.low, accuracy.high, score.estimate)
            estimate, low, high, mean = (percent(float(values[k])) for values in found)
            apart = [] if spread is None else [percent(float(spread[k]))]
            count = str(shapes - int(accuracy.shapes_skipped[k]))
            lines.append([name, estimate, f"{low} to {high}", mean, *apart, count])
    more = [] if spread is None else ["spread over draws, %"]
    return ["network", "accuracy, %", "interval", "mean score, %", *more, "shapes"], lines


def format_viewpoints(summary: Summary) -> str:
    """Viewpoint accuracy of every network, and who is more robust by it; empty where no view was asked for."""
    if summary.viewpoints is None:
        return ""
    return "\n".join([format_table(*viewpoint_table(summary), left=1), *viewpoint_pairs(summary)])


def viewpoint_pairs(summary: Summary) -> list[str]:
    """One sentence for each pair of networks, by viewpoint accuracy; none where no view was asked for."""
    names = labels_by_name(summary.networks)
    return [
        f"{names[pair.first]} against {names[pair.second]}: {difference_in_words(pair)}"
        for pair in (summary.viewpoints.comparisons if summary.viewpoints else [])
    ]


def difference_in_words(pair: Difference | Comparison, what: str = "") -> str:
    """A difference in words, in percentage points; ``what`` is larger or smaller if it is a volume."""
    text = verdict_in_words(pair.verdict, what)
    if pair.low != pair.low:
        return f"{text} ({pair.shapes} shapes)" if pair.shapes else text
    interval = f"{percent(pair.estimate)} [{percent(pair.low)}, {percent(pair.high)}]"
    return (
        f"{text} (difference {interval} points, p = {pair.p_value:.3f}, {pair.p_holm:.3f} for all pairs, "
        f"{pair.shapes} shapes; {power_in_words(pair)})"
    )


def verdict_in_words(verdict: str, what: str) -> str:
    """The verdict on a difference; of a volume, ``what`` is larger or smaller."""
    return f"{verdict} {what}" if verdict in OF_VOLUMES.values() else verdict


def power_in_words(pair: Difference | Comparison) -> str:
    """The smallest difference that so many shapes would show, in words."""
    if pair.detectable != pair.detectable:
        return "so few differ that no difference could be shown"
    return f"a difference of about {percent(pair.detectable, 1)} points would be shown"


def count_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """Columns and lines of counted words (statuses, verdicts), one line a method."""
    words = sorted({word for found in counts.values() for word in found})
    lines = [[method, *(str(found.get(word, 0)) for word in words)] for method, found in counts.items()]
    return ["method", *words], lines


def format_status_table(summary: Summary) -> str:
    """How the runs of every method ended, and what became of their boxes under Eq. 2."""
    robust = [[method, "n/a" if count is None else str(count)] for method, count in summary.u0_robust.items()]
    return "\n\n".join(
        [
            format_table(*count_table(summary.status), left=1),
            format_table(*count_table(summary.verdict), left=1),
            format_table(["method", "u0 itself robust"], robust, left=1),
        ]
    )


def format_gradient_audit(summary: Summary) -> str:
    """Whether the gradients that methods follow have the sign of the slope; empty where none was audited."""
    lines = []
    for method, axes in summary.gradient_audit.items():
        for axis, found in axes.items():
            verdict = "FAILS: its regions follow a wrong gradient" if found.fails else "no failure found"
            lines.append([method, axis, str(found.points), str(found.counted), str(found.right), verdict])
    columns = ["method", "axis", "points", "slope known", "sign right", "verdict"]
    return format_table(columns, lines, left=2) if lines else ""


def cost_table(summary: Summary) -> Table:
    """Columns and lines: evaluations of every method for growing, with gradients, for verification and audits."""
    cost = summary.cost
    names = ("evaluations", "gradient_evaluations", "verification_evaluations", "audit_evaluations")
    lines = [[method, *(str(cost[name][method]) for name in names)] for method in summary.methods]
    lines.append(["all", *(str(sum(cost[name].values())) for name in names)])
    return ["method", "growing", "with gradient", "verification", "gradient audit"], lines


def format_summary(summary: Summary, output: Path, trust: str = "") -> str:
    """Everything that ``evaluate.py`` prints of a finished job in the folder ``output``, tables first.

    Viewpoint accuracy comes first, ``trust`` (what its trust maps say) second, then SRVR.
    """
    curve, stability, comparisons = format_curve(summary), format_stability(summary), format_comparisons(summary)
    audit, level = format_gradient_audit(summary), f"{100 * summary.confidence:g} %"
    limited = sum(counts.get("iteration_limit", 0) for counts in summary.status.values())
    still = f"{limited} runs were still moving at the limit of updates; --model.num_iterations=60 lets them go on"
    lost = "\n".join(f"not measured: {name}: {reason}" for name, reason in summary.not_measured.items())
    noted = "\n".join(f"note: the mesh of {name} {note}" for name, notes in summary.notes.items() for note in notes)
    views = format_viewpoints(summary)
    asked = f"on {summary.viewpoints.views} views of the space of each shape" if summary.viewpoints else ""
    parts = [
        views and f"\nViewpoint accuracy: top-1 rate {asked}, mean over classes [{level} over shapes]\n{views}",
        trust and f"\n{trust}",
        "\nSRVR, percent of the space: mean volume of the boxes, intersected with it, over shapes and initial points.\n"
        "SRVR is the mean of naive, oir_b and oir_w, as in the paper; verified counts only boxes that satisfy Eq. 2.\n"
        + format_srvr_table(summary),
        f"\nVerified SRVR over all classes [{level} interval over shapes, from {MINIMUM_SHAPES} shapes on]\n"
        + format_verified_table(summary),
        "\n".join(summary.reach),
        comparisons and f"\nPairs by verified SRVR, which depends on calibration: how sure a network is\n{comparisons}",
        curve and f"\nVerified SRVR against eps_m, eps_v = {summary.eps_m_curve.eps_v:g}\n{curve}",
        stability and f"\nStability of the order of the networks, by intersected volume\n{stability}",
        f"\nHow the runs ended; verdicts of Eq. 2\n{format_status_table(summary)}",
        f"\n{still}" if limited else "",
        lost,
        noted,
        audit and f"\nGradients against slopes of f around initial points\n{audit}",
        f"\nEvaluations of f\n{format_table(*cost_table(summary), left=1)}",
        f"\n{summary.runs} runs in {summary.seconds:.0f} s; results in {output}/: runs.parquet, runs.csv, …",
    ]
    return "\n".join(part for part in parts if part)


def format_table(columns: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    """A plain-text table; the first ``left`` columns are aligned left."""
    widths = [max(len(columns[k]), *(len(line[k]) for line in lines)) for k in range(len(columns))]

    def join(cells: Sequence[str]) -> str:
        parts = [
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([join(columns), "-" * len(join(columns)), *(join(line) for line in lines)])


def format_traps(traps: Sequence[Trap], names: Sequence[str], most: int = 30) -> str:
    """Traps in their order: what, whose, where, how large and how deep; the last line counts those beyond ``most``."""
    lines, labels = [], labels_by_name([name for trap in traps for name in trap.networks])
    for number, trap in enumerate(traps[:most], 1):
        sides = [
            f"{a:.0f}" if a == b else f"{a:.0f} to {b:.0f}"
            for a, b in zip(trap.a.tolist(), trap.b.tolist(), strict=True)
        ]
        networks = labels[trap.networks[0]] if len(trap.networks) == 1 else f"all {len(trap.networks)}"
        worst = f"{trap.worst_score:.2f}"
        size = [percent(trap.volume), f"{trap.mean:.2f}", f"{trap.depth:.2f}", worst, trap.verdict]
        lines.append([str(number), trap.kind, networks, trap.class_name, trap.shape, *sides, *size])
    columns = ["", "kind", "network", "class", "shape", *names, "volume %", "mean f", "depth", "worst f", "adversarial"]
    text = format_table(columns, lines, left=5)
    return text if len(traps) <= most else f"{text}\nand {len(traps) - most} more"
