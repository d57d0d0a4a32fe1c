"""``semrob traps``: traps of saved maps, ranked, as a table, a CSV file and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lightning_semrob.commands.maps import environment_of
from lightning_semrob.commands.parsing import TRUST_HELP, Parser
from lightning_semrob.functions.trusted import UntrustedError
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.maps.traps import Trap, find_traps, grown_boxes
from lightning_semrob.report.job import Demand, FinishedJob, boxes_of_run
from lightning_semrob.report.tables import format_traps
from lightning_semrob.report.traps import draw_traps, save_traps


def main(args: Sequence[str]) -> list[Trap]:
    """Find, print and write traps; returns them."""
    parser = Parser("traps", "Traps of saved maps, ranked.")
    parser.add_argument("maps", type=str, help="file of `semrob maps`")
    parser.add_argument("--run", type=str | None, default=None, help="take the valid boxes of this output folder")
    parser.add_argument("--output", type=str, default="traps", help="folder for traps.csv and traps.png")
    parser.add_argument("--points", type=int, default=4, help="starting points of boxes on every map, without --run")
    parser.add_argument("--threshold", type=float, default=0.3, help="a hole is where every network scores below")
    parser.add_argument(
        "--eps_m", type=float | None, help="mean of f at least 1 - eps_m (Eq. 2); null: of --run, or 0.3"
    )
    parser.add_argument(
        "--eps_v", type=float | None, help="variance of f at most eps_v (Eq. 2); null: of --run, or 0.05"
    )
    parser.add_argument("--seed", type=int | None, default=None, help="of all samples; null: that of --run, or 0")
    parser.add_argument("--trust", type=bool, default=False, help=TRUST_HELP)
    config = parser.parse_args(list(args))
    if config.points < 1:
        raise ValueError(f"--points must be at least 1, got {config.points}")
    maps = SemanticMaps.load(config.maps)
    given = {name: config[name] for name in ("eps_m", "eps_v", "seed") if config[name] is not None}
    if config.run is None:
        demand = replace(Demand(), **given)
        box, index = grown_boxes(maps, config.points, demand.eps_m, demand.eps_v, demand.seed)
    else:
        demand = replace(FinishedJob.read(config.run).demand, **given)
        box, index = boxes_of_run(maps, config.run)
    traps = find_traps(maps, box, index, threshold=config.threshold, **demand)
    folder = Path(config.output).expanduser()
    print(format_traps(traps, maps.axes.names))
    level = f"{100 * demand.confidence:g} %"
    print(f"\nBoxes are judged by Eq. 2 on the map, robust ones and traps in them, each at {level} confidence.")
    written = [str(save_traps(folder / "traps.csv", traps, maps.axes.names))]
    if maps.settings:
        try:
            written.append(str(draw_traps(folder / "traps.png", maps, traps, environment_of(maps, config.trust))))
        except UntrustedError as error:
            written.append(f"no traps.png: {error}")
    print(", ".join(written))
    return traps
