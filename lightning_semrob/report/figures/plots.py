"""The project's figures: f over an axis, maps with boxes on them, growing boxes, bars, contact sheets, turntables.

Every function returns a new :class:`matplotlib.figure.Figure` and touches no global state of matplotlib (no
pyplot); :func:`save_figure` renders it with Agg, which needs no display. Colours come from the colour-blind safe
set of Okabe and Ito, and a network, or a method, has the same colour in every figure.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator, MultipleLocator
from PIL import Image
from scipy import stats
from torch import Tensor

from lightning_semrob.evaluation.results import write_atomically
from lightning_semrob.space import Axis, Box, SemanticSpace

__all__ = [
    "axis_label",
    "box_sides",
    "method_color",
    "network_color",
    "network_label",
    "plot_contact_sheet",
    "plot_data_map",
    "plot_growth",
    "plot_map",
    "plot_map_grid",
    "plot_region_views",
    "plot_scores_over_axis",
    "plot_srvr_against_accuracy",
    "plot_srvr_bars",
    "save_figure",
    "save_turntable",
    "tick_step",
]

# Okabe and Ito, without black (annotations) and yellow (hard to see on white).
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
# The default networks and the paper's; others fall on a colour by their name.
_NETWORK_SLOTS = {
    "efficientnet_lite0": 0,
    "efficientnet_lite1": 1,
    "efficientnet_lite2": 2,
    "torchvision/squeezenet1_0": 2,
    "torchvision/alexnet": 3,
    "torchvision/vgg11": 4,
    "torchvision/resnet50": 0,
    "torchvision/inception_v3": 5,
    "ResNet50": 0,
    "AlexNet": 3,
    "VGG": 4,
    "Inceptionv3": 5,
}
_METHOD_SLOTS = {"naive": 5, "trapezoid": 4, "oir_b": 1, "oir_w": 3, "verified": 2, "exhaustive": 0}
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_MAP_COLORS = "cividis"  # even in lightness, and alike to every kind of colour vision
_SPREAD_COLORS = "magma"
_GREY = "#555555"
_INITIAL: dict[str, Any] = {"marker": "o", "markersize": 5, "color": "white", "markeredgecolor": "black"}


def network_label(name: str) -> str:
    """A network's name for people: the folders of a state dict's path are left out."""
    head, at, tail = name.partition("@")
    path, mark, options = tail.partition("?")
    return f"{head}{at}{Path(path).name if path else ''}{mark}{options}"


def _slot(name: str, table: Mapping[str, int]) -> int:
    return table.get(name, int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(_PALETTE))


def network_color(name: str) -> str:
    """The colour of a network, ``#rrggbb``, fixed by its architecture's name in every figure and process.

    Weights and options of one architecture share it; within a figure line styles tell them apart.
    """
    architecture, _, _ = name.partition("@")[0].partition("?")
    return _PALETTE[_slot(architecture, _NETWORK_SLOTS)]


def method_color(name: str) -> str:
    """The colour of a method, ``#rrggbb``."""
    return _PALETTE[_slot(name, _METHOD_SLOTS)]


def _dashes(colors: Iterable[str]) -> list[Any]:
    """A line style each: where colours repeat within one figure, the style tells the lines apart."""
    seen: dict[str, int] = {}
    styles = []
    for color in colors:
        styles.append(_DASHES[seen.get(color, 0) % len(_DASHES)])
        seen[color] = seen.get(color, 0) + 1
    return styles


def save_figure(figure: Figure, path: str | Path, dpi: int = 150) -> Path:
    """Write a figure, atomically; the suffix of ``path`` is the format (png, svg, pdf).

    Equal figures give equal png files. Missing folders are made.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    FigureCanvasAgg(figure)
    known = sorted(figure.canvas.get_supported_filetypes())
    if kind not in known:
        raise ValueError(f"cannot write '{path}': the suffix must be one of {', '.join(known)}")
    metadata = {"Software": None} if kind == "png" else None
    write_atomically(path, lambda file: figure.savefig(file, format=kind, dpi=dpi, metadata=metadata))
    return path


def plot_scores_over_axis(
    values: Tensor,
    scores: Mapping[str, Tensor],
    axis: Axis,
    *,
    views: Mapping[float, Tensor] | None = None,
    marked: Sequence[float] = (),
    title: str | None = None,
    label: str = "score f",
    confidence: float = 0.95,
    size: tuple[float, float] = (8.0, 3.6),
) -> Figure:
    """f along one axis for several networks (the paper's Figure 1).

    Args:
        values: (P,) increasing points of the axis, in its unit. On a periodic axis the curve is closed.
        scores: of each network (P,), or (S, P) over S shapes: their mean, and the Student-t confidence interval of
            the mean as a band where S > 1. NaN leaves a gap.
        axis: names the abscissa and bounds it.
        views: renderings (3, H, W) in [0, 1] to show above the curve, at values of the axis.
        marked: values of the views to frame.
        title: above the figure.
        label: of the ordinate.
        confidence: of the band, in (0, 1).
        size: inches.

    Raises:
        ValueError: for shapes that do not go together, or no network.
    """
    x = _array(values)
    if x.ndim != 1 or len(x) < 2 or not (np.diff(x) > 0).all():
        raise ValueError(f"values must be at least 2 increasing points (P,), got {x.shape}: sort them first")
    if not scores:
        raise ValueError("scores has no network: give at least one")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}: give 0.95 for 95 %")
    closed = axis.periodic and x[-1] < x[0] + axis.extent
    x = np.append(x, x[0] + axis.extent) if closed else x
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(2 if views else 1, 1, height_ratios=(1, 2.2) if views else None, hspace=0.0)
    axes = figure.add_subplot(grid[-1, 0])
    largest = 1
    for (name, values_of), dashes in zip(scores.items(), _dashes(map(network_color, scores)), strict=True):
        y = np.atleast_2d(_array(values_of))
        if y.ndim != 2 or y.shape[1] != len(values):
            raise ValueError(f"scores of '{name}' must be ({len(values)},) or (S, {len(values)}), got {y.shape}")
        y = np.concatenate([y, y[:, :1]], axis=1) if closed else y
        largest = max(largest, len(y))
        mean, color = y.mean(0), network_color(name)
        axes.plot(x, mean, color=color, linestyle=dashes, linewidth=1.8, label=network_label(name))
        if len(y) > 1:
            half = stats.t.ppf((1 + confidence) / 2, len(y) - 1) * y.std(0, ddof=1) / math.sqrt(len(y))
            low, high, alpha = (mean - half).clip(0), (mean + half).clip(max=1), 0.2 if len(scores) < 3 else 0.08
            axes.fill_between(x, low, high, color=color, alpha=alpha, linewidth=0)
            for edge in (low, high):
                axes.plot(x, edge, color=color, linestyle=dashes, linewidth=0.5, alpha=0.7, label="_")
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel(label)
    _finish_axis(axes, axis, "x")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    band = f"mean of {largest} shapes, {confidence:.0%} confidence" if largest > 1 else None
    _legend(figure, axes, title=band)
    if views:
        _strip(figure, figure.add_subplot(grid[0, 0]), axes, views, marked)
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def plot_map(
    scores: Tensor,
    space: SemanticSpace,
    *,
    boxes: Mapping[str, Box] | None = None,
    points: Tensor | None = None,
    title: str | None = None,
    label: str = "score f",
    size: tuple[float, float] = (8.0, 3.4),
) -> Figure:
    """A 2-D semantic map with boxes drawn on it.

    Args:
        scores: (d_1, d_2) in [0, 1], in the order of the space's axes, sampled evenly: without the end point on a
            periodic axis, with both end points on the others. NaN is left white.
        space: two axes, abscissa and ordinate.
        boxes: of each method (K, 2) bounds. A box that crosses the end of a periodic axis comes in at the other
            end. Boxes that are inverted or not finite cannot be drawn; the legend counts them.
        points: (K, 2) initial points.
        title: above the figure.
        label: of the colour bar.
        size: inches.

    Raises:
        ValueError: unless the map and the space have two axes.
    """
    field = _array(scores)
    if len(space) != 2 or field.ndim != 2 or min(field.shape) < 2:
        raise ValueError(
            f"a map needs two axes and at least 2 x 2 scores, got {field.shape} over {space.names}: "
            "average or fix the others"
        )
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    image = _draw_field(axes, field, space)
    colorbar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.04)
    colorbar.set_label(label)
    boxes = boxes or {}
    _draw_methods(axes, boxes, space)
    if points is not None:
        axes.plot(*_wrapped(points, space).T, linestyle="none", label="initial", **_INITIAL)
    for axis, direction in zip(space, "xy", strict=True):
        _finish_axis(axes, axis, direction)
    if boxes or points is not None:
        _legend(figure, axes)
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def plot_contact_sheet(
    images: Tensor,
    labels: Sequence[str],
    *,
    columns: int | None = None,
    title: str | None = None,
    cell: float = 1.35,
) -> Figure:
    """Renderings in a grid, each with its label below.

    Args:
        images: (N, 3, H, W) in [0, 1], RGB.
        labels: N texts, of one or more lines.
        columns: of the grid; by default it is a little wider than high.
        title: above the sheet.
        cell: width of an image, inches.

    Raises:
        ValueError: for other shapes, or another number of labels.
    """
    if images.dim() != 4 or images.shape[1] != 3 or not len(images):
        raise ValueError(f"images must be (N, 3, H, W) with N >= 1, got {tuple(images.shape)}")
    if len(labels) != len(images):
        raise ValueError(f"{len(labels)} labels were given for {len(images)} images: give one each")
    columns = min(len(images), columns or math.ceil(math.sqrt(1.6 * len(images))))
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    rows = math.ceil(len(images) / columns)
    lines = 1 + max(label.count("\n") for label in labels)
    height = cell * images.shape[2] / images.shape[3] + 0.16 * lines
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    figure = Figure(figsize=(columns * cell, rows * height + (0.35 if title else 0)), layout=layout)
    cells = figure.subplots(rows, columns, squeeze=False).flat
    for axes in cells:
        axes.set_axis_off()
    for axes, image, label in zip(figure.axes, images, labels, strict=False):
        axes.imshow(_picture(image))
        axes.set_title(label, fontsize=7.5, y=-0.02, va="top", pad=0)
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def plot_map_grid(
    scores: Tensor,
    space: SemanticSpace,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    pictures: Tensor | None = None,
    boxes: Mapping[tuple[int, int], Mapping[str, Box]] | None = None,
    title: str | None = None,
    label: str = "score f",
    cell: tuple[float, float] = (2.6, 1.6),
) -> Figure:
    """Many maps in one figure, shapes by networks (the paper's Figure 3).

    Args:
        scores: (R, C, d_1, d_2) in [0, 1], sampled as in :func:`plot_map`.
        space: two axes, abscissa and ordinate.
        rows, columns: R and C texts.
        pictures: (R, 3, H, W) in [0, 1], one at the left of each row.
        boxes: (row, column) -> method -> boxes.
        title: above the figure.
        label: of the colour bar.
        cell: width and height of a map, inches.

    Raises:
        ValueError: for sizes that do not go together.
    """
    field = _array(scores)
    expected = (len(rows), len(columns))
    if field.ndim != 4 or field.shape[:2] != expected or len(space) != 2 or not all(expected):
        raise ValueError(f"scores must be {expected} maps of two axes, got {field.shape} over {space.names}")
    if pictures is not None and len(pictures) != len(rows):
        raise ValueError(f"{len(rows)} rows need as many pictures, got {len(pictures)}")
    with_pictures = pictures is not None
    height = len(rows) * cell[1] + 0.5 + (0.3 if title else 0)
    figure = Figure(
        figsize=(len(columns) * cell[0] + (1.1 if with_pictures else 0) + 0.8, height), layout="constrained"
    )
    ratios = [0.42] * with_pictures + [1.0] * len(columns)
    cells = figure.subplots(len(rows), len(ratios), squeeze=False, width_ratios=ratios)
    image = None
    for i, name in enumerate(rows):
        if pictures is not None:
            cells[i, 0].imshow(_picture(pictures[i]))
            cells[i, 0].set(xticks=[], yticks=[])
            cells[i, 0].spines[:].set_visible(False)
            cells[i, 0].set_xlabel(name, fontsize="small")
        for j, column in enumerate(columns):
            axes = cells[i, j + with_pictures]
            image = _draw_field(axes, field[i, j], space)
            _draw_methods(axes, (boxes or {}).get((i, j), {}), space)
            for axis, direction in zip(space, "xy", strict=True):
                _finish_axis(axes, axis, direction)
            axes.tick_params(labelsize="x-small", labelleft=j == 0, labelbottom=i == len(rows) - 1)
            axes.xaxis.set_major_locator(MultipleLocator(90) if space.axes[0].unit == "degree" else MaxNLocator(4))
            above = f"{name}\n" if not with_pictures else ""
            axes.set_ylabel(f"{above}{axes.get_ylabel()}" if j == 0 else "", fontsize="small")
            axes.set_xlabel(axes.get_xlabel() if i == len(rows) - 1 else "", fontsize="small")
            if i == 0:
                axes.set_title(column, fontsize="small")
    assert image is not None
    figure.colorbar(image, ax=cells[:, with_pictures:], pad=0.01, fraction=0.03).set_label(label)
    if boxes:
        names = list(dict.fromkeys(name for found in boxes.values() for name in found))
        handles = [Line2D([], [], color=method_color(name), linewidth=2, label=name) for name in names]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(names), frameon=False, fontsize="small")
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def plot_data_map(
    mean: Tensor,
    spread: Tensor,
    space: SemanticSpace,
    *,
    holes: Tensor | None = None,
    title: str | None = None,
    size: tuple[float, float] = (8.6, 3.2),
) -> Figure:
    """A Data Semantic Map with the spread between networks beside it (the paper's Figures 4 and 5).

    Dark at the left and at the right: all networks fail there (data bias). Bright at the right: they disagree.

    Args:
        mean: (d_1, d_2) over networks and shapes.
        spread: (d_1, d_2) standard deviation over networks, at most 1/2.
        space: two axes, abscissa and ordinate.
        holes: (d_1, d_2) bool, samples to surround by a line: the shared holes.
        title: above the figure.
        size: inches.

    Raises:
        ValueError: unless both are maps of two axes.
    """
    left, right = _array(mean), _array(spread)
    if left.ndim != 2 or left.shape != right.shape or len(space) != 2:
        raise ValueError(f"mean and spread must be maps of two axes, got {left.shape} and {right.shape}")
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    texts = ("mean score of all networks", "spread between networks (standard deviation)")
    widest = max(0.1, math.ceil(10 * np.nanmax(right)) / 10)
    for axes, field, colors, high, text in zip(
        panels, (left, right), (_MAP_COLORS, _SPREAD_COLORS), (1.0, widest), texts, strict=True
    ):
        image = _draw_field(axes, field, space, colors, high)
        for axis, direction in zip(space, "xy", strict=True):
            _finish_axis(axes, axis, direction)
        axes.xaxis.set_major_locator(MultipleLocator(90) if space.axes[0].unit == "degree" else MaxNLocator(4))
        figure.colorbar(
            image, ax=axes, pad=0.02, orientation="horizontal", fraction=0.06, aspect=40, ticks=MaxNLocator(5)
        ).set_label(text, fontsize="small")
        if holes is not None:
            _outline(axes, _array(holes), space)
    panels[1].set_ylabel("")
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def plot_growth(
    scores: Tensor,
    space: SemanticSpace,
    bounds: Mapping[str, Tensor],
    *,
    steps: Sequence[int] | None = None,
    shown: int = 8,
    title: str | None = None,
    label: str = "score f",
    size: tuple[float, float] | None = None,
) -> Figure:
    """Boxes as they grow over updates, a panel a method (the paper's Figures 11 and 12).

    Args:
        scores: (d_1, d_2) map below the boxes.
        space: two axes, abscissa and ordinate.
        bounds: of each method (T, 2, 2) or (T, K, 2, 2): a, b of K boxes at T moments.
        steps: number of updates at each moment, T of them; 0 to T - 1 if None.
        shown: moments drawn on the map at most, spread evenly over the time in which the box moves.
        title: above the figure.
        label: of the colour bar.
        size: inches.

    Raises:
        ValueError: for bounds of another shape, or no method.
    """
    if not bounds:
        raise ValueError("bounds has no method: give at least one")
    size = size or (1.0 + 3.9 * len(bounds), 4.6)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(2, len(bounds), squeeze=False, height_ratios=(2.1, 1), sharey="row")
    image = None
    for column, (name, found) in enumerate(bounds.items()):
        trace = _array(found)
        trace = trace[:, None] if trace.ndim == 3 else trace
        if trace.ndim != 4 or trace.shape[2:] != (2, 2):
            raise ValueError(f"bounds of '{name}' must be (T, K, 2, 2), got {trace.shape}")
        moments = list(range(len(trace))) if steps is None else list(steps)
        if len(moments) != len(trace):
            raise ValueError(f"{len(trace)} moments of '{name}' need as many steps, got {len(moments)}")
        axes, below = panels[:, column]
        image = _draw_field(axes, _array(scores), space)
        chosen = _moments(trace, space, shown)
        for place, t in enumerate(chosen):
            box = Box(torch.from_numpy(trace[t, :, 0]), torch.from_numpy(trace[t, :, 1]))
            last = place == len(chosen) - 1
            _draw_boxes(axes, box, space, method_color(name), "solid", 2.0 if last else 0.9)
        start = torch.from_numpy(trace[0].mean(1))
        axes.plot(*_wrapped(start, space).T, linestyle="none", **_INITIAL)
        for axis, direction in zip(space, "xy", strict=True):
            _finish_axis(axes, axis, direction)
        axes.xaxis.set_major_locator(MultipleLocator(60) if space.axes[0].unit == "degree" else MaxNLocator(5))
        axes.set_title(name, fontsize="medium", color=method_color(name))
        if column:
            axes.set_ylabel("")
        _draw_widths(below, space, trace, moments, name)
    assert image is not None
    panels[1, 0].set_ylabel("width of the box\n(share of the axis)")
    panels[1, 0].set_ylim(bottom=0)
    figure.colorbar(image, ax=panels[0, :], pad=0.01, fraction=0.03).set_label(label)
    handles = [
        Line2D([], [], color=_GREY, linestyle=dashes, label=f"width along {axis.name.replace('_', ' ')}")
        for axis, dashes in zip(space, _DASHES, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def plot_region_views(
    scores: Tensor,
    space: SemanticSpace,
    boxes: Mapping[str, Box],
    views: Sequence[tuple[str, Tensor, Tensor, float]],
    *,
    points: Tensor | None = None,
    title: str | None = None,
    label: str = "score f",
    width: float = 8.4,
) -> Figure:
    """A map with regions, and below it what the network sees in them (the paper's Figures 13 and 14).

    Args:
        scores: (d_1, d_2) map.
        space: two axes, abscissa and ordinate.
        boxes: of each method, as in :func:`plot_map`.
        views: what each view is (``worst``), where (2,), its rendering (3, H, W) in [0, 1] and its score. They are
            numbered on the map.
        points: (K, 2) initial points.
        title: above the figure.
        label: of the colour bar.
        width: inches.

    Raises:
        ValueError: without views, or as :func:`plot_map`.
    """
    field = _array(scores)
    if field.ndim != 2 or len(space) != 2 or not views:
        raise ValueError(f"a map of two axes and at least one view are needed, got {field.shape}, {len(views)} views")
    cell = min(1.25, width / len(views))
    figure = Figure(figsize=(width, 3.4 + cell + 0.4), layout="constrained")
    grid = figure.add_gridspec(2, len(views), height_ratios=(3.1, cell + 0.25))
    axes = figure.add_subplot(grid[0, :])
    image = _draw_field(axes, field, space)
    figure.colorbar(image, ax=axes, pad=0.015, fraction=0.04).set_label(label)
    _draw_methods(axes, boxes, space)
    if points is not None:
        axes.plot(*_wrapped(points, space).T, linestyle="none", label="initial", **_INITIAL)
    for axis, direction in zip(space, "xy", strict=True):
        _finish_axis(axes, axis, direction)
    _legend(figure, axes)
    for number, (name, point, picture, score) in enumerate(views, 1):
        ((x, y),) = _wrapped(torch.as_tensor(point)[None], space)
        axes.annotate(
            str(number),
            (x, y),
            ha="center",
            va="center",
            fontsize=7,
            color="black",
            bbox={"boxstyle": "circle,pad=0.18", "facecolor": "white", "edgecolor": "black", "linewidth": 0.8},
            annotation_clip=False,
        )
        inset = figure.add_subplot(grid[1, number - 1])
        inset.imshow(_picture(picture))
        inset.set(xticks=[], yticks=[])
        inset.spines[:].set(color=_GREY, linewidth=0.7)
        inset.set_title(f"{number} {name}", fontsize="small", pad=2)
        inset.set_xlabel(f"f = {score:.2f}", fontsize="small", labelpad=2)
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def plot_srvr_bars(
    values: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    title: str | None = None,
    label: str = "SRVR (percent of the space)",
    size: tuple[float, float] = (7.0, 3.4),
) -> Figure:
    """SRVR of networks by method, with intervals.

    Args:
        values: method -> network -> (estimate, low, high), shares of the space; NaN bounds draw no interval.
        title: above the figure.
        label: of the ordinate.
        size: inches.

    Raises:
        ValueError: for no method or no network.
    """
    networks = list(dict.fromkeys(name for found in values.values() for name in found))
    if not networks:
        raise ValueError("values has no method or no network: give at least one of each")
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(networks)
    hatches = dict(zip(networks, _hatches(networks), strict=True))
    for k, network in enumerate(networks):
        for place, found in enumerate(values.values()):
            if network not in found:
                continue
            estimate, low, high = (100 * x for x in found[network])
            x = place + (k - (len(networks) - 1) / 2) * width
            axes.bar(
                x,
                estimate,
                0.92 * width,
                color=network_color(network),
                hatch=hatches[network],
                edgecolor="white",
                linewidth=0.5,
                label=network_label(network) if place == 0 else None,
            )
            if math.isfinite(low) and math.isfinite(high):
                error = [[max(0.0, estimate - low)], [max(0.0, high - estimate)]]
                axes.errorbar(x, estimate, error, color="black", capsize=3, linewidth=1.1)
    axes.set_xticks(range(len(values)), list(values))
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(figure, axes)
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def plot_srvr_against_accuracy(
    srvr: Mapping[str, tuple[float, float, float]],
    accuracy: Mapping[str, float],
    *,
    title: str | None = None,
    label: str = "SRVR (percent of the space)",
    size: tuple[float, float] = (5.4, 3.8),
) -> Figure:
    """Robustness against accuracy, a point a network (the paper's Table 1 as a picture).

    Args:
        srvr: network -> (estimate, low, high), shares of the space; NaN bounds draw no interval.
        accuracy: network -> top-1 accuracy in percent.
        title: above the figure.
        label: of the ordinate.
        size: inches.

    Raises:
        ValueError: no network has both.
    """
    networks = [name for name in srvr if name in accuracy]
    if not networks:
        raise ValueError(f"no network has both SRVR and accuracy: {sorted(srvr)} against {sorted(accuracy)}")
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    top, middle = 0.0, (min(accuracy[x] for x in networks) + max(accuracy[x] for x in networks)) / 2
    for name, marker in zip(networks, _markers(networks), strict=True):
        estimate, low, high = (100 * x for x in srvr[name])
        known = math.isfinite(low) and math.isfinite(high)
        error = [[max(0.0, estimate - low)], [max(0.0, high - estimate)]] if known else None
        top = max(top, high if known else estimate)
        axes.errorbar(
            accuracy[name], estimate, error, color=network_color(name), marker=marker, markersize=8, capsize=3
        )
        left = accuracy[name] > middle
        axes.annotate(
            network_label(name),
            (accuracy[name], estimate),
            (-9 if left else 9, 5),
            textcoords="offset points",
            fontsize="small",
            ha="right" if left else "left",
        )
    axes.set_xlabel("top-1 accuracy (percent)")
    axes.set_ylabel(label)
    axes.set_ylim(0, 1.1 * top if top > 0 else 1)
    axes.margins(x=0.25)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def save_turntable(
    path: str | Path,
    images: Tensor,
    values: Tensor,
    scores: Mapping[str, Tensor],
    axis: Axis,
    *,
    milliseconds: int = 80,
    title: str | None = None,
    label: str = "score f",
    dpi: int = 80,
) -> Path:
    """An animated GIF: the object as one axis runs, and the scores with a moving marker.

    Args:
        path: ends in ``.gif``.
        images: (P, 3, H, W) in [0, 1].
        values: (P,) increasing points of the axis, in its unit.
        scores: of each network (P,).
        axis: names the abscissa and bounds it.
        milliseconds: of each picture.
        title: above the figure.
        label: of the ordinate.
        dpi: of the GIF.

    Raises:
        ValueError: another suffix, or sizes that do not go together.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"cannot write '{path}': a turntable is a .gif")
    if images.dim() != 4 or len(images) != len(values):
        raise ValueError(f"images must be ({len(values)}, 3, H, W), one for each value, got {tuple(images.shape)}")
    figure = plot_scores_over_axis(values, scores, axis, title=title, label=label, size=(7.2, 3.0))
    axes = figure.axes[0]
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0.4, 0, 0.6, 1))  # type: ignore[call-arg]
    side = figure.add_axes((0.01, 0.06, 0.37, 0.86), in_layout=False)
    side.set_axis_off()
    shown = side.imshow(_picture(images[0]))
    line = axes.axvline(float(values[0]), color=_GREY, linewidth=1)
    dots = [
        axes.plot([], [], marker="o", markersize=8, color=network_color(name), markeredgecolor="black")[0]
        for name in scores
    ]
    canvas: Any = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    frames = []
    for k, value in enumerate(_array(values)):
        shown.set_data(_picture(images[k]))
        line.set_xdata([value, value])
        for dot, found in zip(dots, scores.values(), strict=True):
            dot.set_data([value], [float(found[k])])
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    # One palette for all pictures: colours do not flicker.
    sheet = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames[:: max(1, len(frames) // 8)]]))
    palette = sheet.quantize(128)
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    write_atomically(
        path,
        lambda file: flat[0].save(
            file, format="gif", save_all=True, append_images=flat[1:], duration=milliseconds, loop=0, optimize=False
        ),
    )
    return path


def _hatches(networks: Sequence[str]) -> list[str]:
    """A hatch each, so that networks of one colour differ."""
    seen: dict[str, int] = {}
    styles = []
    for color in map(network_color, networks):
        styles.append(("", "//", "..", "xx")[seen.get(color, 0) % 4])
        seen[color] = seen.get(color, 0) + 1
    return styles


def _markers(networks: Sequence[str]) -> list[str]:
    """A marker each."""
    return ["osD^vP"[k % 6] for k in range(len(networks))]


def _moments(trace: Any, space: SemanticSpace, shown: int) -> list[int]:
    """Moments (of T) between which the boxes move about equally far."""
    moves = np.abs(np.diff(trace, axis=0)) / _array(space.extent)
    path = np.concatenate([[0.0], np.nan_to_num(moves).clip(max=1).reshape(len(moves), -1).max(1).cumsum()])
    marks = np.linspace(0, path[-1], max(2, shown))
    return sorted({int(np.abs(path - mark).argmin()) for mark in marks} | {len(trace) - 1})


def _outline(axes: Axes, mask: np.ndarray[Any, np.dtype[np.float64]], space: SemanticSpace) -> None:
    """A line around the marked samples; nothing where none or all are."""
    if not 0 < mask.mean() < 1:
        return
    places = []
    for dimension, axis in enumerate(space):
        count = mask.shape[dimension]
        steps = count if axis.periodic else count - 1
        if axis.periodic:
            mask = np.concatenate([mask, mask.take([0], axis=dimension)], axis=dimension)
            count += 1
        places.append(axis.low + axis.extent * np.arange(count) / steps)
    for color, width, dashes in (("black", 2.0, "solid"), ("white", 1.2, "solid")):
        axes.contour(*places, mask.T, levels=[0.5], colors=color, linewidths=width, linestyles=dashes)


def _draw_widths(axes: Axes, space: SemanticSpace, trace: Any, moments: Sequence[int], name: str) -> None:
    """Widths of the boxes over the updates, the mean over boxes bold where there are several."""
    for dimension, (axis, dashes) in enumerate(zip(space, _DASHES, strict=False)):
        width = (trace[:, :, 1, dimension] - trace[:, :, 0, dimension]) / axis.extent
        if width.shape[1] > 1:
            axes.plot(moments, width, color=method_color(name), linestyle=dashes, linewidth=0.6, alpha=0.5)
        axes.plot(moments, width.mean(1), color=method_color(name), linestyle=dashes, linewidth=1.8)
    axes.set_xlabel("update")
    axes.set_xlim(moments[0], max(moments[-1], moments[0] + 1))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_field(
    axes: Axes,
    field: np.ndarray[Any, np.dtype[np.float64]],
    space: SemanticSpace,
    colors: str = _MAP_COLORS,
    high: float = 1.0,
) -> AxesImage:
    """The map as an image over its samples; on a periodic axis half a cell is seen at each end."""
    edges: list[float] = []
    for dimension, axis in enumerate(space):
        count = field.shape[dimension]
        step = axis.extent / (count if axis.periodic else count - 1)
        edges += [axis.low - step / 2, axis.high + step / 2]
        if axis.periodic:
            field = np.concatenate([field, field.take([0], axis=dimension)], axis=dimension)
    return axes.imshow(
        field.T,
        extent=(edges[0], edges[1], edges[2], edges[3]),
        origin="lower",
        aspect="auto",
        cmap=colors,
        vmin=0,
        vmax=high,
    )


def _draw_methods(axes: Axes, boxes: Mapping[str, Box], space: SemanticSpace) -> None:
    """The boxes of every method, with an entry each for the legend."""
    for (name, box), dashes in zip(boxes.items(), _dashes(map(method_color, boxes)), strict=True):
        hidden = _draw_boxes(axes, box, space, method_color(name), dashes)
        text = f"{name} ({hidden} not drawn)" if hidden else name
        axes.plot([], [], color=method_color(name), linestyle=dashes, linewidth=2, label=text)


def _wrapped(points: Tensor, space: SemanticSpace) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Points (K, 2), those of periodic axes brought into the range."""
    u = _array(points)
    if u.ndim != 2 or u.shape[1] != 2:
        raise ValueError(f"points must be (K, 2), got {u.shape}")
    for dimension, axis in enumerate(space):
        if axis.periodic:
            u[:, dimension] = axis.low + (u[:, dimension] - axis.low) % axis.extent
    return u


def _array(values: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A copy as float64."""
    return torch.as_tensor(values).detach().to("cpu", torch.float64, copy=True).numpy()


def _picture(image: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return _array(image).clip(0, 1).transpose(1, 2, 0)


def _unit(axis: Axis) -> str:
    return {"degree": "degrees", "": ""}.get(axis.unit, axis.unit)


def axis_label(axis: Axis) -> str:
    """Name and unit of an axis, for people."""
    unit = _unit(axis)
    return f"{axis.name.replace('_', ' ')} ({unit})" if unit else axis.name.replace("_", " ")


def tick_step(axis: Axis) -> float | None:
    """Distance of the ticks: degrees in steps that divide a turn; None where the axis decides nothing."""
    steps = [step for step in (1, 2, 5, 10, 15, 30, 45, 60, 90) if axis.extent / step <= 9]
    return steps[0] if axis.unit == "degree" and steps else None


def _finish_axis(axes: Axes, axis: Axis, direction: str) -> None:
    """Limits, label and ticks."""
    target = axes.xaxis if direction == "x" else axes.yaxis
    (axes.set_xlim if direction == "x" else axes.set_ylim)(axis.low, axis.high)
    target.set_label_text(axis_label(axis))
    step = tick_step(axis)
    target.set_major_locator(MaxNLocator(6) if step is None else MultipleLocator(step))


def _legend(figure: Figure, axes: Axes, title: str | None = None) -> None:
    """Below the axes, where it hides nothing."""
    count = len(axes.get_legend_handles_labels()[0])
    figure.legend(
        loc="outside lower center",
        ncols=min(count, 5),
        frameon=False,
        fontsize="small",
        title=title,
        title_fontsize="small",
        handlelength=2.4,
    )


def _strip(figure: Figure, strip: Axes, axes: Axes, views: Mapping[float, Tensor], marked: Sequence[float]) -> None:
    """Renderings side by side above the axes, each joined to its value."""
    strip.set_axis_off()
    strip.set_xlim(0, len(views))
    strip.set_ylim(0, 1)
    for place, (value, image) in enumerate(sorted(views.items())):
        inset = strip.inset_axes((place + 0.04, 0.06, 0.92, 0.94), transform=strip.transData)
        inset.imshow(_picture(image))
        inset.set(xticks=[], yticks=[])
        color, width = ("black", 1.8) if value in marked else (_GREY, 0.7)
        inset.spines[:].set(color=color, linewidth=width)
        join = ConnectionPatch(
            (0.5, 0.0), (value, 1.0), inset.transAxes, axes.get_xaxis_transform(), color=color, linewidth=width
        )
        join.set_in_layout(False)
        figure.add_artist(join)
        axes.axvline(value, color=color, linewidth=width, linestyle=(0, (2, 3)), zorder=0)


def _draw_boxes(axes: Axes, box: Box, space: SemanticSpace, color: str, dashes: Any, thickness: float = 2.0) -> int:
    """Draw the boxes, wrapped; returns how many cannot be drawn."""
    low, high = _array(box.a), _array(box.b)
    if low.ndim != 2 or low.shape[1] != 2 or high.shape != low.shape:
        raise ValueError(f"boxes on a map must be (K, 2), got {low.shape} and {high.shape}")
    hidden = 0
    for a, b in zip(low, high, strict=True):
        if not (np.isfinite([a, b]).all() and (a <= b).all()):
            hidden += 1
            continue
        (left, width), (bottom, height) = (
            box_sides(float(p), float(q), axis) for p, q, axis in zip(a, b, space, strict=True)
        )
        for x in left:
            for y in bottom:
                axes.add_patch(
                    Rectangle(
                        (x, y),
                        width,
                        height,
                        fill=False,
                        edgecolor=color,
                        linestyle=dashes,
                        linewidth=thickness,
                        path_effects=[Stroke(linewidth=1.7 * thickness, foreground="white", alpha=0.85), Normal()],
                    )
                )
    return hidden


def box_sides(a: float, b: float, axis: Axis) -> tuple[list[float], float]:
    """Where the side [a, b] starts, once for each time it is seen on the axis, and how long it is.

    Whatever lies beyond the axis is cut off by the plot, so that a wrapped box is open at its cut.
    """
    if not axis.periodic:
        return [a], b - a
    if b - a >= axis.extent * (1 - 1e-9):  # all around: no sides
        return [axis.low - axis.extent / 4], axis.extent * 1.5
    first, last = math.floor((a - axis.low) / axis.extent), math.floor((b - axis.low) / axis.extent)
    return [a - turn * axis.extent for turn in range(first, last + 1)], b - a
