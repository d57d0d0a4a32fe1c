"""``python -m lightning_semrob COMMAND ...``: one program for all commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

__all__ = ["COMMANDS", "main"]

#: Command -> module with ``main(args)``, and what it does.
COMMANDS: dict[str, tuple[str, str]] = {
    "doctor": ("lightning_semrob.commands.doctor", "versions, devices, which backends work, what is missing"),
    "audit": ("lightning_semrob.commands.audit", "does the gradient of f agree with its slope?"),
    "authors": ("lightning_semrob.commands.authors", "the paper's published results, by its formula and by ours"),
    "maps": ("lightning_semrob.commands.maps", "semantic maps of networks and shapes, as one NetCDF file"),
    "merge": ("lightning_semrob.commands.merge", "one table from the output folders of partial jobs"),
    "profile": (
        "lightning_semrob.commands.profile",
        "what of a job's time is rendering, networks, the framework's own",
    ),
    "compare": (
        "lightning_semrob.commands.compare",
        "has a network become less robust? exit code 1 with --fail_if worse",
    ),
    "verify": ("lightning_semrob.commands.verify", "do the stated regions of a job hold under fresh samples?"),
    "report": ("lightning_semrob.commands.report", "report.html of the output folder of a finished job"),
    "explore": ("lightning_semrob.commands.explore", "a page to walk through the map of one shape and network"),
    "traps": ("lightning_semrob.commands.traps", "where robust regions deceive: traps, shared holes, worst views"),
    "figures": ("lightning_semrob.commands.figures", "figures of a file of maps"),
}


def main(args: Sequence[str] | None = None) -> None:
    """Run one command; a mistake is one sentence and exit code 2 (LIGHTNING_SEMROB_TRACEBACK=1 shows its origin)."""
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print("usage: python -m lightning_semrob COMMAND [--help]\n")
        for name, (_, text) in COMMANDS.items():
            print(f"  {name:10} {text}")
        return
    if words[0] not in COMMANDS:
        print(f"error: there is no command '{words[0]}': choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)
    try:
        import_module(COMMANDS[words[0]][0]).main(words[1:])
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if os.environ.get("LIGHTNING_SEMROB_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
