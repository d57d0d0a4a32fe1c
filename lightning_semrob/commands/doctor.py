"""``semrob doctor``: what is installed, what works here, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_semrob.commands.parsing import Parser
from lightning_semrob.report import examination


def main(args: Sequence[str]) -> None:
    """Print the examination.

    Raises:
        SystemExit: 1, where the default job cannot run.
    """
    Parser(
        "doctor",
        "Versions, devices, which rendering backends work and why others do not, extras and disk. Exit "
        "code 0 if the default job can run here, 1 if not.",
    ).parse_args(list(args))
    marks = {"ok": "  ", "absent": "- ", "broken": "! "}
    broken: list[examination.Finding] = []
    for group in examination.GROUPS:
        print(f"\n{group}", flush=True)
        if group == "Rendering":
            print("  the first picture on a machine compiles kernels, about a minute", flush=True)
        for finding in examination.examine(group):
            print(f"{marks[finding.state]}{finding.subject:20} {finding.text}", flush=True)
            broken += [finding] if finding.state == "broken" else []
    if broken:
        print(f"\nThe default job cannot run here: {'; '.join(f'{x.subject}: {x.text}' for x in broken)}")
        raise SystemExit(1)
    print("\nThe default job can run here: python evaluate.py, or semrob evaluate outside the repository.")
