"""What a job knows about each run besides its bounds, and its runs as records."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.judge import known_number
from lightning_semrob.evaluation.measurement import Place
from lightning_semrob.evaluation.records import Run
from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.finders.statement import NOT_VERIFIED, Judgement
from lightning_semrob.finders.statuses import Status
from lightning_semrob.sharing.work import TaskBatch
from lightning_semrob.utilities.distributed import all_gather


def volume_ratios(finder: RegionFinder, rows: Tensor, environment: SemanticEnvironment) -> dict[str, Tensor]:
    """``intersected`` and ``raw`` (the paper's capped) volume over the volume of the space, each (R,) float64.

    NaN for runs that were not measured or met an invalid score. The intersected one is weighed by the density.
    """
    a, b, code = finder.a.detach()[rows].cpu(), finder.b.detach()[rows].cpu(), finder.code[rows].cpu()
    measured = code != Status.NOT_MEASURED
    if finder.mode != "paper":  # there a bound that left the real numbers is a result: the whole space, as published
        measured &= code != Status.INVALID_SCORE
    nan = torch.full((len(rows),), torch.nan, dtype=torch.float64)
    raw = environment.space.raw_volume(a, b) / environment.space.volume
    ratios = {"intersected": environment.volume_ratio(a, b), "raw": raw}
    return {name: torch.where(measured, ratio, nan) for name, ratio in ratios.items()}


def _check_box(run: Run, environment: SemanticEnvironment, row: int) -> None:
    try:
        run.check_box(environment.u0[row].tolist(), environment.space)
    except ValueError as error:
        raise ValueError(
            f"a finished run does not fit its task ({error}): delete its part, or --overwrite=true to drop all"
        ) from error


class RunTable:
    """Judgements and origins of the runs of several finders.

    Args:
        finders: of the job.

    Attributes:
        judgements: by place, on boxes.
        origins: SHA-256 of the network and of the mesh that a box was grown with.
        judged: which boxes have a judgement, (finders, rows) bool.
    """

    def __init__(self, finders: Sequence[RegionFinder]) -> None:
        self.finders = finders
        self.judgements: dict[Place, Judgement] = {}
        self.origins: dict[Place, tuple[str | None, str | None]] = {}
        self.judged = torch.zeros(len(finders), 0, dtype=torch.bool)
        self._restored_weights: dict[int, str | None] = {}
        self._restored_meshes: dict[int, str | None] = {}

    def start(self, rows: int) -> None:
        """Make room for the rows of the task table, once."""
        if not self.judged.numel():
            self.judged = torch.zeros(len(self.finders), rows, dtype=torch.bool)

    def judge(self, place: Place, judgement: Judgement) -> None:
        """Keep the judgement on a box."""
        self.judgements[place] = judgement
        self.judged[place] = True

    def note_origins(self, batch: TaskBatch, environment: SemanticEnvironment) -> None:
        """Note weights and mesh of the runs of a batch; ValueError where those of finished runs were others."""
        weights = environment.weights_sha256.get(batch.network)
        mesh = environment.mesh_sha256.get(batch.shape)
        for now, known, name in (
            (weights, self._restored_weights.get(batch.network), environment.networks[batch.network]),
            (mesh, self._restored_meshes.get(batch.shape), environment.shapes[batch.shape].shape_id),
        ):
            if None not in (now, known) and now != known:
                raise ValueError(
                    f"'{name}' has changed since the finished runs of this output folder: choose another "
                    "--output, or --overwrite=true to drop them"
                )
        for place in itertools.product(range(len(self.finders)), batch.rows.tolist()):
            self.origins.setdefault(place, (weights, mesh))

    def gather(self) -> None:
        """Give every process what the others know about their runs; a collective."""
        for judgements, origins in all_gather((self.judgements, self.origins)):
            self.judgements |= judgements
            self.origins |= origins
        for place in self.judgements:
            self.judged[place] = True

    def identity(self, environment: SemanticEnvironment, place: Place) -> Run:
        """The run of a place, with nothing but its identity."""
        shape, network, point = environment.describe(place[1])
        spec = environment.shapes[shape]
        target = ",".join(str(index) for index in spec.target)
        name = environment.networks[network]
        return Run(name, spec.class_name, spec.shape_id, point, self.finders[place[0]].name, target)

    def run(self, environment: SemanticEnvironment, place: Place, micro_batch_size: int) -> Run:
        """The run of a place as it stands."""
        finder, row, space = self.finders[place[0]], place[1], environment.space
        ratios = volume_ratios(finder, torch.tensor([row]), environment)
        box = finder.a.detach()[[row]].cpu(), finder.b.detach()[[row]].cpu()
        ratio = known_number(ratios["intersected"][0])
        weights, mesh = self.origins.get(place, (None, None))
        u0, a, b = (dict(zip(space.names, x[row].tolist(), strict=True)) for x in (finder.u0, finder.a, finder.b))
        return replace(
            self.identity(environment, place),
            u0=u0,
            a=a,
            b=b,
            volume=None if ratio is None else float(space.intersected_volume(*box)[0]),
            ratio=ratio,
            raw_ratio=known_number(ratios["raw"][0]),
            status=Status(int(finder.code[row])).word,
            steps=int(finder.steps[row]),
            evaluations=int(finder.evaluations[row]),
            gradient_evaluations=int(finder.gradient_evaluations[row]),
            loss=known_number(finder.loss[row]),
            micro_batch_size=micro_batch_size,
            weights_sha256=weights,
            mesh_sha256=mesh,
            audit_evaluations=int(finder.audit_evaluations[row]),
            gradient_ratio=dict(zip(space.names, map(known_number, finder.gradient_ratio[row]), strict=True)),
            judgement=self.judgements.get(place, Judgement()),
        )

    @torch.no_grad()
    def restore(self, environment: SemanticEnvironment, runs: Sequence[Run], micro_batch: Tensor) -> int:
        """Take finished runs of an earlier start over into the tables of the finders; returns how many.

        Those of other tasks or finders are left alone; ``micro_batch`` (N,) int64, images in a network call, is filled.
        """
        known = {run.key: run for run in runs}
        taken = 0
        for place in itertools.product(range(len(self.finders)), range(len(environment))):
            old = known.get(self.identity(environment, place).key)
            if old is None:
                continue
            finder, row = self.finders[place[0]], place[1]
            if finder.mode != "paper":
                _check_box(old, environment, row)
            for column, values in ((finder.a, old.a), (finder.b, old.b), (finder.gradient_ratio, old.gradient_ratio)):
                found = [torch.nan if values[axis] is None else values[axis] for axis in environment.space.names]
                column[row] = torch.tensor(found, dtype=torch.float64)
            finder.code[row] = Status[old.status.upper()]
            finder.loss[row] = torch.nan if old.loss is None else old.loss
            for name in ("steps", "evaluations", "gradient_evaluations", "audit_evaluations"):
                getattr(finder, name)[row] = getattr(old, name)
            micro_batch[row] = old.micro_batch_size
            shape, network, _ = environment.describe(row)
            self.origins[place] = (old.weights_sha256, old.mesh_sha256)
            self._restored_weights[network], self._restored_meshes[shape] = old.weights_sha256, old.mesh_sha256
            if old.verdict != NOT_VERIFIED:
                self.judge(place, old.judgement)
            taken += 1
        return taken
