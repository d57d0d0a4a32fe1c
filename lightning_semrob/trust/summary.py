"""The trust maps of a job in numbers: for tables, the page, dashboards and ``summary.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.functional.trusted_share import compare_shares, share_intervals
from lightning_semrob.functional.uncertainty import Difference, ShapeInterval
from lightning_semrob.trust.boxes import box_text
from lightning_semrob.trust.record import TrustRecord
from lightning_semrob.utilities.record import Record


@dataclass(frozen=True, eq=False)
class NetworkShares(Record):
    """Shares of the space of one network, and its rate of right answers: means over classes, intervals over shapes."""

    network: str
    trusted: ShapeInterval
    failing: ShapeInterval
    undecided: ShapeInterval
    top1: ShapeInterval


@dataclass(frozen=True, eq=False)
class Region(Record):
    """A trusted box or a trap: its bounds in words and as numbers (unwrapped on periodic axes), its share of the space.

    ``mean`` is the mean score of a trap, NaN for a box.
    """

    text: str
    low: list[float]
    high: list[float]
    share: float
    mean: float = math.nan


@dataclass(frozen=True, eq=False)
class MapLine(Record):
    """One map in short: shares of the space, rate of right answers (None where it was not measured), evaluations of f.

    ``largest_box`` and ``worst_trap`` are None where there is none; ``traps`` counts them.
    """

    network: str
    class_name: str
    shape_id: str
    trusted: float
    failing: float
    undecided: float
    top1: float | None
    evaluations: int
    largest_box: Region | None
    worst_trap: Region | None
    traps: int

    @property
    def shape(self) -> str:
        """The id of the shape, preceded by its class where the id does not contain it."""
        return self.shape_id if self.class_name in self.shape_id else f"{self.class_name}: {self.shape_id}"


@dataclass(frozen=True, eq=False)
class TrustSummary(Record):
    """All maps of a job, their settings, and the comparisons of the networks of ``pairs`` by trusted share.

    ``confidence`` holds for each interval, and for all comparisons together.
    """

    score: str
    eps: float
    alpha: float
    error: str
    tiles: tuple[int, ...]
    max_evaluations: int
    confidence: float
    evaluations: int
    networks: list[NetworkShares]
    pairs: list[tuple[str, str]]
    comparisons: list[Difference]
    maps: list[MapLine]

    @classmethod
    def of_plain(cls, saved: Mapping[str, Any]) -> TrustSummary:
        """The summary as ``summary.json`` keeps it, null as NaN."""

        def numbers(values: Sequence[Any]) -> list[Any]:
            return [math.nan if value is None else value for value in values]

        def region(found: Mapping[str, Any] | None) -> Region | None:
            return None if found is None else Region(**{**found, "mean": numbers([found["mean"]])[0]})

        shares = ("trusted", "failing", "undecided", "top1")
        networks = [
            NetworkShares(line["network"], *(ShapeInterval(*numbers(line[x])) for x in shares))
            for line in saved["networks"]
        ]
        maps = [
            MapLine(**line | {name: region(line[name]) for name in ("largest_box", "worst_trap")})
            for line in saved["maps"]
        ]
        pairs = [(first, second) for first, second in saved["pairs"]]
        compared = [Difference(*numbers(values)) for values in saved["comparisons"]]
        known = {"tiles": tuple(saved["tiles"]), "networks": networks, "pairs": pairs, "comparisons": compared}
        return cls(**{**saved, **known, "maps": maps})


def _table(records: Sequence[TrustRecord], networks: list[str], shapes: list[tuple[str, str]], value: str) -> Tensor:
    """A number of each record by network and shape, (N, S) float64, NaN where there is none."""
    table = torch.full((len(networks), len(shapes)), math.nan, dtype=torch.float64)
    for record in records:
        found = record.top1 if value == "top1" else record.map.share(value)
        if found is not None:
            table[networks.index(record.network), shapes.index(record.shape)] = found
    return table


def _line(record: TrustRecord) -> MapLine:
    m, tiles = record.map, record.map.tiles
    boxes, traps = m.boxes(1), m.traps()
    box = trap = None
    if len(boxes):
        a, b = boxes.a[0], boxes.b[0]
        box = Region(box_text(a, b, tiles), a.tolist(), b.tolist(), float(boxes.share[0]))
    if traps:
        a, b = traps[0].a, traps[0].b
        trap = Region(box_text(a, b, tiles), a.tolist(), b.tolist(), traps[0].share, traps[0].mean)
    return MapLine(
        *record.key,
        m.trusted_share,
        m.failing_share,
        m.share("undecided"),
        record.top1,
        m.evaluations,
        box,
        trap,
        len(traps),
    )


def summarize_maps(records: Sequence[TrustRecord], confidence: float = 0.95) -> TrustSummary | None:
    """Shares of each network with intervals over shapes, comparisons of networks, and a line for every map.

    The records are of one job; None without a map. ``confidence`` is as in :class:`TrustSummary`.
    """
    if not records:
        return None
    networks = list(dict.fromkeys(record.network for record in records))
    shapes = list(dict.fromkeys(record.shape for record in records))
    names = list(dict.fromkeys(class_name for class_name, _ in shapes))
    classes = torch.tensor([names.index(class_name) for class_name, _ in shapes])
    tables = [_table(records, networks, shapes, value) for value in ("trusted", "failing", "undecided", "top1")]
    columns = (share_intervals(table, classes, confidence) for table in tables)
    found = compare_shares(tables[0], classes, confidence)
    first = records[0]
    return TrustSummary(
        first.score,
        first.map.eps,
        first.map.alpha,
        first.map.error,
        first.map.tiles.shape,
        first.max_evaluations,
        confidence,
        sum(record.map.evaluations for record in records),
        [NetworkShares(*line) for line in zip(networks, *columns, strict=True)],
        [(networks[i], networks[j]) for i, j, _ in found],
        [difference for _, _, difference in found],
        [_line(record) for record in records],
    )
