"""The wheel alone runs outside the repository; the README's commands are what CI runs."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import lightning_semrob

tomllib = pytest.importorskip("tomllib", reason="pyproject.toml is read by Python 3.11 or newer")


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


def project(repository: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((repository / "pyproject.toml").read_text())
    return found


def test_extras_and_commands(repository: Path) -> None:
    found = project(repository)["project"]
    assert {"demo", "timm", "report", "docs", "dev"} <= set(found["optional-dependencies"])
    assert "pytorch3d" not in found["optional-dependencies"]  # the index has no wheel: doctor gives the build
    for target in found["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
    assert found["version"] == lightning_semrob.__version__
    assert (repository / "lightning_semrob" / "py.typed").is_file()


def test_every_package_is_listed(repository: Path) -> None:
    folders = [path.parent for path in (repository / "lightning_semrob").rglob("__init__.py")]
    packages = {".".join(folder.relative_to(repository).parts) for folder in folders} | {"lightning_semrob.configs"}
    assert set(project(repository)["tool"]["setuptools"]["packages"]) == packages


def test_configuration_files_of_the_repository(repository: Path) -> None:
    """The workflow runs what exists, the citation names the version and the paper, the image what the wheel needs."""
    workflow = yaml.safe_load((repository / ".github" / "workflows" / "tests.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    sessions = set(re.findall(r"^def (\w+)\(session", (repository / "noxfile.py").read_text(), re.MULTILINE))
    named = {word for step in steps for word in re.findall(r"nox -s (\w+)", step.get("run", ""))}
    assert named | set(workflow["jobs"]["versions"]["strategy"]["matrix"]["session"]) == sessions
    assert "label" in workflow["jobs"]["gpu"]["if"]
    hooks = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text())
    names = [hook["id"] for source in hooks["repos"] for hook in source["hooks"]]
    assert names == ["ruff", "ruff-format", "mypy"]
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert citation["version"] == lightning_semrob.__version__
    assert "1904.04621" in citation["references"][0]["url"]
    kept = {line[1:] for line in (repository / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (.*) \S+$", (repository / "Dockerfile").read_text(), re.MULTILINE)
    assert {name for line in copied for name in line.split()} == kept
    assert all((repository / name).exists() for name in kept)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of a copy of the checkout, and the wheel that is built from it alone."""
    repository = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("built")
    copy = folder / "copy"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True).stdout
    for name in names.strip("\0").split("\0"):
        if (repository / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / name, copy / name)
    code = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(folder)], cwd=copy, check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(sdist)]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_what_sdist_and_wheel_hold(built: tuple[Path, Path]) -> None:
    sdist, wheel = built
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "LICENSE",
        "CITATION.cff",
        "configs/default.yaml",
        "evaluate.py",
        "docs/finders.md",
        "tests/conftest.py",
    ):
        assert name in inside
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    for name in (
        "configs/embedded.yaml",
        "py.typed",
        "report/page.js",
        "report/page/templates/page.html",
        "rendering/kernels/layout.py",
    ):
        assert f"lightning_semrob/{name}" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/", "configs/")) for name in names)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # an installation and the whole default job
def test_a_fresh_environment_runs_the_default_job_from_the_wheel_alone(
    built: tuple[Path, Path], repository: Path, tmp_path: Path
) -> None:
    """A new virtual environment, the wheel and what it asks for, another folder, no path to the checkout."""
    _, wheel = built
    python = tmp_path / "fresh" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", str(python.parent.parent))
    constraints = ["-c", str(repository / "constraints-cpu.txt")]
    run(str(python), "-m", "pip", "install", "-q", *constraints, f"{wheel}[demo,report]")
    where = run(str(python), "-c", "import lightning_semrob; print(lightning_semrob.__file__)")
    assert where.startswith(str(tmp_path))
    assert "The default job can run here" in run(str(python), "-m", "lightning_semrob", "doctor")
    text = run(str(python.with_name("semrob-evaluate")), "--config", "default.yaml", "--output", "out")
    assert "32 runs" in text
    for name in ("runs.parquet", "summary.json", "report.html"):
        assert (tmp_path / "out" / name).is_file()
    run(str(python.with_name("semrob-train")), "fit", "--config", "train_demo.yaml", "--print_config")
