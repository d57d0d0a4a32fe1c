"""``semrob traps``: traps of saved maps, ranked, as a table, a CSV file and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from lightning_semrob.commands.maps import environment_of
from lightning_semrob.commands.parsing import TRUST_HELP, Parser
from lightning_semrob.finders import OIRBlackBoxFinder, VerifiedFinder
from lightning_semrob.functions.trusted import UntrustedError
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.maps.traps import Trap, find_traps
from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.report.figures import plot_contact_sheet, save_figure
from lightning_semrob.report.job import Demand, FinishedJob
from lightning_semrob.report.tables import format_traps
from lightning_semrob.space import Box
from lightning_semrob.utilities.files import write_csv

__all__ = ["boxes_of_run", "grown_boxes", "main"]


def grown_boxes(maps: SemanticMaps, points: int, eps_m: float, eps_v: float, seed: int) -> tuple[Box, Tensor]:
    """Boxes that OIR_B and the verified finder grow on every map from Sobol points, and their rows (K,) of
    ``maps.function()``.
    """
    f, rows = maps.function(), len(maps.networks) * len(maps.shapes)
    u0 = maps.axes.sobol(points, seed).repeat(rows, 1)
    index = torch.arange(rows).repeat_interleave(points)
    usable = f.maps.flatten(1).isfinite().all(1)[index]
    u0, index = u0[usable], index[usable]
    found = [
        finder.find(f, u0, maps.axes, index)
        for finder in (OIRBlackBoxFinder(), VerifiedFinder(eps_m, eps_v, seed=seed))
    ]
    return Box(torch.cat([x.a for x in found]), torch.cat([x.b for x in found])), index.repeat(2)


def boxes_of_run(maps: SemanticMaps, folder: str | Path) -> tuple[Box, Tensor]:
    """The boxes of an output folder of ``evaluate.py`` that were verified as robust, and their rows of the maps.

    Raises:
        ValueError: no results there, or no such box over the mapped axes of a mapped network and shape.
    """
    boxes, index = FinishedJob.read(folder).robust_boxes(maps)
    if not len(index):
        raise ValueError(
            f"'{folder}' has no valid box over {', '.join(maps.axes.names)} of a network and shape of these maps: map "
            "the same ones"
        )
    return boxes, index


def _save_table(path: Path, traps: Sequence[Trap], names: Sequence[str]) -> Path:
    columns: dict[str, list[str] | list[float]] = {
        "kind": [trap.kind for trap in traps],
        "networks": [" ".join(trap.networks) for trap in traps],
        "class_name": [trap.class_name for trap in traps],
        "shape": [trap.shape for trap in traps],
    }
    for side, attribute in (("a", "a"), ("b", "b"), ("worst", "worst_point")):
        for k, name in enumerate(names):
            columns[f"{side}_{name}"] = [float(getattr(trap, attribute)[k]) for trap in traps]
    for column in ("volume", "mean", "depth", "worst_score"):
        columns[column] = [getattr(trap, column) for trap in traps]
    columns["adversarial_verdict"] = [trap.verdict for trap in traps]
    write_csv(path, pa.table(columns))
    return path


def _save_pictures(path: Path, maps: SemanticMaps, traps: Sequence[Trap], trust: bool, most: int = 24) -> Path:
    """Renderings of the worst views of the first traps; a trap of a class shows its first shape."""
    environment = environment_of(maps, trust)
    environment.setup()
    names = environment.space.names
    images, labels, names_of = [], [], labels_by_name(maps.networks)
    for trap in traps[:most]:
        same = [i for i, spec in enumerate(environment.shapes) if spec.class_name == trap.class_name]
        shape = next((i for i in same if environment.shapes[i].shape_id == trap.shape), same[0])
        known = dict(maps.fixed) | dict(zip(maps.axes.names, trap.worst_point.tolist(), strict=True))
        default = environment.renderer.semantic_parameters
        u = torch.tensor([[known.get(name, default[name].default) for name in names]], dtype=torch.float64)
        with torch.no_grad():
            images.append(environment.renderer(environment.mesh(shape), u.to(environment.device), names)[0].cpu())
        who = names_of[trap.networks[0]] if len(trap.networks) == 1 else f"all {len(trap.networks)} networks"
        labels.append(f"{trap.kind}, {trap.class_name}\n{who}\nf = {trap.worst_score:.2f}")
    return save_figure(plot_contact_sheet(torch.stack(images), labels, title="worst views", cell=1.9), path)


def main(args: Sequence[str]) -> list[Trap]:
    """Find, print and write traps; returns them."""
    parser = Parser("traps", "Traps of saved maps, ranked.")
    parser.add_argument("maps", type=str, help="file of `semrob maps`")
    parser.add_argument("--run", type=str | None, default=None, help="take the valid boxes of this output folder")
    parser.add_argument("--output", type=str, default="traps", help="folder for traps.csv and traps.png")
    parser.add_argument("--points", type=int, default=4, help="starting points of boxes on every map, without --run")
    parser.add_argument("--threshold", type=float, default=0.3, help="a hole is where every network scores below")
    parser.add_argument(
        "--eps_m",
        type=float | None,
        default=None,
        help="Eq. 2: mean of f at least 1 - eps_m; null: that of --run, or 0.3",
    )
    parser.add_argument(
        "--eps_v",
        type=float | None,
        default=None,
        help="Eq. 2: variance of f at most eps_v; null: that of --run, or 0.05",
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
    written = [str(_save_table(folder / "traps.csv", traps, maps.axes.names))]
    if maps.settings:
        try:
            written.append(str(_save_pictures(folder / "traps.png", maps, traps, config.trust)))
        except UntrustedError as error:
            written.append(f"no traps.png: {error}")
    print(", ".join(written))
    return traps
