"""Several finders over the same tasks in one Trainer loop, sharing renderings and network calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_semrob.finders.base import STATUSES, RegionFinder, merge_rows
from lightning_semrob.finders.modes import INVALID_SCORE, NOT_MEASURED
from lightning_semrob.finders.naive import NaiveFinder
from lightning_semrob.finders.oir import OIRBlackBoxFinder, OIRWhiteBoxFinder
from lightning_semrob.finders.trapezoid import TrapezoidFinder
from lightning_semrob.metrics import SRVR
from lightning_semrob.results import NOT_VERIFIED, run_key

if TYPE_CHECKING:
    from lightning_semrob.environment import SemanticEnvironment, TaskBatch

__all__ = ["FINDERS", "PAPER_METHODS", "FinderSuite", "update_together"]

#: The methods whose mean the paper's Table 2 reports.
PAPER_METHODS = ("naive", "oir_b", "oir_w")

#: Finders by the name that configurations use.
FINDERS: dict[str, type[RegionFinder]] = {
    finder.name: finder for finder in (NaiveFinder, TrapezoidFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder)
}


def update_together(
    finders: Sequence[RegionFinder], optimizers: Sequence[Any], batch: TaskBatch, environment: SemanticEnvironment
) -> None:
    """One update of the running rows of a batch in every finder, with one call of f for all that need values only
    and one for all that need gradients.

    A shape that cannot be loaded ends its rows as ``not_measured``; the job goes on.
    """
    pairs = zip(finders, optimizers, strict=True)
    running = [(finder, optimizer, finder.active(batch.rows)) for finder, optimizer in pairs]
    running = [item for item in running if len(item[2])]
    if not running:
        return
    try:
        environment.mesh(batch.shape)
    except (ValueError, OSError) as error:
        environment.report_failure(batch.shape, error)
        for finder, _, rows in running:
            finder.code[rows] = NOT_MEASURED
        return
    f = environment.function(batch.network, batch.shape)
    for wants_gradient in (False, True):
        group = [item for item in running if item[0].needs_gradient == wants_gradient]
        if not group:
            continue
        points = [finder.request(rows) for finder, _, rows in group]
        flat = torch.cat([p.flatten(0, 1) for p in points])[None]
        values, gradients = f.value_and_grad(flat) if wants_gradient else (f(flat), None)
        sizes = [p.shape[0] * p.shape[1] for p in points]
        parts = values[0].split(sizes)
        slopes = [None] * len(parts) if gradients is None else gradients[0].split(sizes)
        for (finder, optimizer, rows), place, value, slope in zip(group, points, parts, slopes, strict=True):
            value = value.view(place.shape[:2])
            slope = None if slope is None else slope.view(place.shape)
            if finder.adversarial:  # Eq. 4: the same finder on 1 - f
                value, slope = 1 - value, None if slope is None else -slope
            finder.apply_update(rows, value, slope, optimizer)


def _number(value: Tensor) -> float | None:
    """A float for a table of results, None for NaN (not measured, not defined)."""
    return None if bool(value.isnan()) else float(value)


def volume_ratios(finder: RegionFinder, rows: Tensor) -> dict[str, Tensor]:
    """``intersected`` and ``raw`` (the paper's capped) volume over the volume of the space, each (R,) float64.

    NaN for runs that were not measured or met an invalid score.
    """
    assert finder.space is not None
    a, b, code = finder.a.detach()[rows].cpu(), finder.b.detach()[rows].cpu(), finder.code[rows].cpu()
    measured = code != NOT_MEASURED
    if finder.mode != "paper":  # there a bound that left the real numbers is a result: the whole space, as published
        measured &= code != INVALID_SCORE
    nan = torch.full((len(rows),), torch.nan, dtype=torch.float64)
    volumes = {"intersected": finder.space.intersected_volume(a, b), "raw": finder.space.raw_volume(a, b)}
    return {name: torch.where(measured, volume / finder.space.volume, nan) for name, volume in volumes.items()}


class FinderSuite(pl.LightningModule):
    """Runs several finders over all tasks of a :class:`~lightning_semrob.environment.SemanticEnvironment`.

    Args:
        finders: names of ``FINDERS``, or finders; names are made with the arguments below.
        mode: ``default`` or ``paper``, see :class:`~lightning_semrob.finders.base.RegionFinder`.
        num_iterations: largest number of updates of a run; the mode's default if None.
        adversarial: grow regions in which the network fails (1 - f).
    """

    def __init__(
        self,
        finders: Sequence[str | RegionFinder] = ("naive", "oir_b", "oir_w"),
        mode: str = "default",
        num_iterations: int | None = None,
        adversarial: bool = False,
    ) -> None:
        super().__init__()
        if not finders:
            raise ValueError(f"model.finders is empty: name at least one of {sorted(FINDERS)}")
        made: list[RegionFinder] = []
        for finder in finders:
            if isinstance(finder, RegionFinder):
                made.append(finder)
                continue
            if finder not in FINDERS:
                near = get_close_matches(finder, FINDERS, n=1)
                hint = f", did you mean '{near[0]}'?" if near else ""
                raise ValueError(f"unknown finder '{finder}'{hint} Known: {sorted(FINDERS)}")
            made.append(FINDERS[finder](mode=mode, num_iterations=num_iterations, adversarial=adversarial))
        names = [finder.name for finder in made]
        if len(set(names)) != len(names):
            raise ValueError(f"every finder of a suite needs a name of its own, got {names}")
        self.finders = nn.ModuleList(made)
        self.srvr: nn.ModuleDict | None = None
        self.automatic_optimization = False

    def __iter__(self) -> Any:
        return iter(self.finders)

    @property
    def names(self) -> list[str]:
        """Names of the finders, in order."""
        return [finder.name for finder in self]

    def setup(self, stage: str) -> None:
        """Give every finder the tasks of the environment."""
        self.prepare(self.trainer.datamodule)  # type: ignore[attr-defined]

    def prepare(self, environment: SemanticEnvironment) -> None:
        """Make the tables of tasks and the metrics, once; refuse a missing gradient before any work."""
        for finder in self:
            if finder.needs_gradient and not environment.differentiable:
                raise ValueError(
                    f"finder '{finder.name}' needs gradients, and f has none with this renderer, score or space: "
                    "leave it out of model.finders or use a differentiable score and axes"
                )
            if finder.space is None:
                finder.start(environment.u0, environment.space)
        sizes = (len(environment.networks), len(environment.class_names))
        if self.srvr is None:
            self.srvr = nn.ModuleDict(
                {
                    volume: nn.ModuleDict(
                        {"mean": SRVR(*sizes, num_methods=len(PAPER_METHODS))}
                        | {name: SRVR(*sizes, num_methods=1) for name in self.names}
                    )
                    for volume in ("intersected", "raw")
                }
            )

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer a finder."""
        return [finder.configure_optimizers() for finder in self]

    def active(self, rows: Tensor) -> Tensor:
        """Rows in which at least one finder still runs."""
        running = torch.zeros(len(rows), dtype=torch.bool)
        for finder in self:
            running |= (finder.code[rows.to(finder.code.device)] == 0).cpu()
        return rows[running]

    def training_step(self, batch: TaskBatch, batch_idx: int) -> None:
        """One update of the running rows of a batch in every finder."""
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        update_together(list(self), optimizers, batch, self.trainer.datamodule)  # type: ignore[attr-defined]

    def on_train_epoch_end(self) -> None:
        """Merge the rows of all processes."""
        for finder in self:
            merge_rows(finder, self.trainer.datamodule.owned_rows(finder.a.device))  # type: ignore[attr-defined]

    def test_step(self, batch: TaskBatch, batch_idx: int) -> None:
        """Feed the volumes of a group of this process to the metrics."""
        environment: SemanticEnvironment = self.trainer.datamodule  # type: ignore[attr-defined]
        assert self.srvr is not None
        if not len(batch.rows):
            return
        for finder in self:
            ratios = volume_ratios(finder, batch.rows)
            network = torch.full((len(batch.rows),), batch.network)
            class_index = torch.full_like(network, environment.class_of(batch.shape))
            for volume, ratio in ratios.items():
                metrics: Any = self.srvr[volume]
                metrics[finder.name].update(ratio, network, class_index, torch.zeros_like(network))
                if finder.name in PAPER_METHODS:
                    method = torch.full_like(network, PAPER_METHODS.index(finder.name))
                    metrics["mean"].update(ratio, network, class_index, method)

    def on_test_epoch_end(self) -> None:
        """SRVR over all processes, kept in ``srvr_values`` and logged: volume -> method -> (networks, classes)."""
        assert self.srvr is not None
        environment: SemanticEnvironment = self.trainer.datamodule  # type: ignore[attr-defined]
        sizes = (len(environment.networks), len(environment.class_names))
        self.srvr_values: dict[str, dict[str, Tensor]] = {}
        metrics: Any
        for volume, metrics in self.srvr.items():
            # torchmetrics squeezes a result with one element.
            self.srvr_values[volume] = {name: metric.compute().cpu().view(sizes) for name, metric in metrics.items()}
        for number, network in enumerate(environment.networks):
            for name, values in self.srvr_values["intersected"].items():
                self.log(f"srvr/{network}/{name}", values[number].nanmean(), rank_zero_only=True)

    def row(self, environment: SemanticEnvironment, number: int, row: int) -> dict[str, Any]:
        """The result of finder ``number`` for a row of the task table, as in :func:`run_schema`."""
        finder: RegionFinder = self.finders[number]  # type: ignore[assignment]
        shape, network, point = environment.describe(row)
        spec = environment.shapes[shape]
        ratios = volume_ratios(finder, torch.tensor([row]))
        names = environment.space.names
        result: dict[str, Any] = {
            "network": environment.networks[network],
            "class_name": spec.class_name,
            "shape_id": spec.shape_id,
            "point": point,
            "method": finder.name,
            "target": ",".join(str(index) for index in spec.target),
        }
        for side, bound in (("u0", finder.u0), ("a", finder.a), ("b", finder.b)):
            result |= {f"{side}_{name}": value for name, value in zip(names, bound[row].tolist(), strict=True)}
        ratio = _number(ratios["intersected"][0])
        return result | {
            "volume": None if ratio is None else ratio * environment.space.volume,
            "ratio": ratio,
            "raw_ratio": _number(ratios["raw"][0]),
            "status": STATUSES[int(finder.code[row])],
            "steps": int(finder.steps[row]),
            "evaluations": int(finder.evaluations[row]),
            "gradient_evaluations": int(finder.gradient_evaluations[row]),
            "loss": _number(finder.loss[row]),
            "micro_batch_size": environment.micro_batch_size,
            "verdict": NOT_VERIFIED,
        }

    @torch.no_grad()
    def restore(self, environment: SemanticEnvironment, rows: Sequence[Mapping[str, Any]]) -> int:
        """Take finished runs of an earlier start over; returns how many. Call it after :meth:`prepare`."""
        known = {run_key(row): row for row in rows}
        taken = 0
        for number, finder in enumerate(self):
            for row in range(len(environment)):
                old = known.get(run_key(self.row(environment, number, row)))
                if old is None:
                    continue
                for side, bound in (("a", finder.a), ("b", finder.b)):
                    values = [old[f"{side}_{name}"] for name in environment.space.names]
                    bound[row] = torch.tensor(values, dtype=torch.float64)
                finder.code[row] = STATUSES.index(old["status"])
                finder.loss[row] = torch.nan if old["loss"] is None else old["loss"]
                for name in ("steps", "evaluations", "gradient_evaluations"):
                    getattr(finder, name)[row] = old[name]
                taken += 1
        return taken

    def counts(self) -> dict[str, int]:
        """Running runs, evaluations and gradient evaluations of the table as it is on this process."""
        return {
            "active": sum(int((finder.code == 0).sum()) for finder in self),
            "evaluations": sum(int(finder.evaluations.sum()) for finder in self),
            "gradient_evaluations": sum(int(finder.gradient_evaluations.sum()) for finder in self),
        }
