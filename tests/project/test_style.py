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
    assert not upward


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
    assert [circle for circle in circles if len(circle) > 1] == []


def test_every_module_stands_in_a_room(repository: Path) -> None:
    package = repository / "lightning_semrob"
    assert {path.name for path in package.glob("*.py")} == {"__init__.py", "__main__.py", "space.py"}
    assert {path.name for path in package.iterdir() if (path / "__init__.py").is_file()} <= set(ROOMS)
    for folder in {path.parent for path in package.rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) <= 16 + 1, folder  # the rule speaks of 16, __init__ aside


def test_a_name_without_an_underscore_is_public(repository: Path) -> None:
    """Only packages list their names again, and functional/regions.py, all of whose names its package passes on."""
    listed = [
        path.relative_to(repository / "lightning_semrob").as_posix()
        for path in (repository / "lightning_semrob").rglob("*.py")
        if path.name != "__init__.py" and "\n__all__ = " in path.read_text()
    ]
    assert listed == ["functional/regions.py"]


def test_a_long_module_says_why(repository: Path) -> None:
    package = repository / "lightning_semrob"
    long = set()
    for path in package.rglob("*.py"):
        lines = path.read_text().splitlines()
        if len(lines) > 400 and "lines" not in " ".join(lines[:12]):
            long.add(path.relative_to(package).as_posix())
    assert not long


def test_nothing_imports_the_commands_but_the_scripts(repository: Path) -> None:
    importers = {
        path.relative_to(repository).as_posix()
        for path in [*repository.glob("*.py"), *(repository / "lightning_semrob").rglob("*.py")]
        if "commands" in rooms_imported(path) and "commands" not in path.parts
    }
    assert importers == {"evaluate.py", "train.py", "lightning_semrob/__main__.py"}


def test_no_module_asks_for_a_sibling_class(repository: Path) -> None:
    """``isinstance(x, C)`` where C and a class of this module descend from one base class of the package."""
    package = repository / "lightning_semrob"
    bases: dict[str, set[str]] = {}
    own: dict[str, set[str]] = {}
    asked: set[tuple[str, str]] = set()
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
                own.setdefault(name, set()).add(node.name)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                asked |= {(name, leaf.id) for leaf in ast.walk(node.args[1]) if isinstance(leaf, ast.Name)}

    def family(kind: str) -> set[str]:
        above = {base for base in bases.get(kind, set()) if base in bases}
        return above | {further for base in above for further in family(base)}

    found = {
        (name, kind)
        for name, kind in asked
        if any(family(kind) & ({c} | family(c)) for c in own.get(name, ()) if c != kind)
    }
    assert not found


#: Plain data is right where JSON files, the page's script, plotly, a command line's result or Lightning's own state is
#: made of it; everywhere else what crosses a room is a dataclass.
PLAIN_DATA = {
    "commands/evaluate.py": {"resolved"},
    "evaluation/folder.py": {"read_config"},
    "evaluation/records.py": {"columns"},
    "evaluation/statements.py": {"region_statement"},
    "evaluation/suite.py": {"on_save_checkpoint", "on_load_checkpoint"},
    "maps/authors_pickle.py": {"read_pt"},
    "report/explore.py": {"figure", "move", "play", "draw"},
    "report/page/maps.py": {"axis_data", "data"},
    "report/page/pictures.py": {"data"},
    "report/page/sections.py": {"data"},
    "training/module.py": {"on_save_checkpoint"},
    "utilities/files.py": {"read_json"},
}


def test_dictionaries_of_anything_cross_no_room(repository: Path) -> None:
    package = repository / "lightning_semrob"
    found: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                notes = [node.returns, *(argument.annotation for argument in [*node.args.args, *node.args.kwonlyargs])]
                if any("dict[str, Any]" in ast.unparse(note) for note in notes if note is not None):
                    found.setdefault(path.relative_to(package).as_posix(), set()).add(node.name)
    assert {name: more for name, had in found.items() if (more := had - PLAIN_DATA.get(name, set()))} == {}


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
