"""Are the calls of a trust map contradicted by fresh samples?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.functional.betting import wealth_start, wealth_update
from lightning_semrob.functions import SemanticFunction, prepare_function
from lightning_semrob.trust.map import TrustMap
from lightning_semrob.trust.record import TrustRecord
from lightning_semrob.utilities.random import named_seed, stream

#: Fresh samples of a tile: enough to contradict a call that is wrong everywhere in it beside 1,000 others.
SAMPLES = 24


@dataclass(frozen=True)
class FreshEvidence:
    """Evidence against the calls of one map.

    ``called`` counts the tiles with a call; ``tile`` (K,) are those that were sampled again, ``log_e`` (K,) float64 the
    logarithms of the evidence that their call is wrong.
    """

    called: int
    tile: Tensor
    log_e: Tensor
    evaluations: int


def call_contradictions(x: Tensor, call: Tensor, eps: float) -> Tensor:
    """Evidence that calls are wrong: if a call is right, the probability that its evidence reaches c is <= 1 / c.

    A bettor bets against what the call says (:func:`lightning_semrob.functional.betting.wealth_update`): mu >= 1 - eps
    for trusted, mu <= eps for failing, and for mixed with half the wealth each mu <= 1 - eps and mu >= eps.

    Args:
        x: (K, P) independent scores in [0, 1]; on those that are not finite nothing is bet.
        call: (K,) 0 trusted, 1 failing, 2 mixed.
        eps: of the map.

    Returns:
        (K,) float64 logarithm of the largest wealth.
    """
    x = x.double()

    def wealth(above: Tensor, threshold: Tensor) -> Tensor:
        """The null is mu <= threshold where ``above``, mu >= threshold elsewhere."""
        sign = torch.where(above, 1.0, -1.0).double()
        low = -torch.where(above, threshold, 1 - threshold)
        gain = (sign[:, None] * (x - threshold[:, None])).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        return wealth_update(wealth_start((len(x),)), gain, low[:, None].expand_as(x)).log_peak

    first = wealth(call != 0, torch.where(call == 1, eps, 1 - eps).double())
    second = wealth(torch.zeros_like(call, dtype=torch.bool), torch.full((len(x),), eps, dtype=torch.float64))
    return torch.where(call == 2, torch.maximum(first, second) - math.log(2), first)


def fresh_evidence(
    f: SemanticFunction, found: TrustMap, seed: int, name: str, max_evaluations: int = 240, top1: bool = False
) -> FreshEvidence:
    """Sample called tiles of a map again, 24 evaluations each; a random choice of them if the budget is small.

    Args:
        f, found: the scores, and the map.
        seed, name: of the samples; another seed than the map's, and the name of the shape.
        max_evaluations: of f, at least 24.
        top1: whether the map is about right answers.

    Raises:
        ValueError: fewer evaluations than one tile takes.
    """
    if max_evaluations < SAMPLES:
        raise ValueError(f"one tile of a map takes {SAMPLES} fresh samples, got only {max_evaluations} evaluations")
    generator = stream(named_seed(seed, "fresh samples of a trust map", name))
    called = (found.call >= 0).nonzero().flatten()
    tile = called[torch.randperm(len(called), generator=generator)][: max_evaluations // SAMPLES].sort().values
    x = torch.rand(len(tile) * SAMPLES, len(found.space), generator=generator, dtype=torch.float64)
    if not len(tile):
        return FreshEvidence(0, tile, torch.zeros(0, dtype=torch.float64), 0)
    points = found.tiles.points(tile.repeat_interleave(SAMPLES), x)
    with torch.no_grad():
        sampled = prepare_function(f, found.space)
        index = torch.zeros(1, dtype=torch.int64)
        values = sampled.scores_and_hits(points[None], index)[1] if top1 else sampled(points[None], index)
    log_e = call_contradictions(values.cpu().view(-1, SAMPLES), found.call[tile], found.eps)
    return FreshEvidence(len(called), tile, log_e, len(points))


@dataclass(frozen=True)
class MapCheck:
    """How many tiles of a map have a call, how many were sampled again, and how many calls turned out wrong.

    ``alpha`` and ``error`` are the map's. It is ``refuted`` if more than the share alpha of the tested calls is wrong;
    a ``simultaneous`` map if any is.
    """

    network: str
    class_name: str
    shape_id: str
    called: int
    tested: int
    contradicted: int
    alpha: float
    error: str
    refuted: bool
    evaluations: int


def check_maps(
    records: Sequence[TrustRecord], evidence: Sequence[FreshEvidence], confidence: float = 0.95
) -> list[MapCheck]:
    """Which calls are contradicted; with a probability of at least ``confidence`` no right call is among them."""
    bar = math.log(max(1, sum(len(one.tile) for one in evidence)) / (1 - confidence))
    result = []
    for record, one in zip(records, evidence, strict=True):
        wrong, tested, alpha = int((one.log_e >= bar).sum()), len(one.tile), record.map.alpha
        allowed = 0.0 if record.map.error == "simultaneous" else alpha * tested
        refuted = wrong > allowed
        result.append(
            MapCheck(*record.key, one.called, tested, wrong, alpha, record.map.error, refuted, one.evaluations)
        )
    return result
