"""The house rules that a program can check: lint, types, and which module may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import scipy.sparse
from scipy.sparse.csgraph import connected_components

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


#: Circles of imports between modules that are being cured.
CIRCLES_TO_CURE: list[set[str]] = []


def imports_of(path: Path) -> set[str]:
    """What a file imports, at run time, lazily or for type checking alone: modules, and names in them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def rooms_imported(path: Path) -> set[str]:
    """Rooms that a file imports from."""
    parts = {name.split(".")[1] for name in imports_of(path) if name.startswith("lightning_semrob.")}
    return parts & set(ROOMS)


def test_imports_between_rooms_point_one_way(repository: Path) -> None:
    package = repository / "lightning_semrob"
    upward = set()
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        if own not in ("__init__", "__main__"):
            upward |= {(own, room) for room in rooms_imported(path) if ROOMS.index(room) > ROOMS.index(own)}
    assert upward <= TO_CURE


def test_no_modules_import_each_other_in_a_circle(repository: Path) -> None:
    paths = {
        ".".join(path.relative_to(repository).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (repository / "lightning_semrob").rglob("*.py")
    }
    modules = sorted(set(paths) - {"lightning_semrob"})  # the package names what is in it, for type checkers
    arrows = scipy.sparse.lil_array((len(modules), len(modules)), dtype=bool)
    for place, name in enumerate(modules):
        for imported in imports_of(paths[name]):
            # A name that is no module stands in the module in front of it.
            target = imported if imported in paths else imported.rpartition(".")[0]
            if target in modules and target != name:
                arrows[place, modules.index(target)] = True
    count, label = connected_components(arrows.tocsr(), connection="strong")
    circles = [{modules[k] for k in (label == circle).nonzero()[0]} for circle in range(count)]
    circles = [circle for circle in circles if len(circle) > 1]
    assert [circle for circle in circles if not any(circle <= known for known in CIRCLES_TO_CURE)] == []


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
