"""The section of the maps: by class the mean and spread of all networks, by shape every network with its regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.report.figures import axis_label, method_color, network_color, tick_step
from lightning_semrob.report.job import FinishedJob
from lightning_semrob.report.page.pictures import Sheet
from lightning_semrob.report.page.regions import Region, region_views, regions_of
from lightning_semrob.report.page.sections import Section, rounded
from lightning_semrob.report.page.templates import words
from lightning_semrob.space import Axis, SemanticSpace

#: End of the colours of the spread between networks: that of two that disagree wholly.
SPREAD = 0.5


@dataclass(frozen=True)
class ShapeMaps:
    """The maps of one shape with its regions, and what the page's script reads of it. ``means`` has the mean score of
    every network, NaN where it was not measured.
    """

    number: int
    title: str
    means: Sequence[float]
    regions: Sequence[Region]
    data: Mapping[str, Any]


@dataclass(frozen=True)
class ClassMaps:
    """The data map of a class, as rows along the ordinate, and its shapes."""

    number: int
    name: str
    mean: Any
    spread: Any
    shapes: Sequence[ShapeMaps]


@dataclass(frozen=True)
class Maps(Section):
    """Where the networks work, and where not: maps over one or two of the swept axes, class by class."""

    anchor, title, template = "regions", "Maps", "maps.html"
    spread = SPREAD
    maps: SemanticMaps
    space: SemanticSpace
    methods: Sequence[str]
    classes: Sequence[ClassMaps]

    @classmethod
    def of(
        cls, environment: SemanticEnvironment, job: FinishedJob, maps: SemanticMaps, sheets: Sequence[Sheet | None]
    ) -> Maps:
        """The maps of a job, with the renderings that they point at; maps and sheets are as of ``measure_maps``."""
        methods = list(job.summary.methods)
        regions = regions_of(job, environment, maps.axes, methods)
        shapes: dict[str, list[ShapeMaps]] = {}
        for number, (shape, sheet) in enumerate(zip(environment.shapes, sheets, strict=True)):
            title = shape.shape_id if shape.class_name in shape.shape_id else f"{shape.class_name}: {shape.shape_id}"
            own = regions[number]
            views = None if sheet is None else region_views(environment, number, own)
            starts = [list(u) for u in dict.fromkeys(tuple(region.u0) for region in own)]
            data = {
                "title": title,
                "scores": [_table(scores) for scores in maps.scores[:, number]],
                "starts": starts or [[(axis.low + axis.high) / 2 for axis in maps.axes]],
                "sheet": None if sheet is None else sheet.data(),
                "views": None if views is None else views.data(),
                "regions": [asdict(region) if views else asdict(region) | {"shots": []} for region in own],
            }
            means = maps.scores[:, number].double().flatten(1).nanmean(1).tolist()
            shapes.setdefault(shape.class_name, []).append(ShapeMaps(number, title, means, own, data))
        classes = []
        for number, (name, members) in enumerate(shapes.items()):
            found = maps.data_map(name)
            classes.append(ClassMaps(number, name, _table(found.mean), _table(found.spread), members))
        return cls(maps, environment.space, methods, classes)

    @property
    def titles(self) -> list[str]:
        """Titles of the shapes, by their number."""
        return [str(data["title"]) for data in self._shapes()]

    def _shapes(self) -> list[Mapping[str, Any]]:
        shapes = [shape for one in self.classes for shape in one.shapes]
        return [shape.data for shape in sorted(shapes, key=lambda shape: shape.number)]

    def axis(self, name: str) -> Axis:
        """A swept axis."""
        return self.space.axes[self.space.names.index(name)]

    def data(self) -> dict[str, Any]:
        networks = self.maps.networks
        return {
            "axes": [axis_data(axis, self.maps.values(k).tolist()) for k, axis in enumerate(self.maps.axes)],
            "space": [axis_data(axis, []) for axis in self.space],
            "networks": [
                {"name": label, "color": network_color(name)} for name, label in labels_by_name(networks).items()
            ],
            "methods": [{"name": name, "color": method_color(name)} for name in self.methods],
            "shapes": self._shapes(),
            "classes": [{"mean": one.mean, "spread": one.spread} for one in self.classes],
            "spread": SPREAD,
        }


def _table(scores: Any) -> Any:
    """A map of one or two axes for the page, rows along the ordinate."""
    return rounded(scores.T.tolist() if scores.dim() == 2 else scores.tolist())


def axis_data(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """An axis for the page's script."""
    return {
        "label": words(axis.name),
        "title": axis_label(axis),
        "mark": {"degree": "°", "": ""}.get(axis.unit, axis.unit),
        "low": axis.low,
        "high": axis.high,
        "periodic": axis.periodic,
        "tick": tick_step(axis),
        "values": list(values),
    }


def cividis_gradient() -> str:
    """The colours of the maps, as a CSS gradient."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    stops = ", ".join(to_hex(colormaps["cividis"](x)) for x in np.linspace(0, 1, 9))
    return f"linear-gradient(90deg, {stops})"
