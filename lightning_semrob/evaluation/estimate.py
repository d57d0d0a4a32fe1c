"""What a job will cost, from a short measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.suite import FinderSuite

__all__ = ["estimate_cost"]

_BYTES_PER_RUN = 600


def estimate_cost(
    environment: SemanticEnvironment, suite: FinderSuite, output: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Runs, evaluations, hours on this machine and disk of a job, from one micro-batch of each network.

    Args:
        environment: set up.
        suite: the finders.
        output: the output folder of the job.
        say: where the lines go.

    Returns:
        ``runs``, ``evaluations``, ``gradient_evaluations``, ``hours``, ``bytes``, ``seconds_per_evaluation``.
    """
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
    # The largest of the first shapes stands for all: meshes differ most in their number of faces.
    sample = environment.space.sobol(environment.micro_batch_size, environment.seed)[None]
    forward, backward = [], []
    for network in range(len(environment.networks)):
        f = environment.function(network, 0)
        f(sample)  # the first call pays for allocations
        forward.append(_seconds(lambda f=f: f(sample)) / sample.shape[1])  # type: ignore[misc]
        if gradients:
            f.value_and_grad(sample)  # and for compiling
            backward.append(_seconds(lambda f=f: f.value_and_grad(sample)) / sample.shape[1])  # type: ignore[misc]
    mean_forward = sum(forward) / len(forward)
    mean_backward = sum(backward) / len(backward) if backward else 0.0
    seconds = (evaluations - gradients + verification) * mean_forward + gradients * mean_backward
    runs = tasks * len(suite.finders)
    result = {
        "runs": runs,
        "evaluations": evaluations,
        "gradient_evaluations": gradients,
        "verification_evaluations": verification,
        "hours": seconds / 3600,
        "bytes": runs * _BYTES_PER_RUN,
        "seconds_per_evaluation": mean_forward,
        "seconds_per_gradient": mean_backward,
    }
    say(
        f"{runs} runs: {len(environment.shapes)} shapes x {len(environment.networks)} networks x "
        f"{environment.points_per_shape} initial points x {len(suite.finders)} finders, n = {n}"
    )
    say(f"about {evaluations} forward and {gradients} gradient evaluations, at most {verification} to verify")
    say(
        f"measured on shape '{environment.shapes[0].shape_id}': {1e3 * mean_forward:.1f} ms a score, "
        f"{1e3 * mean_backward:.1f} ms a gradient"
    )
    say(f"expected: {seconds / 3600:.2f} hours on one process, {result['bytes'] / 2**20:.1f} MiB in '{output}'")
    return result


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
