"""The tables that ``evaluate.py`` prints, and the summary that it saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.functional.volume_ratio import srvr

__all__ = ["format_srvr_table", "format_status_table", "summarize"]

Row = Mapping[str, Any]


def _unique(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _srvr_of(rows: Sequence[Row], column: str, networks: list[str], classes: list[str], methods: list[str]) -> Tensor:
    """SRVR (networks, classes) of the rows of the methods, by the functional twin of the metric."""
    chosen = [row for row in rows if row["method"] in methods]

    def groups(names: list[str], key: str) -> Tensor:
        return torch.tensor([names.index(row[key]) for row in chosen], dtype=torch.int64)

    ratio = torch.tensor([float("nan") if row[column] is None else row[column] for row in chosen], dtype=torch.float64)
    sizes = (len(networks), len(classes), len(methods))
    return srvr(ratio, groups(networks, "network"), groups(classes, "class_name"), groups(methods, "method"), sizes)


def summarize(rows: Sequence[Row], paper_methods: Sequence[str]) -> dict[str, Any]:
    """Everything the summary file holds: SRVR by network and class, statuses and costs.

    Args:
        rows: runs as in :func:`lightning_semrob.results.run_schema`.
        paper_methods: the methods whose mean is the paper's SRVR; NaN where one is absent.
    """
    networks, classes = _unique([row["network"] for row in rows]), _unique([row["class_name"] for row in rows])
    methods = _unique([row["method"] for row in rows])
    table: dict[str, Any] = {}
    for volume, column in (("intersected", "ratio"), ("raw", "raw_ratio")):
        table[volume] = {"mean": _srvr_of(rows, column, networks, classes, list(paper_methods))} | {
            method: _srvr_of(rows, column, networks, classes, [method]) for method in methods
        }
    status: dict[str, dict[str, int]] = {method: {} for method in methods}
    for row in rows:
        status[row["method"]][row["status"]] = status[row["method"]].get(row["status"], 0) + 1
    return {
        "networks": networks,
        "classes": classes,
        "methods": methods,
        "runs": len(rows),
        "srvr": table,
        "status": status,
        "evaluations": sum(row["evaluations"] for row in rows),
        "gradient_evaluations": sum(row["gradient_evaluations"] for row in rows),
    }


def _percent(value: float) -> str:
    return "n/a" if value != value else f"{100 * value:.2f}"


def format_srvr_table(summary: Mapping[str, Any]) -> str:
    """SRVR in percent of the space by network and class, with the mean over classes of each network."""
    methods = summary["methods"]
    columns = ["network", "class", *methods, "SRVR", "paper's raw"]
    intersected, raw = summary["srvr"]["intersected"], summary["srvr"]["raw"]
    lines: list[list[str]] = []
    for i, network in enumerate(summary["networks"]):
        series = [*(intersected[method][i] for method in methods), intersected["mean"][i], raw["mean"][i]]
        for j, class_name in enumerate(summary["classes"]):
            lines.append([network, class_name, *(_percent(float(values[j])) for values in series)])
        if len(summary["classes"]) > 1:
            lines.append([network, "all classes", *(_percent(float(values.nanmean())) for values in series)])
    return format_table(columns, lines, left=2)


def format_status_table(summary: Mapping[str, Any]) -> str:
    """How the runs of every method ended."""
    words = sorted({word for counts in summary["status"].values() for word in counts})
    lines = [[method, *(str(counts.get(word, 0)) for word in words)] for method, counts in summary["status"].items()]
    return format_table(["method", *words], lines, left=1)


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
