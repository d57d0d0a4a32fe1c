"""What all figures share: colours, line styles, axes, legends, files.

Nothing here touches global state of matplotlib (no pyplot). Colours come from the colour-blind safe set of Okabe and
Ito, and a network, or a method, has the same colour in every figure.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator
from torch import Tensor

from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.utilities.files import write_atomically

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
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MAP_COLORS = "cividis"  # even in lightness, and alike to every kind of colour vision
SPREAD_COLORS = "magma"
GREY = "#555555"
INITIAL: dict[str, Any] = {"marker": "o", "markersize": 5, "color": "white", "markeredgecolor": "black"}


def _slot(name: str, table: Mapping[str, int]) -> int:
    return table.get(name, int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(_PALETTE))


def network_color(name: str) -> str:
    """The colour of a network, ``#rrggbb``, fixed by its architecture; line styles tell its weights apart."""
    architecture, _, _ = name.partition("@")[0].partition("?")
    return _PALETTE[_slot(architecture, _NETWORK_SLOTS)]


def method_color(name: str) -> str:
    """The colour of a method, ``#rrggbb``."""
    return _PALETTE[_slot(name, _METHOD_SLOTS)]


def dashes_of(colors: Iterable[str], styles: Sequence[Any] = DASHES) -> list[Any]:
    """A line style (or another style) for each colour, so that things of one colour differ within a figure."""
    seen: Counter[str] = Counter()
    found = []
    for color in colors:
        found.append(styles[seen[color] % len(styles)])
        seen[color] += 1
    return found


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


def array_of(values: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A copy as a float64 array."""
    return torch.as_tensor(values).detach().to("cpu", torch.float64, copy=True).numpy()


def picture_of(image: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """An image (3, H, W) as (H, W, 3) in [0, 1], for ``imshow``."""
    return array_of(image).clip(0, 1).transpose(1, 2, 0)


def axis_label(axis: Axis) -> str:
    """Name and unit of an axis, for people."""
    unit = {"degree": " (degrees)", "": ""}.get(axis.unit, f" ({axis.unit})")
    return axis.name.replace("_", " ") + unit


def tick_step(axis: Axis) -> float | None:
    """Distance of the ticks: for degrees a step that divides a turn; None lets matplotlib choose."""
    steps = [step for step in (1, 2, 5, 10, 15, 30, 45, 60, 90) if axis.extent / step <= 9]
    return steps[0] if axis.unit == "degree" and steps else None


def finish_axis(axes: Axes, axis: Axis, direction: str) -> None:
    """Limits, label and ticks of one axis."""
    target = axes.xaxis if direction == "x" else axes.yaxis
    (axes.set_xlim if direction == "x" else axes.set_ylim)(axis.low, axis.high)
    target.set_label_text(axis_label(axis))
    step = tick_step(axis)
    target.set_major_locator(MaxNLocator(6) if step is None else MultipleLocator(step))


def finish_axes(axes: Axes, space: SemanticSpace) -> None:
    """Limits, labels and ticks of a map: the first axis of the space is the abscissa."""
    for axis, direction in zip(space, "xy", strict=True):
        finish_axis(axes, axis, direction)


def titled(figure: Figure, title: str | None) -> Figure:
    """The figure with a title above it, if there is one."""
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def add_legend(figure: Figure, axes: Axes, title: str | None = None) -> None:
    """A legend below the axes, where it hides nothing."""
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
