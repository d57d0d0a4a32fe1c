"""What a job found, from its rows: SRVR with intervals and comparisons, statuses, verdicts and costs.

Over 400 lines, because what a summary holds, how it is made and how it is read again belong together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.evaluation.records import Run
from lightning_semrob.finders.statement import NOT_VERIFIED
from lightning_semrob.functional.srvr import rank_stability, shape_means, srvr, srvr_curve, verified_ratio
from lightning_semrob.functional.uncertainty import (
    OF_VOLUMES,
    Difference,
    ShapeInterval,
    mean_interval_over_shapes,
    paired_differences,
)
from lightning_semrob.networks.runtime import Runtime
from lightning_semrob.trust.summary import TrustSummary
from lightning_semrob.utilities.files import read_json
from lightning_semrob.utilities.record import Record
from lightning_semrob.verification.audit import agreement

if TYPE_CHECKING:
    from typing_extensions import Self

#: Thresholds of the curve of verified SRVR over eps_m.
EPS_M_GRID = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, eq=False)
class Intervals(Record):
    """Means of the networks with their intervals over shapes, (N,) each.

    Attributes:
        estimate, low, high: float64.
        shapes_skipped: shapes that a network has no value for.
        shapes: that were measured at all.
    """

    estimate: Tensor
    low: Tensor
    high: Tensor
    shapes_skipped: Tensor
    shapes: int

    @classmethod
    def of(cls, found: Sequence[ShapeInterval], shapes: int) -> Intervals:
        """The intervals of the networks, in their order."""
        estimate, low, high = (torch.tensor(x, dtype=torch.float64) for x in list(zip(*found, strict=True))[:3])
        return cls(estimate, low, high, torch.tensor([one.skipped for one in found]), shapes)


@dataclass(frozen=True, eq=False)
class Comparison(Record):
    """Two networks, first minus second; see :class:`~lightning_semrob.functional.uncertainty.Difference`."""

    first: str
    second: str
    estimate: float
    low: float
    high: float
    p_value: float
    shapes: int
    skipped: int
    verdict: str
    p_holm: float
    detectable: float

    @property
    def difference(self) -> Difference:
        """Without the names."""
        return Difference(**{name: self[name] for name in Difference._fields})

    def of_volume(self) -> Self:
        """The same about volumes, in the words of :data:`~lightning_semrob.functional.uncertainty.OF_VOLUMES`."""
        return replace(self, verdict=OF_VOLUMES.get(self.verdict, self.verdict))


@dataclass(frozen=True, eq=False)
class VolumeComparison(Comparison):
    """Two networks by one volume of the boxes of one method (``mean`` of the paper's three)."""

    volume: str
    method: str


@dataclass(frozen=True, eq=False)
class Viewpoints(Record):
    """Viewpoint accuracy and mean score, on views of the whole space.

    Attributes:
        views: of each shape; evaluations: of all shapes and networks together.
        shapes: that were looked at.
        accuracy, mean_score: of the networks, over all classes.
        classes: class -> the same two, (N,) each.
        comparisons: all pairs, by accuracy.
        spread: of the networks, (N,): mean standard deviation of the score over the draws of nuisances; None without.
    """

    views: int
    evaluations: int
    shapes: int
    accuracy: Intervals
    mean_score: Intervals
    classes: dict[str, dict[str, Tensor]]
    comparisons: list[Comparison]
    spread: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Stability(Record):
    """How well several views (methods, or initial points) agree on the order of the networks."""

    views: int
    kendall_tau: float
    share_with_the_same_first: float


@dataclass(frozen=True, eq=False)
class Curve(Record):
    """Verified volume ratio against eps_m: method -> (networks, E)."""

    eps_m: list[float]
    eps_v: float
    verified_ratio: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class AuditedAxis(Record):
    """Gradients along one axis at ``points``: those with a known slope, those with its sign, and whether it fails."""

    points: int
    counted: int
    right: int
    fails: bool


@dataclass(frozen=True, eq=False)
class Summary(Record):
    """What a job found; ``summary.json`` has a key for every field.

    Attributes:
        networks, classes, methods: names.
        runs: number of them.
        viewpoints: None where no view was asked for.
        srvr: volume (``intersected``, ``raw``, ``verified``) -> method, or ``mean`` of the paper's -> (N, C).
        confidence: of each interval, and of the calls of all pairs of a volume and method.
        intervals: volume -> method -> SRVR over all classes.
        comparisons: all pairs of networks, volumes and methods.
        rank_stability: volume -> ``methods`` or ``points``.
        eps_m_curve: of verified SRVR.
        status, verdict: method -> word -> number of runs.
        u0_robust: method -> initial points that are robust themselves; None where none was checked.
        cost: kind of evaluations -> method -> number.
        gradient_audit: method -> axis.
        evaluations, gradient_evaluations, verification_evaluations: of all runs.
        trust: of the trust maps, None without any.
        seconds: of this start, of which ``startup_seconds`` before the first update, ``measuring_seconds`` from there.
        processes: that worked.
        executed_evaluations: of f by the first process; computed_evaluations and the like: what this start added.
        remembered_evaluations: asked for again and not computed.
        renderings_per_evaluation: the number of draws of nuisances, 1 without any.
        probe_pictures: shown to the networks before the work.
        runtimes: network -> what computes its logits.
        precision_change: network -> ``mean`` and ``largest`` change of f against float32.
        not_measured: shape -> reason.
        notes: shape -> what is drawn differently from its file.
        reach: what the budgets ask of a box, in sentences.
        space: the axes as plain data.
        profile: section -> seconds, where the job was profiled.
    """

    networks: list[str]
    classes: list[str]
    methods: list[str]
    runs: int
    viewpoints: Viewpoints | None
    srvr: dict[str, dict[str, Tensor]]
    confidence: float
    intervals: dict[str, dict[str, Intervals]]
    comparisons: list[VolumeComparison]
    rank_stability: dict[str, dict[str, Stability]]
    eps_m_curve: Curve
    status: dict[str, dict[str, int]]
    verdict: dict[str, dict[str, int]]
    u0_robust: dict[str, int | None]
    cost: dict[str, dict[str, int]]
    gradient_audit: dict[str, dict[str, AuditedAxis]]
    evaluations: int
    gradient_evaluations: int
    verification_evaluations: int
    trust: TrustSummary | None = None
    seconds: float = 0.0
    startup_seconds: float = 0.0
    measuring_seconds: float = 0.0
    processes: int = 1
    executed_evaluations: int = 0
    computed_evaluations: int = 0
    computed_gradient_evaluations: int = 0
    computed_audit_evaluations: int = 0
    computed_verification_evaluations: int = 0
    remembered_evaluations: int = 0
    renderings_per_evaluation: int = 1
    probe_pictures: int = 0
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    precision_change: dict[str, dict[str, float]] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    reach: list[str] = field(default_factory=list)
    space: list[dict[str, str | float | bool]] = field(default_factory=list)
    profile: dict[str, float] | None = None


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
) -> dict[str, Stability]:
    """Whether the order of the networks depends on the method or on the initial point."""
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
    return {name: Stability(len(values), *rank_stability(torch.stack(values))) for name, values in views.items()}


def _eps_m_curve(rows: Sequence[Run], networks: list[str], groups: Mapping[str, Sequence[str]], eps_v: float) -> Curve:
    """Verified volume ratio against eps_m.

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
    return Curve(list(EPS_M_GRID), eps_v, curves)


def _measured(rows: Sequence[Run], methods: Sequence[str]) -> int:
    """How many shapes have a measured run by one of the methods; files that cannot be read do not count."""
    return len({row.shape for row in rows if row.method in methods and row.status != "not_measured"})


def viewpoints_by_shape(rows: Sequence[Run], networks: list[str]) -> tuple[Tensor, Tensor]:
    """Viewpoint accuracy and mean score of each network and shape, (2, N, S), and the class of each shape, (S,).

    NaN where it was not measured; S counts the shapes of which views were asked for.
    """
    seen = [run for run in rows if run.judgement.views]
    shapes = list(dict.fromkeys(run.shape for run in seen))
    classes = _unique([class_name for class_name, _ in shapes])
    labels = torch.tensor([classes.index(class_name) for class_name, _ in shapes], dtype=torch.int64)
    place = (_numbers(seen, networks, "network"), torch.tensor([shapes.index(run.shape) for run in seen]).long())
    values = torch.full((2, len(networks), len(shapes)), torch.nan, dtype=torch.float64)
    values[0][place] = _known([run.judgement.viewpoint_top1 for run in seen])
    values[1][place] = _known([run.judgement.viewpoint_score for run in seen])
    return values, labels


def _viewpoints(rows: Sequence[Run], networks: list[str], confidence: float) -> Viewpoints | None:
    """Viewpoint accuracy and mean score of each network with intervals over shapes, and all pairs."""
    seen = [run for run in rows if run.judgement.views]
    if not seen:
        return None
    values, labels = viewpoints_by_shape(seen, networks)
    classes = _unique([run.class_name for run in seen])
    views = [run.judgement.views or 0 for run in seen]
    accuracy, score = (
        Intervals.of([mean_interval_over_shapes(value, labels, confidence) for value in part], len(labels))
        for part in values
    )
    by_class = {
        name: {"accuracy": values[0][:, labels == k].nanmean(1), "mean_score": values[1][:, labels == k].nanmean(1)}
        for k, name in enumerate(classes)
    }
    pairs = paired_differences(values[0], labels, confidence)
    compared = [Comparison(networks[i], networks[k], *difference) for i, k, difference in pairs]
    spread = _known([run.judgement.viewpoint_spread for run in seen])
    spreads = torch.stack([spread[[run.network == name for run in seen]].nanmean() for name in networks])
    drawn = spreads if bool(spreads.isfinite().any()) else None
    return Viewpoints(max(views), sum(views), len(labels), accuracy, score, by_class, compared, drawn)


def _gradient_audit(rows: Sequence[Run], methods: list[str]) -> dict[str, dict[str, AuditedAxis]]:
    """How often the gradient had the sign of the slope, of methods whose gradients were audited."""
    result = {}
    for method in methods:
        audited = [row for row in rows if row.method == method and row.audit_evaluations]
        if audited:
            ratio = torch.stack([_known(list(row.gradient_ratio.values())) for row in audited])
            axes = agreement(ratio, list(audited[0].gradient_ratio))
            result[method] = {x.axis: AuditedAxis(len(audited), x.counted, x.right, x.fails) for x in axes}
    return result


def _robust_starts(rows: Sequence[Run]) -> int | None:
    """How many initial points are robust themselves; None if none was checked."""
    known = [row.judgement.u0_robust for row in rows if row.judgement.u0_robust is not None]
    return sum(known) if known else None


def summarize(
    rows: Sequence[Run], paper_methods: Sequence[str], confidence: float = 0.95, eps_m: float = 0.3, eps_v: float = 0.05
) -> Summary:
    """SRVR with intervals and comparisons, statuses, verdicts and costs of some runs.

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
    table: dict[str, dict[str, Tensor]] = {}
    intervals: dict[str, dict[str, Intervals]] = {}
    comparisons: list[VolumeComparison] = []
    stability: dict[str, dict[str, Stability]] = {}
    for volume in ("intersected", "raw", "verified"):
        table[volume] = {"mean": _srvr_of(rows, volume, networks, classes, list(paper_methods))} | {
            method: _srvr_of(rows, volume, networks, classes, [method]) for method in methods
        }
        intervals[volume] = {}
        for name, members in groups.items():
            values, labels = ratios_by_shape(rows, volume, networks, members)
            found = [mean_interval_over_shapes(value, labels, confidence) for value in values]
            intervals[volume][name] = Intervals.of(found, _measured(rows, members))
            pairs = paired_differences(values, labels, confidence)
            comparisons += [
                VolumeComparison(networks[i], networks[k], *x, volume, name).of_volume() for i, k, x in pairs
            ]
        stability[volume] = _stability(rows, volume, networks, classes, methods)

    def counted(column: str) -> dict[str, dict[str, int]]:
        return {m: dict(Counter(getattr(row, column) for row in rows if row.method == m)) for m in methods}

    def cost(spent: Callable[[Run], int]) -> dict[str, int]:
        return {method: sum(spent(row) for row in rows if row.method == method) for method in methods}

    costs = {
        "evaluations": cost(lambda run: run.evaluations),
        "gradient_evaluations": cost(lambda run: run.gradient_evaluations),
        "verification_evaluations": cost(lambda run: run.judgement.verification_evaluations or 0),
        "audit_evaluations": cost(lambda run: run.audit_evaluations),
    }
    return Summary(
        networks,
        classes,
        methods,
        len(rows),
        _viewpoints(rows, networks, confidence),
        table,
        confidence,
        intervals,
        comparisons,
        stability,
        _eps_m_curve(rows, networks, groups, eps_v),
        counted("status"),
        counted("verdict"),
        {method: _robust_starts([row for row in rows if row.method == method]) for method in methods},
        costs,
        _gradient_audit(rows, methods),
        sum(costs["evaluations"].values()),
        sum(costs["gradient_evaluations"].values()),
        sum(costs["verification_evaluations"].values()),
    )


def read_summary(path: Path) -> Summary:
    """The saved summary as :func:`summarize` made it, null as NaN; ValueError where there is none."""

    def each(make: Callable[..., Record], tables: Mapping[str, Any]) -> dict[str, dict[str, Record]]:
        return {name: {key: make(**item) for key, item in table.items()} for name, table in tables.items()}

    try:
        saved = read_json(path)
        for name in ("srvr", "intervals", "comparisons"):
            saved[name] = _numeric(saved[name])
        saved["intervals"] = each(Intervals, saved["intervals"])
        saved["comparisons"] = [VolumeComparison(**pair).of_volume() for pair in saved["comparisons"]]
        saved["rank_stability"] = each(Stability, _numeric(saved["rank_stability"]))
        saved["gradient_audit"] = each(AuditedAxis, saved["gradient_audit"])
        saved["runtimes"] = {name: Runtime(**runtime) for name, runtime in saved["runtimes"].items()}
        saved["trust"] = saved["trust"] and TrustSummary.of_plain(saved["trust"])
        curve = saved["eps_m_curve"]
        saved["eps_m_curve"] = Curve(**curve | {"verified_ratio": _numeric(curve["verified_ratio"])})
        if saved["viewpoints"]:
            views = _numeric(saved["viewpoints"])
            parts: dict[str, Any] = {name: Intervals(**views[name]) for name in ("accuracy", "mean_score")}
            parts |= {"comparisons": [Comparison(**pair) for pair in views["comparisons"]]}
            parts |= {} if saved["viewpoints"].get("spread") else {"spread": None}
            saved["viewpoints"] = Viewpoints(**views | parts)
        return Summary(**saved)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"'{path}' is not the summary of a finished job ({error}): run evaluate.py again") from error


def _numeric(value: Any) -> Any:
    """Lists of numbers as tensors, null as NaN."""
    if isinstance(value, dict):
        return {key: _numeric(item) for key, item in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            return [_numeric(item) for item in value]
        return torch.from_numpy(np.array(value, dtype=np.float64))  # None becomes NaN
    return nan if value is None else value
