"""The pictures of configs/paper.yaml, and whether they are the authors': our f on the same shapes against their maps.

    python benchmarks/paper_protocol.py [--reference FOLDER] [--sheet protocol.png] [--per_class 1]

The folder holds paper_maps.npz (docs/differences.md says how to get it), the meshes as
shapes/class/id/models/model_normalized.obj, and torchvision's SqueezeNet as weights/squeezenet1_0.pth, trained on RGB
from 0 to 255 less the mean.

Renders reference shapes by the protocol of configs/paper.yaml, evaluates SqueezeNet with its local weights at 12
azimuths and the elevations 5 and 35, and prints its correlation with the mean map of the authors' four networks,
for every way in which their azimuth can go around (start on either side, either direction) and for variations of the
scene. SqueezeNet is not one of the four, so the level says little; the order says which scene theirs is. The sheet
shows what is rendered at the paper's initial points.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from contact_sheet import sheet, tile
from reference import REFERENCE
from torch import Tensor

from lightning_semrob.commands.parsing import config_folder
from lightning_semrob.functions import RenderedFunction
from lightning_semrob.networks import build_network
from lightning_semrob.rendering.raster import Rasterizer
from lightning_semrob.report.tables import format_table
from lightning_semrob.shapes import ShapeSpec, resolve_shapes

ELEVATIONS = (5, 35)
AZIMUTHS = 12
#: Our azimuth of their azimuth.
DIRECTIONS = {"180 - azimuth": (180, -1), "azimuth": (0, 1), "180 + azimuth": (180, 1), "-azimuth": (0, -1)}


def protocol() -> dict[str, object]:
    """The renderer's arguments in configs/paper.yaml."""
    config = yaml.safe_load((config_folder() / "paper.yaml").read_text())
    arguments: dict[str, object] = config["data"]["renderer"]["init_args"]
    return arguments


def scenes() -> dict[str, dict[str, object]]:
    """The protocol, and the same with one part of it changed."""
    paper = protocol()
    defaults = dict(paper["defaults"])  # type: ignore[call-overload]
    return {
        "configs/paper.yaml": paper,
        "white background": paper | {"defaults": defaults | {"background": 1.0}},
        "light from the camera's side": paper | {"defaults": defaults | {"light_elevation": 45.0}},
        "colours of the files": paper | {"albedo": None},
    }


def correlations(ours: Tensor, theirs: Tensor) -> list[float]:
    """Mean over shapes of the correlation of (S, elevations, azimuths) scores, for each of ``DIRECTIONS``."""
    found = []
    for offset, sign in DIRECTIONS.values():
        index = (offset * AZIMUTHS // 360 + sign * torch.arange(AZIMUTHS)) % AZIMUTHS
        a, b = ours[..., index].flatten(1), theirs.flatten(1)
        a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        norm = (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-12)
        found.append(float(((a * b).sum(1) / norm).mean()))
    return found


def present(folder: Path, per_class: int) -> list[tuple[ShapeSpec, int, int]]:
    """The first shapes of every class that are there, with their class and object in the authors' maps."""
    with np.load(folder / "paper_maps.npz") as data:
        classes = data["classes"].tolist()
        rows = zip(classes, data["shape_ids"].tolist(), strict=True)
        places = {(label, name): item for label, row in rows for item, name in enumerate(row)}
    specs = [s for s in resolve_shapes([str(folder / "shapes")]) if (s.class_name, s.shape_id) in places]
    taken: list[tuple[ShapeSpec, int, int]] = []
    for spec in specs:
        number = classes.index(spec.class_name)
        if sum(other == number for _, other, _ in taken) < per_class:
            taken.append((spec, number, places[spec.class_name, spec.shape_id]))
    return taken


def main(arguments: Sequence[str] | None = None) -> dict[str, list[float]]:
    """Print the table, write the sheet; returns the correlations by scene."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--sheet", type=Path, default=Path("protocol.png"))
    parser.add_argument("--per_class", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    shapes = present(options.reference, options.per_class)
    with np.load(options.reference / "paper_maps.npz") as data:
        maps = torch.from_numpy(data["maps"]).mean(0)  # class, object, elevation, azimuth
        rows = [int(np.abs(data["elevation_deg"] - e).argmin()) for e in ELEVATIONS]
    step = maps.shape[-1] // AZIMUTHS
    theirs = torch.stack([maps[number, item][rows][:, ::step] for _, number, item in shapes])
    weights = options.reference / "weights" / "squeezenet1_0.pth"
    network = build_network(f"torchvision/squeezenet1_0@{weights}?normalize=imagenet255")
    u = torch.cartesian_prod(torch.tensor(ELEVATIONS).double(), torch.arange(AZIMUTHS).double() * 360 / AZIMUTHS)
    u = u.flip(-1)[None]  # azimuth, elevation
    result = {}
    for name, scene in scenes().items():
        print(f"\r{name}", end="", file=sys.stderr)
        renderer = Rasterizer(**scene)  # type: ignore[arg-type]
        space = renderer.space("azimuth", "elevation")
        values = [
            RenderedFunction(renderer, network, spec.load(), spec.target, space)(u)[0].view(len(ELEVATIONS), AZIMUTHS)
            for spec, _, _ in shapes
        ]
        result[name] = correlations(torch.stack(values).float(), theirs)
    lines = [[name, *(f"{value:.3f}" for value in found)] for name, found in result.items()]
    print(f"Mean correlation over {len(shapes)} shapes of SqueezeNet's scores with the authors' mean maps, where our")
    print("azimuth is")
    print(format_table(["scene", *DIRECTIONS], lines, left=1))
    points = yaml.safe_load((config_folder() / "paper.yaml").read_text())["data"]["initial_points"]
    renderer = Rasterizer(**protocol())  # type: ignore[arg-type]
    sheet([tile(spec, renderer, points) for spec, _, _ in shapes], columns=1).save(options.sheet, optimize=True)
    print(f"{options.sheet}: the paper's four initial points of every shape")
    return result


if __name__ == "__main__":
    main()
