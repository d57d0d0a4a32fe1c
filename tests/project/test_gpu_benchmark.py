"""benchmarks/gpu.py at small sizes on the CPU: every part runs, and what differs is said."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from lightning_semrob.commands.evaluate import evaluate

JOB = [
    "--data.networks=[tiny_network:build]", "--data.shapes=[teapot]", "--data.image_size=32", "--model.finders=[naive]",
    "--data.initial_points=1", "--model.num_iterations=2", "--model.views=4", "--trust.max_evaluations=0",
    "--report_grid=[]", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
]  # fmt: skip


@pytest.fixture
def benchmark(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", repository / "benchmarks" / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_and_speed(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "NETWORK", "tiny_network:build")
    assert benchmark.main(["--device=cpu", "--small", "--no_jobs"]) == []
    printed = capsys.readouterr().out
    assert "torch " in printed
    agreement, speed = printed.split("images a second")
    last = agreement.strip().splitlines()[-1].split()
    assert last == ["largest", "0.0000", "0.0e+00", "0.0e+00"]
    cases = [line.rsplit(maxsplit=4) for line in speed.strip().splitlines()[1:]]
    assert [(name, batch) for name, batch, *_ in cases] == [
        (name, batch) for batch in "24" for name in ("renderer", "network, float32", "network, bf16", "f")
    ]
    assert all(float(rate) > 0 for _, _, *rates, _ in cases for rate in rates)


def test_rows_are_compared(benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate([*JOB, "--output", str(tmp_path)])
    capsys.readouterr()
    rows = benchmark.finished(tmp_path)
    benchmark.compare_rows(rows, rows)
    printed = capsys.readouterr().out
    assert "between the 1 rows of both" in printed
    assert all(line.endswith(" 0") for line in printed.splitlines()[1:-1])
    benchmark.compare_rows(rows, {key: replace(run, volume=run.volume + 0.25) for key, run in rows.items()})
    assert "  volume                       0.25\n" in capsys.readouterr().out
    assert benchmark.finished(tmp_path / "nothing") == {}


def test_how_a_command_ended(benchmark: ModuleType) -> None:
    assert benchmark.command(["-c", "print(3)"], 20)[1:] == ("ended", "3\n")
    assert benchmark.command(["-c", "raise SystemExit(2)"], 20)[1] == "failed"
    took, state, text = benchmark.command(["-c", "import time; print(4, flush=True); time.sleep(50)"], 1)
    assert (state, text) == ("stopped", "4\n")
    assert took < 20


@pytest.mark.slow
def test_every_job_runs(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    states = benchmark.main(["--device=cpu", "--small", "--seconds=900"])
    printed = capsys.readouterr().out
    assert len(states) == 5, printed
    assert "failed" not in states, printed
    assert "between the 2 rows of both" in printed
    assert "the epoch: {" in printed
