"""``semrob merge``: one table from the output folders of partial jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_semrob.commands.parsing import Parser
from lightning_semrob.evaluation.finished.merge import merge
from lightning_semrob.evaluation.summary import Summary
from lightning_semrob.report.tables import format_summary
from lightning_semrob.report.trust import format_trust


def main(args: Sequence[str]) -> Summary:
    """The command; returns the summary."""
    parser = Parser(
        "merge",
        "Join the output folders of an array job over shapes or networks into one table.",
    )
    parser.add_argument("folders", type=str, nargs="+", help="output folders of evaluate.py")
    parser.add_argument("--output", type=str, required=True, help="folder of the joined table")
    options = parser.parse_args(list(args))
    summary = merge(options.folders, options.output)
    trust = "" if summary.trust is None else format_trust(summary.trust)
    print(format_summary(summary, Path(options.output), trust))
    return summary
