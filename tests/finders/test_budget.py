"""Budgets of the verified finder with which nothing can be verified."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.finders.verified import VerifiedFinder
from lightning_semrob.finders.verified.budget import (
    can_verify,
    reach_in_words,
    smallest_budget,
    too_few_evaluations,
)
from lightning_semrob.finders.verified.search import VerifiedRun, VerifiedSearch
from lightning_semrob.finders.verified.surrogate import Candidate, SurrogateGrowth
from lightning_semrob.functional.betting import eq2_start, eq2_update, eq2_verdict
from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.utilities.random import row_generator


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
    assert not can_verify(search(400, confidence=0.9999), 2)
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


def test_the_attempts_follow_from_the_budget_and_spend_all_of_the_error() -> None:
    (only,) = search(400).reach(2)
    assert (round(only.mean, 3), round(only.variance, 4), only.level) == (0.733, 0.0235, pytest.approx(0.05))
    several = search(None).reach(2)
    assert sum(attempt.level for attempt in several) == pytest.approx(0.05)
    assert [attempt.samples for attempt in several] == [900, 675, 225]
    assert several[0].mean < only.mean
    assert several[0].variance > only.variance
    assert "mean >= 0.733 and variance <= 0.0235 (at most 200 samples, error 0.05)" in reach_in_words(search(400), 2)
    (three_axes, *_) = search(None).reach(3)
    assert three_axes.mean > several[0].mean  # no surrogate: the noise of f costs samples


def test_a_share_without_a_box_to_try_is_not_lost() -> None:
    """The first of three attempts finds no box at its margins; the second may spend what it left."""
    asked = []

    class Picky(SurrogateGrowth):
        def candidate(self, eps_m: float, eps_v: float) -> Candidate | None:
            asked.append((eps_m, eps_v))
            return None if len(asked) == 1 else super().candidate(eps_m, eps_v)

    space = SemanticSpace((Axis("x", 0.0, 1.0), Axis("y", 0.0, 1.0)))
    growth = Picky(torch.full((2,), 0.5).double(), space, 0.3, 0.05, 1150)
    run = VerifiedRun(growth, torch.Generator().manual_seed(0), 0.05, 1800)
    while not run.over:
        run.update(torch.ones(len(run.propose())).double())
    assert run.status == "verified"
    assert len(asked) == 2
    assert run.level == pytest.approx(0.05 * 0.95)


def test_streams_differ_between_networks_shapes_and_purposes() -> None:
    def points(*names: str) -> list[float]:
        finder = VerifiedFinder(growth_evaluations=100, verification_evaluations=200)
        finder.join(1, 0, [names])
        finder.start(torch.tensor([[10.0, 10.0]]), SemanticSpace.default())
        rows = torch.tensor([0])
        while finder._runs.get(0) is None or finder._runs[0].status == "growing":
            (asked,) = finder.request_rows(rows)
            finder.apply_rows(rows, [torch.ones(len(asked)).double()], None, None)
        (asked,) = finder.request_rows(rows)
        unit: list[float] = ((asked - asked.min()) / (asked.max() - asked.min())).flatten().tolist()
        return unit

    first = points("resnet50", "cup", "1")
    assert points("resnet50", "cup", "1") == first
    assert points("vgg11", "cup", "1") != first
    assert points("resnet50", "cup", "2") != first
    corner = torch.zeros(2)
    one, other = (torch.rand(4, generator=row_generator(0, 0, corner, *purpose)) for purpose in ((), (1,)))
    assert not bool((one == other).any())
