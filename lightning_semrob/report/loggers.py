"""Logs a job to W&B, TensorBoard or CSV; W&B also gets a table of runs, and W&B and TensorBoard the maps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from torch import Tensor

from lightning_semrob.evaluation.records import Run
from lightning_semrob.evaluation.run_table import volume_ratios
from lightning_semrob.evaluation.summary import Summary
from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.report.figures import plot_map
from lightning_semrob.report.tables import format_srvr_table, format_verified_table
from lightning_semrob.sharing.rounds import UpdateCallback
from lightning_semrob.space import Box
from lightning_semrob.utilities.distributed import all_gather

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lightning_semrob.evaluation.environment import SemanticEnvironment
    from lightning_semrob.maps import SemanticMaps
    from lightning_semrob.sharing.work import TaskBatch

#: Finder, network, class.
Group = tuple[str, str, str]

#: Columns of the table of runs that a dashboard shows, beside bounds and worst point.
_COLUMNS = (
    "network", "class_name", "shape_id", "point", "method", "status", "verdict", "ratio", "mean_low", "variance_high",
    "worst_score", "top1_rate", "steps", "evaluations", "gradient_evaluations",
)  # fmt: skip
_THUMBNAIL = 96
_NOTHING = torch.zeros(6, dtype=torch.float64)


class RunCurves:
    """Sums over runs at every step of their finder: volume ratio, loss, running runs and evaluations spent.

    A run that has ended counts with its last volume, loss and cost at all later steps, so that all means are over the
    same runs. Sums of several processes add up.
    """

    def __init__(self) -> None:
        # group -> step -> sums of (volume ratio, loss, runs with a loss, running, evaluations, runs)
        self.running: dict[Group, dict[int, Tensor]] = defaultdict(dict)
        self.ended: dict[Group, dict[int, Tensor]] = defaultdict(dict)

    def add(self, group: Group, step: int, ratio: float, loss: float, evaluations: int, ended: bool) -> None:
        """One run after its update number ``step``."""
        known = loss == loss
        values = [ratio if ratio == ratio else 0.0, loss if known else 0.0, known, not ended, evaluations, 1]
        for table in (self.running, self.ended)[: 1 + ended]:
            table[group][step] = table[group].get(step, _NOTHING) + torch.tensor(values, dtype=torch.float64)

    def merge(self, others: Sequence[RunCurves]) -> RunCurves:
        """The sum over processes."""
        total = RunCurves()
        for curves in (self, *others):
            for mine, theirs in ((total.running, curves.running), (total.ended, curves.ended)):
                for group, steps in theirs.items():
                    for step, values in steps.items():
                        mine[group][step] = mine[group].get(step, _NOTHING) + values
        return total

    def rows(self) -> list[tuple[int, dict[str, float]]]:
        """(step, metrics) in the order of the steps: mean volume ratio and loss, running runs, evaluations so far."""
        last = max((max(steps) for steps in self.running.values()), default=0)
        metrics: list[dict[str, float]] = [{} for _ in range(last)]
        labels = labels_by_name(sorted({network for _, network, _ in self.running}))
        for (finder, network, class_name), steps in sorted(self.running.items()):
            name = f"{labels[network]} {class_name}"
            kept = _NOTHING
            for step in range(1, last + 1):
                ratio, loss, losses, running, evaluations, runs = (kept + steps.get(step, _NOTHING)).tolist()
                if runs:
                    row = metrics[step - 1]
                    row[f"{finder} volume/{name}"] = ratio / runs
                    row[f"{finder} active runs/{name}"] = running
                    row[f"{finder} evaluations/{name}"] = evaluations
                    if losses:
                        row[f"{finder} loss/{name}"] = loss / losses
                kept = kept + self.ended.get((finder, network, class_name), {}).get(step, _NOTHING)
        return [(step, row) for step, row in enumerate(metrics, 1) if row]


class Dashboard(UpdateCallback):
    """Logs curves, runs, maps and SRVR to every logger of the Trainer, from the first process only.

    Curves are logged after growing, one point a step of the finders. Runs restored from an earlier start have none.
    """

    def __init__(self) -> None:
        self.curves = RunCurves()
        self._before: dict[int, Tensor] = {}

    def on_update_start(self, trainer: pl.Trainer, module: Any, batch: TaskBatch) -> None:
        self._before = {number: finder.steps[batch.rows].cpu().clone() for number, finder in enumerate(module)}

    def on_update_end(self, trainer: pl.Trainer, module: Any, batch: TaskBatch) -> None:
        environment: SemanticEnvironment = trainer.datamodule  # type: ignore[attr-defined]
        network, class_name = environment.networks[batch.network], environment.shapes[batch.shape].class_name
        for number, finder in enumerate(module):
            rows = batch.rows[finder.steps[batch.rows].cpu() != self._before[number]]
            ratios = volume_ratios(finder, rows, environment)["intersected"]
            for row, ratio in zip(rows.tolist(), ratios.tolist(), strict=True):
                self.curves.add(
                    (finder.name, network, class_name),
                    int(finder.steps[row]),
                    ratio,
                    float(finder.loss[row]),
                    int(finder.evaluations[row]),
                    bool(finder.code[row] != 0),
                )

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Log the curves of all processes, one point a step."""
        parts = all_gather(self.curves)
        if trainer.is_global_zero:
            self.curves = parts[0].merge(parts[1:])
            for step, metrics in self.curves.rows():
                for logger in trainer.loggers:
                    logger.log_metrics(metrics, step=step)

    def finish(
        self,
        trainer: pl.Trainer,
        rows: Sequence[Run],
        summary: Summary,
        settings: Mapping[str, Any],
        maps: SemanticMaps | None,
    ) -> None:
        """Log SRVR with its interval, the settings, the table of runs and the maps (of two axes) with their boxes.

        The Trainer has the environment as datamodule; call it on the first process only.
        """
        environment: SemanticEnvironment = trainer.datamodule  # type: ignore[attr-defined]
        final = summary_metrics(summary)
        last = max((step for step, _ in self.curves.rows()), default=0) + 1
        for logger in trainer.loggers:
            logger.log_hyperparams(dict(settings))
            logger.log_metrics(final, step=last)
            if isinstance(logger, WandbLogger):
                _log_to_wandb(logger, environment, rows, final, maps)
            elif isinstance(logger, TensorBoardLogger):
                _log_to_tensorboard(logger, environment, rows, summary, maps)
            logger.save()


def summary_metrics(summary: Summary) -> dict[str, float]:
    """``srvr/<network>/<method>``, ``verified_srvr/…`` and the shares of trust maps, percent of the space; no NaN.

    The shares are ``trusted_share/<network>``, ``failing_share/…`` and ``top1_share/…`` (right answers). All have
    ``_low`` and ``_high``.
    """
    result: dict[str, float] = {}
    labels = labels_by_name(summary.networks)
    for volume, prefix in (("intersected", "srvr"), ("verified", "verified_srvr")):
        for method, found in summary.intervals[volume].items():
            for number, label in enumerate(labels.values()):
                for ends, suffix in ((found.estimate, ""), (found.low, "_low"), (found.high, "_high")):
                    value = 100 * float(ends[number])
                    if value == value:
                        result[f"{prefix}{suffix}/{label}/{method}"] = value
    for line in summary.trust.networks if summary.trust else []:
        for share in ("trusted", "failing", "top1"):
            for end, suffix in zip(getattr(line, share)[:3], ("", "_low", "_high"), strict=True):
                if end == end:
                    result[f"{share}_share{suffix}/{labels[line.network]}"] = 100 * float(end)
    for column, costs in summary.cost.items():
        result[f"cost/{column}"] = float(sum(costs.values()))
    return result


def _boxes_of(
    rows: Sequence[Run], network: str, shape: tuple[str, str], names: Sequence[str]
) -> tuple[dict[str, Box], Tensor]:
    """Method -> boxes over the axes ``names`` of one network and shape (class, id), and the initial points (K, 2)."""
    boxes: dict[str, Box] = {}
    chosen = [row for row in rows if row.network == network and row.shape == shape]
    for method in dict.fromkeys(row.method for row in chosen):
        own = [row for row in chosen if row.method == method]
        a, b = (
            torch.tensor([[side[name] for name in names] for side in sides])
            for sides in ([run.a for run in own], [run.b for run in own])
        )
        boxes[method] = Box(a.double(), b.double())
    points = {row.point: [row.u0[name] for name in names] for row in chosen}
    return boxes, torch.tensor(list(points.values())).view(-1, len(names))


def draw_figures(rows: Sequence[Run], maps: SemanticMaps | None, most: int = 12) -> dict[str, Figure]:
    """Caption -> figure of the first maps, with the boxes of all methods."""
    figures: dict[str, Figure] = {}
    if maps is None or len(maps.axes) != 2:
        return figures
    for n, (network, label) in enumerate(labels_by_name(maps.networks).items()):
        for s, (class_name, shape_id) in enumerate(zip(maps.class_names, maps.shapes, strict=True)):
            if len(figures) < most:
                boxes, points = _boxes_of(rows, network, (class_name, shape_id), maps.axes.names)
                shape = shape_id if class_name in shape_id else f"{class_name}: {shape_id}"
                title = f"{label}, {shape}"
                figures[title] = plot_map(maps.scores[n, s], maps.axes, boxes=boxes, points=points, title=title)
    return figures


def _log_to_wandb(
    logger: WandbLogger, environment: SemanticEnvironment, rows: Sequence[Run], final: Mapping[str, float],
    maps: SemanticMaps | None,
) -> None:  # fmt: skip
    import wandb

    names = environment.space.names
    columns = [*_COLUMNS, *(f"{side}_{name}" for name in names for side in ("a", "b")), "worst view"]
    thumbnails = worst_views(environment, rows)
    data = [
        [*(row.columns().get(column) for column in columns[:-1]), None if image is None else wandb.Image(image)]
        for row, image in zip(rows, thumbnails, strict=True)
    ]
    logger.log_table("runs", columns=columns, data=data)
    figures = draw_figures(rows, maps)
    if figures:
        logger.log_image("maps", list(figures.values()), caption=list(figures))
    for name, value in final.items():
        logger.experiment.summary[name] = value


def _log_to_tensorboard(
    logger: TensorBoardLogger, environment: SemanticEnvironment, rows: Sequence[Run], summary: Summary,
    maps: SemanticMaps | None,
) -> None:  # fmt: skip
    writer: Any = logger.experiment
    for title, text in (("SRVR", format_srvr_table(summary)), ("verified SRVR", format_verified_table(summary))):
        writer.add_text(title, f"<pre>{text}</pre>")
    for caption, figure in draw_figures(rows, maps).items():
        writer.add_figure(f"maps/{caption}", figure)


def worst_views(environment: SemanticEnvironment, rows: Sequence[Run], most: int = 200) -> list[Any]:
    """A thumbnail (H, W, 3) uint8 of the worst sampled view of each run, None where no view was sampled.

    Only the first ``most`` runs get one, so that the table stays small.
    """
    names = environment.space.names
    by_shape: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows[:most]):
        if all(row.judgement.worst.get(name) is not None for name in names):
            by_shape.setdefault(row.shape, []).append(number)
    result: list[Any] = [None] * len(rows)
    numbers = {(shape.class_name, shape.shape_id): number for number, shape in enumerate(environment.shapes)}
    for shape, chosen in by_shape.items():
        u = torch.tensor([[rows[number].judgement.worst[name] for name in names] for number in chosen])
        with torch.no_grad():
            images = environment.pictures(environment.mesh(numbers[shape]), u.to(environment.device), names)
        small = torch.nn.functional.interpolate(images.cpu(), (_THUMBNAIL, _THUMBNAIL), mode="area")
        for number, image in zip(chosen, (small * 255).round().byte().permute(0, 2, 3, 1).numpy(), strict=True):
            result[number] = image
    return result
