"""docs/differences.md names tests, benchmarks and files that exist."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_evidence_of_ours_exists(repository: Path) -> None:
    text = (repository / "docs" / "differences.md").read_text()
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(tests) > 15
    for file, name in tests:
        assert f"def {name}(" in (repository / file).read_text(), f"{file} has no {name}"
    files = set(re.findall(r"`((?:benchmarks|docs|configs|lightning_semrob|tests)/[\w/.]+)", text))
    assert {"configs/paper.yaml", "configs/paper_corrected.yaml", "benchmarks/paper_protocol.py"} <= files
    for name in files:
        assert (repository / name).is_file(), name


def test_rows_have_every_column(repository: Path) -> None:
    """Subject, paper's text, authors' code, ours, evidence."""
    lines = (repository / "docs" / "differences.md").read_text().splitlines()
    start = [k for k, line in enumerate(lines) if line.startswith("| subject |")]
    assert len(start) == 5
    for k in start:
        for line in lines[k:]:
            if not line.startswith("|"):
                break
            assert len(re.split(r"(?<!\\)\|", line)) == 7, line
