"""``semrob compare OLD NEW``: has a network become less robust? An exit code for pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_semrob.commands.parsing import Parser
from lightning_semrob.evaluation.finished.compare import METRICS, FolderComparison, compare_folders
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.evaluation.summary import Comparison
from lightning_semrob.functional.uncertainty import MINIMUM_SHAPES
from lightning_semrob.networks.labels import network_labels
from lightning_semrob.report.tables import format_table, power_in_words, verdict_in_words
from lightning_semrob.utilities.messages import percent

#: Exit code of ``--fail_if worse`` where a network has become less robust; a mistake is 2, as of every command.
WORSE = 1


def format_comparison(found: FolderComparison) -> str:
    """One comparison in words, viewpoint accuracy first, and a table of classes; percent of the space."""
    confidence, lines = found.confidence, [" -> ".join(network_labels([found.old, found.new]))]
    if found.viewpoints:
        before, after = found.viewpoints.accuracy
        difference = found.viewpoints.difference
        lines.append(
            f"viewpoint accuracy {percent(before)} -> {percent(after)} percent of the views; new against old: "
            f"{_difference(difference, confidence)}; {power_in_words(difference)}"
        )
    if found.trusted_share:
        shares = found.trusted_share
        sides = [
            f"{percent(low)} (at most {percent(1 - failing)}, undecided {percent(undecided)})"
            for low, failing, undecided in zip(shares.share, shares.failing, shares.undecided, strict=True)
        ]
        what = "right answers" if shares.score == "top1" else f"the score {shares.score}"
        lines.append(
            f"trusted share by {what} {' -> '.join(sides)} percent of the space; new against old: "
            f"{_difference(shares.difference, confidence)}; {power_in_words(shares.difference)}"
        )
    difference, (before, after) = found.difference, found.srvr
    name = f"{found.metric} SRVR"
    lines.append(
        f"{name}, which depends on calibration, {percent(before)} -> {percent(after)} percent of the space "
        f"({', '.join(found.methods)}; {found.tasks} tasks, {difference.shapes} shapes); new against old: "
        f"{_difference(difference, confidence, name)}; {power_in_words(difference)}"
    )
    if found.left_out:
        lines.append(f"{found.left_out} tasks are left out, which only one folder has measured")
    rows = [[label, _difference(item, confidence, name), str(item.shapes)] for label, item in found.classes.items()]
    lines += ["", format_table(["class", f"{name}, new minus old", "shapes"], rows, left=2)]
    for key, text in (("lost", "valid before and not now"), ("gained", "valid now and not before")):
        tasks = found[key]
        lines.append(f"\n{len(tasks)} boxes {text}" + (":" if tasks else ""))
        lines += [f"  {t['shape_id']} ({t['class_name']}), point {t['point']}, {t['method']}" for t in tasks]
    return "\n".join(lines)


def _difference(item: Comparison, confidence: float, volume: str = "") -> str:
    """A difference in percentage points."""
    text = f"{100 * item.estimate:+.2f}"
    if item.low == item.low:
        text += f" [{100 * item.low:+.2f}, {100 * item.high:+.2f}] at {100 * confidence:g} %"
    if item.p_holm == item.p_holm:
        text += f", p = {item.p_holm:.3f}"
    return f"{text}, {verdict_in_words(item.verdict, volume)}"


def main(args: Sequence[str]) -> list[FolderComparison]:
    """The command; returns the comparisons, or exits with 1 where it was asked to."""
    parser = Parser(
        "compare",
        "Compare two output folders of evaluate.py over the tasks that both have measured. Exit codes: 0; "
        "1 with --fail_if worse where viewpoint accuracy, trusted share or SRVR is called smaller; "
        "2 where the folders cannot be compared.",
    )
    parser.add_argument("old", type=str, help="output folder of the network in use")
    parser.add_argument("new", type=str, help="output folder of its successor")
    parser.add_argument(
        "--fail_if", choices=["worse"], help="exit with 1 where a measure is called smaller (sign flips, Holm)"
    )
    parser.add_argument("--metric", choices=METRICS, default=METRICS[0], help="which volume of a box counts")
    parser.add_argument("--methods", type=str, nargs="+", help="finders whose boxes count; verified, or all in common")
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        default=[],
        metavar=("OLD_NAME", "NEW_NAME"),
        help="a network of each folder, where names differ and there are several; may be repeated",
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="of the calls and of the intervals over shapes")
    parser.add_argument("--json", type=str, help="file for the comparisons")
    options = parser.parse_args(list(args))
    pairs = dict(options.pair)
    found = compare_folders(options.old, options.new, pairs, options.metric, options.methods, options.confidence)
    print("\n\n".join(format_comparison(item) for item in found))
    labels = network_labels([item.new for item in found])
    worse = [f"{label} ({', '.join(item.worse)})" for label, item in zip(labels, found, strict=True) if item.worse]
    if any(item.difference["verdict"].startswith("too few") for item in found):
        print(f"\na difference is called from {MINIMUM_SHAPES} shapes on")
    if options.json:
        path = Path(options.json)
        RunFolder(path.parent).write_json(path.name, {"comparisons": found})
    if options.fail_if == "worse" and worse:
        print(f"\nworse than before: {', '.join(worse)}")
        raise SystemExit(WORSE)
    return found
