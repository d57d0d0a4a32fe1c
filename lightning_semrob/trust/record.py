"""One trust map of a job as a record: what it is about, what was found, and a checksum of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.trust.map import TrustMap
from lightning_semrob.trust.tiles import Tiles
from lightning_semrob.utilities.files import plain_json, write_text
from lightning_semrob.utilities.origin import Origin
from lightning_semrob.verification.region import AxisDensity, named_weights

#: Version of the records; a field that changes its meaning or goes raises it.
RECORD_VERSION = 2

#: The file of a job's output folder that holds one record a line.
MAPS_FILE = "trust_maps.jsonl"

_ARRAYS = ("verdict", "low", "high", "mean", "count", "scores")


@dataclass(frozen=True)
class TrustRecord:
    """The trust map of one network and shape.

    Attributes:
        network, class_name, shape_id: which map it is.
        target: network outputs that count as right.
        score: what the maps are about.
        map: the map.
        max_evaluations: the budget.
        top1, top1_low, top1_high: rate of right answers over the space with its interval, from one view of every tile;
            None where the views are weighed by a density.
        weights_sha256, mesh_sha256, micro_batch_size, precision: what f was.
        about: what all maps of the job share: renderer, fixed axes, versions; plain data.
    """

    network: str
    class_name: str
    shape_id: str
    target: tuple[int, ...]
    score: str
    map: TrustMap
    max_evaluations: int
    top1: float | None
    top1_low: float | None
    top1_high: float | None
    weights_sha256: str | None
    mesh_sha256: str | None
    micro_batch_size: int
    precision: str
    about: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        """Two records with equal keys are of the same map."""
        return self.network, self.class_name, self.shape_id

    @property
    def shape(self) -> tuple[str, str]:
        """Class and id of the shape."""
        return self.class_name, self.shape_id

    def same_map(self, other: TrustRecord) -> bool:
        """Whether the maps are equal, whatever the job says of itself (configuration, versions)."""
        return replace(self, about={}).line() == replace(other, about={}).line()

    @property
    def origin(self) -> Origin:
        """The settings that decided its numbers, as far as they were recorded."""
        renderer, runtimes = self.about.get("renderer", {}), self.about.get("runtimes", {})
        return Origin(
            self.network,
            str(self.weights_sha256),
            str(runtimes.get(self.network)),
            self.class_name,
            self.shape_id,
            self.target,
            str(self.mesh_sha256),
            f"{renderer.get('name')} of {renderer.get('version')}",
            str(self.about.get("config")),
        )

    def line(self) -> str:
        """The record as one line of JSON; its last field ``sha256`` is the checksum of the others."""
        m, tiles, space = self.map, self.map.tiles, self.map.space
        boxes, traps = m.boxes(), m.traps()
        content: dict[str, Any] = {
            "record": "trust map",
            "version": RECORD_VERSION,
            "network": {
                "name": self.network,
                "weights_sha256": self.weights_sha256,
                "micro_batch_size": self.micro_batch_size,
                "precision": self.precision,
            },
            "shape": {"class": self.class_name, "id": self.shape_id, "mesh_sha256": self.mesh_sha256},
            "target": list(self.target),
            "score": self.score,
            "axes": space.as_dict(),
            "density": named_weights(space, tiles.density),
            "tiles": list(tiles.shape),
            "eps": m.eps,
            "alpha": m.alpha,
            "error": m.error,
            "seed": m.seed,
            "stream": m.stream,
            "max_evaluations": self.max_evaluations,
            "evaluations": m.evaluations,
            "trusted_share": m.trusted_share,
            "failing_share": m.failing_share,
            "undecided_share": m.share("undecided"),
            "top1": {"estimate": self.top1, "low": self.top1_low, "high": self.top1_high},
            **{name: plain_json(getattr(m, name)) for name in _ARRAYS},
            "boxes": [
                {"low": low, "high": high, "share": share}
                for low, high, share in zip(boxes.a.tolist(), boxes.b.tolist(), boxes.share.tolist(), strict=True)
            ],
            "traps": [
                {
                    "low": trap.a.tolist(),
                    "high": trap.b.tolist(),
                    "share": trap.share,
                    "mean": trap.mean,
                    "worst_tile": trap.worst,
                    "worst_mean": trap.worst_mean,
                    "at_edge": trap.at_edge,
                }
                for trap in traps
            ],
            **self.about,
        }
        return json.dumps({**content, "sha256": _checksum(content)}, allow_nan=False) + "\n"

    @classmethod
    def of_line(cls, line: str) -> TrustRecord:
        """The record of a line of JSON.

        Raises:
            ValueError: no record, another version, a wrong checksum, or a missing field.
        """
        statement = json.loads(line)
        if not isinstance(statement, dict):
            raise ValueError("it holds no fields")
        content = {name: value for name, value in statement.items() if name != "sha256"}
        if content.get("version") != RECORD_VERSION:
            raise ValueError(f"it is of version {content.get('version')} of the records, this is {RECORD_VERSION}")
        if statement.get("sha256") != _checksum(content):
            raise ValueError("its content does not fit its checksum: it was changed after it was written")
        try:
            space = SemanticSpace(tuple(Axis(**axis) for axis in content["axes"]))
            weights = content["density"]
            density = None
            if weights is not None:
                density = [AxisDensity(weights[name]) if name in weights else None for name in space.names]
            arrays = {name: np.array(content[name], dtype=np.float64) for name in ("low", "high", "mean", "scores")}
            found = TrustMap(
                Tiles(space, tuple(content["tiles"]), density),
                content["eps"],
                content["alpha"],
                content["error"],
                content["seed"],
                verdict=np.array(content["verdict"]),
                **arrays,
                count=np.array(content["count"], dtype=np.int64),
                stream=content["stream"],
                evaluations=content["evaluations"],
            )
            own = ("axes", "density", "tiles", "boxes", "traps", "eps", "alpha", "error", "seed", "evaluations")
            used = {*_ARRAYS, *own, "record", "version", "network", "shape", "target", "score", "top1", "stream",
                    "max_evaluations", "trusted_share", "failing_share", "undecided_share"}  # fmt: skip
            network, shape, top1 = content["network"], content["shape"], content["top1"]
            return cls(
                network["name"],
                shape["class"],
                shape["id"],
                tuple(content["target"]),
                content["score"],
                found,
                content["max_evaluations"],
                top1["estimate"],
                top1["low"],
                top1["high"],
                network["weights_sha256"],
                shape["mesh_sha256"],
                network["micro_batch_size"],
                network["precision"],
                {name: value for name, value in content.items() if name not in used},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"a field is missing or of another kind: {error}") from error


def _checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content as JSON with sorted names."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def write_records(path: Path, records: Sequence[TrustRecord]) -> None:
    """Write records, one JSON object a line."""
    write_text(path, "".join(record.line() for record in records))


def read_records(path: Path, remedy: str = "run its job again") -> list[TrustRecord]:
    """The records of a file.

    Raises:
        ValueError: a line that is no intact record; ``remedy`` ends the sentence.
    """
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            records.append(TrustRecord.of_line(line))
        except ValueError as error:
            raise ValueError(f"line {number} of '{path}' is no trust map ({error}): {remedy}") from error
    return records


def read_maps(folder: Path) -> list[TrustRecord]:
    """The trust maps of a finished job's folder, none where it made none; raises as :func:`read_records`."""
    path = folder / MAPS_FILE
    return read_records(path) if path.is_file() else []
