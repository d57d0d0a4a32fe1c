"""Training views where failure is predicted; only views that are trained on are rendered."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from lightning_semrob.training.samplers import Groups, UniformViews, ViewContext, ViewSampler

#: Bins of a periodic axis, of another axis alone, and of another axis in a pair.
_PERIODIC_BINS, _BINS, _BINS_OF_A_PAIR = 12, 8, 6

#: Smallest predicted failure, so that no view is out of reach.
_LEAST_FAILURE = 0.02

_FEWEST_CANDIDATES = 8192


class FailurePredictor:
    """Weighted ridge regression of t = 1 - f on indicators of the shape, its class, and bins of the view by class.

    The indicators are: the shape; the class; the class with a bin of each axis (12 bins of a periodic axis, 8 of
    another); the class with a bin of each pair of axes (12 and 6). With X the indicators (one row a view), W the
    weights and m the weighted mean of t, the coefficients c solve (X' W X + ridge) c = X' W (t - m), by conjugate
    gradients, and the prediction is m + X c.

    Args:
        context: the space and the classes of the training shapes.
        ridge: added to the diagonal, in views of weight 1.
    """

    def __init__(self, context: ViewContext, ridge: float = 4.0) -> None:
        self.context, self.ridge = context, ridge
        space, classes = context.space, context.num_classes
        axes = range(len(space))
        periodic = space.periodic.tolist()
        alone = [_PERIODIC_BINS if periodic[k] else _BINS for k in axes]
        paired = [_PERIODIC_BINS if periodic[k] else _BINS_OF_A_PAIR for k in axes]
        self._blocks: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((k,), (alone[k],)) for k in axes]
        self._blocks += [(pair, (paired[pair[0]], paired[pair[1]])) for pair in itertools.combinations(axes, 2)]
        sizes = [len(context.labels), classes, *(classes * int(np.prod(bins)) for _, bins in self._blocks)]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])
        self._mean, self._coefficients = 0.5, np.zeros(self._offsets[-1])

    def _indicators(self, shape: Tensor, u: Tensor) -> sparse.csr_matrix:
        """X of views: shapes (B,), points (B, n) in the units of the axes."""
        label = self.context.labels[shape].numpy()
        x = self.context.space.to_unit(u).numpy()
        x = np.where(self.context.space.periodic.numpy(), x % 1, x)
        columns = [shape.numpy(), label]
        for axes, bins in self._blocks:
            column = label
            for axis, count in zip(axes, bins, strict=True):
                column = column * count + np.clip((x[:, axis] * count).astype(np.int64), 0, count - 1)
            columns.append(column)
        table = np.stack(columns, 1) + self._offsets[:-1]
        rows = np.repeat(np.arange(len(table)), table.shape[1])
        size = (len(table), int(self._offsets[-1]))
        return sparse.csr_matrix((np.ones(table.size), (rows, table.ravel())), shape=size)

    def fit(self, shape: Tensor, u: Tensor, failure: Tensor, weight: Tensor) -> None:
        """Fit to views: shapes (B,) int64, points (B, n), failures 1 - f (B,) in [0, 1], weights (B,), all positive."""
        indicators, weights, target = self._indicators(shape, u), weight.double().numpy(), failure.double().numpy()
        self._mean = float(np.average(target, weights=weights))
        weighted = indicators.multiply(weights[:, None]).tocsr()
        matrix = indicators.T @ weighted + self.ridge * sparse.identity(indicators.shape[1], format="csr")
        self._coefficients, _ = sparse.linalg.cg(matrix, weighted.T @ (target - self._mean), rtol=1e-6, maxiter=500)

    def __call__(self, shape: Tensor, u: Tensor) -> Tensor:
        """Predicted failure 1 - f of views, (B,) float64; 0.5 everywhere before the first fit."""
        return torch.from_numpy(self._mean + self._indicators(shape, u) @ self._coefficients)


class AimedViews(ViewSampler):
    """Views where failure is predicted, mixed with uniform ones.

    The first epoch and the last ``settle`` epochs are uniform. In the others a share of the views is aimed. Many
    uniform candidates (shape, u) are drawn, but not rendered, and :class:`FailurePredictor` predicts d = 1 - f of each.
    It was fitted to the views of the last ``memory`` epochs, with weights ``fading`` to the power of their age. The
    aimed views are drawn from the candidates without replacement, in proportion to d to the power of ``sharpness``
    (Gumbel top-k; Kool et al., 2019). The training step itself gives f of every view that is trained on, so aiming
    costs no image.

    Args:
        share: share of the views that are aimed.
        sharpness: exponent of the predicted failure.
        memory: epochs of observed views kept.
        fading: weight of a view for each epoch of its age.
        settle: uniform epochs at the end; 0 aims to the end.
        ridge: of the predictor.

    Raises:
        ValueError: a number out of its range.
    """

    observes_all = True

    def __init__(
        self,
        share: float = 0.7,
        sharpness: float = 2.0,
        memory: int = 4,
        fading: float = 0.7,
        settle: int = 4,
        ridge: float = 4.0,
    ) -> None:
        if not 0 < share <= 1 or sharpness < 0 or memory < 1 or not 0 < fading <= 1 or settle < 0 or ridge <= 0:
            raise ValueError(
                "share and fading must lie in (0, 1], sharpness and settle must not be negative, memory must be at "
                f"least 1 and ridge positive, got {(share, fading, sharpness, settle, memory, ridge)}"
            )
        self.share, self.sharpness, self.memory = share, sharpness, memory
        self.fading, self.settle, self.ridge = fading, settle, ridge
        self._uniform = UniformViews()
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []  # one entry an epoch, the latest last
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []  # of the epoch under way, one entry a step
        self._aimed: tuple[Tensor, Tensor] | None = None  # shapes and points of the epoch, in the order of its steps
        self._next = 0

    def bind(self, context: ViewContext) -> None:
        super().bind(context)
        self._uniform.bind(context)

    def plan(self, epoch: int, epochs: int, views: int, generator: torch.Generator) -> None:
        """Choose the aimed views of an epoch of ``views`` views in all."""
        self._aimed, self._next = None, 0
        if self._pending:
            shape, u, failure = (torch.cat(parts) for parts in zip(*self._pending, strict=True))
            self._seen = [*self._seen, (shape, u, failure)][-self.memory :]
            self._pending = []
        if not 0 < epoch < epochs - self.settle or not self._seen:
            return
        shape, u, failure = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        oldest = len(self._seen) - 1
        ages = torch.cat([torch.full((len(part[0]),), float(oldest - k)) for k, part in enumerate(self._seen)])
        predictor = FailurePredictor(self.context, self.ridge)
        predictor.fit(shape, u, failure, self.fading**ages)
        wanted = round(self.share * views)
        candidates = self._uniform.draw(max(_FEWEST_CANDIDATES, 8 * wanted), 1, generator)
        shape, u = candidates.shape, candidates.u[:, 0]
        weight = self.sharpness * predictor(shape, u).clamp_min(_LEAST_FAILURE).log()
        gumbel = -torch.empty(len(u), dtype=torch.float64).exponential_(generator=generator).log()
        chosen = (weight + gumbel).topk(wanted).indices
        chosen = chosen[torch.randperm(wanted, generator=generator)]
        self._aimed = shape[chosen], u[chosen]

    def draw(self, groups: int, views: int, generator: torch.Generator) -> Groups:
        """One view a group: aimed ones name their own shape. The steps of an epoch are drawn in their order."""
        count = groups * views
        aimed = 0 if self._aimed is None else min(round(self.share * count), len(self._aimed[0]) - self._next)
        uniform = self._uniform.draw(count - aimed, 1, generator)
        if self._aimed is None or not aimed:
            return uniform
        own = slice(self._next, self._next + aimed)
        self._next += aimed
        order = torch.randperm(count, generator=generator)  # so that processes that share a step see both kinds
        shape = torch.cat([self._aimed[0][own], uniform.shape])[order]
        u = torch.cat([self._aimed[1][own, None], uniform.u])[order]
        return Groups(shape, u, (torch.arange(count) >= aimed)[order])

    def observe(self, shape: Tensor, u: Tensor, score: Tensor) -> None:
        """Learn that f was ``score`` (B,) on shapes (B,) at views u (B, n), aimed and uniform ones."""
        self._pending.append((shape, u.double(), (1 - score).double()))

    def state_dict(self) -> dict[str, list[list[Tensor]]]:
        return {"seen": [list(part) for part in self._seen], "pending": [list(part) for part in self._pending]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._seen, self._pending = ([(part[0], part[1], part[2]) for part in state[k]] for k in ("seen", "pending"))
