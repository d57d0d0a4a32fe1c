"""Sections of the report page: what each one shows, and what the page's script reads for it.

A section is a dataclass that names its template; :func:`lightning_semrob.report.page.html.build_page` puts sections
one below the other, in any order, with a line in the navigation for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lightning_semrob.evaluation.summary import Summary
from lightning_semrob.functional.uncertainty import MINIMUM_SHAPES
from lightning_semrob.report.job import FinishedJob
from lightning_semrob.report.page.templates import plural
from lightning_semrob.report.tables import (
    Table,
    cost_table,
    count_table,
    format_comparisons,
    srvr_table,
    viewpoint_pairs,
    viewpoint_table,
)


class Section:
    """One section of the page.

    Attributes:
        anchor: its id.
        title: in the navigation.
        template: its file among the templates, which sees it as ``section``.
    """

    anchor: ClassVar[str]
    title: ClassVar[str]
    template: ClassVar[str]

    def data(self) -> dict[str, Any]:
        """What the page's script reads for it, as plain data; names differ between sections."""
        return {}


def rounded(table: Any) -> Any:
    """Scores for the page: four digits, NaN as null."""
    if isinstance(table, list):
        return [rounded(item) for item in table]
    return None if table != table else round(table, 4)


@dataclass(frozen=True)
class NetworkVerdict:
    """The line of a network on the first screen; shares of the space, NaN where not known.

    ``estimate``, ``low`` and ``high`` are verified SRVR with its interval, ``paper`` is SRVR of the paper's finders,
    not verified. ``valid`` of ``checked`` boxes satisfy Eq. 2.
    """

    network: str
    estimate: float
    low: float
    high: float
    paper: float
    valid: int
    checked: int

    @property
    def known(self) -> bool:
        """Whether there is an estimate."""
        return not math.isnan(self.estimate)

    @property
    def bounded(self) -> bool:
        """Whether there is an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))


def viewpoint_findings(summary: Summary) -> list[str]:
    """Sentences on viewpoint accuracy, the headline of a job: every network, then every pair."""
    return [
        f"viewpoint accuracy of {name}: {accuracy} % [{interval}], on {plural(int(shapes), 'shape')}"
        for name, accuracy, interval, *_, shapes in viewpoint_table(summary)[1]
    ] + [f"by viewpoint accuracy, {pair}" for pair in viewpoint_pairs(summary)]


@dataclass(frozen=True)
class Verdict(Section):
    """Verified SRVR of every network with its interval, and which one is larger where the data can tell.

    ``who`` says whose boxes they are. An interval, of ``level`` in words, takes ``needed`` shapes.
    """

    anchor, title, template = "verdict", "Verdict", "verdict.html"
    lines: Sequence[NetworkVerdict]
    who: str
    shapes: int
    needed: int
    level: str
    findings: Sequence[str]

    @classmethod
    def of(cls, job: FinishedJob, views: bool = True) -> Verdict:
        """The verdict of a job: by its verified finder, or by the paper's three.

        Args:
            job: finished.
            views: say the viewpoint accuracy, which the section of the trust maps says already where there are any.
        """
        summary = job.summary
        method = "verified" if "verified" in summary.methods else "mean"
        if method not in summary.intervals["verified"]:
            method = summary.methods[0]
        found, paper = summary.intervals["verified"][method], summary.intervals["intersected"].get("mean")
        enough = found.shapes >= MINIMUM_SHAPES
        lines = []
        for k, network in enumerate(summary.networks):
            verdicts = [run.verdict for run in job.rows if run.network == network]
            lines.append(
                NetworkVerdict(
                    network,
                    float(found.estimate[k]),
                    float(found.low[k]) if enough else math.nan,
                    float(found.high[k]) if enough else math.nan,
                    math.nan if paper is None else float(paper.estimate[k]),
                    verdicts.count("valid"),
                    sum(verdict in ("valid", "invalid", "undecided") for verdict in verdicts),
                )
            )
        findings = viewpoint_findings(summary) if views else []
        findings += format_comparisons(summary).splitlines()
        if len(lines) > 1 and not findings:
            findings = ["the networks are not compared: that takes the verified finder, or all three of the paper's"]
        findings += [f"not measured: {name}: {reason}" for name, reason in summary.not_measured.items()]
        findings += [f"note: the mesh of {name} {note}" for name, notes in summary.notes.items() for note in notes]
        who = {"verified": "of the verified finder", "mean": "of the paper's three finders"}.get(method, f"of {method}")
        level = f"{100 * summary.confidence:g} %"
        return cls(lines, who, found.shapes, MINIMUM_SHAPES, level, findings)

    @property
    def largest(self) -> float:
        """The end of the bars."""
        values = [x for line in self.lines for x in (line.estimate, line.low, line.high) if not math.isnan(x)]
        return max(values, default=0.0)


@dataclass(frozen=True)
class Numbers(Section):
    """All tables of a job, and the curve of verified SRVR over eps_m.

    Args:
        summary: of the job.
        srvr, endings: tables: SRVR by network, class and method; what became of the runs, with a caption each.
        curve: of verified SRVR over eps_m, a line for each network and method; None where there is none.
        evaluations: of f that the maps of the page took.
    """

    anchor, title, template = "numbers", "Numbers", "numbers.html"
    summary: Summary
    srvr: Table
    endings: Mapping[str, Table]
    curve: Mapping[str, Any] | None
    evaluations: int

    @classmethod
    def of(cls, job: FinishedJob, evaluations: int) -> Numbers:
        """The numbers of a job, and the price of the page's maps."""
        summary = job.summary
        endings = {
            "status": count_table(summary.status),
            "verdict of Eq. 2": count_table(summary.verdict),
            "evaluations of f": cost_table(summary),
        }
        curve = summary.eps_m_curve
        lines = [
            {"network": k, "dash": dash, "values": rounded((100 * values).tolist())}
            for dash, name in enumerate(("verified", "mean"))
            if name in curve.verified_ratio
            for k, values in enumerate(curve.verified_ratio[name])
        ]
        drawn = {"eps_m": curve.eps_m, "lines": lines} if lines else None
        return cls(summary, srvr_table(summary), endings, drawn, evaluations)

    def data(self) -> dict[str, Any]:
        return {"curve": self.curve}


@dataclass(frozen=True)
class Repeat(Section):
    """What one needs to repeat the job: settings, seed and versions."""

    anchor, title, template = "repeat", "Repeat", "repeat.html"
    config: str
    versions: Mapping[str, str]
    seed: int
