"""``semrob verify FOLDER``: do the stated regions and the calls of the trust maps hold under fresh samples?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lightning_semrob.commands.parsing import TRUST_HELP, Parser, quiet
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.finders.base import prepare_function
from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.networks.probe import probe_in_words
from lightning_semrob.report.tables import format_table
from lightning_semrob.sharing.strategies import device_of
from lightning_semrob.space import Box
from lightning_semrob.trust.fresh import MapCheck, check_maps, fresh_evidence
from lightning_semrob.trust.record import read_maps
from lightning_semrob.utilities.random import named_seed
from lightning_semrob.utilities.record import Record
from lightning_semrob.verification.region import verify

__all__ = ["RegionCheck", "main", "verify_folder", "verify_maps"]

#: Exit code where a region that was stated as valid is found invalid, or a map has more wrong calls than it states.
REFUTED = 1


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
        folder: output folder of ``evaluate.py``.
        seed: of the fresh samples; another one than the job's.
        evaluations: of f for a region, at most.
        device: where rendering and networks run.
        trust: import the modules of callables and classes that the folder names.
        environment: of the folder; made anew if None.

    Raises:
        ValueError: no statements, the job's own seed, weights or a mesh that are not the stated ones.
    """
    path = Path(folder) / "statements.jsonl"
    if not path.is_file():
        raise ValueError(f"there is no '{path}': give the output folder of a finished job of evaluate.py")
    records = _statements(path)
    environment = environment or _environment(folder, seed, device, trust)
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

    Args:
        folder: output folder of ``evaluate.py``.
        seed: of the fresh samples; another one than the job's.
        max_evaluations: of f for a map; a tile takes 24.
        device, trust: as in :func:`verify_folder`.
        confidence: that no call of any map is contradicted that was right.
        environment: of the folder; made anew if None.

    Returns:
        One result a map; none where the job made no maps.

    Raises:
        ValueError: the job's own seed, weights or a mesh that are not the stated ones, a changed record.
    """
    records = read_maps(Path(folder))
    if not records:
        return []
    environment = environment or _environment(folder, seed, device, trust)
    shapes = [(spec.class_name, spec.shape_id) for spec in environment.shapes]
    evidence = []
    for record in records:
        network, shape = environment.networks.index(record.network), shapes.index(record.shape)
        f, top1 = environment.rendered_function(network, shape), record.score == "top1"
        _check_same(environment, network, shape, record.weights_sha256, record.mesh_sha256)
        evidence.append(fresh_evidence(f, record.map, seed, "\0".join(record.shape), max_evaluations, top1))
    return check_maps(records, evidence, confidence)


def _environment(folder: str | Path, seed: int, device: torch.device | str, trust: bool) -> SemanticEnvironment:
    """The environment of a folder; the seed of its job is refused."""
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


def _statements(path: Path) -> list[dict[str, Any]]:
    """The statements of a job, at least one."""
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


def main(args: Sequence[str]) -> list[RegionCheck]:
    """The command; returns what it prints, or exits with 1 where a region is refuted."""
    parser = Parser(
        "verify",
        "Sample every region that an output folder states as valid again, and called tiles of its trust maps. Exit "
        "codes: 0; 1 where a region is found invalid or a map has more wrong calls than it states; 2 where network or "
        "mesh are not those of the statement.",
    )
    parser.add_argument("folder", type=str, help="output folder of evaluate.py")
    parser.add_argument("--seed", type=int, default=1, help="of the samples, another one than the job's")
    parser.add_argument("--evaluations", type=int, default=1200, help="of f for a region, at most")
    parser.add_argument("--map_evaluations", type=int, default=240, help="of f for a trust map, at most; 0: no maps")
    parser.add_argument("--accelerator", type=str, default="auto", help="cpu, gpu or auto")
    parser.add_argument("--trust", type=bool, default=False, help=TRUST_HELP)
    options = parser.parse_args(list(args))
    quiet()
    device = device_of(options.accelerator)
    environment = _environment(options.folder, options.seed, device, options.trust)
    about = {"device": device, "trust": options.trust, "environment": environment}
    found = verify_folder(options.folder, options.seed, options.evaluations, **about)
    budget = options.map_evaluations
    maps = verify_maps(options.folder, options.seed, budget, **about) if budget else []
    labels = labels_by_name([item.network for item in found])
    shown = [replace(item, network=labels[item.network]) for item in found]
    lines = [[f"{x:.3f}" if isinstance(x, float) else str(x) for x in item.values()] for item in shown]
    columns = [name.removesuffix("_name") for name in RegionCheck.__annotations__]
    print(format_table(columns, lines, left=3) if lines else "no region is stated as valid")
    refuted = sum(item.verdict == "invalid" for item in found)
    print(
        f"\n{len(found)} regions were stated as valid; {refuted} of them are found invalid by fresh samples, with the "
        "confidence of the statements for all of these verdicts together"
    )
    if maps:
        print(f"\n{_format_maps(maps)}")
    if environment.models.probed:
        print(probe_in_words(environment.models.probed))
    if refuted or any(item.refuted for item in maps):
        raise SystemExit(REFUTED)
    return found


def _format_maps(maps: Sequence[MapCheck]) -> str:
    """A table of the maps, and what was found in a sentence."""
    columns = ["network", "class", "shape", "calls", "sampled again", "contradicted", "states wrong calls", ""]
    labels = labels_by_name([item.network for item in maps])
    lines = [
        [
            *(
                labels[item.network],
                item.class_name,
                item.shape_id,
                str(item.called),
                str(item.tested),
                str(item.contradicted),
            ),
            f"<= {100 * item.alpha:g} %" if item.error == "fdr" else f"none, at {100 * (1 - item.alpha):g} %",
            "refuted" if item.refuted else "",
        ]
        for item in maps
    ]
    tested, wrong, refuted = (
        sum(getattr(item, name) for item in maps) for name in ("tested", "contradicted", "refuted")
    )
    return (
        f"{format_table(columns, lines, left=3)}\n\n{tested} calls of {len(maps)} trust maps were sampled again; "
        f"{wrong} are contradicted (with 95 % confidence for all of them together); {refuted} maps have more wrong "
        "calls than they state"
    )
