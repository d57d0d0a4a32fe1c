"""What the script of the report page reads: axes, maps and curves as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lightning_semrob.maps import SemanticMaps
from lightning_semrob.report.figures import axis_label, tick_step
from lightning_semrob.space import Axis

__all__ = ["axis_data", "cividis_gradient", "class_data", "curve_data", "rounded"]


def axis_data(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    return {
        "label": axis.name.replace("_", " "),
        "title": axis_label(axis),
        "mark": {"degree": "°", "": ""}.get(axis.unit, axis.unit),
        "low": axis.low,
        "high": axis.high,
        "periodic": axis.periodic,
        "tick": tick_step(axis),
        "values": list(values),
    }


def rounded(table: Any) -> Any:
    """Scores for the page: four digits, NaN as null."""
    if isinstance(table, list):
        return [rounded(item) for item in table]
    return None if table != table else round(table, 4)


def class_data(name: str, maps: SemanticMaps) -> dict[str, Any]:
    """The data map of a class for the page, rows along the ordinate."""
    found = maps.data_map(name)
    tables = {"mean": found.mean, "spread": found.spread}
    return {what: rounded((x.T if x.dim() == 2 else x).tolist()) for what, x in tables.items()}


def curve_data(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    curve = summary.get("eps_m_curve")
    if not curve:
        return None
    lines = []
    for dash, name in enumerate(("verified", "mean")):
        for k, _ in enumerate(summary["networks"]):
            if name in curve["verified_ratio"]:
                values = (100 * torch.as_tensor(curve["verified_ratio"][name])[k]).tolist()
                lines.append({"network": k, "dash": dash, "values": rounded(values)})
    return {"eps_m": list(curve["eps_m"]), "lines": lines} if lines else None


def cividis_gradient() -> str:
    """The colours of the maps, as a CSS gradient."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    stops = ", ".join(to_hex(colormaps["cividis"](x)) for x in np.linspace(0, 1, 9))
    return f"linear-gradient(90deg, {stops})"
