"""The first section of the page: the trust maps of a job in words and pictures."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image
from torch import Tensor

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.evaluation.records import read_runs
from lightning_semrob.functions import AnalyticFunction
from lightning_semrob.maps import SemanticMaps, grid_points
from lightning_semrob.report.figures import plot_trust_map, save_figure
from lightning_semrob.report.figures.trust import VERDICT_COLORS, tile_opacity, trap_sides
from lightning_semrob.report.page import trust as page
from lightning_semrob.report.page.html import report_folder
from lightning_semrob.report.page.templates import fill
from lightning_semrob.report.page.trust import Trust
from lightning_semrob.report.trust import trust_headline
from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.trust.map import trust_map
from lightning_semrob.trust.record import MAPS_FILE, TrustRecord, read_records
from lightning_semrob.trust.summary import summarize_maps
from tests.report.test_report import HOSTILE, SMALL

pytest.importorskip("plotly", reason="plotly is absent: pip install plotly")
pytest.importorskip("h5netcdf", reason="h5netcdf is absent: pip install h5netcdf")

TILES = (6, 3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trust")
    trust = ["--trust.max_evaluations=180", f"--trust.tiles=[{TILES[0]},{TILES[1]}]"]
    evaluate([*SMALL, "--model.finders=[oir_b]", *trust, "--report_grid=null", "--output", str(folder)])
    return folder


@pytest.fixture(scope="module")
def records(finished: Path) -> list[TrustRecord]:
    return read_records(finished / MAPS_FILE)


class Texts(HTMLParser):
    """Names of tags, and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_opens_with_the_trust_maps(finished: Path, records: list[TrustRecord]) -> None:
    text = (finished / "report.html").read_text()
    sections = re.findall(r'<section id="([a-z]+)">', text)
    assert sections[:2] == ["trust", "verdict"]
    shown = Texts(text[text.index('<section id="trust">') : text.index('<section id="verdict">')])
    summary = summarize_maps(records)
    assert summary is not None
    for sentence in trust_headline(summary):
        assert sentence in shown.text
    assert shown.tags.count("svg") == len(records) == 4
    assert shown.tags.count("title") == 4 * TILES[0] * TILES[1]
    assert shown.tags.count("img") >= 2


def test_every_tile_lies_where_it_belongs_in_the_colour_of_its_verdict(
    finished: Path, records: list[TrustRecord]
) -> None:
    section = Trust.of(records, environment_of(finished, trust=True))
    assert [shape.shape_id for shape in section.shapes] == ["teapot:0", "dumbbell:0"]
    words = {word for record in records for word in record.map.verdict.ravel().tolist()}
    assert {"trusted", "failing"} <= words
    drawn = [picture for shape in section.shapes for picture in shape.maps]
    for record, picture in zip(sorted(records, key=lambda record: record.shape_id, reverse=True), drawn, strict=True):
        m = record.map
        assert (picture.network, picture.shares["trusted"]) == (record.network, m.trusted_share)
        for i, j in ((0, 0), (4, 1), (5, 2)):
            tile = picture.tiles[i * TILES[1] + j]
            word = str(m.verdict[i, j])
            assert tile.color == VERDICT_COLORS[word]
            assert f": {word}, rate of right answers {m.mean[i, j]:.2f}" in tile.text
            assert f"azimuth {60 * i}° to {60 * i + 60}°" in tile.text
            assert (tile.x, tile.y) == pytest.approx((section.width * i / 6, section.height * (2 - j) / 3))
        assert bool(picture.outlines) == bool(len(m.boxes(1)))
        assert tile_opacity(m).min() >= 0.5


def test_hostile_names_stay_text(finished: Path, records: list[TrustRecord]) -> None:
    attacked = [
        replace(record, network=f"{HOSTILE}{record.network}", class_name=HOSTILE, shape_id=HOSTILE + record.shape_id)
        for record in records
    ]
    found = Texts(fill("trust.html", section=Trust.of(attacked, environment_of(finished, trust=True))))
    assert not {"img", "script"} & set(found.tags)  # no shape of the job has these names: no rendering either
    assert HOSTILE in found.text


def test_other_numbers_of_axes_are_said_in_words(finished: Path, records: list[TrustRecord]) -> None:
    f = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 5))
    space = SemanticSpace((Axis("azimuth", 0, 360, periodic=True),))
    record = replace(records[0], shape_id="another", map=trust_map(f, space, tiles=(6,), max_evaluations=600))
    found = Texts(fill("trust.html", section=Trust.of([record], environment_of(finished, trust=True))))
    assert "svg" not in found.tags
    assert "trusted 33\xa0%, failing 67\xa0%" in found.text
    with pytest.raises(ValueError, match="needs two or three axes"):
        plot_trust_map(record.map)


def pierced(u: Tensor) -> Tensor:
    """Right everywhere but around azimuth 210, elevation 40; with a third axis only where it is small."""
    hole = ((u[..., 0] - 210).abs() < 30) & ((u[..., 1] - 40).abs() < 16)
    return 1 - (hole & (u[..., 2:] < 2).all(-1)).double()


def test_the_worst_trap_is_outlined(finished: Path, records: list[TrustRecord]) -> None:
    m = trust_map(AnalyticFunction(pierced), SemanticSpace.default(), tiles=TILES, max_evaluations=600)
    (trap,) = m.traps()
    assert (trap.a.tolist(), trap.b.tolist()) == ([180.0, pytest.approx(70 / 3)], [240.0, pytest.approx(170 / 3)])
    section = Trust.of([replace(records[0], map=m)], environment_of(finished, trust=True))
    (picture,) = section.shapes[0].maps
    x, y = (section.width / 2, section.width * 2 / 3), (section.height / 3, section.height * 2 / 3)
    corners = {(x[i], y[j]) for i in range(2) for j in range(2)}
    assert len(picture.trap) == 4
    assert {(round(px, 6), round(py, 6)) for side in picture.trap for px, py in (side[:2], side[2:])} == corners
    shown = Texts(text := fill("trust.html", section=section))
    assert 'class="outline trap"' in text
    assert shown.tags.count("img") == 3  # in the largest region, in the trap, and on the card of the trap
    assert " 0.00 in 5.6\xa0% of the space" in shown.text
    assert "within azimuth 180° to 240°, elevation 23.3° to 56.7°" in shown.text
    sides = {tuple(line.get_xydata().ravel().tolist()) for line in plot_trust_map(m).axes[0].lines}
    assert sides == set(trap_sides(trap, m.tiles))
    assert {round(end, 6) for side in sides for end in side} == {180.0, 240.0, 23.333333, 56.666667}


def test_a_map_of_three_axes_is_drawn_in_slices(finished: Path, records: list[TrustRecord], tmp_path: Path) -> None:
    space = SemanticSpace((*SemanticSpace.default(), Axis("distance", 0, 4)))
    m = trust_map(AnalyticFunction(pierced), space, tiles=(6, 3, 2), max_evaluations=600)
    figure = plot_trust_map(m, picture=torch.rand(2, 3, 8, 8), title="a map")
    near, far = (panel for panel in figure.axes if panel.get_title())
    assert (near.get_title(), far.get_title()) == ("distance 0 to 2", "distance 2 to 4")
    failing = to_rgb(VERDICT_COLORS["failing"])
    assert [[tuple(c[:3]) == failing for c in row] for row in near.images[0].get_array().tolist()] == [
        [(i, j) == (1, 3) for j in range(6)] for i in range(3)
    ]
    assert save_figure(figure, tmp_path / "map.png").stat().st_size > 1000
    section = Trust.of([replace(records[0], map=m)], environment_of(finished, trust=True))
    text = fill("trust.html", section=section)
    drawn = Image.open(io.BytesIO(base64.b64decode(section.shapes[0].maps[0].figure)))
    assert drawn.format == "PNG"
    assert 'in slices of distance"' in text
    assert section.shapes[0].maps[0].figure in text


def test_many_shapes_are_cut_and_that_is_said(
    finished: Path, records: list[TrustRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_SHAPES", 1)
    found = Texts(fill("trust.html", section=Trust.of(records, environment_of(finished, trust=True))))
    assert found.tags.count("svg") == 2
    assert "1 more shape is not drawn" in found.text


def test_a_damaged_file_of_maps_is_named(finished: Path) -> None:
    path = finished / MAPS_FILE
    before = path.read_text()
    path.write_text(before.replace('"failing"', '"trusted"', 1))
    try:
        with pytest.raises(ValueError, match=r"line \d of .* is no trust map"):
            report_folder(finished, trust=True)
    finally:
        path.write_text(before)


def test_the_figure(records: list[TrustRecord], tmp_path: Path) -> None:
    figure = plot_trust_map(records[0].map, title="a map")
    (image,) = figure.axes[0].images
    assert image.get_array().shape == (TILES[1], TILES[0], 4)
    assert "trusted" in figure.legends[0].get_texts()[0].get_text()
    assert save_figure(figure, tmp_path / "map.png").stat().st_size > 1000


def test_the_maps_are_drawn_from_the_views_of_the_trust_maps(finished: Path, records: list[TrustRecord]) -> None:
    maps = SemanticMaps.load(finished / "maps.nc")
    assert maps.evaluations == 0
    assert maps.grid == (24, 11)
    assert maps.measured is not None
    assert not maps.measured.any()
    assert maps.error is not None
    assert float(maps.error.max()) <= 0.1
    assert "drawn from the views that the trust maps evaluated" in (finished / "report.html").read_text()
    environment = environment_of(finished, trust=True)
    environment.setup()
    f = environment.rendered_function(0, 0)
    m = records[0].map
    assert len(m.points) == len(m.scores) == m.evaluations
    torch.testing.assert_close(f(m.points[None])[0], torch.from_numpy(m.scores), atol=1e-5, rtol=0)
    samples = grid_points(maps.axes, maps.grid)
    away = float((f(samples[None])[0] - maps.scores[0, 0].double().flatten()).abs().mean())
    assert away <= 3 * float(maps.error[0, 0]) + 0.01


def test_viewpoint_accuracy_takes_the_first_view_of_every_tile(finished: Path, tmp_path: Path) -> None:
    def viewpoints(folder: Path) -> dict[str, float]:
        return json.loads((folder / "summary.json").read_text())["viewpoints"]

    assert viewpoints(finished)["views"] == 32  # 18 tiles are fewer than model.views
    words = [*SMALL, "--model.finders=[oir_b]", "--model.views=18", "--trust.max_evaluations=60", "--report_grid=[]"]
    evaluate([*words, f"--trust.tiles=[{TILES[0]},{TILES[1]}]", "--output", str(tmp_path / "few")])
    assert viewpoints(tmp_path / "few")["views"] == 18
    for record in read_records(tmp_path / "few" / MAPS_FILE):
        (run,) = [
            run for run in read_runs(tmp_path / "few" / "runs.parquet")
            if (run.network, run.shape_id, run.point) == (record.network, record.shape_id, 0)
        ]  # fmt: skip
        assert run.judgement.viewpoint_top1 == record.top1
        assert run.judgement.viewpoint_score == pytest.approx(record.map.first_mean)
