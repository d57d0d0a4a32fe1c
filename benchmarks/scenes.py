"""What networks recognise on white, with a shadow, before pictures and before panoramas; the tables of docs/scenes.md.

    python benchmarks/scenes.py                     # the embedded shapes, and the reference shapes where they are there
    python benchmarks/scenes.py --shapes embedded   # these only
    python benchmarks/scenes.py --cost              # milliseconds an image, by scene

Top-1 rates: every shape from the same ``--views`` scrambled Sobol views of the whole space, the pictures taking turns.
Trusted shares: trust maps of ``--mapped`` shapes, 8 x 3 tiles, eps 0.5; before pictures f is the mean over 4 nuisances.
Everything that is measured is kept in ``--record``, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from reference import REFERENCE

from lightning_semrob import SemanticSpace
from lightning_semrob.functional.uncertainty import class_mean, paired_difference
from lightning_semrob.functions import Nuisances, RenderedFunction
from lightning_semrob.networks import network_labels
from lightning_semrob.rendering import Rasterizer, Scene
from lightning_semrob.rendering.cache import CachedRenderer
from lightning_semrob.report.tables import format_table
from lightning_semrob.shapes import ShapeSpec, resolve_shapes
from lightning_semrob.trust.map import trust_map
from lightning_semrob.utilities.files import write_text

SQUEEZENET = f"torchvision/squeezenet1_0@{REFERENCE / 'weights' / 'squeezenet1_0.pth'}?normalize=imagenet255"
NETWORKS = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", SQUEEZENET]
SPACE = SemanticSpace.default()
SHADOW = 0.7
SCENES = {
    "white": Scene(),
    "shadow": Scene(shadow=SHADOW),
    "pictures": Scene("embedded"),
    "panoramas, shadow": Scene(panorama="embedded", shadow=SHADOW),
}
#: Scene and draws of nuisances of the trust maps.
MAPPED = {"white": ("white", 0), "shadow": ("shadow", 0), "4 draws of pictures and light": ("pictures", 4)}
SHAPES = ["teapot", "park_bench", "rocking_chair", "coffee_mug", "umbrella", "traffic_light", "drum"]
TILES, EVALUATIONS = (8, 3), 192

Record = dict[str, dict[str, list[float]]]


class Subjects:
    """The networks, each with its runtime, and the renderers of the scenes."""

    def __init__(self) -> None:
        self.networks = [RenderedFunction.of("teapot", name).classifier for name in NETWORKS]
        self.renderers = {scene: CachedRenderer(Rasterizer(scene=setting), 150) for scene, setting in SCENES.items()}

    def functions(self, scene: str, shape: ShapeSpec, axes: Sequence[str], draws: int = 0) -> list[RenderedFunction]:
        """f of every network, which share their pictures."""
        renderer, mesh = self.renderers[scene], shape.load()
        space = renderer.space(*axes)
        nuisances = Nuisances.draw(renderer, axes, draws) if draws else None
        parts = (renderer, mesh, shape.target, space)
        return [
            RenderedFunction(parts[0], network, *parts[1:], micro_batch_size=8, nuisances=nuisances)
            for network in self.networks
        ]


def accuracy(subjects: Subjects, record: Record, path: Path, shapes: list[ShapeSpec], views: int) -> None:
    """Top-1 rate of each network, by scene and shape."""
    for number, shape in enumerate(shapes):
        for scene in SCENES:
            known, key = record.setdefault(f"accuracy {scene}", {}), f"{shape.class_name}/{shape.shape_id}"
            if key in known:
                continue
            u, axes = SPACE.sobol(views, number), list(SPACE.names)
            if pictures := subjects.renderers[scene].pictures_behind:
                u = torch.cat((u, (torch.arange(views)[:, None] + number) % pictures), 1)
                axes.append("picture")
            functions = subjects.functions(scene, shape, axes)
            known[key] = [float(f.scores_and_hits(u[None])[1].mean()) for f in functions]
            write_text(path, json.dumps(record, indent=1))


def trusted(subjects: Subjects, record: Record, path: Path, shapes: list[ShapeSpec]) -> None:
    """Trusted shares of the networks, then their failing shares, by setting and shape."""
    for shape in shapes:
        for setting, (scene, draws) in MAPPED.items():
            known = record.setdefault(f"trusted {setting}", {})
            if shape.shape_id in known:
                continue
            functions = subjects.functions(scene, shape, SPACE.names, draws)
            maps = [trust_map(f, SPACE, TILES, max_evaluations=EVALUATIONS) for f in functions]
            known[shape.shape_id] = [m.trusted_share for m in maps] + [m.failing_share for m in maps]
            write_text(path, json.dumps(record, indent=1))


def print_accuracy(record: Record, title: str, keys: set[str]) -> None:
    """Rates and the change from white with the p-value of the sign-flip test over shapes."""
    labels = network_labels(NETWORKS)
    columns = {scene: record[f"accuracy {scene}"] for scene in SCENES}
    shapes = [key for key in columns["white"] if key in keys]
    classes = [key.split("/")[0] for key in shapes]
    place = torch.tensor([sorted(set(classes)).index(name) for name in classes])
    rates = {scene: torch.tensor([known[key] for key in shapes]).double() for scene, known in columns.items()}
    lines = []
    for k, label in enumerate(labels):
        row = [label, f"{100 * float(class_mean(rates['white'][:, k], place)):.1f}"]
        for scene in list(SCENES)[1:]:
            found = paired_difference(rates[scene][:, k], rates["white"][:, k], place)
            rate = 100 * float(class_mean(rates[scene][:, k], place))
            row.append(f"{rate:.1f} ({100 * found.estimate:+.1f}, p = {found.p_value:.3f})")
        lines.append(row)
    print(f"\nTop-1 rate, percent, {title}, {len(shapes)} shapes; in brackets the change from white, mean over classes")
    print(format_table(["network", *SCENES], lines, left=1))


def print_cost(rounds: int = 15, batch: int = 8) -> None:
    """Median milliseconds an image of the teapot by scene, in turn, forward and with gradient."""
    mesh, u = resolve_shapes(["teapot"])[0].load(), SPACE.sobol(batch, 0).float()
    renderers = {scene: Rasterizer(scene=setting) for scene, setting in SCENES.items()}
    spent: dict[tuple[str, bool], list[float]] = {}
    for _ in range(rounds):
        for scene, renderer in renderers.items():
            for gradient in (False, True):
                start = time.perf_counter()
                images = renderer(mesh, u.clone().requires_grad_(gradient), SPACE.names)
                if gradient:
                    images.sum().backward()
                spent.setdefault((scene, gradient), []).append(time.perf_counter() - start)
    median = {key: 1e3 * sorted(values)[rounds // 2] / batch for key, values in spent.items()}
    lines = [[scene, f"{median[scene, False]:.1f}", f"{median[scene, True]:.1f}"] for scene in SCENES]
    print(f"Milliseconds an image of 224 pixels, batch {batch}, one thread")
    print(format_table(["scene", "forward", "with gradient"], lines, left=1))


def main() -> None:
    """Measure what is not known yet and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = REFERENCE / "shapes"
    default = ["embedded", *([str(folder)] if folder.is_dir() else [])]
    parser.add_argument("--shapes", nargs="+", default=default, help="as of evaluate.py --data.shapes")
    parser.add_argument("--views", type=int, default=16, help="of each shape")
    parser.add_argument("--mapped", nargs="*", default=SHAPES, help="shapes with trust maps")
    parser.add_argument("--record", type=Path, default=Path("outputs/scenes.json"))
    parser.add_argument("--cost", action="store_true", help="print the cost of rendering alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.cost:
        print_cost()
        return
    record: Record = json.loads(options.record.read_text()) if options.record.exists() else {}
    start = time.process_time()
    subjects = Subjects()
    for name in options.shapes:
        shapes = resolve_shapes([name])
        accuracy(subjects, record, options.record, shapes, options.views)
        keys = {f"{shape.class_name}/{shape.shape_id}" for shape in shapes}
        print_accuracy(record, f"{options.views} views, {Path(name).name}", keys)
    if options.mapped:
        shapes, count = resolve_shapes(options.mapped), len(NETWORKS)
        trusted(subjects, record, options.record, shapes)
        lines = []
        for k, label in enumerate(network_labels(NETWORKS)):
            row = [label]
            for setting in MAPPED:
                shares = torch.tensor([record[f"trusted {setting}"][shape.shape_id] for shape in shapes])
                row.append(f"{100 * shares[:, k].mean():.1f}, {100 * shares[:, count + k].mean():.1f}")
            lines.append(row)
        tiles = " x ".join(map(str, TILES))
        print(
            f"\nTrusted and failing share, percent, {len(options.mapped)} shapes, {tiles} tiles, {EVALUATIONS} samples"
        )
        print(format_table(["network", *MAPPED], lines, left=1))
    print(f"\n{(time.process_time() - start) / 60:.1f} minutes of processor time in this start")


if __name__ == "__main__":
    main()
