"""Verdicts on boxes under Eq. 2, for any finder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.finders.statement import Judgement
from lightning_semrob.finders.statuses import Status
from lightning_semrob.functional.betting import Eq2Bounds, eq2_start
from lightning_semrob.functions import SemanticFunction, prepare_function
from lightning_semrob.sharing.work import TaskBatch
from lightning_semrob.space import Box
from lightning_semrob.utilities.random import named_seed
from lightning_semrob.verification.region import draw_views, verify

#: Samples of a verified box for its top-1 rate and worst view, besides those that verified it.
DESCRIPTION_EVALUATIONS = 100


def known_number(value: Tensor) -> float | None:
    """A float for a table of results, None for NaN (not measured, not defined)."""
    return None if bool(value.isnan()) else float(value)


def _as_stated(judgement: Judgement, own: Judgement, further: int) -> Judgement:
    """A judgement with what the finder itself knows, after so many further evaluations."""
    known = {name: value for name, value in vars(own).items() if value not in (None, {})}
    spent = (own.verification_evaluations or 0) + further
    return replace(judgement, **known | {"verification_evaluations": spent})


class Judge:
    """Samples boxes until Eq. 2 is decided or the budget is spent; boxes that a finder verified keep its verdict.

    Args:
        eps_m: Eq. 2: the mean of f is >= 1 - eps_m.
        eps_v: Eq. 2: the variance of f is <= eps_v.
        confidence: of each verdict and interval.
        verification: most evaluations for a box: ``growing`` for as many as its growing took, or a number; 0 for no
            verification.
        views: of the whole space, for the viewpoint accuracy of each network and shape; 0 for none.

    Raises:
        ValueError: a threshold, confidence or budget out of range.
    """

    def __init__(self, eps_m: float, eps_v: float, confidence: float, verification: int | str, views: int = 0) -> None:
        if isinstance(verification, str) and verification != "growing":
            raise ValueError(f"verification must be 'growing' or a number of evaluations, got '{verification}'")
        if isinstance(verification, int) and verification < 0:
            raise ValueError(f"verification must not be negative, got {verification}")
        eq2_start(1, eps_m, eps_v)  # raises on thresholds that cannot be met
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
        if views < 0:
            raise ValueError(f"views must not be negative, got {views}")
        self.eps_m, self.eps_v, self.confidence, self.verification = eps_m, eps_v, confidence, verification
        self.views = views
        #: Of a network and shape, by index: views that are known already, top-1 rate and mean score on them.
        self.known_views: dict[tuple[int, int], tuple[int, float, float]] = {}
        self._initial_scores: dict[int, float] = {}

    def judge(
        self, finder: RegionFinder, row: int, batch: TaskBatch, environment: SemanticEnvironment, together: int
    ) -> Judgement:
        """The judgement on the box of a finder for a row of a group, whose run must have ended.

        The initial points of the group are evaluated at once; the confidence holds for ``together`` runs.
        """
        unknown = int(finder.code[row]) in (Status.NOT_MEASURED, Status.INVALID_SCORE)
        if unknown or (self.verification == 0 and not finder.verifies):
            return Judgement()
        space, f = environment.space, environment.rendered_function(batch.network, batch.shape)
        plain = prepare_function(f, space, finder.adversarial)
        score = self._initial_score(finder, row, batch, f)
        robust = (1 - score if finder.adversarial else score) >= 1 - self.eps_m
        # The finder's own statement is about uniform views. With a density the box is verified anew, else sampled for
        # the top-1 rate and the worst view.
        own = finder.statement(row) if environment.density is None else None
        if own is not None and own.verdict != "valid":
            return _as_stated(Judgement(confidence=self.confidence, u0_robust=robust), own, 1)  # u0
        limit = int(finder.evaluations[row]) if self.verification == "growing" else int(self.verification)
        budget = finder.verification_budget(len(space))
        if budget is not None:
            limit = budget if own is None else DESCRIPTION_EVALUATIONS
        single = Box(finder.a.detach()[row : row + 1].cpu(), finder.b.detach()[row : row + 1].cpu())
        found = verify(
            plain,
            single,
            space,
            None,
            self.eps_m,
            self.eps_v,
            self.confidence,
            max(limit, 2),
            named_seed(environment.seed, *environment.names_of(row)),
            environment.density,
            True,
            together,
        )
        samples = int(found.evaluations[0])
        numbers: dict[str, Any] = {
            name: known_number(getattr(found, name)[0]) for name in (*Eq2Bounds._fields, "worst_score")
        }
        numbers |= {"top1_rate": known_number(found.top1[0]), "u0_robust": robust}
        numbers |= {"samples": samples, "verification_evaluations": samples + 1}
        worst = dict(zip(space.names, map(known_number, found.worst_point[0]), strict=True))
        judgement = Judgement(found.verdict[0], self.confidence, worst=worst, **numbers)
        return judgement if own is None else _as_stated(judgement, own, samples + 1)

    def with_viewpoints(self, judgement: Judgement, batch: TaskBatch, environment: SemanticEnvironment) -> Judgement:
        """Add the viewpoint accuracy of the group to a judgement; it depends on no finder, initial point or threshold.

        All networks are asked about the same views of a shape. Where its trust map has as many, one drawn from each
        tile, they serve for it; nuisances need views of their own, since a trust map keeps no spread over the draws.
        """
        known = self.known_views.get((batch.network, batch.shape))
        if known is not None and known[0] >= self.views and environment.nuisances is None:
            return replace(judgement, views=known[0], viewpoint_top1=known[1], viewpoint_score=known[2])
        shape = environment.shapes[batch.shape]
        seed = named_seed(environment.seed, shape.class_name, shape.shape_id, "views")
        u = draw_views(environment.space, self.views, seed, environment.density)
        found = environment.rendered_function(batch.network, batch.shape).scores_by_draw(u[None])
        score, hit, spread = found.mean, found.hits, found.spread
        return replace(
            judgement,
            views=self.views,
            viewpoint_top1=known_number(hit.double().mean()),
            viewpoint_score=known_number(score.mean()),
            viewpoint_spread=None if environment.nuisances is None else known_number(spread.mean()),
        )

    def _initial_score(self, finder: RegionFinder, row: int, batch: TaskBatch, f: SemanticFunction) -> float:
        """f at the initial point of a row; evaluated for all rows of the group and all finders at once."""
        if row not in self._initial_scores:
            rows = batch.rows.tolist()
            u0 = finder.u0[rows].cpu()
            self._initial_scores |= dict(zip(rows, f(u0[None])[0].tolist(), strict=True))
        return self._initial_scores[row]
