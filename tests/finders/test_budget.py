"""Budgets of the verified finder with which nothing can be verified."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.finders.verified.budget import can_verify, smallest_budget, too_few_evaluations
from lightning_semrob.finders.verified.search import VerifiedSearch
from lightning_semrob.functional.betting import eq2_start, eq2_update, eq2_verdict


def search(evaluations: int | None, **arguments: float) -> VerifiedSearch:
    half = None if evaluations is None else evaluations // 2
    return VerifiedSearch(growth_evaluations=half, verification_evaluations=half, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [1, 3])
def test_the_smallest_budget_verifies_a_perfect_network_and_less_does_not(n: int) -> None:
    least = smallest_budget(search(None), n)
    assert least is not None
    assert can_verify(search(least), n)
    assert not can_verify(search(least - 10), n)


def test_the_test_of_eq_2_itself_bounds_the_budget() -> None:
    """With samples that are all 1 it needs so many; the search, with margins and attempts, a little more."""
    samples = 2
    while int(eq2_verdict(eq2_update(eq2_start(1, 0.3, 0.05), torch.ones(1, samples).double(), 0.3, 0.05), 0.05)) != 1:
        samples += 2
    assert can_verify(search(2 * samples + 240), 2)
    assert not can_verify(search(2 * samples), 2)


def test_a_stricter_statement_needs_more() -> None:
    assert can_verify(search(400), 2)
    assert not can_verify(search(400, confidence=0.999), 2)
    assert not can_verify(search(400, eps_v=0.02), 2)


def test_the_sentence_names_the_setting_and_the_remedy() -> None:
    said = too_few_evaluations("judging.verified_evaluations", search(240), 3)
    assert said is not None
    assert said.startswith("judging.verified_evaluations pays for 120 samples of a box")
    assert said.endswith(f"give judging.verified_evaluations at least {smallest_budget(search(None), 3)}")
    assert too_few_evaluations("x", search(400), 2) is None
    assert too_few_evaluations("x", search(None), 2) is None


@pytest.mark.parametrize("n", [2, 4])
def test_a_budget_below_one_round_of_growing_collapses(n: int) -> None:
    assert not can_verify(search(8), n)


def test_the_default_job_can_verify() -> None:
    (finder,) = FinderSuite(["verified"], verified_evaluations=400)
    assert can_verify(finder.search, 2)


def test_a_job_is_told_before_it_starts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--data.networks=[tiny_network:build]", "--data.shapes=[teapot]", "--data.initial_points=1"]
    words += ["--data.image_size=16", "--data.micro_batch_size=8", "--model.finders=[verified]", "--report_grid=[]"]
    words += ["--trainer.accelerator=cpu", "--dry_run=true", f"--output={tmp_path}"]
    evaluate([*words, "--model.verified_evaluations=100"])
    assert "warning: model.verified_evaluations pays for 50 samples of a box" in capsys.readouterr().err
    evaluate([*words, "--model.verified_evaluations=400"])
    assert "warning" not in capsys.readouterr().err
