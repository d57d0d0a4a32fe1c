"""The project's figures: f over an axis, maps with boxes on them, contact sheets.

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
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator, MultipleLocator
from scipy import stats
from torch import Tensor

from lightning_semrob.results import write_atomically
from lightning_semrob.space import Axis, Box, SemanticSpace

__all__ = [
    "axis_label",
    "box_sides",
    "method_color",
    "network_color",
    "network_label",
    "plot_contact_sheet",
    "plot_map",
    "plot_scores_over_axis",
    "save_figure",
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
}
_METHOD_SLOTS = {"naive": 5, "trapezoid": 4, "oir_b": 1, "oir_w": 3, "verified": 2, "exhaustive": 0}
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_MAP_COLORS = "cividis"  # even in lightness, and alike to every kind of colour vision
_GREY = "#555555"


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
            axes.fill_between(x, (mean - half).clip(0), (mean + half).clip(max=1), color=color, alpha=0.2, linewidth=0)
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
    edges: list[float] = []
    for dimension, axis in enumerate(space):
        count = field.shape[dimension]
        step = axis.extent / (count if axis.periodic else count - 1)
        edges += [axis.low - step / 2, axis.high + step / 2]
        if axis.periodic:  # half a cell is seen at each end
            field = np.concatenate([field, field.take([0], axis=dimension)], axis=dimension)
    image = axes.imshow(
        field.T,
        extent=(edges[0], edges[1], edges[2], edges[3]),
        origin="lower",
        aspect="auto",
        cmap=_MAP_COLORS,
        vmin=0,
        vmax=1,
    )
    colorbar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.04)
    colorbar.set_label(label)
    boxes = boxes or {}
    for (name, box), dashes in zip(boxes.items(), _dashes(map(method_color, boxes)), strict=True):
        hidden = _draw_boxes(axes, box, space, method_color(name), dashes)
        text = f"{name} ({hidden} not drawn)" if hidden else name
        axes.plot([], [], color=method_color(name), linestyle=dashes, linewidth=2, label=text)
    if points is not None:
        u = _array(points)
        if u.ndim != 2 or u.shape[1] != 2:
            raise ValueError(f"points must be (K, 2), got {u.shape}")
        for dimension, axis in enumerate(space):
            if axis.periodic:
                u[:, dimension] = axis.low + (u[:, dimension] - axis.low) % axis.extent
        axes.plot(
            *u.T, linestyle="none", marker="o", markersize=5, color="white", markeredgecolor="black", label="initial"
        )
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


def _draw_boxes(axes: Axes, box: Box, space: SemanticSpace, color: str, dashes: Any) -> int:
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
                        linewidth=2.0,
                        path_effects=[Stroke(linewidth=3.4, foreground="white", alpha=0.85), Normal()],
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
