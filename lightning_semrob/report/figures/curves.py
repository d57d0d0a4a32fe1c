"""f along one axis, with what the network sees above the curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from scipy import stats
from torch import Tensor

from lightning_semrob.networks.labels import network_labels
from lightning_semrob.report.figures.style import (
    GREY,
    add_legend,
    array_of,
    dashes_of,
    finish_axis,
    network_color,
    picture_of,
    titled,
)
from lightning_semrob.space import Axis


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
        views, marked: renderings (3, H, W) in [0, 1] to show above values of the axis, and values of those to frame.
        title, label, size: above the figure; of the ordinate; inches.
        confidence: of the band, in (0, 1).

    Raises:
        ValueError: for shapes that do not go together, or no network.
    """
    x = array_of(values)
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
    labels = network_labels(list(scores))
    styles = dashes_of(map(network_color, scores))
    for (name, values_of), text, dashes in zip(scores.items(), labels, styles, strict=True):
        y = np.atleast_2d(array_of(values_of))
        if y.ndim != 2 or y.shape[1] != len(values):
            raise ValueError(f"scores of '{name}' must be ({len(values)},) or (S, {len(values)}), got {y.shape}")
        y = np.concatenate([y, y[:, :1]], axis=1) if closed else y
        largest = max(largest, len(y))
        mean, color = y.mean(0), network_color(name)
        axes.plot(x, mean, color=color, linestyle=dashes, linewidth=1.8, label=text)
        if len(y) > 1:
            half = stats.t.ppf((1 + confidence) / 2, len(y) - 1) * y.std(0, ddof=1) / math.sqrt(len(y))
            low, high, alpha = (mean - half).clip(0), (mean + half).clip(max=1), 0.2 if len(scores) < 3 else 0.08
            axes.fill_between(x, low, high, color=color, alpha=alpha, linewidth=0)
            for edge in (low, high):
                axes.plot(x, edge, color=color, linestyle=dashes, linewidth=0.5, alpha=0.7, label="_")
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel(label)
    finish_axis(axes, axis, "x")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    band = f"mean of {largest} shapes, {confidence:.0%} confidence" if largest > 1 else None
    add_legend(figure, axes, title=band)
    if views:
        _strip(figure, figure.add_subplot(grid[0, 0]), axes, views, marked)
    return titled(figure, title)


def _strip(figure: Figure, strip: Axes, axes: Axes, views: Mapping[float, Tensor], marked: Sequence[float]) -> None:
    """Renderings side by side above the axes, each joined to its value."""
    strip.set_axis_off()
    strip.set_xlim(0, len(views))
    strip.set_ylim(0, 1)
    for place, (value, image) in enumerate(sorted(views.items())):
        inset = strip.inset_axes((place + 0.04, 0.06, 0.92, 0.94), transform=strip.transData)
        inset.imshow(picture_of(image))
        inset.set(xticks=[], yticks=[])
        color, width = ("black", 1.8) if value in marked else (GREY, 0.7)
        inset.spines[:].set(color=color, linewidth=width)
        join = ConnectionPatch(
            (0.5, 0.0), (value, 1.0), inset.transAxes, axes.get_xaxis_transform(), color=color, linewidth=width
        )
        join.set_in_layout(False)
        figure.add_artist(join)
        axes.axvline(value, color=color, linewidth=width, linestyle=(0, (2, 3)), zorder=0)
