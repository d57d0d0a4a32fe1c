"""Make the tables of docs/leaderboard.md from the entries.

python benchmarks/leaderboard/table.py                  # writes them between the markers
python benchmarks/leaderboard/table.py --check          # exits with 1 where the page is not what the entries give
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from entries import FOLDER, RESULTS, Entry, Protocol, by_shape, load_protocol, protocols, read_entries

from lightning_semrob.functional.uncertainty import OF_VOLUMES, call_differences, paired_difference

PAGE = FOLDER.parent.parent / "docs" / "leaderboard.md"

#: What the table of networks shows of each measure.
COLUMNS = {
    "trusted_top1": "trusted share by top-1",
    "failing_top1": "failing share by top-1",
    "accuracy": "viewpoint accuracy",
    "trusted": "trusted share by score",
    "failing": "failing share by score",
    "mean_score": "mean score",
    "verified_srvr": "verified SRVR",
}
#: Measures by which networks are compared, and the words of their calls: only the first two say "more robust".
COMPARED: dict[str, dict[str, str]] = {
    "trusted_top1": {},
    "trusted": {},
    "accuracy": OF_VOLUMES,
    "verified_srvr": OF_VOLUMES,
}


def percent(value: float) -> str:
    """With one digit behind the point, and without a sign of zero."""
    return f"{round(100 * value, 1) + 0.0:.1f}"


def markdown(columns: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table; all but the first ``left`` columns are aligned right."""
    rule = ["---" if k < left else "---:" for k in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *lines))


def ranking(entries: Sequence[Entry]) -> str:
    """One line a network."""
    columns = ["network", *COLUMNS.values(), "valid / undecided boxes", "evaluations", "weights", "date"]
    lines = []
    for entry in entries:
        verdicts = entry["verdicts"]
        cells = []
        for name in COLUMNS:
            found = entry["overall"][name]
            cells.append(f"{percent(found['estimate'])} ({percent(found['low'])} to {percent(found['high'])})")
        lines.append(
            [
                entry["label"],
                *cells,
                " / ".join(str(verdicts.get(word, 0)) for word in ("valid", "undecided")),
                str(sum(entry["evaluations"].values())),
                f"`{entry['weights_sha256'][:8]}`",
                entry["date"],
            ]
        )
    return markdown(columns, lines)


def comparisons(entries: Sequence[Entry], confidence: float) -> list[str]:
    """For each measure a table of the pairs of networks on the same shapes, all of them called together."""
    pairs = list(combinations(range(len(entries)), 2))
    tests = len(pairs) * len(COMPARED)
    found = []
    for measure in COMPARED:
        rows = [by_shape(entry["shapes"], measure) for entry in entries]
        classes = rows[0][1]
        found += [
            paired_difference(rows[one][0], rows[other][0], classes, confidence, pairs=tests) for one, other in pairs
        ]
    called = iter(call_differences(found, confidence))
    columns = ["difference, points", "p", f"p for all {tests} (Holm)", "would be shown, points", "the first is"]
    parts = []
    for measure, words in COMPARED.items():
        lines = []
        for one, other in pairs:
            difference = next(called)
            shown = "none" if math.isnan(difference.detectable) else percent(difference.detectable)
            lines.append(
                [
                    entries[one]["label"],
                    entries[other]["label"],
                    f"{percent(difference.estimate)} ({percent(difference.low)} to {percent(difference.high)})",
                    f"{difference.p_value:.4f}",
                    f"{difference.p_holm:.3f}",
                    shown,
                    words.get(difference.verdict, difference.verdict),
                ]
            )
        parts += [f"By {COLUMNS[measure]}:", markdown(["network", "against", *columns], lines, left=2)]
    return parts


def by_class(entries: Sequence[Entry]) -> str:
    """Trusted share by top-1, and by score behind it, one line a class."""
    names = list(dict.fromkeys(name for entry in entries for name in entry["classes"]))
    lines = []
    for name in names:
        rows = [entry["classes"][name] for entry in entries]
        cells = [f"{percent(row['trusted_top1'])} ({percent(row['trusted'])})" for row in rows]
        lines.append([name, str(rows[0]["shapes"]), *cells])
    return markdown(["class", "shapes", *(entry["label"] for entry in entries)], lines)


def section(protocol: Protocol, entries: Sequence[Entry]) -> str:
    """The tables of one protocol."""
    shapes, classes = len(entries[0]["shapes"]), len(entries[0]["classes"])
    level = f"{100 * protocol.confidence:g} %"
    parts = [
        f"{shapes} shapes of {classes} classes, protocol `{protocol.sha256[:8]}`; percent, in brackets the interval "
        f"over shapes at {level}.",
        ranking(entries),
        *(f"`{entry['label']}` is `{entry['network']}`." for entry in entries if entry["network"] != entry["label"]),
    ]
    if len(entries) > 1:
        parts += ["Pairs of networks on the same shapes:", *comparisons(entries, protocol.confidence)]
    parts += ["Trusted share by top-1 of each class (behind it the trusted share by score):", by_class(entries)]
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
