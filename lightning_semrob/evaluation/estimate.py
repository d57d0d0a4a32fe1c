"""What a job will cost, from a short measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.trust.mapper import TrustSettings
from lightning_semrob.utilities.record import Record

_BYTES_PER_RUN = 600


@dataclass(frozen=True, eq=False)
class Estimate(Record):
    """What a job will cost: the most for verification and trust maps, an estimate for the rest.

    ``hours`` are of one process of this machine, ``bytes`` of the output folder; the seconds are means over the
    networks, measured on ``shape``. ``parts`` says how the number of runs comes about, ``reach`` what the budget asks
    of a verified box, ``trust_tiles`` how many tiles a map has. Each evaluation takes ``renderings``, one a draw.
    """

    runs: int
    evaluations: int
    gradient_evaluations: int
    verification_evaluations: int
    hours: float
    bytes: int
    seconds_per_evaluation: float
    seconds_per_gradient: float
    parts: str
    shape: str
    reach: list[str]
    trust_maps: int = 0
    trust_evaluations: int = 0
    trust_tiles: str = ""
    renderings: int = 1

    def describe(self) -> str:
        """The estimate in sentences."""
        trust = (
            f"{self.trust_maps} trust maps of {self.trust_tiles} tiles: at most {self.trust_evaluations} evaluations\n"
            if self.trust_maps
            else ""
        )
        each = f", each of them {self.renderings} renderings" if self.renderings > 1 else ""
        return (
            f"{trust}{self.runs} runs: {self.parts}\n"
            f"about {self.evaluations} forward and {self.gradient_evaluations} gradient evaluations, at most "
            f"{self.verification_evaluations} to verify{each}\n"
            f"measured on shape '{self.shape}': {1e3 * self.seconds_per_evaluation:.1f} ms a score, "
            f"{1e3 * self.seconds_per_gradient:.1f} ms a gradient\n"
            + "".join(f"{sentence}\n" for sentence in self.reach)
            + f"expected: {self.hours:.2f} hours on one process, {self.bytes / 2**20:.1f} MiB"
        )


def estimate_cost(environment: SemanticEnvironment, suite: FinderSuite, trust: TrustSettings | None = None) -> Estimate:
    """Runs, evaluations, hours and disk of a job that is set up, from one micro-batch of each network."""
    maps = 0 if trust is None or trust.max_evaluations == 0 else len(environment.shapes) * len(environment.networks)
    mapping = 0 if trust is None else maps * trust.budget(environment.space)
    tasks, n = len(environment), len(environment.space)
    evaluations = gradients = 0
    verification = 0
    for finder in suite:
        points = finder.expected_evaluations(environment.space) * tasks
        evaluations += points
        gradients += points if finder.needs_gradient else 0
        own = finder.verification_budget(n)
        if own is not None:
            verification += own * tasks
        else:
            verification += points if suite.verification == "growing" else int(suite.verification) * tasks
    verification += suite.judge.views * len(environment.shapes) * len(environment.networks)
    # The first shape stands for all; one with many more faces takes longer.
    size = environment.micro_batch_size
    warm, sample = environment.space.sobol(2 * size, environment.seed)[None].split(size, 1)  # scores are remembered
    forward, backward = [], []
    for network in range(len(environment.networks)):
        f = environment.function(network, 0)
        f(warm)  # the first call pays for allocations
        forward.append(_seconds(lambda f=f: f(sample)) / sample.shape[1])  # type: ignore[misc]
        if gradients:
            f.value_and_grad(sample)  # and for compiling
            backward.append(_seconds(lambda f=f: f.value_and_grad(sample)) / sample.shape[1])  # type: ignore[misc]
    mean_forward = sum(forward) / len(forward)
    mean_backward = sum(backward) / len(backward) if backward else 0.0
    seconds = (mapping + evaluations - gradients + verification) * mean_forward + gradients * mean_backward
    runs = tasks * len(suite.finders)
    return Estimate(
        runs,
        evaluations,
        gradients,
        verification,
        seconds / 3600,
        runs * _BYTES_PER_RUN,
        mean_forward,
        mean_backward,
        f"{len(environment.shapes)} shapes x {len(environment.networks)} networks x {environment.points_per_shape} "
        f"initial points x {len(suite.finders)} finders, n = {n}",
        environment.shapes[0].shape_id,
        suite.reach(environment),
        maps,
        mapping,
        " x ".join(map(str, trust.grid(environment.space))) if trust is not None else "",
        environment.draws,
    )


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
