"""f over azimuth for one embedded shape and several networks (the paper's Figure 1), with renderings above it.

    python benchmarks/figures.py
    python benchmarks/figures.py --shape teapot:2 --elevation 30 --output teapot.png

The title states the largest change of any network's score within a few degrees of azimuth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from lightning_semrob.functions import RenderedFunction
from lightning_semrob.networks import build_network
from lightning_semrob.rendering.raster import Rasterizer
from lightning_semrob.report.plots import network_label, plot_scores_over_axis, save_figure
from lightning_semrob.shapes import resolve_shapes
from lightning_semrob.space import SemanticSpace

OUTPUT = Path(__file__).parents[1] / "docs" / "images" / "score_over_azimuth.png"


def sharpest_change(scores: Tensor, steps: int) -> tuple[int, float]:
    """Where a periodic curve (P,) changes most within ``steps`` samples: the first sample, and the change."""
    change = scores.roll(-steps) - scores
    place = int(change.abs().argmax())
    return place, float(change[place])


def chosen_views(values: Tensor, place: int, steps: int, count: int = 8) -> list[int]:
    """Samples to show: both ends of the sharpest change, and others spread over the turn, away from them."""
    ends = sorted({place, (place + steps) % len(values)})
    even = [round((i + 0.5) * len(values) / (count - 1)) % len(values) for i in range(count - 1)]
    apart = len(values) // (2 * count)

    def distance(i: int, j: int) -> int:
        return min((i - j) % len(values), (j - i) % len(values))

    return sorted(ends + [i for i in even if all(distance(i, j) > apart for j in ends)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="school_bus", help="one shape, as evaluate.py names them")
    parser.add_argument("--networks", nargs="+", default=["efficientnet_lite0", "efficientnet_lite1"])
    parser.add_argument("--elevation", type=float, default=15.0, help="degrees")
    parser.add_argument("--views", type=int, default=120)
    parser.add_argument("--within", type=float, default=9.0, help="degrees of the change in the title")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    (shape,) = resolve_shapes([arguments.shape])
    space, renderer = SemanticSpace.default(), Rasterizer(224)
    values = torch.arange(arguments.views, dtype=torch.float64) * 360 / arguments.views
    u = torch.stack([values, torch.full_like(values, arguments.elevation)], dim=1)
    mesh = shape.load()
    scores = {}
    for name in arguments.networks:
        f = RenderedFunction(renderer, build_network(name), mesh, shape.target, space)
        scores[name] = f(u[None])[0]
        if not scores[name].isfinite().all():
            raise SystemExit(f"the score of '{name}' is not finite at {u[~scores[name].isfinite()].tolist()}")
        print(f"{name:24} mean {scores[name].mean():.2f}, from {scores[name].min():.2f} to {scores[name].max():.2f}")

    steps = max(1, round(arguments.within * arguments.views / 360))
    changes = {name: sharpest_change(score, steps) for name, score in scores.items()}
    network = max(changes, key=lambda name: abs(changes[name][1]))
    place, _ = changes[network]
    ends = [float(scores[network][i % len(values)]) for i in (place, place + steps)]
    degrees, thing = steps * 360 / arguments.views, shape.class_name.replace("_", " ")
    title = (
        f"{thing}, elevation {arguments.elevation:g} degrees: {degrees:g} degrees of azimuth take the score of "
        f"{network_label(network)} from {max(ends):.2f} to {min(ends):.2f}"
    )
    print(title)
    with torch.no_grad():
        views = {float(values[i]): f.images(u[[i]])[0] for i in chosen_views(values, place, steps)}
    figure = plot_scores_over_axis(
        values,
        scores,
        space.axes[0],
        views=views,
        title=title,
        marked=[float(values[i % len(values)]) for i in (place, place + steps)],
        label=f"score of '{thing}'",
        size=(8.4, 4.2),
    )
    print(save_figure(figure, arguments.output, dpi=130))


if __name__ == "__main__":
    main()
