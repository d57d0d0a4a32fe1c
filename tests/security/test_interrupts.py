"""Ctrl-C at any moment: one sentence at most, exit code 130, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EVALUATE = (
    "evaluate.py", "--data.shapes=[teapot]", "--data.networks=[small_resnet]", "--data.image_size=64",
    "--trust.max_evaluations=0", "--model.verified_evaluations=4000", "--trainer.devices=1",
)  # fmt: skip
MAPS = (
    "-m", "lightning_semrob", "maps", "--data.shapes=[teapot]", "--data.networks=[small_resnet]",
    "--data.image_size=64", "--maps.steps=[120,60]",
)  # fmt: skip


def interrupted(words: tuple[str, ...], seconds: float, repository: Path, folder: Path) -> tuple[int, str]:
    environ = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *words, f"--output={folder}"]
    process = subprocess.Popen(
        command, cwd=repository, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )  # fmt: skip
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def test_at_the_start(repository: Path, tmp_path: Path) -> None:
    code, said = interrupted(EVALUATE, 1.0, repository, tmp_path / "out")
    assert code == 130, said
    assert "Traceback" not in said


INTERRUPTED = """import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10**7): pass
except KeyboardInterrupt:
    raise RecursionError("half of it is missing")
"""
SCRIPT = "import sys\nfrom lightning_semrob.commands.console import main\nsys.exit(main())\n"


@pytest.mark.parametrize(
    ("words", "ours"),
    [(("semrob", "evaluate"), True), (("semrob-train", "fit"), True), (("-m", "lightning_semrob", "evaluate"), True),
     (("REPOSITORY/evaluate.py",), True), (("REPOSITORY/train.py", "fit"), True), (("a_program_of_yours",), False)],
)  # fmt: skip
def test_while_packages_are_imported(words: tuple[str, ...], ours: bool, repository: Path, tmp_path: Path) -> None:
    """A torch that swallows the interruption and fails stands for the seconds that the real one takes."""
    (tmp_path / "torch.py").write_text(INTERRUPTED)
    (tmp_path / "a_program_of_yours").write_text(SCRIPT)
    (tmp_path / "semrob").write_text(SCRIPT)
    (tmp_path / "semrob-train").write_text(SCRIPT)
    command = [sys.executable, *(word.replace("REPOSITORY", str(repository)) for word in words)]
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{repository}"}
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )  # fmt: skip
    assert (done.returncode == 130, "Traceback" not in done.stderr) == (ours, ours), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("words", "seconds"), [(EVALUATE, 3.0), (EVALUATE, 8.0), (EVALUATE, 15.0), (MAPS, 15.0)])
def test_later(words: tuple[str, ...], seconds: float, repository: Path, tmp_path: Path) -> None:
    output = tmp_path / ("out" if words is EVALUATE else "maps.nc")
    code, said = interrupted(words, seconds, repository, output)
    assert code in (130, 0), said  # 0: it was done before
    assert "Traceback" not in said
