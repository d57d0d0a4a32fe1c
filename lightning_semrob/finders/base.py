"""The common part of the region finders: a LightningModule whose parameters are the bounds a and b."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_semrob.finders.modes import MODES, REST_MOVE
from lightning_semrob.finders.quadrature import QUADRATURES
from lightning_semrob.finders.statement import Judgement
from lightning_semrob.finders.statuses import INVALID_SCORE, NOT_MEASURED, RUNNING, STATUSES
from lightning_semrob.functional.regions import cross_sections
from lightning_semrob.functions import SemanticFunction, evaluate_rows, prepare_function
from lightning_semrob.sharing.rounds import RoundModule, SharedTasks, merge_owned
from lightning_semrob.sharing.work import TaskBatch
from lightning_semrob.space import Box, SemanticSpace
from lightning_semrob.utilities.messages import unknown_name
from lightning_semrob.verification.audit import AxisAgreement, agreement, audit_gradient

#: Per-row state beside a and b; saved in checkpoints and merged over processes like them.
ROW_BUFFERS = ("code", "steps", "evaluations", "gradient_evaluations", "resting", "audit_evaluations")
#: Gradients are audited around at most so many initial points of a job, at so many points of a window.
AUDITED_ROWS = 16
AUDIT_POINTS = 7


class RegionFinder(RoundModule):
    """Grows boxes from initial points by closed-form directions at the corners, one row per task.

    Subclasses implement :meth:`face_means`; those that need more than the corners override :meth:`points`.
    Under a Trainer, ``training_step`` updates the running rows of one (network, shape) group; :meth:`find` makes
    the same updates without one.

    Args:
        mode: ``default`` (unit space, projection, convergence) or ``paper`` (to the letter).
        num_iterations: largest number of updates; default of the mode (60, 600) if None.
        adversarial: grow regions where the network fails (1 - f, Eq. 4).
        quadrature: ``corners`` (2**n of them, n <= 14) or ``sobol`` (samples on the 2n faces, any n).

    Attributes:
        a, b: bounds of all tasks, (N, n) float64 parameters in the units of the axes.
        u0: initial points, (N, n) float64.
        code: status codes, (N,) int64, see :class:`~lightning_semrob.finders.statuses.Status`.
    """

    name: str = "finder"
    needs_gradient: bool = False
    #: Whether the finder verifies its own boxes; such a run is kept only together with its statement.
    verifies: bool = False
    #: Weight lambda of the size penalty, which the mode adds to the directions.
    lam: float = 0.0

    a: nn.Parameter
    b: nn.Parameter
    u0: Tensor
    index: Tensor
    code: Tensor
    steps: Tensor
    evaluations: Tensor
    gradient_evaluations: Tensor
    resting: Tensor
    loss: Tensor
    gradient_ratio: Tensor
    audit_evaluations: Tensor

    def __init__(
        self,
        mode: str = "default",
        num_iterations: int | None = None,
        adversarial: bool = False,
        quadrature: str = "corners",
    ) -> None:
        super().__init__()
        if quadrature not in QUADRATURES:
            raise ValueError(unknown_name("quadrature", quadrature, sorted(QUADRATURES)))
        self.quadrature = QUADRATURES[quadrature]()
        if mode not in MODES:
            raise ValueError(unknown_name("mode", mode, sorted(MODES)))
        if num_iterations is not None and num_iterations < 1:
            raise ValueError(f"num_iterations must be at least 1, got {num_iterations}")
        self.mode = mode
        self.rules = MODES[mode]()
        self.num_iterations = num_iterations if num_iterations is not None else self.rules.num_iterations
        self.adversarial = adversarial
        self.automatic_optimization = False
        self.space: SemanticSpace | None = None
        #: Forward and gradient evaluations of one point with gradient, of the f that is used.
        self.gradient_cost = (1, 1)

    # ---- what a finder is

    def points(self, a: Tensor, b: Tensor) -> Tensor:
        """Where f is needed for bounds (R, n): (R, P, n), by default those of the quadrature (the corners, Eq. 5)."""
        return self.quadrature.points(a, b)

    def face_means(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
        """What moves each face, per unit of its area, from scores (R, P) and gradients (R, P, n) at :meth:`points`.

        Bounds move against grad_a, grad_b (R, n): a box grows where grad_a > 0 and grad_b < 0.
        """
        raise NotImplementedError

    def directions(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor | None) -> tuple[Tensor, Tensor]:
        """The paper's update directions without the size penalty: :meth:`face_means` times the areas of the faces.

        The paper's finders implement these instead, which are integrals over the faces.
        """
        section = cross_sections(b - a)
        grad_a, grad_b = self.face_means(a, b, values, gradients)
        return grad_a * section, grad_b * section

    def losses(self, a: Tensor, b: Tensor, values: Tensor) -> Tensor:
        """The loss that the directions descend, (R,); NaN where it is not defined."""
        return torch.full_like(values[:, 0], torch.nan)

    # ---- what a finder that verifies its own boxes overrides

    def join(self, runs: int, seed: int, names: Sequence[tuple[str, ...]] = ()) -> None:
        """Take over the number of runs that a job makes statements about together, its seed, and the rows' names."""

    def check_thresholds(self, eps_m: float, eps_v: float, confidence: float) -> None:
        """Raise ValueError if the finder verifies its boxes by other thresholds than these."""

    def too_few_evaluations(self, setting: str, n: int) -> str | None:
        """One sentence if the budget, which comes from ``setting``, cannot verify any box of n axes; else None."""
        return None

    def reach(self, n: int) -> str | None:
        """What the budget asks of a box of n axes to verify it, in a sentence; None if the finder verifies none."""
        return None

    def verification_budget(self, n: int) -> int | None:
        """Most evaluations of f with which the finder verifies a box of n axes itself; None if it verifies none."""
        return None

    def statement(self, row: int) -> Judgement | None:
        """What the finder says about the box of a finished row; None if it verifies none."""
        return None

    # ---- the table of tasks

    def expected_evaluations(self, space: SemanticSpace) -> int:
        """About how many points a run evaluates while it grows a box."""
        centre = space.from_unit(torch.full((1, len(space)), 0.5, dtype=torch.float64))
        return self.points(centre, centre).shape[1] * min(self.num_iterations, self.rules.typical_steps)

    def start(self, u0: Tensor, space: SemanticSpace, index: Tensor | None = None) -> None:
        """Make the table: bounds around u0 (N, n), every row running; ``index`` (N,) are rows of f, zeros if None.

        Raises:
            ValueError: u0 of the wrong shape, not finite or outside the space.
        """
        u0 = torch.as_tensor(u0).detach().to(dtype=torch.float64, device="cpu").clone()
        space.validate(u0)
        self.space = space
        self.a, self.b = (nn.Parameter(bound) for bound in self.first_bounds(u0, space))
        self.register_buffer("u0", u0)
        for name in ROW_BUFFERS:
            self.register_buffer(name, torch.zeros(len(u0), dtype=torch.int64))
        self.register_buffer("index", torch.zeros_like(self.code) if index is None else torch.as_tensor(index).cpu())
        self.register_buffer("loss", torch.full((len(u0),), torch.nan, dtype=torch.float64))
        self.register_buffer("gradient_ratio", torch.full(u0.shape, torch.nan, dtype=torch.float64))

    def first_bounds(self, u0: Tensor, space: SemanticSpace) -> tuple[Tensor, Tensor]:
        """Bounds a, b around u0 (N, n) before the first update."""
        self.points(u0[:1], u0[:1])  # raises where 2**n corners are too many
        return self.rules.start(u0, space)

    def configure_optimizers(self) -> Optimizer:
        """Plain SGD in paper mode, an adaptive step for every bound in the default mode."""
        assert self.space is not None, "start() comes before the optimizer"
        return self.rules.optimizer([self.a, self.b], self.space)

    def active(self, rows: Tensor) -> Tensor:
        """Which of the rows still run."""
        return rows[(self.code[rows] == RUNNING).to(rows.device)]

    def request(self, rows: Tensor) -> Tensor:
        """Points (R, P, n) at which f is needed to update the rows."""
        assert self.space is not None
        return self.rules.points(self.points(self.a.detach()[rows], self.b.detach()[rows]), self.space)

    @torch.no_grad()
    def apply_update(self, rows: Tensor, values: Tensor, gradients: Tensor | None, optimizer: Any) -> None:
        """One update of the rows from f at :meth:`request`: directions to ``.grad``, optimizer step, projection."""
        assert self.space is not None
        values = values.to(self.a)
        a, b = self.a[rows], self.b[rows]
        valid = values.isfinite().all(-1)
        if gradients is not None:
            gradients = gradients.to(self.a)
            valid &= gradients.isfinite().flatten(1).all(-1)
        low, high, slopes = self.rules.coordinates(a, b, gradients, self.space)
        grad_a, grad_b = self.rules.scale(*self.directions(low, high, values, slopes), high - low, self.lam)
        self.a.grad, self.b.grad = torch.zeros_like(self.a), torch.zeros_like(self.b)
        self.a.grad[rows] = torch.where(valid[:, None], grad_a, 0.0)
        self.b.grad[rows] = torch.where(valid[:, None], grad_b, 0.0)
        optimizer.step()
        new_a, new_b = self.rules.settle(self.a[rows], self.b[rows], self.u0[rows], self.space)
        self.a[rows], self.b[rows] = new_a, new_b
        moved = (torch.maximum((new_a - a).abs(), (new_b - b).abs()) / self.space.extent.to(a)).amax(-1)
        self.resting[rows] = torch.where(moved <= REST_MOVE, self.resting[rows] + 1, 0)
        self.loss[rows] = self.losses(a, b, values)
        self.steps[rows] += 1
        forward, backward = (1, 0) if gradients is None else self.gradient_cost
        self.evaluations[rows] += forward * values.shape[1]
        self.gradient_evaluations[rows] += backward * values.shape[1]
        code = self.rules.status(new_a, new_b, self.resting[rows], self.steps[rows], self.num_iterations, self.space)
        self.code[rows] = torch.where(valid, code, INVALID_SCORE)

    def request_rows(self, rows: Tensor) -> list[Tensor]:
        """Points that each row needs, R tensors (P_r, n); a finder whose rows need different numbers overrides it."""
        return list(self.request(rows).unbind(0))

    def apply_rows(
        self, rows: Tensor, values: Sequence[Tensor], gradients: Sequence[Tensor] | None, optimizer: Any
    ) -> None:
        """:meth:`apply_update` for what :meth:`request_rows` asked for, one tensor a row."""
        slopes = None if gradients is None else torch.stack(list(gradients))
        self.apply_update(rows, torch.stack(list(values)), slopes, optimizer)

    def audit(self, rows: Tensor, f: SemanticFunction) -> int:
        """Compare gradient and slope of f around u0 of those rows that are about to start; returns evaluations.

        Sixteen rows of the table, evenly spread, stand for all; ``gradient_ratio`` (N, n) keeps the gradient over the
        slope, NaN where the slope cannot be told from zero or the row is not audited.
        """
        assert self.space is not None
        count = len(self.u0)
        chosen = torch.linspace(0, count - 1, min(count, AUDITED_ROWS)).round().to(rows)
        rows = rows[torch.isin(rows, chosen) & (self.steps[rows] == 0).to(rows.device)]
        if not len(rows) or not f.gradient_cost(len(self.space))[1]:
            return 0
        found = audit_gradient(f, self.u0[rows], self.space, AUDIT_POINTS, self.index[rows])
        self.gradient_ratio[rows] = found.ratio.to(self.gradient_ratio)
        self.audit_evaluations[rows] = AUDIT_POINTS * len(self.space)
        return AUDIT_POINTS * len(self.space) * len(rows)

    def failing_axes(self) -> list[AxisAgreement]:
        """Axes along which the audited gradients mostly point the wrong way."""
        assert self.space is not None
        return [axis for axis in agreement(self.gradient_ratio.cpu(), self.space.names) if axis.fails]

    def boxes(self) -> Box:
        """The table as a :class:`Box`, on the CPU."""
        return Box(
            self.a.detach().cpu().clone(),
            self.b.detach().cpu().clone(),
            [STATUSES[code] for code in self.code.tolist()],
            self.steps.cpu().clone(),
            self.evaluations.cpu().clone(),
            self.gradient_evaluations.cpu().clone(),
        )

    def find(
        self,
        f: SemanticFunction,
        u0: Tensor,
        space: SemanticSpace,
        index: Tensor | None = None,
        observe: Callable[[RegionFinder], None] | None = None,
    ) -> Box:
        """Boxes around u0 without a Trainer.

        Args:
            f: the score; matched to the space by axis names where it has them.
            u0: initial points, (K, n), in the units of the axes.
            space: the swept axes.
            index: which recorded map each row uses, (K,) int64; zeros if None.
            observe: called with this finder before every update and at the end.

        Returns:
            K boxes. The module's own table holds them too.

        Raises:
            ValueError: u0 outside the space, axes that do not match, or a finder that needs the gradient of an f
                without one.
        """
        f = prepare_function(f, space)
        if self.needs_gradient and not f.differentiable:
            raise ValueError(f"{type(self).__name__} needs gradients and f has none: use a black-box finder")
        self.start(u0, space, index)
        optimizer = self.configure_optimizers()
        rows = self.active(torch.arange(len(self.u0)))
        while len(rows):
            if observe is not None:
                observe(self)
            _update([(self, optimizer, rows)], f)
            rows = self.active(rows)
        if observe is not None:
            observe(self)
        return self.boxes()

    # ---- Lightning

    def setup(self, stage: str) -> None:
        """Take the tasks of the environment, unless the table is already made (resume)."""
        if self.space is None:
            self.start(self.environment.u0, self.environment.space)

    def pending(self, rows: Tensor) -> Tensor:
        return self.active(rows)

    def advance(self, batch: TaskBatch) -> int:
        """One update of the running rows of a group, by manual optimization."""
        return update_together([self], [self.optimizers()], batch, self.environment)

    @torch.no_grad()
    def merge(self, owned: Tensor) -> None:
        """Give every process the rows of their owners, (N,) bool; no change for a single process."""
        names = ("a", "b", "loss", "gradient_ratio", *ROW_BUFFERS)
        for tensor in (getattr(self, name) for name in names):
            merge_owned(tensor, owned.to(tensor.device))

    def on_train_epoch_end(self) -> None:
        self.merge(self.environment.work.owned)
        self.environment.gather_failures()
        warn_of_failing_axes(self)


def warn_of_failing_axes(finder: RegionFinder) -> None:
    """Name the axes along which the gradient that the finder follows is wrong, once for all processes."""
    for axis in finder.failing_axes():
        rank_zero_warn(
            f"{finder.name}: the gradient along '{axis.axis}' has the sign of the slope in only {axis.right} of "
            f"{axis.counted} audited points: leave the finder out, or use --data.gradient=finite"
        )


def update_together(
    finders: Sequence[RegionFinder], optimizers: Sequence[Any], batch: TaskBatch, tasks: SharedTasks
) -> int:
    """Update the running rows of a batch in every finder, with shared calls of f; returns evaluations of f.

    The rows of a shape that cannot be loaded end as ``not_measured``; the job goes on.
    """
    parts = [(*pair, pair[0].active(batch.rows)) for pair in zip(finders, optimizers, strict=True)]
    parts = [part for part in parts if len(part[2])]
    if not parts:
        return 0
    try:
        tasks.mesh(batch.shape)
    except (ValueError, OSError) as error:
        tasks.report_failure(batch.shape, error)
        for finder, _, rows in parts:
            finder.code[rows] = NOT_MEASURED
        return 0
    f = tasks.function(batch.network, batch.shape)
    audited = sum(finder.audit(rows, f) for finder, _, rows in parts if finder.needs_gradient)
    return audited + _update(parts, f)


def _update(parts: Sequence[tuple[RegionFinder, Any, Tensor]], f: SemanticFunction) -> int:
    """One update of rows of finders, each with its optimizer: f is called once for those that need values only and
    once for those that need gradients. Returns evaluations of f."""
    evaluations = 0
    for with_gradient in (False, True):
        group = [part for part in parts if part[0].needs_gradient == with_gradient]
        if not group:
            continue
        device = group[0][0].a.device
        asked = [[points.to(device) for points in finder.request_rows(rows)] for finder, _, rows in group]
        index = torch.cat([finder.index[rows] for finder, _, rows in group])
        values, slopes = evaluate_rows(f, [points for part in asked for points in part], index, with_gradient)
        cost = f.gradient_cost(asked[0][0].shape[-1])
        for (finder, optimizer, rows), points in zip(group, asked, strict=True):
            value, values = values[: len(points)], values[len(points) :]
            slope, slopes = (None, None) if slopes is None else (slopes[: len(points)], slopes[len(points) :])
            if finder.adversarial:  # Eq. 4: the same finder on 1 - f
                value = [1 - part for part in value]
                slope = None if slope is None else [-part for part in slope]
            finder.gradient_cost = cost
            evaluations += sum(map(len, points)) * (cost[0] if with_gradient else 1)
            finder.apply_rows(rows, value, slope, optimizer)
    return evaluations
