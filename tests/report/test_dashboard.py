"""What loggers are told: curves, runs, maps and SRVR."""

from __future__ import annotations

import csv
import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.records import Run
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.report.loggers import RunCurves, draw_figures
from lightning_semrob.space import SemanticSpace

SMALL = [
    "--data.networks=[tiny_network:build]",
    "--data.shapes=[teapot,dumbbell]",
    "--data.image_size=32",
    "--data.initial_points=2",
    "--trust.max_evaluations=0",
    "--data.micro_batch_size=8",
    "--model.finders=[naive,oir_b]",
    "--model.num_iterations=3",
    "--report_grid=[6,4]",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
]


def test_ended_runs_keep_their_last_values_at_later_steps() -> None:
    curves = RunCurves()
    group = ("naive", "net", "cup")
    curves.add(group, 1, 0.1, 1.0, 4, ended=False)
    curves.add(group, 1, 0.3, math.nan, 4, ended=True)
    curves.add(group, 2, 0.2, 0.5, 8, ended=False)
    other = RunCurves()
    other.add(group, 3, 0.7, 0.0, 12, ended=True)
    (one, first), (two, second) = curves.rows()
    assert (one, two) == (1, 2)
    assert first == {
        "naive volume/net cup": pytest.approx(0.2),
        "naive active runs/net cup": 1.0,
        "naive evaluations/net cup": 8.0,
        "naive loss/net cup": 1.0,
    }
    assert second["naive volume/net cup"] == pytest.approx((0.3 + 0.2) / 2)
    assert second["naive evaluations/net cup"] == 12.0
    third = curves.merge([other]).rows()[2][1]
    assert third["naive volume/net cup"] == pytest.approx((0.3 + 0.7) / 2)


def test_shapes_of_equal_ids_in_two_classes_are_told_apart() -> None:
    space = SemanticSpace.default()
    maps = SemanticMaps(torch.rand(1, 2, 6, 4), space, ("net",), ("1", "1"), ("cup", "chair"))
    sides = {"a": {"azimuth": 10.0, "elevation": 0.0}, "b": {"azimuth": 50.0, "elevation": 20.0}}
    run = Run("net", "chair", "1", 0, "naive", u0={"azimuth": 30.0, "elevation": 10.0}, **sides)
    figures = draw_figures([run], maps)
    assert list(figures) == ["net, cup: 1", "net, chair: 1"]
    assert [len(figure.axes[0].patches) for figure in figures.values()] == [0, 1]


def test_csv_logger(tmp_path: Path) -> None:
    logger = f"--trainer.logger={{class_path: CSVLogger, init_args: {{save_dir: {tmp_path}}}}}"
    summary = evaluate([*SMALL, logger, f"--output={tmp_path / 'out'}"])
    (file,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    volumes = [float(row["naive volume/tiny_network:build teapot"]) for row in rows[:3]]
    assert volumes == sorted(volumes)
    assert volumes[0] > 0
    final = [row for row in rows if row.get("srvr/tiny_network:build/naive")]
    assert float(final[-1]["srvr/tiny_network:build/naive"]) == pytest.approx(
        100 * float(summary["intervals"]["intersected"]["naive"]["estimate"][0])
    )


def records(path: Path) -> Iterator[Any]:
    """The records of an offline W&B file: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last of several
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def items(entries: Any) -> dict[str, Any]:
    return {entry.key or ".".join(entry.nested_key): json.loads(entry.value_json) for entry in entries}


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_wandb_offline(devices: int, tmp_path: Path, repository: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    logger = f"{{class_path: WandbLogger, init_args: {{save_dir: {tmp_path}, project: semrob}}}}"
    command = [sys.executable, str(repository / "evaluate.py"), *SMALL, f"--trainer.logger={logger}"]
    command += [f"--trainer.devices={devices}", f"--output={tmp_path / 'out'}"]
    environment = {k: v for k, v in os.environ.items() if k != "WANDB_MODE"}
    environment |= {"PYTHONPATH": str(repository / "tests"), "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = {path.resolve() for path in tmp_path.rglob("*.wandb")}  # one run, whatever the number of processes
    assert "offline-run" in str(file)
    history: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            history.append(items(record.history.item))
        elif kind == "summary":
            summary |= items(record.summary.update)
        elif kind in ("config", "run"):
            config |= items((record.config if kind == "config" else record.run.config).update)
    curves = [row for row in history if "oir_b volume/tiny_network:build teapot" in row]
    assert len(curves) == 3
    panels = {key.split("/")[0] for row in curves for key in row}
    assert {"oir_b volume", "naive active runs", "naive evaluations", "naive loss"} <= panels
    final = {key for row in history for key in row} | set(summary)
    assert {"runs", "maps", "srvr/tiny_network:build/naive"} <= {key.removesuffix("._type") for key in final}
    assert "verified_srvr/tiny_network:build/naive" in final
    assert "data" in json.dumps(config)
    assert "versions" in json.dumps(config)
    table = next(tmp_path.rglob("runs_*.table.json"))
    content = json.loads(table.read_text())
    assert content["columns"][-1] == "worst view"
    assert len(content["data"]) == 2 * 2 * 2
    assert any(row[-1] for row in content["data"])


def test_tensorboard_logger(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    logger = f"--trainer.logger={{class_path: TensorBoardLogger, init_args: {{save_dir: {tmp_path}}}}}"
    evaluate([*SMALL, logger, f"--output={tmp_path / 'out'}"])
    (folder,) = {file.parent for file in tmp_path.rglob("events.out.tfevents.*")}
    events = accumulator.EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    assert len(events.Scalars("naive volume/tiny_network:build teapot")) == 3
    assert "srvr/tiny_network:build/naive" in tags["scalars"]
    assert len([tag for tag in tags["images"] if tag.startswith("maps/")]) == 2
    assert any("SRVR" in tag for tag in tags["tensors"])
