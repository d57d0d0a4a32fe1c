"""Runs as records, and the table of runs, which has one versioned schema."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from lightning_semrob.finders.statement import NOT_VERIFIED, Judgement
from lightning_semrob.finders.statuses import STATUSES
from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.utilities.files import write_atomically
from lightning_semrob.utilities.origin import Origin
from lightning_semrob.utilities.sealed import UNSEALED, check_seal, seal

SCHEMA_VERSION = 4
#: All verdicts.
VERDICTS = ("valid", "invalid", "undecided", NOT_VERIFIED)


#: The columns of verification.
_VERIFICATION = tuple(item.name for item in fields(Judgement) if item.name != "worst")
_KINDS = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
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
        ratio: this volume over that of the space.
        raw_ratio: the paper's capped volume over that of the space.
        status: how growing ended, a word of :data:`~lightning_semrob.finders.statuses.STATUSES`.
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
    judgement: Judgement = field(default_factory=Judgement)

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

    def check(self) -> None:
        """Raise ValueError for a status, verdict, count or number that no run has."""
        for name, value, known in (("status", self.status, STATUSES), ("verdict", self.verdict, VERDICTS)):
            if value not in known:
                raise ValueError(f"the run {self.key} has the {name} '{value}', which is none of {list(known)}")
        judgement = self.judgement
        counts = (self.point, self.steps, self.evaluations, self.gradient_evaluations, self.audit_evaluations)
        if min(*counts, judgement.verification_evaluations or 0, judgement.samples or 0) < 0:
            raise ValueError(f"the run {self.key} has a count below 0")
        for name in ("mean", "variance"):
            low, middle, high = (getattr(judgement, column) for column in (f"{name}_low", name, f"{name}_high"))
            if None not in (low, middle, high) and not 0 <= low <= middle <= high <= 1:
                raise ValueError(f"the run {self.key} has the {name} {middle} outside its bounds [{low}, {high}]")

    def check_box(self, u0: Sequence[float], space: SemanticSpace) -> None:
        """Raise ValueError for a box that no finder in the default mode grows from the initial point u0 of its task."""
        for axis, start in zip(space, u0, strict=True):
            known, a, b = self.u0[axis.name], self.a[axis.name], self.b[axis.name]
            if abs(known - start) > 1e-9 * axis.extent:
                raise ValueError(f"the run {self.key} starts at {axis.name} {known:g}, its task at {start:g}")
            slack = 1e-9 * axis.extent
            inside = b - a <= axis.extent + slack if axis.periodic else axis.low - slack <= a and b <= axis.high + slack
            if self.status != "invalid_score" and not (a <= b + slack and inside):
                raise ValueError(f"the run {self.key} has the box [{a:g}, {b:g}] on {axis.name}, which no finder grows")

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
        known: dict[str, Any] = {name: row.get(name) for name in _VERIFICATION}  # older tables have no spread
        worst = {axis: row[f"worst_{axis}"] for axis in axes} if row["worst_score"] is not None else {}
        return cls(**own, judgement=Judgement(**known, worst=worst))


def run_schema(space: SemanticSpace) -> pa.Schema:
    """Columns of the table of runs: identity, bounds (one column an axis, in its unit), volumes, status, cost, verdict.

    Columns ``u0_<axis>``, ``a_<axis>``, ``b_<axis>`` are float64; ``volume`` is intersected with the space; ``ratio``
    is this volume over that of the space, ``raw_ratio`` the paper's capped volume over that of the space;
    ``gradient_ratio_<axis>`` is the gradient over the slope of f around u0 where that was audited; ``samples`` is what
    mean and variance rest on, of all ``verification_evaluations``; ``views`` of the whole space come on top, in the
    first run of a shape and network. Verification columns are null and the verdict ``not verified`` for a box that
    nobody checked.
    """
    columns: list[tuple[str, pa.DataType]] = []
    for item in [*fields(Run), *fields(Judgement)]:
        if "dict" in str(item.type):
            columns += [(f"{item.name}_{axis}", pa.float64()) for axis in space.names]
        elif item.name != "judgement":
            columns.append((item.name, _KINDS[str(item.type).removesuffix(" | None")]))
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


def write_runs(path: Path, table: pa.Table, origin: Origin | None = None, config: str | None = None) -> None:
    """Write a table of runs as Parquet, with a checksum of the whole file.

    ``origin`` is what decided its numbers, where it is about one network and shape; ``config`` the SHA-256 of its
    configuration.
    """
    about = {b"origin": json.dumps(asdict(origin)).encode()} if origin else {}
    about |= {b"config": config.encode()} if config else {}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about, b"seal": UNSEALED.encode()})

    def write(file: Path) -> None:
        pa.parquet.write_table(table, file)
        file.write_bytes(seal(file.read_bytes()))

    write_atomically(path, write)


def read_runs_table(path: Path, remedy: str = "run its job again") -> pa.Table:
    """A table of runs as it was written.

    ValueError, ended by ``remedy``: it cannot be read, has changed, or is of another version of the schema.
    """
    try:
        content = path.read_bytes()
        version = _metadata(content, b"schema_version")
        if version != str(SCHEMA_VERSION):
            raise ValueError(f"it has version {version} of the table of runs, this is {SCHEMA_VERSION}")
        check_seal(content)
        return pa.parquet.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"'{path}' cannot be read ({error}): {remedy}") from error


def read_runs(path: Path, remedy: str = "run its job again") -> list[Run]:
    """The runs of a table; raises as :func:`read_runs_table`, and for a row that is no run."""
    table = read_runs_table(path, remedy)
    axes = run_space(path).names
    try:
        runs = [Run.of_columns(row, axes) for row in table.to_pylist()]
        for run in runs:
            run.check()
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"'{path}' does not hold runs ({error}): {remedy}") from error
    return runs


def origin_of_runs(path: Path, remedy: str) -> Origin:
    """What decided the numbers of a table of runs of one network and shape; ValueError where it does not say so."""
    try:
        return Origin.of_plain(json.loads(_metadata(path.read_bytes(), b"origin")))
    except ValueError as error:
        raise ValueError(f"'{path}' cannot be read ({error}): {remedy}") from error


def config_of_runs(path: Path) -> str | None:
    """SHA-256 of the configuration that a table of runs is of; None where there is no table, or it does not say so."""
    try:
        found = (pa.parquet.read_schema(path).metadata or {}).get(b"config")
    except (OSError, pa.ArrowException):
        return None
    return None if found is None else str(found.decode())


def _metadata(content: bytes, name: bytes) -> str:
    metadata = pa.parquet.read_schema(io.BytesIO(content)).metadata or {}
    return str(metadata.get(name, b"unknown").decode())


def run_space(path: Path) -> SemanticSpace:
    """The space of a table of runs."""
    metadata = pa.parquet.read_schema(path).metadata
    return SemanticSpace(tuple(Axis(**axis) for axis in json.loads(metadata[b"space"])))
