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

from lightning_semrob.report.plots import (
    method_color,
    network_color,
    network_label,
    plot_contact_sheet,
    plot_map,
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
    assert network_label("timm/x@/some/folder/weights.pth?input_size=64") == "timm/x@weights.pth?input_size=64"
    assert network_label("efficientnet_lite0?normalize=none") == "efficientnet_lite0?normalize=none"
    assert len({method_color(name) for name in ("naive", "trapezoid", "oir_b", "oir_w", "verified", "exhaustive")}) == 6


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
