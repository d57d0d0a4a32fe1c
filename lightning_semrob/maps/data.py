"""Semantic maps as data: scores on an even grid, averages, data maps, NetCDF files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_semrob.evaluation.folder import versions
from lightning_semrob.functions import RecordedFunction, SemanticFunction, prepare_function
from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.utilities.files import write_atomically
from lightning_semrob.utilities.messages import require

if TYPE_CHECKING:
    import xarray

SCHEMA_VERSION = 1


def axis_values(axis: Axis, count: int) -> Tensor:
    """Values of ``count`` even samples, (count,) float64, with both ends, or only the lower on a periodic axis."""
    steps = count if axis.periodic else count - 1
    return axis.low + axis.extent * torch.arange(count, dtype=torch.float64) / steps


def grid_points(axes: SemanticSpace, shape: Sequence[int]) -> Tensor:
    """All samples of a map, (d_1 * ... * d_n, n) float64, the last axis fastest; ValueError below 2 on an axis."""
    if len(shape) != len(axes) or min(shape) < 2:
        raise ValueError(f"a map of {axes.names} needs one number of samples >= 2 for each axis, got {list(shape)}")
    columns = [axis_values(axis, count) for axis, count in zip(axes, shape, strict=True)]
    return torch.stack(torch.meshgrid(*columns, indexing="ij"), -1).flatten(0, -2)


def score_map(f: SemanticFunction, space: SemanticSpace, steps: Sequence[int]) -> Tensor:
    """f on an even grid of the space with ``steps`` samples on each axis, float64: what ``plot_map`` draws."""
    points = grid_points(space, steps)
    return prepare_function(f, space)(points[None])[0].view(*steps)


@dataclass(frozen=True)
class DataMap:
    """Scores of some shapes over all networks (a Data Semantic Map), each (d_1, ..., d_n) over the mapped axes.

    Where ``mean`` and ``spread`` are low all networks fail (data bias); where ``spread`` is high some do (network
    bias).

    Args:
        mean: over networks and shapes.
        spread: standard deviation over networks of their means over shapes (0 for one network).
        best: the largest of these means.
        axes, networks: of the map; shapes: how many.
    """

    mean: Tensor
    spread: Tensor
    best: Tensor
    axes: SemanticSpace
    networks: tuple[str, ...]
    shapes: int


@dataclass(frozen=True)
class SemanticMaps:
    """Network Semantic Maps: f(u) of every network and shape on an even grid.

    Args:
        scores: (N networks, S shapes, d_1, ..., d_n) float32, NaN where not measured.
        axes: the mapped axes in map-dimension order, sampled as by :func:`axis_values`.
        networks: N names.
        shapes: S ids, unique within a class.
        class_names: S names.
        fixed: values of the other swept axes.
        evaluations: of f, over all networks and shapes.
        averaged: other swept axes that the scores are averaged over.
        measured: (S, d_1, ..., d_n) bool, where f was evaluated; everywhere if None. The rest is interpolated.
        error: (N, S) estimated mean absolute error of the interpolation over the grid; None where all is measured.
        score: what f is (``softmax``, ``margin``, ``top1``).
        settings: the arguments of the environment as plain data, with which it can be made again; empty if unknown.

    Raises:
        ValueError: for sizes that do not go together.
    """

    scores: Tensor
    axes: SemanticSpace
    networks: tuple[str, ...]
    shapes: tuple[str, ...]
    class_names: tuple[str, ...]
    fixed: Mapping[str, float] = field(default_factory=dict)
    evaluations: int = 0
    averaged: tuple[str, ...] = ()
    measured: Tensor | None = None
    error: Tensor | None = None
    score: str = "softmax"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = (len(self.networks), len(self.shapes))
        if self.scores.dim() != 2 + len(self.axes) or tuple(self.scores.shape[:2]) != expected:
            raise ValueError(
                f"scores must be (networks, shapes, samples of {', '.join(self.axes.names)}), here "
                f"({expected[0]}, {expected[1]}, ...), got {tuple(self.scores.shape)}"
            )
        if len(self.class_names) != len(self.shapes):
            raise ValueError(f"{len(self.shapes)} shapes need as many class names, got {len(self.class_names)}")
        if self.measured is not None and self.measured.shape != self.scores.shape[1:]:
            raise ValueError(
                f"measured must be {tuple(self.scores.shape[1:])} like scores, got {tuple(self.measured.shape)}"
            )

    @property
    def grid(self) -> tuple[int, ...]:
        """Samples of every axis, (d_1, ..., d_n)."""
        return tuple(self.scores.shape[2:])

    def values(self, axis: int) -> Tensor:
        """Samples (d,) of an axis of the map, in its unit."""
        return axis_values(self.axes.axes[axis], self.grid[axis])

    def index(self, network: int, shape: int) -> int:
        """The row of a network and a shape in :meth:`function`."""
        return network * len(self.shapes) + shape

    def function(self, outside: str = "damp") -> RecordedFunction:
        """The maps as an f without renderer, row ``n * S + s`` for network n and shape s."""
        return RecordedFunction(self.scores.flatten(0, 1), self.axes, outside=outside)

    def select(self, networks: Sequence[int] | None = None, shapes: Sequence[int] | None = None) -> SemanticMaps:
        """The maps of some networks and shapes, by index."""
        n = list(range(len(self.networks))) if networks is None else list(networks)
        s = list(range(len(self.shapes))) if shapes is None else list(shapes)
        return replace(
            self,
            scores=self.scores[n][:, s],
            networks=tuple(self.networks[i] for i in n),
            shapes=tuple(self.shapes[i] for i in s),
            class_names=tuple(self.class_names[i] for i in s),
            measured=None if self.measured is None else self.measured[s],
            error=None if self.error is None else self.error[n][:, s],
        )

    def class_average(self) -> SemanticMaps:
        """Mean over the shapes of each class: one "shape" a class, named ``mean of K``."""
        classes = list(dict.fromkeys(self.class_names))
        members = [[i for i, name in enumerate(self.class_names) if name == one] for one in classes]
        measured, error = self.measured, self.error
        return replace(
            self,
            scores=torch.stack([self.scores[:, rows].nanmean(1) for rows in members], 1),
            shapes=tuple(f"mean of {len(rows)}" for rows in members),
            class_names=tuple(classes),
            measured=None if measured is None else torch.stack([measured[rows].all(0) for rows in members]),
            error=None if error is None else torch.stack([error[:, rows].nanmean(1) for rows in members], 1),
        )

    def data_map(self, class_name: str | None = None) -> DataMap:
        """The Data Semantic Map of a class, or of all shapes; ValueError where no shape is of that class."""
        rows = [i for i, name in enumerate(self.class_names) if class_name in (None, name)]
        if not rows:
            raise ValueError(f"no shape of class '{class_name}': there are {sorted(set(self.class_names))}")
        mean = self.scores[:, rows].double().nanmean(1)
        spread = (mean - mean.mean(0)).square().mean(0).sqrt()
        return DataMap(mean.mean(0), spread, mean.amax(0), self.axes, self.networks, len(rows))

    # ---- files

    def to_xarray(self) -> xarray.Dataset:
        """Dataset with ``score`` over (network, shape, axes), units and ranges as attributes of the coordinates."""
        xr = _xarray()
        dims = ("network", "shape", *self.axes.names)
        coordinates: dict[str, Any] = {
            "network": ("network", list(self.networks)),
            "shape": ("shape", list(self.shapes)),
            "class_name": ("shape", list(self.class_names)),
        }
        for k, axis in enumerate(self.axes):
            attributes = {
                "units": axis.unit,
                "long_name": axis.name.replace("_", " "),
                "low": axis.low,
                "high": axis.high,
                "periodic": int(axis.periodic),
                "differentiable": int(axis.differentiable),
            }
            coordinates[axis.name] = (axis.name, self.values(k).numpy(), attributes)
        variables: dict[str, Any] = {"score": (dims, self.scores.numpy(), {"long_name": f"{self.score} score f(u)"})}
        if self.measured is not None:
            variables["measured"] = (dims[1:], self.measured.numpy().astype("int8"))
        if self.error is not None:
            variables["error"] = (dims[:2], self.error.numpy(), {"long_name": "mean absolute error, estimated"})
        attributes = {
            "schema_version": SCHEMA_VERSION,
            "score_kind": self.score,
            "fixed": json.dumps(dict(self.fixed)),
            "averaged": json.dumps(list(self.averaged)),
            "evaluations": self.evaluations,
            "settings": json.dumps(dict(self.settings)),
            "versions": json.dumps(versions()),
        }
        dataset: xarray.Dataset = xr.Dataset(variables, coords=coordinates, attrs=attributes)
        return dataset

    def save(self, path: str | Path) -> Path:
        """Write NetCDF, atomically; OSError where the file cannot be written."""
        path, dataset = Path(path), self.to_xarray()
        packed = {name: {"zlib": True, "complevel": 4} for name in dataset.data_vars}
        write_atomically(path, lambda file: dataset.to_netcdf(file, engine="h5netcdf", encoding=packed))
        return path

    @classmethod
    def load(cls, path: str | Path) -> SemanticMaps:
        """Read what :meth:`save` wrote; ValueError where the file is absent, broken or not a file of maps."""
        xr = _xarray()
        if not Path(path).is_file():
            raise ValueError(f"there is no file '{path}': make one with `semrob maps --output`")
        try:
            data = xr.load_dataset(path, engine="h5netcdf")
            axes = tuple(
                Axis(
                    str(name),
                    float(x["low"]),
                    float(x["high"]),
                    str(x["units"]),
                    bool(x["periodic"]),
                    bool(x["differentiable"]),
                )
                for name in data["score"].dims[2:]
                for x in [data[name].attrs]
            )
            return cls(
                torch.from_numpy(data["score"].values.astype("float32")),
                SemanticSpace(axes),
                tuple(str(x) for x in data["network"].values),
                tuple(str(x) for x in data["shape"].values),
                tuple(str(x) for x in data["class_name"].values),
                {str(name): float(value) for name, value in json.loads(data.attrs["fixed"]).items()},
                int(data.attrs["evaluations"]),
                tuple(json.loads(data.attrs["averaged"])),
                torch.from_numpy(data["measured"].values.astype("bool")) if "measured" in data else None,
                torch.from_numpy(data["error"].values) if "error" in data else None,
                str(data.attrs["score_kind"]),
                json.loads(data.attrs["settings"]),
            )
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise ValueError(f"'{path}' holds no semantic maps ({error}): make it again") from error


def _xarray() -> Any:
    """The package xarray, and those that it needs for files."""
    names = ("h5netcdf", "h5py", "xarray")
    return [require(name, "a file of maps", " ".join(names)) for name in names][-1]
