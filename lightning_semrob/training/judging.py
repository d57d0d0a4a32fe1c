"""Trained networks judged on held-out shapes: verified volume by an evaluation job, scores and accuracies of views."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.job import JobConfig, JobResult
from lightning_semrob.evaluation.metrics import TrustedShare
from lightning_semrob.evaluation.records import Run
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.evaluation.summary import Summary
from lightning_semrob.functional.srvr import shape_means
from lightning_semrob.networks import build_network, with_weights
from lightning_semrob.shapes import ShapeSpec
from lightning_semrob.sharing.strategies import device_of
from lightning_semrob.training.data import RenderedViews
from lightning_semrob.training.dense import DenseViews, Gain, ViewStatistics, compare_shape_means, correct, look_at
from lightning_semrob.training.job import TrainingCost
from lightning_semrob.utilities.files import write_text
from lightning_semrob.utilities.record import Record

#: The classes of a training and their outputs, in its folder.
CLASS_TABLE_FILE = "class_table.yaml"


@dataclass(frozen=True)
class Judging:
    """How trained networks are judged.

    Args:
        initial_points: of each held-out shape, for the verified finder.
        verified_evaluations: budget of a run of the verified finder; None for its own.
        views: Sobol views of each held-out shape for scores and failures, and a quarter as many clean views.
        maps: held-out shapes, each of another class, whose maps of all runs are drawn side by side; 0 for none.
        trust_evaluations: largest number of evaluations of each trust map of a held-out shape; 8 a tile if None, 0 for
            no trust maps.
    """

    initial_points: int = 2
    verified_evaluations: int | None = 400
    views: int = 128
    maps: int = 6
    trust_evaluations: int | None = None

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


@dataclass(frozen=True, eq=False)
class VerifiedShare(Record):
    """Share of the space with its interval over shapes: verified SRVR, or the trusted or failing share."""

    estimate: float
    low: float
    high: float
    shapes: int


@dataclass(frozen=True, eq=False)
class Verdicts(Record):
    """What a training found, by name of the run; ``training.json`` has all fields but ``srvr``.

    Attributes:
        networks: names under which ``evaluate.py`` takes the trained networks.
        statistics: scores of views.
        verified, trusted, failing: shares of the space; the latter two are empty without trust maps.
        gains: of the last run over the first.
        evaluation: folder of the evaluation job, whose summary is ``srvr``.
        output: folder of the training.
        costs: of each run; ``seconds`` of everything.
    """

    networks: dict[str, str]
    statistics: dict[str, ViewStatistics]
    verified: dict[str, VerifiedShare]
    trusted: dict[str, VerifiedShare]
    failing: dict[str, VerifiedShare]
    gains: list[Gain]
    evaluation: str
    srvr: Summary
    output: str
    costs: dict[str, TrainingCost] = field(default_factory=dict)
    seconds: float = 0.0


def _gains(views: DenseViews, job: JobResult, networks: Mapping[str, str]) -> list[Gain]:
    """The last network minus the first, paired by shape and corrected for the number of measures."""
    names = list(networks)
    if len(names) < 2:
        return []
    pair = {name: networks[name] for name in (names[0], names[-1])}
    found = views.gains(names[0], names[-1])
    if job.trust_maps:
        shares = trusted_share(job, list(pair.values())).shares()
        for words, share in zip(("trusted share", "failing share"), shares, strict=True):
            found.append(compare_shape_means(words, share[0], share[1], views.classes))
    ratios = held_out_ratios(job.runs, pair)
    found.append(compare_shape_means("verified SRVR", ratios[names[0]], ratios[names[-1]], views.classes))
    return correct(found)


def trusted_share(job: JobResult, networks: Sequence[str]) -> TrustedShare:
    """The metric of some networks over the trust maps of a job; shapes in the order of its runs."""
    shapes = list(dict.fromkeys(run.shape for run in job.runs))
    names = list(dict.fromkeys(class_name for class_name, _ in shapes))
    metric = TrustedShare(len(networks), [names.index(class_name) for class_name, _ in shapes])
    own = [record for record in job.trust_maps if record.network in networks]
    place = [[networks.index(record.network) for record in own], [shapes.index(record.shape) for record in own]]
    shares = [[record.map.trusted_share for record in own], [record.map.failing_share for record in own]]
    metric.update(*torch.tensor(shares, dtype=torch.float64), *torch.tensor(place))
    return metric


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
    networks = network_names(data, network, weights)
    shapes = data.splits["held_out"]
    result = evaluation_job(data, network, weights, shapes, output, judging, renderer, accelerator, progress)
    environment = held_out_environment(data, list(networks.values()), shapes, output, accelerator)
    views = look_at(environment, list(networks), data.clean_window, judging.views)
    statistics = views.statistics()
    if data.real is not None:
        known = statistics.items()
        statistics = {run: replace(seen, accuracy_real=real_accuracy(data, networks[run])) for run, seen in known}
    found = result.summary.intervals["verified"]["verified"]
    verified = torch.stack([found.estimate, found.low, found.high], 1)
    maps: dict[str, Tensor] = {}
    if result.trust_maps:
        maps = trusted_share(result, list(networks.values())).intervals()
    trusted, failing = (_shares(networks, maps[name], len(shapes)) if maps else {} for name in ("trusted", "failing"))
    return Verdicts(
        networks,
        statistics,
        _shares(networks, verified, found.shapes),
        trusted,
        failing,
        _gains(views, result, networks),
        str(result.output),
        result.summary,
        str(output),
    )


def _shares(runs: Iterable[str], table: Tensor, shapes: int) -> dict[str, VerifiedShare]:
    """Of each run, from its row of (N, 3) estimates and ends of intervals."""
    ends = zip(runs, table.tolist(), strict=True)
    return {run: VerifiedShare(estimate, low, high, shapes) for run, (estimate, low, high) in ends}


def network_names(data: RenderedViews, network: str, weights: Mapping[str, Path]) -> dict[str, str]:
    """Name of each run -> the name under which its state dict is evaluated."""
    return {name: with_weights(network, path, len(data.classes)) for name, path in weights.items()}


def evaluation_job(
    data: RenderedViews,
    network: str,
    weights: Mapping[str, Path],
    shapes: Sequence[ShapeSpec],
    output: Path,
    judging: Judging,
    renderer: Mapping[str, Any],
    accelerator: str = "auto",
    progress: bool = True,
) -> JobResult:
    """Verified regions and trust maps of trained networks on some shapes, in ``output/evaluation-<hash>``.

    Args:
        data, network, weights: as of :func:`compare`.
        shapes: what is looked at.
        output, judging, renderer, accelerator, progress: as of :func:`compare`.
    """
    table = output / CLASS_TABLE_FILE
    write_class_table(table, data.classes)
    settings = {
        "networks": list(network_names(data, network, weights).values()),
        "shapes": [shape_specification(shape) for shape in shapes],
        "class_table": str(table),
        "space": {axis.name: [axis.low, axis.high] for axis in data.space},
        "initial_points": judging.initial_points,
        "renderer": dict(renderer),
        "micro_batch_size": 16,
    }
    trust = {"max_evaluations": judging.trust_evaluations}
    model = {"finders": ["verified"], "verified_evaluations": judging.verified_evaluations}
    name = _digest(weights.values(), json.dumps([settings, model, trust, data.seed], sort_keys=True))
    config = JobConfig(
        settings,
        model,
        data.seed,
        output / f"evaluation-{name}",
        accelerator=accelerator,
        progress=progress,
        trust=trust,
    )
    return config.make().run()


def held_out_environment(
    data: RenderedViews, networks: Sequence[str], shapes: Sequence[ShapeSpec], output: Path, accelerator: str = "auto"
) -> SemanticEnvironment:
    """The environment of trained networks over some shapes, set up, with the class table in the folder ``output``."""
    space: dict[str, list[float] | None] = {axis.name: [axis.low, axis.high] for axis in data.space}
    words, table = [shape_specification(shape) for shape in shapes], str(output / CLASS_TABLE_FILE)
    made = SemanticEnvironment(
        list(networks), words, space, 1, data.renderer, micro_batch_size=32, class_table=table, seed=data.seed
    )
    made.device = device_of(accelerator)
    made.setup()
    return made


def shapes_to_map(shapes: Sequence[ShapeSpec], count: int) -> list[ShapeSpec]:
    """At most ``count`` shapes, each the first of its class, spread evenly over the classes."""
    firsts = list({shape.class_name: shape for shape in reversed(shapes)}.values())[::-1]
    return [firsts[k * len(firsts) // count] for k in range(count)] if count < len(firsts) else firsts


@torch.no_grad()
def real_accuracy(data: RenderedViews, network: str) -> float:
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
