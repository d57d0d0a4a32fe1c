"""Several finders over the same tasks in one Trainer loop, sharing renderings and network calls."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_semrob.evaluation.metrics import SRVR
from lightning_semrob.evaluation.results import NOT_VERIFIED, VERIFICATION_COLUMNS, run_key
from lightning_semrob.finders.base import (
    RegionFinder,
    merge_owned,
    prepare_function,
    update_together,
    warn_of_failing_axes,
)
from lightning_semrob.finders.naive import NaiveFinder
from lightning_semrob.finders.oir import OIRBlackBoxFinder, OIRWhiteBoxFinder
from lightning_semrob.finders.statuses import INVALID_SCORE, NOT_MEASURED, RUNNING, Status
from lightning_semrob.finders.trapezoid import TrapezoidFinder
from lightning_semrob.finders.verified.finder import VerifiedFinder
from lightning_semrob.functional.betting import eq2_start
from lightning_semrob.functional.srvr import verified_ratio
from lightning_semrob.functions import SemanticFunction
from lightning_semrob.sharing.rounds import RoundModule
from lightning_semrob.space import Box
from lightning_semrob.utilities.distributed import all_gather
from lightning_semrob.utilities.messages import unknown_name
from lightning_semrob.verification.region import verify

if TYPE_CHECKING:
    from lightning_semrob.evaluation.environment import SemanticEnvironment
    from lightning_semrob.sharing.work import TaskBatch

__all__ = ["FINDERS", "PAPER_METHODS", "FinderSuite", "volume_ratios"]

#: The methods whose mean the paper's Table 2 reports.
PAPER_METHODS = ("naive", "oir_b", "oir_w")

#: Samples of a verified box for its top-1 rate and worst view, beside those that verified it.
DESCRIPTION_EVALUATIONS = 100

#: The paper's finders by the name that configurations use; ``verified`` is known beside them.
FINDERS: dict[str, type[RegionFinder]] = {
    finder.name: finder for finder in (NaiveFinder, TrapezoidFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder)
}


def _number(value: Tensor) -> float | None:
    """A float for a table of results, None for NaN (not measured, not defined)."""
    return None if bool(value.isnan()) else float(value)


def volume_ratios(finder: RegionFinder, rows: Tensor, environment: SemanticEnvironment) -> dict[str, Tensor]:
    """``intersected`` and ``raw`` (the paper's capped) volume over the volume of the space, each (R,) float64.

    NaN for runs that were not measured or met an invalid score. The intersected one is weighed by the density.
    """
    a, b, code = finder.a.detach()[rows].cpu(), finder.b.detach()[rows].cpu(), finder.code[rows].cpu()
    measured = code != NOT_MEASURED
    if finder.mode != "paper":  # there a bound that left the real numbers is a result: the whole space, as published
        measured &= code != INVALID_SCORE
    nan = torch.full((len(rows),), torch.nan, dtype=torch.float64)
    raw = environment.space.raw_volume(a, b) / environment.space.volume
    ratios = {"intersected": environment.volume_ratio(a, b), "raw": raw}
    return {name: torch.where(measured, ratio, nan) for name, ratio in ratios.items()}


class FinderSuite(RoundModule):
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
        confidence: of each verdict and interval.
        simultaneous: whether the confidence holds for all runs of the job together (Bonferroni) or for each alone.
        verification: most evaluations for verifying a box of the paper's finders: ``growing`` for as many as its
            growing took, or a number; 0 for no verification.
        verified_evaluations: most evaluations of a run of the verified finder, half of them for growing; its own
            defaults if None (:class:`~lightning_semrob.finders.verified.search.VerifiedSearch`).
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
    ) -> None:
        super().__init__()
        if not finders:
            raise ValueError(f"model.finders is empty: name at least one of {sorted(FINDERS)}")
        made: list[RegionFinder] = []
        for finder in finders:
            if isinstance(finder, RegionFinder):
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
        if isinstance(verification, str) and verification != "growing":
            raise ValueError(f"verification must be 'growing' or a number of evaluations, got '{verification}'")
        if isinstance(verification, int) and verification < 0:
            raise ValueError(f"verification must not be negative, got {verification}")
        eq2_start(1, eps_m, eps_v)  # raises on thresholds that cannot be met
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
        self.finders = nn.ModuleList(made)
        self.simultaneous = simultaneous
        self.eps_m, self.eps_v, self.confidence, self.verification = eps_m, eps_v, confidence, verification
        #: What is known about the box of (finder, row): columns of the table of runs.
        self.statements: dict[tuple[int, int], dict[str, Any]] = {}
        self._stated = torch.zeros(0, 0, dtype=torch.bool)  # (finders, rows): which of them there are
        self._initial_scores: dict[int, float] = {}
        #: Images in a network call when the last step of a row began.
        self.register_buffer("micro_batch", torch.zeros(0, dtype=torch.int64))
        #: SHA-256 of network and mesh that the box of (finder, row) was grown with: columns of the table of runs.
        self.origins: dict[tuple[int, int], dict[str, str | None]] = {}
        self._restored_weights: dict[int, str | None] = {}
        self._restored_meshes: dict[int, str | None] = {}
        self.srvr: nn.ModuleDict | None = None
        self._restored = False
        self.automatic_optimization = False

    @property
    def environment(self) -> SemanticEnvironment:
        """The datamodule of the Trainer."""
        environment: SemanticEnvironment = self.trainer.datamodule  # type: ignore[attr-defined]
        return environment

    def __iter__(self) -> Any:
        return iter(self.finders)

    @property
    def names(self) -> list[str]:
        """Names of the finders, in order."""
        return [finder.name for finder in self]

    def setup(self, stage: str) -> None:
        """Give every finder the tasks of the environment."""
        self.prepare(self.environment)

    def prepare(self, environment: SemanticEnvironment) -> None:
        """Make the tables of tasks and the metrics, once; refuse a missing gradient before any work."""
        for finder in self:
            if finder.needs_gradient and not environment.differentiable:
                raise ValueError(
                    f"finder '{finder.name}' needs gradients, and {environment.without_gradient} has none: leave the "
                    "finder out of model.finders, or use --data.gradient=finite"
                )
            if finder.space is None:
                finder.join(self.statements_together(environment), environment.seed)
                finder.start(environment.u0, environment.space)
        if not self._stated.numel():
            self._stated = torch.zeros(len(self.finders), len(environment), dtype=torch.bool)
            self.micro_batch = torch.full((len(environment),), environment.micro_batch_size)
        sizes = (len(environment.networks), len(environment.class_names))
        names = (environment.networks, environment.class_names)
        if self.srvr is None:
            self.srvr = nn.ModuleDict(
                {
                    volume: nn.ModuleDict(
                        {"mean": SRVR(*sizes, len(PAPER_METHODS), *names)}
                        | {name: SRVR(*sizes, 1, *names) for name in self.names}
                    )
                    for volume in ("intersected", "raw", "verified")
                }
            )

    def statements_together(self, environment: SemanticEnvironment) -> int:
        """Number of runs that the confidence holds for together."""
        return len(self.finders) * len(environment) if self.simultaneous else 1

    def warning(self, environment: SemanticEnvironment) -> str | None:
        """One sentence where the budget of a verifying finder is too small to verify any box; None otherwise."""
        for finder in self:
            finder.join(self.statements_together(environment), environment.seed)
            warning: str | None = finder.too_few_evaluations("model.verified_evaluations", len(environment.space))
            if warning is not None:
                return warning
        return None

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer a finder."""
        return [finder.configure_optimizers() for finder in self]

    def active(self, rows: Tensor) -> Tensor:
        """Rows in which at least one finder still runs."""
        running = torch.zeros(len(rows), dtype=torch.bool)
        for finder in self:
            running |= (finder.code[rows.to(finder.code.device)] == RUNNING).cpu()
        return rows[running]

    def pending(self, rows: Tensor) -> Tensor:
        """Rows with a run that still grows or whose box is not verified yet."""
        return rows[torch.isin(rows, self.active(rows)) | ~self._stated[:, rows].all(0)]

    def growing(self, rows: Tensor) -> Tensor:
        """Rows with a run that still grows."""
        return self.active(rows)

    def merge(self, owned: Tensor) -> None:
        """Every process then holds all rows and statements."""
        for finder in self:
            finder.merge(owned)
        merge_owned(self.micro_batch, owned.to(self.micro_batch.device))
        self.gather_statements()

    def advance(self, batch: TaskBatch) -> int:
        """One update of the running rows of a group in every finder; when all have ended, one box is verified."""
        self.micro_batch[self.pending(batch.rows)] = self.environment.micro_batch_size
        if len(self.active(batch.rows)):
            optimizers = self.optimizers()
            optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
            evaluations = update_together(list(self), optimizers, batch, self.environment)
            self.note_origins(batch, self.environment)
            return evaluations
        return self._state_next(batch)

    def _state_next(self, batch: TaskBatch) -> int:
        """Verify the next box of a group; those that need no evaluation take no step of their own."""
        evaluations = 0
        for row in batch.rows.tolist():
            for number in (~self._stated[:, row]).nonzero().flatten().tolist():
                evaluations += self.state(number, row, batch)
                if self.statements[number, row].get("verification_evaluations"):
                    return evaluations
        return evaluations

    def state(self, number: int, row: int, batch: TaskBatch) -> int:
        """Verify the box of finder ``number`` for a row of a group and keep the statement.

        Returns:
            Evaluations, without those for which the verified finder paid while it grew the box.
        """
        statement = self.verify(number, row, batch, self.environment)
        self.statements[number, row] = statement
        self._stated[number, row] = True
        finder: RegionFinder = self.finders[number]  # type: ignore[assignment]
        own = finder.statement(row)
        paid = 0 if own is None else own.verification_evaluations
        return int(statement.get("verification_evaluations") or 0) - paid

    def finished(self, rows: Sequence[int]) -> dict[tuple[int, int], bool]:
        """The runs (finder, row) of ``rows`` that can be kept, and whether with their verdict.

        Those of the verified finder are kept with it only: its box and its statement are one result.
        """
        return {
            (number, row): (number, row) in self.statements
            for number, finder in enumerate(self)
            for row in rows
            if finder.code[row] != RUNNING and ((number, row) in self.statements or not finder.verifies)
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the runs that this process knows to have ended, as rows of the table of results."""
        environment = self.environment
        rows = (self.row(environment, *place) for place in self.finished(range(len(environment))))
        checkpoint["runs"] = [row for row in rows if row["status"] != "not_measured"]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the finished runs of a checkpoint over, unless :meth:`restore` was called before.

        Of a requeued job the output folder knows more than a checkpoint. Runs that were under way begin anew, so that
        they end as they would have without the interruption.

        Raises:
            ValueError: a checkpoint without runs.
        """
        if not self._restored:
            if "runs" not in checkpoint:
                raise ValueError("the checkpoint holds weights only, and no runs: save it with save_weights_only=False")
            self.restore(self.environment, checkpoint["runs"])
        checkpoint["state_dict"] = self.state_dict()
        checkpoint["optimizer_states"] = [optimizer.state_dict() for optimizer in self.configure_optimizers()]

    def note_origins(self, batch: TaskBatch, environment: SemanticEnvironment) -> None:
        """Keep which weights and which mesh the runs of a batch are of.

        Raises:
            ValueError: they are not those of the finished runs that the job goes on with.
        """
        found = {
            "weights_sha256": environment.weights_sha256.get(batch.network),
            "mesh_sha256": environment.mesh_sha256.get(batch.shape),
        }
        for name, known, number, of in (
            ("weights_sha256", self._restored_weights, batch.network, environment.networks),
            ("mesh_sha256", self._restored_meshes, batch.shape, [shape.shape_id for shape in environment.shapes]),
        ):
            if None not in (found[name], known.get(number)) and found[name] != known[number]:
                raise ValueError(
                    f"'{of[number]}' has changed since the finished runs of this output folder: choose another "
                    "--output, or --overwrite=true to drop them"
                )
        for finder, row in itertools.product(range(len(self.finders)), batch.rows.tolist()):
            self.origins.setdefault((finder, row), found)

    def on_train_epoch_end(self) -> None:
        """Merge the rows and the statements of all processes."""
        self.merge(self.environment.owned_rows())
        for finder in self:
            warn_of_failing_axes(finder)

    def on_test_epoch_start(self) -> None:
        """Every test counts its own table alone."""
        assert self.srvr is not None
        metrics: Any
        for metrics in self.srvr.values():
            for metric in metrics.values():
                metric.reset()

    def test_step(self, batch: TaskBatch, batch_idx: int) -> None:
        """Feed the volumes of a group of this process to the metrics; boxes without a verdict are verified first."""
        environment = self.environment
        assert self.srvr is not None
        if not len(batch.rows):
            return
        network = torch.full((len(batch.rows),), batch.network)
        class_index = torch.full_like(network, environment.class_of(batch.shape))
        for number, finder in enumerate(self):
            ratios = volume_ratios(finder, batch.rows, environment)
            for row in batch.rows.tolist():
                if (number, row) not in self.statements:
                    self.state(number, row, batch)
            verdicts = [self.statements[number, row].get("verdict", NOT_VERIFIED) for row in batch.rows.tolist()]
            unknown = torch.tensor([verdict == NOT_VERIFIED for verdict in verdicts])
            ratios["verified"] = verified_ratio(ratios["intersected"], verdicts).masked_fill(unknown, torch.nan)
            for volume, ratio in ratios.items():
                metrics: Any = self.srvr[volume]
                metrics[finder.name].update(ratio, network, class_index, torch.zeros_like(network))
                if finder.name in PAPER_METHODS:
                    method = torch.full_like(network, PAPER_METHODS.index(finder.name))
                    metrics["mean"].update(ratio, network, class_index, method)

    def verify(self, number: int, row: int, batch: TaskBatch, environment: SemanticEnvironment) -> dict[str, Any]:
        """The verdict of Eq. 2 for one box, with what was sampled: columns of the table of runs.

        Boxes of the verified finder come with their own; a run that was not measured has none.
        """
        finder: RegionFinder = self.finders[number]  # type: ignore[assignment]
        status = Status(int(finder.code[row])).word
        if self.verification == 0 and not finder.verifies:
            return {}
        if status in ("not_measured", "invalid_score"):
            return {}
        f = environment.rendered_function(batch.network, batch.shape)
        known: dict[str, Any] = {"confidence": self.confidence}
        plain = prepare_function(f, environment.space, finder.adversarial)
        score = self._initial_score(row, batch, f)
        known["u0_robust"] = (1 - score if finder.adversarial else score) >= 1 - self.eps_m
        # Its own statement is about uniform views: with a density the box is verified anew, otherwise it is sampled for
        # the top-1 rate and the worst view.
        own = finder.statement(row) if environment.density is None else None
        if own is not None and own.verdict != "valid":
            spent = own.verification_evaluations + 1  # u0
            return known | own.columns() | {"verification_evaluations": spent}
        limit = int(finder.evaluations[row]) if self.verification == "growing" else int(self.verification)
        budget = finder.verification_budget(len(environment.space))
        if budget is not None:
            limit = budget if own is None else DESCRIPTION_EVALUATIONS
        single = Box(finder.a.detach()[row : row + 1].cpu(), finder.b.detach()[row : row + 1].cpu())
        found = verify(
            plain,
            single,
            environment.space,
            None,
            self.eps_m,
            self.eps_v,
            self.confidence,
            max(limit, 2),
            environment.seed,
            environment.density,
            True,
            self.statements_together(environment),
        )
        samples = int(found.evaluations[0])
        known |= {"verdict": found.verdict[0], "samples": samples, "verification_evaluations": samples + 1}
        for name in ("mean", "mean_low", "mean_high", "variance", "variance_low", "variance_high", "worst_score"):
            known[name] = _number(getattr(found, name)[0])
        known["top1_rate"] = _number(found.top1[0])
        for axis, value in zip(environment.space.names, found.worst_point[0], strict=True):
            known[f"worst_{axis}"] = _number(value)
        if own is None:
            return known
        spent = own.verification_evaluations + known["verification_evaluations"]
        return known | own.columns() | {"verification_evaluations": spent}

    def _initial_score(self, row: int, batch: TaskBatch, f: SemanticFunction) -> float:
        """f at the initial point of a row; evaluated for all rows of the group and all finders at once."""
        if row not in self._initial_scores:
            rows = batch.rows.tolist()
            u0 = self.finders[0].u0[rows].cpu()  # type: ignore[index]
            self._initial_scores |= dict(zip(rows, f(u0[None])[0].tolist(), strict=True))
        return self._initial_scores[row]

    def on_test_epoch_end(self) -> None:
        """SRVR over all processes, kept in ``srvr_values`` and logged: volume -> method -> (networks, classes)."""
        assert self.srvr is not None
        environment = self.environment
        self.gather_statements()
        sizes = (len(environment.networks), len(environment.class_names))
        self.srvr_values: dict[str, dict[str, Tensor]] = {}
        metrics: Any
        for volume, metrics in self.srvr.items():
            self.srvr_values[volume] = {}
            for name, metric in metrics.items():
                if not metric.update_called:  # no run of this group on this process: NaN, unless another has one
                    none = torch.zeros(0, dtype=torch.int64)
                    metric.update(none.double(), none, none, none)
                # torchmetrics squeezes a result with one element.
                self.srvr_values[volume][name] = metric.compute().cpu().view(sizes)
        for number, network in enumerate(environment.networks):
            for name, values in self.srvr_values["intersected"].items():
                self.log(f"srvr/{network}/{name}", values[number].nanmean().to(self.device), sync_dist=True)

    def identity(self, environment: SemanticEnvironment, number: int, row: int) -> dict[str, Any]:
        """What makes the run of finder ``number`` for a row of the task table the same run."""
        shape, network, point = environment.describe(row)
        spec = environment.shapes[shape]
        return {
            "network": environment.networks[network],
            "class_name": spec.class_name,
            "shape_id": spec.shape_id,
            "point": point,
            "method": self.names[number],
        }

    def row(self, environment: SemanticEnvironment, number: int, row: int) -> dict[str, Any]:
        """The result of finder ``number`` for a row of the task table, as in :func:`run_schema`."""
        finder: RegionFinder = self.finders[number]  # type: ignore[assignment]
        target = environment.shapes[environment.describe(row)[0]].target
        ratios = volume_ratios(finder, torch.tensor([row]), environment)
        names = environment.space.names
        result = self.identity(environment, number, row) | {"target": ",".join(str(index) for index in target)}
        for side, bound in (("u0", finder.u0), ("a", finder.a), ("b", finder.b)):
            result |= {f"{side}_{name}": value for name, value in zip(names, bound[row].tolist(), strict=True)}
        box = finder.a.detach()[[row]].cpu(), finder.b.detach()[[row]].cpu()
        ratio = _number(ratios["intersected"][0])
        return result | {
            "volume": None if ratio is None else float(environment.space.intersected_volume(*box)[0]),
            "ratio": ratio,
            "raw_ratio": _number(ratios["raw"][0]),
            "status": Status(int(finder.code[row])).word,
            "steps": int(finder.steps[row]),
            "evaluations": int(finder.evaluations[row]),
            "gradient_evaluations": int(finder.gradient_evaluations[row]),
            "loss": _number(finder.loss[row]),
            "micro_batch_size": int(self.micro_batch[row]),
            **self.origins.get((number, row), {}),
            "audit_evaluations": int(finder.audit_evaluations[row]),
            **{f"gradient_ratio_{name}": _number(x) for name, x in zip(names, finder.gradient_ratio[row], strict=True)},
            "verdict": NOT_VERIFIED,
            **self.statements.get((number, row), {}),
        }

    @torch.no_grad()
    def restore(self, environment: SemanticEnvironment, rows: Sequence[Mapping[str, Any]]) -> int:
        """Take finished runs of an earlier start over; returns how many. Call it after :meth:`prepare`."""
        self._restored = True
        known = {run_key(row): row for row in rows}
        taken = 0
        for number, finder in enumerate(self):
            for row in range(len(environment)):
                old = known.get(run_key(self.identity(environment, number, row)))
                if old is None:
                    continue
                for side, bound in (("a", finder.a), ("b", finder.b)):
                    values = [old[f"{side}_{name}"] for name in environment.space.names]
                    bound[row] = torch.tensor(values, dtype=torch.float64)
                finder.code[row] = Status.of(old["status"])
                self.micro_batch[row] = old["micro_batch_size"]
                finder.loss[row] = torch.nan if old["loss"] is None else old["loss"]
                for name in ("steps", "evaluations", "gradient_evaluations", "audit_evaluations"):
                    getattr(finder, name)[row] = old[name]
                origin = {name: old.get(name) for name in ("weights_sha256", "mesh_sha256")}
                shape, network, _ = environment.describe(row)
                self.origins[number, row] = origin
                self._restored_weights[network] = origin["weights_sha256"]
                self._restored_meshes[shape] = origin["mesh_sha256"]
                ratios = [old[f"gradient_ratio_{name}"] for name in environment.space.names]
                finder.gradient_ratio[row] = torch.tensor(
                    [torch.nan if ratio is None else ratio for ratio in ratios], dtype=torch.float64
                )
                if old["verdict"] != NOT_VERIFIED:
                    names = set(VERIFICATION_COLUMNS) | {f"worst_{name}" for name in environment.space.names}
                    self.statements[number, row] = {name: old.get(name) for name in names}
                    self._stated[number, row] = True
                taken += 1
        return taken

    def gather_statements(self) -> None:
        """Give every process what the others know about their boxes, which network and mesh they are of, and which
        shapes could not be measured."""
        self.environment.gather_failures()
        for statements, origins in all_gather((self.statements, self.origins)):
            self.statements |= statements
            self.origins |= origins
        for number, row in self.statements:
            self._stated[number, row] = True

    def counts(self) -> dict[str, int]:
        """Running runs, evaluations and gradient evaluations of the table as it is on this process."""
        return {
            "active": sum(int((finder.code == RUNNING).sum()) for finder in self),
            "evaluations": sum(int(finder.evaluations.sum()) for finder in self),
            "gradient_evaluations": sum(int(finder.gradient_evaluations.sum()) for finder in self),
            "audit_evaluations": sum(int(finder.audit_evaluations.sum()) for finder in self),
            "verification_evaluations": sum(
                int(statement.get("verification_evaluations") or 0) for statement in self.statements.values()
            ),
        }
