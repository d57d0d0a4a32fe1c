"""The rows of a run: one versioned schema, written atomically, resumed and merged by identity."""

from __future__ import annotations

import difflib
import json
import math
import platform
import shutil
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import torch

from lightning_semrob.evaluation.statements import region_statement
from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.utilities.files import read_json, write_atomically, write_csv, write_text

__all__ = [
    "NOT_VERIFIED",
    "SCHEMA_VERSION",
    "VERIFICATION_COLUMNS",
    "Row",
    "RunFolder",
    "read_runs",
    "run_key",
    "run_schema",
    "run_space",
    "versions",
    "write_atomically",
]

SCHEMA_VERSION = 3
#: The verdict of a box that nobody checked against Eq. 2.
NOT_VERIFIED = "not verified"

Row = dict[str, Any]

#: What verification adds to a run (and the worst point, one column an axis).
VERIFICATION_COLUMNS = (
    "verdict",
    "confidence",
    "mean",
    "mean_low",
    "mean_high",
    "variance",
    "variance_low",
    "variance_high",
    "top1_rate",
    "worst_score",
    "u0_robust",
    "samples",
    "verification_evaluations",
)
#: The columns of these that are no numbers.
_KINDS = {
    "verdict": pa.string(),
    "u0_robust": pa.bool_(),
    "samples": pa.int64(),
    "verification_evaluations": pa.int64(),
}

#: What a job writes beside its configuration and its parts.
_WRITTEN = (
    "job.json", "runs.parquet", "runs.csv", "statements.jsonl", "summary.json", "versions.json", "maps.nc",
    "report.html",
)  # fmt: skip

#: Identity of a run: two rows with equal values here are the same run.
KEY = ("network", "class_name", "shape_id", "point", "method")


def run_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a run the same run."""
    return tuple(row[name] for name in KEY)


def run_schema(space: SemanticSpace) -> pa.Schema:
    """Columns of the table of runs: identity, bounds (one column an axis, in its unit), volumes, status, cost, verdict.

    Columns ``u0_<axis>``, ``a_<axis>``, ``b_<axis>`` are float64; ``volume`` is intersected with the space, ``ratio``
    is it over the volume of the space, ``raw_ratio`` the paper's capped volume over it; ``gradient_ratio_<axis>`` is
    the gradient over the slope of f around u0 where that was audited; ``samples`` is what mean and variance rest on, of
    all ``verification_evaluations``. Verification columns are null and the verdict ``not verified`` for a box that
    nobody checked.
    """
    number, whole, word = pa.float64(), pa.int64(), pa.string()
    bounds = [(f"{side}_{axis}", number) for side in ("u0", "a", "b") for axis in space.names]
    columns: list[tuple[str, pa.DataType]] = [
        ("network", word),
        ("class_name", word),
        ("shape_id", word),
        ("point", whole),
        ("method", word),
        ("target", pa.string()),
        *bounds,
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
        *[(name, _KINDS.get(name, number)) for name in VERIFICATION_COLUMNS],
        *[(f"worst_{axis}", number) for axis in space.names],
    ]
    return pa.schema(
        [pa.field(name, kind) for name, kind in columns],
        metadata={"schema_version": str(SCHEMA_VERSION), "space": json.dumps(space.as_dict())},
    )


def _table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    rows = list(rows)
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], schema.field(name).type) for name in schema.names},
        schema=schema,
    )


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ["lightning-semrob", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "trimesh"]
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    found["torch_threads"] = str(torch.get_num_threads())
    return found


def read_runs(path: Path, remedy: str) -> list[Row]:
    """The rows of a table of runs.

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
    rows: list[Row] = table.to_pylist()
    return rows


def run_space(path: Path) -> SemanticSpace:
    """The space of a table of runs."""
    metadata = pa.parquet.read_schema(path).metadata
    return SemanticSpace(tuple(Axis(**axis) for axis in json.loads(metadata[b"space"])))


class RunFolder:
    """The output folder of one job.

    ``config.yaml`` (what decides the numbers), ``job.json`` (what all statements share), ``parts/*.parquet`` (finished
    runs, as they end), then ``runs.parquet``, ``runs.csv``, ``statements.jsonl``, ``summary.json``, ``versions.json``.

    Args:
        path: the folder; made if absent.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def open(self, config: str, overwrite: bool = False) -> None:
        """Make the folder, or go on in it.

        Args:
            config: the resolved configuration that decides the numbers, as yaml.
            overwrite: start anew, dropping what the folder holds of a job.

        Raises:
            ValueError: the folder belongs to another configuration; the difference is in the message.
            OSError: the folder cannot be written.
        """
        target = self.path / "config.yaml"
        if overwrite:
            shutil.rmtree(self.path / "parts", ignore_errors=True)
            for name in _WRITTEN:
                (self.path / name).unlink(missing_ok=True)
        elif target.exists():
            old = target.read_text()
            if old != config:
                lines = difflib.unified_diff(
                    old.splitlines(), config.splitlines(), "in the folder", "asked for", n=0, lineterm=""
                )
                difference = "\n".join(lines)
                raise ValueError(
                    f"'{self.path}' holds the results of another configuration:\n{difference}\n"
                    "Choose another --output, or --overwrite=true to drop the old results."
                )
            return
        write_text(target, config)

    def check_space(self, needed: int = 50 * 2**20) -> None:
        """Raise OSError where less than ``needed`` bytes are free."""
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise OSError(f"'{self.path}' has {free / 2**20:.0f} MiB free, {needed / 2**20:.0f} MiB are needed")

    def note_job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what :func:`~lightning_semrob.evaluation.statements.describe_job` says, with the versions of all starts.

        Returns:
            It, as it is in ``job.json``.
        """
        known = self.job()
        versions = [*(known["versions"] if known else [])]
        versions += [found for found in job["versions"] if found not in versions]
        self.write_json("job.json", {**job, "versions": versions})
        noted = self.job()
        assert noted is not None
        return noted

    def job(self) -> dict[str, Any] | None:
        """What ``job.json`` holds, None where there is none."""
        path = self.path / "job.json"
        return read_json(path) if path.is_file() else None

    def save_part(self, rows: list[Row], space: SemanticSpace, name: str) -> None:
        """Keep finished runs in the part ``name``, in place of what it held."""
        if not rows:
            return
        table = _table(rows, run_schema(space))
        write_atomically(self.path / "parts" / f"{name}.parquet", lambda path: pa.parquet.write_table(table, path))

    def load_parts(self) -> list[Row]:
        """Finished runs of earlier starts, each once.

        Raises:
            ValueError: a part cannot be read; it is named with the remedy.
        """
        rows: dict[tuple[Any, ...], Row] = {}
        for path in sorted((self.path / "parts").glob("*.parquet")):
            for row in read_runs(path, "delete it and its runs are computed again"):
                known = rows.get(run_key(row))
                if known is None or known["verdict"] == NOT_VERIFIED:
                    rows[run_key(row)] = row
        return list(rows.values())

    def finish(self, rows: list[Row], space: SemanticSpace, summary: Mapping[str, Any], job: Mapping[str, Any]) -> None:
        """Write the whole table (Parquet and CSV), a statement for each run of a ``job``, the summary, the versions."""
        table = _table(rows, run_schema(space))
        write_atomically(self.path / "runs.parquet", lambda path: pa.parquet.write_table(table, path))
        write_csv(self.path / "runs.csv", table)
        lines = [json.dumps(_plain(region_statement(row, space, job)), allow_nan=False) + "\n" for row in rows]
        write_text(self.path / "statements.jsonl", "".join(lines))
        self.write_json("summary.json", summary)
        self.write_json("versions.json", versions())

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file; NaN becomes null."""
        text = json.dumps(_plain(content), indent=2, allow_nan=False)
        write_text(self.path / name, text + "\n")


def _plain(value: Any) -> Any:
    """Plain JSON data: NaN and infinities become null, tensors lists."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
