"""Trained networks judged on held-out shapes: verified volume by an evaluation job, scores and accuracies of views."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.job import JobConfig, JobResult
from lightning_semrob.evaluation.records import Run
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.functional.srvr import shape_means
from lightning_semrob.networks import build_network, with_weights
from lightning_semrob.shapes import ShapeSpec
from lightning_semrob.sharing.strategies import device_of
from lightning_semrob.training.data import RenderedViews
from lightning_semrob.utilities.files import write_text

__all__ = [
    "CLASS_TABLE_FILE",
    "JudgedRun",
    "Judging",
    "Verdicts",
    "VerifiedShare",
    "ViewStatistics",
    "compare",
    "held_out_environment",
    "held_out_ratios",
    "shape_specification",
    "shapes_to_map",
    "view_statistics",
    "write_class_table",
]

#: The classes of a training and their outputs, in its folder.
CLASS_TABLE_FILE = "class_table.yaml"


@dataclass(frozen=True)
class Judging:
    """How trained networks are judged.

    Args:
        initial_points: of each held-out shape, for the verified finder.
        verified_evaluations: budget of a run of the verified finder; None for its own.
        views: uniform and clean views of each held-out shape for scores and accuracies.
        maps: held-out shapes, each of another class, whose maps of all runs are drawn side by side; 0 for none.
    """

    initial_points: int = 2
    verified_evaluations: int | None = 400
    views: int = 64
    maps: int = 6

    def __post_init__(self) -> None:
        if self.initial_points < 1 or self.views < 1 or self.maps < 0:
            raise ValueError(
                f"judging.initial_points {self.initial_points} and judging.views {self.views} must be at least 1, "
                f"judging.maps {self.maps} at least 0"
            )

    def warning(self, n: int) -> str | None:
        """One sentence if no box of n axes can be verified with so few evaluations; None otherwise."""
        (finder,) = FinderSuite(["verified"], verified_evaluations=self.verified_evaluations)
        warning: str | None = finder.too_few_evaluations("judging.verified_evaluations", n)
        return warning


@dataclass(frozen=True)
class ViewStatistics:
    """How a network scores views of the held-out shapes.

    Attributes:
        score: mean of f over the space and the shapes.
        worst_score: mean over the shapes of the smallest f.
        accuracy, accuracy_clean: over the space, and on clean views.
        accuracy_real: on held-out real images, None if there are none.
    """

    score: float
    worst_score: float
    accuracy: float
    accuracy_clean: float
    accuracy_real: float | None = None


@dataclass(frozen=True)
class VerifiedShare:
    """Verified SRVR with its interval over shapes."""

    estimate: float
    low: float
    high: float
    shapes: int


@dataclass(frozen=True)
class JudgedRun:
    """One trained network: its full name, its views and its verified volume."""

    network: str
    statistics: ViewStatistics
    verified: VerifiedShare


@dataclass(frozen=True)
class Verdicts:
    """The judged runs by name, and the evaluation job behind them."""

    runs: dict[str, JudgedRun]
    evaluation: JobResult

    def as_dict(self) -> dict[str, Any]:
        """As ``training.json`` keeps them: run -> value under ``networks``, ``statistics`` and ``verified``."""
        statistics = {name: asdict(run.statistics) for name, run in self.runs.items()}
        return {
            "networks": {name: run.network for name, run in self.runs.items()},
            "statistics": {name: {k: v for k, v in x.items() if v is not None} for name, x in statistics.items()},
            "verified": {name: asdict(run.verified) for name, run in self.runs.items()},
            "evaluation": str(self.evaluation.output),
        }


def shape_specification(shape: ShapeSpec) -> str:
    """The specification of :func:`lightning_semrob.shapes.resolve_shapes` that gives this shape."""
    if isinstance(shape.source, int):
        return f"{shape.class_name}:{shape.source}"
    return f"{shape.source}={shape.class_name}"


def write_class_table(path: Path, classes: Sequence[str]) -> None:
    """The table that maps the training classes to the outputs of a trained network, for ``--data.class_table``."""
    lines = "".join(f"{name}: {index}\n" for index, name in enumerate(classes))
    write_text(path, lines)


def _digest(files: Iterable[Path], words: str) -> str:
    digest = hashlib.sha256(words.encode())
    for file in files:
        digest.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:8]


def compare(
    data: RenderedViews,
    network: str,
    weights: Mapping[str, Path],
    output: Path,
    judging: Judging,
    renderer: Mapping[str, Any],
    accelerator: str = "auto",
    progress: bool = True,
) -> Verdicts:
    """Judge state dicts of one architecture on the held-out shapes by an evaluation job.

    Args:
        data: set up.
        network: the name that was trained.
        weights: name of each run -> its state dict.
        output: folder; ``class_table.yaml`` and ``evaluation-<hash>/`` are written there, and a
            repeated call goes on.
        judging: budgets.
        renderer: class path and arguments of the renderer.
        accelerator, progress: as of a Trainer.
    """
    table = output / CLASS_TABLE_FILE
    write_class_table(table, data.classes)
    networks = {name: with_weights(network, path, len(data.classes)) for name, path in weights.items()}
    shapes = data.splits["held_out"]
    settings = {
        "networks": list(networks.values()),
        "shapes": [shape_specification(shape) for shape in shapes],
        "class_table": str(table),
        "space": {axis.name: [axis.low, axis.high] for axis in data.space},
        "initial_points": judging.initial_points,
        "renderer": dict(renderer),
        "micro_batch_size": 16,
    }
    model = {"finders": ["verified"], "verified_evaluations": judging.verified_evaluations}
    name = _digest(weights.values(), json.dumps([settings, model, data.seed], sort_keys=True))
    config = JobConfig(
        settings,
        model,
        data.seed,
        output / f"evaluation-{name}",
        accelerator=accelerator,
        progress=progress,
        trust={"max_evaluations": 0},
    )
    result = config.make().run()
    environment = held_out_environment(data, list(networks.values()), shapes, output, accelerator)
    statistics = view_statistics(environment, list(networks), data.clean_window, judging.views)
    found = result.summary.intervals["verified"]["verified"]
    runs = {}
    for k, (run, full) in enumerate(networks.items()):
        views = statistics[run]
        if data.real is not None:
            views = replace(views, accuracy_real=_real_accuracy(data, full))
        share = VerifiedShare(float(found.estimate[k]), float(found.low[k]), float(found.high[k]), found.shapes)
        runs[run] = JudgedRun(full, views, share)
    return Verdicts(runs, result)


def held_out_environment(
    data: RenderedViews, networks: Sequence[str], shapes: Sequence[ShapeSpec], output: Path, accelerator: str = "auto"
) -> SemanticEnvironment:
    """The environment of trained networks over some shapes, set up, with the class table in the folder ``output``."""
    space: dict[str, list[float] | None] = {axis.name: [axis.low, axis.high] for axis in data.space}
    words, table = [shape_specification(shape) for shape in shapes], str(output / CLASS_TABLE_FILE)
    made = SemanticEnvironment(list(networks), words, space, 1, data.renderer, class_table=table, seed=data.seed)
    made.device = device_of(accelerator)
    made.setup()
    return made


def view_statistics(
    environment: SemanticEnvironment, names: Sequence[str], clean: Tensor, views: int
) -> dict[str, ViewStatistics]:
    """Scores of each network of an environment on Sobol views of every shape, by the f that is evaluated.

    Args:
        environment: set up; its networks are called ``names``.
        clean: bounds of the clean views, (2, n).
        views: uniform and clean views of each shape.
    """
    space, (low, high) = environment.space, clean
    x = torch.quasirandom.SobolEngine(len(space), scramble=True, seed=environment.seed).draw(views, dtype=torch.float64)
    points = torch.cat([space.from_unit(x), low + x * (high - low)])[None]
    found: list[list[list[float]]] = [[] for _ in names]
    for shape in range(len(environment.shapes)):
        for number in range(len(names)):
            score, hit = (part[0] for part in environment.function(number, shape).scores_and_hits(points))
            parts = (score[:views].mean(), score[:views].amin(), hit[:views].mean(), hit[views:].mean())
            found[number].append([float(part) for part in parts])
    means = [torch.tensor(rows, dtype=torch.float64).mean(0).tolist() for rows in found]
    return {name: ViewStatistics(*values) for name, values in zip(names, means, strict=True)}


def shapes_to_map(shapes: Sequence[ShapeSpec], count: int) -> list[ShapeSpec]:
    """At most ``count`` shapes, each the first of its class, spread evenly over the classes."""
    firsts = list({shape.class_name: shape for shape in reversed(shapes)}.values())[::-1]
    return [firsts[k * len(firsts) // count] for k in range(count)] if count < len(firsts) else firsts


@torch.no_grad()
def _real_accuracy(data: RenderedViews, network: str) -> float:
    """Accuracy on the real images that were not trained on."""
    assert data.real is not None
    classifier = build_network(network)
    items = [data.real[k] for k in data.real_indices(held_out=True)]
    if not items:
        return float("nan")
    hits = [int(classifier(picture[None]).argmax()) == label for picture, label in items]
    return sum(hits) / len(hits)


def held_out_ratios(rows: Sequence[Run], networks: Mapping[str, str]) -> dict[str, Tensor]:
    """Verified volume ratio of each held-out shape, name of the run -> (S,), from the runs of an evaluation."""
    shapes = list(dict.fromkeys(row.shape for row in rows))
    result = {}
    for name, network in networks.items():
        own = [row for row in rows if row.network == network and row.method == "verified"]
        ratio = torch.tensor([row.ratio if row.verdict == "valid" else 0.0 for row in own], dtype=torch.float64)
        place = torch.tensor([shapes.index(row.shape) for row in own])
        result[name] = shape_means(ratio, place, len(shapes))
    return result
