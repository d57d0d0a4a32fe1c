"""The output folder of a job, from its first run to its tables, and reading it again later."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import platform
import shutil
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.records import Run, config_of_runs, origin_of_runs, read_runs, runs_table, write_runs
from lightning_semrob.evaluation.statements import JobDescription, region_statement
from lightning_semrob.finders.statement import NOT_VERIFIED
from lightning_semrob.functions.precision import set_arithmetic
from lightning_semrob.functions.trusted import refuse_code
from lightning_semrob.networks.runtime import Runtime
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.files import check_writable, plain_json, read_json, write_csv, write_text
from lightning_semrob.utilities.origin import Origin, text_sha256

try:
    import fcntl
except ImportError:  # Windows: two jobs in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]

#: What a job writes beside its configuration and its parts.
_WRITTEN = (
    "job.json", "runs.parquet", "runs.csv", "statements.jsonl", "trust_maps.jsonl", "summary.json", "versions.json",
    "maps.nc", "report.html",
)  # fmt: skip


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


@dataclass(frozen=True)
class Part:
    """Finished runs of one network and shape, and what decided their numbers."""

    path: Path
    origin: Origin
    runs: list[Run]


class RunFolder:
    """The output folder of one job.

    ``config.yaml`` (what decides the numbers), ``job.json`` (what all statements share), ``parts/*.parquet`` (finished
    runs, as they end), then ``runs.parquet``, ``runs.csv``, ``statements.jsonl``, ``summary.json``, ``versions.json``.

    Args:
        path: the folder; made if absent.
        config: the text of its configuration; that of ``config.yaml`` if None.
    """

    def __init__(self, path: str | Path, config: str | None = None) -> None:
        self.path = Path(path).expanduser()
        self._config = config

    @property
    def config(self) -> str:
        """The text of the configuration; empty where there is none."""
        target = self.path / "config.yaml"
        if self._config is None:
            return target.read_text(encoding="utf-8") if target.is_file() else ""
        return self._config

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other jobs out of the folder; the lock of a process that was killed is none.

        ValueError names the process that works in the folder; OSError where it cannot be written.
        """
        path = self.path / ".lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise OSError(
                error.errno, f"cannot write '{path}' ({error.strerror}): free space or choose another --output"
            ) from error
        with file:
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise ValueError(
                    f"{file.read() or 'another process'} works in '{self.path}': wait for it, or choose another "
                    "--output"
                ) from error
            except OSError as error:
                warnings.warn(
                    f"the file system of '{self.path}' has no locks ({error.strerror}): start no second job there",
                    stacklevel=2,
                )
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    def _refuse_strangers(self) -> None:
        """Raise ValueError for a folder that is neither empty nor a job's: nothing in it is ours to write over."""
        if not self.path.is_dir() or self._is_job():
            return
        found = sorted(path.name for path in self.path.iterdir() if not path.name.startswith("."))
        if found:
            without = " without the config.yaml that says what they are of" if "parts" in found else ""
            raise ValueError(
                f"'{self.path}' is not empty and is no output folder of a job (it holds {', '.join(found[:3])}"
                f"{', ...' if len(found) > 3 else ''}{without}): choose another --output"
            )

    def _is_job(self) -> bool:
        """Whether the folder has the configuration of an evaluation or of a training."""
        import yaml

        try:
            known = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
            return "judging" in known or {"networks", "shapes"} <= set(known["data"])
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            return False

    def _drop(self, also: Sequence[str]) -> None:
        """Delete what the folder holds of a job, and files of some patterns; OSError where that cannot be done."""
        parts = self.path / "parts"
        try:
            if parts.is_symlink():
                raise OSError(None, "it is a link, and what is behind links is not deleted")
            if parts.exists():
                shutil.rmtree(parts)
            for path in (self.path / name for name in _WRITTEN):
                path.unlink(missing_ok=True)
            for path in (path for pattern in also for path in self.path.glob(pattern)):
                path.unlink()
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot drop the old results '{error.filename or parts}' ({error.strerror}): delete them, or choose "
                "another --output",
            ) from error

    def open(self, config: str, overwrite: bool = False, also: Sequence[str] = ()) -> None:
        """Make the folder, or go on in it.

        Args:
            config: the resolved configuration that decides the numbers, as yaml.
            overwrite: start anew and drop what an earlier job left in the folder.
            also: patterns of what that is, beside the files of an evaluation.

        Raises:
            ValueError: the folder belongs to another configuration (the difference is in the message), or is neither
                empty nor a job's.
            OSError: the folder cannot be written, or old results cannot be deleted.
        """
        target = self.path / "config.yaml"
        if not (target.is_file() and target.read_text(encoding="utf-8") == config):
            self._refuse_strangers()
        self._config = config
        if overwrite:
            self._drop(also)
        elif target.exists():
            old = target.read_text(encoding="utf-8")
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
        """Raise OSError where less than ``needed`` bytes are free, or no part can be written."""
        check_writable(self.path / "parts")
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise OSError(f"'{self.path}' has {free / 2**20:.0f} MiB free, {needed / 2**20:.0f} MiB are needed")

    def note_job(self, job: JobDescription) -> JobDescription:
        """Write what all statements share to ``job.json``, with the versions of all starts; returns it."""
        known = self.job()
        versions = [*(known.versions if known else [])]
        versions += [found for found in job.versions if found not in versions]
        kept = replace(job, versions=versions)
        self.write_json("job.json", kept)
        return kept

    def check_runtimes(self, job: JobDescription) -> None:
        """Raise ValueError where the job in the folder began with another runtime of a network."""
        known = self.job()
        for network, now in job.runtimes.items():
            before = known.runtimes.get(network) if known else None
            if before is not None and before.name != now.name:
                raise ValueError(
                    f"'{self.path}' was begun with {before.name} {before.version} for the network '{network}', "
                    f"and now it would run with {now.name}. {now.reason} Give data.runtime={before.name}, "
                    "another --output, or --overwrite=true to drop the old results."
                )

    def job(self) -> JobDescription | None:
        """The content of ``job.json``; None if there is none, ValueError where it does not describe a job."""
        path = self.path / "job.json"
        if not path.is_file():
            return None
        try:
            saved = read_json(path)
            runtimes = {network: Runtime(**runtime) for network, runtime in saved.pop("runtimes", {}).items()}
            return JobDescription(**saved, runtimes=runtimes)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"'{path}' does not describe a job ({error}): delete it, its job writes it again"
            ) from error

    def save_part(self, runs: Sequence[Run], space: SemanticSpace, name: str, origin: Origin) -> None:
        """Keep finished runs of one network and shape in the part ``name``, in place of what it held."""
        if runs:
            path = self.path / "parts" / f"{name}.parquet"
            write_runs(path, runs_table(runs, space), origin.with_config(self.config))

    def parts(self) -> list[Part]:
        """What earlier starts have finished.

        ValueError names a part that cannot be read, has changed or is of another configuration, with the remedy.
        """
        remedy = "delete it and its runs are computed again"
        paths = sorted((self.path / "parts").glob("*.parquet"))
        found = [Part(path, runs=read_runs(path, remedy), origin=origin_of_runs(path, remedy)) for path in paths]
        for part in found:
            part.origin.check(part.origin.with_config(self.config), part.path)
        return found

    def load_parts(self) -> list[Run]:
        """Finished runs of earlier starts, each once; raises as :meth:`parts`."""
        runs: dict[tuple[Any, ...], Run] = {}
        for part in self.parts():
            for run in part.runs:
                if run.key not in runs or runs[run.key].verdict == NOT_VERIFIED:
                    runs[run.key] = run
        return list(runs.values())

    def finish(
        self, runs: Sequence[Run], space: SemanticSpace, summary: Mapping[str, Any], job: JobDescription
    ) -> None:
        """Write the whole table (Parquet and CSV), a statement for each run of a ``job``, the summary, the versions."""
        table = runs_table(runs, space)
        write_runs(self.path / "runs.parquet", table, config=text_sha256(self.config))
        write_csv(self.path / "runs.csv", table)
        lines = [json.dumps(plain_json(region_statement(run, space, job)), allow_nan=False) + "\n" for run in runs]
        write_text(self.path / "statements.jsonl", "".join(lines))
        self.write_json("summary.json", summary)
        self.write_json("versions.json", versions())

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file; NaN becomes null."""
        text = json.dumps(plain_json(content), indent=2, allow_nan=False)
        write_text(self.path / name, text + "\n")


def make_environment(data: Mapping[str, Any], source: str, trust: bool = False) -> SemanticEnvironment:
    """An environment from its arguments as plain data, which are from the file ``source``; not set up.

    Raises:
        ValueError: they do not describe an environment, or name code and are not trusted.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    if not trust:
        refuse_code(dict(data), source)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(SemanticEnvironment, "data")
    try:
        made = parser.instantiate_classes(parser.parse_object({"data": dict(data)}))
    except (ArgumentError, TypeError, KeyError) as error:
        raise ValueError(f"'{source}' does not describe an environment: {error}") from error
    environment: SemanticEnvironment = made.data
    return environment


def read_config(folder: str | Path) -> dict[str, Any]:
    """The configuration of an output folder, as plain data.

    ValueError: there is none, it is none of a job, or has changed since the table of runs beside it was written.
    """
    import yaml

    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise ValueError(f"there is no '{path}': give the output folder of a job of evaluate.py")
    try:
        text = path.read_text(encoding="utf-8")
        found = yaml.safe_load(text)
        if not isinstance(found, dict) or not all(isinstance(found.get(part, {}), dict) for part in ("data", "model")):
            raise ValueError("it holds no settings")
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"'{path}' is not the configuration of a job ({said}): undo what changed it") from error
    if config_of_runs(path.with_name("runs.parquet")) not in (None, text_sha256(text)):
        raise ValueError(f"'{path}' has changed since the runs beside it were written: undo that")
    return found


def environment_of(folder: str | Path, device: torch.device | str = "cpu", trust: bool = False) -> SemanticEnvironment:
    """The environment of an old output folder, from its ``config.yaml``, on a device; the process takes its precision.

    Raises:
        ValueError: as :func:`read_config` and, where ``trust`` is missing, :func:`make_environment`.
    """
    settings = read_config(folder)
    data = {"seed": int(settings.get("seed_everything") or 0)} | dict(settings.get("data") or {})
    environment = make_environment(data, str(Path(folder) / "config.yaml"), trust)
    environment.device = device
    set_arithmetic(environment.precision)
    environment.setup()
    return environment
