"""Regions and calls of a finished job, sampled again: do they hold?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.functions import prepare_function
from lightning_semrob.space import Box
from lightning_semrob.trust.fresh import MapCheck, check_maps, fresh_evidence
from lightning_semrob.trust.record import read_maps
from lightning_semrob.utilities.random import named_seed
from lightning_semrob.utilities.record import Record
from lightning_semrob.verification.region import verify


@dataclass(frozen=True, eq=False)
class RegionCheck(Record):
    """A region that was stated as valid, and what fresh samples say."""

    network: str
    class_name: str
    shape: str
    point: int
    method: str
    verdict: str
    mean: float
    variance: float
    evaluations: int


def verify_folder(
    folder: str | Path,
    seed: int = 1,
    evaluations: int = 1200,
    device: torch.device | str = "cpu",
    trust: bool = False,
    environment: SemanticEnvironment | None = None,
) -> list[RegionCheck]:
    """Verify every region of ``statements.jsonl`` that was stated as valid again, from its bounds alone.

    Network, mesh and renderer are made anew from ``config.yaml``; nothing is taken over but the bounds. The
    confidence of the statements holds for all new verdicts together: if every region is valid, any of them is found
    invalid with a probability of at most 1 - confidence.

    Args:
        folder: output folder of ``evaluate.py``; its environment is made anew if ``environment`` is None.
        seed: of the fresh samples; another one than the job's.
        evaluations: of f for a region, at most.
        device, trust: where rendering and networks run; import the callables and classes that the folder names.

    Raises:
        ValueError: no statements, the job's own seed, weights or a mesh that are not the stated ones.
    """
    records = _statements(Path(folder) / "statements.jsonl")
    environment = environment or environment_for(folder, seed, device, trust)
    shapes = [(spec.class_name, spec.shape_id) for spec in environment.shapes]
    found, stated_as_valid = [], [record for record in records if record["verdict"] == "valid"]
    for record in stated_as_valid:
        names = record["network"]["name"], record["shape"]["class"], record["shape"]["id"]
        network, shape = environment.networks.index(names[0]), shapes.index(names[1:])
        f = prepare_function(environment.rendered_function(network, shape), environment.space, record["adversarial"])
        stated = record["network"]["weights_sha256"], record["shape"]["mesh_sha256"]
        _check_same(environment, network, shape, *stated)
        low, high = (
            torch.tensor([[axis[side] for axis in record["axes"]]], dtype=torch.float64) for side in ("low", "high")
        )
        eps = record["eps_m"], record["eps_v"]
        space, density, together = environment.space, environment.density, len(stated_as_valid)
        new = verify(
            f, Box(low, high), space, None, *eps, record["confidence"], evaluations, named_seed(seed, *names), density,
            runs=together,
        )  # fmt: skip
        numbers = float(new.mean[0]), float(new.variance[0]), int(new.evaluations[0])
        found.append(RegionCheck(*names, record["point"], record["method"], new.verdict[0], *numbers))
    return found


def verify_maps(
    folder: str | Path,
    seed: int = 1,
    max_evaluations: int = 240,
    device: torch.device | str = "cpu",
    trust: bool = False,
    confidence: float = 0.95,
    environment: SemanticEnvironment | None = None,
) -> list[MapCheck]:
    """Sample tiles of every trust map of a job again; all that are called, or a random choice of them.

    The arguments are those of :func:`verify_folder`, but for ``max_evaluations`` of f for a map (a tile takes 24), and
    ``confidence`` that no call of any map is contradicted that was right. One result a map.

    Raises:
        ValueError: the job's own seed, weights or a mesh that are not the stated ones, a changed record.
    """
    records = read_maps(Path(folder))
    if not records:
        return []
    environment = environment or environment_for(folder, seed, device, trust)
    shapes = [(spec.class_name, spec.shape_id) for spec in environment.shapes]
    evidence = []
    for record in records:
        network, shape = environment.networks.index(record.network), shapes.index(record.shape)
        f, top1 = environment.rendered_function(network, shape), record.score == "top1"
        _check_same(environment, network, shape, record.weights_sha256, record.mesh_sha256)
        evidence.append(fresh_evidence(f, record.map, seed, "\0".join(record.shape), max_evaluations, top1))
    return check_maps(records, evidence, confidence)


def environment_for(folder: str | Path, seed: int, device: torch.device | str, trust: bool) -> SemanticEnvironment:
    """The environment of the folder of a finished job; the seed of the job is refused."""
    _check_finished(Path(folder) / "statements.jsonl")
    environment = environment_of(folder, device, trust)
    if seed == environment.seed:
        raise ValueError(f"--seed {seed} is that of the job, whose samples would be drawn again: give another one")
    return environment


def _check_same(
    environment: SemanticEnvironment, network: int, shape: int, weights: str | None, mesh: str | None
) -> None:
    """Refuse weights and a mesh that are not the stated ones."""
    for name, stated, now in (
        (environment.networks[network], weights, environment.weights_sha256[network]),
        (environment.shapes[shape].shape_id, mesh, environment.mesh_sha256[shape]),
    ):
        if stated != now:
            raise ValueError(f"'{name}' is not what was stated about: its SHA-256 is {now}, stated is {stated}")


def _check_finished(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"there is no '{path}': give the output folder of a finished job of evaluate.py")


def _statements(path: Path) -> list[dict[str, Any]]:
    """The statements of a job, at least one."""
    _check_finished(path)
    remedy = "start the job of the folder again, which writes it"
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for record in records:
            _ = record["verdict"], record["network"]["name"], record["shape"]["id"], record["axes"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"'{path}' does not hold the statements of a job ({error!r}): {remedy}") from error
    if not records:
        raise ValueError(f"'{path}' holds no statement: {remedy}")
    return records
