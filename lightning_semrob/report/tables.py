"""The tables that ``evaluate.py`` prints, and the summary that it saves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.evaluation.results import NOT_VERIFIED
from lightning_semrob.functional.srvr import (
    MINIMUM_SHAPES,
    bootstrap_interval,
    paired_difference,
    rank_stability,
    shape_means,
    srvr_curve,
    verified_ratio,
)
from lightning_semrob.functional.volume_ratio import srvr
from lightning_semrob.utilities.files import read_json
from lightning_semrob.utilities.messages import percent
from lightning_semrob.verification.audit import agreement

if TYPE_CHECKING:
    from lightning_semrob.maps.traps import Trap

__all__ = [
    "cost_table",
    "count_table",
    "format_comparisons",
    "format_cost_table",
    "format_curve",
    "format_gradient_audit",
    "format_srvr_table",
    "format_stability",
    "format_status_table",
    "format_table",
    "format_traps",
    "format_verified_table",
    "ratios_by_shape",
    "read_summary",
    "srvr_table",
    "summarize",
]

Row = Mapping[str, Any]
#: Column names and lines of a table.
Table = tuple[list[str], list[list[str]]]

#: Thresholds of the curve of verified SRVR over eps_m.
EPS_M_GRID = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def _unique(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _ratios(rows: Sequence[Row], volume: str) -> Tensor:
    """Volume ratio of each row, (K,): ``intersected``, ``raw`` or ``verified``; NaN where it is not known."""
    column = "raw_ratio" if volume == "raw" else "ratio"
    ratio = torch.tensor([float("nan") if row[column] is None else row[column] for row in rows], dtype=torch.float64)
    if volume != "verified":
        return ratio
    verdicts = [row["verdict"] for row in rows]
    unknown = torch.tensor([verdict == NOT_VERIFIED for verdict in verdicts], dtype=torch.bool)
    return verified_ratio(ratio, verdicts).masked_fill(unknown, torch.nan)


def _numbers(rows: Sequence[Row], names: list[str], key: str) -> Tensor:
    return torch.tensor([names.index(row[key]) for row in rows], dtype=torch.int64)


def _srvr_of(rows: Sequence[Row], volume: str, networks: list[str], classes: list[str], methods: list[str]) -> Tensor:
    """SRVR (networks, classes) of the rows of the methods, by the functional twin of the metric."""
    chosen = [row for row in rows if row["method"] in methods]
    sizes = (len(networks), len(classes), len(methods))
    groups = [(networks, "network"), (classes, "class_name"), (methods, "method")]
    network, class_index, method = (_numbers(chosen, names, key) for names, key in groups)
    return srvr(_ratios(chosen, volume), network, class_index, method, sizes)


def ratios_by_shape(rows: Sequence[Row], volume: str, networks: list[str], methods: list[str]) -> tuple[Tensor, Tensor]:
    """Mean ratio of each network and shape over methods and points (N, S), and the class of each shape (S,)."""
    chosen = [row for row in rows if row["method"] in methods]
    shapes = list(dict.fromkeys((row["class_name"], row["shape_id"]) for row in chosen))
    classes = _unique([class_name for class_name, _ in shapes])
    ratio = _ratios(chosen, volume)
    shape = torch.tensor([shapes.index((row["class_name"], row["shape_id"])) for row in chosen], dtype=torch.int64)
    network = _numbers(chosen, networks, "network")
    values = [shape_means(ratio[network == k], shape[network == k], len(shapes)) for k in range(len(networks))]
    return torch.stack(values), torch.tensor([classes.index(class_name) for class_name, _ in shapes])


def _stability(
    rows: Sequence[Row], volume: str, networks: list[str], classes: list[str], methods: list[str]
) -> dict[str, Any]:
    """Whether the order of the networks depends on the method or on the initial point: Kendall's tau, and how often
    the network that is first on average is first."""
    if len(networks) < 2:
        return {}
    points = sorted({row["point"] for row in rows})
    views = {
        "methods": [_srvr_of(rows, volume, networks, classes, [method]).nanmean(1) for method in methods],
        "points": [
            torch.stack(
                [
                    _srvr_of([r for r in rows if r["point"] == point], volume, networks, classes, [m]).nanmean(1)
                    for m in methods
                ]
            ).mean(0)
            for point in points
        ],
    }
    found = {}
    for name, values in views.items():
        tau, share = rank_stability(torch.stack(values))
        found[name] = {"views": len(values), "kendall_tau": tau, "share_with_the_same_first": share}
    return found


def _eps_m_curve(
    rows: Sequence[Row], networks: list[str], groups: Mapping[str, Sequence[str]], eps_m_of_run: float, eps_v: float
) -> dict[str, Any]:
    """Verified volume ratio against eps_m: method -> (networks, E).

    A box counts where its intervals imply Eq. 2, and from the run's own eps_m on where its verdict is valid.
    """
    eps_m = torch.tensor(EPS_M_GRID, dtype=torch.float64)
    curves: dict[str, Tensor] = {}
    for name, members in groups.items():
        per_network = []
        for network in networks:
            chosen = [row for row in rows if row["network"] == network and row["method"] in members]
            low, high = (
                torch.tensor([float("nan") if row.get(c) is None else row[c] for row in chosen], dtype=torch.float64)
                for c in ("mean_low", "variance_high")
            )
            unknown = _ratios(chosen, "verified").isnan()
            ratio = _ratios(chosen, "intersected").masked_fill(unknown, torch.nan)
            curve = srvr_curve(ratio, low, high, eps_m, eps_v)
            own = eps_m[:, None] >= eps_m_of_run - 1e-9
            curve = torch.where(own, torch.maximum(curve, _ratios(chosen, "verified")), curve)
            per_network.append(curve.nanmean(1))
        curves[name] = torch.stack(per_network)
    return {"eps_m": list(EPS_M_GRID), "eps_v": eps_v, "verified_ratio": curves}


def _gradient_audit(rows: Sequence[Row], methods: list[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Method -> axis -> how often the gradient had the sign of the slope, of methods whose gradients were audited."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for method in methods:
        audited = [row for row in rows if row["method"] == method and row.get("audit_evaluations")]
        if not audited:
            continue
        names = [name.removeprefix("gradient_ratio_") for name in audited[0] if name.startswith("gradient_ratio_")]
        ratios = [[row[f"gradient_ratio_{name}"] for name in names] for row in audited]
        ratio = torch.tensor([[math.nan if x is None else x for x in line] for line in ratios], dtype=torch.float64)
        result[method] = {
            axis.axis: {"points": len(audited), "counted": axis.counted, "right": axis.right, "fails": axis.fails}
            for axis in agreement(ratio, names)
        }
    return result


def _robust_starts(rows: Sequence[Row]) -> int | None:
    """How many initial points are robust themselves; None where none was checked."""
    known = [bool(row["u0_robust"]) for row in rows if row.get("u0_robust") is not None]
    return sum(known) if known else None


def summarize(
    rows: Sequence[Row], paper_methods: Sequence[str], confidence: float = 0.95, eps_m: float = 0.3, eps_v: float = 0.05
) -> dict[str, Any]:
    """Everything the summary file holds: SRVR with intervals and comparisons, statuses, verdicts and costs.

    Args:
        rows: runs as in :func:`lightning_semrob.evaluation.results.run_schema`.
        paper_methods: the methods whose mean is the paper's SRVR; NaN where one is absent.
        confidence: of the bootstrap intervals (clustered by shape) of SRVR and of paired differences.
        eps_m, eps_v: the thresholds of Eq. 2 that the verdicts are about.
    """
    networks, classes = _unique([row["network"] for row in rows]), _unique([row["class_name"] for row in rows])
    methods = _unique([row["method"] for row in rows])
    together = {"mean": list(paper_methods)} if set(paper_methods) <= set(methods) else {}
    groups = together | {method: [method] for method in methods}
    table: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    comparisons: list[dict[str, Any]] = []
    stability: dict[str, Any] = {}
    for volume in ("intersected", "raw", "verified"):
        table[volume] = {"mean": _srvr_of(rows, volume, networks, classes, list(paper_methods))} | {
            method: _srvr_of(rows, volume, networks, classes, [method]) for method in methods
        }
        intervals[volume] = {}
        for name, members in groups.items():
            values, labels = ratios_by_shape(rows, volume, networks, members)
            estimate, low, high, skipped = bootstrap_interval(values, labels, confidence)
            # A volume ratio lies in [0, 1]; the rescaled bootstrap does not know.
            intervals[volume][name] = {"estimate": estimate, "low": low.clamp_min(0), "high": high.clamp_max(1)}
            intervals[volume][name] |= {"shapes": len(labels), "shapes_skipped": skipped}
            for first, second in combinations(range(len(networks)), 2):
                difference = paired_difference(values[first], values[second], labels, confidence)._asdict()
                pair = {"first": networks[first], "second": networks[second], "volume": volume, "method": name}
                comparisons.append(pair | difference)
        stability[volume] = _stability(rows, volume, networks, classes, methods)

    def counted(column: str) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {method: {} for method in methods}
        for row in rows:
            counts[row["method"]][row[column]] = counts[row["method"]].get(row[column], 0) + 1
        return counts

    def cost(column: str) -> dict[str, int]:
        return {method: sum(row.get(column) or 0 for row in rows if row["method"] == method) for method in methods}

    return {
        "networks": networks,
        "classes": classes,
        "methods": methods,
        "runs": len(rows),
        "srvr": table,
        "confidence": confidence,
        "intervals": intervals,
        "comparisons": comparisons,
        "rank_stability": stability,
        "eps_m_curve": _eps_m_curve(rows, networks, groups, eps_m, eps_v),
        "status": counted("status"),
        "verdict": counted("verdict"),
        "u0_robust": {method: _robust_starts([r for r in rows if r["method"] == method]) for method in methods},
        "cost": {
            "evaluations": cost("evaluations"),
            "gradient_evaluations": cost("gradient_evaluations"),
            "verification_evaluations": cost("verification_evaluations"),
            "audit_evaluations": cost("audit_evaluations"),
        },
        "gradient_audit": _gradient_audit(rows, methods),
        "evaluations": sum(row["evaluations"] for row in rows),
        "gradient_evaluations": sum(row["gradient_evaluations"] for row in rows),
        "verification_evaluations": sum(row.get("verification_evaluations") or 0 for row in rows),
    }


def read_summary(path: Path) -> dict[str, Any]:
    """The saved summary as :func:`summarize` made it: numbers as tensors, null as NaN.

    Raises:
        ValueError: the file is absent or not a summary.
    """
    try:
        saved = read_json(path)
        for name in ("srvr", "intervals", "comparisons"):
            saved[name] = _numeric(saved[name])
        saved["eps_m_curve"]["verified_ratio"] = _numeric(saved["eps_m_curve"]["verified_ratio"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"'{path}' is not the summary of a finished job ({error}): run evaluate.py again") from error
    summary: dict[str, Any] = saved
    return summary


def _numeric(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numeric(item) for key, item in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            return [_numeric(item) for item in value]
        return torch.from_numpy(np.array(value, dtype=np.float64))  # None becomes NaN
    return float("nan") if value is None else value


def srvr_table(summary: Mapping[str, Any]) -> Table:
    """Columns and lines of :func:`format_srvr_table`."""
    methods = summary["methods"]
    columns = ["network", "class", *methods, "SRVR", "paper's raw", "SRVR verified"]
    tables = summary["srvr"]
    lines: list[list[str]] = []
    for i, network in enumerate(summary["networks"]):
        series = [tables["intersected"][method][i] for method in methods]
        series += [tables[volume]["mean"][i] for volume in ("intersected", "raw", "verified")]
        for j, class_name in enumerate(summary["classes"]):
            lines.append([network, class_name, *(percent(float(values[j])) for values in series)])
        if len(summary["classes"]) > 1:
            lines.append([network, "all classes", *(percent(float(values.nanmean())) for values in series)])
    return columns, lines


def format_srvr_table(summary: Mapping[str, Any]) -> str:
    """SRVR in percent of the space by network and class, and over the classes of each network.

    One column a method, then the mean of the paper's three methods: intersected, by the paper's formula, verified.
    """
    return format_table(*srvr_table(summary), left=2)


def format_verified_table(summary: Mapping[str, Any]) -> str:
    """Verified SRVR of every method over all classes, percent of the space.

    With its interval over shapes where there are at least ``MINIMUM_SHAPES``.
    """
    methods = list(summary["intervals"]["verified"])
    lines = []
    for i, network in enumerate(summary["networks"]):
        line = [network]
        for method in methods:
            found = summary["intervals"]["verified"][method]
            estimate = percent(float(found["estimate"][i]))
            low, high = percent(float(found["low"][i])), percent(float(found["high"][i]))
            line.append(f"{estimate} [{low}, {high}]" if found["shapes"] >= MINIMUM_SHAPES else estimate)
        lines.append(line)
    return format_table(["network", *("mean of three" if m == "mean" else m for m in methods)], lines, left=1)


def format_curve(summary: Mapping[str, Any]) -> str:
    """Verified SRVR, percent of the space, against eps_m, one line a network and method."""
    curve = summary["eps_m_curve"]
    lines = [
        [network, "mean of three" if name == "mean" else name, *(percent(float(x)) for x in values[i])]
        for i, network in enumerate(summary["networks"])
        for name, values in curve["verified_ratio"].items()
        if name in ("mean", "verified")
    ]
    return format_table(["network", "method", *(f"{x:g}" for x in curve["eps_m"])], lines, left=2) if lines else ""


def format_stability(summary: Mapping[str, Any], volume: str = "intersected") -> str:
    """How far the order of the networks depends on method and initial point."""
    lines = [
        [name, str(found["views"]), f"{found['kendall_tau']:.2f}", f"{100 * found['share_with_the_same_first']:.0f} %"]
        for name, found in summary["rank_stability"][volume].items()
    ]
    return format_table(["order over", "views", "Kendall tau", "same network first"], lines, left=1) if lines else ""


def format_comparisons(summary: Mapping[str, Any], volume: str = "verified") -> str:
    """One sentence for each pair of networks; "more robust" only where the paired interval excludes zero."""
    method = "verified" if "verified" in summary["methods"] else "mean"
    lines = []
    for pair in summary["comparisons"]:
        if pair["volume"] != volume or pair["method"] != method:
            continue
        text = f"{pair['first']} against {pair['second']}: {pair['verdict']}"
        if pair["low"] == pair["low"]:
            text += (
                f" (difference {percent(pair['estimate'])} [{percent(pair['low'])}, {percent(pair['high'])}] "
                f"percent of the space, p = {pair['p_value']:.3f}, {pair['shapes']} shapes)"
            )
        elif pair["shapes"]:
            text += f" ({pair['shapes']} shapes)"
        lines.append(text)
    return "\n".join(lines)


def count_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """Columns and lines of counted words (statuses, verdicts), one line a method."""
    words = sorted({word for found in counts.values() for word in found})
    lines = [[method, *(str(found.get(word, 0)) for word in words)] for method, found in counts.items()]
    return ["method", *words], lines


def format_status_table(summary: Mapping[str, Any]) -> str:
    """How the runs of every method ended, and what became of their boxes under Eq. 2."""
    robust = [[method, "n/a" if count is None else str(count)] for method, count in summary["u0_robust"].items()]
    return "\n\n".join(
        [
            format_table(*count_table(summary["status"]), left=1),
            format_table(*count_table(summary["verdict"]), left=1),
            format_table(["method", "u0 itself robust"], robust, left=1),
        ]
    )


def gradient_audit_table(summary: Mapping[str, Any]) -> Table:
    """Columns and lines of :func:`format_gradient_audit`."""
    lines = []
    for method, axes in summary.get("gradient_audit", {}).items():
        for axis, found in axes.items():
            verdict = "FAILS: its regions follow a wrong gradient" if found["fails"] else "no failure found"
            lines.append([method, axis, str(found["points"]), str(found["counted"]), str(found["right"]), verdict])
    return ["method", "axis", "points", "slope known", "sign right", "verdict"], lines


def format_gradient_audit(summary: Mapping[str, Any]) -> str:
    """Whether the gradients that methods follow have the sign of the slope; empty where none was audited."""
    columns, lines = gradient_audit_table(summary)
    return format_table(columns, lines, left=2) if lines else ""


def cost_table(summary: Mapping[str, Any]) -> Table:
    """Columns and lines of :func:`format_cost_table`."""
    cost = summary["cost"]
    names = ("evaluations", "gradient_evaluations", "verification_evaluations", "audit_evaluations")
    lines = [[method, *(str(cost[name][method]) for name in names)] for method in summary["methods"]]
    lines.append(["all", *(str(sum(cost[name].values())) for name in names)])
    return ["method", "growing", "with gradient", "verification", "gradient audit"], lines


def format_cost_table(summary: Mapping[str, Any]) -> str:
    """Evaluations of every method: growing, gradients among them, verification, audit of the gradients."""
    return format_table(*cost_table(summary), left=1)


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
    """Traps in their order: what, whose, where, how large and how deep.

    Args:
        traps: as found.
        names: of the axes.
        most: lines at most; the last line says how many are left out.
    """
    lines = []
    for number, trap in enumerate(traps[:most], 1):
        sides = [
            f"{a:.0f}" if a == b else f"{a:.0f} to {b:.0f}"
            for a, b in zip(trap.a.tolist(), trap.b.tolist(), strict=True)
        ]
        networks = trap.networks[0] if len(trap.networks) == 1 else f"all {len(trap.networks)}"
        worst = f"{trap.worst_score:.2f}"
        size = [percent(trap.volume), f"{trap.mean:.2f}", f"{trap.depth:.2f}", worst, trap.verdict]
        lines.append([str(number), trap.kind, networks, trap.class_name, trap.shape, *sides, *size])
    columns = ["", "kind", "network", "class", "shape", *names, "volume %", "mean f", "depth", "worst f", "adversarial"]
    text = format_table(columns, lines, left=5)
    return text if len(traps) <= most else f"{text}\nand {len(traps) - most} more"
