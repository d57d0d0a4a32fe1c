"""Four ways to draw training views, several seeds each, at equal numbers of rendered images, on held-out shapes.

    python benchmarks/training.py                       # 4 modes x 3 seeds, two hours on 2 shared CPU cores
    python benchmarks/training.py --seeds 0 --modes uniform regions --output outputs/short

Everything but the views is that of configs/train_demo.yaml. Trains with `train.py`'s own code, judges
with that of `evaluate.py`, and prints what each run spent, every network's line, mean and spread over the
seeds, and the paired differences of `regions` with bootstrap intervals over seeds and shapes. The same command in the
same folder goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from lightning_semrob.commands.evaluate import config_folder
from lightning_semrob.report.page.training import training_table
from lightning_semrob.report.tables import format_table
from lightning_semrob.training.data import RenderedViews
from lightning_semrob.training.job import TrainingCost, train_run
from lightning_semrob.training.judging import JudgedRun, Judging, compare, held_out_ratios
from lightning_semrob.training.module import SemanticTraining
from lightning_semrob.training.views import (
    CleanViews,
    RegionViews,
    RenderedRegionViews,
    UniformViews,
    ViewSampler,
    WorstOfKViews,
)

MODES = ("clean", "uniform", "worst_of_4", "regions")
#: Columns of the table of means: key of the statistics, heading.
COLUMNS = {
    "verified": "verified SRVR",
    "score": "mean score",
    "worst_score": "worst score",
    "accuracy": "accuracy",
    "accuracy_clean": "clean accuracy",
}


def views_of(mode: str, regions: Mapping[str, Any]) -> ViewSampler:
    """A fresh sampler of a mode."""
    if mode.startswith("worst_of_"):
        return WorstOfKViews(int(mode.removeprefix("worst_of_")))
    if mode == "regions":
        return RegionViews(**regions)
    if mode == "rendered_regions":
        return RenderedRegionViews()
    return {"clean": CleanViews, "uniform": UniformViews}[mode]()


def bootstrap(difference: Tensor, draws: int = 10_000) -> tuple[float, float]:
    """95 % interval of the mean of differences (seeds, shapes): seeds and shapes are both drawn with replacement."""
    generator = torch.Generator().manual_seed(0)
    seeds, shapes = difference.shape
    rows = torch.randint(seeds, (draws, seeds), generator=generator)
    columns = torch.randint(shapes, (draws, shapes), generator=generator)
    means = torch.stack([difference[r][:, c].mean() for r, c in zip(rows, columns, strict=True)])
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
    return low, high


def train_all(
    config: Mapping[str, Any], modes: Sequence[str], seeds: Sequence[int], output: Path, regions: Mapping[str, Any]
) -> tuple[RenderedViews, dict[str, Path], dict[str, TrainingCost]]:
    """Train every mode with every seed; the data, the state dicts and what was spent, by ``mode-seed``."""
    import pytorch_lightning as pl  # after the package, which makes torchvision importable on a CPU-only torch

    data = RenderedViews(**config["data"])
    data.setup()
    weights: dict[str, Path] = {}
    costs: dict[str, TrainingCost] = {}
    arguments = {key: value for key, value in config["model"].items() if key != "views"}
    for seed in seeds:
        for mode in modes:
            data.seed = seed
            module = SemanticTraining(views=views_of(mode, regions), **arguments)
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
            name = f"{mode}-{seed}"
            folder = output / str(seed)
            costs[name] = train_run(module, trainer, data, folder)
            weights[name] = folder / f"{module.views.name}.pth"
    return data, weights, costs


def judge(
    data: RenderedViews, network: str, weights: Mapping[str, Path], output: Path, judging: Judging
) -> tuple[dict[str, JudgedRun], dict[str, Tensor]]:
    """Judge every network, all from the same initial points; the runs by name, and verified volume by shape."""
    renderer = {
        "class_path": "lightning_semrob.rendering.raster.Rasterizer",
        "init_args": {"image_size": data.renderer.image_size, "supersampling": 1},
    }
    runs: dict[str, JudgedRun] = {}
    ratios: dict[str, Tensor] = {}
    data.seed = 0
    for name, path in weights.items():
        folder = output / name.rpartition("-")[2]
        found = compare(data, network, {name: path}, folder, judging, renderer, "cpu", progress=False)
        runs |= found.runs
        ratios |= held_out_ratios(found.evaluation.runs, {name: found.runs[name].network})
    return runs, ratios


def print_means(runs: Mapping[str, JudgedRun], modes: Sequence[str], seeds: Sequence[int]) -> None:
    """Mean and, behind +-, standard deviation over the seeds, percent."""
    lines = []
    for mode in modes:
        line = [mode]
        for key in COLUMNS:
            names = [f"{mode}-{seed}" for seed in seeds]
            found = [
                runs[name].verified.estimate if key == "verified" else getattr(runs[name].statistics, key)
                for name in names
            ]
            values = 100 * torch.tensor(found, dtype=torch.float64)
            line.append(f"{values.mean():.1f}" + (f" +- {values.std():.1f}" if len(seeds) > 1 else ""))
        lines.append(line)
    print(format_table(["views", *COLUMNS.values()], lines, left=1))


def print_differences(ratios: Mapping[str, Tensor], modes: Sequence[str], seeds: Sequence[int]) -> None:
    """Verified volume of `regions` minus that of the others, percent of the space."""
    if "regions" not in modes or len(modes) == 1:
        return
    lines = []
    for other in modes:
        if other == "regions":
            continue
        difference = torch.stack([ratios[f"regions-{seed}"] - ratios[f"{other}-{seed}"] for seed in seeds])
        low, high = bootstrap(difference)
        each = ", ".join(f"{100 * value:+.1f}" for value in difference.mean(1).tolist())
        lines.append([other, f"{100 * difference.mean():+.1f}", f"[{100 * low:+.1f}, {100 * high:+.1f}]", each])
    columns = ["regions minus", "verified SRVR", "95 % over seeds and shapes", "each seed"]
    print(format_table(columns, lines, left=1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", default=list(MODES), help=f"of {MODES}, and worst_of_<k>")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=None, help="rendered images of a run; the demo's if absent")
    parser.add_argument("--config", default=str(config_folder() / "train_demo.yaml"))
    parser.add_argument("--regions", type=json.loads, default={}, help="changed arguments of RegionViews, JSON")
    parser.add_argument("--points", type=int, default=1, help="initial points of each held-out shape")
    parser.add_argument("--evaluations", type=int, default=400, help="of each run of the verified finder")
    parser.add_argument("--output", type=Path, default=Path("outputs/training"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    config = yaml.safe_load(Path(options.config).read_text())
    if options.images is not None:
        config["data"]["images"] = options.images
    regions = config["model"]["views"]["init_args"] | options.regions
    print(f"regions: {regions}", flush=True)
    data, weights, costs = train_all(config, options.modes, options.seeds, options.output, regions)
    judging = Judging(options.points, options.evaluations, views=64, maps=0)
    runs, ratios = judge(data, config["model"]["network"], weights, options.output, judging)
    shapes = len(data.splits["held_out"])
    print(f"\n{shapes} held-out shapes of {len(data.classes)} classes, percent")
    print(format_table(*training_table(runs, costs), left=1))
    print(f"\nMean and standard deviation over seeds {options.seeds}, percent")
    print_means(runs, options.modes, options.seeds)
    print("\nPaired differences of verified volume, percent of the space")
    print_differences(ratios, options.modes, options.seeds)


if __name__ == "__main__":
    main()
