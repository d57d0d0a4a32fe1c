"""Figures that only the benchmarks draw: regions with views, SRVR bars, SRVR against accuracy, turntables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.report.figures import network_color, plot_scores_over_axis
from lightning_semrob.report.figures.maps import draw_field, draw_methods, wrapped
from lightning_semrob.report.figures.style import (
    GREY,
    INITIAL,
    add_legend,
    array_of,
    dashes_of,
    finish_axes,
    picture_of,
    titled,
)
from lightning_semrob.space import Axis, Box, SemanticSpace
from lightning_semrob.utilities.files import write_atomically

__all__ = ["plot_region_views", "plot_srvr_against_accuracy", "plot_srvr_bars", "save_turntable"]


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
        boxes: of each method, as in :func:`lightning_semrob.report.figures.plot_map`.
        views: what each view is (``worst``), where (2,), its rendering (3, H, W) in [0, 1] and its score. They are
            numbered on the map.
        points: (K, 2) initial points.
        title: above the figure.
        label: of the colour bar.
        width: inches.

    Raises:
        ValueError: without views, or as :func:`lightning_semrob.report.figures.plot_map`.
    """
    field = array_of(scores)
    if field.ndim != 2 or len(space) != 2 or not views:
        raise ValueError(f"a map of two axes and at least one view are needed, got {field.shape}, {len(views)} views")
    cell = min(1.25, width / len(views))
    figure = Figure(figsize=(width, 3.4 + cell + 0.4), layout="constrained")
    grid = figure.add_gridspec(2, len(views), height_ratios=(3.1, cell + 0.25))
    axes = figure.add_subplot(grid[0, :])
    image = draw_field(axes, field, space)
    figure.colorbar(image, ax=axes, pad=0.015, fraction=0.04).set_label(label)
    draw_methods(axes, boxes, space)
    if points is not None:
        axes.plot(*wrapped(points, space).T, linestyle="none", label="initial", **INITIAL)
    finish_axes(axes, space)
    add_legend(figure, axes)
    for number, (name, point, picture, score) in enumerate(views, 1):
        ((x, y),) = wrapped(torch.as_tensor(point)[None], space)
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
        inset.imshow(picture_of(picture))
        inset.set(xticks=[], yticks=[])
        inset.spines[:].set(color=GREY, linewidth=0.7)
        inset.set_title(f"{number} {name}", fontsize="small", pad=2)
        inset.set_xlabel(f"f = {score:.2f}", fontsize="small", labelpad=2)
    return titled(figure, title)


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
    labels = labels_by_name(networks)
    hatches = dict(zip(networks, dashes_of(map(network_color, networks), ("", "//", "..", "xx")), strict=True))
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
                label=labels[network] if place == 0 else None,
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
    add_legend(figure, axes)
    return titled(figure, title)


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
    for (name, text), marker in zip(labels_by_name(networks).items(), cycle("osD^vP")):
        estimate, low, high = (100 * x for x in srvr[name])
        known = math.isfinite(low) and math.isfinite(high)
        error = [[max(0.0, estimate - low)], [max(0.0, high - estimate)]] if known else None
        top = max(top, high if known else estimate)
        axes.errorbar(
            accuracy[name], estimate, error, color=network_color(name), marker=marker, markersize=8, capsize=3
        )
        left = accuracy[name] > middle
        axes.annotate(
            text,
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
    return titled(figure, title)


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
    shown = side.imshow(picture_of(images[0]))
    line = axes.axvline(float(values[0]), color=GREY, linewidth=1)
    dots = [
        axes.plot([], [], marker="o", markersize=8, color=network_color(name), markeredgecolor="black")[0]
        for name in scores
    ]
    canvas: Any = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    frames = []
    for k, value in enumerate(array_of(values)):
        shown.set_data(picture_of(images[k]))
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
