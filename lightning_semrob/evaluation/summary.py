"""What a job found, from its rows: SRVR with intervals and comparisons, statuses, verdicts and costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.evaluation.records import NOT_VERIFIED, Run
from lightning_semrob.functional.srvr import (
    rank_stability,
    shape_means,
    srvr,
    srvr_curve,
    verified_ratio,
)
from lightning_semrob.functional.uncertainty import ShapeInterval, mean_interval_over_shapes, paired_differences
from lightning_semrob.utilities.files import read_json
from lightning_semrob.verification.audit import agreement

__all__ = ["ratios_by_shape", "read_summary", "summarize"]

#: Thresholds of the curve of verified SRVR over eps_m.
EPS_M_GRID = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def _unique(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _ratios(rows: Sequence[Run], volume: str) -> Tensor:
    """Volume ratio of each row, (K,): ``intersected``, ``raw`` or ``verified``; NaN if it is not known."""
    ratio = _known([row.raw_ratio if volume == "raw" else row.ratio for row in rows])
    if volume != "verified":
        return ratio
    verdicts = [row.verdict for row in rows]
    unknown = torch.tensor([verdict == NOT_VERIFIED for verdict in verdicts], dtype=torch.bool)
    return verified_ratio(ratio, verdicts).masked_fill(unknown, torch.nan)


def _known(values: Sequence[float | None]) -> Tensor:
    """The values as a tensor, None as NaN."""
    return torch.tensor([float("nan") if value is None else value for value in values], dtype=torch.float64)


def _numbers(rows: Sequence[Run], names: list[str], key: str) -> Tensor:
    return torch.tensor([names.index(getattr(row, key)) for row in rows], dtype=torch.int64)


def _srvr_of(rows: Sequence[Run], volume: str, networks: list[str], classes: list[str], methods: list[str]) -> Tensor:
    """SRVR (networks, classes) of the rows of the methods, by the function that the metric uses too."""
    chosen = [row for row in rows if row.method in methods]
    sizes = (len(networks), len(classes), len(methods))
    groups = [(networks, "network"), (classes, "class_name"), (methods, "method")]
    network, class_index, method = (_numbers(chosen, names, key) for names, key in groups)
    return srvr(_ratios(chosen, volume), network, class_index, method, sizes)


def ratios_by_shape(rows: Sequence[Run], volume: str, networks: list[str], methods: list[str]) -> tuple[Tensor, Tensor]:
    """Mean ratio of each network and shape over methods and points (N, S), and the class of each shape (S,)."""
    chosen = [row for row in rows if row.method in methods]
    shapes = list(dict.fromkeys(row.shape for row in chosen))
    classes = _unique([class_name for class_name, _ in shapes])
    ratio = _ratios(chosen, volume)
    shape = torch.tensor([shapes.index(row.shape) for row in chosen], dtype=torch.int64)
    network = _numbers(chosen, networks, "network")
    values = [shape_means(ratio[network == k], shape[network == k], len(shapes)) for k in range(len(networks))]
    return torch.stack(values), torch.tensor([classes.index(class_name) for class_name, _ in shapes])


def _stability(
    rows: Sequence[Run], volume: str, networks: list[str], classes: list[str], methods: list[str]
) -> dict[str, Any]:
    """Whether the order of the networks depends on the method or on the initial point: Kendall's tau, and how often
    the network that is first on average is first."""
    if len(networks) < 2:
        return {}
    points = sorted({row.point for row in rows})
    views = {
        "methods": [_srvr_of(rows, volume, networks, classes, [method]).nanmean(1) for method in methods],
        "points": [
            torch.stack(
                [
                    _srvr_of([r for r in rows if r.point == point], volume, networks, classes, [m]).nanmean(1)
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
    rows: Sequence[Run], networks: list[str], groups: Mapping[str, Sequence[str]], eps_v: float
) -> dict[str, Any]:
    """Verified volume ratio against eps_m: method -> (networks, E).

    A box counts at every eps_m for which its bounds imply Eq. 2; at the run's own eps_m, if its verdict is valid.
    """
    eps_m = torch.tensor(EPS_M_GRID, dtype=torch.float64)
    curves: dict[str, Tensor] = {}
    for name, members in groups.items():
        per_network = []
        for network in networks:
            chosen = [row for row in rows if row.network == network and row.method in members]
            low = _known([row.judgement.mean_low for row in chosen])
            high = _known([row.judgement.variance_high for row in chosen])
            unknown = _ratios(chosen, "verified").isnan()
            ratio = _ratios(chosen, "intersected").masked_fill(unknown, torch.nan)
            curve = srvr_curve(ratio, low, high, eps_m, eps_v)
            per_network.append(curve.nanmean(1))
        curves[name] = torch.stack(per_network)
    return {"eps_m": list(EPS_M_GRID), "eps_v": eps_v, "verified_ratio": curves}


def _measured(rows: Sequence[Run], methods: Sequence[str]) -> int:
    """How many shapes have a measured run by one of the methods; files that cannot be read do not count."""
    return len({row.shape for row in rows if row.method in methods and row.status != "not_measured"})


def _viewpoints(rows: Sequence[Run], networks: list[str], confidence: float) -> dict[str, Any]:
    """Viewpoint accuracy and mean score of each network with intervals over shapes, and all pairs; empty if unknown."""
    seen = [run for run in rows if run.judgement.views]
    if not seen:
        return {}
    shapes = list(dict.fromkeys(run.shape for run in seen))
    classes = _unique([class_name for class_name, _ in shapes])
    labels = torch.tensor([classes.index(class_name) for class_name, _ in shapes])
    place = (_numbers(seen, networks, "network"), torch.tensor([shapes.index(run.shape) for run in seen]))
    values = torch.full((2, len(networks), len(shapes)), torch.nan, dtype=torch.float64)
    values[0][place] = _known([run.judgement.viewpoint_top1 for run in seen])
    values[1][place] = _known([run.judgement.viewpoint_score for run in seen])
    accuracy, score = (
        _columns([mean_interval_over_shapes(value, labels, confidence) for value in part]) for part in values
    )
    return {
        "views": max(run.judgement.views or 0 for run in seen),
        "evaluations": sum(run.judgement.views or 0 for run in seen),
        "shapes": len(shapes),
        "accuracy": accuracy,
        "mean_score": score,
        "classes": {
            name: {"accuracy": values[0][:, labels == k].nanmean(1), "mean_score": values[1][:, labels == k].nanmean(1)}
            for k, name in enumerate(classes)
        },
        "comparisons": [
            {"first": networks[first], "second": networks[second]} | difference._asdict()
            for first, second, difference in paired_differences(values[0], labels, confidence)
        ],
    }


def _columns(found: Sequence[ShapeInterval]) -> dict[str, Tensor]:
    """Estimate, ends and shapes left out of the networks, (N,) each."""
    estimate, low, high = (torch.tensor(x, dtype=torch.float64) for x in list(zip(*found, strict=True))[:3])
    skipped = torch.tensor([one.skipped for one in found])
    return {"estimate": estimate, "low": low, "high": high, "shapes_skipped": skipped}


def _gradient_audit(rows: Sequence[Run], methods: list[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Method -> axis -> how often the gradient had the sign of the slope, of methods whose gradients were audited."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for method in methods:
        audited = [row for row in rows if row.method == method and row.audit_evaluations]
        if not audited:
            continue
        names = list(audited[0].gradient_ratio)
        ratio = torch.stack([_known(list(row.gradient_ratio.values())) for row in audited])
        result[method] = {
            axis.axis: {"points": len(audited), "counted": axis.counted, "right": axis.right, "fails": axis.fails}
            for axis in agreement(ratio, names)
        }
    return result


def _robust_starts(rows: Sequence[Run]) -> int | None:
    """How many initial points are robust themselves; None if none was checked."""
    known = [row.judgement.u0_robust for row in rows if row.judgement.u0_robust is not None]
    return sum(known) if known else None


def summarize(
    rows: Sequence[Run], paper_methods: Sequence[str], confidence: float = 0.95, eps_m: float = 0.3, eps_v: float = 0.05
) -> dict[str, Any]:
    """Everything the summary file holds: SRVR with intervals and comparisons, statuses, verdicts and costs.

    Args:
        rows: the runs.
        paper_methods: the methods whose mean is the paper's SRVR; NaN where one is absent.
        confidence: of each interval of SRVR over shapes, and of the calls of all pairs (of a volume and method).
        eps_m, eps_v: the thresholds of Eq. 2 that the verdicts are about.
    """
    networks, classes = _unique([row.network for row in rows]), _unique([row.class_name for row in rows])
    methods = _unique([row.method for row in rows])
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
            found = [mean_interval_over_shapes(value, labels, confidence) for value in values]
            intervals[volume][name] = _columns(found) | {"shapes": _measured(rows, members)}
            comparisons += [
                {"first": networks[first], "second": networks[second], "volume": volume, "method": name}
                | difference._asdict()
                for first, second, difference in paired_differences(values, labels, confidence)
            ]
        stability[volume] = _stability(rows, volume, networks, classes, methods)

    def counted(column: str) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {method: {} for method in methods}
        for row in rows:
            word = getattr(row, column)
            counts[row.method][word] = counts[row.method].get(word, 0) + 1
        return counts

    def cost(spent: Callable[[Run], int]) -> dict[str, int]:
        return {method: sum(spent(row) for row in rows if row.method == method) for method in methods}

    costs = {
        "evaluations": cost(lambda run: run.evaluations),
        "gradient_evaluations": cost(lambda run: run.gradient_evaluations),
        "verification_evaluations": cost(lambda run: run.judgement.verification_evaluations or 0),
        "audit_evaluations": cost(lambda run: run.audit_evaluations),
    }

    return {
        "networks": networks,
        "classes": classes,
        "methods": methods,
        "runs": len(rows),
        "viewpoints": _viewpoints(rows, networks, confidence),
        "srvr": table,
        "confidence": confidence,
        "intervals": intervals,
        "comparisons": comparisons,
        "rank_stability": stability,
        "eps_m_curve": _eps_m_curve(rows, networks, groups, eps_v),
        "status": counted("status"),
        "verdict": counted("verdict"),
        "u0_robust": {method: _robust_starts([r for r in rows if r.method == method]) for method in methods},
        "cost": costs,
        "gradient_audit": _gradient_audit(rows, methods),
        **{name: sum(costs[name].values()) for name in costs if name != "audit_evaluations"},
    }


def read_summary(path: Path) -> dict[str, Any]:
    """The saved summary as :func:`summarize` made it: numbers as tensors, null as NaN.

    Raises:
        ValueError: the file is absent or not a summary.
    """
    try:
        saved = read_json(path)
        for name in ("viewpoints", "srvr", "intervals", "comparisons"):
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
