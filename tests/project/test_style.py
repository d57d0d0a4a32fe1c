"""The house rules that a program can check: lint, types, and which module may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

#: The rooms. A module imports from its own room and from those before it, never from those behind it.
ROOMS = (
    "space",
    "utilities",
    "functional",
    "shapes",
    "networks",
    "rendering",
    "functions",
    "verification",
    "sharing",
    "finders",
    "trust",
    "evaluation",
    "maps",
    "training",
    "report",
    "commands",
)

#: Imports that still point the wrong way: (room, room imported), for those that are being cured.
TO_CURE: set[tuple[str, str]] = set()


def rooms_imported(path: Path) -> set[str]:
    """Rooms that a file imports from, at run time, lazily or for type checking alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "lightning_semrob":
            names |= {f"lightning_semrob.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = {name.split(".")[1] for name in names if name.startswith("lightning_semrob.")}
    return parts & set(ROOMS)


def test_imports_between_rooms_point_one_way(repository: Path) -> None:
    package = repository / "lightning_semrob"
    upward = set()
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        if own not in ("__init__", "__main__"):
            upward |= {(own, room) for room in rooms_imported(path) if ROOMS.index(room) > ROOMS.index(own)}
    assert upward <= TO_CURE


def test_every_module_stands_in_a_room(repository: Path) -> None:
    package = repository / "lightning_semrob"
    assert {path.name for path in package.glob("*.py")} == {"__init__.py", "__main__.py", "space.py"}
    assert {path.name for path in package.iterdir() if (path / "__init__.py").is_file()} <= set(ROOMS)
    for folder in {path.parent for path in package.rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) <= 16 + 1, folder  # the rule speaks of 16, __init__ aside


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
