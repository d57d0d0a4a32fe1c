"""Where a trust map samples, and what the samples say: many maps at a time.

Letters: M maps (rows of f), T tiles, S sides, J stakes, P points of a round. Validity needs only this: the points of
a tile are independent and uniform in it, and every choice (which tile is sampled next, the size of a bet, the control
variate, when to stop) is made from earlier scores. How well the choices are made decides only the cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.functional.bets import STAKES, bet, stake_growth
from lightning_semrob.functional.calls import call_evidence, call_sides, called_tiles
from lightning_semrob.functions import SemanticFunction
from lightning_semrob.trust.tiles import Tiles

# Points of a round, over all tiles: enough to fill the batches of a renderer, few enough to react. At most half of the
# tiles, so that those next to a call get there before the budget ends.
_ROUND = 48
# Samples of a tile in a round, for the same reason.
_TOGETHER = 4
# Points of every tile that are drawn at a time.
_CHUNK = 16
# A tile that seems to need more samples than this many times its share of the budget is given up, if it does so even
# where its n samples understate what the next ones gain by _OPTIMISM / n.
_PATIENCE = 5
_OPTIMISM = 1.0
# What the samples of the neighbouring tiles count for, in samples.
_NEIGHBOURS = 1.0
# Ridge of the fitted slopes, in samples at the spread of a uniform tile, and how far neighbours' means foretell them.
_RIDGE, _FORETOLD = 0.3, 0.7
# Evidence a little above the threshold, since the number of called tiles is only foreseen.
_MARGIN = 0.1


@dataclass
class MapSamples:
    """What was sampled and called.

    Attributes:
        call: (M, T) int64, position in ``CALLS`` of the called tiles, -1 for undecided ones.
        log_e: (M, T, S) logarithms of the e-values at the end.
        count: (M, T) int64 samples of each tile.
        mean: (M, T) float64 mean of the values, NaN where there are none.
        evaluations: (M,) int64.
        row, tile, value, score: (E,) every sample in its order: map, tile, what was bet on, score of f.
    """

    call: Tensor
    log_e: Tensor
    count: Tensor
    mean: Tensor
    evaluations: Tensor
    row: Tensor
    tile: Tensor
    value: Tensor
    score: Tensor

    def of_map(self, map_row: int, column: Tensor) -> Tensor:
        """The values or scores of one map, tile by tile, in the order in which they were sampled."""
        here = self.row == map_row
        return column[here][self.tile[here].argsort(stable=True)]


class _Points:
    """The j-th point of a tile of a map: fixed by the seed, the stream of the map, the tile and j."""

    def __init__(self, tiles: Tiles, streams: Sequence[int], seed: int) -> None:
        self.tiles = tiles
        self.streams = list(streams)
        self.seed = seed
        self._chunks: dict[int, Tensor] = {}
        self._made: set[tuple[int, int]] = set()

    def __call__(self, row: Tensor, tile: Tensor, number: Tensor) -> Tensor:
        """Points (P, n) in [0, 1)^n of rows, tiles and numbers (P,)."""
        chunk, place = number // _CHUNK, number % _CHUNK
        result = torch.empty(len(row), len(self.tiles.shape), dtype=torch.float64)
        for c in chunk.unique().tolist():
            here = chunk == c
            result[here] = self._chunk(c, row[here])[row[here], tile[here], place[here]]
        return result

    def _chunk(self, number: int, row: Tensor) -> Tensor:
        """The points (M, T, 16, n) of a chunk, made for the rows that are asked for."""
        shape = (self.tiles.count, _CHUNK, len(self.tiles.shape))
        points = self._chunks.setdefault(number, torch.empty(len(self.streams), *shape, dtype=torch.float64))
        for r in row.unique().tolist():
            if (r, number) not in self._made:
                key = np.random.SeedSequence([self.seed, self.streams[r], number])
                points[r] = torch.from_numpy(np.random.Generator(np.random.Philox(key)).random(shape))
                self._made.add((r, number))
        return points


def first_points(tiles: Tiles, stream: int, seed: int) -> Tensor:
    """The first sampled point of every tile that has mass, (T, n): one each, whatever the scores turn out to be."""
    return sampled_points(tiles, stream, seed, (tiles.mass > 0).long())


def sampled_points(tiles: Tiles, stream: int, seed: int, count: Tensor) -> Tensor:
    """The first ``count`` (T,) points of every tile, (count.sum(), n), tile by tile."""
    tile = torch.arange(tiles.count).repeat_interleave(count)
    number = torch.arange(len(tile)) - (count.cumsum(0) - count)[tile]
    return tiles.points(tile, _Points(tiles, [stream], seed)(torch.zeros_like(tile), tile, number))


class _State:
    """Evidence and sums of the samples of M maps."""

    def __init__(self, maps: int, tiles: Tiles, eps: float) -> None:
        self.tiles = tiles
        self.threshold, self.above = call_sides(eps)
        size, n, sides = (maps, tiles.count), len(tiles.shape), len(self.threshold)
        zeros = torch.zeros(*size, dtype=torch.float64)
        self.log_e = zeros[..., None].repeat(1, 1, sides)
        self.past = zeros[..., None, None].repeat(1, 1, sides, 2 * len(STAKES))
        self.others = torch.zeros_like(self.past)
        self.count, self.total, self.lost = zeros.clone(), zeros.clone(), zeros.bool()
        # Sums over the samples of the position y in the tile, of y y' and of y times the score; slopes of the score.
        self.y, self.yx, self.slope = (zeros[..., None].repeat(1, 1, n) for _ in range(3))
        self.yy = zeros[..., None, None].repeat(1, 1, n, n)
        self.across = tiles.neighbours.flatten(1).clamp_min(0)
        self.present = tiles.neighbours.flatten(1) >= 0

    def add(self, row: Tensor, tile: Tensor, y: Tensor, x: Tensor) -> None:
        """One sample of each of P different (map, tile): positions y (P, n) from the middle, scores x (P,)."""
        finite = x.isfinite()
        self.lost[row[~finite], tile[~finite]] = True
        row, tile, y, x = row[finite], tile[finite], y[finite], x[finite]
        slope = self.slope[row, tile]
        g, reach = (slope * y).sum(-1), slope.abs().sum(-1) / 2
        growth = stake_growth(x, g, reach, self.threshold, self.above)
        self.log_e[row, tile] += bet(growth, self.past[row, tile], self.others[row, tile])
        self.past[row, tile] += growth
        self.count[row, tile] += 1
        self.total[row, tile] += x
        self.y[row, tile] += y
        self.yx[row, tile] += y * x[:, None]
        self.yy[row, tile] += y[:, :, None] * y[:, None, :]

    def learn(self, maps: Tensor) -> None:
        """Update, of some maps (M',), the growth expected from neighbours and the slopes of the control variate."""
        count = self.count[maps]
        known = self.present & (count[:, self.across] > 0)  # M', T, 2 n
        own = self.past[maps] / count.clamp_min(1)[..., None, None]
        total = torch.zeros_like(own)
        for side in range(self.across.shape[1]):
            total += own[:, self.across[:, side]] * known[..., side, None, None]
        self.others[maps] = _NEIGHBOURS * total / known.sum(-1).clamp_min(1)[..., None, None]

        mean = self.total[maps] / count.clamp_min(1)
        beside = torch.where(known, mean[:, self.across], mean[..., None]).unflatten(-1, (-1, 2))
        steps = known.unflatten(-1, (-1, 2)).sum(-1).clamp_min(1)
        foretold = _FORETOLD * (beside[..., 1] - beside[..., 0]) / steps
        middle = self.y[maps] / count.clamp_min(1)[..., None]
        spread = self.yy[maps] - count[..., None, None] * middle[..., None] * middle[..., None, :]
        spread = spread + _RIDGE * torch.eye(spread.shape[-1], dtype=torch.float64)
        product = self.yx[maps] - self.y[maps] * mean[..., None] + _RIDGE * foretold
        self.slope[maps] = torch.linalg.solve(spread, product[..., None])[..., 0].clamp(-1, 1)

    def evidence(self, maps: Tensor | slice = slice(None)) -> Tensor:
        """Evidence of each call, (M', T, 3); -inf in tiles where f is not finite or that were never sampled."""
        evidence = call_evidence(self.log_e[maps])
        without = self.lost[maps] | (self.count[maps] == 0)
        return torch.where(without[..., None], -math.inf, evidence)

    def pace(self, maps: Tensor) -> Tensor:
        """Estimated gain of evidence of each call by one more sample, (M', T, 3)."""
        samples = (self.count[maps] + _NEIGHBOURS)[..., None, None]
        sides = ((self.past[maps] + self.others[maps]) / samples).amax(-1)
        if sides.shape[-1] == 2:
            return torch.cat([sides, torch.full_like(sides[..., :1], -math.inf)], -1)
        return torch.cat([sides[..., :2], sides[..., 2:].amin(-1, keepdim=True)], -1)


def _needs(evidence: Tensor, pace: Tensor, target: Tensor) -> Tensor:
    """Estimated samples until the evidence of some call of a tile (M, T) reaches target (M,); 0 where it does."""
    missing = (target[:, None, None] - evidence).clamp_min(0)
    need = (missing / pace.clamp_min(1e-9)).ceil().amin(-1)
    return torch.where(evidence.amax(-1).isfinite(), need.clamp_max(1e6), torch.inf)


def _targets(
    evidence: Tensor, pace: Tensor, left: Tensor, patience: float, alpha: float, error: str, tested: int
) -> Tensor:
    """The evidence (M,) to aim at: what the e-BH rule asks for if every tile that seems within reach is called."""
    target = torch.full((len(left),), math.log(tested / alpha), dtype=torch.float64)
    if error == "fdr":
        reach = torch.full_like(target, tested)
        for _ in range(10):
            target = (tested / (alpha * reach)).log() + _MARGIN
            need = _needs(evidence, pace, target).sort(-1).values
            within = (need <= patience) & (need.cumsum(-1) <= left[:, None])
            reach = within.sum(-1).double().clamp_min(1)
    return target


def sample_maps(
    f: SemanticFunction,
    tiles: Tiles,
    index: Tensor,
    *,
    eps: float,
    alpha: float,
    error: str,
    max_evaluations: int,
    seed: int,
    streams: Sequence[int],
    top1: bool = False,
) -> MapSamples:
    """Sample M maps until every tile is called or hopeless, or the budget is spent.

    Every tile is sampled once; then, in rounds, the tiles that seem closest to a call. Sampling several maps together
    does not change any of them.

    Args:
        f: scores in [0, 1], with the columns of the space.
        tiles: of the space.
        index: (M,) rows of f.
        eps, alpha, error: of the calls (:mod:`lightning_semrob.functional.calls`).
        max_evaluations: for each map.
        seed: with the stream of a map it fixes the points of every tile.
        streams: M whole numbers; maps of the same stream share their points, as far as each goes.
        top1: bet on right answers instead of scores.

    Raises:
        ValueError: a score outside [0, 1].
    """
    maps, real = len(index), (tiles.mass > 0).nonzero().flatten()
    state, points = _State(maps, tiles, eps), _Points(tiles, streams, seed)
    used = torch.zeros(maps, dtype=torch.int64)
    record: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def take(row: Tensor, tile: Tensor, times: Tensor) -> None:
        """``times`` samples of each of P different (map, tile), in one call of f."""
        passes = torch.arange(int(times.max()))
        which, turn = (passes < times[:, None]).nonzero(as_tuple=True)
        place = points(row[which], tile[which], state.count[row, tile].long()[which] + turn)
        at, of = tiles.points(tile[which], place)[:, None], index[row[which]]
        scores, values = f.scores_and_hits(at, of) if top1 else 2 * (f(at, of),)
        x = _checked(values[:, 0].double().cpu())
        for number in passes.tolist():
            now = turn == number
            state.add(row[which[now]], tile[which[now]], place[now] - 0.5, x[now])
        used.index_add_(0, row, times)
        record.append((row[which], tile[which], x, _checked(scores[:, 0].double().cpu())))

    row = torch.arange(maps).repeat_interleave(len(real))
    take(row, real.repeat(maps), torch.ones_like(row))
    size = min(_ROUND, max(8, tiles.count // 2))  # points of a round
    active, patience = torch.arange(maps), _PATIENCE * max_evaluations / max(1, len(real))
    while True:
        state.learn(active)
        evidence, pace, left = state.evidence(active), state.pace(active), max_evaluations - used[active]
        target = _targets(evidence, pace, left, patience, alpha, error, len(real))
        need = _needs(evidence, pace, target)
        hope = _needs(evidence, pace + (_OPTIMISM / state.count[active])[..., None], target)
        need = torch.where((need > 0) & (hope <= patience), need, torch.inf)
        chosen, tile = need.topk(min(size, tiles.count), largest=False)
        hopeful = chosen.isfinite()
        # Where few tiles are left they share the round.
        share = (size // hopeful.sum(-1).clamp_min(1)).clamp_min(_TOGETHER)
        times = torch.minimum(chosen, share[:, None].double())
        times = torch.where(hopeful, times, 0.0).long()
        room = left.clamp_max(size)[:, None]
        times = torch.minimum(times, (room - times.cumsum(-1) + times).clamp_min(0))
        going, place = (times > 0).nonzero(as_tuple=True)
        if not len(going):
            break
        take(active[going], tile[going, place], times[going, place])
        active = active[(times > 0).any(-1)]

    row, tile, value, score = (torch.cat(column) for column in zip(*record, strict=True))
    evidence = state.evidence()
    best = evidence.max(-1)
    called = called_tiles(best.values, alpha, error, len(real))
    lost = state.lost | (state.count == 0)
    return MapSamples(
        torch.where(called, best.indices, -1),
        state.log_e,
        torch.bincount(row * tiles.count + tile, minlength=maps * tiles.count).view(maps, -1),
        torch.where(lost, torch.nan, state.total / state.count.clamp_min(1)),
        used,
        row,
        tile,
        value,
        score,
    )


def _checked(x: Tensor) -> Tensor:
    """Scores clamped to [0, 1]; ValueError for one that is outside by more than rounding."""
    outside = (x < -1e-6) | (x > 1 + 1e-6)
    if bool(outside.any()):
        raise ValueError(
            f"a trust map is about scores in [0, 1], got {float(x[outside][0]):g}: use the score 'softmax' or 'top1'"
        )
    return x.clamp(0, 1)
