"""The machine-readable statement of every region."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from tiny_network import build
from torch import nn

from lightning_semrob.__main__ import main as program
from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.finished.merge import merge
from lightning_semrob.evaluation.finished.verify import verify_folder
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.evaluation.statements import JobDescription
from lightning_semrob.networks import build_network, register_network
from lightning_semrob.rendering import CallableRenderer, Rasterizer
from lightning_semrob.shapes import procedural_mesh
from lightning_semrob.space import Axis
from lightning_semrob.utilities.digest import tensors_sha256
from lightning_semrob.utilities.random import named_seed

SMALL = [
    "--data.networks=[tiny_network:build]",
    "--data.shapes=[teapot,dumbbell]",
    "--data.image_size=32",
    "--trust.max_evaluations=0",
    "--data.initial_points=[[165,20]]",
    "--model.finders=[naive,verified]",
    "--model.num_iterations=3",
    "--model.verified_evaluations=800",
    "--report_grid=[]",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
]


def statements(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "statements.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("statements")
    evaluate([*SMALL, f"--output={folder}"])
    return folder


def test_one_statement_a_run_with_all_that_it_rests_on(finished: Path) -> None:
    records, rows = statements(finished), pyarrow.parquet.read_table(finished / "runs.parquet").to_pylist()
    assert len(records) == len(rows) == 4
    assert {record["verdict"] for record in records} >= {"valid"}
    for record, row in zip(records, rows, strict=True):
        assert record["schema_version"] == 1
        assert [axis["name"] for axis in record["axes"]] == ["azimuth", "elevation"]
        for axis in record["axes"]:
            assert axis["unit"] == "degree"
            assert axis["low"] == row[f"a_{axis['name']}"] <= axis["start"] <= axis["high"] == row[f"b_{axis['name']}"]
        assert (record["eps_m"], record["eps_v"], record["confidence"]) == (0.3, 0.05, 0.95)
        assert (record["simultaneous"], record["statements_together"]) == (False, 1)
        assert record["sampling"]["seed"] == named_seed(0, "tiny_network:build", row["class_name"], row["shape_id"])
        assert record["network"]["weights_sha256"] == build_network("tiny_network:build").weights_sha256
        assert record["shape"]["mesh_sha256"] == procedural_mesh(row["class_name"], 0).sha256
        assert record["renderer"]["version"] == "lightning_semrob 0.1.0"
        assert record["renderer"]["name"] == "Rasterizer"
        assert record["fixed"]["distance"] == {"value": 2.732, "unit": "unit"}
        assert record["versions"][0]["torch"] == torch.__version__
        assert record["status"] == row["status"]
        if record["verdict"] == "valid":
            assert record["mean"]["low"] <= record["mean"]["estimate"] <= record["mean"]["high"]
            assert record["mean"]["estimate"] >= 0.7
            assert record["variance"]["estimate"] <= 0.05
            share = (1 - record["mean"]["low"]) / 0.7
            assert record["largest_trap"] == {"mean_at_most": 0.3, "share_at_most": pytest.approx(share)}
            assert 2 <= record["sampling"]["samples"] < record["sampling"]["evaluations"]
        else:
            assert record["largest_trap"]["share_at_most"] is None
    designs = {record["method"]: record["sampling"]["design"] for record in records if record["verdict"] == "valid"}
    assert "control variate" in designs["verified"]


def test_the_samples_are_those_of_the_estimates(finished: Path) -> None:
    """Mean and variance of a box of the naive finder are those of so many samples drawn by its seed."""
    from lightning_semrob import RenderedFunction, verify
    from lightning_semrob.space import Box

    record = next(r for r in statements(finished) if r["method"] == "naive" and r["sampling"]["samples"])
    f = RenderedFunction.of(record["shape"]["id"], record["network"]["name"], image_size=32, micro_batch_size=8)
    bounds = [torch.tensor([[axis[side] for axis in record["axes"]]], dtype=torch.float64) for side in ("low", "high")]
    again = verify(
        f, Box(*bounds), f.space, max_evaluations=record["sampling"]["samples"], seed=record["sampling"]["seed"]
    )
    assert int(again.evaluations) == record["sampling"]["samples"]
    assert float(again.mean) == pytest.approx(record["mean"]["estimate"], abs=1e-6)
    assert float(again.variance_high) == pytest.approx(record["variance"]["high"], abs=1e-6)


def test_a_resumed_job_states_the_same_and_hashes_each_network_and_mesh_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(finished, folder)
    for name in ("runs.parquet", "statements.jsonl"):
        (folder / name).unlink()
    part = next(p for p in (folder / "parts").glob("*.parquet") if "teapot" in str(pyarrow.parquet.read_table(p)))
    part.unlink()
    hashed: list[int] = []

    def counted(named: Any) -> str:
        hashed.append(1)
        return tensors_sha256(named)

    for module in ("networks.classifier", "shapes.mesh"):
        monkeypatch.setattr(f"lightning_semrob.{module}.tensors_sha256", counted)
    evaluate([*SMALL, f"--output={folder}"])
    assert statements(folder) == statements(finished)
    assert 1 <= len(hashed) <= 3


def test_other_weights_do_not_go_on_with_a_job(tmp_path: Path) -> None:
    """The name of a network does not say which weights it had."""
    register_network("changing", build, input_size=32, overwrite=True)
    words = [word for word in SMALL if "networks" not in word and "finders" not in word]
    words += ["--data.networks=[changing]", "--model.finders=[naive]", f"--output={tmp_path}"]
    evaluate(words)

    def other() -> nn.Module:
        network = build()
        network.weight.mul_(1.01)
        return network

    register_network("changing", other, input_size=32, overwrite=True)
    rows = pyarrow.parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    for part in (tmp_path / "parts").glob("*.parquet"):
        if pyarrow.parquet.read_table(part).to_pylist()[0]["class_name"] == rows[0]["class_name"]:
            part.unlink()
    with pytest.raises(ValueError, match="'changing' has changed since the finished runs"):
        evaluate(words)


def test_valid_regions_are_verified_from_scratch(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program(["verify", str(finished), "--trust=true"])
    stated = [record for record in statements(finished) if record["verdict"] == "valid"]
    assert f"{len(stated)} regions were stated as valid; 0 of them" in capsys.readouterr().out
    folder = tmp_path / "false"
    shutil.copytree(finished, folder)
    record = stated[0]
    record["axes"][0]["low"], record["axes"][0]["high"] = 0.0, 360.0
    record["axes"][1]["low"], record["axes"][1]["high"] = -10.0, 90.0
    (folder / "statements.jsonl").write_text(json.dumps(record))
    with pytest.raises(SystemExit) as stopped:
        program(["verify", str(folder), "--trust=true"])
    assert stopped.value.code == 1
    record["network"]["weights_sha256"] = "0" * 64
    (folder / "statements.jsonl").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"'tiny_network:build' is not what was stated about.*stated is 0000"):
        verify_folder(folder, trust=True)
    with pytest.raises(ValueError, match="that of the job"):
        verify_folder(folder, seed=0, trust=True)


def test_merging_keeps_the_statements(finished: Path, tmp_path: Path) -> None:
    merge([finished], tmp_path / "all")
    assert statements(tmp_path / "all") == statements(finished)


def test_a_table_of_another_version_is_refused(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "parts", tmp_path / "parts")
    path = next((tmp_path / "parts").glob("*.parquet"))
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.replace_schema_metadata({"schema_version": "2"}), path)
    with pytest.raises(ValueError, match=r"has version 2 of the table of runs.*delete it"):
        RunFolder(tmp_path).load_parts()


def test_versions_of_all_starts_are_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.note_job(JobDescription(versions=[{"torch": "1"}]))
    folder.note_job(JobDescription(versions=[{"torch": "2"}]))
    assert folder.note_job(JobDescription(versions=[{"torch": "1"}])).versions == [{"torch": "1"}, {"torch": "2"}]


def test_a_mesh_is_told_apart_by_what_is_drawn() -> None:
    mesh = procedural_mesh("teapot", 0)
    assert mesh.sha256 == procedural_mesh("teapot", 0).sha256 == replace(mesh, name="other").sha256
    moved = mesh.vertices.clone()
    moved[0, 0] += 1e-6
    changed = [
        replace(mesh, vertices=moved),
        replace(mesh, faces=mesh.faces.roll(1, 1)),
        replace(mesh, corner_colors=mesh.corner_colors * 0.5),
        replace(mesh, textures=(torch.zeros(2, 2, 3),)),
        procedural_mesh("teapot", 1),
    ]
    assert len({mesh.sha256, *(other.sha256 for other in changed)}) == 6


def test_versions_of_renderers() -> None:
    assert Rasterizer(32).version == "lightning_semrob 0.1.0"
    axis = Axis("blur", 0.0, 1.0)
    assert CallableRenderer(torch.nn.functional.relu, [axis]).version == f"torch {torch.__version__}"
    assert CallableRenderer(lambda u: u, [axis]).version is None
