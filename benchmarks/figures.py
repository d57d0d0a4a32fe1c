"""Figures in the form of the paper's, by one command each, from embedded shapes or from the authors' maps.

    python benchmarks/figures.py 1                       # f over azimuth, several networks, with renderings
    python benchmarks/figures.py 1 --shape 'teapot:0-9'  # the mean over shapes with its confidence band
    python benchmarks/figures.py 3 --source reference    # maps of several networks and shapes
    python benchmarks/figures.py 4                       # class averages of every network
    python benchmarks/figures.py 5                       # data map of a class, the spread between networks, holes
    python benchmarks/figures.py 11 12                   # boxes as they grow
    python benchmarks/figures.py 13 14                   # regions of all methods, with what the network sees in them
    python benchmarks/figures.py srvr                    # SRVR bars with intervals, SRVR against accuracy
    python benchmarks/figures.py trust                   # the trust map of a shape
    python benchmarks/figures.py trust3                  # the same over azimuth, elevation and distance
    python benchmarks/figures.py scenes                  # objects on white and in scenes, with their scores
    python benchmarks/figures.py turntable               # a GIF with the score as a moving marker

With ``--source embedded`` maps are measured once and kept in ``outputs/figures/embedded.nc``; the boxes are those of
the finders on these maps. With ``--source reference`` maps, boxes and traces are the authors' own (they are not part
of the repository), and pictures, where the mesh is there, are made by the built-in renderer.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from paper_figures import plot_region_views, plot_srvr_against_accuracy, plot_srvr_bars, save_turntable
from reference import METHODS, REFERENCE, PaperData, load_paper_data, load_paper_maps
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.tasks import PAPER_INITIAL_POINTS
from lightning_semrob.finders import NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder, VerifiedFinder
from lightning_semrob.finders.trace import trace_growth
from lightning_semrob.functional.srvr import shape_means
from lightning_semrob.functional.uncertainty import mean_interval_over_shapes
from lightning_semrob.functions import RenderedFunction
from lightning_semrob.maps import SemanticMaps, compute_maps
from lightning_semrob.maps.traps import shared_holes
from lightning_semrob.networks import build_network, network_labels
from lightning_semrob.rendering import Rasterizer, Scene
from lightning_semrob.report.figures import (
    plot_data_map,
    plot_growth,
    plot_map_grid,
    plot_scores_over_axis,
    plot_trust_map,
    save_figure,
)
from lightning_semrob.shapes import ShapeSpec, resolve_shapes
from lightning_semrob.space import Box, SemanticSpace
from lightning_semrob.trust.map import trust_map
from lightning_semrob.utilities.messages import percent
from lightning_semrob.verification.region import verify

DOCS = Path(__file__).parents[1] / "docs" / "images"
EMBEDDED = ("folding_chair", "coffee_mug:0-4", "teapot")
#: ImageNet top-1 accuracy in percent: the paper's Table 1; EfficientNet-Lite as published with the weights.
ACCURACY = {
    "AlexNet": 56.55,
    "VGG": 69.02,
    "ResNet50": 76.15,
    "Inceptionv3": 77.45,
    "efficientnet_lite0": 75.1,
    "efficientnet_lite1": 76.7,
    "efficientnet_lite2": 77.6,
}


@dataclass
class Source:
    """Maps, initial points and pictures; of the reference also the authors' bounds and traces."""

    maps: SemanticMaps
    points: Tensor
    shapes: list[ShapeSpec | None]
    paper: PaperData | None

    def pictures(self, shape: int, u: Tensor) -> Tensor:
        """Renderings (B, 3, H, W) at u (B, 2); white where the mesh is absent."""
        spec = self.shapes[shape]
        if spec is None:
            return torch.ones(len(u), 3, 224, 224)
        with torch.no_grad():
            return Rasterizer(224)(spec.load(), u, self.maps.axes.names)

    def shape(self, class_name: str, number: int = 0) -> int:
        """Index of the shape with that number within its class."""
        found = [i for i, name in enumerate(self.maps.class_names) if name == class_name]
        if number >= len(found):
            raise SystemExit(f"there is no shape {number} of class '{class_name}'")
        return found[number]

    def growth(self, network: int, shape: int, point: int) -> tuple[dict[str, Tensor], list[int] | None]:
        """Bounds (T, 2, 2) of every method over its updates, and the updates."""
        if self.paper is not None:
            row = self.maps.index(network, shape) * len(self.points) + point
            return {m: self.paper.traces[m][row] for m in METHODS}, [*range(0, 600, 50), 599]
        f, u0, index = self.maps.function(), self.points[point : point + 1], self.maps.index(network, shape)
        finders = (NaiveFinder(), OIRBlackBoxFinder(), OIRWhiteBoxFinder())
        traces = [trace_growth(x, f, u0, self.maps.axes, torch.tensor([index]))[1][:, 0] for x in finders]
        longest = max(map(len, traces))
        full = [torch.cat([x, x[-1:].expand(longest - len(x), -1, -1)]) for x in traces]
        return dict(zip((x.name for x in finders), full, strict=True)), None

    def boxes(self, network: int, shape: int) -> dict[str, Box]:
        """Final boxes of every method from all initial points; the verified finder runs on the map."""
        f, row = self.maps.function(), self.maps.index(network, shape)
        index = torch.full((len(self.points),), row)
        verified = VerifiedFinder().find(f, self.points, self.maps.axes, index)
        if self.paper is not None:
            rows = slice(row * len(self.points), (row + 1) * len(self.points))
            found = {m: Box(self.paper.bounds[m][rows, 0], self.paper.bounds[m][rows, 1]) for m in METHODS}
            return found | {"verified": verified}
        finders = (NaiveFinder(), OIRBlackBoxFinder(), OIRWhiteBoxFinder())
        found = {x.name: x.find(f, self.points, self.maps.axes, index) for x in finders}
        return found | {"verified": verified}


def embedded(networks: list[str], steps: tuple[int, int], path: Path) -> Source:
    """Maps of the embedded shapes, from the file if it holds these networks, shapes and samples."""
    environment = SemanticEnvironment(networks=networks, shapes=EMBEDDED)
    environment.setup()
    wanted = (tuple(networks), tuple(shape.shape_id for shape in environment.shapes), tuple(steps))
    maps = SemanticMaps.load(path) if path.is_file() else None
    if maps is None or (maps.networks, maps.shapes, maps.grid) != wanted:
        maps = compute_maps(environment, steps=steps)
        print(maps.save(path))
    points = torch.tensor(PAPER_INITIAL_POINTS, dtype=torch.float64)
    return Source(maps, points, list(environment.shapes), None)


def reference(path: Path) -> Source:
    """The authors' maps, bounds and traces, with the meshes that are there."""
    maps, data = load_paper_maps(path), load_paper_data(path)
    folder = path.parent / "shapes"
    meshes = {spec.shape_id: spec for spec in resolve_shapes([str(folder)])} if folder.is_dir() else {}
    return Source(maps, data.initial_points, [meshes.get(name) for name in maps.shapes], data)


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


def over_azimuth(arguments: argparse.Namespace, output: Path) -> Path:
    """Figure 1 from rendered shapes; the title states the largest change of any score within a few degrees."""
    shapes = resolve_shapes([arguments.shape])
    space, renderer = SemanticSpace.default(), Rasterizer(224)
    values = torch.arange(arguments.views, dtype=torch.float64) * 360 / arguments.views
    u = torch.stack([values, torch.full_like(values, arguments.elevation)], dim=1)
    scores: dict[str, Tensor] = {}
    views: dict[float, Tensor] = {}
    for name in arguments.networks:
        network = build_network(name)
        functions = (RenderedFunction(renderer, network, x.load(), x.target, space) for x in shapes)
        scores[name] = torch.stack([f(u[None])[0] for f in functions])
        if not scores[name].isfinite().all():
            raise SystemExit(f"a score of '{name}' is not finite")
        print(f"{name:24} mean {scores[name].mean():.2f}, from {scores[name].min():.2f} to {scores[name].max():.2f}")
    thing = shapes[0].class_name.replace("_", " ")
    if len(shapes) > 1:
        title, marked = f"{len(shapes)} shapes of class {thing}, elevation {arguments.elevation:g} degrees", []
        shown = [round(i * len(values) / 8) for i in range(8)]
    else:
        steps = max(1, round(arguments.within * arguments.views / 360))
        changes = {name: sharpest_change(score[0], steps) for name, score in scores.items()}
        network = max(changes, key=lambda name: abs(changes[name][1]))
        place, _ = changes[network]
        ends = [float(scores[network][0, i % len(values)]) for i in (place, place + steps)]
        title = (
            f"{thing}, elevation {arguments.elevation:g} degrees: {steps * 360 / arguments.views:g} degrees of azimuth "
            f"take the score of {network_labels([network])[0]} from {max(ends):.2f} to {min(ends):.2f}"
        )
        marked = [float(values[i % len(values)]) for i in (place, place + steps)]
        shown = chosen_views(values, place, steps)
    print(title)
    mesh = shapes[0].load()
    with torch.no_grad():
        for i in shown:
            views[float(values[i])] = renderer(mesh, u[[i]], space.names)[0]
    figure = plot_scores_over_axis(
        values,
        scores,
        space.axes[0],
        views=views,
        title=title,
        marked=marked,
        label=f"score of '{thing}'",
        size=(8.4, 4.2),
    )
    return save_figure(figure, output, dpi=130)


def over_azimuth_of_maps(source: Source, class_name: str, elevation: float, output: Path) -> Path:
    """Figure 1 from maps: f over azimuth of all shapes of a class."""
    maps = source.maps
    rows = [i for i, name in enumerate(maps.class_names) if name == class_name]
    row = int((maps.values(1) - elevation).abs().argmin())
    scores = {name: maps.scores[n, rows, :, row] for n, name in enumerate(maps.networks)}
    title = f"{len(rows)} shapes of class {class_name}, elevation {float(maps.values(1)[row]):g} degrees"
    label = f"score of '{class_name}'"
    u = torch.tensor([[45.0 * i, float(maps.values(1)[row])] for i in range(8)], dtype=torch.float64)
    views = {float(x[0]): picture for x, picture in zip(u, source.pictures(rows[1], u), strict=True)}
    figure = plot_scores_over_axis(
        maps.values(0), scores, maps.axes.axes[0], views=views, title=title, label=label, size=(8.4, 4.2)
    )
    return save_figure(figure, output, dpi=130)


def map_grid(source: Source, shapes: list[int], output: Path) -> Path:
    """Figure 3: maps of all networks, a row a shape."""
    maps = source.maps
    view = torch.tensor([[40.0, 20.0]], dtype=torch.float64)
    pictures = torch.cat([source.pictures(shape, view) for shape in shapes])
    figure = plot_map_grid(
        maps.scores[:, shapes].transpose(0, 1),
        maps.axes,
        [maps.class_names[shape].replace("_", " ") for shape in shapes],
        network_labels(maps.networks),
        pictures=pictures,
    )
    return save_figure(figure, output)


def class_maps(source: Source, class_name: str, output: Path) -> Path:
    """Figure 4: the mean over the shapes of a class, network by network."""
    rows = [i for i, name in enumerate(source.maps.class_names) if name == class_name]
    average = source.maps.select(shapes=rows).class_average()
    figure = plot_map_grid(
        average.scores.transpose(0, 1),
        average.axes,
        [f"{class_name.replace('_', ' ')}"],
        network_labels(average.networks),
        title=f"mean of {len(rows)} shapes of class {class_name.replace('_', ' ')}",
        cell=(2.9, 2.3),
    )
    return save_figure(figure, output)


def data_map(source: Source, class_name: str, threshold: float, output: Path) -> Path:
    """Figure 5: the mean over shapes and networks, the spread between networks, and shared holes."""
    data = source.maps.data_map(class_name)
    holes = shared_holes(data, threshold)
    print(f"{len(holes)} holes where every network scores below {threshold:g}; the five largest:")
    for hole in holes[:5]:
        spans = ", ".join(
            f"{axis.name} {low:.0f} to {high:.0f}" for axis, low, high in zip(data.axes, hole.a, hole.b, strict=True)
        )
        print(f"  {spans}: {100 * hole.volume:.1f} % of the space, mean score {hole.mean:.2f}")
    name = class_name.replace("_", " ")
    title = (
        f"{data.shapes} shapes of class {name}, {len(data.networks)} networks; line: every network below {threshold:g}"
    )
    figure = plot_data_map(data.mean, data.spread, data.axes, holes=data.best < threshold, title=title)
    return save_figure(figure, output)


def growth(source: Source, network: int, shape: int, point: int, output: Path) -> Path:
    """Figures 11 and 12: boxes as they grow."""
    maps = source.maps
    bounds, steps = source.growth(network, shape, point)
    title = f"{network_labels(maps.networks)[network]}, {maps.class_names[shape].replace('_', ' ')}"
    figure = plot_growth(maps.scores[network, shape], maps.axes, bounds, steps=steps, title=title)
    return save_figure(figure, output)


def region_views(source: Source, network: int, shape: int, output: Path) -> Path:
    """Figures 13 and 14: regions of all methods; views in the largest box of the last one that has any."""
    maps, boxes = source.maps, source.boxes(network, shape)
    name = [m for m, box in boxes.items() if bool((box.b > box.a).all(-1).any())][-1]
    low, high = maps.axes.low, maps.axes.high
    a = torch.where(maps.axes.periodic, boxes[name].a, torch.maximum(boxes[name].a, low))
    b = torch.where(maps.axes.periodic, boxes[name].b, torch.minimum(boxes[name].b, high))
    largest = int(maps.axes.intersected_volume(a, b).argmax())
    a, b = a[largest], b[largest]
    f, index = maps.function(), torch.tensor([maps.index(network, shape)])
    worst = verify(f, Box(a[None], b[None]), maps.axes, index).worst_point[0]
    where = {
        "low left": a,
        "low right": torch.stack([b[0], a[1]]),
        "high left": torch.stack([a[0], b[1]]),
        "high right": b,
        "centre": (a + b) / 2,
        "worst": worst,
    }
    u = torch.stack(list(where.values()))
    scores, pictures = f(u[None], index)[0], source.pictures(shape, u)
    views = [(text, u[i], pictures[i], float(scores[i])) for i, text in enumerate(where)]
    title = (
        f"{network_labels(maps.networks)[network]}, {maps.class_names[shape].replace('_', ' ')}; views of a {name} box"
    )
    figure = plot_region_views(maps.scores[network, shape], maps.axes, boxes, views, points=source.points, title=title)
    return save_figure(figure, output)


def srvr_figures(source: Source, output: Path) -> list[Path]:
    """SRVR by method with intervals over shapes, and its mean over the paper's methods against accuracy."""
    maps = source.maps
    classes = list(dict.fromkeys(maps.class_names))
    labels = torch.tensor([classes.index(name) for name in maps.class_names])
    space, count = SemanticSpace.default(), len(maps.shapes)
    ratios: dict[str, list[Tensor]] = {}
    for network in range(len(maps.networks)):
        own: dict[str, list[Tensor]] = {}
        for shape in range(count):
            if source.paper is not None:
                row = maps.index(network, shape) * len(source.points)
                bounds = {m: x[row : row + len(source.points)] for m, x in source.paper.bounds.items()}
                found = {m: Box(x[:, 0], x[:, 1]) for m, x in bounds.items()}
            else:
                found = source.boxes(network, shape)
            for method, box in found.items():
                own.setdefault(method, []).append(space.intersected_volume(box.a, box.b) / space.volume)
        for method, values in own.items():
            shape_of = torch.arange(count).repeat_interleave(len(source.points))
            ratios.setdefault(method, []).append(shape_means(torch.cat(values), shape_of, count))
    ratios["mean of three"] = list(torch.stack([torch.stack(ratios[method]) for method in METHODS]).mean(0))

    def triples(values: list[Tensor]) -> dict[str, tuple[float, float, float]]:
        found = [mean_interval_over_shapes(own, labels) for own in values]
        return {name: one[:3] for name, one in zip(maps.networks, found, strict=True)}

    bars = {method: triples(values) for method, values in ratios.items()}
    title = f"{count} shapes, {len(source.points)} initial points, 95 % intervals over shapes"
    scatter = plot_srvr_against_accuracy(bars["mean of three"], ACCURACY, title=title)
    return [
        save_figure(plot_srvr_bars(bars, title=title), output),
        save_figure(scatter, output.with_stem(output.stem + "_accuracy")),
    ]


def trust(arguments: argparse.Namespace, output: Path) -> Path:
    """The trust map, by right answers, of one shape and the first network; the picture is in its largest region."""
    network = arguments.networks[0]
    f = RenderedFunction.of(arguments.shape, network)
    m = trust_map(f, f.space, max_evaluations=1500, top1=True)
    boxes = m.boxes(1)
    low, high = f.space.low, f.space.high
    view = (boxes.a[0] + boxes.b[0]) / 2 if len(boxes) else (low + high) / 2
    thing = arguments.shape.replace("_", " ")
    title = (
        f"{thing}, {network_labels([network])[0]}: trusted in {percent(m.trusted_share, 0, ' %')} of the views, "
        f"failing in {percent(m.failing_share, 0, ' %')} ({m.evaluations} evaluations, wrong calls <= "
        f"{percent(m.alpha, 0, ' %')})"
    )
    print(title)
    with torch.no_grad():
        picture = f.images(view[None])[0]
    return save_figure(plot_trust_map(m, picture=picture, title=title, size=(9.5, 3.2)), output)


def scenes(arguments: argparse.Namespace, output: Path) -> Path:
    """Three objects on white and in a scene, with the score of the first network."""
    name = arguments.networks[0]
    network = RenderedFunction.of("teapot", name).classifier
    drawn = (
        ("teapot", (40.0, 20.0), Scene("embedded:wood", shadow=0.7), "before wood"),
        ("park_bench", (215.0, 12.0), Scene(panorama="embedded:field", shadow=0.7), "in a field"),
        ("rocking_chair", (320.0, 15.0), Scene(panorama="embedded:room", shadow=0.7), "in a room"),
    )
    figure = Figure(figsize=(9.6, 2.0), layout="constrained")
    axes = figure.subplots(1, 2 * len(drawn))
    for k, (shape, view, scene, place) in enumerate(drawn):
        u = torch.tensor([view], dtype=torch.float64)
        for side, (own, words) in enumerate(((Scene(), "on white"), (scene, place))):
            f = RenderedFunction.of(shape, network, renderer=Rasterizer(448, scene=own))
            with torch.no_grad():
                picture = f.images(u)[0]
            score = float(RenderedFunction.of(shape, network, scene=own)(u[None]))
            place_of = axes[2 * k + side]
            place_of.imshow(picture.permute(1, 2, 0).numpy())
            place_of.set_title(f"{shape.replace('_', ' ')} {words}: {score:.2f}", fontsize=7)
            place_of.set_axis_off()
    return save_figure(figure, output)


def trust_of_three_axes(arguments: argparse.Namespace, output: Path) -> Path:
    """The trust map of right answers over azimuth, elevation and distance, a panel for every slice of the distance."""
    network, tiles = arguments.networks[0], (12, 4, 3)
    f = RenderedFunction.of(arguments.shape, network, ("azimuth", "elevation", "distance"))
    began = time.process_time()
    m = trust_map(f, f.space, tiles=tiles, max_evaluations=10 * math.prod(tiles), top1=True)
    seconds = time.process_time() - began
    boxes, third = m.boxes(1), f.space.axes[2]
    view = (boxes.a[0] + boxes.b[0]) / 2 if len(boxes) else (f.space.low + f.space.high) / 2
    views = view.repeat(tiles[2], 1)
    views[:, 2] = third.low + (torch.arange(tiles[2]) + 0.5) * third.extent / tiles[2]
    thing = arguments.shape.replace("_", " ")
    title = (
        f"{thing}, {network_labels([network])[0]}: trusted in {percent(m.trusted_share, 0, ' %')} of the views over "
        f"three axes, failing in {percent(m.failing_share, 0, ' %')} ({m.evaluations} evaluations)"
    )
    print(f"{title}; {' x '.join(map(str, tiles))} tiles, {seconds:.0f} s of one core")
    with torch.no_grad():
        pictures = f.images(views)
    return save_figure(plot_trust_map(m, picture=pictures, title=title), output)


def turntable(source: Source, shape: int, elevation: float, output: Path) -> Path:
    """The object turning, with the scores of its map."""
    maps = source.maps
    values = torch.arange(0, 360, 6, dtype=torch.float64)
    u = torch.stack([values, torch.full_like(values, elevation)], -1)
    f = maps.function()
    scores = {name: f(u[None], torch.tensor([maps.index(n, shape)]))[0] for n, name in enumerate(maps.networks)}
    images = source.pictures(shape, u)
    thing = maps.class_names[shape].replace("_", " ")
    return save_turntable(
        output, images, values, scores, maps.axes.axes[0], title=f"{thing}, elevation {elevation:g} degrees"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ("1", "3", "4", "5", "11", "12", "13", "14", "srvr", "trust", "trust3", "scenes", "turntable")
    parser.add_argument("figures", nargs="*", default=[], choices=(*known, []), metavar="FIGURE", help=str(known))
    parser.add_argument("--source", choices=("embedded", "reference"), default="embedded")
    parser.add_argument("--output", type=Path, help="file (of one figure) or folder; outputs/figures if not given")
    parser.add_argument("--networks", nargs="+", default=["efficientnet_lite0", "efficientnet_lite1"])
    parser.add_argument("--steps", type=int, nargs=2, default=(40, 11), help="samples of the maps of embedded shapes")
    parser.add_argument("--maps", type=Path, default=REFERENCE / "paper_maps.npz", help="the authors' maps")
    parser.add_argument(
        "--shape", default="school_bus", help="of figure 1 with embedded shapes; several for a band; of trust"
    )
    parser.add_argument("--elevation", type=float, default=15.0, help="degrees; figure 1 and turntable")
    parser.add_argument("--views", type=int, default=120, help="of figure 1")
    parser.add_argument("--within", type=float, default=9.0, help="degrees of the change in the title of figure 1")
    parser.add_argument("--threshold", type=float, default=0.3, help="score below which a hole is one; figure 5")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path("outputs/figures")
    from_paper = arguments.source == "reference"
    source: Source | None = None
    for name in arguments.figures or ["1"]:
        suffix = ".gif" if name == "turntable" else ".png"
        output = folder / f"{arguments.source}_{name}{suffix}"
        if arguments.output is not None:
            output = arguments.output if arguments.output.suffix else arguments.output / output.name
        if name == "1" and not from_paper:
            docs = arguments.output is None and arguments.shape == "school_bus"
            print(over_azimuth(arguments, DOCS / "score_over_azimuth.png" if docs else output))
            continue
        if name in ("trust", "trust3"):
            docs = arguments.output is None and arguments.shape == "teapot"
            draw, picture = (trust, "trust_map.png") if name == "trust" else (trust_of_three_axes, "trust_axes.png")
            print(draw(arguments, DOCS / picture if docs else output))
            continue
        if name == "scenes":
            print(scenes(arguments, DOCS / "scenes.png" if arguments.output is None else output))
            continue
        if source is None:
            if from_paper:
                source = reference(arguments.maps)
            else:
                source = embedded(arguments.networks, tuple(arguments.steps), folder / "embedded.nc")
        chair, mug, third = ("chair", "cup", "toilet") if from_paper else ("folding_chair", "coffee_mug", "teapot")
        examples = [source.shape(chair, 3 if from_paper else 0), source.shape(third, 1 if from_paper else 0)]
        networks = (2, 3) if from_paper else (0, 1)
        if name == "1":
            print(over_azimuth_of_maps(source, chair, arguments.elevation, output))
        elif name == "3":
            print(map_grid(source, [examples[0], source.shape(mug)], output))
        elif name == "4":
            print(class_maps(source, third if from_paper else mug, output))
        elif name == "5":
            print(data_map(source, mug, arguments.threshold, output))
        elif name in ("11", "12"):
            print(growth(source, networks[int(name) - 11], examples[int(name) - 11], 0, output))
        elif name in ("13", "14"):
            print(region_views(source, networks[int(name) - 13], examples[int(name) - 13], output))
        elif name == "srvr":
            print(*srvr_figures(source, output), sep="\n")
        else:
            print(turntable(source, examples[1], arguments.elevation, output))


if __name__ == "__main__":
    main()
