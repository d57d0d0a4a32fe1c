"""The authors' released maps and bounds, as the benchmarks use them (data, never committed)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.maps import SemanticMaps
from lightning_semrob.space import Axis, SemanticSpace

REFERENCE = Path(__file__).resolve().parent.parent.parent / "shared" / "reference"
METHODS = ("naive", "oir_b", "oir_w")


@dataclass(frozen=True)
class PaperData:
    """240 maps (4 networks x 10 classes x 6 objects) and 960 runs a method (4 initial points each)."""

    maps: Tensor  # (240, 34, 120) f(elevation, azimuth)
    networks: list[str]
    classes: list[str]
    initial_points: Tensor  # (4, 2) azimuth, elevation, degrees
    bounds: dict[str, Tensor]  # method -> (960, 2, 2): a or b, azimuth or elevation, degrees
    traces: dict[str, Tensor]  # method -> (960, 13, 2, 2) bounds at steps 0, 50 .. 550, 599; NaN where not kept

    @property
    def u0(self) -> Tensor:
        """Initial point of every run, (960, 2)."""
        return self.initial_points.repeat(len(self.maps), 1)

    @property
    def index(self) -> Tensor:
        """Map of every run, (960,)."""
        return torch.arange(len(self.maps)).repeat_interleave(len(self.initial_points))

    @property
    def network(self) -> Tensor:
        """Network of every run, (960,)."""
        return self.index // (len(self.maps) // len(self.networks))


def load_paper_data(path: Path = REFERENCE / "paper_maps.npz") -> PaperData:
    """Read paper_maps.npz.

    Raises:
        SystemExit: the file is absent.
    """
    if not path.is_file():
        raise SystemExit(f"{path} is absent: docs/differences.md says how to get the authors' maps; give their path")
    with np.load(path) as data:
        bounds = {m: torch.as_tensor(data[f"bounds_{m}"]).double().reshape(-1, 2, 2) for m in METHODS}
        traces = {m: torch.as_tensor(data[f"trace_{m}"]).double().reshape(len(bounds[m]), -1, 2, 2) for m in METHODS}
        return PaperData(
            torch.as_tensor(data["maps"]).double().reshape(-1, *data["maps"].shape[-2:]),
            [str(x) for x in data["networks"]],
            [str(x) for x in data["classes"]],
            torch.as_tensor(data["initial_points"]).double(),
            bounds,
            traces,
        )


def load_paper_maps(path: Path = REFERENCE / "paper_maps.npz") -> SemanticMaps:
    """The authors' maps as :class:`SemanticMaps`: 4 networks, 60 shapes, 120 azimuths, 34 elevations from -10 to 89.

    Raises:
        SystemExit: the file is absent.
    """
    load_paper_data(path)  # says what is missing
    with np.load(path) as data:
        scores = torch.as_tensor(data["maps"]).flatten(1, 2).transpose(2, 3).contiguous()
        classes = tuple(str(name) for name in data["classes"].repeat(data["maps"].shape[2]))
        axes = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True), Axis("elevation", -10.0, 89.0)))
        networks, shapes = (tuple(map(str, data[name].flatten())) for name in ("networks", "shape_ids"))
        return SemanticMaps(scores, axes, networks, shapes, classes, evaluations=scores.numel())
