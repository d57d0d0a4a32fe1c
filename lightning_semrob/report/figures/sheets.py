"""Renderings side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from torch import Tensor

from lightning_semrob.report.figures.style import picture_of, titled


def plot_contact_sheet(
    images: Tensor, labels: Sequence[str], *, columns: int | None = None, title: str | None = None, cell: float = 1.35
) -> Figure:
    """Renderings (N, 3, H, W) in [0, 1] in a grid, each with its label, of one or more lines, below.

    By default the grid is a little wider than high; ``cell`` is the width of an image, inches. ValueError for other
    shapes, or another number of labels.
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
        axes.imshow(picture_of(image))
        axes.set_title(label, fontsize=7.5, y=-0.02, va="top", pad=0)
    return titled(figure, title)
