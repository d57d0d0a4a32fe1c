"""How many lines the package and its tests have, before and after the move into rooms.

Lines of ``*.py`` below ``lightning_semrob/``, ``tests/`` and ``lightning_semrob/rendering/``, in version 0.1.0 and now.
Of the commits between them, those of ``HOUSE`` arranged the package; all others added something to it. What the commits
that begin with "Scenes" added to ``rendering/`` is counted apart: pictures, panoramas and shadows are new.

    python benchmarks/line_counts.py
"""

from __future__ import annotations

import argparse
import subprocess
from collections import Counter
from pathlib import Path

RENDERING = "lightning_semrob/rendering"
#: The last commit before the package moved into rooms.
BEFORE = "Rooms: every module moves to the room that it belongs to"
#: Beginnings of the subjects of the commits that arranged the package. The two that lost files in a merge and brought
#: them back are both here, so that they cancel.
HOUSE = (
    BEFORE,
    "The class table of a job is a value",
    "A finder says itself whether it verifies its boxes",
    "Figures by subject",
    "Shared helpers: messages, files, collectives",
    "evaluation/job.py: a job runs from Python",
    "One drive loop with an observer",
    "Scores and top-1 hits by one call",
    "The report page is filled from Jinja2 templates",
    "CSV: a text that a spreadsheet would take for a formula",
    "A run is a dataclass; suite, judge",
    "trust_map and the memory of f, which a merge had left out",
    "One command line: semrob",
    "Lightning's command line stands with evaluate",
    "Documents say semrob COMMAND",
    "Plain sentences in finders",
    "The environment is a thin datamodule",
    "Labels of networks",
    "The page's templates, the one computation of traps",
    "The default mode overrides",
    "A kind of measurement is a base class",
    "Plain docstrings",
    "Docs: trust maps in overview and concepts; plain comments",
    "Long modules are split or say why",
    "Summaries, comparisons and checks of regions",
    "Networks have their short labels",
    "Runs cross rooms as records",
    "Components and their coverage",
    "Docstrings: plainer",
    "Public names: the lazy table",
    "House: ",
)


def git(*words: str) -> str:
    """What git prints of this checkout."""
    folder = Path(__file__).parent
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=folder.parent).stdout


def count(commit: str, folder: str) -> int:
    """Lines of the Python files of a folder."""
    names = [name for name in git("ls-tree", "-r", "--name-only", commit, folder).splitlines() if name.endswith(".py")]
    return sum(git("show", f"{commit}:{name}").count("\n") for name in names)


def net(before: str, folder: str, beginnings: tuple[str, ...]) -> Counter[bool]:
    """Lines that commits added to a folder less those that they took away: those whose subjects have one of the
    beginnings, and the others."""
    lines: Counter[bool] = Counter()
    chosen = False
    for line in git("log", "--numstat", "--no-renames", "--format=@%s", f"{before}..", "--", folder).splitlines():
        if line.startswith("@"):
            chosen = line[1:].startswith(beginnings)
        elif line.endswith(".py"):
            added, deleted, _ = line.split("\t")
            lines[chosen] += int(added) - int(deleted)
    return lines


def main() -> None:
    """Print the counts."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    first = git("log", "--format=%h", f"--grep=^{BEFORE}", "-1").strip()
    if not first:
        raise SystemExit("this checkout does not have the history since version 0.1.0")
    before = f"{first}^"
    for folder in ("lightning_semrob", "tests", RENDERING):
        print(f"{folder}: {count(before, folder)} lines in 0.1.0, {count('HEAD', folder)} now")
    package = net(before, "lightning_semrob", HOUSE)
    print(f"the package: {package[True]:+d} lines by its arrangement, {package[False]:+d} by what was added")
    scenes = net(before, RENDERING, ("Scenes",))[True]
    print(f"{RENDERING}: {scenes:+d} lines by scenes, {count('HEAD', RENDERING) - scenes} without them")


if __name__ == "__main__":
    main()
