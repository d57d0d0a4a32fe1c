"""Where a command prints does not decide whether its results are kept."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_semrob.commands import console
from lightning_semrob.shapes import resolve_shapes

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


def test_a_file_name_that_is_no_text_is_escaped(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xffg.obj")).write_text(TRIANGLE)
    except OSError:
        pytest.skip("this file system takes names of UTF-8 alone")
    (shape,) = resolve_shapes([f"{os.fsdecode(os.fsencode(tmp_path) + bytes([47]))}m\udcffg.obj=teapot"])
    assert shape.shape_id == "m\\xffg"
    assert len(shape.load().faces)
