"""The wheel alone runs outside the repository; the README's commands are what CI runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


def test_ci_runs_the_test_command_of_the_readme(repository: Path) -> None:
    readme = (repository / "README.md").read_text()
    (found,) = re.findall(r"<!-- test command -->\n```bash\n(.*?)\n```", readme, re.DOTALL)
    script = (repository / ".ci" / "run").read_text()
    extract = next(line for line in script.splitlines() if line.startswith("command="))
    done = subprocess.run(
        ["bash", "-c", f'{extract}; printf %s "$command"'], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout == found
    assert "pytest" in found


@pytest.mark.slow
def test_the_wheel_runs_outside_the_repository(repository: Path, tmp_path: Path) -> None:
    """Built, unpacked and run with its own configurations, from another folder."""
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(repository)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True)
    assert (target / "lightning_semrob" / "configs" / "embedded.yaml").is_file()
    code = (
        "import lightning_semrob, sys; assert lightning_semrob.__file__.startswith(sys.argv[1]);"
        "from lightning_semrob.cli import evaluate;"
        "evaluate(['--config', 'default.yaml', '--data.networks=[tiny_network:build]', '--data.image_size=32',"
        "'--model.num_iterations=2', '--model.verified_evaluations=240', '--output', sys.argv[2]])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(repository / "tests")])}
    command = [sys.executable, "-c", code, str(target), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "runs.parquet").is_file()
