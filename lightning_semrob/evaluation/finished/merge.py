"""One job from the output folders of partial jobs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lightning_semrob.evaluation.folder import RunFolder, read_config
from lightning_semrob.evaluation.records import Run, read_runs, run_space
from lightning_semrob.evaluation.statements import JobDescription
from lightning_semrob.evaluation.suite import PAPER_METHODS
from lightning_semrob.evaluation.summary import Summary, read_summary, summarize
from lightning_semrob.finders.statement import NOT_VERIFIED
from lightning_semrob.space import SemanticSpace
from lightning_semrob.trust.mapper import load_trust_parts
from lightning_semrob.trust.record import MAPS_FILE, TrustRecord, read_maps, write_records
from lightning_semrob.trust.summary import summarize_maps

#: What the parts of one job may differ in: an array job over shapes or networks.
_SHARED_OUT = ("shapes", "networks")


def merge(folders: Sequence[str | Path], output: str | Path) -> Summary:
    """Join the runs of partial jobs, which differ in their shapes or networks alone, into one output folder.

    Each run and each trust map counts once; parts of a job that was killed are taken as far as they got. Returns the
    summary, as ``evaluate.py`` writes it.

    Raises:
        ValueError: ``output`` is one of ``folders``; a folder without configuration or runs, configurations that differ
            in anything else (the difference is printed), verdicts that hold together within each job only
            (``model.simultaneous``), the same run or trust map with other results in two folders, an output folder in
            which another job works.
    """
    paths, output = [Path(folder).expanduser() for folder in folders], Path(output).expanduser()
    if output.resolve() in [path.resolve() for path in paths]:
        raise ValueError(f"--output '{output}' is one of the folders to merge: name another one")
    configs = [_config(path) for path in paths]
    common = [_without_shares(config) for config in configs]
    for path, other in zip(paths[1:], common[1:], strict=True):
        if other != common[0]:
            lines = difflib.unified_diff(
                common[0].splitlines(), other.splitlines(), str(paths[0]), str(path), n=0, lineterm=""
            )
            difference = "\n".join(lines)
            raise ValueError(f"'{paths[0]}' and '{path}' are not parts of one job:\n{difference}")
    if configs[0]["model"]["simultaneous"] and len(paths) > 1:
        raise ValueError(
            "with model.simultaneous the confidence holds for all runs of one job together, not for those of several: "
            "run them as one job, or without it"
        )
    runs: dict[tuple[Any, ...], Run] = {}
    source: dict[tuple[Any, ...], Path] = {}
    for path in paths:
        for run in _runs(path):
            key, known = run.key, runs.get(run.key)
            if known is not None and _more(known, run) is None:
                raise ValueError(
                    f"run {key} has other results in '{source[key]}' than in '{path}': one is of another version"
                )
            runs[key], source[key] = run if known is None else (_more(known, run) or run), path
    networks = list(dict.fromkeys(name for config in configs for name in config["data"]["networks"]))
    ordered = sorted(runs.values(), key=lambda run: networks.index(run.network))
    maps = sorted(_join_maps(paths), key=lambda record: networks.index(record.network))
    space = _space(paths[0])
    merged = configs[0]
    for name in _SHARED_OUT:
        merged["data"][name] = list(dict.fromkeys(item for config in configs for item in config["data"][name]))
    jobs = [job for job in (RunFolder(path).job() for path in paths) if job is not None]
    if not jobs:
        raise ValueError(f"'{paths[0]}' has no job.json: start its job again, which writes it")
    summaries = [read_summary(file) for file in (path / "summary.json" for path in paths) if file.is_file()]
    folder = RunFolder(output)
    with folder.locked():
        return _write(folder, merged, ordered, maps, space, jobs, summaries)


def _write(
    folder: RunFolder,
    merged: dict[str, Any],
    ordered: list[Run],
    maps: list[TrustRecord],
    space: SemanticSpace,
    jobs: Sequence[JobDescription],
    summaries: Sequence[Summary],
) -> Summary:
    """Write the joined job into its folder; returns the summary."""
    folder.open(yaml.safe_dump(merged))
    model = merged["model"]
    summary = summarize(ordered, PAPER_METHODS, eps_m=model["eps_m"], eps_v=model["eps_v"])
    summary = replace(
        summary,
        trust=summarize_maps(maps),
        seconds=sum(found.seconds for found in summaries),
        not_measured={name: reason for found in summaries for name, reason in found.not_measured.items()},
        notes={name: notes for found in summaries for name, notes in found.notes.items()},
        space=space.as_dict(),
    )
    for job in jobs:
        folder.check_runtimes(job)
        noted = folder.note_job(job)
    if maps:
        write_records(folder.path / MAPS_FILE, maps)
    folder.finish(ordered, space, summary, noted)
    return summary


def _config(path: Path) -> dict[str, Any]:
    config = read_config(path)
    if not {"data", "model"} <= set(config):
        raise ValueError(f"'{path}' is not an output folder of evaluate.py: its config.yaml is of another command")
    return config


def _without_shares(config: dict[str, Any]) -> str:
    data = {name: value for name, value in config["data"].items() if name not in _SHARED_OUT}
    text: str = yaml.safe_dump(config | {"data": data})
    return text


def _runs(path: Path) -> list[Run]:
    """The runs of a folder, from the final table or else from the parts."""
    table = path / "runs.parquet"
    if not table.is_file():
        runs = RunFolder(path).load_parts()
        if not runs:
            raise ValueError(f"'{path}' holds no finished run: start its job again, it goes on where it stopped")
        return runs
    return read_runs(table, "delete it, and run its job again")


def _more(one: Run, other: Run) -> Run | None:
    """The verified one of two records of a run; None if they contradict each other."""
    if one == other:
        return one
    if "not_measured" in (one.status, other.status):
        return other if one.status == "not_measured" else one
    if (one.a, one.b) != (other.a, other.b):
        return None
    return other if one.verdict == NOT_VERIFIED else one


def _join_maps(paths: Sequence[Path]) -> list[TrustRecord]:
    """The trust maps of all folders, each once, from the finished table or else from the parts."""
    found: dict[tuple[str, str, str], tuple[TrustRecord, Path]] = {}
    for path in paths:
        for record in read_maps(path) or load_trust_parts(path):
            known, where = found.setdefault(record.key, (record, path))
            if not known.same_map(record):
                raise ValueError(
                    f"the trust map of '{record.network}' on '{record.shape_id}' ({record.class_name}) in '{where}' is "
                    f"another one than in '{path}': leave out the folder that is of another version"
                )
    return [record for record, _ in found.values()]


def _space(path: Path) -> SemanticSpace:
    files = [path / "runs.parquet", *sorted((path / "parts").glob("*.parquet"))]
    return run_space(next(file for file in files if file.is_file()))
