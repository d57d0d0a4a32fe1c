"""The summary of a run from its rows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_semrob.evaluation.records import Run
from lightning_semrob.evaluation.summary import summarize
from lightning_semrob.finders.statement import Judgement
from lightning_semrob.report.page.sections import viewpoint_findings
from lightning_semrob.report.tables import (
    format_comparisons,
    format_curve,
    format_srvr_table,
    format_status_table,
    format_summary,
    format_verified_table,
    format_viewpoints,
    viewpoint_table,
)

PAPER = ("naive", "oir_b", "oir_w")


def row(network: str, shape: int, method: str, ratio: float | None, verdict: str, point: int = 0) -> Run:
    return Run(
        network,
        f"class{shape % 2}",
        str(shape),
        point,
        method,
        ratio=ratio,
        raw_ratio=ratio,
        status="converged",
        evaluations=10,
        judgement=Judgement(
            verdict,
            mean_low=0.7 if verdict == "valid" else 0.2,
            variance_high=0.04,
            verification_evaluations=5,
            u0_robust=True,
        ),
    )


def judged(run: Run, **changes: Any) -> Run:
    return replace(run, judgement=replace(run.judgement, **changes))


def table(gain: float, shapes: int = 8) -> list[Run]:
    """Network "good" has ``gain`` more verified volume than "bad" on every shape, by all three methods."""
    return [
        row(network, shape, method, 0.1 + 0.01 * shape + (gain if network == "good" else 0.0), "valid")
        for network in ("good", "bad")
        for shape in range(shapes)
        for method in PAPER
    ]


def test_a_pair_is_called_by_the_sign_flip_test_and_a_volume_is_larger_not_more_robust() -> None:
    clear = summarize(table(0.2), PAPER)
    said = format_comparisons(clear)
    assert "good against bad: larger verified SRVR (difference 20.00 [" in said
    assert "p = 0.008, 0.008 for all pairs, 8 shapes; a difference of about 0.0 points would be shown)" in said
    noisy = [
        replace(run, ratio=(run.ratio or 0) + 0.2 * ((run.network == "good") == (number // 3 % 2 == 0)))
        for number, run in enumerate(table(0.0))
    ]
    assert "not distinguishable" in format_comparisons(summarize(noisy, PAPER))
    assert "too few shapes to compare" in format_comparisons(summarize(table(0.2, shapes=5), PAPER))


def test_invalid_and_undecided_boxes_count_as_zero_volume() -> None:
    rows = [
        judged(run, verdict="undecided" if run.shape_id == "0" else "invalid") if run.network == "good" else run
        for run in table(0.0)
    ]
    summary = summarize(rows, PAPER)
    assert summary["srvr"]["verified"]["mean"][0].tolist() == [0.0, 0.0]
    assert (summary["srvr"]["intersected"]["mean"][0] > 0).all()
    assert summary["verdict"]["naive"] == {"undecided": 1, "invalid": 7, "valid": 8}


def test_runs_that_were_not_measured_are_left_out_and_unverified_ones_are_not_zero() -> None:
    rows = [
        replace(run, ratio=None, raw_ratio=None) if run.network == "bad" else judged(run, verdict="not verified")
        for run in table(0.0)
    ]
    summary = summarize(rows, PAPER)
    assert summary["srvr"]["intersected"]["mean"][1].isnan().all()
    assert summary["srvr"]["verified"]["mean"].isnan().all()
    assert summary["intervals"]["intersected"]["mean"]["shapes_skipped"].tolist() == [0, 8]
    assert "n/a" in format_srvr_table(summary)
    assert "n/a" in format_verified_table(summary)


def test_the_curve_never_falls_and_agrees_with_the_verdicts() -> None:
    summary = summarize(table(0.1), PAPER, eps_m=0.3)
    curve = summary["eps_m_curve"]
    values = curve["verified_ratio"]["mean"]
    assert (values.diff(dim=1) >= 0).all()
    at = curve["eps_m"].index(0.3)
    expected = summary["srvr"]["verified"]["mean"].mean(1)
    torch.testing.assert_close(values[:, at], expected)
    assert (values[:, at - 1] == 0).all()
    assert "good" in format_curve(summary)


def test_initial_points_that_nobody_checked_are_not_called_fragile() -> None:
    rows = table(0.0)
    assert summarize(rows, PAPER)["u0_robust"]["naive"] == 16
    summary = summarize([judged(run, u0_robust=None) for run in rows], PAPER)
    assert summary["u0_robust"]["naive"] is None
    assert "n/a" in format_status_table(summary)


@pytest.mark.parametrize("methods", [("naive",), PAPER])
def test_intervals_stay_in_the_range_of_a_ratio(methods: tuple[str, ...]) -> None:
    rows = [line for line in table(0.0, shapes=2) if line.method in methods]
    rows[0] = replace(rows[0], ratio=1.0)
    summary = summarize(rows, PAPER)
    for found in summary["intervals"]["intersected"].values():
        for low, high in zip(found["low"].tolist(), found["high"].tolist(), strict=True):
            assert math.isnan(low) or 0 <= low <= high <= 1


def test_viewpoint_accuracy_comes_first_and_calls_a_network_more_robust() -> None:
    def seen(run: Run) -> Run:
        if run.method != "naive":
            return run
        return judged(run, views=32, viewpoint_top1=0.75 if run.network == "good" else 0.25, viewpoint_score=0.5)

    summary = summarize([seen(run) for run in table(0.0)], PAPER)
    found = summary["viewpoints"]
    assert (found["views"], found["shapes"], found["evaluations"]) == (32, 8, 2 * 8 * 32)
    assert found["accuracy"]["estimate"].tolist() == [0.75, 0.25]
    assert (found["accuracy"]["low"] < found["accuracy"]["estimate"]).all()
    assert found["classes"]["class0"]["accuracy"].tolist() == [0.75, 0.25]
    text = format_viewpoints(summary)
    assert "good against bad: more robust (difference 50.00 [" in text
    assert "p = 0.008, 0.008 for all pairs, 8 shapes" in text
    said = format_summary(replace(summary, seconds=1.0), Path("out"))
    assert said.index("Viewpoint accuracy") < said.index("SRVR, percent of the space")
    assert format_viewpoints(summarize(table(0.0), PAPER)) == ""


def test_the_spread_over_the_draws_of_nuisances_stands_beside_the_score() -> None:
    drawn = [
        judged(run, views=32, viewpoint_top1=0.5, viewpoint_score=0.5, viewpoint_spread=0.125) for run in table(0.0)
    ]
    summary = summarize(drawn, PAPER)
    columns, lines = viewpoint_table(summary)
    assert [line[columns.index("spread over draws, %")] for line in lines] == ["12.50", "12.50"]
    assert "on 8 shapes" in viewpoint_findings(summary)[0]
    plain = summarize([judged(run, views=32, viewpoint_top1=0.5, viewpoint_score=0.5) for run in table(0.0)], PAPER)
    assert "spread over draws, %" not in viewpoint_table(plain)[0]
