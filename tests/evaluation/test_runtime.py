"""The runtime of the networks in a job: noted, gone on with, and the same numbers however the job is divided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.networks import build_network
from lightning_semrob.networks import runtime as module
from tests.processes import in_processes

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")

JOB = (
    "--data.networks=['small_resnet?input_size=32&num_classes=1000']",
    "--data.shapes=[teapot,cup]",
    "--data.initial_points=2",
    "--data.image_size=32",
    "--model.finders=[naive,oir_w]",
    "--model.num_iterations=2",
    "--model.verification=16",
    "--report_grid=[]",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--seed_everything=3",
)
NOT_NUMBERS = {"seconds", "micro_batch_size"}


def rows(folder: Path) -> list[dict[str, Any]]:
    table = pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist()
    kept = [{key: value for key, value in row.items() if key not in NOT_NUMBERS} for row in table]
    return sorted(kept, key=lambda row: (row["method"], row["shape_id"], row["class_name"], row["point"]))


def same(first: Any, second: Any) -> bool:
    return json.dumps(first, default=str) == json.dumps(second, default=str)


def test_a_job_notes_its_runtime_and_goes_on_with_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = evaluate([*JOB, f"--output={tmp_path / 'out'}"])
    (runtime,) = summary["runtimes"].values()
    assert runtime["name"] == "onnxruntime"
    assert 0 <= runtime["change"] <= module.LARGEST_CHANGE
    assert summary["probe_pictures"] == 16
    statement = json.loads((tmp_path / "out" / "statements.jsonl").read_text().splitlines()[0])
    assert statement["network"]["runtime"] == runtime
    monkeypatch.setattr(module, "_MINIMUM", module.Version("99"))  # as if the package had been taken away
    with pytest.raises(ValueError, match=r"was begun with onnxruntime .* older than 99.*data\.runtime=onnxruntime"):
        evaluate([*JOB, f"--output={tmp_path / 'out'}"])
    torch_only = evaluate([*JOB, f"--output={tmp_path / 'torch'}"])
    (runtime,) = torch_only["runtimes"].values()
    assert (runtime["name"], runtime["change"]) == ("torch", 0.0)
    assert "older than" in runtime["reason"]


def test_an_export_is_made_once_for_all_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    export = module.export_onnx

    def counted(*arguments: Any) -> bytes:
        made.append(1)
        return export(*arguments)

    monkeypatch.setattr(module, "export_onnx", counted)
    evaluate([*JOB, f"--output={tmp_path / 'out'}"])
    assert len(made) == 1


@pytest.mark.slow
def test_order_and_logical_batch_change_nothing(tmp_path: Path) -> None:
    evaluate([*JOB, f"--output={tmp_path / 'one'}"])
    turned = [word.replace("[teapot,cup]", "[cup,teapot]") for word in JOB]
    evaluate([*turned, f"--output={tmp_path / 'two'}"])
    assert same(rows(tmp_path / "one"), rows(tmp_path / "two"))


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    evaluate([*JOB, f"--output={tmp_path / 'one'}"])
    words = [*JOB, f"--output={tmp_path / 'two'}", "--trainer.devices=2"]
    in_processes(2, lambda rank: len(evaluate(words)))
    assert same(rows(tmp_path / "one"), rows(tmp_path / "two"))


def test_the_runtime_reports_nothing_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime collects usage events unless it is told not to."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install onnxruntime")
    told: list[bool] = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: told.append(True), raising=False)
    module.with_runtime(build_network("small_resnet"), torch.rand(2, 3, 32, 32), "onnxruntime")
    assert told
