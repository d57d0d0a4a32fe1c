"""The audit tables of docs/rendering.md: gradient against fitted slope, smooth score and real network.

    python benchmarks/gradient_audit.py                        # the embedded shapes
    python benchmarks/gradient_audit.py --reference path/to/shapes

Each table is one ``semrob audit`` command, printed above it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lightning_semrob.commands.audit import main as audit

NETWORK = "efficientnet_lite0"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", default=None, help="a folder of meshes that is audited too")
    parser.add_argument("--views", type=int, default=2, help="a shape")
    options = parser.parse_args(arguments)
    shapes = ["embedded", *([] if options.reference is None else [options.reference])]
    for more in ([], ["--network", NETWORK], ["--axes", "all"]):
        views = 1 if "all" in more else options.views
        words = ["--shapes", *shapes, "--views", str(views), *more]
        print("\nsemrob audit " + " ".join(words), flush=True)
        audit(words)


if __name__ == "__main__":
    main()
