"""What is claimed about each region, for programs: one self-contained JSON record a run (``statements.jsonl``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning_semrob.space import SemanticSpace

if TYPE_CHECKING:
    from lightning_semrob.evaluation.environment import SemanticEnvironment
    from lightning_semrob.evaluation.suite import FinderSuite

__all__ = ["STATEMENT_VERSION", "describe_job", "region_statement"]

#: Version of the records; a field that changes its meaning or goes raises it.
STATEMENT_VERSION = 1

_DESIGNS = {
    "verified": "independent uniform samples of the box, not used for growing, until a betting test with the growing's "
    "interpolant as control variate decides Eq. 2; up to three boxes share the error",
    "density": "independent samples of the box by the density, until a betting test decides Eq. 2 or the budget ends",
    "uniform": "independent uniform samples of the box, until a betting test decides Eq. 2 or the budget ends",
}


def describe_job(
    environment: SemanticEnvironment, suite: FinderSuite, versions: Mapping[str, str], renderer_settings: Any
) -> dict[str, Any]:
    """What all regions of a job have in common, as plain data.

    Args:
        environment: set up.
        suite: the finders, :meth:`~lightning_semrob.evaluation.suite.FinderSuite.prepare` called.
        versions: of packages, as of :func:`lightning_semrob.evaluation.results.versions`.
        renderer_settings: the renderer in the words of the configuration.
    """
    space, renderer = environment.space, environment.renderer
    fixed = {
        name: {"value": parameter.default, "unit": parameter.axis.unit}
        for name, parameter in renderer.semantic_parameters.items()
        if name not in space.names
    }
    density = environment.density
    return {
        "eps_m": suite.eps_m,
        "eps_v": suite.eps_v,
        "simultaneous": suite.simultaneous,
        "statements_together": suite.statements_together(environment),
        "seed": environment.seed,
        "score": environment.score,
        "precision": environment.precision,
        "adversarial": {finder.name: finder.adversarial for finder in suite},
        "density": None
        if density is None
        else {name: d.weights.tolist() for name, d in zip(space.names, density, strict=True) if d is not None},
        "fixed": fixed,
        "renderer": {
            "name": type(renderer).__name__,
            "version": renderer.version,
            "image_size": renderer.image_size,
            "settings": renderer_settings,
        },
        "versions": [dict(versions)],
    }


def region_statement(row: Mapping[str, Any], space: SemanticSpace, job: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one run.

    Args:
        row: the run, as in :func:`lightning_semrob.evaluation.results.run_schema`.
        space: the swept axes.
        job: of :func:`describe_job`.

    Returns:
        Plain data; what was not measured is None. ``docs/verification.md`` says what each field means.
    """

    def estimate(name: str) -> dict[str, Any]:
        return {"estimate": row.get(name), "low": row.get(f"{name}_low"), "high": row.get(f"{name}_high")}

    design = "density" if job["density"] else row["method"] if row["method"] in _DESIGNS else "uniform"
    return {
        "schema_version": STATEMENT_VERSION,
        "network": {
            "name": row["network"],
            "weights_sha256": row.get("weights_sha256"),
            "micro_batch_size": row["micro_batch_size"],
            "precision": job["precision"],
        },
        "shape": {"class": row["class_name"], "id": row["shape_id"], "mesh_sha256": row.get("mesh_sha256")},
        "target": [int(index) for index in row["target"].split(",")],
        "score": job["score"],
        "adversarial": job["adversarial"][row["method"]],
        "method": row["method"],
        "point": row["point"],
        "axes": [
            {
                "name": axis.name,
                "unit": axis.unit,
                "low": row[f"a_{axis.name}"],
                "high": row[f"b_{axis.name}"],
                "start": row[f"u0_{axis.name}"],
                "space": [axis.low, axis.high],
                "periodic": axis.periodic,
            }
            for axis in space
        ],
        "fixed": job["fixed"],
        "volume_ratio": row["ratio"],
        "status": row["status"],
        "verdict": row["verdict"],
        "eps_m": job["eps_m"],
        "eps_v": job["eps_v"],
        "confidence": row.get("confidence"),
        "simultaneous": job["simultaneous"],
        "statements_together": job["statements_together"],
        "mean": estimate("mean"),
        "variance": estimate("variance"),
        "worst": {
            "score": row.get("worst_score"),
            "view": {axis.name: row.get(f"worst_{axis.name}") for axis in space},
        },
        "sampling": {
            "design": None if row.get("samples") is None else _DESIGNS[design],
            "samples": row.get("samples"),
            "evaluations": row.get("verification_evaluations"),
            "density": job["density"],
            "seed": job["seed"],
        },
        "growing": {"evaluations": row["evaluations"], "gradient_evaluations": row["gradient_evaluations"]},
        "renderer": job["renderer"],
        "versions": job["versions"],
    }
