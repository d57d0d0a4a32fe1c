"""Does training that aims beat training that does not? Ways to draw views, judged where the difference is visible.

    python benchmarks/training.py --output outputs/training            # tunes, trains, judges, prints the tables
    python benchmarks/training.py --output outputs/three --only uniform aimed --seeds 0 1 2 --held-out 4 \\
        --space azimuth elevation distance --rates 0.002 0.004 0.008 0.016    # three axes
    python benchmarks/training.py --output outputs/lite0 --only uniform aimed --rates 0.0005 --seeds 0 1 2 \\
        --config configs/train_finetune.yaml --shapes 'path/to/shapes#*' --mapped 1   # EfficientNet-Lite0

Network, classes, budget and everything else but the views are those of configs/train_demo.yaml; more shapes are held
out. First the learning rates are tuned: each rate trains `uniform` and `aimed` with seeds of its own, and each of the
two gets the rate with the fewest top-1 failures on validation shapes; the other arms get that of `uniform`. Then every
arm is trained with its seeds and judged on the held-out shapes: 128 Sobol views of each shape, and on the first shapes
of each class trust maps and verified regions. Each run has a folder with its results, so the same command in the same
folder goes on where it stopped, and more seeds can be added.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from intervals import symmetric_interval
from torch import Tensor

from lightning_semrob.commands.parsing import config_folder
from lightning_semrob.functional.tails import swap_p_value
from lightning_semrob.functional.uncertainty import paired_difference
from lightning_semrob.report.tables import format_table
from lightning_semrob.shapes import ShapeSpec
from lightning_semrob.training.data import RenderedViews
from lightning_semrob.training.dense import DenseViews, look_at
from lightning_semrob.training.job import TrainingCost, train_run
from lightning_semrob.training.judging import (
    Judging,
    evaluation_job,
    held_out_environment,
    held_out_ratios,
    network_names,
    real_accuracy,
    trusted_share,
    write_class_table,
)
from lightning_semrob.training.module import SemanticTraining
from lightning_semrob.training.views import (
    AimedViews,
    CleanViews,
    RegionViews,
    UniformViews,
    ViewSampler,
    WorstOfKViews,
)
from lightning_semrob.utilities.files import read_json, write_atomically

TUNED = ("uniform", "aimed")
VIEWS = 128
#: Of each embedded class; as in the demo.
TRAINING_SHAPES = 24


@dataclass(frozen=True)
class Arm:
    """One way to draw views; ``factor`` times the images of the demo."""

    views: Callable[[], ViewSampler]
    factor: int = 1


ARMS = {
    "uniform": Arm(UniformViews),
    "aimed": Arm(AimedViews),
    "clean": Arm(CleanViews),
    "worst_of_4": Arm(WorstOfKViews),
    "worst_of_4_equal_steps": Arm(WorstOfKViews, 4),
    "aimed_to_the_end": Arm(lambda: AimedViews(settle=0)),
    "regions": Arm(RegionViews),
}


class WholeEpochs(RenderedViews):
    """Renders the views of an epoch shape by shape, in fewer calls of the renderer; the pictures are the same."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._plans: dict[tuple[int, int], Any] = {}
        self._pictures: dict[tuple[ShapeSpec, bytes], Tensor] = {}

    def train_dataloader(self) -> Any:
        loader = super().train_dataloader()
        trainer: Any = self.trainer
        epoch, views = trainer.current_epoch, trainer.lightning_module.views
        self._plans = {
            (epoch, step): super(WholeEpochs, self).train_plan(views, epoch, step) for step in range(len(loader))
        }
        rows: dict[int, list[tuple[Tensor, Tensor]]] = {}
        for plan in self._plans.values():
            for shape, u, extra in zip(plan.groups.shape.tolist(), plan.groups.u, plan.randomized, strict=True):
                rows.setdefault(shape, []).append((u, extra))
        for number, own in rows.items():
            shape = self.splits["train"][number]
            images = super().render(shape, torch.cat([u for u, _ in own]), torch.cat([extra for _, extra in own]))
            for (u, _), part in zip(own, images.split([len(u) for u, _ in own]), strict=True):
                self._pictures[shape, u.numpy().tobytes()] = part
        return loader

    def train_plan(self, views: Any, epoch: int, step: int) -> Any:
        return self._plans.pop((epoch, step))

    def render(self, shape: ShapeSpec, u: Tensor, randomized: Tensor) -> Tensor:
        known = self._pictures.pop((shape, u.numpy().tobytes()), None)
        return super().render(shape, u, randomized) if known is None else known


def make_data(config: Mapping[str, Any], validation: int, held_out: int) -> WholeEpochs:
    """The data of a configuration, with other numbers of shapes where its classes are embedded ones."""
    settings = dict(config["data"]) | {"num_workers": 0}
    if all(spec.rpartition(":")[2].startswith("0-") for spec in settings["shapes"]):
        last = TRAINING_SHAPES + validation + held_out - 1
        settings["shapes"] = [f"{spec.partition(':')[0]}:0-{last}" for spec in settings["shapes"]]
        settings |= {"validation_per_class": validation, "held_out_per_class": held_out}
    data = WholeEpochs(**settings)
    data.setup()
    return data


@dataclass(frozen=True)
class Run:
    """One training run, in its folder."""

    arm: str
    rate: float
    seed: int
    output: Path

    @property
    def folder(self) -> Path:
        """Where its state dict and results are."""
        return self.output / f"{self.arm}-{1000 * self.rate:g}e-3-{self.seed}"

    @property
    def weights(self) -> Path:
        """The trained state dict."""
        return self.folder / f"{ARMS[self.arm].views().name}.pth"

    @property
    def cost(self) -> TrainingCost:
        """What it spent."""
        return TrainingCost(**read_json(self.weights.with_suffix(".json")))


def train(data: RenderedViews, config: Mapping[str, Any], run: Run) -> None:
    """Train a run, unless its state dict is there."""
    import pytorch_lightning as pl  # after the package, which makes torchvision importable on a CPU-only torch

    if run.weights.is_file():
        return
    arguments = {k: v for k, v in config["model"].items() if k not in ("views", "learning_rate")}
    module = SemanticTraining(views=ARMS[run.arm].views(), learning_rate=run.rate, **arguments)
    data.seed, data.images = run.seed, config["data"]["images"] * ARMS[run.arm].factor
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=config["trainer"]["max_epochs"],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        reload_dataloaders_every_n_epochs=1,
    )
    start = time.process_time()
    train_run(module, trainer, data, run.folder)
    print(f"{run.folder.name}: {time.process_time() - start:.0f} CPU s", flush=True)


def dense(data: RenderedViews, network: str, runs: Sequence[Run], split: str) -> DenseViews:
    """Scores of runs on Sobol views of all shapes of a split; each run keeps its own as ``<split>.pt``."""
    shapes, names = data.splits[split], [run.folder.name for run in runs]
    files = [run.folder / f"{split}-{len(shapes)}.pt" for run in runs]
    missing = [k for k, file in enumerate(files) if not file.is_file()]
    data.seed = 0  # the same views of every run
    write_class_table(runs[0].output / "class_table.yaml", data.classes)
    for start in range(0, len(missing), 8):  # the pictures of a shape are rendered once for the networks of a call
        part = missing[start : start + 8]
        full = network_names(data, network, {names[k]: runs[k].weights for k in part})
        environment = held_out_environment(data, list(full.values()), shapes, runs[0].output, "cpu")
        found = look_at(environment, list(full), data.clean_window, VIEWS)
        for row, k in enumerate(part):
            one = DenseViews(
                [names[k]],
                found.classes,
                found.regions,
                *(x[row : row + 1].clone() for x in (found.score, found.hit, found.clean_hit)),
            )
            write_atomically(files[k], lambda path, one=one: torch.save(vars(one), path))
    kept = [DenseViews(**torch.load(file)) for file in files]
    joined = (torch.cat([getattr(one, name) for one in kept]) for name in ("score", "hit", "clean_hit"))
    return DenseViews(names, kept[0].classes, kept[0].regions, *joined)


def first_of_each(shapes: Sequence[ShapeSpec], count: int) -> list[ShapeSpec]:
    """The first ``count`` shapes of each class."""
    classes = dict.fromkeys(shape.class_name for shape in shapes)
    return [shape for name in classes for shape in [s for s in shapes if s.class_name == name][:count]]


def volumes(data: RenderedViews, network: str, run: Run, shapes: Sequence[ShapeSpec]) -> dict[str, Tensor]:
    """Trusted, failing and verified share of each shape, (S,), of one run."""
    renderer = {
        "class_path": "lightning_semrob.rendering.raster.Rasterizer",
        "init_args": {"image_size": data.renderer.image_size, "supersampling": 1},
    }
    data.seed, weights = 0, {run.folder.name: run.weights}
    job = evaluation_job(data, network, weights, shapes, run.folder, Judging(1, 400), renderer, "cpu", progress=False)
    names = network_names(data, network, weights)
    shares = trusted_share(job, list(names.values())).shares()[:, 0]
    return dict(zip(SHARES, (*shares, held_out_ratios(job.runs, names)[run.folder.name]), strict=True))


def tune(
    data: RenderedViews, config: Mapping[str, Any], rates: Sequence[float], seeds: Sequence[int], output: Path
) -> dict[str, float]:
    """Train with every rate, print the failures on validation shapes, and return the best rate of either arm."""
    runs = [Run(arm, rate, seed, output) for seed in seeds for rate in rates for arm in TUNED]
    for run in runs:
        train(data, config, run)
    found = dense(data, config["model"]["network"], runs, "validation")
    failures = {run: 1 - float(hit.mean()) for run, hit in zip(runs, found.hit, strict=True)}
    best, lines = {}, []
    for arm in TUNED:
        means = {}
        for rate in rates:
            each = [failures[run] for run in runs if run.arm == arm and run.rate == rate]
            means[rate] = sum(each) / len(each)
            lines.append([arm, f"{rate:g}", f"{100 * means[rate]:.2f}", ", ".join(f"{100 * x:.2f}" for x in each)])
        best[arm] = min(means, key=lambda rate: means[rate])
    print(f"\nTop-1 failures on {len(data.splits['validation'])} validation shapes, percent, seeds {list(seeds)}")
    print(format_table(["views", "learning rate", "failures", "each seed"], lines, left=1))
    print(f"best: {', '.join(f'{arm} {rate:g}' for arm, rate in best.items())}", flush=True)
    return best


SHARES = ("trusted", "failing", "verified")
MEASURES = ("top-1 failures", "mean f", "5 % quantile", "worst tenth")


def measures(views: DenseViews) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """The measures as functions of scores and hits (..., S, V)."""
    tails = views.tails
    return {
        "top-1 failures": lambda score, hit: 1 - hit.mean((-2, -1)),
        "mean f": lambda score, hit: score.mean((-2, -1)),
        "5 % quantile": lambda score, hit: tails["low_score"](score),
        "worst tenth": lambda score, hit: tails["worst_regions"](score),
    }


def print_means(
    runs: Sequence[Run],
    views: DenseViews,
    shares: Mapping[Run, Mapping[str, Tensor]],
    photographs: Mapping[Run, float],
) -> None:
    """Mean of each arm over its seeds and, behind +-, standard deviation over them; percent."""
    lines = []
    for arm in dict.fromkeys(run.arm for run in runs):
        rows = [k for k, run in enumerate(runs) if run.arm == arm]
        own = [runs[k] for k in rows]
        columns = {name: measure(views.score[rows], views.hit[rows]) for name, measure in measures(views).items()}
        columns["clean accuracy"] = views.clean_hit[rows].mean((1, 2))
        for name in SHARES if shares else ():
            columns[name] = torch.tensor([float(shares[run][name].nanmean()) for run in own if run in shares])
        if photographs:
            columns["photographs"] = torch.tensor([photographs[run] for run in own])
        cells = []
        for column in columns.values():
            spread = f" +- {100 * column.std():.1f}" if len(column) > 1 else ""
            cells.append(f"{100 * column.mean():.1f}{spread}" if len(column) else "n/a")
        spent = own[0].cost
        lines.append([arm, str(len(own)), f"{own[0].rate:g}", str(spent.rendered), str(spent.steps), *cells])
    print(format_table(["views", "seeds", "rate", "images", "steps", *columns], lines, left=1))


def difference_line(each: Tensor, interval: Sequence[float], p_value: float) -> list[str]:
    """Cells of a paired difference: ``each`` of the seeds, and what the test over shapes says."""
    same = int((each * each.mean() > 0).sum())
    words = [
        "none" if low != low else f"[{100 * low:+.2f}, {100 * high:+.2f}]"
        for low, high in (symmetric_interval(each), interval)
    ]
    return [f"{100 * each.mean():+.2f}", f"{same} of {len(each)}", *words, f"{p_value:.4f}"]


def print_differences(
    runs: Sequence[Run],
    views: DenseViews,
    shares: Mapping[Run, Mapping[str, Tensor]],
    classes: Tensor,
    resamples: int,
    base: str,
) -> None:
    """Every arm minus ``base`` at the seeds that both have, paired by seed and shape; points of percent.

    Over seeds the interval is that of the sign-flip test. Over shapes a shape's value is its mean over the seeds; a
    quantile and the worst tenth are no means over shapes, so they have a test but no interval.
    """
    lines = []
    place = {(run.arm, run.seed): k for k, run in enumerate(runs)}
    for arm in dict.fromkeys(run.arm for run in runs if run.arm != base):
        seeds = [run.seed for run in runs if run.arm == arm and (base, run.seed) in place]
        new, old = ([place[name, seed] for seed in seeds] for name in (arm, base))
        means = {"top-1 failures": 1 - views.hit.mean(2), "mean f": views.score.mean(2)}
        for name, value in means.items():
            found = paired_difference(value[new].mean(0), value[old].mean(0), views.classes)
            each = (value[new] - value[old]).mean(1)
            lines.append([arm, name, *difference_line(each, (found.low, found.high), found.p_value)])
        for name, tail in zip(MEASURES[2:], views.tails.values(), strict=True):
            first, second = views.score[new], views.score[old]
            p_value = swap_p_value(first, second, tail, resamples)
            lines.append([arm, name, *difference_line(tail(first) - tail(second), (math.nan, math.nan), p_value)])
        pairs = [(runs[i], runs[k]) for i, k in zip(new, old, strict=True) if runs[i] in shares and runs[k] in shares]
        for name in SHARES if pairs else ():
            first, second = (torch.stack([shares[pair[side]][name] for pair in pairs]) for side in (0, 1))
            found = paired_difference(first.nanmean(0), second.nanmean(0), classes)
            each = (first - second).nanmean(1)
            lines.append([arm, name, *difference_line(each, (found.low, found.high), found.p_value)])
    columns = ["difference", "seeds agree", "95 % over seeds", "95 % over shapes", "p over shapes"]
    print(format_table([f"minus {base}", "measure", *columns], lines, left=2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Tune, train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(ARMS), default=list(ARMS), help="arms to train")
    parser.add_argument("--base", choices=list(ARMS), default="uniform", help="what the others are compared with")
    parser.add_argument("--rates", type=float, nargs="+", default=[4e-3, 8e-3, 16e-3], help="to tune; one is not tuned")
    parser.add_argument("--tuning-seeds", type=int, nargs="+", default=[100, 101])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(8)), help="of uniform and aimed")
    parser.add_argument("--side-seeds", type=int, nargs="+", default=[0, 1, 2], help="of the other arms")
    parser.add_argument("--shapes", nargs="+", default=None, help="instead of those of the configuration")
    parser.add_argument("--space", nargs="+", default=None, help="swept axes, over the widest ranges of the renderer")
    parser.add_argument("--images", type=int, default=None, help="rendered images of a run; the demo's if absent")
    parser.add_argument("--validation", type=int, default=4, help="validation shapes of a class")
    parser.add_argument("--held-out", type=int, default=8, help="held-out shapes of a class")
    parser.add_argument(
        "--mapped", type=int, default=2, help="of these with trust maps and verified regions, 0 for none"
    )
    parser.add_argument("--mapped-seeds", type=int, default=8, help="most seeds of an arm with maps and regions")
    parser.add_argument("--resamples", type=int, default=1000, help="random swaps of each test of a tail")
    parser.add_argument("--config", default=str(config_folder() / "train_demo.yaml"))
    parser.add_argument("--output", type=Path, default=Path("outputs/training"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    config = yaml.safe_load(Path(options.config).read_text())
    if options.images is not None:
        config["data"]["images"] = options.images
    network = config["model"]["network"]
    config["data"] |= {} if options.shapes is None else {"shapes": options.shapes}
    if options.space is not None:
        config["data"]["space"] = options.space
        drawn = config["data"]["randomized"]
        config["data"]["randomized"] = {name: ends for name, ends in drawn.items() if name not in options.space}
    data = make_data(config, options.validation, options.held_out)
    best = dict.fromkeys(TUNED, options.rates[0])
    if len(options.rates) > 1:
        best = tune(data, config, options.rates, options.tuning_seeds, options.output)
    seeds = {arm: options.seeds if arm in TUNED else options.side_seeds for arm in options.only}
    rates = {arm: best.get(arm, best["uniform"]) for arm in seeds}
    runs = [Run(arm, rates[arm], seed, options.output) for arm, own in seeds.items() for seed in own]
    for run in sorted(runs, key=lambda run: (run.arm not in TUNED, seeds[run.arm].index(run.seed))):
        train(data, config, run)
    views = dense(data, network, runs, "held_out")
    photographs = {}
    if data.real is not None:
        names = network_names(data, network, {run.folder.name: run.weights for run in runs})
        photographs = {run: real_accuracy(data, names[run.folder.name]) for run in runs}
    shares = {}
    mapped = first_of_each(data.splits["held_out"], options.mapped)
    labels = torch.tensor([data.classes.index(shape.class_name) for shape in mapped])
    if options.mapped:
        chosen = [run for run in runs if seeds[run.arm].index(run.seed) < options.mapped_seeds]
        shares = {run: volumes(data, network, run, mapped) for run in chosen}
    shapes, pixels = len(data.splits["held_out"]), data.renderer.image_size
    print(f"\n{shapes} held-out shapes of {len(data.classes)} classes, {VIEWS} views each, {pixels} pixels; percent")
    print(
        f"Mean and standard deviation over seeds; trusted, failing and verified on {options.mapped} shapes of a class"
    )
    print_means(runs, views, shares, photographs)
    if options.base in seeds:
        print(f"\nPaired differences to {options.base}, points of percent")
        print_differences(runs, views, shares, labels, options.resamples, options.base)


if __name__ == "__main__":
    main()
