"""One run as a record, and the table of runs: one versioned schema, resumed and merged by identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from lightning_semrob.space import Axis, SemanticSpace

__all__ = [
    "NOT_VERIFIED",
    "SCHEMA_VERSION",
    "Judgement",
    "Origin",
    "Run",
    "read_runs",
    "run_schema",
    "run_space",
    "runs_table",
]

SCHEMA_VERSION = 4
#: The verdict of a box that nobody checked against Eq. 2.
NOT_VERIFIED = "not verified"


@dataclass(frozen=True)
class Origin:
    """All that decides the numbers of one network on one shape; every part of the output folder says its own.

    Attributes:
        network, weights: its name, and the SHA-256 of its weights.
        runtime: what computes its logits.
        class_name, shape_id, target: which shape, and which outputs count as right for it.
        mesh: SHA-256 of the mesh.
        renderer: its class, with package and version.
        config: SHA-256 of the text of ``config.yaml``.
    """

    network: str
    weights: str
    runtime: str
    class_name: str
    shape_id: str
    target: tuple[int, ...]
    mesh: str
    renderer: str
    config: str = ""

    def with_config(self, text: str) -> Origin:
        """The same under a configuration."""
        return replace(self, config=hashlib.sha256(text.encode()).hexdigest())

    @property
    def sha256(self) -> str:
        """One hash of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @classmethod
    def of_plain(cls, known: Mapping[str, Any]) -> Origin:
        """The origin of which ``dataclasses.asdict`` made plain data.

        Raises:
            ValueError: it is none.
        """
        try:
            return cls(**{**known, "target": tuple(known["target"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"it does not say what decided its numbers ({error})") from error

    def check(self, now: Origin, path: Path) -> None:
        """Raise ValueError with the name of what has changed since the results in ``path`` were measured.

        Args:
            now: the origin of the same network and shape, as they are now.
            path: of the results.
        """
        for name, what in (
            ("config", "config.yaml"),
            ("target", f"the outputs that count as right for class '{self.class_name}'"),
            ("weights", f"the weights of network '{self.network}'"),
            ("mesh", f"the mesh of shape '{self.shape_id}' of class '{self.class_name}'"),
            ("renderer", "the renderer"),
            ("runtime", f"what computes network '{self.network}'"),
        ):
            before, after = (_in_words(getattr(origin, name)) for origin in (self, now))
            if before != after:
                raise ValueError(
                    f"{what} has changed since the finished runs in '{path}' (then {before}, now {after}): undo that, "
                    "choose another --output, or --overwrite=true to drop them"
                )


def _in_words(value: str | tuple[int, ...]) -> str:
    """Hashes by their first digits, outputs separated by commas."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value if len(value) != 64 else value[:12]


@dataclass(frozen=True)
class Judgement:
    """What verification says about a box; None where it was not measured.

    Attributes:
        verdict: ``valid``, ``invalid``, ``undecided`` or ``not verified``.
        confidence: of the verdict and of each bound.
        mean, mean_low, mean_high, variance, variance_low, variance_high: of f in the box, with the bounds of its tests.
        top1_rate: part of the sampled views that the network recognises.
        worst_score: smallest sampled f.
        u0_robust: whether the initial point is robust itself.
        samples: that mean and variance rest on.
        verification_evaluations: of f, all of them.
        views, viewpoint_top1, viewpoint_score: of the first run of a shape and network, independent views of the whole
            space, the part of them that the network recognises, and the mean of f.
        worst: axis -> value of the view with the smallest f.
    """

    verdict: str = NOT_VERIFIED
    confidence: float | None = None
    mean: float | None = None
    mean_low: float | None = None
    mean_high: float | None = None
    variance: float | None = None
    variance_low: float | None = None
    variance_high: float | None = None
    top1_rate: float | None = None
    worst_score: float | None = None
    u0_robust: bool | None = None
    samples: int | None = None
    verification_evaluations: int | None = None
    views: int | None = None
    viewpoint_top1: float | None = None
    viewpoint_score: float | None = None
    worst: dict[str, float | None] = field(default_factory=dict)


#: The columns of verification, and those of them that are no float64.
_VERIFICATION = tuple(item.name for item in fields(Judgement) if item.name != "worst")
_KINDS = {
    "verdict": pa.string(),
    "u0_robust": pa.bool_(),
    "samples": pa.int64(),
    "verification_evaluations": pa.int64(),
    "views": pa.int64(),
}
#: Fields of a run that are one column an axis.
_BY_AXIS = ("u0", "a", "b", "gradient_ratio")


@dataclass(frozen=True)
class Run:
    """One finder from one initial point of one shape and network: its box, what it cost, and what is known about it.

    Attributes:
        network, class_name, shape_id, point, method: which run it is.
        target: network outputs that count as right, comma-separated.
        u0, a, b: axis -> initial point and bounds, in the units of the axes.
        volume: of the box intersected with the space.
        ratio: it over the volume of the space.
        raw_ratio: the paper's capped volume over that of the space.
        status: how growing ended, a word of :data:`~lightning_semrob.finders.base.STATUSES`.
        steps, evaluations, gradient_evaluations: of growing.
        loss: of the last step.
        micro_batch_size: images in a network call.
        weights_sha256, mesh_sha256: what the box was grown with.
        audit_evaluations: for comparing gradients with slopes.
        gradient_ratio: axis -> gradient over the slope of f around u0, where that was audited.
        judgement: on the box.
    """

    network: str
    class_name: str
    shape_id: str
    point: int
    method: str
    target: str = ""
    u0: dict[str, float] = field(default_factory=dict)
    a: dict[str, float] = field(default_factory=dict)
    b: dict[str, float] = field(default_factory=dict)
    volume: float | None = None
    ratio: float | None = None
    raw_ratio: float | None = None
    status: str = "running"
    steps: int = 0
    evaluations: int = 0
    gradient_evaluations: int = 0
    loss: float | None = None
    micro_batch_size: int = 0
    weights_sha256: str | None = None
    mesh_sha256: str | None = None
    audit_evaluations: int = 0
    gradient_ratio: dict[str, float | None] = field(default_factory=dict)
    judgement: Judgement = Judgement()

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """Two runs with equal keys are the same run."""
        return self.network, self.class_name, self.shape_id, self.point, self.method

    @property
    def shape(self) -> tuple[str, str]:
        """Class and id of the shape."""
        return self.class_name, self.shape_id

    @property
    def verdict(self) -> str:
        """Of the judgement."""
        return self.judgement.verdict

    def columns(self) -> dict[str, Any]:
        """The run as a row of the table (:func:`run_schema`)."""
        flat: dict[str, Any] = asdict(self)
        judgement = flat.pop("judgement")
        del judgement["worst"]
        for name in _BY_AXIS:
            flat |= {f"{name}_{axis}": value for axis, value in flat.pop(name).items()}
        worst = {f"worst_{axis}": value for axis, value in self.judgement.worst.items()}
        return {**flat, **judgement, **worst}

    @classmethod
    def of_columns(cls, row: Mapping[str, Any], axes: Sequence[str]) -> Run:
        """The run of a row of the table."""
        own = {item.name: row[item.name] for item in fields(cls) if item.name not in (*_BY_AXIS, "judgement")}
        own |= {name: {axis: row[f"{name}_{axis}"] for axis in axes} for name in _BY_AXIS}
        known = {name: row[name] for name in _VERIFICATION}
        worst = {axis: row[f"worst_{axis}"] for axis in axes} if row["worst_score"] is not None else {}
        return cls(**own, judgement=Judgement(**known, worst=worst))


def run_schema(space: SemanticSpace) -> pa.Schema:
    """Columns of the table of runs: identity, bounds (one column an axis, in its unit), volumes, status, cost, verdict.

    Columns ``u0_<axis>``, ``a_<axis>``, ``b_<axis>`` are float64; ``volume`` is intersected with the space, ``ratio``
    is it over the volume of the space, ``raw_ratio`` the paper's capped volume over it; ``gradient_ratio_<axis>`` is
    the gradient over the slope of f around u0 where that was audited; ``samples`` is what mean and variance rest on, of
    all ``verification_evaluations``; ``views`` of the whole space come on top, in the first run of a shape and network.
    Verification columns are null and the verdict ``not verified`` for a box that nobody checked.
    """
    number, whole, word = pa.float64(), pa.int64(), pa.string()
    columns: list[tuple[str, pa.DataType]] = [
        ("network", word),
        ("class_name", word),
        ("shape_id", word),
        ("point", whole),
        ("method", word),
        ("target", word),
        *[(f"{side}_{axis}", number) for side in ("u0", "a", "b") for axis in space.names],
        ("volume", number),
        ("ratio", number),
        ("raw_ratio", number),
        ("status", word),
        ("steps", whole),
        ("evaluations", whole),
        ("gradient_evaluations", whole),
        ("loss", number),
        ("micro_batch_size", whole),
        ("weights_sha256", word),
        ("mesh_sha256", word),
        ("audit_evaluations", whole),
        *[(f"gradient_ratio_{axis}", number) for axis in space.names],
        *[(name, _KINDS.get(name, number)) for name in _VERIFICATION],
        *[(f"worst_{axis}", number) for axis in space.names],
    ]
    return pa.schema(
        [pa.field(name, kind) for name, kind in columns],
        metadata={"schema_version": str(SCHEMA_VERSION), "space": json.dumps(space.as_dict())},
    )


def runs_table(runs: Sequence[Run], space: SemanticSpace) -> pa.Table:
    """The table of runs."""
    rows, schema = [run.columns() for run in runs], run_schema(space)
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], schema.field(name).type) for name in schema.names},
        schema=schema,
    )


def read_runs(path: Path, remedy: str = "run its job again") -> list[Run]:
    """The runs of a table.

    Raises:
        ValueError: it cannot be read, or is of another version of the schema; ``remedy`` ends the sentence.
    """
    try:
        table = pa.parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"'{path}' cannot be read ({error}): {remedy}") from error
    version = (table.schema.metadata or {}).get(b"schema_version", b"unknown").decode()
    if version != str(SCHEMA_VERSION):
        raise ValueError(f"'{path}' has version {version} of the table of runs, this is {SCHEMA_VERSION}: {remedy}")
    axes = run_space(path).names
    return [Run.of_columns(row, axes) for row in table.to_pylist()]


def run_space(path: Path) -> SemanticSpace:
    """The space of a table of runs."""
    metadata = pa.parquet.read_schema(path).metadata
    return SemanticSpace(tuple(Axis(**axis) for axis in json.loads(metadata[b"space"])))
