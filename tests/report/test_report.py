"""The report page: what is in it, what it costs, and that nothing in it comes from elsewhere."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import is_dataclass, replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from lightning_semrob import __main__ as program
from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.evaluation.records import Run, write_runs
from lightning_semrob.evaluation.summary import read_summary, summarize
from lightning_semrob.finders.statement import Judgement
from lightning_semrob.maps import SemanticMaps, grid_points
from lightning_semrob.maps.traps import find_traps
from lightning_semrob.report import html
from lightning_semrob.report.figures.maps import box_outlines
from lightning_semrob.report.job import FinishedJob
from lightning_semrob.report.page.html import build_page, report_folder, write_report
from lightning_semrob.report.page.pictures import map_evaluations, measure_maps
from lightning_semrob.report.page.templates import fill
from lightning_semrob.report.page.traps import Traps
from lightning_semrob.report.tables import (
    format_comparisons,
    format_curve,
    format_srvr_table,
    format_verified_table,
)
from lightning_semrob.space import Axis, Box, SemanticSpace
from lightning_semrob.utilities.origin import text_sha256

pytest.importorskip("plotly", reason="plotly is absent: pip install plotly")
pytest.importorskip("h5netcdf", reason="h5netcdf is absent: pip install h5netcdf")

GRID = (8, 5)
SMALL = [
    "--data.networks=[tiny_network:build,tiny_network:build_other]",
    "--data.shapes=[teapot,dumbbell]",
    "--data.initial_points=1",
    "--data.image_size=32",
    "--trust.max_evaluations=0",
    "--data.micro_batch_size=8",
    "--model.num_iterations=3",
    "--model.finders=[naive,oir_b]",
    f"--report_grid=[{GRID[0]},{GRID[1]}]",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
]


def data_of(folder: Path) -> dict[str, Any]:
    """What the page's script reads."""
    page = (folder / "report.html").read_text()
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    return data


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    evaluate([*SMALL, "--output", str(folder)])
    return folder


def test_the_job_writes_one_page_that_loads_nothing(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert (finished / "report.html").stat().st_size < 10 * 2**20
    assert (finished / "maps.nc").is_file()
    assert not list(finished.glob(".*.tmp"))
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", markup)
    assert "default-src 'none'" in markup
    for word in ("naive", "oir_b", "teapot", "dumbbell", "azimuth", "seed_everything", "pytorch-lightning"):
        assert word in markup
    for sentence in format_comparisons(read_summary(finished / "summary.json")).splitlines():
        assert sentence in markup


def test_the_page_holds_every_run_and_the_maps(finished: Path) -> None:
    environment = environment_of(finished, trust=True)
    data = data_of(finished)
    assert [len(shape["regions"]) for shape in data["shapes"]] == [4, 4]
    f = environment.function(1, 0)
    for i, j in ((0, 0), (5, 3)):
        u = torch.tensor([[[data["axes"][0]["values"][i], data["axes"][1]["values"][j]]]])
        assert data["shapes"][0]["scores"][1][j][i] == pytest.approx(float(f(u)), abs=2e-4)
    for shape in data["shapes"]:
        for region in shape["regions"]:
            assert region["verdict"] in ("valid", "invalid", "undecided")
            assert {"status", "growing", "initial point"} <= {name for name, _ in region["lines"]}
            assert len(region["shots"]) == len({shot["name"] for shot in region["shots"]}) >= 1


def test_the_rendering_shown_is_that_of_the_cell(finished: Path) -> None:
    environment = environment_of(finished, trust=True)
    data = data_of(finished)
    sheet = data["shapes"][0]["sheet"]
    picture = Image.open(io.BytesIO(base64.b64decode(sheet["jpeg"])))
    assert (sheet["columns"], sheet["rows"]) == GRID
    side = picture.width // sheet["columns"]
    found, pictures = [], []
    for i, j in ((0, 0), (3, 1), (7, 4), (2, 3)):
        tile = picture.crop((i * side, j * side, (i + 1) * side, (j + 1) * side)).resize((32, 32))
        found.append(np.asarray(tile, dtype=float) / 255)
        u = torch.tensor([[data["axes"][0]["values"][i], data["axes"][1]["values"][j]]])
        image = environment.pictures(environment.mesh(0), u, environment.space.names)[0]
        pictures.append(image.permute(1, 2, 0).numpy())
    distance = np.array([[np.abs(a - b).mean() for b in pictures] for a in found])
    assert (distance.argmin(1) == np.arange(4)).all()
    assert distance.diagonal().max() < 0.02


def test_the_page_is_made_again_without_evaluating(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "report.html").read_text()
    environment = environment_of(finished, trust=True)
    _, sheets, evaluations = measure_maps(environment, finished, GRID)
    assert evaluations == 0
    assert all(sheet is not None for sheet in sheets)
    assert report_folder(finished, trust=True) == finished / "report.html"
    assert "maps took no evaluations of f" in capsys.readouterr().out
    assert (finished / "report.html").read_text() == before


def test_another_grid_is_measured_and_its_cost_said(finished: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "runs.parquet", "summary.json", "versions.json"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    said: list[str] = []
    environment = environment_of(tmp_path, trust=True)
    write_report(environment, tmp_path, (4, 3), said.append)
    assert map_evaluations(environment, (4, 3)) == 4 * 3 * 2 * 2
    assert "48 evaluations of f" in said[0]
    assert data_of(tmp_path)["axes"][0]["values"] == [0, 90, 180, 270]


def test_the_environment_comes_back_from_the_folder(finished: Path) -> None:
    rows = FinishedJob.read(finished).rows
    environment = environment_of(finished, trust=True)
    assert environment.networks == ["tiny_network:build", "tiny_network:build_other"]
    starts = {(run.u0["azimuth"], run.u0["elevation"]) for run in rows}
    assert {tuple(u) for u in environment.u0.tolist()} == starts


def test_a_read_summary_prints_what_the_job_printed(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate([*SMALL, "--output", str(finished)])
    printed = capsys.readouterr().out
    summary = read_summary(finished / "summary.json")
    for form in (format_srvr_table, format_verified_table, format_comparisons, format_curve):
        assert form(summary) in printed


def test_the_settings_on_the_page_repeat_the_job(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (finished / "report.html").read_text()
    (text,) = [x for x in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL) if "seed_everything" in x]
    config = tmp_path / "config.yaml"
    config.write_text(unescape(text))
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--report_grid=[]"]
    evaluate(["--config", str(config), *quiet, "--output", str(finished)])
    assert "8 finished runs taken over" in capsys.readouterr().out


def test_boxes_over_the_end_of_a_turn_are_drawn_at_both_ends() -> None:
    axes = SemanticSpace.default()
    assert box_outlines([350.0, 0.0], [380.0, 20.0], axes) == [[350, 380, 0, 20], [-10, 20, 0, 20]]
    assert box_outlines([10.0, 0.0], [5.0, 20.0], axes) == []
    assert box_outlines(None, [5.0, 20.0], axes) == []
    line = SemanticSpace((Axis("distance", 1.5, 5.0, "unit"),))
    assert box_outlines([2.0], [3.0], line) == [[2, 3, 0, 1]]


@pytest.mark.parametrize(
    ("space", "grid", "text"),
    [
        ("[distance]", "[6]", "distance 1.5 unit to 5 unit"),
        ("[azimuth,elevation,distance]", "[4,3]", "These maps show 2 of 3 axes"),
    ],
)
def test_other_numbers_of_axes(tmp_path: Path, space: str, grid: str, text: str) -> None:
    evaluate([*SMALL, f"--data.space={space}", f"--report_grid={grid}", "--output", str(tmp_path)])
    assert text in (tmp_path / "report.html").read_text()
    data = data_of(tmp_path)
    assert len(data["axes"]) == len(json.loads(grid))
    for shape in data["shapes"]:
        for region in shape["regions"]:
            assert len(region["u0"]) == len(data["space"])


def test_traps_are_found_and_listed(finished: Path) -> None:
    """A network that fails in a small part of a box that satisfies Eq. 2, and where both networks fail."""
    environment = environment_of(finished, trust=True)
    space, grid = environment.space, (48, 21)
    u = grid_points(space, grid).view(*grid, 2)
    low = ((u - torch.tensor([180.0, 30.0])).abs() < torch.tensor([20.0, 9.0])).all(-1)
    everywhere = (u[..., 1] < -4) & (u[..., 0] > 300)
    scores = torch.ones(2, 2, *grid)
    scores[0, 0][low] = 0.0
    scores[:, :, everywhere] = 0.0
    shapes = tuple(shape.shape_id for shape in environment.shapes)
    maps = SemanticMaps(scores, space, tuple(environment.networks), shapes, tuple(environment.class_names))
    a, b = {"azimuth": 60.0, "elevation": 0.0}, {"azimuth": 290.0, "elevation": 80.0}
    rows = [
        Run(environment.networks[0], "teapot", shapes[0], 0, "naive", a=a, b=b, judgement=Judgement(verdict))
        for verdict in ("valid", "invalid")
    ]
    job = FinishedJob(rows, summarize([], ["naive"]), "model: {eps_m: 0.3, eps_v: 0.05}", {})
    traps = job.traps(maps)
    found = [trap for trap in traps if trap.kind == "adversarial box"]
    assert len(found) >= 1
    for trap in found:
        assert trap.networks == (environment.networks[0],)
        assert 150 <= trap.a[0] <= trap.b[0] <= 210
        assert trap.mean <= 0.3
    assert {trap.kind for trap in traps} == {"adversarial box", "shared hole", "worst view"}
    section = Traps.of(traps, environment, maps)
    text = fill(section.template, section=section)
    assert text.count("<li>") == text.count("<img ") == len(traps) - section.left
    assert "No box in which" not in text
    for other in (replace(job, rows=rows[1:]), replace(job, config="model: {adversarial: true}")):
        assert "adversarial box" not in {trap.kind for trap in other.traps(maps)}
    # A box over another axis, too, is no box of these maps.
    other = replace(job, rows=[replace(rows[0], a=a | {"distance": 1.0}, b=b | {"distance": 2.0})])
    assert "adversarial box" not in {trap.kind for trap in other.traps(maps)}


def test_page_and_command_list_the_same_traps(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    shutil.copytree(finished, folder)
    maps = SemanticMaps.load(folder / "maps.nc")
    table = pyarrow.parquet.read_table(folder / "runs.parquet")
    verdicts = pa.array(["valid"] * len(table))
    table = table.set_column(table.column_names.index("verdict"), "verdict", verdicts)
    # The thresholds are those of the job: by these, boxes and boxes in them can be both.
    config = (
        (folder / "config.yaml").read_text().replace("eps_m: 0.3", "eps_m: 0.95").replace("eps_v: 0.05", "eps_v: 0.2")
    )
    (folder / "config.yaml").write_text(config)
    write_runs(folder / "runs.parquet", table, config=text_sha256(config))
    program.main(
        ["traps", str(folder / "maps.nc"), "--run", str(folder), "--output", str(tmp_path / "traps"), "--trust=true"]
    )
    page = FinishedJob.read(folder).traps(maps)
    listed = pyarrow.csv.read_csv(tmp_path / "traps" / "traps.csv").to_pylist()
    assert any(trap.kind == "adversarial box" for trap in page)
    assert [(row["kind"], row["worst_score"], row["a_azimuth"]) for row in listed] == [
        (trap.kind, trap.worst_score, float(trap.a[0])) for trap in page
    ]


def test_a_shape_that_was_not_measured_has_no_traps(finished: Path) -> None:
    maps = SemanticMaps.load(finished / "maps.nc")
    maps.scores[:, 0] = torch.nan
    none = torch.zeros(0, 2, dtype=torch.float64)
    traps = find_traps(maps, Box(none, none), torch.zeros(0, dtype=torch.int64))
    assert {trap.class_name for trap in traps} == {"dumbbell"}


HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=document.title='taken'>\"'&"


def hostile_page(folder: Path) -> str:
    """The page of a job in which every text is an attack: networks, shapes, classes, statuses, settings."""
    environment, job = environment_of(folder, trust=True), FinishedJob.read(folder)
    maps, sheets, _ = measure_maps(environment, folder, GRID)
    names = {name: f"{k}{HOSTILE}" for k, name in enumerate(["teapot", "dumbbell", *environment.networks])}
    for number, shape in enumerate(environment.shapes):
        names[shape.shape_id] = f"shape {number} {HOSTILE}"

    def attacked(value: Any) -> Any:
        if is_dataclass(value):
            return type(value)(*map(attacked, vars(value).values()))
        if isinstance(value, dict):
            return {attacked(key): attacked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [attacked(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    environment.networks[:] = attacked(environment.networks)
    environment.shapes[:] = [
        replace(shape, class_name=attacked(shape.class_name), shape_id=attacked(shape.shape_id))
        for shape in environment.shapes
    ]
    maps = replace(
        maps,
        networks=tuple(environment.networks),
        shapes=tuple(shape.shape_id for shape in environment.shapes),
        class_names=tuple(shape.class_name for shape in environment.shapes),
    )
    judged = Judgement(HOSTILE)
    rows = [replace(attacked(run), status=HOSTILE, judgement=judged) for run in job.rows]
    status = {HOSTILE: {HOSTILE: 1}}
    summary = replace(attacked(job.summary), status=status, not_measured={HOSTILE: HOSTILE}, notes={HOSTILE: [HOSTILE]})
    job = FinishedJob(rows, summary, f"{job.config}\n# {HOSTILE}", {HOSTILE: HOSTILE})
    return build_page(environment, job, maps, sheets)


class Elements(HTMLParser):
    """Tags, attributes and texts of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        (self.scripts if self.tags and self.tags[-1][0] == "script" else self.texts).append(data)


def test_hostile_texts_stay_texts(finished: Path) -> None:
    page = hostile_page(finished)
    found = Elements(page)
    assert [attributes for tag, attributes in found.tags if tag == "script"] == [
        {"type": "application/json", "id": "data"}, {}, {},
    ]  # fmt: skip
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert all(attributes["src"].startswith("data:image/jpeg") for tag, attributes in found.tags if tag == "img")  # type: ignore[union-attr]
    texts = "".join(found.texts)
    for word in ("0", "2", "shape 1 "):  # a class, a network and a shape, read as they are
        assert word + HOSTILE in texts
    for sentence in (f"not measured: {HOSTILE}: {HOSTILE}", f"note: the mesh of {HOSTILE} {HOSTILE}"):
        assert texts.count(sentence) == 1
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert "<" not in text
    data = json.loads(text)
    assert data["shapes"][0]["regions"][0]["verdict"] == HOSTILE
    (policy,) = [attributes["content"] for tag, attributes in found.tags if "http-equiv" in attributes]
    assert policy is not None
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_templates_escape_everything(repository: Path) -> None:
    folder = repository / "lightning_semrob" / "report" / "page"
    for path in (folder / "templates").iterdir():
        assert not re.search(r"\|\s*safe|autoescape", path.read_text()), path
    raw = [path.name for path in folder.glob("*.py") if "Markup" in path.read_text()]
    assert raw == ["templates.py"]


def test_a_shape_that_cannot_be_loaded_is_said(finished: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.obj"
    broken.write_text("v 0 0 nothing\n")
    with pytest.warns(UserWarning, match="not measured"):
        evaluate([*SMALL, f"--data.shapes=[teapot,'{broken}=dumbbell']", "--output", str(tmp_path / "out")])
    data = data_of(tmp_path / "out")
    assert data["shapes"][0]["sheet"] is not None
    assert data["shapes"][1]["sheet"] is None
    assert data["shapes"][1]["scores"][0][0][0] is None
    assert "not measured: " in (tmp_path / "out" / "report.html").read_text()


def test_without_plotly_one_sentence_says_how_to_get_it(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "find_spec", lambda name: None if name == "plotly" else object())
    said: list[str] = []
    assert report_folder(finished, say=said.append, trust=True) is None
    assert said == ["no report.html: it needs plotly; pip install plotly"]


def test_mistakes_are_named(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give the output folder"):
        report_folder(tmp_path, trust=True)
    with pytest.raises(ValueError, match=r"2 numbers >= 2.*azimuth, elevation"):
        write_report(environment_of(finished, trust=True), finished, (4,))
    for name in ("config.yaml", "runs.parquet", "summary.json", "versions.json"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    (tmp_path / "maps.nc").write_bytes(b"not NetCDF")
    with pytest.raises(ValueError, match="delete"):
        report_folder(tmp_path, trust=True)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="not the summary"):
        write_report(environment_of(finished, trust=True), tmp_path)
    with pytest.raises(ValueError, match="2 numbers >= 2"):
        evaluate([*SMALL, "--report_grid=[3]", "--output", str(tmp_path / "out")])


def test_the_commands(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished / "report.html").unlink()
    program.main(["report", str(finished), "--trust=true"])
    assert (finished / "report.html").is_file()
    assert "report: " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        program.main(["report", str(tmp_path), "--trust=true"])
    assert "there is no" in capsys.readouterr().err


def test_no_report_on_request_and_old_maps_go(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "config.yaml", tmp_path)
    (tmp_path / "maps.nc").write_bytes(b"old")
    evaluate([*SMALL, "--report_grid=[]", "--overwrite=true", "--output", str(tmp_path)])
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "maps.nc").exists()
