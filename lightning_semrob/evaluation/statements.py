"""What is claimed about each region, for programs: a self-contained JSON record for each run (``statements.jsonl``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from lightning_semrob.evaluation.records import Run
from lightning_semrob.functional.calls import largest_trap
from lightning_semrob.networks.runtime import Runtime
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.random import named_seed
from lightning_semrob.utilities.record import Record

#: Version of the records; it rises when a field changes its meaning or disappears.
STATEMENT_VERSION = 1

_DESIGNS = {
    "verified": "independent uniform samples of the box, not used for growing, until a betting test with the growing's "
    "interpolant as control variate decides Eq. 2; up to three boxes share the error",
    "density": "independent samples of the box by the density, until a betting test decides Eq. 2 or the budget ends",
    "uniform": "independent uniform samples of the box, until a betting test decides Eq. 2 or the budget ends",
}

#: A part of a region is a trap, in ``largest_trap``, where its mean is at most this.
TRAP_MEAN = 0.3


@dataclass(frozen=True, eq=False)
class JobDescription(Record):
    """What all regions of a job have in common; ``job.json`` keeps it.

    Attributes:
        eps_m, eps_v: thresholds of Eq. 2.
        simultaneous, statements_together: whether the confidence holds for all runs together, and for how many.
        seed, score, precision: of the job.
        adversarial: finder -> whether it grows regions of 1 - f.
        density: axis -> weights of its bins, None for uniform views.
        fixed: axis that is not swept -> ``value`` and ``unit``.
        renderer: ``name``, ``version``, ``image_size`` and ``settings`` in the words of the configuration.
        versions: of packages, one entry for each start with other ones.
        runtimes: network -> what computes its logits.
        nuisances: parameter that f is averaged over -> its value in each draw.
    """

    eps_m: float = 0.3
    eps_v: float = 0.05
    simultaneous: bool = False
    statements_together: int = 1
    seed: int = 0
    score: str = "softmax"
    precision: str = "32"
    adversarial: dict[str, bool] = field(default_factory=dict)
    density: dict[str, list[float]] | None = None
    fixed: dict[str, dict[str, Any]] = field(default_factory=dict)
    renderer: dict[str, Any] = field(default_factory=dict)
    versions: list[dict[str, str]] = field(default_factory=list)
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    nuisances: dict[str, list[float]] = field(default_factory=dict)


def trap_share(mean_low: float | None) -> float | None:
    """Largest share of a region in which the mean can be <= ``TRAP_MEAN``; it holds as the bound ``mean_low`` does."""
    return None if mean_low is None else float(largest_trap(torch.tensor(mean_low, dtype=torch.float64), TRAP_MEAN))


def region_statement(run: Run, space: SemanticSpace, job: JobDescription) -> dict[str, Any]:
    """The record of one run as plain data, None for what was not measured; docs/verification.md has the fields."""
    known = run.judgement

    def estimate(name: str) -> dict[str, float | None]:
        return {
            end: getattr(known, column)
            for end, column in (("estimate", name), ("low", f"{name}_low"), ("high", f"{name}_high"))
        }

    design = "density" if job.density else run.method if run.method in _DESIGNS else "uniform"
    return {
        "schema_version": STATEMENT_VERSION,
        "network": {
            "name": run.network,
            "weights_sha256": run.weights_sha256,
            "micro_batch_size": run.micro_batch_size,
            "precision": job.precision,
            "runtime": job.runtimes.get(run.network),
        },
        "shape": {"class": run.class_name, "id": run.shape_id, "mesh_sha256": run.mesh_sha256},
        "target": [int(index) for index in run.target.split(",")],
        "score": job.score,
        "adversarial": job.adversarial[run.method],
        "method": run.method,
        "point": run.point,
        "axes": [
            {
                "name": axis.name,
                "unit": axis.unit,
                "low": run.a[axis.name],
                "high": run.b[axis.name],
                "start": run.u0[axis.name],
                "space": [axis.low, axis.high],
                "periodic": axis.periodic,
            }
            for axis in space
        ],
        "fixed": job.fixed,
        "nuisances": job.nuisances,
        "volume_ratio": run.ratio,
        "status": run.status,
        "verdict": run.verdict,
        "eps_m": job.eps_m,
        "eps_v": job.eps_v,
        "confidence": known.confidence,
        "simultaneous": job.simultaneous,
        "statements_together": job.statements_together,
        "mean": estimate("mean"),
        "variance": estimate("variance"),
        "largest_trap": {
            "mean_at_most": TRAP_MEAN,
            "share_at_most": trap_share(known.mean_low) if run.verdict == "valid" else None,
        },
        "worst": {"score": known.worst_score, "view": {axis.name: known.worst.get(axis.name) for axis in space}},
        "sampling": {
            "design": None if known.samples is None else _DESIGNS[design],
            "samples": known.samples,
            "evaluations": known.verification_evaluations,
            "density": job.density,
            "seed": named_seed(job.seed, run.network, run.class_name, run.shape_id),
        },
        "growing": {"evaluations": run.evaluations, "gradient_evaluations": run.gradient_evaluations},
        "renderer": job.renderer,
        "versions": job.versions,
    }
