"""docs/architecture.md names the rooms in their order, and functions, classes and files that exist."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

from tests.project.test_style import ROOMS


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "architecture.md").read_text()


def resolve(path: str) -> object:
    """What a dotted path in the package names: a module, or something in one."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(["lightning_semrob", *parts[:length]]))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[length:], module)
    raise ImportError(f"there is no module in '{path}'")


def test_the_rooms_stand_in_their_order(page: str) -> None:
    table = page.partition("## The rooms")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == ROOMS


def test_what_the_page_names_exists(page: str, repository: Path) -> None:
    names = re.findall(rf"`((?:{'|'.join(ROOMS)})(?:\.\w+)+)`", page)
    assert len(names) > 25
    for name in names:
        assert resolve(name) is not None
    for name, file in re.findall(r"`(\w+Contract)` of `(tests/[\w/]+\.py)`", page):
        assert f"class {name}" in (repository / file).read_text()
    for name in ("finders.base.no_such_name", "no_such_room.base"):
        with pytest.raises((AttributeError, ImportError)):
            resolve(name)


def test_a_task_takes_at_most_twelve_steps(page: str) -> None:
    steps = re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    assert steps == [str(k) for k in range(1, len(steps) + 1)]
    assert 1 < len(steps) <= 12
