"""One page that a person reads: verdicts, maps with boxes and renderings, traps, and how to repeat the job.

``report.html`` is a single file that needs no internet connection. Its maps are drawn from the views that the trust
maps evaluated, or measured on a coarse grid, and saved as ``maps.nc`` beside it, so that the page can be made again
without a network call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.networks.probe import probe_in_words
from lightning_semrob.report.job import FinishedJob
from lightning_semrob.report.page.maps import Maps, cividis_gradient
from lightning_semrob.report.page.pictures import Sheet, has_maps, measure_maps, saved_grid
from lightning_semrob.report.page.sections import Numbers, Repeat, Section, Verdict, viewpoint_findings
from lightning_semrob.report.page.templates import Script, fill, plural
from lightning_semrob.report.page.traps import Traps
from lightning_semrob.report.page.trust import Trust
from lightning_semrob.trust.record import read_maps
from lightning_semrob.utilities.files import write_text

REPORT_FILE = "report.html"


def missing_packages() -> str | None:
    """One sentence on what the page needs and how to get it; None where everything is there."""
    absent = [name for name in ("jinja2", "plotly", "xarray", "h5netcdf", "h5py") if find_spec(name) is None]
    return f"no {REPORT_FILE}: it needs {', '.join(absent)}; pip install {' '.join(absent)}" if absent else None


def build_page(
    environment: SemanticEnvironment,
    job: FinishedJob,
    maps: SemanticMaps,
    sheets: Sequence[Sheet | None],
    first: Sequence[Section] = (),
) -> str:
    """The whole page of a job as one text; ``first`` are sections that come before the verdict.

    The environment is set up and renders the views of the regions; maps and sheets are as of :func:`measure_maps`.
    """
    from plotly.offline import get_plotlyjs

    shown = Maps.of(environment, job, maps, sheets)
    sections = [
        *first,
        Verdict.of(job, views=not first),
        shown,
        Traps.of(job.traps(maps), environment, maps),
        Numbers.of(job, maps.evaluations),
        Repeat(job.config, job.versions, job.demand.seed),
    ]
    style, script = (Script.of((Path(__file__).parent / name).read_text("utf-8")) for name in ("page.css", "page.js"))
    shapes, classes = len(environment.shapes), len(environment.class_names)
    return fill(
        "page.html",
        labels=labels_by_name(environment.networks),
        counts=[
            plural(len(environment.networks), "network"),
            f"{plural(shapes, 'shape')} of {plural(classes, 'class')}",
            plural(len(job.rows), "run"),
        ],
        space=environment.space,
        titles=shown.titles,
        sections=sections,
        gradient=cividis_gradient(),
        style=style.text,
        data={name: value for section in sections for name, value in section.data().items()},
        scripts=[Script.of(get_plotlyjs()), script],
    )


def save_page(page: str, folder: Path, say: Callable[[str], None], remark: str = "") -> Path:
    """Write the page into a folder and say how large it is; returns its path."""
    path = folder / REPORT_FILE
    write_text(path, page)
    say(f"report: {path} ({path.stat().st_size / 2**20:.1f} MB{remark})")
    return path


def write_report(
    environment: SemanticEnvironment,
    folder: str | Path,
    grid: Sequence[int] | None = None,
    say: Callable[[str], None] = print,
) -> Path | None:
    """Write ``report.html`` (and ``maps.nc``) into the output folder of a finished job; ``say`` hears size and cost.

    Args:
        environment: of the job; see :func:`environment_of`.
        folder: of the job; see :meth:`~lightning_semrob.report.job.FinishedJob.read`.
        grid: samples of the mapped axes; ``DEFAULT_GRID`` if None.

    Returns:
        The path, or None where a package is missing; then ``say`` hears how to get it.

    Raises:
        ValueError: the folder holds no finished job, or the grid does not match the axes.
        OSError: the page cannot be written.
    """
    missing = missing_packages()
    if missing is not None:
        say(missing)
        return None
    job = FinishedJob.read(folder)
    environment.setup()
    job.check(environment, weights=not has_maps(environment, folder, grid))
    maps, sheets, evaluations = measure_maps(environment, folder, grid)
    size = " x ".join(str(count) for count in maps.grid)
    cost = f"its {size} maps took {evaluations or 'no'} evaluations of f"
    records = read_maps(Path(folder)) if job.summary.trust else []
    first = [Trust.of(records, environment, viewpoint_findings(job.summary))] if records else []
    return save_page(build_page(environment, job, maps, sheets, first), Path(folder), say, f"; {cost}")


def report_folder(
    folder: str | Path,
    grid: Sequence[int] | None = None,
    say: Callable[[str], None] = print,
    device: torch.device | str = "cpu",
    trust: bool = False,
) -> Path | None:
    """The page of an old output folder, measured and drawn on ``device``; see :func:`write_report` and, for ``trust``,
    :func:`~lightning_semrob.evaluation.folder.environment_of`."""
    missing = missing_packages()
    if missing is not None:
        say(missing)
        return None
    made = environment_of(folder, device, trust)
    path = write_report(made, folder, saved_grid(folder) if grid is None else grid, say)
    if made.models.probed:
        say(probe_in_words(made.models.probed))
    return path
