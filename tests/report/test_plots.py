"""Figures: what is drawn, read back from the figure, and files."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib._pylab_helpers import Gcf
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.paper_figures import (
    plot_region_views,
    plot_srvr_against_accuracy,
    plot_srvr_bars,
    save_turntable,
)
from lightning_semrob.networks import network_labels
from lightning_semrob.report.figures import (
    method_color,
    network_color,
    plot_contact_sheet,
    plot_data_map,
    plot_growth,
    plot_map,
    plot_map_grid,
    plot_scores_over_axis,
    save_figure,
)
from lightning_semrob.space import Axis, Box, SemanticSpace

SPACE = SemanticSpace.default()
AZIMUTH = SPACE.axes[0]
VALUES = torch.arange(0.0, 360.0, 3.0)
CURVE = 0.5 + 0.5 * torch.cos(VALUES.deg2rad())


def box(*bounds: tuple[float, float, float, float]) -> Box:
    """Boxes from (left, right, bottom, top)."""
    rows = torch.tensor(bounds, dtype=torch.float64)
    return Box(rows[:, [0, 2]], rows[:, [1, 3]])


def sides(figure: Figure) -> list[tuple[float, float]]:
    """What of each rectangle's abscissa lies within the axes."""
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]  # type: ignore[attr-defined]
    return sorted((max(a, low), min(b, high)) for a, b in spans if b > low and a < high)


def test_a_network_has_one_colour_everywhere() -> None:
    one = plot_scores_over_axis(VALUES, {"efficientnet_lite1": CURVE}, AZIMUTH)
    two = plot_scores_over_axis(VALUES, {"torchvision/resnet50": CURVE, "efficientnet_lite1": CURVE}, AZIMUTH)
    assert to_hex(one.axes[0].lines[0].get_color()) == to_hex(two.axes[0].lines[1].get_color())
    assert network_color("efficientnet_lite0") != network_color("efficientnet_lite1")
    # The same in every process, and for all weights and options of one architecture.
    for name in ("timm/x", "timm/x@/some/folder/weights.pth?input_size=64", "timm/x?normalize=none"):
        assert network_color(name) == "#E69F00"
    assert len({method_color(name) for name in ("naive", "trapezoid", "oir_b", "oir_w", "verified", "exhaustive")}) == 6


def test_the_legend_names_networks_by_short_labels() -> None:
    names = ["timm/x@/some/folder/weights.pth?input_size=64", "timm/x", "torchvision/resnet50?label=mine"]
    figure = plot_scores_over_axis(VALUES, dict.fromkeys(names, CURVE), AZIMUTH)
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == network_labels(names) == ["x@weights", "timm/x", "mine"]


def test_networks_of_one_colour_differ_in_line_style() -> None:
    names = [f"network{i}" for i in range(30)]
    lines = plot_scores_over_axis(VALUES, dict.fromkeys(names, CURVE), AZIMUTH).axes[0].lines
    styles = {(to_hex(line.get_color()), str(line._dash_pattern)) for line in lines}  # type: ignore[attr-defined]
    assert len(styles) >= 20


def test_curves_are_closed_on_a_periodic_axis() -> None:
    axes = plot_scores_over_axis(VALUES, {"n": CURVE}, AZIMUTH).axes[0]
    x, y = axes.lines[0].get_data()
    assert (x[0], x[-1]) == (0, 360)
    assert y[0] == y[-1]
    np.testing.assert_allclose(y[:-1], CURVE, atol=1e-7)
    assert axes.get_xlabel() == "azimuth (degrees)"
    assert axes.get_xlim() == (0, 360)
    elevation = plot_scores_over_axis(torch.linspace(-10, 90, 5), {"n": torch.rand(5)}, SPACE.axes[1]).axes[0]
    assert len(np.asarray(elevation.lines[0].get_xdata())) == 5


def test_the_band_is_the_interval_of_the_mean_over_shapes() -> None:
    scores = torch.tensor([[0.4, 0.2], [0.6, 0.2], [0.5, 0.2]])
    figure = plot_scores_over_axis(torch.tensor([0.0, 1.0]), {"n": scores}, Axis("x", 0, 1, unit=""))
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.5, 0.2], atol=1e-7)
    vertices = axes.collections[0].get_paths()[0].vertices
    at_zero = vertices[vertices[:, 0] == 0][:, 1]
    half = 4.302652729911275 * 0.1 / math.sqrt(3)  # Student's t, 2 degrees of freedom, 97.5 %
    assert at_zero.max() - 0.5 == pytest.approx(half)
    assert 0.5 - at_zero.min() == pytest.approx(half)
    assert axes.get_xlabel() == "x"
    assert "3 shapes, 95% confidence" in figure.legends[0].get_title().get_text()


def test_boxes_wrap_around_a_periodic_axis() -> None:
    field = torch.rand(120, 34)
    inside = plot_map(field, SPACE, boxes={"oir_b": box((30, 60, 0, 20))})
    assert sides(inside) == [(30, 60)]
    assert sides(plot_map(field, SPACE, boxes={"oir_b": box((-30, 40, 0, 20))})) == [(0, 40), (330, 360)]
    assert sides(plot_map(field, SPACE, boxes={"oir_b": box((700, 730, 0, 20))})) == [(0, 10), (340, 360)]
    assert sides(plot_map(field, SPACE, boxes={"oir_b": box((-100, 260, 0, 20))})) == [(0, 360)]
    whole = plot_map(field, SPACE, boxes={"oir_b": box((-100, 260, 0, 20))}).axes[0].patches[0]
    assert whole.get_x() < 0  # type: ignore[attr-defined]
    assert whole.get_x() + whole.get_width() > 360  # type: ignore[attr-defined]


def test_the_map_lies_where_its_samples_are() -> None:
    field = torch.zeros(4, 3)
    field[1, 2] = 1.0  # azimuth 90, elevation 90
    figure = plot_map(field, SPACE, points=torch.tensor([[-90.0, 40.0]]))
    image = figure.axes[0].images[0]
    assert image.get_extent() == [-45, 405, -35, 115]
    array = np.asarray(image.get_array())
    assert array.shape == (3, 5)
    assert array[2, 1] == 1.0
    assert (array[:, 0] == array[:, -1]).all()
    assert figure.axes[0].get_xlim() == (0, 360)
    assert figure.axes[0].get_ylim() == (-10, 90)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xydata(), [[270, 40]])


def test_boxes_that_cannot_be_drawn_are_counted() -> None:
    boxes = {"naive": box((10, 20, 0, 5), (20, 10, 0, 5), (0, math.inf, 0, 5)), "oir_w": box((1, 2, 3, 4))}
    figure = plot_map(torch.rand(6, 5), SPACE, boxes=boxes)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["naive (2 not drawn)", "oir_w"]
    assert len(figure.axes[0].patches) == 2


def test_a_contact_sheet_shows_every_image_with_its_label() -> None:
    images = torch.rand(7, 3, 16, 16)
    figure = plot_contact_sheet(images, [f"class {i}\n0.5" for i in range(7)], columns=3, title="all")
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [f"class {i}\n0.5" for i in range(7)]
    np.testing.assert_allclose(np.asarray(shown[5].images[0].get_array()), images[5].permute(1, 2, 0), atol=1e-7)


def test_a_grid_shows_every_map_where_it_belongs(tmp_path: Path) -> None:
    field = torch.rand(2, 3, 6, 5)
    boxes = {(1, 2): {"oir_b": box((30, 60, 0, 20))}}
    figure = plot_map_grid(
        field, SPACE, ["cup", "chair"], ["A", "B", "C"], pictures=torch.rand(2, 3, 8, 8), boxes=boxes
    )
    maps = [axes for axes in figure.axes if axes.images and axes.get_xlim() == (0, 360)]
    assert len(maps) == 6
    for number, axes in enumerate(maps):
        shown = np.asarray(axes.images[0].get_array())[:, :-1].T
        np.testing.assert_allclose(shown, field.flatten(0, 1)[number], atol=1e-7)
        assert len(axes.patches) == (number == 5)
    assert [axes.get_title() for axes in maps[:3]] == ["A", "B", "C"]
    assert maps[3].get_ylabel() == "elevation (degrees)"
    assert figure.legends[0].get_texts()[0].get_text() == "oir_b"
    save_figure(figure, tmp_path / "grid.png", dpi=40)
    plain = plot_map_grid(field[:1], SPACE, ["cup"], ["A", "B", "C"])
    assert plain.axes[0].get_ylabel() == "cup\nelevation (degrees)"
    with pytest.raises(ValueError, match=r"scores must be \(2, 1\) maps"):
        plot_map_grid(field, SPACE, ["cup", "chair"], ["A"])
    with pytest.raises(ValueError, match="as many pictures"):
        plot_map_grid(field, SPACE, ["cup", "chair"], ["A", "B", "C"], pictures=torch.rand(1, 3, 8, 8))


def test_a_data_map_outlines_its_holes(tmp_path: Path) -> None:
    mean, spread = torch.rand(12, 7), 0.23 * torch.rand(12, 7)
    holes = torch.zeros(12, 7, dtype=torch.bool)
    holes[4:6, 2:5] = True
    figure = plot_data_map(mean, spread, SPACE, holes=holes)
    left, right = figure.axes[:2]
    np.testing.assert_allclose(np.asarray(left.images[0].get_array())[:, :-1].T, mean, atol=1e-7)
    np.testing.assert_allclose(np.asarray(right.images[0].get_array())[:, :-1].T, spread, atol=1e-7)
    assert right.images[0].get_clim() == (0, pytest.approx(0.3))
    paths = [path.vertices for c in left.collections for path in c.get_paths() if len(path.vertices)]
    x = np.concatenate(paths)[:, 0]
    assert 90 <= x.min() <= 120
    assert 150 <= x.max() <= 180
    save_figure(figure, tmp_path / "data.png", dpi=40)
    assert not plot_data_map(mean, spread, SPACE, holes=torch.zeros(12, 7)).axes[0].collections
    with pytest.raises(ValueError, match="maps of two axes"):
        plot_data_map(mean, spread[:3], SPACE)


def test_growth_shows_the_first_and_the_last_box(tmp_path: Path) -> None:
    half = torch.tensor([[0.0, 0.0], [10, 5], [20, 10], [30, 20], [30, 20]], dtype=torch.float64)
    middle = torch.tensor([100.0, 30.0])
    trace = torch.stack([middle - half, middle + half], 1)
    figure = plot_growth(torch.rand(12, 7), SPACE, {"naive": trace, "oir_b": trace[:, None]}, shown=3)
    top, bottom = figure.axes[0], figure.axes[2]
    widths = [patch.get_width() for patch in top.patches]  # type: ignore[attr-defined]
    assert widths[0] == 0
    assert widths[-1] == 60
    assert top.patches[-1].get_linewidth() > top.patches[0].get_linewidth()
    np.testing.assert_allclose(bottom.lines[0].get_ydata(), 2 * half[:, 0] / 360)
    np.testing.assert_allclose(bottom.lines[1].get_ydata(), 2 * half[:, 1] / 100)
    save_figure(figure, tmp_path / "growth.png", dpi=40)
    with pytest.raises(ValueError, match="no method"):
        plot_growth(torch.rand(12, 7), SPACE, {})
    with pytest.raises(ValueError, match=r"must be \(T, K, 2, 2\)"):
        plot_growth(torch.rand(12, 7), SPACE, {"naive": trace[0]})
    with pytest.raises(ValueError, match="5 moments of 'naive' need as many steps, got 2"):
        plot_growth(torch.rand(12, 7), SPACE, {"naive": trace}, steps=[0, 1])


def test_views_of_a_region_are_numbered_on_the_map(tmp_path: Path) -> None:
    views = [
        ("worst", torch.tensor([-10.0, 20.0]), torch.rand(3, 8, 8), 0.125),
        ("centre", torch.ones(2), torch.rand(3, 8, 8), 1),
    ]
    figure = plot_region_views(torch.rand(12, 7), SPACE, {"oir_b": box((1, 2, 3, 4))}, views)
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2"]
    assert figure.axes[0].texts[0].xy == (350, 20)  # type: ignore[attr-defined]
    insets = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in insets] == ["1 worst", "2 centre"]
    assert insets[0].get_xlabel() == "f = 0.12"
    save_figure(figure, tmp_path / "views.png", dpi=40)
    with pytest.raises(ValueError, match="at least one view"):
        plot_region_views(torch.rand(12, 7), SPACE, {}, [])


def test_srvr_pictures_state_values_and_intervals(tmp_path: Path) -> None:
    values = {"naive": {"a": (0.1, 0.05, 0.2), "b": (0.3, math.nan, math.nan)}, "oir_b": {"a": (0.2, 0.1, 0.3)}}
    axes = plot_srvr_bars(values).axes[0]
    assert [patch.get_height() for patch in axes.patches] == pytest.approx([10, 20, 30])  # type: ignore[attr-defined]
    spans = [bars.get_segments()[0][:, 1].tolist() for bars in axes.collections]  # type: ignore[attr-defined]
    assert spans == [pytest.approx([5, 20]), pytest.approx([10, 30])]
    assert axes.patches[0].get_facecolor() == axes.patches[1].get_facecolor()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["naive", "oir_b"]
    scatter = plot_srvr_against_accuracy({"a": (0.1, 0.05, 0.2), "b": (0.3, math.nan, math.nan)}, {"a": 70.0, "c": 1.0})
    assert scatter.axes[0].lines[0].get_xydata().tolist() == [[70, 10]]  # type: ignore[union-attr]
    assert [text.get_text() for text in scatter.axes[0].texts] == ["a"]
    save_figure(scatter, tmp_path / "scatter.png", dpi=40)
    with pytest.raises(ValueError, match="no method or no network"):
        plot_srvr_bars({})
    with pytest.raises(ValueError, match="no network has both"):
        plot_srvr_against_accuracy({"a": (0.1, 0.05, 0.2)}, {"b": 1.0})


def test_a_turntable_moves_its_marker(tmp_path: Path) -> None:
    images = torch.rand(4, 3, 8, 8)
    values, scores = torch.tensor([0.0, 90, 180, 270]), {"efficientnet_lite0": torch.tensor([0.1, 0.9, 0.1, 0.9])}
    path = save_turntable(tmp_path / "t.gif", images, values, scores, AZIMUTH, dpi=50)
    with Image.open(path) as gif:
        assert gif.n_frames == 4  # type: ignore[attr-defined]
        assert gif.info["duration"] == 80
        frames = []
        for k in range(4):
            gif.seek(k)
            frames.append(np.asarray(gif.convert("L"), dtype=float))
    right = [frame[:, frames[0].shape[1] // 2 :] for frame in frames]
    assert all(np.abs(right[k] - right[k + 1]).max() > 50 for k in range(3))
    with pytest.raises(ValueError, match=r"a turntable is a \.gif"):
        save_turntable(tmp_path / "t.png", images, values, scores, AZIMUTH)
    with pytest.raises(ValueError, match=r"images must be \(4, 3, H, W\)"):
        save_turntable(tmp_path / "t.gif", images[:2], values, scores, AZIMUTH)


def test_files_are_equal_for_equal_figures(tmp_path: Path) -> None:
    def figure() -> Figure:
        views = {float(v): torch.full((3, 8, 8), 0.5) for v in (0, 90, 200)}
        return plot_scores_over_axis(
            VALUES, {"efficientnet_lite0": CURVE}, AZIMUTH, views=views, marked=[90.0], title="t"
        )

    one, two = (save_figure(figure(), tmp_path / "new" / name, dpi=80) for name in ("a.png", "b.png"))
    assert one.read_bytes() == two.read_bytes()
    with Image.open(one) as image:
        assert image.size == (640, 288)
        assert np.asarray(image.convert("L")).std() > 5
    assert save_figure(figure(), tmp_path / "a.svg").read_text().startswith("<?xml")
    with pytest.raises(ValueError, match=r"a\.txt.*png"):
        save_figure(figure(), tmp_path / "a.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "new"]


def test_global_state_of_matplotlib_is_not_touched(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    save_figure(plot_map(torch.rand(6, 5), SPACE), tmp_path / "map.png")
    assert dict(matplotlib.rcParams) == before
    assert not Gcf.figs  # pyplot's list of figures


def test_what_cannot_be_plotted_is_an_error() -> None:
    with pytest.raises(ValueError, match="increasing"):
        plot_scores_over_axis(VALUES.flip(0), {"n": CURVE}, AZIMUTH)
    with pytest.raises(ValueError, match=r"scores of 'n' must be \(120,\) or \(S, 120\), got \(1, 7\)"):
        plot_scores_over_axis(VALUES, {"n": torch.rand(7)}, AZIMUTH)
    with pytest.raises(ValueError, match="no network"):
        plot_scores_over_axis(VALUES, {}, AZIMUTH)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, got 95"):
        plot_scores_over_axis(VALUES, {"n": CURVE}, AZIMUTH, confidence=95)
    with pytest.raises(ValueError, match="two axes"):
        plot_map(torch.rand(4, 4, 4), SPACE)
    with pytest.raises(ValueError, match=r"points must be \(K, 2\)"):
        plot_map(torch.rand(4, 4), SPACE, points=torch.rand(3))
    with pytest.raises(ValueError, match="1 labels were given for 2 images"):
        plot_contact_sheet(torch.rand(2, 3, 4, 4), ["a"])
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        plot_contact_sheet(torch.rand(3, 4, 4), ["a"])
