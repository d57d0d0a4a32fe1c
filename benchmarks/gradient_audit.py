"""The audit tables of docs/rendering.md and docs/scenes.md: gradient against fitted slope.

    python benchmarks/gradient_audit.py                        # the embedded shapes
    python benchmarks/gradient_audit.py --reference path/to/shapes
    python benchmarks/gradient_audit.py --tables picture panorama

Each table is one ``semrob audit`` command, printed above it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lightning_semrob.commands.audit import main as audit

#: What each table adds to the command.
TABLES = {
    "smooth": [],
    "network": ["--network", "efficientnet_lite0"],
    "axes": ["--axes", "all"],
    "picture": ["--scene.background=embedded:wood", "--scene.shadow=0.7"],
    "panorama": ["--scene.panorama=embedded:room", "--scene.shadow=0.7"],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", default=None, help="a folder of meshes that is audited too")
    parser.add_argument("--views", type=int, default=2, help="a shape")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="which tables")
    options = parser.parse_args(arguments)
    shapes = ["embedded", *([] if options.reference is None else [options.reference])]
    for more in (TABLES[name] for name in options.tables):
        views = 1 if "all" in more else options.views
        words = ["--shapes", *shapes, "--views", str(views), *more]
        print("\nsemrob audit " + " ".join(words), flush=True)
        audit(words)


if __name__ == "__main__":
    main()
