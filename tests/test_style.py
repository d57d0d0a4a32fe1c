"""The house rules that a program can check: lint, types, and which module may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

#: A module imports from those before it (and from its own package), never from those behind it.
LAYERS = (
    "_torchvision",
    "space",
    "functional",
    "shapes",
    "rendering",
    "small_resnet",
    "clip",
    "networks",
    "folding",
    "micro_batch",
    "functions",
    "verification",
    "audit",
    "work",
    "precision",
    "environment",
    "output_folder",
    "profiling",
    "statements",
    "results",
    "metrics",
    "authors",
    "finders",
    "worst_views",
    "monitor",
    "remembered",
    "views",
    "training_data",
    "adversarial",
    "maps",
    "traps",
    "report",
    "explore",
    "callbacks",
    "dashboard",
    "strategies",
    "estimate",
    "cli",
    "comparison",
    "training_cli",
    "commands",
    "__main__",
)


def imports_of(path: Path) -> set[str]:
    """Parts of the package that a file imports at run time (imports for type checking alone are left out)."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("lightning_semrob.")}


def test_imports_point_upward(repository: Path) -> None:
    package = repository / "lightning_semrob"
    seen = set()
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        seen.add(own)
        for name in imports_of(path):
            assert LAYERS.index(name) <= LAYERS.index(own), f"{path.name} of '{own}' imports '{name}'"
    assert seen == set(LAYERS)


@pytest.mark.parametrize("command", [["check", "."], ["format", "--check", "."]])
def test_ruff(repository: Path, command: list[str]) -> None:
    done = subprocess.run(["ruff", *command], cwd=repository, capture_output=True, text=True, check=False, env=_path())
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=repository, capture_output=True, text=True, check=False, env=_path()
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _path() -> dict[str, str]:
    """The environment with the scripts of this interpreter first."""
    import os

    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
