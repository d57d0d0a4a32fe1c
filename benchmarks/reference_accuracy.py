"""Top-1 accuracy on mesh files: 12 azimuths at elevation 15 degrees, by network and class.

    python benchmarks/reference_accuracy.py [folder of shapes] [network ...]

Default: the reference shapes beside the checkout, efficientnet_lite0 and squeezenet1_0 with its local weights.
"""

from __future__ import annotations

import argparse
import sys

import torch
from reference import REFERENCE

from lightning_semrob.functional.scores import softmax_score, top1_score
from lightning_semrob.functions import RenderedFunction
from lightning_semrob.networks import build_network
from lightning_semrob.rendering.raster import Rasterizer
from lightning_semrob.report.tables import format_table
from lightning_semrob.shapes import resolve_shapes

VIEWS = torch.stack([torch.arange(12) * 30.0, torch.full((12,), 15.0)], -1).double()


def main(folder: str, names: list[str]) -> dict[str, float]:
    """Print the table; returns the accuracy of each network over all views."""
    torch.set_num_threads(1)
    renderer = Rasterizer()
    space = renderer.space("azimuth", "elevation")
    networks = {name: build_network(name) for name in names}
    hits: dict[str, dict[str, list[torch.Tensor]]] = {name: {} for name in names}
    scores: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    shapes = resolve_shapes([folder])
    for number, shape in enumerate(shapes):
        mesh = shape.load()
        print(f"\r{number + 1}/{len(shapes)} {shape.class_name}", end="", file=sys.stderr)
        for name, network in networks.items():
            logits = RenderedFunction(renderer, network, mesh, shape.target, space, micro_batch_size=12).logits(VIEWS)
            hits[name].setdefault(shape.class_name, []).append(top1_score(logits, shape.target))
            scores[name].append(softmax_score(logits, shape.target))
    print(file=sys.stderr)
    lines = []
    for class_name in dict.fromkeys(shape.class_name for shape in shapes):
        row = [class_name, str(len(hits[names[0]][class_name]))]
        lines.append(row + [f"{100 * torch.stack(hits[name][class_name]).mean():.0f}" for name in names])
    accuracy = {name: float(torch.stack([x for found in hits[name].values() for x in found]).mean()) for name in names}
    lines.append(["all", str(len(shapes)), *(f"{100 * accuracy[name]:.1f}" for name in names)])
    lines.append(["mean score", "", *(f"{torch.stack(scores[name]).mean():.3f}" for name in names)])
    print("Top-1 accuracy, percent, 12 azimuths at elevation 15 degrees, white background")
    print(format_table(["class", "shapes", *(name.split("@")[0] for name in names)], lines, left=1))
    return accuracy


if __name__ == "__main__":
    # Trained on RGB from 0 to 255 minus the mean, not on torchvision's normalisation.
    squeezenet = f"torchvision/squeezenet1_0@{REFERENCE / 'weights' / 'squeezenet1_0.pth'}?normalize=imagenet255"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=str(REFERENCE / "shapes"), help="of shapes")
    parser.add_argument("networks", nargs="*", default=["efficientnet_lite0", squeezenet])
    options = parser.parse_args()
    main(options.folder, options.networks)
