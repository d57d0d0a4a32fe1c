"""What clusters do to jobs: killed, told to end, or with a process that fails; the same command finishes the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.finders.statement import NOT_VERIFIED

JOB = [
    "--data.networks=[tiny_network:build_slow]", "--data.shapes=[teapot,dumbbell]", "--data.image_size=32",
    "--trust.max_evaluations=0",
    "--data.initial_points=2", "--model.finders=[naive,oir_b,verified]", "--model.num_iterations=4",
    "--model.verified_evaluations=120", "--report_grid=[]", "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
]  # fmt: skip
ORDER = ["shape_id", "point", "method"]


def table(folder: Path) -> list[dict[str, object]]:
    rows = pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist()
    return sorted(rows, key=lambda row: [row[name] for name in ORDER])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job, uninterrupted."""
    folder = tmp_path_factory.mktemp("whole")
    evaluate([*JOB, "--output", str(folder)])
    return folder


def start(repository: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{repository}:{repository / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(repository / "evaluate.py"), *words]
    # A session of its own: a signal to its group reaches the job alone, as Ctrl-C in a terminal does.
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def children(process: subprocess.Popen[str]) -> list[int]:
    done = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()


def kill_child(process: subprocess.Popen[str]) -> None:
    os.kill(children(process)[0], signal.SIGKILL)


def terminate(process: subprocess.Popen[str]) -> None:
    process.terminate()


def interrupt(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize(
    ("stop", "devices", "code"),
    [
        (kill, 1, -signal.SIGKILL),
        (terminate, 1, 143),
        pytest.param(interrupt, 1, 130, marks=pytest.mark.slow),
        pytest.param(kill_child, 2, None, marks=pytest.mark.slow),
        pytest.param(kill, 2, -signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(terminate, 2, 143, marks=pytest.mark.slow),
        pytest.param(interrupt, 2, 130, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_job_goes_on_without_repeating_anything(
    stop: Callable[[subprocess.Popen[str]], None], devices: int, code: int | None, whole: Path, repository: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    folder = RunFolder(tmp_path / "job")
    process = start(repository, *JOB, f"--trainer.devices={devices}", f"--output={folder.path}")
    wait_for(lambda: len(list((folder.path / "parts").glob("*.parquet"))) > 0, process)
    others = children(process)
    stop(process)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    if code is not None:
        assert process.returncode == code, errors
    for child in others:
        end = time.monotonic() + 60
        while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
            if stop is kill:  # nobody can tell the others; the closed connection does, at their next meeting
                break
            assert time.monotonic() < end, "a process was left behind"
            time.sleep(0.1)
    kept = folder.load_parts()
    assert kept
    if stop in (terminate, interrupt):
        assert f"interrupted: {len(kept)} runs are kept" in errors
        assert "Traceback" not in errors
    assert not list(folder.path.rglob("*.tmp")) or stop is kill
    time.sleep(1)
    kept = folder.load_parts()
    summary = evaluate([*JOB, f"--output={folder.path}"])
    assert table(folder.path) == table(whole)
    total = table(whole)
    assert summary["computed_evaluations"] == sum(int(row["evaluations"]) for row in total) - sum(
        run.evaluations for run in kept
    )
    verified = sum(run.judgement.verification_evaluations or 0 for run in kept if run.verdict != NOT_VERIFIED)
    expected = sum(int(row["verification_evaluations"]) for row in total) - verified
    assert summary["computed_verification_evaluations"] == expected


@pytest.mark.slow
def test_a_failing_process_shows_its_traceback_and_ends_the_job(repository: Path, tmp_path: Path) -> None:
    words = [word.replace("build_slow", "build_failing") for word in JOB]
    process = start(repository, *words, "--trainer.devices=2", f"--output={tmp_path / 'job'}")
    _, errors = process.communicate(timeout=240)
    assert process.returncode != 0
    assert "RuntimeError: this network fails here" in errors
    assert "tiny_network.py" in errors
