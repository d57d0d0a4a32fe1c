"""Several finders over the same tasks in one Trainer loop, sharing renderings and network calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.evaluation.judge import Judge
from lightning_semrob.evaluation.measurement import Measurement, Place
from lightning_semrob.evaluation.metrics import SRVRTable
from lightning_semrob.evaluation.records import Run
from lightning_semrob.evaluation.run_table import RunTable, volume_ratios
from lightning_semrob.finders.base import RegionFinder, update_together, warn_of_failing_axes
from lightning_semrob.finders.naive import NaiveFinder
from lightning_semrob.finders.oir import OIRBlackBoxFinder, OIRWhiteBoxFinder
from lightning_semrob.finders.statement import NOT_VERIFIED, Judgement
from lightning_semrob.finders.statuses import RUNNING
from lightning_semrob.finders.trapezoid import TrapezoidFinder
from lightning_semrob.finders.verified.finder import VerifiedFinder
from lightning_semrob.functional.srvr import verified_ratio
from lightning_semrob.networks.labels import network_labels
from lightning_semrob.sharing.rounds import merge_owned
from lightning_semrob.sharing.work import TaskBatch
from lightning_semrob.utilities.messages import unknown_name

#: The methods whose mean the paper's Table 2 reports.
PAPER_METHODS = ("naive", "oir_b", "oir_w")

#: Fewer evaluations of the verified finder do not pay for a round of samples.
_FEWEST_VERIFIED = 40

#: The paper's finders by the name that configurations use; ``verified`` is known beside them.
FINDERS: dict[str, type[RegionFinder]] = {
    finder.name: finder for finder in (NaiveFinder, TrapezoidFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder)
}


class FinderSuite(Measurement):
    """Runs several finders over all tasks of a :class:`~lightning_semrob.evaluation.environment.SemanticEnvironment`.

    Args:
        finders: ``naive``, ``trapezoid``, ``oir_b``, ``oir_w``, ``verified``, or finders; names are made with the
            arguments below.
        mode: ``default`` or ``paper``, for the paper's finders (:class:`~lightning_semrob.finders.base.RegionFinder`).
        num_iterations: largest number of updates of a run of theirs; the mode's default if None.
        adversarial: grow regions in which the network fails (1 - f).
        quadrature: ``corners``, or ``sobol`` for samples on the faces where 2**n corners are too many.
        eps_m: Eq. 2, for the verified finder and for the verification of every box: the mean of f is >= 1 - eps_m.
        eps_v: Eq. 2: the variance of f is <= eps_v.
        confidence: of each verdict and bound.
        simultaneous: whether the confidence holds for all runs of the job together (Bonferroni) or for each alone.
        verification: most evaluations for verifying a box of the paper's finders: ``growing`` for as many as its
            growing took, or a number; 0 for no verification.
        verified_evaluations: most evaluations of a run of the verified finder, half of them for growing; its own
            defaults if None (:class:`~lightning_semrob.finders.verified.search.VerifiedSearch`).
        views: of the whole space, for the viewpoint accuracy of each network and shape: independent ones, or the first
            of each tile of the trust map if these are as many; 0 for none.
    """

    micro_batch: Tensor

    def __init__(
        self,
        finders: Sequence[str | RegionFinder] = ("naive", "oir_b", "oir_w", "verified"),
        mode: str = "default",
        num_iterations: int | None = None,
        adversarial: bool = False,
        quadrature: str = "corners",
        eps_m: float = 0.3,
        eps_v: float = 0.05,
        confidence: float = 0.95,
        simultaneous: bool = False,
        verification: int | str = "growing",
        verified_evaluations: int | None = None,
        views: int = 32,
    ) -> None:
        super().__init__()
        if not finders:
            raise ValueError(f"model.finders is empty: name at least one of {sorted(FINDERS)}")
        if verified_evaluations is not None and verified_evaluations < _FEWEST_VERIFIED:
            raise ValueError(
                f"verified_evaluations must be at least {_FEWEST_VERIFIED}, or null for the finder's own, got "
                f"{verified_evaluations}"
            )
        made: list[RegionFinder] = []
        for finder in finders:
            if not isinstance(finder, str):
                finder.check_thresholds(eps_m, eps_v, confidence)
                made.append(finder)
                continue
            if finder == VerifiedFinder.name:
                half = None if verified_evaluations is None else verified_evaluations // 2
                made.append(VerifiedFinder(eps_m, eps_v, confidence, None, half, half, adversarial=adversarial))
                continue
            if finder not in FINDERS:
                raise ValueError(unknown_name("finder", finder, [*sorted(FINDERS), VerifiedFinder.name]))
            made.append(FINDERS[finder](mode, num_iterations, adversarial, quadrature))
        names = [finder.name for finder in made]
        if len(set(names)) != len(names):
            raise ValueError(f"every finder of a suite needs a name of its own, got {names}")
        self.finders = nn.ModuleList(made)
        self.simultaneous = simultaneous
        self.judge = Judge(eps_m, eps_v, confidence, verification, views)
        self.eps_m, self.eps_v, self.confidence, self.verification = eps_m, eps_v, confidence, verification
        judged = (k for k, finder in enumerate(made) if finder.verifies or verification != 0)
        self._first_judged = next(judged, -1)
        self.table = RunTable(made)
        #: Images in a network call when the last step of a row began.
        self.register_buffer("micro_batch", torch.zeros(0, dtype=torch.int64))
        self.srvr: SRVRTable | None = None
        #: Volume -> method -> SRVR (networks, classes) over all processes, after a test.
        self.srvr_values: dict[str, dict[str, Tensor]] = {}
        self._restored = False
        self.automatic_optimization = False

    def __iter__(self) -> Any:
        return iter(self.finders)

    @property
    def names(self) -> list[str]:
        """Names of the finders, in order."""
        return [finder.name for finder in self]

    # ---- before the job

    def setup(self, stage: str) -> None:
        self.prepare(self.environment)

    def check(self, environment: SemanticEnvironment) -> None:
        """Refuse a missing gradient before any work."""
        for finder in self:
            if finder.needs_gradient and not environment.differentiable:
                raise ValueError(
                    f"finder '{finder.name}' needs gradients, and {environment.without_gradient} has none: leave the "
                    "finder out of model.finders, or use --data.gradient=finite"
                )

    def prepare(self, environment: SemanticEnvironment) -> None:
        """Make the tables of tasks and the metrics, once."""
        self.check(environment)
        for finder in self:
            if finder.space is None:
                about = [environment.names_of(row) for row in range(len(environment))]
                finder.join(self.statements_together(environment), environment.seed, about)
                finder.start(environment.u0, environment.space)
        if self.srvr is None:
            self.table.start(len(environment))
            self.micro_batch = torch.full((len(environment),), environment.micro_batch_size)
            self.srvr = SRVRTable(environment.networks, environment.class_names, self.names, PAPER_METHODS)

    def statements_together(self, environment: SemanticEnvironment) -> int:
        """Number of runs that the confidence holds for together."""
        return len(self.finders) * len(environment) if self.simultaneous else 1

    def warning(self, environment: SemanticEnvironment) -> str | None:
        """One sentence if the budget of a verifying finder is too small to verify any box; None otherwise."""
        for finder in self:
            finder.join(self.statements_together(environment), environment.seed)
            warning: str | None = finder.too_few_evaluations("model.verified_evaluations", len(environment.space))
            if warning is not None:
                return warning
        return None

    def restore(self, environment: SemanticEnvironment, runs: Sequence[Run]) -> int:
        """Take over finished runs of an earlier start, after :meth:`prepare`; returns how many."""
        self._restored = True
        return self.table.restore(environment, runs, self.micro_batch)

    # ---- rounds of work

    def reach(self, environment: SemanticEnvironment) -> list[str]:
        """What the budgets of the verifying finders ask of a box, a sentence each."""
        for finder in self:
            finder.join(self.statements_together(environment), environment.seed)
        found = [finder.reach(len(environment.space)) for finder in self]
        return [sentence for sentence in found if sentence is not None]

    def configure_optimizers(self) -> list[Optimizer]:
        return [finder.configure_optimizers() for finder in self]

    def active(self, rows: Tensor) -> Tensor:
        """Rows in which at least one finder still runs."""
        running = torch.zeros(len(rows), dtype=torch.bool)
        for finder in self:
            running |= (finder.code[rows.to(finder.code.device)] == RUNNING).cpu()
        return rows[running]

    def pending(self, rows: Tensor) -> Tensor:
        """Rows with a run that still grows or whose box is not verified yet."""
        return rows[torch.isin(rows, self.active(rows)) | ~self.table.judged[:, rows].all(0)]

    growing = active

    def advance(self, batch: TaskBatch) -> int:
        """One update of the running rows of a group in every finder; when all have ended, one box is verified."""
        self.micro_batch[self.pending(batch.rows)] = self.environment.micro_batch_size
        if not len(self.active(batch.rows)):
            return self._judge_next(batch)
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        evaluations = update_together(list(self), optimizers, batch, self.environment)
        self.table.note_origins(batch, self.environment)
        return evaluations

    def _judge_next(self, batch: TaskBatch) -> int:
        """Verify the next box of a group; boxes that need no evaluation are done in the same step."""
        evaluations = 0
        for row in batch.rows.tolist():
            for number in (~self.table.judged[:, row]).nonzero().flatten().tolist():
                evaluations += self._judge((number, row), batch)
                if self.table.judgements[number, row].verification_evaluations:
                    return evaluations
        return evaluations

    def _judge(self, place: Place, batch: TaskBatch) -> int:
        """Verify a box and keep the judgement.

        Returns:
            Evaluations, without those that the finder itself spent on verifying.
        """
        finder: RegionFinder = self.finders[place[0]]  # type: ignore[assignment]
        together = self.statements_together(self.environment)
        judgement = self.judge.judge(finder, place[1], batch, self.environment, together)
        first = place[0] == self._first_judged and self.environment.describe(place[1])[2] == 0
        if self.judge.views and first and judgement != Judgement():
            judgement = self.judge.with_viewpoints(judgement, batch, self.environment)
        self.table.judge(place, judgement)
        own = finder.statement(place[1])
        known = 0 if own is None else own.verification_evaluations or 0
        return (judgement.verification_evaluations or 0) - known

    def merge(self, owned: Tensor) -> None:
        for finder in self:
            finder.merge(owned)
        merge_owned(self.micro_batch, owned.to(self.micro_batch.device))
        self.environment.gather_failures()
        self.table.gather()

    def on_train_epoch_end(self) -> None:
        self.merge(self.environment.work.owned)
        for finder in self:
            warn_of_failing_axes(finder)

    # ---- what is kept

    def finished(self, rows: Sequence[int]) -> dict[Place, bool]:
        """The runs (finder, row) of ``rows`` that can be kept, and whether they have their verdict.

        The box of a finder that verifies it itself is kept only with its statement: the two are one result.
        """
        return {
            (number, row): (number, row) in self.table.judgements
            for number, finder in enumerate(self)
            for row in rows
            if finder.code[row] != RUNNING and ((number, row) in self.table.judgements or not finder.verifies)
        }

    def keep(self, folder: RunFolder, places: Iterable[Place], name: str) -> None:
        """Write runs to a part of the folder. Runs of a shape that could not be loaded are left out and tried again."""
        places, environment = list(places), self.environment
        runs = [run for run in (self.run(environment, *place) for place in places) if run.status != "not_measured"]
        if runs:
            shape, network, _ = environment.describe(places[0][1])
            folder.save_part(runs, environment.space, name, environment.models.origin(network, shape))

    def run(self, environment: SemanticEnvironment, number: int, row: int) -> Run:
        """The run of finder ``number`` for a row of the task table."""
        return self.table.run(environment, (number, row), int(self.micro_batch[row]))

    def counts(self) -> dict[str, int]:
        """Evaluations and gradient evaluations of the table, as this process knows it."""
        spent = (judgement.verification_evaluations or 0 for judgement in self.table.judgements.values())
        return {
            "evaluations": sum(int(finder.evaluations.sum()) for finder in self),
            "gradient_evaluations": sum(int(finder.gradient_evaluations.sum()) for finder in self),
            "audit_evaluations": sum(int(finder.audit_evaluations.sum()) for finder in self),
            "verification_evaluations": sum(spent),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the runs that this process knows to have ended, as rows of the table of runs."""
        environment = self.environment
        runs = (self.run(environment, *place) for place in self.finished(range(len(environment))))
        checkpoint["runs"] = [run.columns() for run in runs if run.status != "not_measured"]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the finished runs of a checkpoint, unless :meth:`restore` was called before.

        After a requeue the output folder has more runs than the checkpoint. Runs that were under way start again, so
        that they end as they would have without the interruption.

        Raises:
            ValueError: a checkpoint without runs.
        """
        if not self._restored:
            if "runs" not in checkpoint:
                raise ValueError("the checkpoint holds weights only, and no runs: save it with save_weights_only=False")
            axes = self.environment.space.names
            self.restore(self.environment, [Run.of_columns(row, axes) for row in checkpoint["runs"]])
        checkpoint["state_dict"] = self.state_dict()
        checkpoint["optimizer_states"] = [optimizer.state_dict() for optimizer in self.configure_optimizers()]

    # ---- the metrics

    def on_test_epoch_start(self) -> None:
        assert self.srvr is not None
        self.srvr.reset()

    def test_step(self, batch: TaskBatch, batch_idx: int) -> None:
        """Feed the volumes of a group of this process to the metrics; boxes without a verdict are verified first."""
        assert self.srvr is not None
        if not len(batch.rows):
            return
        for number, finder in enumerate(self):
            ratios = volume_ratios(finder, batch.rows, self.environment)
            for row in batch.rows.tolist():
                if (number, row) not in self.table.judgements:
                    self._judge((number, row), batch)
            verdicts = [self.table.judgements[number, row].verdict for row in batch.rows.tolist()]
            unknown = torch.tensor([verdict == NOT_VERIFIED for verdict in verdicts], dtype=torch.bool)
            ratios["verified"] = verified_ratio(ratios["intersected"], verdicts).masked_fill(unknown, torch.nan)
            self.srvr.update(finder.name, ratios, batch.network, self.environment.class_of(batch.shape))

    def on_test_epoch_end(self) -> None:
        """SRVR over all processes, kept in ``srvr_values`` and logged."""
        assert self.srvr is not None
        self.environment.gather_failures()
        self.table.gather()
        self.srvr_values = self.srvr.compute()
        for number, network in enumerate(network_labels(self.environment.networks)):
            for name, values in self.srvr_values["intersected"].items():
                self.log(f"srvr/{network}/{name}", values[number].nanmean().to(self.device), sync_dist=True)
