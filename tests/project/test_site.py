"""The documentation site: every page is in its navigation, links lead somewhere, and it builds without a warning."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import lightning_semrob


def configuration(repository: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((repository / "mkdocs.yml").read_text())
    return found


def pages_of(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from pages_of(value)


def test_every_page_is_in_the_navigation(repository: Path) -> None:
    docs = repository / "docs"
    pages = sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))
    assert sorted(pages_of(configuration(repository)["nav"])) == pages


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_links_of_the_documents_lead_somewhere(repository: Path) -> None:
    documents = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]
    links = 0
    for document in documents:
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            path = document.parent / file if file else document
            assert path.exists(), f"{document.name}: {target}"
            assert not anchor or anchor in anchors(path), f"{document.name}: {target}"
            links += 1
    assert links > 30


def test_the_interface_pages_name_what_exists(repository: Path) -> None:
    names = []
    for page in (repository / "docs" / "api").glob("*.md"):
        names += re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, f"{name} has no docstring"
    assert len(names) == len(set(names)) > 50
    shown = {name.rpartition(".")[2] for name in names}
    assert set(lightning_semrob.__all__) - {"__version__"} <= shown


def test_the_site_builds_without_a_warning(repository: Path, tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(package, reason="the site needs the extra 'docs'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    pages = [path for path in (tmp_path / "site").rglob("*.html") if path.name != "404.html"]
    assert len(pages) == len(list((repository / "docs").rglob("*.md")))
    assert "<math" in (tmp_path / "site" / "finders" / "index.html").read_text()
    for page in pages:
        html = page.read_text()
        assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', html), (
            f"{page} loads from elsewhere"
        )
        assert "arithmatex" not in html, f"{page} has a formula that was not converted"
        assert not re.search(r":(?:func|class|meth|mod):", html), f"{page} has a role as text"
