"""``semrob profile``: how much of a job's time goes to rendering, to networks and to the framework."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.profiling import format_shares

_PROFILER = "--trainer.profiler=lightning_semrob.evaluation.profiling.ShareProfiler"


def main(args: Sequence[str] | None = None) -> dict[str, float]:
    """Run a job of ``evaluate.py`` with these arguments in a new folder and print the shares of its time.

    Raises:
        ValueError: the job ended before anything was timed.
    """
    words = list(sys.argv[1:] if args is None else args)
    if "-h" in words or "--help" in words:
        print("usage: semrob profile [arguments of evaluate.py]\n")
        print("Runs the job and prints seconds and shares of rendering, networks, gradients and the framework.")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        own = [] if any(word.split("=")[0] == "--output" for word in words) else [f"--output={folder}/job"]
        shares: dict[str, float] | None = evaluate(["--report_grid=[]", *words, *own, _PROFILER]).get("profile")
    if not shares:
        raise ValueError("every run of the folder is finished: choose another --output, or --overwrite=true")
    print(f"\nWhere the time of the trust maps and of the runs went\n{format_shares(shares)}")
    return shares
