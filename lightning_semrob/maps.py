"""Semantic maps: f on a grid of one or more axes, for many networks and shapes at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_semrob.environment import SemanticEnvironment
from lightning_semrob.functional.refinement import (
    cell_corners,
    cell_ranges,
    coarse_cells,
    hidden_samples,
    interpolate_cells,
    split_cells,
)
from lightning_semrob.functions import RecordedFunction
from lightning_semrob.results import versions, write_atomically
from lightning_semrob.space import Axis, SemanticSpace

if TYPE_CHECKING:
    import xarray

__all__ = [
    "AdaptiveMap",
    "DataMap",
    "MapBatch",
    "SemanticMapper",
    "SemanticMaps",
    "adaptive_map",
    "axis_values",
    "compute_maps",
    "grid_points",
]

SCHEMA_VERSION = 1
#: Samples of an axis where nobody says: a map of two axes has 36 x 18 views.
_DEFAULT_STEPS = {1: (72,), 2: (36, 18)}
_HINT = "saved maps need xarray, h5netcdf and h5py: pip install 'lightning-semrob[report]'"


def axis_values(axis: Axis, count: int) -> Tensor:
    """Values of ``count`` even samples, (count,) float64: without the end point on a periodic axis, with both else."""
    steps = count if axis.periodic else count - 1
    return axis.low + axis.extent * torch.arange(count, dtype=torch.float64) / steps


def grid_points(axes: SemanticSpace, shape: Sequence[int]) -> Tensor:
    """All samples of a map, (d_1 * ... * d_n, n) float64, the last axis fastest.

    Raises:
        ValueError: another number of sizes than axes, or fewer than 2 samples on an axis.
    """
    if len(shape) != len(axes) or min(shape) < 2:
        raise ValueError(f"a map of {axes.names} needs one number of samples >= 2 for each axis, got {list(shape)}")
    columns = [axis_values(axis, count) for axis, count in zip(axes, shape, strict=True)]
    return torch.stack(torch.meshgrid(*columns, indexing="ij"), -1).flatten(0, -2)


@dataclass(frozen=True)
class DataMap:
    """What all networks make of some shapes (a Data Semantic Map).

    Where ``mean`` is low and ``spread`` is low all networks fail (data bias); where ``spread`` is high some do
    (network bias).

    Args:
        mean: (d_1, ..., d_n) mean over networks and shapes.
        spread: (d_1, ..., d_n) standard deviation over networks of their means over shapes (0 for one network).
        best: (d_1, ..., d_n) the largest of these means: low where even the best network fails.
        axes: the mapped axes.
        networks: their names.
        shapes: how many shapes.
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
        """The Data Semantic Map of a class, or of all shapes.

        Raises:
            ValueError: no shape is of that class.
        """
        rows = [i for i, name in enumerate(self.class_names) if class_name in (None, name)]
        if not rows:
            raise ValueError(f"no shape of class '{class_name}': there are {sorted(set(self.class_names))}")
        mean = self.scores[:, rows].double().nanmean(1)
        spread = (mean - mean.mean(0)).square().mean(0).sqrt()
        return DataMap(mean.mean(0), spread, mean.amax(0), self.axes, self.networks, len(rows))

    # ---- files

    def to_xarray(self) -> xarray.Dataset:
        """Dataset with ``score`` over (network, shape, axes), units and ranges as attributes of the coordinates.

        Raises:
            ModuleNotFoundError: xarray is not installed.
        """
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
        """Write NetCDF, atomically.

        Raises:
            ModuleNotFoundError: xarray, h5netcdf or h5py is not installed.
            OSError: the file cannot be written.
        """
        path, dataset = Path(path), self.to_xarray()
        packed = {name: {"zlib": True, "complevel": 4} for name in dataset.data_vars}
        write_atomically(path, lambda file: dataset.to_netcdf(file, engine="h5netcdf", encoding=packed))
        return path

    @classmethod
    def load(cls, path: str | Path) -> SemanticMaps:
        """Read what :meth:`save` wrote.

        Raises:
            ModuleNotFoundError: xarray, h5netcdf or h5py is not installed.
            ValueError: the file is absent, broken or not a file of maps.
        """
        xr = _xarray()
        if not Path(path).is_file():
            raise ValueError(f"there is no file '{path}': make one with `python -m lightning_semrob maps --output`")
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
    """The package, or one sentence on how to get it."""
    try:
        import h5netcdf  # noqa: F401
        import h5py  # noqa: F401
        import xarray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{_HINT} ({error})") from error
    return xarray


@dataclass(frozen=True)
class AdaptiveMap:
    """N functions on one grid, measured where they change and interpolated elsewhere.

    Args:
        values: (N, P) over the P samples of the grid.
        measured: (P,) bool.
        error: (N,) mean absolute error over the grid, estimated from samples that were held out.
    """

    values: Tensor
    measured: Tensor
    error: Tensor


#: Sides of the first cells, in samples: what lies hidden between them can be missed.
_STRIDE = 4
#: A cell whose corners differ by less is not split.
_FLAT = 0.01


def adaptive_map(
    evaluate: Callable[[Tensor], Tensor],
    shape: Sequence[int],
    periodic: Sequence[bool],
    share: float,
    seed: int = 0,
    batch: int = 16,
) -> AdaptiveMap:
    """Split the cells in which most of the change is hidden, until a share of the grid is measured.

    A coarse grid comes first (every 4th sample of an axis); then the cells with the largest product of range (over
    the corners, averaged over functions) and number of unmeasured samples are halved. It ends early where no cell has
    a range above 0.01. At last up to 64 random samples are measured and compared with their interpolation.

    Args:
        evaluate: flat indices of samples (M,) -> values (N, M).
        shape: (d_1, ..., d_n).
        periodic: which axes are.
        share: largest share of the samples that is measured, in (0, 1].
        seed: of the held-out samples.
        batch: samples that are asked for together, if there are so many.

    Raises:
        ValueError: a share that does not allow the coarse grid and the check.
    """
    total = math.prod(shape)
    cells = coarse_cells(shape, periodic, _STRIDE)
    first = cell_corners(cells, shape).unique()
    budget = math.floor(share * total)
    checks = min(64, max(1, budget // 10), total - len(first))
    if not share <= 1 or budget < len(first) + checks:
        smallest = math.ceil(100 * (len(first) + checks + 1) / total) / 100
        raise ValueError(f"a share of {share} of {total} samples is out of range: give {smallest:g} to 1")
    values = torch.zeros(0, total, dtype=torch.float64)
    measured = torch.zeros(total, dtype=torch.bool)

    def measure(index: Tensor) -> None:
        nonlocal values
        found = evaluate(index).double()
        if not len(values):
            values = found.new_full((len(found), total), torch.nan)
        values[:, index] = found
        measured[index] = True

    measure(first)
    while (left := budget - checks - int(measured.sum())) > 0:
        corners = values[:, cell_corners(cells, shape)]
        ranges, hidden = cell_ranges(corners).nan_to_num(), hidden_samples(cells)
        gain = torch.where((ranges > _FLAT) & (hidden > 0), ranges * hidden, 0.0)
        order = gain.argsort(descending=True, stable=True)[: int((gain > 0).sum())]
        if not len(order):
            break
        # As many of the best cells as fill a batch, or what is left.
        order = order[: 8 * batch]
        parts = split_cells(cells[order], corners[:, order])
        new = cell_corners(parts, shape).view(2, len(order), -1).transpose(0, 1).flatten(1)
        asked: dict[int, None] = {}
        chosen = 0
        for row in new.tolist():
            fresh = [i for i in dict.fromkeys(row) if not measured[i] and i not in asked]
            if len(asked) + len(fresh) > left:
                break
            asked |= dict.fromkeys(fresh)
            chosen += 1
            if len(asked) >= batch:
                break
        if not chosen:
            break
        if asked:
            measure(torch.tensor(list(asked)))
        keep = torch.ones(len(cells), dtype=torch.bool)
        keep[order[:chosen]] = False
        cells = torch.cat([cells[keep], parts.view(2, len(order), *cells.shape[1:])[:, :chosen].flatten(0, 1)])
    estimate = interpolate_cells(cells, values, shape)
    unmeasured = (~measured).nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    held_out = unmeasured[torch.randperm(len(unmeasured), generator=generator)[:checks]]
    error = torch.zeros(len(values), dtype=torch.float64)
    if len(held_out):
        measure(held_out)
        error = (estimate - values)[:, held_out].abs().mean(1) * (len(unmeasured) - len(held_out)) / total
    return AdaptiveMap(torch.where(measured, values, estimate), measured, error)


@dataclass(frozen=True)
class MapBatch:
    """Views ``start`` to ``stop`` of the grid of a shape, for all networks."""

    shape: int
    start: int
    stop: int


class SemanticMapper(pl.LightningModule):
    """Measures maps in the predict loop: every view is rendered once, for all networks, a micro-batch at a time.

    Processes share the views; each network call has the same pictures whatever their number, so the maps are equal.
    Without a Trainer :func:`compute_maps` runs the same steps.

    Args:
        axes: names of the mapped axes, of those that the environment sweeps, or name -> [low, high] (None for the
            environment's range); its first two if None.
        steps: samples of every axis.
        fixed: values of the other axes that the environment sweeps; the renderer's default where not named (cut to
            the axis' range).
        samples: average over this many seeded Sobol points of the axes that ``fixed`` does not name, rather than
            fix them.
        share: measure at most this share of the samples, where f changes, and interpolate the rest
            (:func:`adaptive_map`); everything if None.
    """

    def __init__(
        self,
        axes: dict[str, list[float] | None] | list[str] | None = None,
        steps: list[int] | None = None,
        fixed: dict[str, float] | None = None,
        samples: int | None = None,
        share: float | None = None,
    ) -> None:
        super().__init__()
        self.share = share
        self.wanted = axes
        self.steps = steps
        self.fixed_values = dict(fixed or {})
        self.samples = samples
        self.axes: SemanticSpace | None = None

    def prepare(self, environment: SemanticEnvironment, axes: SemanticSpace | None = None) -> None:
        """Make the empty tables.

        Raises:
            ValueError: axes that the environment does not sweep, a grid that does not match, a bad fixed value.
        """
        environment.setup()
        space = environment.space
        self.axes = _mapped_axes(space, self.wanted) if axes is None else axes
        n = len(self.axes)
        _known(self.axes.names, space, "mapped axes")
        _known(self.fixed_values, space, "fixed axes")
        if self.steps is None and n not in _DEFAULT_STEPS:
            raise ValueError(f"give the number of samples of each of the {n} axes {self.axes.names}")
        self.grid = tuple(_DEFAULT_STEPS[n] if self.steps is None else self.steps)
        both = set(self.fixed_values) & set(self.axes.names)
        if both:
            raise ValueError(f"axes {sorted(both)} are mapped and fixed: leave them out of one")
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")
        others = [axis for axis in space if axis.name not in self.axes.names]
        free = [axis for axis in others if axis.name not in self.fixed_values]
        self.averaged = tuple(axis.name for axis in free) if self.samples else ()
        self.fixed: dict[str, float] = {}
        for axis in others:
            if axis.name not in self.averaged:
                default = environment.renderer.semantic_parameters[axis.name].default
                self.fixed[axis.name] = float(self.fixed_values.get(axis.name, min(max(default, axis.low), axis.high)))
                if not math.isfinite(self.fixed[axis.name]):
                    raise ValueError(f"the fixed value of '{axis.name}' must be finite, got {self.fixed[axis.name]}")
        if self.averaged:
            assert self.samples is not None
            drawn = SemanticSpace(tuple(free)).sobol(self.samples, environment.seed)
        else:
            drawn = torch.zeros(1, 0, dtype=torch.float64)
        mapped = grid_points(self.axes, self.grid)
        columns: list[Tensor] = []
        for axis in space:
            if axis.name in self.axes.names:
                column = mapped[:, self.axes.names.index(axis.name), None].expand(-1, len(drawn))
            elif axis.name in self.averaged:
                column = drawn[None, :, self.averaged.index(axis.name)].expand(len(mapped), -1)
            else:
                column = torch.full((len(mapped), len(drawn)), self.fixed[axis.name], dtype=torch.float64)
            columns.append(column)
        self.points = torch.stack(columns, -1)  # views, samples, swept axes
        self.table = torch.zeros(len(environment.networks), len(environment.shapes), len(mapped), dtype=torch.float64)
        self.seen = torch.zeros(len(environment.shapes), len(mapped), dtype=torch.int64)
        self.error = torch.zeros(self.table.shape[:2], dtype=torch.float64)

    def batches(self, environment: SemanticEnvironment, rank: int = 0, world_size: int = 1) -> list[MapBatch]:
        """The batches of a process: a contiguous slice of all, so that meshes stay with one process.

        A batch is a micro-batch of views, or all views of a shape where they are chosen one after the other.
        """
        views, samples = self.points.shape[:2]
        size = views if self.share is not None else max(1, environment.micro_batch_size // samples)
        every = [
            MapBatch(shape, start, min(start + size, views))
            for shape in range(len(environment.shapes))
            for start in range(0, views, size)
        ]
        return every[len(every) * rank // world_size : len(every) * (rank + 1) // world_size]

    @torch.no_grad()
    def measure(self, environment: SemanticEnvironment, batch: MapBatch) -> Tensor:
        """Scores (N, P) of all networks at the views of a batch; NaN for a shape that cannot be loaded."""
        views = slice(batch.start, batch.stop)
        points = self.points[views]
        self.table[:, batch.shape, views] = torch.nan
        try:
            environment.mesh(batch.shape)
        except (ValueError, OSError) as error:
            environment.report_failure(batch.shape, error)
            return self.table[:, batch.shape, views]
        if self.share is None:
            self.table[:, batch.shape, views] = self.scores_at(environment, batch.shape, points)
            self.seen[batch.shape, views] = 1
        else:
            assert self.axes is not None
            found = adaptive_map(
                lambda index: self.scores_at(environment, batch.shape, points[index]),
                self.grid,
                [axis.periodic for axis in self.axes],
                self.share,
                environment.seed,
                environment.micro_batch_size,
            )
            self.table[:, batch.shape] = found.values
            self.seen[batch.shape] = found.measured.long()
            self.error[:, batch.shape] = found.error
        return self.table[:, batch.shape, views]

    def scores_at(self, environment: SemanticEnvironment, shape: int, points: Tensor) -> Tensor:
        """Scores (N, P) at points (P, K, n), averaged over the K samples; every picture is made once."""
        functions = [environment.function(network, shape) for network in range(len(environment.networks))]
        micro_batches = points.flatten(0, 1).split(environment.micro_batch_size)
        parts = [torch.stack([f(u[None])[0].cpu() for f in functions]) for u in micro_batches]
        scores: Tensor = torch.cat(parts, 1).unflatten(1, points.shape[:2])
        return scores.mean(-1)

    def maps(self, environment: SemanticEnvironment) -> SemanticMaps:
        """What was measured."""
        assert self.axes is not None, "prepare() comes first"
        count = int(self.seen.sum()) * len(environment.networks) * self.points.shape[1]
        return SemanticMaps(
            self.table.float().unflatten(-1, self.grid),
            self.axes,
            tuple(environment.networks),
            tuple(shape.shape_id for shape in environment.shapes),
            tuple(shape.class_name for shape in environment.shapes),
            self.fixed,
            count,
            self.averaged,
            None if self.share is None else self.seen.bool().unflatten(-1, self.grid),
            None if self.share is None else self.error,
            score=environment.score,
        )

    # ---- Lightning

    def predict_dataloader(self) -> _BatchLoader:
        """The batches of this process."""
        environment: SemanticEnvironment = self.trainer.datamodule  # type: ignore[attr-defined]
        self.prepare(environment)
        return _BatchLoader(self.batches(environment, self.trainer.global_rank, self.trainer.world_size))

    def predict_step(self, batch: MapBatch, batch_idx: int) -> Tensor:
        """Measure one batch: scores (N, P)."""
        return self.measure(self.trainer.datamodule, batch)  # type: ignore[attr-defined]

    def on_predict_epoch_end(self) -> None:
        """Merge the views of all processes."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            device = self.trainer.strategy.root_device
            for name in ("table", "seen", "error"):
                total = getattr(self, name).to(device)
                torch.distributed.all_reduce(total)
                setattr(self, name, total.cpu())


class _BatchLoader:
    """Serves a list (Lightning takes a bare list for several loaders)."""

    def __init__(self, batches: list[MapBatch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[MapBatch]:
        return iter(self._batches)


def _known(names: Sequence[str] | Mapping[str, Any], space: SemanticSpace, what: str) -> None:
    unknown = sorted(set(names) - set(space.names))
    if unknown:
        raise ValueError(f"{what} {unknown} are not among the swept axes {list(space.names)}: name them in data.space")


def _mapped_axes(
    space: SemanticSpace, wanted: Mapping[str, Sequence[float] | None] | Sequence[str] | None
) -> SemanticSpace:
    """The axes of the map: those of the space, narrowed where a range is given."""
    names = list(space.names[:2]) if wanted is None else list(wanted)
    _known(names, space, "mapped axes")
    ranges: Mapping[str, Sequence[float] | None] = wanted if isinstance(wanted, Mapping) else dict.fromkeys(names)
    chosen = []
    for name in names:
        axis, limits = space.axes[space.names.index(name)], ranges[name]
        if limits is not None:
            if len(limits) != 2:
                raise ValueError(f"the range of axis '{name}' must be [low, high], got {list(limits)}")
            low, high = float(limits[0]), float(limits[1])
            axis = replace(axis, low=low, high=high, periodic=axis.periodic and abs(high - low - axis.extent) < 1e-9)
        chosen.append(axis)
    return SemanticSpace(tuple(chosen))


def compute_maps(
    environment: SemanticEnvironment,
    axes: SemanticSpace | None = None,
    steps: Sequence[int] | None = None,
    fixed: Mapping[str, float] | None = None,
    samples: int | None = None,
    share: float | None = None,
) -> SemanticMaps:
    """Maps of every network and shape of an environment, in this process; see :class:`SemanticMapper`.

    Args:
        environment: networks, shapes, renderer and swept axes.
        axes: the mapped axes, of those that the environment sweeps; its first two if None.
        steps: samples (d_1, ..., d_n); 36 x 18, or 72 on one axis, if None.
        fixed: values of the other swept axes; the renderer's default if not named.
        samples: average over that many points of the other swept axes that ``fixed`` does not name.
        share: adaptive mode: the largest share of the samples that is measured.

    Raises:
        ValueError: axes that are not swept, or a grid that does not match them.
    """
    mapper = SemanticMapper(None, None if steps is None else list(steps), dict(fixed or {}), samples, share)
    mapper.prepare(environment, axes)
    for batch in mapper.batches(environment):
        mapper.measure(environment, batch)
    return mapper.maps(environment)
