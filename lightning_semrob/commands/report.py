"""``python -m lightning_semrob report FOLDER``: the page of a finished job, made again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import ArgumentParser

from lightning_semrob.commands.evaluate import quiet_lightning
from lightning_semrob.report.page.html import report_folder
from lightning_semrob.sharing.strategies import device_of

__all__ = ["main"]


def main(args: Sequence[str]) -> Path | None:
    """Write ``report.html`` into an output folder; returns its path, None where plotly is not installed."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    parser = ArgumentParser(
        prog="python -m lightning_semrob report",
        description="Writes report.html into the output folder of evaluate.py. The maps are taken from its maps.nc "
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
    config = parser.parse_args(list(args))
    quiet_lightning()
    return report_folder(config.folder, config.grid, device=device_of(config.accelerator))
