"""The traps of a job as cards of the report page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.maps.traps import MOST_BOXES, Trap
from lightning_semrob.report.page.pictures import Sheet, jpeg
from lightning_semrob.report.page.regions import bounds_of, place_of
from lightning_semrob.report.page.sections import Section
from lightning_semrob.report.traps import worst_view

#: Traps of each kind on the page.
_SHOWN = 4


@dataclass(frozen=True)
class TrapCard:
    """A trap with the rendering of its worst view.

    ``what`` is the shape, or the class where the trap is a mean over shapes. ``jpeg`` is in base64, empty where the
    shape cannot be loaded.
    """

    trap: Trap
    what: str
    place: str
    bounds: str
    jpeg: str

    @classmethod
    def of(cls, trap: Trap, environment: SemanticEnvironment, maps: SemanticMaps) -> TrapCard:
        """The card of a trap; one that is a mean over shapes shows the first shape of its class."""
        sheet = Sheet(176, 1, 1)
        try:
            sheet.add(worst_view(trap, environment, maps), [0])
            picture = jpeg(sheet.image)
        except (ValueError, OSError):
            picture = ""
        what = trap.class_name if trap.shape.startswith("mean of") else trap.shape
        place = place_of(trap.worst_point.tolist(), maps.axes)
        return cls(trap, what, place, bounds_of(trap.a.tolist(), trap.b.tolist(), maps.axes), picture)


@dataclass(frozen=True)
class Traps(Section):
    """The worst traps of each kind.

    Args:
        cards: those that are shown.
        left: how many more there are.
        boxes: whether adversarial boxes are among them.
    """

    anchor, title, template = "traps", "Traps", "traps.html"
    most = MOST_BOXES
    cards: Sequence[TrapCard]
    left: int
    boxes: bool

    @classmethod
    def of(cls, traps: Sequence[Trap], environment: SemanticEnvironment, maps: SemanticMaps) -> Traps:
        """Cards of traps on the maps of an environment."""
        kinds: dict[str, list[Trap]] = {}
        for trap in traps:
            kinds.setdefault(trap.kind, []).append(trap)
        shown = [trap for found in kinds.values() for trap in found[:_SHOWN]]
        cards = [TrapCard.of(trap, environment, maps) for trap in shown]
        return cls(cards, len(traps) - len(shown), "adversarial box" in kinds)
