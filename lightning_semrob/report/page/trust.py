"""The first section of the page: where each network is trusted, in words and as maps beside pictures of the objects."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.report.figures.maps import box_outlines
from lightning_semrob.report.figures.trust import VERDICT_COLORS, plot_trust_map, tile_opacity, trap_sides
from lightning_semrob.report.page.pictures import Sheet, jpeg, pictures
from lightning_semrob.report.page.regions import bounds_of, place_of
from lightning_semrob.report.page.sections import Section
from lightning_semrob.report.trust import trust_headline
from lightning_semrob.space import SemanticSpace
from lightning_semrob.trust.map import TrustMap
from lightning_semrob.trust.record import TrustRecord
from lightning_semrob.trust.summary import summarize_maps

#: Shapes whose maps are drawn; the others are in the file of the maps.
MOST_SHAPES = 24
#: Traps that are shown; the others are in the file of the maps.
MOST_TRAPS = 6
#: Sides of a drawn map.
_WIDTH, _HEIGHT = 240, 90
#: Side of a rendering, pixels.
_SIDE = 144


@dataclass(frozen=True)
class Tile:
    """A tile as it is drawn, ordinate downwards, in the colour of its verdict; ``text`` appears where people point."""

    x: float
    y: float
    width: float
    height: float
    color: str
    opacity: float
    text: str


@dataclass(frozen=True)
class TrustPicture:
    """The map of one network and shape; ``shares`` are those of the verdicts.

    There are ``tiles`` on maps of two axes only. ``outlines`` (x, y, width, height) are of the largest trusted region,
    ``trap`` the sides (x0, y0, x1, y1) of the tiles of the worst trap, both in the drawing. A map over three axes has a
    ``figure`` instead, its slices as PNG in base64.
    """

    network: str
    shares: dict[str, float]
    tiles: Sequence[Tile]
    outlines: Sequence[tuple[float, float, float, float]]
    trap: Sequence[tuple[float, float, float, float]]
    figure: str = ""

    @classmethod
    def of(cls, record: TrustRecord) -> TrustPicture:
        """The map of a record."""
        m = record.map
        shares = {word: m.share(word) for word in VERDICT_COLORS}
        if len(m.space) != 2:
            return cls(record.network, shares, [], [], [], _slices(m) if len(m.space) == 3 else "")
        boxes, traps = m.boxes(1), m.traps()
        outlines = box_outlines(boxes.a[0].tolist(), boxes.b[0].tolist(), m.space) if len(boxes) else []
        what = "rate of right answers" if record.score == "top1" else "mean score"
        trap = [
            (*_point(x0, y0, m.space), *_point(x1, y1, m.space))
            for x0, y0, x1, y1 in (trap_sides(traps[0], m.tiles) if traps else [])
        ]
        return cls(record.network, shares, _drawn(m, what), [_place(side, m.space) for side in outlines], trap)


def _slices(m: TrustMap) -> str:
    """The figure of a map over three axes as PNG in base64."""
    file = io.BytesIO()
    plot_trust_map(m).savefig(file, format="png", dpi=110)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _point(x: float, y: float, space: SemanticSpace) -> tuple[float, float]:
    """A point of two axes in the drawing."""
    across, up = space
    return (x - across.low) * _WIDTH / across.extent, (up.high - y) * _HEIGHT / up.extent


def _place(sides: Sequence[float], space: SemanticSpace) -> tuple[float, float, float, float]:
    """``[x0, x1, y0, y1]`` in the units of two axes as x, y, width and height in the drawing."""
    left, right, bottom, top = sides
    x, y = space
    across, down = _WIDTH / x.extent, _HEIGHT / y.extent
    return (left - x.low) * across, (y.high - top) * down, (right - left) * across, (top - bottom) * down


def _drawn(m: TrustMap, what: str) -> list[Tile]:
    """The tiles of a map over two axes; ``what`` names the means."""
    columns = (m.tiles.low.tolist(), m.tiles.high.tolist(), m.verdict.ravel().tolist(), m.mean.ravel().tolist(),
               m.low.ravel().tolist(), m.high.ravel().tolist(), tile_opacity(m).ravel().tolist())  # fmt: skip
    return [
        Tile(
            *_place((a[0], b[0], a[1], b[1]), m.space),
            VERDICT_COLORS[word],
            opacity,
            f"{bounds_of(a, b, m.space)}: {word}, {what} {mean:.2f} [{low:.2f}, {high:.2f}]",
        )
        for a, b, word, mean, low, high, opacity in zip(*columns, strict=True)
    ]


@dataclass(frozen=True)
class View:
    """A rendering in base64 with what it shows."""

    jpeg: str
    text: str


@dataclass(frozen=True)
class ShapeTrust:
    """The maps of one shape, one a network, and views of it; no views where it cannot be loaded."""

    class_name: str
    shape_id: str
    views: Sequence[View]
    maps: Sequence[TrustPicture]

    @property
    def title(self) -> str:
        """For people."""
        return _title(self.class_name, self.shape_id)


@dataclass(frozen=True)
class TrustTrap:
    """A trap of a trust map, as a share of the space, with its mean score.

    ``title`` is of the shape and ``bounds`` are around the trap, in words; ``view`` shows the tile of the lowest mean
    score, None where the shape cannot be loaded.
    """

    network: str
    title: str
    bounds: str
    share: float
    mean: float
    at_edge: bool
    view: View | None


def _title(class_name: str, shape_id: str) -> str:
    return shape_id if class_name in shape_id else f"{class_name}: {shape_id}"


def _traps(records: Sequence[TrustRecord], environment: SemanticEnvironment) -> list[TrustTrap]:
    """The traps of all maps, the worst first; those that are shown have a rendering."""
    ranked = sorted(
        ((record, trap) for record in records for trap in record.map.traps()),
        key=lambda item: item[1].share * item[1].depth,
        reverse=True,
    )
    found = []
    for number, (record, trap) in enumerate(ranked):
        space, view = record.map.space, None
        if number < MOST_TRAPS:
            middle = (record.map.tiles.low[trap.worst] + record.map.tiles.high[trap.worst]) / 2
            view = _view(environment, record, "", middle)
        title, bounds = _title(*record.shape), bounds_of(trap.a.tolist(), trap.b.tolist(), space)
        found.append(TrustTrap(record.network, title, bounds, trap.share, trap.mean, trap.at_edge, view))
    return found


def _view(environment: SemanticEnvironment, record: TrustRecord, text: str, point: Tensor) -> View | None:
    """A rendering of the shape of a record; None if it is missing or cannot be loaded."""
    known = [(shape.class_name, shape.shape_id) for shape in environment.shapes]
    if record.shape not in known:
        return None
    sheet = Sheet(_SIDE, 1, 1)
    try:
        sheet.add(pictures(environment, known.index(record.shape), point[None]), [0])
    except (ValueError, OSError):
        return None
    return View(jpeg(sheet.image), text + place_of(point.tolist(), record.map.space))


def _points(records: Sequence[TrustRecord]) -> dict[str, Tensor]:
    """Text -> point (n,): the centre of the largest trusted region of all networks, and the worst tile of a trap."""
    space, points = records[0].map.space, {}
    boxes = [record.map.boxes(1) for record in records]
    largest = max((box for box in boxes if len(box)), key=lambda box: float(box.share[0]), default=None)
    if largest is None:
        points["centre of the space"] = space.from_unit(torch.full((len(space),), 0.5, dtype=torch.float64))
    else:
        middle = space.to_unit((largest.a[0] + largest.b[0]) / 2)
        points["in the largest trusted region"] = space.from_unit(torch.where(space.periodic, middle % 1, middle))
    traps = [(trap.share * trap.depth, record.map.tiles, trap) for record in records for trap in record.map.traps()]
    if traps:
        _, tiles, trap = max(traps, key=lambda item: item[0])
        points["in the worst trap"] = (tiles.low[trap.worst] + tiles.high[trap.worst]) / 2
    return points


def _views(environment: SemanticEnvironment, records: Sequence[TrustRecord]) -> list[View]:
    """Renderings of a shape at its most telling points; none if it is missing or cannot be loaded."""
    views = [_view(environment, records[0], f"{text}: ", point) for text, point in _points(records).items()]
    return [view for view in views if view is not None]


@dataclass(frozen=True)
class Trust(Section):
    """Where each network is trusted, and where it fails; the first section of the page.

    ``left`` counts the shapes that are not drawn; ``traps`` are those of all maps, the worst first.
    """

    anchor, title, template = "trust", "Trust", "trust.html"
    colors = VERDICT_COLORS
    width, height = _WIDTH, _HEIGHT
    most_traps = MOST_TRAPS
    sentences: Sequence[str]
    space: SemanticSpace
    eps: float
    score: str
    shapes: Sequence[ShapeTrust]
    left: int
    traps: Sequence[TrustTrap]

    @classmethod
    def of(cls, records: Sequence[TrustRecord], environment: SemanticEnvironment, before: Sequence[str] = ()) -> Trust:
        """The section of one or more trust maps; nothing is evaluated. ``before`` are sentences before the headline.

        The environment is set up and renders one or two views of each shape, and one of each of the worst traps.
        """
        summary = summarize_maps(records)
        if summary is None:
            raise ValueError("a section on trust needs at least one trust map")
        groups: dict[tuple[str, str], list[TrustRecord]] = {}
        for record in records:
            groups.setdefault(record.shape, []).append(record)
        shown = list(groups.items())[:MOST_SHAPES]
        shapes = [
            ShapeTrust(*shape, _views(environment, own), [TrustPicture.of(record) for record in own])
            for shape, own in shown
        ]
        first = records[0].map
        sentences, left = [*before, *trust_headline(summary)], len(groups) - len(shown)
        traps = _traps(records, environment)
        return cls(sentences, first.space, first.eps, records[0].score, shapes, left, traps)
