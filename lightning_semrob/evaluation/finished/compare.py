"""Two finished jobs, network by network, over the tasks that both have measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_semrob.evaluation.folder import read_config
from lightning_semrob.evaluation.records import Run, read_runs, run_space
from lightning_semrob.evaluation.summary import Comparison, ratios_by_shape, viewpoints_by_shape
from lightning_semrob.functional.uncertainty import call_differences, class_mean, paired_difference
from lightning_semrob.trust.comparison import compare_trusted_shares
from lightning_semrob.trust.record import TrustRecord, read_maps
from lightning_semrob.utilities.record import Record

#: Volumes of a box.
METRICS = ("verified", "intersected", "raw")
#: What two jobs may differ in; everything else changes the question that they answer.
_FREE = ("data.networks", "data.shapes", "data.micro_batch_size", "model.finders")
_TASK = ("class_name", "shape_id", "point", "method")


@dataclass(frozen=True, eq=False)
class ViewPair(Record):
    """Viewpoint accuracy of the old and the new network, and their difference."""

    accuracy: list[float]
    difference: Comparison


@dataclass(frozen=True, eq=False)
class SharePair(Record):
    """What the trust maps of the old and the new network say, and the difference of the trusted shares.

    Attributes:
        score: ``top1`` where they are about right answers.
        share, failing, undecided: of the space, of old and new.
        difference: of the trusted shares.
    """

    score: str
    share: list[float]
    failing: list[float]
    undecided: list[float]
    difference: Comparison


@dataclass(frozen=True, eq=False)
class FolderComparison(Record):
    """A network of one job against a network of another.

    Attributes:
        old, new: their names.
        metric, methods: which volume of whose boxes.
        tasks: that both have measured; left_out: that only one has measured.
        srvr: of old and new.
        confidence: of each interval over shapes.
        difference: SRVR of new minus old; classes: the same for each class.
        lost, gained: tasks whose box was ``valid`` in one alone.
        viewpoints: None where a job asked for no views.
        trusted_share: None without trust maps.
        worse: which of viewpoint accuracy, trusted share and SRVR are called smaller.
    """

    old: str
    new: str
    metric: str
    methods: list[str]
    tasks: int
    left_out: int
    srvr: list[float]
    confidence: float
    difference: Comparison
    classes: dict[str, Comparison]
    lost: list[dict[str, str | int]]
    gained: list[dict[str, str | int]]
    viewpoints: ViewPair | None = None
    trusted_share: SharePair | None = None
    worse: list[str] = field(default_factory=list)


def compare_folders(
    old: str | Path,
    new: str | Path,
    pairs: Mapping[str, str] | None = None,
    metric: str = "verified",
    methods: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> list[FolderComparison]:
    """Compare the networks of two jobs over the tasks (shape, initial point, finder) that both have measured.

    Args:
        old, new: output folders of ``evaluate.py``.
        pairs: network of ``old`` -> network of ``new``; if None, the only ones of both, or those with equal names.
        metric: ``verified`` volume, ``intersected`` volume, or the paper's ``raw`` one.
        methods: whose boxes count; ``verified`` where both have it, otherwise all that both have.
        confidence: of the calls together (sign-flip tests after Holm's correction: over the viewpoint accuracies,
            trusted shares and volumes of the pairs, and over the classes of all pairs) and of each interval over
            shapes.

    Raises:
        ValueError: a folder without results, jobs that ask another question (the difference is named), networks that
            cannot be paired, or no task in common.
    """
    rows = [_runs(Path(folder)) for folder in (old, new)]
    _check_same_question(Path(old), Path(new))
    known = [list(dict.fromkeys(row.method for row in part)) for part in rows]
    common = [method for method in known[0] if method in known[1]]
    chosen = list(methods or (["verified"] if "verified" in common else common))
    if not chosen or not set(chosen) <= set(common):
        raise ValueError(f"compare needs finders that both folders have, asked for {chosen}; both have {common}")
    paired = _pairs(rows, pairs)
    maps = _maps(Path(old), Path(new))
    views = [_viewpoints(rows, *pair) for pair in paired]
    shown = len(paired) * (1 + bool(maps[0])) + sum(one is not None for one in views)
    found = [_compare(rows, pair, chosen, metric, confidence, shown) for pair in paired]
    shares = compare_trusted_shares(*maps, paired, confidence, shown) if maps[0] else [None] * len(paired)
    volume, measured = f"{metric} SRVR", []
    for item, seen, share in zip(found, views, shares, strict=True):
        own = {volume: item.difference.difference}
        if seen is not None:
            own["viewpoint accuracy"] = paired_difference(
                seen.after, seen.before, seen.classes, confidence, pairs=shown
            )
        if share is not None:
            own["trusted share"] = share.difference
        measured.append(own)
    called = iter(call_differences([difference for own in measured for difference in own.values()], confidence))
    of_classes = iter(call_differences([c.difference for x in found for c in x.classes.values()], confidence))
    result = []
    for item, pair, own, seen, share in zip(found, paired, measured, views, shares, strict=True):
        all_called = {name: Comparison(pair[0], pair[1], *next(called)) for name in own}
        all_called[volume] = all_called[volume].of_volume()
        viewed = None if seen is None else ViewPair(seen.means, all_called["viewpoint accuracy"])
        shared = None if share is None else SharePair(**vars(share) | {"difference": all_called["trusted share"]})
        result.append(
            replace(
                item,
                difference=all_called[volume],
                classes={name: Comparison(pair[0], pair[1], *next(of_classes)).of_volume() for name in item.classes},
                viewpoints=viewed,
                trusted_share=shared,
                worse=[name for name, one in all_called.items() if one.verdict in ("less robust", "smaller")],
            )
        )
    return result


class _Views(NamedTuple):
    """Viewpoint accuracy of two networks on the shapes of both, (S,) each, and the class of each shape."""

    before: Tensor
    after: Tensor
    classes: Tensor

    @property
    def means(self) -> list[float]:
        """Means over classes of the shapes that both have."""
        known = ~(self.before + self.after).isnan()
        if not bool(known.any()):
            return [nan, nan]
        return [float(class_mean(part[known], self.classes[known])) for part in (self.before, self.after)]


def _viewpoints(rows: Sequence[Sequence[Run]], old: str, new: str) -> _Views | None:
    """None where one of the jobs asked for no views."""
    names = ["old", "new"]
    seen = [
        replace(run, network=name)
        for part, network, name in zip(rows, (old, new), names, strict=True)
        for run in part
        if run.network == network and run.judgement.views
    ]
    if {run.network for run in seen} != set(names):
        return None
    values, classes = viewpoints_by_shape(seen, names)
    before, after = values[0]
    return _Views(before, after, classes)


def _maps(old: Path, new: Path) -> tuple[list[TrustRecord], list[TrustRecord]]:
    """The trust maps of both folders. Either both have some, or none has."""
    maps = read_maps(old), read_maps(new)
    if bool(maps[0]) != bool(maps[1]):
        without = new if maps[0] else old
        raise ValueError(
            f"'{without}' has no trust maps and the other folder has: start its job again, which makes them"
        )
    return maps


def _runs(folder: Path) -> list[Run]:
    if not (folder / "runs.parquet").is_file() or not (folder / "config.yaml").is_file():
        raise ValueError(f"'{folder}' is not the output folder of a finished job: it needs config.yaml, runs.parquet")
    return read_runs(folder / "runs.parquet")


def _check_same_question(old: Path, new: Path) -> None:
    settings = []
    for folder in (old, new):
        found = dict(_flat(read_config(folder)))
        # The ranges of the axes, which the configuration may leave to the renderer.
        settings.append(found | {"space": run_space(folder / "runs.parquet").as_dict()})
    differences = [
        f"{name}: {settings[0].get(name)} in '{old}', {settings[1].get(name)} in '{new}'"
        for name in sorted(settings[0].keys() | settings[1].keys())
        if not name.startswith(_FREE) and settings[0].get(name) != settings[1].get(name)
    ]
    if differences:
        raise ValueError(
            "the two jobs ask different questions, so their volumes cannot be compared:\n"
            + "\n".join(differences)
            + "\nRun one of them again with the settings of the other."
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """``data.space.azimuth`` -> value, for every leaf."""
    leaves: list[tuple[str, Any]] = []
    for name, value in settings.items():
        path = f"{prefix}{name}"
        leaves += _flat(value, f"{path}.") if isinstance(value, dict) and value else [(path, value)]
    return leaves


def _pairs(rows: Sequence[Sequence[Run]], pairs: Mapping[str, str] | None) -> list[tuple[str, str]]:
    old, new = (list(dict.fromkeys(row.network for row in part)) for part in rows)
    if pairs:
        for name, have, side in [(k, old, "old") for k in pairs] + [(v, new, "new") for v in pairs.values()]:
            if name not in have:
                raise ValueError(f"the {side} folder has no network '{name}', only {have}")
        return list(pairs.items())
    if len(old) == len(new) == 1:
        return [(old[0], new[0])]
    same = [(name, name) for name in old if name in new]
    if not same:
        raise ValueError(f"no network of {old} has its name in {new}: pair them, --pair OLD_NAME NEW_NAME")
    return same


def _tasks(rows: Sequence[Run], network: str, methods: Sequence[str]) -> dict[tuple[Any, ...], Run]:
    """The measured runs of a network by task."""
    own = [row for row in rows if row.network == network and row.method in methods]
    return {row.key[1:]: row for row in own if row.ratio is not None}


def _compare(
    rows: Sequence[Sequence[Run]],
    pair: tuple[str, str],
    methods: list[str],
    metric: str,
    confidence: float,
    pairs: int,
) -> FolderComparison:
    """The comparison of one pair; its differences are called later, all pairs together."""
    old, new = (_tasks(part, name, methods) for part, name in zip(rows, pair, strict=True))
    tasks = [task for task in old if task in new]
    if not tasks:
        raise ValueError("the two folders have no measured task in common: evaluate both on the same shapes")
    moved = [task for task in tasks if old[task].u0 != new[task].u0]
    if moved:
        raise ValueError(f"the run {moved[0]} starts at another point in the two folders: give both the same seed")
    paired = [replace(part[task], network=name) for part, name in ((old, "old"), (new, "new")) for task in tasks]
    used = list(dict.fromkeys(task[3] for task in tasks))
    (before, after), labels = ratios_by_shape(paired, metric, ["old", "new"], used)
    classes = list(dict.fromkeys(task[0] for task in tasks))
    valid_before, valid_now = ({task for task in tasks if part[task].verdict == "valid"} for part in (old, new))
    known = ~(before + after).isnan()
    means = (class_mean(part[known], labels[known]) if bool(known.any()) else nan for part in (before, after))

    def compared(chosen: Tensor, together: int = 1) -> Comparison:
        parts = after[chosen], before[chosen], labels[chosen]
        return Comparison(pair[0], pair[1], *paired_difference(*parts, confidence, pairs=together))

    def named(chosen: set[tuple[Any, ...]]) -> list[dict[str, str | int]]:
        return [dict(zip(_TASK, task, strict=True)) for task in tasks if task in chosen]

    return FolderComparison(
        *pair,
        metric,
        methods,
        len(tasks),
        len(old.keys() ^ new.keys()),
        [float(mean) for mean in means],
        confidence,
        compared(torch.ones_like(labels, dtype=torch.bool), pairs),
        {name: compared(labels == k) for k, name in enumerate(classes)},
        named(valid_before - valid_now),
        named(valid_now - valid_before),
    )
