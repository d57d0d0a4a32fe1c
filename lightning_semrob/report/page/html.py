"""One page that a person reads: verdicts, maps with boxes and renderings, traps, and what repeats the job.

``report.html`` is a single file that needs no network. The maps behind it are measured on a coarse grid, every view
rendered once for all networks, and saved as ``maps.nc`` beside it, so that the page can be made again without a
network call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.evaluation.summary import read_summary
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.report.figures import method_color, network_color, network_label
from lightning_semrob.report.page.markup import embedded_json, html_table, html_text
from lightning_semrob.report.page.page_data import axis_data, cividis_gradient, class_data, curve_data, rounded
from lightning_semrob.report.page.pictures import MAPS_FILE, Sheet, measure_maps, saved_grid
from lightning_semrob.report.page.regions import Row, region_views, regions_of
from lightning_semrob.report.page.sections import (
    SPREAD,
    about_maps,
    class_section,
    curve_section,
    findings,
    head,
    legend,
    navigation,
    repeat_section,
    shape_section,
    verdict_table,
)
from lightning_semrob.report.page.trap_cards import page_traps, traps_section
from lightning_semrob.report.tables import cost_table, count_table, srvr_table
from lightning_semrob.utilities.files import read_json, write_text

__all__ = ["REPORT_FILE", "build_page", "missing_packages", "report_folder", "write_report"]

REPORT_FILE = "report.html"

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)


def missing_packages() -> str | None:
    """One sentence on what the page needs and how to get it; None where everything is there."""
    absent = [name for name in ("plotly", "xarray", "h5netcdf", "h5py") if find_spec(name) is None]
    return f"no {REPORT_FILE}: it needs {', '.join(absent)}; pip install {' '.join(absent)}" if absent else None


def titles_of(environment: SemanticEnvironment) -> list[str]:
    return [
        shape.shape_id if shape.class_name in shape.shape_id else f"{shape.class_name}: {shape.shape_id}"
        for shape in environment.shapes
    ]


def build_page(
    environment: SemanticEnvironment,
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    maps: SemanticMaps,
    sheets: Sequence[Sheet | None],
    config: str,
    versions: Mapping[str, str],
    opening: str = "",
) -> str:
    """The whole page as one text.

    Args:
        environment: set up; renders the views of the regions.
        rows: runs as in :func:`lightning_semrob.evaluation.records.run_schema`.
        summary: as of :func:`lightning_semrob.evaluation.summary.summarize`.
        maps, sheets: as of :func:`measure_maps`.
        config: the configuration that decides the numbers, as yaml.
        versions: of what the numbers depend on.
        opening: HTML of a section that comes first.
    """
    import yaml
    from plotly.offline import get_plotlyjs

    settings = yaml.safe_load(config) or {}
    model = settings.get("model") or {}
    methods = list(summary["methods"])
    axes, space = maps.axes, environment.space
    titles = titles_of(environment)
    regions = regions_of(rows, environment, axes, methods, model)
    shapes: list[dict[str, Any]] = []
    sections: dict[str, list[str]] = {}
    for number, shape in enumerate(environment.shapes):
        views = None
        if sheets[number] is not None:
            views = region_views(environment, number, regions[number])
        else:
            for region in regions[number]:
                region["shots"] = []
        starts = list(dict.fromkeys(tuple(region["u0"]) for region in regions[number]))
        scores = maps.scores[:, number]
        if len(axes) == 2:
            scores = scores.transpose(1, 2)  # rows of the ordinate
        sheet = sheets[number]
        shapes.append(
            {
                "title": titles[number],
                "scores": rounded(scores.tolist()),
                "starts": [list(u) for u in starts] or [[(axis.low + axis.high) / 2 for axis in axes]],
                "sheet": None if sheet is None else sheet.data(),
                "views": None if views is None else views.data(),
                "regions": [{k: v for k, v in region.items() if k != "row"} for region in regions[number]],
            }
        )
        section = shape_section(number, titles[number], maps, regions[number], environment, methods)
        sections.setdefault(shape.class_name, []).append(section)
    curve = curve_data(summary)
    data = {
        "axes": [axis_data(axis, maps.values(k).tolist()) for k, axis in enumerate(axes)],
        "space": [axis_data(axis, []) for axis in space],
        "networks": [{"name": network_label(name), "color": network_color(name)} for name in environment.networks],
        "methods": [{"name": name, "color": method_color(name)} for name in methods],
        "shapes": shapes,
        "classes": [class_data(name, maps) for name in sections],
        "spread": SPREAD,
        "curve": curve,
    }
    files = {name: (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")}
    content = [
        head(environment, summary),
        navigation(titles),
        f'<main>{opening}<section id="verdict" aria-label="Verdict">',
        verdict_table(summary, rows),
        findings(summary),
        "</section>",
        '<section id="regions"><h2>Where the networks work, and where not</h2>',
        about_maps(maps, space),
        legend(methods),
        *(
            f'<section class="class" aria-label="{html_text(name)}">'
            f"{class_section(k, name, maps)}{''.join(parts)}</section>"
            for k, (name, parts) in enumerate(sections.items())
        ),
        "</section>",
        traps_section(page_traps(rows, maps, space, model, environment.seed), environment, maps),
        '<section id="numbers"><h2>All numbers</h2>',
        html_table(srvr_table(summary), 2, "SRVR, percent of the space: mean volume of the boxes inside it"),
        curve_section(summary, curve),
        "<h3>How the runs ended</h3>",
        '<div class="tables">',
        html_table(count_table(summary["status"]), 1, "status"),
        html_table(count_table(summary["verdict"]), 1, "verdict of Eq. 2"),
        html_table(cost_table(summary), 1, "evaluations of f"),
        f"</div><p>The maps of this page took {maps.evaluations} evaluations more, every view rendered once.</p>",
        "</section>",
        repeat_section(config, versions, settings),
        "</main>",
        "<footer>Made by lightning_semrob. Nothing on this page is loaded from a network.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        "<title>Semantic robustness: "
        + html_text(", ".join(network_label(name) for name in environment.networks))
        + f"</title><style>:root {{ --cividis: {cividis_gradient()}; }}\n{files['page.css']}</style></head><body>"
        + "\n".join(content)
        + f'<script type="application/json" id="data">{embedded_json(data)}</script>\n'
        + f"<script>{get_plotlyjs()}</script>\n<script>{files['page.js']}</script></body></html>\n"
    )


def write_report(
    environment: SemanticEnvironment,
    folder: str | Path,
    grid: Sequence[int] | None = None,
    say: Callable[[str], None] = print,
) -> Path | None:
    """Write ``report.html`` (and ``maps.nc``) into the output folder of a finished job.

    Args:
        environment: of the job; see :func:`environment_of`.
        folder: holds ``config.yaml``, ``runs.parquet``, ``summary.json`` and ``versions.json``.
        grid: samples of the mapped axes; ``DEFAULT_GRID`` if None.
        say: where the sentence on size and cost goes.

    Returns:
        The path, or None where a package is missing; then ``say`` hears how to get it.

    Raises:
        ValueError: the folder holds no finished job, or the grid does not match the axes.
        OSError: the page cannot be written.
    """
    folder = Path(folder)
    missing = missing_packages()
    if missing is not None:
        say(missing)
        return None
    summary = read_summary(folder / "summary.json")
    try:
        rows = pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist()
        config = (folder / "config.yaml").read_text(encoding="utf-8")
        versions = read_json(folder / "versions.json")
    except (OSError, ValueError) as error:
        raise ValueError(f"'{folder}' does not hold a finished job ({error}): run evaluate.py again") from error
    maps, sheets, evaluations = measure_maps(environment, folder, grid)
    page = build_page(environment, rows, summary, maps, sheets, config, versions)
    path = folder / REPORT_FILE
    write_text(path, page)
    size = " x ".join(str(count) for count in maps.grid)
    cost = f"its {size} maps took {evaluations} evaluations of f" if evaluations else f"maps taken from {MAPS_FILE}"
    say(f"report: {path} ({path.stat().st_size / 2**20:.1f} MB; {cost})")
    return path


def report_folder(
    folder: str | Path,
    grid: Sequence[int] | None = None,
    say: Callable[[str], None] = print,
    device: torch.device | str = "cpu",
) -> Path | None:
    """The page of an old output folder, measured and drawn on ``device``; see :func:`write_report`."""
    missing = missing_packages()
    if missing is not None:
        say(missing)
        return None
    return write_report(environment_of(folder, device), folder, saved_grid(folder) if grid is None else grid, say)
