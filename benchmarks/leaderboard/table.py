"""Make the tables of docs/leaderboard.md from the entries.

python benchmarks/leaderboard/table.py                  # writes them between the markers
python benchmarks/leaderboard/table.py --check          # exits with 1 where the page is not what the entries give
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from entries import FOLDER, RESULTS, Entry, Protocol, by_shape, interval, load_protocol, protocols, read_entries

from lightning_semrob.functional.uncertainty import paired_differences

PAGE = FOLDER.parent.parent / "docs" / "leaderboard.md"


def percent(value: float) -> str:
    """With one digit behind the point, and without a sign of zero."""
    return f"{round(100 * value, 1) + 0.0:.1f}"


def markdown(columns: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table; all but the first ``left`` columns are aligned right."""
    rule = ["---" if k < left else "---:" for k in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *lines))


def ranking(entries: Sequence[Entry], confidence: float) -> str:
    """One line a network."""
    columns = [
        *("network", "viewpoint accuracy", "interval over shapes", "verified SRVR", "interval over shapes"),
        *("top-1 at u0", "mean score", "u0 robust", "valid / undecided", "evaluations", "weights", "date"),
    ]
    lines = []
    for entry in entries:
        found, accuracy, verdicts = entry["verified_srvr"], entry["accuracy"], entry["verdicts"]
        low, high = interval(entry["shapes"], confidence, "accuracy_space")
        lines.append(
            [
                entry["label"],
                percent(accuracy["space"]),
                f"{percent(low)} to {percent(high)}",
                percent(found["estimate"]),
                f"{percent(found['low'])} to {percent(found['high'])}",
                percent(accuracy["u0"]),
                f"{accuracy['mean_score']:.3f}",
                f"{entry['u0_robust']} of {sum(verdicts.values())}",
                " / ".join(str(verdicts.get(word, 0)) for word in ("valid", "undecided")),
                str(sum(entry["evaluations"].values())),
                f"`{entry['weights_sha256'][:8]}`",
                entry["date"],
            ]
        )
    return markdown(columns, lines)


def comparisons(entries: Sequence[Entry], confidence: float, measure: str, words: Mapping[str, str]) -> str:
    """One line a pair of networks: the difference of a measure on the same shapes, and what can be said of it."""
    classes = by_shape(entries[0]["shapes"], measure)[1]
    values = torch.stack([by_shape(entry["shapes"], measure)[0] for entry in entries])
    lines = []
    for first, second, found in paired_differences(values, classes, confidence):
        difference = f"{percent(found.estimate)} ({percent(found.low)} to {percent(found.high)})"
        shown = "none" if found.detectable != found.detectable else percent(found.detectable)
        numbers = [difference, f"{found.p_value:.3f}", f"{found.p_holm:.3f}", shown]
        names = [entries[first]["label"], entries[second]["label"]]
        lines.append([*names, *numbers, words.get(found.verdict, found.verdict)])
    columns = ["difference, points", "p", "p for all pairs (Holm)", "would be shown, points", "the first is"]
    return markdown(["network", "against", *columns], lines, left=2)


def by_class(entries: Sequence[Entry]) -> str:
    """Viewpoint accuracy, and verified SRVR behind it, one line a class."""
    names = list(dict.fromkeys(name for entry in entries for name in entry["classes"]))
    lines = []
    for name in names:
        rows = [entry["classes"][name] for entry in entries]
        cells = [f"{percent(row['accuracy_space'])} ({percent(row['verified_srvr'])})" for row in rows]
        lines.append([name, str(rows[0]["shapes"]), *cells])
    return markdown(["class", "shapes", *(entry["label"] for entry in entries)], lines)


def section(protocol: Protocol, entries: Sequence[Entry]) -> str:
    """The tables of one protocol."""
    shapes = entries[0]["verified_srvr"]["shapes"]
    classes = len(entries[0]["classes"])
    level = f"{100 * protocol.confidence:g} %"
    parts = [
        f"{shapes} shapes of {classes} classes, protocol `{protocol.sha256[:8]}`; percent, intervals at {level}.",
        ranking(entries, protocol.confidence),
        *(f"`{entry['label']}` is `{entry['network']}`." for entry in entries if entry["network"] != entry["label"]),
    ]
    if len(entries) > 1:
        larger = {"more robust": "larger", "less robust": "smaller"}
        parts += [
            "Pairs of networks on the same shapes, by viewpoint accuracy:",
            comparisons(entries, protocol.confidence, "accuracy_space", {}),
            "By verified SRVR (a lower bound, which calls no network more robust):",
            comparisons(entries, protocol.confidence, "verified_srvr", larger),
        ]
    parts += ["Viewpoint accuracy by class (behind it verified SRVR):", by_class(entries)]
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
