"""Trust maps as figures: every tile of the space in the colour of its verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from torch import Tensor

from lightning_semrob.report.figures.maps import box_outlines
from lightning_semrob.report.figures.style import finish_axes, picture_of, titled
from lightning_semrob.space import SemanticSpace
from lightning_semrob.trust.map import TrustMap
from lightning_semrob.trust.tiles import Tiles
from lightning_semrob.trust.traps import EnclosedTrap
from lightning_semrob.utilities.messages import percent

#: Okabe and Ito's blue and vermillion, which every kind of colour vision tells apart, and grey.
VERDICT_COLORS = {"trusted": "#0072B2", "failing": "#D55E00", "mixed": "#9AA0A6", "undecided": "#FFFFFF"}
#: How regions are outlined.
_MARKS: dict[str, dict[str, Any]] = {
    "largest trusted region": {"edgecolor": "black", "linewidth": 2, "linestyle": "solid"},
    "worst trap": {"edgecolor": "black", "linewidth": 2, "linestyle": (0, (2, 1.2))},
}
#: Opacity of a trusted or failing tile whose mean score is just at the threshold.
_FAINTEST = 0.5


def tile_opacity(trust_map: TrustMap) -> NDArray[np.float64]:
    """Opacity of every tile, in [0.5, 1], shape of the tiles: a trusted or failing tile is the stronger the further
    its mean score is from the threshold of its verdict; others are opaque."""
    m = trust_map
    beyond = np.where(m.verdict == "trusted", m.mean - (1 - m.eps), m.eps - m.mean) / m.eps
    strength = np.where(np.isin(m.verdict, ("trusted", "failing")), np.nan_to_num(beyond), 1.0)
    return _FAINTEST + (1 - _FAINTEST) * np.clip(strength, 0.0, 1.0)


def trap_sides(trap: EnclosedTrap, tiles: Tiles, layer: int | None = None) -> list[tuple[float, float, float, float]]:
    """The sides ``(x0, y0, x1, y1)`` of a trap over the first two axes, where it meets what is not part of it.

    Args:
        trap: of a map.
        tiles: of two axes, or of three.
        layer: the slice of the third axis.
    """
    sides, members = [], set(trap.tiles)
    for tile in trap.tiles:
        if layer is not None and int(tiles.cell[tile, 2]) != layer:
            continue
        (x0, y0), (x1, y1) = tiles.low[tile, :2].tolist(), tiles.high[tile, :2].tolist()
        faces = ((x0, y0, x0, y1), (x1, y0, x1, y1)), ((x0, y0, x1, y0), (x0, y1, x1, y1))
        for axis in range(2):
            for beside, face in zip(tiles.neighbours[tile, axis].tolist(), faces[axis], strict=True):
                if beside not in members:
                    sides.append(face)
    return sides


def _panel(axes: Axes, m: TrustMap, space: SemanticSpace, colors: NDArray[np.float64]) -> None:
    """Draw tiles (columns, rows, 4) over two axes."""
    x, y = space
    extent = (x.low, x.high, y.low, y.high)
    axes.imshow(colors.transpose(1, 0, 2), origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    finish_axes(axes, space)


def plot_trust_map(
    trust_map: TrustMap,
    *,
    picture: Tensor | None = None,
    title: str | None = None,
    size: tuple[float, float] | None = None,
) -> Figure:
    """A trust map with its largest trusted region and its worst trap.

    Args:
        trust_map: over two axes, abscissa and ordinate, or over three: a panel for every slice of tiles of the third.
        picture: (3, H, W) in [0, 1], of the object, at the left; of a map over three axes (S, 3, H, W), one above each
            of the S panels.
        title: above the figure.
        size: inches.

    Raises:
        ValueError: unless the map has two or three axes.
    """
    m = trust_map
    if len(m.space) not in (2, 3):
        raise ValueError(
            f"a figure of a trust map needs two or three axes, got {m.space.names}: its shares say the rest"
        )
    flat, slices = SemanticSpace(m.space.axes[:2]), 1 if len(m.space) == 2 else m.tiles.shape[2]
    deep = len(m.space) == 3
    figure = Figure(figsize=size or ((8.0, 3.4) if not deep else (3.2 * slices, 3.0 if picture is None else 4.6)),
                    layout="constrained")  # fmt: skip
    if deep:
        rows = figure.subplots(1 if picture is None else 2, slices, squeeze=False)
        panels, pictures = rows[-1], [] if picture is None else list(zip(rows[0], picture, strict=True))
    else:
        ratios = None if picture is None else (1, 3)
        places = figure.subplots(1, 1 if picture is None else 2, width_ratios=ratios, squeeze=False)[0]
        panels, pictures = places[-1:], [] if picture is None else [(places[0], picture)]
    for place, shown in pictures:
        place.imshow(picture_of(shown))
        place.set_axis_off()
    rgb = np.array([to_rgb(VERDICT_COLORS[word]) for word in m.verdict.ravel().tolist()]).reshape(*m.verdict.shape, 3)
    tiles = np.concatenate([rgb, tile_opacity(m)[..., None]], -1).reshape(*m.verdict.shape[:2], slices, 4)
    boxes, traps = m.boxes(1), m.traps()
    marks = ["largest trusted region"] * (len(boxes) > 0) + ["worst trap"] * (len(traps) > 0)
    for number, axes in enumerate(panels):
        _panel(axes, m, flat, tiles[:, :, number])
        inside = len(boxes) > 0
        if deep:
            third = m.space.axes[2]
            middle = third.low + (number + 0.5) * third.extent / slices
            ends = (middle - third.extent / slices / 2, middle + third.extent / slices / 2)
            axes.set_title(f"{third.name.replace('_', ' ')} {ends[0]:.3g} to {ends[1]:.3g}", fontsize="small")
            # A box of a periodic axis may lie a turn further on.
            turns = (-third.extent, 0.0, third.extent) if third.periodic else (0.0,)
            inside &= any(float(boxes.a[0, 2]) < middle + turn < float(boxes.b[0, 2]) for turn in turns[: 3 * inside])
            if number:
                axes.set_ylabel("")
        if inside:
            for left, right, bottom, top in box_outlines(boxes.a[0].tolist(), boxes.b[0].tolist(), flat):
                style = _MARKS["largest trusted region"]
                axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, **style))
        for x0, y0, x1, y1 in trap_sides(traps[0], m.tiles, number if deep else None) if traps else []:
            style = _MARKS["worst trap"]
            axes.plot([x0, x1], [y0, y1], color=style["edgecolor"], lw=style["linewidth"], ls=style["linestyle"])
    handles: list[Patch | Line2D] = [
        Patch(facecolor=color, edgecolor="#555555", linewidth=0.5, label=f"{word} {percent(m.share(word), 0, ' %')}")
        for word, color in VERDICT_COLORS.items()
        if word != "mixed" or m.eps < 0.5
    ]
    handles += [
        Line2D(
            [], [], color=str(_MARKS[name]["edgecolor"]), linewidth=2, linestyle=_MARKS[name]["linestyle"], label=name
        )
        for name in marks
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize="small")
    return titled(figure, title)
