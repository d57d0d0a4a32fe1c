"""Where does a network fail worst? Baselines that look for the view of the lowest f, beside the region finders.

Both searches work in unit coordinates of the space, or of boxes in it, wrap around full periodic axes, ask f for at
most ``batch_size`` points at a time and spend their whole budget. A row's points depend on the seed, its row of f and
its box alone. K rows, n axes, E evaluations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.functions import SemanticFunction, prepare_function
from lightning_semrob.space import Box, SemanticSpace
from lightning_semrob.utilities.messages import require
from lightning_semrob.utilities.random import row_generator

#: CMA-ES restarts once its views (in widths of the box) and scores differ by less than this: in a small budget another
#: start finds more than further digits.
_RESOLUTION = 1e-3


@dataclass(frozen=True)
class WorstViews:
    """What a search found in K rows: the views (K, n) of the lowest f in the units of the axes, and f there, float64.

    On a periodic axis they lie within the box, or in [low, high) of the space. The score is infinite where f was never
    finite; ``lowest`` (K, E) is the lowest f after each evaluation.
    """

    point: Tensor
    score: Tensor
    lowest: Tensor

    @property
    def evaluations(self) -> int:
        """Evaluations of each row."""
        return self.lowest.shape[1]


class ViewSearch(ABC):
    """Looks for the view of the lowest f. Subclasses implement :meth:`minimize`.

    Args:
        evaluations: of f, for each row.
        batch_size: most points in one call of f; it does not change the result.
        seed: of the points.

    Raises:
        ValueError: numbers below 1.
    """

    def __init__(self, evaluations: int = 400, batch_size: int = 256, seed: int = 0) -> None:
        if min(evaluations, batch_size) < 1:
            raise ValueError(f"evaluations and batch_size must be at least 1, got {evaluations} and {batch_size}")
        self.evaluations = evaluations
        self.batch_size = batch_size
        self.seed = seed

    @abstractmethod
    def minimize(self, score: Callable[[Tensor], Tensor], periodic: Tensor, generator: torch.Generator) -> None:
        """Ask ``score`` for ``evaluations`` points (P, n) of the unit cube; everything random comes from ``generator``.

        It returns f (P,), infinite where f is not finite. Coordinates of ``periodic`` axes (n,) are taken modulo 1.
        """

    def search(
        self, f: SemanticFunction, space: SemanticSpace, box: Box | None = None, index: Tensor | None = None
    ) -> WorstViews:
        """The worst views of the space, or of each box in it.

        Args:
            f: scores in [0, 1], matched to the space by axis names where it has them.
            space: n axes.
            box: K boxes to stay in; the whole space for each row of ``index`` if None.
            index: (K,) rows of f; zeros if None.

        Raises:
            ValueError: boxes that are inverted or not finite.
        """
        f = prepare_function(f, space)
        rows = len(box) if box is not None else 1 if index is None else len(index)
        index = torch.zeros(rows, dtype=torch.int64) if index is None else index
        low, high = (space.low.expand(rows, -1), space.high.expand(rows, -1)) if box is None else (box.a, box.b)
        low, high = low.detach().double().cpu(), high.detach().double().cpu()
        if not bool((low <= high).all() and low.isfinite().all() and high.isfinite().all()):
            raise ValueError("a view is searched in boxes with finite bounds a <= b: leave the other rows out")
        found = [self._search_row(f, space, low[k], high[k], index[k : k + 1]) for k in range(rows)]
        point, score, lowest = (torch.stack(parts) for parts in zip(*found, strict=True))
        return WorstViews(point, score, lowest)

    def _search_row(
        self, f: SemanticFunction, space: SemanticSpace, low: Tensor, high: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        periodic = space.periodic & (high - low >= space.extent * (1 - 1e-9))
        points: list[Tensor] = []
        scores: list[Tensor] = []

        def score(x: Tensor) -> Tensor:
            u = low + torch.where(periodic, x.remainder(1), x) * (high - low)
            values = [f(part[None], index)[0].double().cpu() for part in u.split(self.batch_size)]
            points.append(u)
            scores.append(torch.cat(values).nan_to_num(nan=torch.inf, neginf=torch.inf))
            return scores[-1]

        self.minimize(score, periodic, row_generator(self.seed, int(index), torch.cat([low, high])))
        u, value = torch.cat(points), torch.cat(scores)
        worst = int(value.argmin())
        return u[worst], value[worst], value.cummin(0).values


class RandomSearch(ViewSearch):
    """Independent uniform views."""

    def minimize(self, score: Callable[[Tensor], Tensor], periodic: Tensor, generator: torch.Generator) -> None:
        """All points at once; they do not depend on each other."""
        score(torch.rand(self.evaluations, len(periodic), generator=generator, dtype=torch.float64))


class CMAESSearch(ViewSearch):
    """CMA-ES (Hansen 2016, arXiv:1604.00772) of the package ``cma``, restarted from a random view where it stops.

    Each restart doubles the population (Auger and Hansen, CEC 2005). Periodic axes are left without bounds, the others
    are kept in the box by the package's transformation of bounds.

    Args:
        evaluations, batch_size, seed: of :class:`ViewSearch`.
        step: standard deviation of the first population, in widths of the box.
        population: of the first start; 4 + 3 log(n) if None.

    Raises:
        ImportError: where ``cma`` is not installed.
        ValueError: numbers out of their range.
    """

    def __init__(
        self,
        evaluations: int = 400,
        batch_size: int = 256,
        seed: int = 0,
        step: float = 0.3,
        population: int | None = None,
    ) -> None:
        super().__init__(evaluations, batch_size, seed)
        if step <= 0 or (population is not None and population < 2):
            raise ValueError(f"step must be positive and population at least 2, got {step} and {population}")
        self.step = step
        self.population = population
        self._cma = require("cma", "CMAESSearch", "cma")

    def minimize(self, score: Callable[[Tensor], Tensor], periodic: Tensor, generator: torch.Generator) -> None:
        """Populations in turn; the last one is cut where the budget ends."""
        n = len(periodic)
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        # The package wants two coordinates: on a single axis the second one is not used.
        free = [*periodic.tolist(), *([True] if n == 1 else [])]
        bounds = [[None if wraps else side for wraps in free] for side in (0.0, 1.0)]
        population = self.population or 4 + int(3 * np.log(n))
        left = self.evaluations
        while left > 0:
            options = {
                "bounds": bounds,
                "popsize": population,
                "seed": np.nan,  # leaves numpy's global generator alone
                "randn": lambda *shape: rng.standard_normal(shape),
                "tolx": _RESOLUTION,
                "tolfun": _RESOLUTION,
                "verbose": -9,
                "verb_log": 0,
            }
            strategy = self._cma.CMAEvolutionStrategy(rng.random(len(free)).tolist(), self.step, options)
            while left > 0 and not strategy.stop():
                asked = strategy.ask()
                x = torch.from_numpy(np.array(asked)[:left, :n])
                values = score(x).nan_to_num(posinf=1.0).tolist()
                left -= len(x)
                if len(x) == len(asked):
                    strategy.tell(asked, values)
            population *= 2
