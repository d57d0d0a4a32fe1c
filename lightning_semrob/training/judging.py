"""Before and after: trained networks judged by the evaluate path on held-out shapes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.finders.verified.budget import too_few_evaluations
from lightning_semrob.functional.srvr import MINIMUM_SHAPES, shape_means
from lightning_semrob.functions import RenderedFunction
from lightning_semrob.networks import build_network, with_weights
from lightning_semrob.report.page.training import write_training_report
from lightning_semrob.report.tables import Table, format_comparisons, format_table
from lightning_semrob.shapes import ShapeSpec
from lightning_semrob.shapes.classes import CLASS_TABLE
from lightning_semrob.sharing.strategies import device_of
from lightning_semrob.training.data import RenderedViews
from lightning_semrob.utilities.files import write_text
from lightning_semrob.utilities.messages import percent

__all__ = [
    "Judging",
    "compare",
    "format_training_table",
    "format_verdicts",
    "held_out_ratios",
    "report_training",
    "shape_specification",
    "training_table",
    "view_statistics",
    "write_class_table",
]

_TABLE_FILE = "class_table.yaml"


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
        """One sentence where no box of n axes can be verified with so few evaluations; None otherwise."""
        (finder,) = FinderSuite(["verified"], verified_evaluations=self.verified_evaluations)
        return too_few_evaluations("judging.verified_evaluations", finder.search, n)


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


@contextlib.contextmanager
def _own_classes() -> Iterator[None]:
    """Restores the class table, which an evaluation with a table of its own changes."""
    before = dict(CLASS_TABLE)
    try:
        yield
    finally:
        CLASS_TABLE.clear()
        CLASS_TABLE.update(before)


def compare(
    data: RenderedViews,
    network: str,
    weights: Mapping[str, Path],
    output: Path,
    judging: Judging,
    renderer: Mapping[str, Any],
    accelerator: str = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """Judge state dicts of one architecture on the held-out shapes, by what ``evaluate.py`` does.

    Args:
        data: set up.
        network: the name that was trained.
        weights: name of each run -> its state dict.
        output: folder; ``class_table.yaml`` and ``evaluation-<hash>/`` are written there, and a
            repeated call goes on.
        judging: budgets.
        renderer: class path and arguments of the renderer.
        accelerator, progress: as of a Trainer.

    Returns:
        ``networks`` (name of each run -> name for ``evaluate.py``), ``srvr`` (the summary of the evaluation),
        ``statistics`` (run -> mean and worst score over the space, accuracies over the space, on clean views and on
        held-out real images), ``verified`` (run -> verified SRVR with its interval over shapes), ``evaluation`` (the
        folder of the evaluation).
    """
    table = output / _TABLE_FILE
    write_class_table(table, data.classes)
    networks = {name: with_weights(network, path, len(data.classes)) for name, path in weights.items()}
    shapes = [shape_specification(shape) for shape in data.splits["held_out"]]
    space: dict[str, list[float] | None] = {axis.name: [axis.low, axis.high] for axis in data.space}
    arguments: dict[str, Any] = {
        "data.networks": list(networks.values()),
        "data.shapes": shapes,
        "data.class_table": str(table),
        "data.space": space,
        "data.initial_points": judging.initial_points,
        "data.renderer": dict(renderer),
        "data.micro_batch_size": 16,
        "model.finders": ["verified"],
        "model.verified_evaluations": judging.verified_evaluations,
        "report_grid": [],
        "trainer.accelerator": accelerator,
        "trainer.enable_progress_bar": progress,
        "seed_everything": data.seed,
    }
    evaluation = output / f"evaluation-{_digest(weights.values(), json.dumps(arguments, sort_keys=True))}"
    arguments["output"] = str(evaluation)
    words = [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in arguments.items()]
    with _own_classes():
        # Its tables are kept beside its rows; what a training needs of them is printed by format_training_table.
        with contextlib.redirect_stdout(io.StringIO()) as said:
            summary = evaluate(words)
        write_text(evaluation / "tables.txt", said.getvalue())

        environment = _environment(data, networks, data.splits["held_out"], table, accelerator)
        statistics = view_statistics(environment, list(networks), data.clean_window, judging.views)
    if data.real is not None:
        for name, full in networks.items():
            statistics[name]["accuracy_real"] = _real_accuracy(data, full)
    return {
        "networks": networks,
        "srvr": summary,
        "statistics": statistics,
        "verified": _verified(summary, list(networks)),
        "evaluation": str(evaluation),
    }


def _environment(
    data: RenderedViews, networks: Mapping[str, str], shapes: Sequence[ShapeSpec], table: Path, accelerator: str
) -> SemanticEnvironment:
    words = [shape_specification(shape) for shape in shapes]
    space: dict[str, list[float] | None] = {axis.name: [axis.low, axis.high] for axis in data.space}
    made = SemanticEnvironment(
        list(networks.values()), words, space, 1, data.renderer, class_table=str(table), seed=data.seed
    )
    made.device = device_of(accelerator)
    made.setup()
    return made


def report_training(
    data: RenderedViews,
    result: Mapping[str, Any],
    costs: Mapping[str, Mapping[str, Any]],
    output: Path,
    maps: int,
    accelerator: str = "auto",
) -> Path | None:
    """Maps of ``maps`` held-out shapes, each of another class, and the page of the training, in its folder.

    Args:
        data: set up.
        result: of :func:`compare`, with the same folder.
        costs: as of :func:`training_table`.
        output: folder of the training.
        maps: number of shapes; with 0 nothing is written.
        accelerator: as of a Trainer.

    Returns:
        The path of the page; None where there is none.
    """
    if not maps:
        return None
    networks = result["networks"]
    with _own_classes():
        shapes = _of_other_classes(data.splits["held_out"], maps)
        environment = _environment(data, networks, shapes, output / _TABLE_FILE, accelerator)
        table, findings = training_table(result, costs), format_verdicts(result).splitlines()
        evaluation = Path(result["evaluation"])
        return write_training_report(environment, output, evaluation, table, findings, list(networks))


def _verified(summary: Mapping[str, Any], names: Sequence[str]) -> dict[str, dict[str, float]]:
    found = summary["intervals"]["verified"]["verified"]
    return {
        name: {key: float(found[key][k]) for key in ("estimate", "low", "high")} | {"shapes": found["shapes"]}
        for k, name in enumerate(names)
    }


def view_statistics(
    environment: SemanticEnvironment, names: Sequence[str], clean: Tensor, views: int
) -> dict[str, dict[str, float]]:
    """What the networks make of Sobol views of every shape, by the f that is evaluated.

    Args:
        environment: set up; its networks are called ``names``.
        clean: bounds of the clean views, (2, n).
        views: uniform and clean views of each shape.

    Returns:
        name -> ``score`` (mean of f over the space and the shapes), ``worst_score`` (mean over the shapes of the
        smallest f), ``accuracy`` over the space and ``accuracy_clean``.
    """
    space, (low, high) = environment.space, clean
    x = torch.quasirandom.SobolEngine(len(space), scramble=True, seed=environment.seed).draw(views, dtype=torch.float64)
    points = torch.cat([space.from_unit(x), low + x * (high - low)])[None]
    found: list[list[list[float]]] = [[] for _ in names]
    for shape in range(len(environment.shapes)):
        for number in range(len(names)):
            f = environment.function(number, shape)
            assert isinstance(f, RenderedFunction)
            score = f(points)[0]
            hit = f.top1_of(points)[0]
            parts = (score[:views].mean(), score[:views].amin(), hit[:views].mean(), hit[views:].mean())
            found[number].append([float(part) for part in parts])
    keys = ("score", "worst_score", "accuracy", "accuracy_clean")
    means = [torch.tensor(rows, dtype=torch.float64).mean(0).tolist() for rows in found]
    return {name: dict(zip(keys, values, strict=True)) for name, values in zip(names, means, strict=True)}


def _of_other_classes(shapes: Sequence[ShapeSpec], count: int) -> list[ShapeSpec]:
    """At most ``count`` shapes, each the first of its class, evenly over the classes."""
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


def held_out_ratios(evaluation: Path, networks: Mapping[str, str]) -> dict[str, Tensor]:
    """Verified volume ratio of each held-out shape, name of the run -> (S,), from an evaluation's table of runs."""
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(evaluation / "runs.parquet").to_pylist()
    shapes = list(dict.fromkeys((row["class_name"], row["shape_id"]) for row in rows))
    result = {}
    for name, network in networks.items():
        own = [row for row in rows if row["network"] == network and row["method"] == "verified"]
        ratio = torch.tensor([row["ratio"] if row["verdict"] == "valid" else 0.0 for row in own], dtype=torch.float64)
        place = torch.tensor([shapes.index((row["class_name"], row["shape_id"])) for row in own])
        result[name] = shape_means(ratio, place, len(shapes))
    return result


def training_table(result: Mapping[str, Any], costs: Mapping[str, Mapping[str, Any]]) -> Table:
    """One line a run: what it spent, and how it does on held-out shapes; percent.

    Args:
        result: of :func:`compare`.
        costs: run -> ``rendered``, ``finder_images``, ``steps``.
    """
    real = any("accuracy_real" in values for values in result["statistics"].values())
    columns = ["views", "images", "of the finder", "steps", "verified SRVR", "mean score", "worst score"]
    columns += ["accuracy", "clean accuracy", *(["real accuracy"] if real else [])]
    lines = []
    for name, values in result["statistics"].items():
        cost, verified = costs[name], result["verified"][name]
        line = [name, str(cost["rendered"]), str(cost["finder_images"]), str(cost["steps"])]
        interval = f" [{percent(verified['low'], 1)}, {percent(verified['high'], 1)}]"
        line.append(percent(verified["estimate"], 1) + (interval if verified["shapes"] >= MINIMUM_SHAPES else ""))
        line += [percent(values[key], 1) for key in ("score", "worst_score", "accuracy", "accuracy_clean")]
        if real:
            line.append(percent(values["accuracy_real"], 1))
        lines.append(line)
    return columns, lines


def format_training_table(result: Mapping[str, Any], costs: Mapping[str, Mapping[str, Any]]) -> str:
    """:func:`training_table` as text."""
    return format_table(*training_table(result, costs), left=1)


def format_verdicts(result: Mapping[str, Any]) -> str:
    """Which run is more robust by verified volume, in the words of ``evaluate.py``, with the names of the runs."""
    text = format_comparisons(result["srvr"])
    for name, full in result["networks"].items():
        text = text.replace(full, name)
    return text
