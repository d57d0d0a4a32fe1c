"""The page of a training: what it gained, and maps of held-out shapes before and after side by side.

It is the page of :mod:`lightning_semrob.report.page.html` for some of the judged shapes, with a section in front.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.summary import read_summary
from lightning_semrob.functional.srvr import MINIMUM_SHAPES
from lightning_semrob.maps import SemanticMaps, compute_maps
from lightning_semrob.report.figures import network_label, plot_map_grid, save_figure
from lightning_semrob.report.page.html import REPORT_FILE, build_page, missing_packages
from lightning_semrob.report.page.markup import html_table, html_text
from lightning_semrob.report.page.pictures import DEFAULT_GRID, measure_maps
from lightning_semrob.report.tables import Table, format_comparisons
from lightning_semrob.training.job import TrainingCost
from lightning_semrob.training.judging import JudgedRun, Verdicts
from lightning_semrob.utilities.files import read_json, write_text
from lightning_semrob.utilities.messages import percent

__all__ = ["MAPS_PICTURE", "format_verdicts", "training_section", "training_table", "write_training_report"]

MAPS_PICTURE = "maps.png"


def training_table(runs: Mapping[str, JudgedRun], costs: Mapping[str, TrainingCost]) -> Table:
    """One line a run: what it spent, and how it does on held-out shapes; percent."""
    real = any(run.statistics.accuracy_real is not None for run in runs.values())
    columns = ["views", "images", "of the finder", "steps", "verified SRVR", "mean score", "worst score"]
    columns += ["accuracy", "clean accuracy", *(["real accuracy"] if real else [])]
    lines = []
    for name, run in runs.items():
        cost, views, share = costs[name], run.statistics, run.verified
        interval = f" [{percent(share.low, 1)}, {percent(share.high, 1)}]" if share.shapes >= MINIMUM_SHAPES else ""
        line = [
            name,
            str(cost.rendered),
            str(cost.finder_images),
            str(cost.steps),
            percent(share.estimate, 1) + interval,
        ]
        line += [percent(x, 1) for x in (views.score, views.worst_score, views.accuracy, views.accuracy_clean)]
        if real:
            line.append(percent(math.nan if views.accuracy_real is None else views.accuracy_real, 1))
        lines.append(line)
    return columns, lines


def format_verdicts(verdicts: Verdicts) -> str:
    """Which run is more robust by verified volume, in the words of ``evaluate.py``, with the names of the runs."""
    return format_comparisons(
        verdicts.evaluation.summary, names={run.network: name for name, run in verdicts.runs.items()}
    )


def training_section(
    table: Table, findings: Sequence[str], networks: Mapping[str, str], judged: int, mapped: int
) -> str:
    """The section that opens the page.

    Args:
        table: a line a run, as printed at the end of a training.
        findings: sentences on which run is more robust.
        networks: run -> name of its network.
        judged: held-out shapes behind the table.
        mapped: those of them whose maps the page shows.
    """
    legend = "".join(
        f"<li><strong>{html_text(run)}</strong> is <code>{html_text(network_label(name))}</code></li>"
        for run, name in networks.items()
    )
    items = "".join(f"<li>{html_text(line)}</li>" for line in findings)
    return (
        '<section id="training"><h2>Before and after</h2>'
        "<p>The same network, trained on views that were drawn in different ways with the same number of rendered "
        f"images, and judged on {judged} shapes that no run saw. Percent; images count everything that was rendered "
        f"for training.</p>{html_table(table, 1)}<ul>{items}</ul>"
        f'<p>The <a href="#regions">maps</a> below show {mapped} of these shapes, the runs side by side:</p>'
        f"<ul>{legend}</ul></section>"
    )


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
        table, findings: as of :func:`training_section`.
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
    summary = read_summary(evaluation / "summary.json")
    rows = pyarrow.parquet.read_table(evaluation / "runs.parquet").to_pylist()
    config = (evaluation / "config.yaml").read_text(encoding="utf-8")
    versions = read_json(evaluation / "versions.json")
    judged = len({(row["class_name"], row["shape_id"]) for row in rows})
    networks = dict(zip(names, environment.networks, strict=True))
    section = training_section(table, findings, networks, judged, len(environment.shapes))
    page = build_page(environment, rows, summary, maps, sheets, config, versions, section)
    path = folder / REPORT_FILE
    write_text(path, page)
    say(f"report: {path} ({path.stat().st_size / 2**20:.1f} MB)")
    return path
