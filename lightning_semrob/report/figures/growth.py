"""Boxes as they grow over the updates of their finder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, MultipleLocator
from torch import Tensor

from lightning_semrob.report.figures.maps import draw_boxes, draw_field, wrapped
from lightning_semrob.report.figures.style import DASHES, GREY, INITIAL, array_of, finish_axes, method_color, titled
from lightning_semrob.space import Box, SemanticSpace


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
        title, label, size: above the figure; of the colour bar; inches.

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
        trace = array_of(found)
        trace = trace[:, None] if trace.ndim == 3 else trace
        if trace.ndim != 4 or trace.shape[2:] != (2, 2):
            raise ValueError(f"bounds of '{name}' must be (T, K, 2, 2), got {trace.shape}")
        moments = list(range(len(trace))) if steps is None else list(steps)
        if len(moments) != len(trace):
            raise ValueError(f"{len(trace)} moments of '{name}' need as many steps, got {len(moments)}")
        axes, below = panels[:, column]
        image = draw_field(axes, array_of(scores), space)
        chosen = _moments(trace, space, shown)
        for place, t in enumerate(chosen):
            box = Box(torch.from_numpy(trace[t, :, 0]), torch.from_numpy(trace[t, :, 1]))
            last = place == len(chosen) - 1
            draw_boxes(axes, box, space, method_color(name), "solid", 2.0 if last else 0.9)
        start = torch.from_numpy(trace[0].mean(1))
        axes.plot(*wrapped(start, space).T, linestyle="none", **INITIAL)
        finish_axes(axes, space)
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
        Line2D([], [], color=GREY, linestyle=dashes, label=f"width along {axis.name.replace('_', ' ')}")
        for axis, dashes in zip(space, DASHES, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return titled(figure, title)


def _moments(trace: Any, space: SemanticSpace, shown: int) -> list[int]:
    """Moments (of T) between which the boxes move about equally far."""
    moves = np.abs(np.diff(trace, axis=0)) / array_of(space.extent)
    path = np.concatenate([[0.0], np.nan_to_num(moves).clip(max=1).reshape(len(moves), -1).max(1).cumsum()])
    marks = np.linspace(0, path[-1], max(2, shown))
    return sorted({int(np.abs(path - mark).argmin()) for mark in marks} | {len(trace) - 1})


def _draw_widths(axes: Axes, space: SemanticSpace, trace: Any, moments: Sequence[int], name: str) -> None:
    """Widths of the boxes over the updates, the mean over boxes bold where there are several."""
    for dimension, (axis, dashes) in enumerate(zip(space, DASHES, strict=False)):
        width = (trace[:, :, 1, dimension] - trace[:, :, 0, dimension]) / axis.extent
        if width.shape[1] > 1:
            axes.plot(moments, width, color=method_color(name), linestyle=dashes, linewidth=0.6, alpha=0.5)
        axes.plot(moments, width.mean(1), color=method_color(name), linestyle=dashes, linewidth=1.8)
    axes.set_xlabel("update")
    axes.set_xlim(moments[0], max(moments[-1], moments[0] + 1))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
