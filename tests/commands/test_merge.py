"""One table from partial jobs."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest

from lightning_semrob.__main__ import main as program
from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.finished.merge import merge
from lightning_semrob.evaluation.records import write_runs

SMALL = [
    "--data.networks=[tiny_network:build]",
    "--data.image_size=32",
    "--trust.max_evaluations=0",
    "--data.initial_points=2",
    "--data.micro_batch_size=8",
    "--model.finders=[naive,oir_b,verified]",
    "--model.num_iterations=3",
    "--model.verified_evaluations=60",
    "--report_grid=[]",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
]


def job(folder: Path, shapes: str, *more: str) -> Path:
    evaluate([*SMALL, f"--data.shapes=[{shapes}]", f"--output={folder}", *more])
    return folder


def rows_of(folder: Path) -> dict[tuple[object, ...], dict[str, object]]:
    rows = pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist()
    return {(row["network"], row["shape_id"], row["point"], row["method"]): row for row in rows}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("merge")
    whole = job(folder / "whole", "teapot,dumbbell")
    return job(folder / "first", "teapot"), job(folder / "second", "dumbbell"), whole


def test_partial_jobs_give_the_table_of_the_whole_one(
    parts: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, whole = parts
    program(["merge", str(first), str(second), "--output", str(tmp_path / "all")])
    assert rows_of(tmp_path / "all") == rows_of(whole)
    assert "12 runs" in capsys.readouterr().out


def test_parts_of_a_killed_job_and_runs_in_common_count_once(parts: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, second, whole = parts
    killed = tmp_path / "killed"
    (killed / "parts").mkdir(parents=True)
    (killed / "config.yaml").write_text((second / "config.yaml").read_text())
    for part in (second / "parts").glob("*.parquet"):
        (killed / "parts" / part.name).write_bytes(part.read_bytes())
    summary = merge([first, killed, whole], tmp_path / "all")
    assert summary["runs"] == 12
    assert rows_of(tmp_path / "all") == rows_of(whole)


def test_what_is_not_a_part_of_the_job_is_refused(parts: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, _, _ = parts
    other = job(tmp_path / "other", "teapot", "--seed_everything=1")
    with pytest.raises(ValueError, match=r"(?s)not parts of one job.*seed"):
        merge([first, other], tmp_path / "all")
    together = [job(tmp_path / name, name, "--model.simultaneous=true") for name in ("teapot", "dumbbell")]
    with pytest.raises(ValueError, match="runs of one job together"):
        merge(together, tmp_path / "all")
    with pytest.raises(ValueError, match=r"there is no '.*config\.yaml'"):
        merge([first, tmp_path / "nothing"], tmp_path / "all")
    with pytest.raises(ValueError, match="one of the folders to merge"):
        merge([first], first)


def test_contradicting_results_are_refused(parts: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, _, _ = parts
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "config.yaml").write_text((first / "config.yaml").read_text())
    table = pyarrow.parquet.read_table(first / "runs.parquet")
    rows = table.to_pylist()
    rows[0]["a_azimuth"] += 1
    write_runs(changed / "runs.parquet", pyarrow.Table.from_pylist(rows, schema=table.schema))
    with pytest.raises(ValueError, match="has other results in"):
        merge([first, changed], tmp_path / "all")
