"""What can go wrong with the output folder while a job runs; docs/distributed.md lists all faults with their tests."""

from __future__ import annotations

import errno
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.report.tables import format_summary
from lightning_semrob.shapes import ShapeSpec

JOB = [
    "--data.networks=[tiny_network:build]", "--data.shapes=[teapot,dumbbell]", "--data.image_size=32",
    "--trust.max_evaluations=0",
    "--data.initial_points=1", "--model.finders=[naive,oir_b]", "--model.num_iterations=3", "--model.verification=8",
    "--report_grid=[]", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
]  # fmt: skip


def table(folder: Path) -> list[dict[str, object]]:
    return list(pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    evaluate([*JOB, "--output", str(folder)])
    return folder


def test_a_full_disk_ends_the_job_and_keeps_what_was_written(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = pyarrow.parquet.write_table, 0

    def fills_up(made: Any, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls > 4:
            path.write_bytes(b"PAR1 half of i")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(made, path)

    monkeypatch.setattr(pyarrow.parquet, "write_table", fills_up)
    with pytest.raises(OSError, match=r"cannot write '.*\.parquet' \(No space left on device\): free space or choose"):
        evaluate([*JOB, f"--output={tmp_path}"])
    monkeypatch.undo()
    kept = RunFolder(tmp_path).load_parts()
    assert kept
    assert not list(tmp_path.rglob("*.tmp"))
    summary = evaluate([*JOB, f"--output={tmp_path}"])
    total = sum(int(str(row["evaluations"])) for row in table(whole))
    assert summary["computed_evaluations"] == total - sum(run.evaluations for run in kept)
    assert table(tmp_path) == table(whole)


def test_too_little_disk_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 2**20

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    with pytest.raises(OSError, match=r"has 1 MiB free, 50 MiB are needed"):
        evaluate([*JOB, f"--output={tmp_path}"])


def test_an_output_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot write '.*file/job/.*' .*choose another --output"):
        evaluate([*JOB, f"--output={tmp_path / 'file' / 'job'}"])


def test_what_a_kill_left_of_a_file_is_ignored(whole: Path, tmp_path: Path) -> None:
    """Killed while saving: the temporary file stays, the file of before is whole."""
    evaluate([*JOB, f"--output={tmp_path}"])
    part = next((tmp_path / "parts").glob("*.parquet"))
    (tmp_path / "parts" / f".{part.name}.17.tmp").write_bytes(part.read_bytes()[:20])
    summary = evaluate([*JOB, f"--output={tmp_path}"])
    assert summary["computed_evaluations"] == 0
    assert table(tmp_path) == table(whole)


def test_a_corrupted_part_is_named_and_only_its_runs_are_computed_again(whole: Path, tmp_path: Path) -> None:
    evaluate([*JOB, f"--output={tmp_path}"])
    part = min((tmp_path / "parts").glob("*.parquet"))
    lost = pyarrow.parquet.read_table(part).to_pylist()
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"{part.name}' cannot be read .*delete it and its runs are computed again"):
        evaluate([*JOB, f"--output={tmp_path}"])
    part.unlink()
    summary = evaluate([*JOB, f"--output={tmp_path}"])
    assert summary["computed_evaluations"] == sum(row["evaluations"] for row in lost)
    assert table(tmp_path) == table(whole)


def test_overwriting_leaves_no_result_of_the_old_configuration(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its first run ends, the new job must not pass for the old one: others read these files."""
    shutil.copytree(whole, tmp_path / "job")
    (tmp_path / "job" / "report.html").write_text("of the old runs")
    (tmp_path / "job" / "notes.txt").write_text("the user's own")
    RunFolder(tmp_path / "job").open("another: configuration\n", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == [".lock", "config.yaml", "notes.txt"]
    # The configuration changes last: a kill in between leaves no result beside one that it is not of.
    shutil.copytree(whole, tmp_path / "killed")
    monkeypatch.setattr("lightning_semrob.evaluation.folder.write_text", lambda path, _: pytest.fail(path.name))
    with pytest.raises(pytest.fail.Exception):
        RunFolder(tmp_path / "killed").open("another: configuration\n", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [".lock", "config.yaml"]
    assert (tmp_path / "killed" / "config.yaml").read_text() == (whole / "config.yaml").read_text()


def test_an_empty_mesh_is_named_and_the_job_goes_on(tmp_path: Path) -> None:
    (tmp_path / "empty.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    shapes = f"--data.shapes=[{tmp_path / 'empty.obj'}=teapot,teapot]"
    with pytest.warns(UserWarning, match="is not measured"):
        summary = evaluate([*JOB, shapes, f"--output={tmp_path / 'out'}"])
    assert len(summary["not_measured"]) == 1
    assert summary["status"]["naive"]["not_measured"] == 1


def test_meshes_that_are_not_drawn_as_they_are_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad file is read once whatever the number of networks and finders, a mesh that shows nothing has no score, what
    a file says otherwise is noted once, and only measured shapes are counted."""
    corner = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
    far = "v 90000 0 0\nv 90001 0 0\nv 90000 1 0\n"
    (tmp_path / "far.obj").write_text(f"{corner}{far}f 1 2 3\nf 4 5 6\n")
    (tmp_path / "broken.obj").write_text("f 1 2 3\n")
    (tmp_path / "grey.obj").write_text(f"mtllib gone.mtl\n{corner}v 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\n")
    shapes = ",".join(f"{tmp_path / name}.obj=teapot" for name in ("far", "broken", "grey"))
    read: list[str] = []
    load = ShapeSpec.load
    monkeypatch.setattr(ShapeSpec, "load", lambda spec: (read.append(spec.shape_id), load(spec))[1])
    networks = "--data.networks=[tiny_network:build,tiny_network:build_other]"
    words = [*JOB, networks, f"--data.shapes=[{shapes},{tmp_path / 'grey.obj'}=cup]"]
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        summary = evaluate([*words, "--model.finders=[naive,oir_b]", f"--output={tmp_path / 'out'}"])
    assert read.count("broken") == read.count("far") == 1
    assert set(summary["not_measured"]) == {"far", "broken"}
    assert "shows no pixel in 8 of 8 views" in summary["not_measured"]["far"]
    assert set(summary["notes"]) == {"teapot/grey", "cup/grey"}
    assert summary["notes"]["cup/grey"] == ["names gone.mtl, not found beside it"]
    assert summary["intervals"]["intersected"]["naive"]["shapes"] == 2
    said = format_summary(summary, tmp_path / "out")
    assert said.count("note: the mesh of cup/grey names gone.mtl, not found beside it") == 1


def test_weights_that_do_not_exist_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth"):
        evaluate([*JOB, "--data.networks=[efficientnet_lite0@nothing.pth]", f"--output={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_every_fault_in_the_docs_has_its_test(repository: Path) -> None:
    text = (repository / "docs" / "distributed.md").read_text()
    rows = [line for line in text.partition("## Faults")[2].splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 12
    for row in rows:
        found = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert found, row
        for file, name in found:
            assert f"def {name}(" in (repository / file).read_text(), f"{file} has no {name}"
