"""A job from Python: without words of a command line, and the same job as the command's."""

from __future__ import annotations

from pathlib import Path
from signal import Signals
from typing import Any

import pytest
import torch
from lightning_fabric.utilities import distributed as of_lightning

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.commands.parsing import quiet
from lightning_semrob.evaluation.callbacks import CleanExit
from lightning_semrob.evaluation.folder import versions
from lightning_semrob.evaluation.job import JobConfig, JobInterrupted
from lightning_semrob.sharing.work import TaskBatch

DATA: dict[str, Any] = {"networks": ["tiny_network:build"], "shapes": ["teapot"], "image_size": 32, "initial_points": 2}
MODEL: dict[str, Any] = {"finders": ["naive"], "num_iterations": 3}
WORDS = [
    "--data.networks=[tiny_network:build]", "--data.shapes=[teapot]", "--data.image_size=32",
    "--data.initial_points=2", "--model.finders=[naive]", "--model.num_iterations=3", "--report_grid=[]",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu", "--trust.max_evaluations=0",
]  # fmt: skip


def config(output: Path, **changes: Any) -> JobConfig:
    return JobConfig(
        DATA, MODEL, output=output, accelerator="cpu", progress=False, trust={"max_evaluations": 0}, **changes
    )


def test_a_job_prints_nothing_and_the_command_goes_on_with_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    result = config(tmp_path).make().run(say=said.append)
    assert not capsys.readouterr().out
    assert not said
    assert (len(result.runs), result.output, result.summary["runs"]) == (2, tmp_path, 2)
    summary = evaluate([*WORDS, f"--output={tmp_path}"])
    assert summary["computed_evaluations"] == 0
    assert summary["evaluations"] == result.summary["evaluations"]
    again = config(tmp_path).make().run(say=said.append)
    assert again.runs == result.runs
    assert said == [f"2 finished runs taken over from '{tmp_path}'"]


def test_an_interrupted_job_keeps_the_runs_that_ended_in_its_last_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_when_a_run_ends(self: CleanExit, trainer: Any, module: Any, batch: TaskBatch) -> None:
        if module.finished(batch.rows.tolist()):
            self.signal = Signals.SIGTERM
        self.leave()

    with monkeypatch.context() as patched:
        patched.setattr(CleanExit, "on_update_end", leave_when_a_run_ends)
        with pytest.raises(JobInterrupted) as interrupted:
            config(tmp_path).make().run()
    kept = interrupted.value.kept
    assert kept > 0
    said: list[str] = []
    assert len(config(tmp_path).make().run(say=said.append).runs) == 2
    assert said == [f"{kept} finished runs taken over from '{tmp_path}'"]


def test_an_estimate_leaves_no_folder(tmp_path: Path) -> None:
    estimate = config(tmp_path / "none").make().estimate()
    assert (estimate.runs, estimate.evaluations) == (2, 2 * 4 * 3)
    assert not (tmp_path / "none").exists()


def test_the_folder_is_named_by_what_decides_the_numbers(tmp_path: Path) -> None:
    names = {JobConfig(DATA, MODEL, seed, accelerator="cpu").make().folder.path for seed in (0, 0, 1)}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [({"networcs": ["small_resnet"]}, "networcs"), ({"score": "softmaxx"}, "softmax"), ({"shapes": []}, "is empty")],
)
def test_mistakes_are_one_error(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JobConfig(DATA | data, MODEL).make()


def test_the_threads_that_are_noted_are_those_that_compute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning sets torch's threads when it launches processes, which is after the job has noted its versions."""
    monkeypatch.setattr(of_lightning, "_num_cpus_available", lambda: 8)
    monkeypatch.setattr("lightning_semrob.utilities.distributed.usable_cores", lambda: 8)
    for number, (make, noted) in enumerate(((quiet, "1"), (config(tmp_path, devices=2).make().prepare, "3"))):
        monkeypatch.setenv("OMP_NUM_THREADS", "")
        monkeypatch.delenv("OMP_NUM_THREADS")
        torch.set_num_threads(3)
        make()
        assert versions()["torch_threads"] == noted, number
        of_lightning._set_num_threads_if_needed(2)
        assert versions()["torch_threads"] == noted, number
