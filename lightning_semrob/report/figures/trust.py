"""Trust maps as figures: every tile of the space in the colour of its verdict."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from torch import Tensor

from lightning_semrob.report.figures.maps import box_outlines
from lightning_semrob.report.figures.style import finish_axes, picture_of, titled
from lightning_semrob.trust.map import TrustMap
from lightning_semrob.utilities.messages import percent

__all__ = ["VERDICT_COLORS", "plot_trust_map", "tile_opacity"]

#: Okabe and Ito's blue and vermillion, which every kind of colour vision tells apart, and grey.
VERDICT_COLORS = {"trusted": "#0072B2", "failing": "#D55E00", "mixed": "#9AA0A6", "undecided": "#FFFFFF"}
#: Opacity of a trusted or failing tile whose mean score is just at the threshold.
_FAINTEST = 0.5


def tile_opacity(trust_map: TrustMap) -> NDArray[np.float64]:
    """Opacity of every tile, in [0.5, 1], shape of the tiles: a trusted or failing tile is the stronger the further
    its mean score is from the threshold of its verdict; others are opaque."""
    m = trust_map
    beyond = np.where(m.verdict == "trusted", m.mean - (1 - m.eps), m.eps - m.mean) / m.eps
    strength = np.where(np.isin(m.verdict, ("trusted", "failing")), np.nan_to_num(beyond), 1.0)
    return _FAINTEST + (1 - _FAINTEST) * np.clip(strength, 0.0, 1.0)


def plot_trust_map(
    trust_map: TrustMap,
    *,
    picture: Tensor | None = None,
    title: str | None = None,
    size: tuple[float, float] = (8.0, 3.4),
) -> Figure:
    """A trust map over two axes with its largest trusted region.

    Args:
        trust_map: over two axes, abscissa and ordinate.
        picture: (3, H, W) in [0, 1], of the object, at the left.
        title: above the figure.
        size: inches.

    Raises:
        ValueError: unless the map has two axes.
    """
    m, space = trust_map, trust_map.space
    if len(space) != 2:
        raise ValueError(f"a figure of a trust map needs two axes, got {space.names}: its shares say the rest")
    figure = Figure(figsize=size, layout="constrained")
    ratios = None if picture is None else (1, 3)
    places = figure.subplots(1, 1 if picture is None else 2, width_ratios=ratios, squeeze=False)[0]
    if picture is not None:
        places[0].imshow(picture_of(picture))
        places[0].set_axis_off()
    axes = places[-1]
    colors = np.array([[to_rgb(VERDICT_COLORS[word]) for word in row] for row in m.verdict.tolist()])
    tiles = np.concatenate([colors, tile_opacity(m)[..., None]], -1)
    x, y = space
    extent = (x.low, x.high, y.low, y.high)
    axes.imshow(tiles.transpose(1, 0, 2), origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    handles: list[Patch | Line2D] = [
        Patch(facecolor=color, edgecolor="#555555", linewidth=0.5, label=f"{word} {percent(m.share(word), 0, ' %')}")
        for word, color in VERDICT_COLORS.items()
        if word != "mixed" or m.eps < 0.5
    ]
    boxes = m.boxes(1)
    for left, right, bottom, top in box_outlines(boxes.a[0].tolist(), boxes.b[0].tolist(), space) if len(boxes) else []:
        outline = Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor="black", linewidth=2)
        axes.add_patch(outline)
    if len(boxes):
        handles.append(Line2D([], [], color="black", linewidth=2, label="largest trusted region"))
    finish_axes(axes, space)
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    return titled(figure, title)
