"""The traps of the report page: looked for on its maps, shown as cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.maps.traps import Trap, adversarial_boxes, rank_traps, shared_holes, worst_views
from lightning_semrob.report.page.markup import html_text, network_name
from lightning_semrob.report.page.pictures import Sheet, jpeg, pictures
from lightning_semrob.report.page.regions import Row, amount, place_of, point_of
from lightning_semrob.space import Box, SemanticSpace

__all__ = ["page_traps", "traps_section"]

#: Traps of each kind on the page.
_TRAPS_SHOWN = 4
#: Boxes in which traps are looked for; each takes up to two seconds.
_TRAP_BOXES = 100


def _valid_boxes(rows: Sequence[Row], maps: SemanticMaps) -> tuple[Box, Tensor]:
    """The boxes that satisfy Eq. 2, the largest first, and the maps that they lie on."""
    objects = list(zip(maps.class_names, maps.shapes, strict=True))
    a: list[list[float]] = []
    b: list[list[float]] = []
    index: list[int] = []
    for row in sorted(rows, key=lambda row: -(row.get("ratio") or 0.0)):
        low, high = (point_of(row, side, maps.axes.names) for side in ("a", "b"))
        known = row["network"] in maps.networks and (row["class_name"], row["shape_id"]) in objects
        if len(a) < _TRAP_BOXES and row["verdict"] == "valid" and known and low is not None and high is not None:
            a.append(low)
            b.append(high)
            shape = objects.index((row["class_name"], row["shape_id"]))
            index.append(maps.index(maps.networks.index(row["network"]), shape))
    low_high = [torch.tensor(side, dtype=torch.float64).view(-1, len(maps.axes)) for side in (a, b)]
    return Box(low_high[0], low_high[1]), torch.tensor(index, dtype=torch.int64)


def page_traps(
    rows: Sequence[Row], maps: SemanticMaps, space: SemanticSpace, model: Mapping[str, Any], seed: int = 0
) -> list[Trap]:
    """The traps that the page lists, the worst of each kind first.

    Adversarial boxes are looked for on the maps, inside the largest boxes that satisfy Eq. 2, where these are boxes of
    the mapped axes and about f (not about 1 - f).
    """
    thresholds: dict[str, Any] = {name: model[name] for name in ("eps_m", "eps_v", "confidence") if name in model}
    robust, index = _valid_boxes(rows, maps)
    measured = maps.scores.isfinite().flatten(2).all(2).all(0)
    known = maps.select(shapes=measured.nonzero().flatten().tolist())
    if not known.shapes:
        return []
    traps: list[Trap] = []
    if len(index) and len(space) == len(maps.axes) and not model.get("adversarial"):
        pairs = adversarial_boxes(maps.function(), robust, maps.axes, index, seed=seed, **thresholds)
        for row, trap in pairs:
            network, shape = divmod(int(index[row]), len(maps.shapes))
            owner, class_name = (maps.networks[network],), maps.class_names[shape]
            traps.append(replace(trap, networks=owner, class_name=class_name, shape=maps.shapes[shape]))
    holes = [
        replace(hole, class_name=name)
        for name in dict.fromkeys(known.class_names)
        for hole in shared_holes(known.data_map(name))
    ]
    return [*traps, *rank_traps(holes), *worst_views(known)]


_TRAP_WORDS = {
    "adversarial box": "inside a box that satisfies Eq. 2 the network fails: the mean of f is {mean}, {depth} below "
    "that of the box around it",
    "shared hole": "{who} here: mean score {mean}, {volume} of the space",
    "worst view": "the lowest mean score of the class: {worst}, {depth} below that of the map",
}


def _trap_card(trap: Trap, environment: SemanticEnvironment, maps: SemanticMaps) -> str:
    """A trap with the rendering of its worst view; for a mean over shapes the first shape of the class."""
    members = [k for k, shape in enumerate(environment.shapes) if shape.class_name == trap.class_name]
    number = next((k for k in members if environment.shapes[k].shape_id == trap.shape), members[0])
    values = dict(maps.fixed) | dict(zip(maps.axes.names, trap.worst_point.tolist(), strict=True))
    point = torch.tensor([[values[name] for name in environment.space.names]], dtype=torch.float64)
    place = place_of(trap.worst_point.tolist(), maps.axes)
    try:
        sheet = Sheet(176, 1, 1)
        sheet.add(pictures(environment, number, point), [0])
        alternative = html_text(f"{trap.class_name} at {place}")
        picture = f'<img src="data:image/jpeg;base64,{jpeg(sheet.image)}" width="176" height="176" alt="{alternative}">'
    except (ValueError, OSError):
        picture = ""
    words = _TRAP_WORDS[trap.kind].format(
        mean=f"{trap.mean:.2f}",
        depth=f"{trap.depth:.2f}",
        worst=f"{trap.worst_score:.2f}",
        volume=f"{100 * trap.volume:.1f} %",
        who="every network fails, even the best one," if len(trap.networks) > 1 else "the network fails",
    )
    bounds = ""
    if trap.kind != "worst view":
        bounds = ", ".join(
            f"{axis.name.replace('_', ' ')} {amount(low, axis)} to {amount(high, axis)}"
            for axis, low, high in zip(maps.axes, trap.a.tolist(), trap.b.tolist(), strict=True)
        )
        bounds = f"<br>{'within ' if trap.kind == 'shared hole' else ''}{html_text(bounds)}"
    who = network_name(trap.networks[0]) if len(trap.networks) == 1 else "all networks"
    what = trap.class_name if trap.shape.startswith("mean of") else trap.shape
    return (
        f"<li>{picture}<strong>{html_text(trap.kind)}</strong>: {html_text(what)}, {who}<br>{html_text(words)}.{bounds}"
        f'<br><span class="soft">picture: {html_text(place)}</span></li>'
    )


def traps_section(traps: Sequence[Trap], environment: SemanticEnvironment, maps: SemanticMaps) -> str:
    """The worst traps of each kind as cards."""
    cards, left = [], 0
    for kind in _TRAP_WORDS:
        found = [trap for trap in traps if trap.kind == kind]
        cards += [_trap_card(trap, environment, maps) for trap in found[:_TRAPS_SHOWN]]
        left += len(found[_TRAPS_SHOWN:])
    none = (
        ""
        if any(trap.kind == "adversarial box" for trap in traps)
        else (" No box in which a network fails was found inside a box that satisfies Eq. 2.")
    )
    more = f"<p>{left} more are not shown.</p>" if left else ""
    return (
        '<section id="traps"><h2>Traps</h2><p>Where a good average deceives, looked for on the maps above, '
        f'between whose views f is interpolated.{none}</p><ul class="cards">{"".join(cards)}</ul>{more}</section>'
    )
