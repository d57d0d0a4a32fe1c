"""The guaranteed map: which parts of the whole space are trusted, which fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_semrob.functional.betting import mean_interval
from lightning_semrob.functional.calls import CALLS, call_sides
from lightning_semrob.functions import SemanticFunction, prepare_function
from lightning_semrob.space import SemanticSpace
from lightning_semrob.trust.boxes import TrustedBoxes, trusted_boxes
from lightning_semrob.trust.sampling import sample_maps, sampled_points
from lightning_semrob.trust.tiles import Tiles
from lightning_semrob.trust.traps import EnclosedTrap, enclosed_traps
from lightning_semrob.verification.region import Density


@dataclass(frozen=True)
class TrustMap:
    """What is known about the mean score of every tile of a space.

    A tile is ``trusted`` if its mean score is >= 1 - eps, ``failing`` if it is <= eps, ``mixed`` if it lies between.
    The expected share of wrong calls among the called tiles is <= alpha; with ``error="simultaneous"`` all calls are
    right together with probability >= 1 - alpha. Tiles without a call are ``undecided``.

    Attributes:
        tiles: the tiles of the space.
        eps, alpha, error, seed: what the map was made with.
        verdict: one of the four words for every tile; all arrays have the shape of the tiles.
        low, high: float64 interval of the mean score (betting, valid at the moment at which sampling stopped). Of k
            called tiles out of T each has the level ``1 - alpha k / T``, so that the expected share of called tiles
            whose interval misses is <= alpha (``1 - alpha / T``, so all hold together, if simultaneous); the interval
            of a called tile is then cut at the threshold of its call, which errs with the call.
        mean: float64 mean of the samples of each tile, of right answers where the map is about these; NaN where f is
            not finite.
        count: int64 samples of each tile.
        scores: (evaluations,) float64, the sampled scores of f, tile by tile, NaN where f is not finite.
        stream: of the samples; with the seed it fixes where they were taken.
        evaluations: of f in all.
    """

    tiles: Tiles
    eps: float
    alpha: float
    error: str
    seed: int
    verdict: NDArray[np.str_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    count: NDArray[np.int64]
    scores: NDArray[np.float64]
    stream: int
    evaluations: int

    @property
    def space(self) -> SemanticSpace:
        """The space that was cut into tiles."""
        return self.tiles.space

    @cached_property
    def call(self) -> Tensor:
        """(T,) int64: 0 trusted, 1 failing, 2 mixed, -1 undecided."""
        flat = self.verdict.ravel()
        return torch.tensor([CALLS.index(word) if word in CALLS else -1 for word in flat.tolist()])

    def share(self, word: str) -> float:
        """Share of the space (or mass under the density) with a verdict."""
        return float(self.tiles.mass[torch.from_numpy(self.verdict.ravel() == word)].sum())

    @property
    def trusted_share(self) -> float:
        """Share of the space that is trusted."""
        return self.share("trusted")

    @property
    def failing_share(self) -> float:
        """Share of the space that fails; 1 minus it bounds from above what could ever be trusted."""
        return self.share("failing")

    @property
    def points(self) -> Tensor:
        """Where ``scores`` were sampled, (evaluations, n) float64."""
        return sampled_points(self.tiles, self.stream, self.seed, torch.from_numpy(self.count.ravel()))

    @property
    def first_mean(self) -> float:
        """Mean of the first score of every tile: an estimate of the mean over the space."""
        count = self.count.ravel()
        return float(self.scores[(count.cumsum() - count)[count > 0]].mean())

    def boxes(self, count: int = 8) -> TrustedBoxes:
        """The largest boxes of trusted tiles, greedily by what each adds."""
        return trusted_boxes(self.call == 0, self.tiles, count)

    def traps(self) -> list[EnclosedTrap]:
        """Failing or mixed tiles that trusted ones enclose, the worst first."""
        return enclosed_traps(self.call, torch.from_numpy(self.mean.ravel()), self.tiles, self.eps)


def default_tiles(space: SemanticSpace) -> tuple[int, ...]:
    """24 x 8 for two axes; for n axes about as many tiles on a periodic axis, fewer on others."""
    n = len(space)
    size = {1: (48, 24), 2: (24, 8), 3: (12, 5)}.get(n, (4, 3))
    return tuple(size[0] if axis.periodic else size[1] for axis in space)


def _intervals(scores: Tensor, count: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Betting interval of every tile of one map from its samples, tile by tile: two of (T,)."""
    parts = scores.split(count.tolist())
    low, high = torch.zeros(len(count), dtype=torch.float64), torch.ones(len(count), dtype=torch.float64)
    for size in count.unique().tolist():
        chosen = [k for k in (count == size).nonzero().flatten().tolist() if bool(parts[k].isfinite().all())]
        if size and chosen:
            low[chosen], high[chosen] = mean_interval(torch.stack([parts[k] for k in chosen]), level)
    return low, high


def check_settings(tiles: int, eps: float, alpha: float, error: str, max_evaluations: int, of: str = "") -> None:
    """Raise ValueError for settings that do not make a map of that many tiles; ``of`` stands before their names."""
    call_sides(eps)
    if not 0 < alpha < 1:
        raise ValueError(f"{of}alpha must lie in (0, 1), got {alpha}")
    if error not in ("fdr", "simultaneous"):
        raise ValueError(f"{of}error must be 'fdr' or 'simultaneous', got '{error}'")
    if max_evaluations < tiles:
        raise ValueError(
            f"{of}max_evaluations is {max_evaluations}, which does not sample each of the {tiles} tiles once: give "
            f"fewer {of}tiles or more evaluations{', or 0 for no trust maps' if of else ''}"
        )


def trust_maps(
    f: SemanticFunction,
    space: SemanticSpace,
    index: Tensor,
    tiles: Sequence[int] | None = (24, 8),
    eps: float = 0.5,
    alpha: float = 0.05,
    error: str = "fdr",
    max_evaluations: int = 4080,
    seed: int = 0,
    density: Density | None = None,
    streams: Sequence[int] | None = None,
    top1: bool = False,
) -> list[TrustMap]:
    """Trust maps of several rows of f, sampled together; each is the same as alone.

    Args:
        index: (M,) int64 rows of f.
        streams: M whole numbers >= 0; maps of one stream draw their points from the same ones, so that networks can
            share the pictures of a shape. The row of f if None.
        f, space, tiles, eps, alpha, error, max_evaluations, seed, density, top1: as in :func:`trust_map`.

    Raises:
        ValueError: as :func:`trust_map`.
    """
    grid = Tiles(space, default_tiles(space) if tiles is None else tuple(tiles), density)
    check_settings(grid.count, eps, alpha, error, max_evaluations)
    index = torch.as_tensor(index, dtype=torch.int64)
    streams = index.tolist() if streams is None else streams
    samples = sample_maps(
        prepare_function(f, space),
        grid,
        index,
        eps=eps,
        alpha=alpha,
        error=error,
        max_evaluations=max_evaluations,
        seed=seed,
        streams=streams,
        top1=top1,
    )
    words = np.array([*CALLS, "undecided"])
    tested = int((grid.mass > 0).sum())
    result = []
    for row in range(len(index)):
        call = samples.call[row]
        called = max(1, int((call >= 0).sum())) if error == "fdr" else 1
        low, high = _intervals(samples.of_map(row, samples.value), samples.count[row], alpha * called / tested)
        low = torch.where(call == 0, low.clamp_min(1 - eps), torch.where(call == 2, low.clamp_min(eps), low))
        high = torch.where(call == 1, high.clamp_max(eps), torch.where(call == 2, high.clamp_max(1 - eps), high))
        result.append(
            TrustMap(
                grid,
                eps,
                alpha,
                error,
                seed,
                verdict=words[call.view(grid.shape).numpy()],
                low=low.view(grid.shape).numpy(),
                high=high.view(grid.shape).numpy(),
                mean=samples.mean[row].view(grid.shape).numpy(),
                count=samples.count[row].view(grid.shape).numpy(),
                scores=samples.of_map(row, samples.score).numpy(),
                stream=streams[row],
                evaluations=int(samples.evaluations[row]),
            )
        )
    return result


def trust_map(
    f: SemanticFunction,
    space: SemanticSpace,
    tiles: Sequence[int] | None = (24, 8),
    eps: float = 0.5,
    alpha: float = 0.05,
    error: str = "fdr",
    max_evaluations: int = 4080,
    index: int | Tensor | None = None,
    seed: int = 0,
    density: Density | None = None,
    top1: bool = False,
) -> TrustMap:
    """Cut a space into tiles and find out which are trusted and which fail, with a stated error.

    Sampling goes where it decides something, and stops when every tile is called or seems out of reach.

    Args:
        f, index: scores in [0, 1], and the row of f, 0 if None.
        space, tiles: n axes, and the number of tiles along each; :func:`default_tiles` if None.
        eps: trusted is a mean score >= 1 - eps, failing one <= eps; in (0, 0.5].
        alpha, error: the expected share of wrong calls (``fdr``), or the probability of any (``simultaneous``).
        max_evaluations: largest number of evaluations of f, at least one for each tile.
        seed: of the samples; together with ``index`` it fixes them.
        density: for each axis its density in operation or None for uniform; weighs means and shares.
        top1: whether the means are rates of right answers instead of scores, by the same evaluations.

    Raises:
        ValueError: settings out of range, tiles that do not match the axes, scores outside [0, 1], right answers of an
            f that is not about classes.

    Examples:
        >>> from lightning_semrob.functions import AnalyticFunction
        >>> f = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 5))  # right within 60 degrees
        >>> m = trust_map(f, SemanticSpace.default(), tiles=(12, 4))
        >>> round(m.trusted_share, 3), round(m.failing_share, 3), m.boxes().a.tolist(), m.boxes().b.tolist()
        (0.333, 0.667, [[120.0, -10.0]], [[240.0, 90.0]])
    """
    row = torch.as_tensor(0 if index is None else index, dtype=torch.int64).reshape(-1)
    if len(row) != 1:
        raise ValueError(f"trust_map makes one map, got {len(row)} rows: use trust_maps for several")
    return trust_maps(f, space, row, tiles, eps, alpha, error, max_evaluations, seed, density, None, top1)[0]
