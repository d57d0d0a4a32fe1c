"""Wall time and evaluations of the default job of ``evaluate.py``.

    python benchmarks/main_job.py [--checkout FOLDER] [arguments of evaluate.py]

Starts the command in a new process with an empty output folder, as a user would, and prints where the time went.
``--checkout`` runs another version of the project, by the folder of its checkout (what it needs must be installed):
give both the same arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def main(checkout: Path, arguments: list[str]) -> None:
    """Run, then print."""
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, str(checkout / "evaluate.py"), *arguments, "--output", str(output)],
            check=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        wall = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        summary = json.loads((output / "summary.json").read_text())
        versions = json.loads((output / "versions.json").read_text())
    cost = summary["cost"]
    paper = ("naive", "oir_b", "oir_w")
    print(f"\nwall time {wall:.0f} s, of which {summary['seconds']:.0f} s measuring; {versions['platform']}")
    print(f"{used.ru_utime + used.ru_stime:.0f} s of processor time")
    for name, counts in cost.items():
        own = sum(counts.get(method, 0) for method in paper)
        print(f"{name}: {own} for naive, oir_b and oir_w, {counts.get('verified', 0)} for the verified finder")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--checkout", type=Path, default=REPOSITORY, help="of the version that runs")
    options, rest = parser.parse_known_args()
    main(options.checkout, rest)
