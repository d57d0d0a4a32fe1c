"""Where a command prints does not decide whether its results are kept."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_semrob.commands import console
from lightning_semrob.evaluation.records import read_runs
from lightning_semrob.shapes import resolve_shapes
from lightning_semrob.trust.record import read_maps

CUBE = """v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\nv -1 1 1
f 4 3 2 1\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"""
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_a_terminal_cannot_show_is_escaped(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(console, "_run", lambda words: print("\u2026 \udcff"))
    console.main(["doctor"])
    sys.stdout.flush()
    assert raw.getvalue() == b"\\u2026 \\udcff\n"


def test_a_reader_that_leaves_does_not_end_the_work(tmp_path: Path) -> None:
    """The pipe is closed before the first word; the last line of the work still runs, with the code of SIGPIPE."""
    done = tmp_path / "done"
    code = (
        "from lightning_semrob.commands import console\n"
        "def work(words):\n"
        "    for _ in range(100): print('x' * 1000, flush=True)\n"
        f"    open({str(done)!r}, 'w').close()\n"
        "console._run = work\n"
        "console.main(['doctor'])\n"
    )
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")
    assert done.exists()


@pytest.mark.slow
def test_a_whole_job_in_the_c_locale_with_a_file_name_that_is_no_text(repository: Path, tmp_path: Path) -> None:
    """Python's own ways around the locale are switched off, so that text is ASCII wherever nobody says otherwise."""
    (tmp_path / "meshes" / "teapot").mkdir(parents=True)
    try:
        Path(os.fsdecode(os.fsencode(tmp_path / "meshes" / "teapot") + b"/m\xffg.obj")).write_text(CUBE)
    except OSError:
        pytest.skip("this file system takes names of UTF-8 alone")
    environ = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1",
               "PYTHONPATH": f"{repository}:{repository / 'tests'}"}  # fmt: skip
    words = ["evaluate", "--data.networks=[tiny_network:build]", f"--data.shapes=[{tmp_path / 'meshes'}]",
             "--data.image_size=32", "--data.initial_points=1", "--model.finders=[naive]", "--model.num_iterations=1",
             "--model.verification=8", "--trainer.accelerator=cpu", "--trust.tiles=[4,2]", "--report_grid=[3,2]",
             f"--output={tmp_path / 'job'}"]  # fmt: skip
    command = [sys.executable, "-m", "lightning_semrob", *words]
    done = subprocess.run(command, env=environ, capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = read_runs(tmp_path / "job" / "runs.parquet")
    (record,) = read_maps(tmp_path / "job")
    assert run.shape_id == record.shape_id == "m\\xffg"
    assert "m\\xffg" in (tmp_path / "job" / "report.html").read_text(encoding="utf-8")


def test_a_path_on_the_command_line_that_is_no_text_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """config.yaml could not hold it."""
    with pytest.raises(SystemExit) as stopped:
        console.main(["evaluate", f"--data.shapes=[{tmp_path}/m\udcffg.obj=teapot]", f"--output={tmp_path / 'job'}"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "m\\udcffg.obj=teapot]' holds bytes that are not UTF-8: rename the file" in said
    assert not (tmp_path / "job").exists()


def test_a_file_name_that_is_no_text_is_escaped(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xffg.obj")).write_text(TRIANGLE)
    except OSError:
        pytest.skip("this file system takes names of UTF-8 alone")
    (shape,) = resolve_shapes([f"{os.fsdecode(os.fsencode(tmp_path) + bytes([47]))}m\udcffg.obj=teapot"])
    assert shape.shape_id == "m\\xffg"
    assert len(shape.load().faces)
