"""The verified finder as a LightningModule, so that a Trainer can drive it beside the paper's finders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.finders.statement import Judgement
from lightning_semrob.finders.statuses import VERIFIED, Status
from lightning_semrob.finders.verified.budget import reach_in_words, too_few_evaluations
from lightning_semrob.finders.verified.search import VerifiedRun, VerifiedSearch
from lightning_semrob.space import Box, SemanticSpace
from lightning_semrob.utilities.distributed import all_gather
from lightning_semrob.utilities.random import named_seed


class VerifiedFinder(RegionFinder):
    """Grows the largest box around u0 that satisfies Eq. 2 and returns it only if an independent sample verifies it.

    Otherwise the box is collapsed to u0, which is said by its status. The method and its guarantee are those of
    :class:`~lightning_semrob.finders.verified.search.VerifiedSearch`; a and b are set when a run ends.

    Args:
        eps_m, eps_v: Eq. 2: mean f >= 1 - eps_m and variance of f <= eps_v.
        confidence: of the statement about each run.
        runs: number of runs that the confidence holds for together (Bonferroni); None for each run alone, or for what a
            suite states.
        growth_evaluations, verification_evaluations: budgets of each run; None for those of the search.
        seed: of the samples; None for 0, or for the seed of the job in a suite.
        adversarial: regions in which 1 - f satisfies Eq. 2.

    Examples:
        >>> from lightning_semrob.functions import AnalyticFunction
        >>> from lightning_semrob.verification.region import verify
        >>> f = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 5))  # right within 60 degrees
        >>> finder = VerifiedFinder(eps_m=0.3, eps_v=0.05)
        >>> box = finder.find(f, torch.tensor([[180.0, 40.0]]), SemanticSpace.default())
        >>> box.status, round(box.width[0, 0].item()), verify(f, box, SemanticSpace.default(), seed=1).verdict
        (['verified'], 132, ['valid'])
    """

    name = "verified"
    verifies = True

    def __init__(
        self,
        eps_m: float = 0.3,
        eps_v: float = 0.05,
        confidence: float = 0.95,
        runs: int | None = None,
        growth_evaluations: int | None = None,
        verification_evaluations: int | None = None,
        seed: int | None = None,
        adversarial: bool = False,
    ) -> None:
        super().__init__(adversarial=adversarial)
        self.search = VerifiedSearch(
            eps_m,
            eps_v,
            confidence,
            1 if runs is None else runs,
            growth_evaluations,
            verification_evaluations,
            0 if seed is None else seed,
        )
        self._own_runs, self._own_seed = runs, seed
        self._names: Sequence[tuple[str, ...]] = ()
        self._runs: dict[int, VerifiedRun] = {}
        self._found: dict[int, Judgement] = {}

    def join(self, runs: int, seed: int, names: Sequence[tuple[str, ...]] = ()) -> None:
        """Take the number of runs that a job makes a statement about, and its seed where the finder has none.

        Rows of other names (network, class, shape) are verified by other random streams.

        Raises:
            ValueError: the finder was made for another number of runs.
        """
        if self._own_runs not in (None, runs):
            raise ValueError(
                f"the verified finder was made for statements about {self._own_runs} runs together, the job makes them "
                f"about {runs}: leave runs out of the finder, and set model.simultaneous"
            )
        self.search.runs = runs
        self.search.seed = seed if self._own_seed is None else self._own_seed
        self._names = names or self._names

    def check_thresholds(self, eps_m: float, eps_v: float, confidence: float) -> None:
        own = (self.search.eps_m, self.search.eps_v, self.search.confidence)
        if own != (eps_m, eps_v, confidence):
            raise ValueError(
                f"a verified finder with (eps_m, eps_v, confidence) = {own} cannot be judged by a suite with "
                f"{(eps_m, eps_v, confidence)}: give both the same"
            )

    def too_few_evaluations(self, setting: str, n: int) -> str | None:
        return too_few_evaluations(setting, self.search, n)

    def reach(self, n: int) -> str | None:
        return reach_in_words(self.search, n)

    def verification_budget(self, n: int) -> int | None:
        return self.search.budget(n)[1]

    def expected_evaluations(self, space: SemanticSpace) -> int:
        return self.search.budget(len(space))[0]

    @property
    def budget(self) -> tuple[int, int] | None:
        """Largest number of evaluations of a run, (growing, verifying), None before :meth:`start`."""
        return None if self.space is None else self.search.budget(len(self.space))

    def start(self, u0: Tensor, space: SemanticSpace, index: Tensor | None = None) -> None:
        """Make the table: boxes collapsed to u0, every row running."""
        super().start(u0, space, index)
        self._runs, self._found = {}, {}

    def first_bounds(self, u0: Tensor, space: SemanticSpace) -> tuple[Tensor, Tensor]:
        return u0.clone(), u0.clone()

    def request_rows(self, rows: Tensor) -> list[Tensor]:
        assert self.space is not None
        points = []
        for row in rows.tolist():
            if row not in self._runs:
                own = slice(row, row + 1)
                seed = named_seed(self.search.seed, *self._names[row]) if self._names else None
                (self._runs[row],) = self.search.start(self.u0[own], self.space, self.index[own], seed)
            points.append(self._runs[row].propose())
        return points

    @torch.no_grad()
    def apply_rows(
        self, rows: Tensor, values: Sequence[Tensor], gradients: Sequence[Tensor] | None, optimizer: Any
    ) -> None:
        for row, value in zip(rows.tolist(), values, strict=True):
            run = self._runs[row]
            run.update(value.cpu())
            self.steps[row] += 1
            self.evaluations[row] += len(value)
            if not run.over:
                continue
            box = self.search.result([run])
            self.a[row], self.b[row] = box.a[0].to(self.a), box.b[0].to(self.b)
            self.code[row] = Status[box.status[0].upper()]
            self._found[row] = self._statement(run)
            self.evaluations[row] -= run.spent  # the table of runs counts growing and verification apart
            del self._runs[row]

    @staticmethod
    def _statement(run: VerifiedRun) -> Judgement:
        """What the verification samples of the box say, at the share of the error that this attempt may spend."""
        if run.status != "verified" or not len(run.scores):
            verdict = "valid" if run.status == "verified" else "undecided"
            return Judgement(verdict, verification_evaluations=run.spent)
        moments: dict[str, Any] = {name: float(number) for name, number in run.bounds()._asdict().items()}
        return Judgement("valid", samples=len(run.scores), verification_evaluations=run.spent, **moments)

    def merge(self, owned: Tensor) -> None:
        super().merge(owned)
        for part in all_gather(self._found):
            self._found |= part

    def statement(self, row: int) -> Judgement:
        """The verdict of a finished row; with mean, variance and the cost of its verification where it ran here."""
        verdict = "valid" if int(self.code[row]) == VERIFIED else "undecided"
        return self._found.get(row, Judgement(verdict))

    def boxes(self) -> Box:
        """The table as a :class:`Box`, with the evaluations of growing and of verification together."""
        box = super().boxes()
        verification = [self.statement(row).verification_evaluations or 0 for row in range(len(box))]
        return replace(box, evaluations=box.evaluations + torch.tensor(verification, dtype=torch.int64))
