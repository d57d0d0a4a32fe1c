"""``semrob report FOLDER``: the page of a finished job, made again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_semrob.commands.parsing import TRUST_HELP, Parser, quiet
from lightning_semrob.report.page.html import report_folder
from lightning_semrob.sharing.strategies import device_of


def main(args: Sequence[str]) -> Path | None:
    """Write ``report.html`` into an output folder; returns its path, None where plotly is not installed."""
    quiet()
    parser = Parser(
        "report",
        "Writes report.html into the output folder of evaluate.py. The maps are taken from its maps.nc "
        "where it has one; only the renderings are made again.",
    )
    parser.add_argument("folder", type=str, help="output folder of evaluate.py")
    parser.add_argument(
        "--grid",
        type=list[int] | None,
        default=None,
        help="samples of the maps along the first one or two axes, e.g. [36,18]; null for those of maps.nc, or "
        "24 x 11 (48 on one axis)",
    )
    parser.add_argument("--accelerator", type=str, default="auto", help="cpu, gpu or auto")
    parser.add_argument("--trust", type=bool, default=False, help=TRUST_HELP)
    config = parser.parse_args(list(args))
    return report_folder(config.folder, config.grid, device=device_of(config.accelerator), trust=config.trust)
