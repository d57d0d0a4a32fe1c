"""The page of a training: what it gained, and maps of held-out shapes before and after side by side.

It is the page of :mod:`lightning_semrob.report.page.html` for some of the judged shapes, with a section in front.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.functional.uncertainty import MINIMUM_SHAPES
from lightning_semrob.maps import SemanticMaps, compute_maps
from lightning_semrob.report.figures import plot_map_grid, save_figure
from lightning_semrob.report.job import FinishedJob
from lightning_semrob.report.page.html import build_page, missing_packages, save_page
from lightning_semrob.report.page.pictures import DEFAULT_GRID, measure_maps
from lightning_semrob.report.page.sections import Section
from lightning_semrob.report.tables import Table, format_comparisons
from lightning_semrob.training.dense import Gain
from lightning_semrob.training.judging import Verdicts, VerifiedShare
from lightning_semrob.utilities.messages import percent

MAPS_PICTURE = "maps.png"


@dataclass(frozen=True)
class Training(Section):
    """What a training gained; the first section of the page.

    Args:
        table: a line a run, as printed at the end of a training.
        gains: a line a measure, the last run minus the first; None of a single run.
        findings: sentences on which run is more robust.
        networks: run -> name of its network.
        judged: number of held-out shapes that were judged.
        mapped: number of them whose maps the page shows.
    """

    anchor, title, template = "training", "Training", "training.html"
    table: Table
    gains: Table | None
    findings: Sequence[str]
    networks: Mapping[str, str]
    judged: int
    mapped: int


def training_table(found: Verdicts) -> Table:
    """One line a run: what it spent, and how it does on held-out shapes; percent."""
    real = any(seen.accuracy_real is not None for seen in found.statistics.values())
    shares = [found.trusted, found.failing] if found.trusted else []
    columns = ["views", "images", "of the finder", "steps", "failures", "mean f", "5 % quantile", "worst tenth"]
    columns += [*(["trusted", "failing"] if shares else []), "verified SRVR", "clean accuracy"]
    columns += ["real accuracy"] if real else []
    lines = []
    for name, views in found.statistics.items():
        cost = found.costs[name]
        line = [name, str(cost.rendered), str(cost.finder_images), str(cost.steps)]
        line += [percent(x, 1) for x in (views.failures, views.score, views.low_score, views.worst_regions)]
        line += [_share(share[name]) for share in (*shares, found.verified)]
        line.append(percent(views.accuracy_clean, 1))
        if real:
            line.append(percent(math.nan if views.accuracy_real is None else views.accuracy_real, 1))
        lines.append(line)
    return columns, lines


def _share(share: VerifiedShare) -> str:
    """A share with its interval where enough shapes carry one; percent."""
    interval = f" [{percent(share.low, 1)}, {percent(share.high, 1)}]" if share.shapes >= MINIMUM_SHAPES else ""
    return percent(share.estimate, 1) + interval


def gains_table(gains: Sequence[Gain], before: str, after: str) -> Table:
    """One line a measure: both runs, their difference with its interval over shapes, p-values; points of percent."""
    lines = []
    for gain in gains:
        known = gain.low == gain.low
        interval = f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]" if known else "none"
        line = [
            gain.measure,
            percent(gain.before, 1),
            percent(gain.after, 1),
            f"{100 * gain.difference:+.1f}",
            interval,
        ]
        lines.append([*line, *("n/a" if p != p else f"{p:.4f}" for p in (gain.p_value, gain.p_holm))])
    return ["measure", before, after, "difference", "95 % over shapes", "p", "p of all measures"], lines


def format_verdicts(verdicts: Verdicts) -> str:
    """Which run is more robust by verified volume, in the words of ``evaluate.py``, with the names of the runs."""
    return format_comparisons(verdicts.srvr, names={network: name for name, network in verdicts.networks.items()})


def draw_maps(maps: SemanticMaps, names: Sequence[str], path: Path) -> None:
    """Maps of two axes as a picture, a row a shape, a column a run of ``names``."""
    means = " / ".join(f"{float(scores.nanmean()):.2f}" for scores in maps.scores)
    title = f"score f of held-out shapes; mean {means}"
    save_figure(plot_map_grid(maps.scores.transpose(0, 1), maps.axes, maps.shapes, list(names), title=title), path)


def write_training_report(
    environment: SemanticEnvironment,
    folder: Path,
    evaluation: Path,
    table: Table,
    gains: Table | None,
    findings: Sequence[str],
    names: Sequence[str],
    grid: Sequence[int] | None = None,
    say: Callable[[str], None] = print,
) -> Path | None:
    """Write ``maps.png`` and, where its packages are installed, ``report.html`` into the folder of a training.

    Args:
        environment: set up; the shapes to map and the networks of the runs.
        folder: of the training; ``maps.nc`` of an earlier call is taken over.
        evaluation: output folder of the evaluation that judged the runs, on these shapes and others.
        table, gains, findings: as of :class:`Training`.
        names: of the runs, in the order of the networks.
        grid: samples of the mapped axes; ``DEFAULT_GRID`` if None.
        say: hears what is missing, or how large the page is.

    Returns:
        The path of the page, None where a package is missing.
    """
    missing = missing_packages()
    if missing is not None:
        say(missing)
        if len(environment.space) > 1:
            draw_maps(compute_maps(environment, steps=grid or DEFAULT_GRID), names, folder / MAPS_PICTURE)
        return None
    maps, sheets, _ = measure_maps(environment, folder, grid)
    if len(maps.axes) > 1:
        draw_maps(maps, names, folder / MAPS_PICTURE)
    job = FinishedJob.read(evaluation)
    judged = len({run.shape for run in job.rows})
    networks = dict(zip(names, environment.networks, strict=True))
    section = Training(table, gains, findings, networks, judged, len(environment.shapes))
    return save_page(build_page(environment, job, maps, sheets, [section]), folder, say)
