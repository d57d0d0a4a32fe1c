"""Semantic maps as figures, with boxes and initial points drawn on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator, MultipleLocator
from torch import Tensor

from lightning_semrob.report.figures.style import (
    INITIAL,
    MAP_COLORS,
    SPREAD_COLORS,
    add_legend,
    array_of,
    dashes_of,
    finish_axes,
    method_color,
    picture_of,
    titled,
)
from lightning_semrob.space import Axis, Box, SemanticSpace


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
        title, label, size: above the figure; of the colour bar; inches.

    Raises:
        ValueError: unless the map and the space have two axes.
    """
    field = array_of(scores)
    if len(space) != 2 or field.ndim != 2 or min(field.shape) < 2:
        raise ValueError(
            f"a map needs two axes and at least 2 x 2 scores, got {field.shape} over {space.names}: "
            "average or fix the others"
        )
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    image = draw_field(axes, field, space)
    colorbar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.04)
    colorbar.set_label(label)
    boxes = boxes or {}
    draw_methods(axes, boxes, space)
    if points is not None:
        axes.plot(*wrapped(points, space).T, linestyle="none", label="initial", **INITIAL)
    finish_axes(axes, space)
    if boxes or points is not None:
        add_legend(figure, axes)
    return titled(figure, title)


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
        title, label, cell: above the figure; of the colour bar; width and height of a map, inches.

    Raises:
        ValueError: for sizes that do not go together.
    """
    field = array_of(scores)
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
            cells[i, 0].imshow(picture_of(pictures[i]))
            cells[i, 0].set(xticks=[], yticks=[])
            cells[i, 0].spines[:].set_visible(False)
            cells[i, 0].set_xlabel(name, fontsize="small")
        for j, column in enumerate(columns):
            axes = cells[i, j + with_pictures]
            image = draw_field(axes, field[i, j], space)
            draw_methods(axes, (boxes or {}).get((i, j), {}), space)
            finish_axes(axes, space)
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
    return titled(figure, title)


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
        mean, spread: (d_1, d_2) over networks and shapes, and standard deviation over networks, at most 1/2.
        space: two axes, abscissa and ordinate.
        holes: (d_1, d_2) bool, samples to surround by a line: the shared holes.
        title, size: above the figure; inches.

    Raises:
        ValueError: unless both are maps of two axes.
    """
    left, right = array_of(mean), array_of(spread)
    if left.ndim != 2 or left.shape != right.shape or len(space) != 2:
        raise ValueError(f"mean and spread must be maps of two axes, got {left.shape} and {right.shape}")
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    texts = ("mean score of all networks", "spread between networks (standard deviation)")
    widest = max(0.1, math.ceil(10 * np.nanmax(right)) / 10)
    for axes, field, colors, high, text in zip(
        panels, (left, right), (MAP_COLORS, SPREAD_COLORS), (1.0, widest), texts, strict=True
    ):
        image = draw_field(axes, field, space, colors, high)
        finish_axes(axes, space)
        axes.xaxis.set_major_locator(MultipleLocator(90) if space.axes[0].unit == "degree" else MaxNLocator(4))
        figure.colorbar(
            image, ax=axes, pad=0.02, orientation="horizontal", fraction=0.06, aspect=40, ticks=MaxNLocator(5)
        ).set_label(text, fontsize="small")
        if holes is not None:
            _outline(axes, array_of(holes), space)
    panels[1].set_ylabel("")
    return titled(figure, title)


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


def draw_field(
    axes: Axes,
    field: np.ndarray[Any, np.dtype[np.float64]],
    space: SemanticSpace,
    colors: str = MAP_COLORS,
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


def draw_methods(axes: Axes, boxes: Mapping[str, Box], space: SemanticSpace) -> None:
    """The boxes of every method, with an entry each for the legend."""
    for (name, box), dashes in zip(boxes.items(), dashes_of(map(method_color, boxes)), strict=True):
        hidden = draw_boxes(axes, box, space, method_color(name), dashes)
        text = f"{name} ({hidden} not drawn)" if hidden else name
        axes.plot([], [], color=method_color(name), linestyle=dashes, linewidth=2, label=text)


def wrapped(points: Tensor, space: SemanticSpace) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Points (K, 2), those of periodic axes brought into the range."""
    u = array_of(points)
    if u.ndim != 2 or u.shape[1] != 2:
        raise ValueError(f"points must be (K, 2), got {u.shape}")
    for dimension, axis in enumerate(space):
        if axis.periodic:
            u[:, dimension] = axis.low + (u[:, dimension] - axis.low) % axis.extent
    return u


def draw_boxes(axes: Axes, box: Box, space: SemanticSpace, color: str, dashes: Any, thickness: float = 2.0) -> int:
    """Draw the boxes, wrapped; returns how many cannot be drawn."""
    low, high = array_of(box.a), array_of(box.b)
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
    """Where the side [a, b] starts, once for each copy of it within the axis, and how long it is.

    The plot cuts off what lies beyond the axis, so a wrapped box is drawn open at the cut.
    """
    if not axis.periodic:
        return [a], b - a
    if b - a >= axis.extent * (1 - 1e-9):  # all around: no sides
        return [axis.low - axis.extent / 4], axis.extent * 1.5
    first, last = math.floor((a - axis.low) / axis.extent), math.floor((b - axis.low) / axis.extent)
    return [a - turn * axis.extent for turn in range(first, last + 1)], b - a


def box_outlines(a: Sequence[float] | None, b: Sequence[float] | None, axes: SemanticSpace) -> list[list[float]]:
    """Rectangles ``[x0, x1, y0, y1]`` to draw for a box: one for each copy of it within a periodic axis."""
    if a is None or b is None or any(low > high for low, high in zip(a, b, strict=True)):
        return []
    sides = [box_sides(low, high, axis) for low, high, axis in zip(a, b, axes, strict=False)]
    sides += [([0.0], 1.0)] * (2 - len(sides))
    (left, width), (bottom, height) = sides
    return [[x, x + width, y, y + height] for x in left for y in bottom]
