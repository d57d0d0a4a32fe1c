"""Make the tables of docs/leaderboard.md from the entries.

python benchmarks/leaderboard/table.py                  # writes them between the markers
python benchmarks/leaderboard/table.py --check          # exits with 1 where the page is not what the entries give
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from entries import FOLDER, RESULTS, Entry, Protocol, load_protocol, protocols, ratios, read_entries

from lightning_semrob.functional.srvr import paired_difference

PAGE = FOLDER.parent.parent / "docs" / "leaderboard.md"


def percent(value: float) -> str:
    """With one digit behind the point, and without a sign of zero."""
    return f"{round(100 * value, 1) + 0.0:.1f}"


def markdown(columns: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table; all but the first ``left`` columns are aligned right."""
    rule = ["---" if k < left else "---:" for k in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *lines))


def ranking(entries: Sequence[Entry]) -> str:
    """One line a network."""
    columns = [
        *("network", "verified SRVR", "interval over shapes", "top-1 at u0", "top-1 over the space", "mean score"),
        *("u0 robust", "valid / undecided", "evaluations", "weights", "date"),
    ]
    lines = []
    for entry in entries:
        found, accuracy, verdicts = entry["verified_srvr"], entry["accuracy"], entry["verdicts"]
        lines.append(
            [
                entry["label"],
                percent(found["estimate"]),
                f"{percent(found['low'])} to {percent(found['high'])}",
                percent(accuracy["u0"]),
                percent(accuracy["space"]),
                f"{accuracy['mean_score']:.3f}",
                f"{entry['u0_robust']} of {sum(verdicts.values())}",
                " / ".join(str(verdicts.get(word, 0)) for word in ("valid", "undecided")),
                str(sum(entry["evaluations"].values())),
                f"`{entry['weights_sha256'][:8]}`",
                entry["date"],
            ]
        )
    return markdown(columns, lines)


def comparisons(entries: Sequence[Entry], confidence: float) -> str:
    """One line a pair of networks: the difference on the same shapes, and what can be said of it."""
    lines = []
    for first, second in combinations(entries, 2):
        (one, classes), (other, _) = ratios(first["shapes"]), ratios(second["shapes"])
        found = paired_difference(one, other, classes, confidence)
        difference = f"{percent(found.estimate)} ({percent(found.low)} to {percent(found.high)})"
        verdict = found.verdict if found.low == found.low else "too few shapes to compare"
        lines.append([first["label"], second["label"], difference, f"{found.p_value:.3f}", verdict])
    return markdown(["network", "against", "difference, percent of the space", "p", "the first is"], lines, left=2)


def by_class(entries: Sequence[Entry]) -> str:
    """Verified SRVR, and top-1 over the space behind it, one line a class."""
    names = list(dict.fromkeys(name for entry in entries for name in entry["classes"]))
    lines = []
    for name in names:
        rows = [entry["classes"][name] for entry in entries]
        cells = [f"{percent(row['verified_srvr'])} ({percent(row['accuracy_space'])})" for row in rows]
        lines.append([name, str(rows[0]["shapes"]), *cells])
    return markdown(["class", "shapes", *(entry["label"] for entry in entries)], lines)


def section(protocol: Protocol, entries: Sequence[Entry]) -> str:
    """The tables of one protocol."""
    shapes = entries[0]["verified_srvr"]["shapes"]
    classes = len(entries[0]["classes"])
    level = f"{100 * protocol.confidence:g} %"
    parts = [
        f"{shapes} shapes of {classes} classes, protocol `{protocol.sha256[:8]}`; percent, intervals at {level}.",
        ranking(entries),
        *(f"`{entry['label']}` is `{entry['network']}`." for entry in entries if entry["network"] != entry["label"]),
    ]
    if len(entries) > 1:
        parts += ["Pairs of networks on the same shapes, by verified SRVR:", comparisons(entries, protocol.confidence)]
    parts += ["Verified SRVR by class (behind it top-1 over the space):", by_class(entries)]
    return "\n\n".join(parts)


def rendered(page: str, results: Path = RESULTS) -> str:
    """The page with its tables made anew.

    Raises:
        ValueError: the markers of a protocol are not there once, or an entry does not fit.
    """
    for name in protocols():
        protocol = load_protocol(name)
        entries = read_entries(protocol, results)
        begin, end = f"<!-- leaderboard {name} -->", f"<!-- end of leaderboard {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"the page needs '{begin}' and '{end}' once each: write them where the tables belong")
        text = section(protocol, entries) if entries else "No entry yet."
        page = re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n\n{text}\n\n{end}", page, flags=re.DOTALL)  # noqa: B023
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; 1 where it is out of date, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 where the page is out of date")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    old = options.page.read_text(encoding="utf-8")
    new = rendered(old, options.results)
    if options.check:
        print("up to date" if new == old else f"{options.page} is out of date: run {Path(__file__).name}")
        return int(new != old)
    options.page.write_text(new, encoding="utf-8")
    print(f"{options.page}: {', '.join(protocols())}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
