"""Measuring semantic maps: every view rendered once for all networks, shared out between processes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.maps.adaptive import adaptive_map
from lightning_semrob.maps.data import SemanticMaps, grid_points
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.distributed import all_reduce
from lightning_semrob.utilities.loaders import ListLoader

#: Default samples of each axis, by the number of axes.
_DEFAULT_STEPS = {1: (72,), 2: (36, 18)}
#: Views of the largest map; its points take a gigabyte in memory.
_LARGEST_MAP = 10_000_000


@dataclass(frozen=True)
class MapBatch:
    """Views ``start`` to ``stop`` of the grid of a shape, for all networks."""

    shape: int
    start: int
    stop: int


class SemanticMapper(pl.LightningModule):
    """Measures maps in the predict loop: every view is rendered once, for all networks, a micro-batch at a time.

    Processes share the views. Every network call gets the same pictures whatever the number of processes, so the maps
    are equal.
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

        ValueError: axes that the environment does not sweep, a range that the renderer gives no meaning, a grid that
        does not match or is too large, a bad fixed value.
        """
        environment.setup()
        space = environment.space
        self.axes = _mapped_axes(environment, self.wanted) if axes is None else axes
        n = len(self.axes)
        _known(self.axes.names, space, "mapped axes")
        _known(self.fixed_values, space, "fixed axes")
        if self.steps is None and n not in _DEFAULT_STEPS:
            raise ValueError(f"give the number of samples of each of the {n} axes {self.axes.names}")
        self.grid = tuple(_DEFAULT_STEPS[n] if self.steps is None else self.steps)
        if math.prod(self.grid) > _LARGEST_MAP:
            raise ValueError(f"a map of {' x '.join(map(str, self.grid))} views is too large: {_LARGEST_MAP:,} at most")
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

        A batch is a micro-batch of views; in adaptive mode, which chooses views one after the other, all of a shape.
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
        """The maps of all views measured so far."""
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

    def predict_dataloader(self) -> ListLoader[MapBatch]:
        environment: SemanticEnvironment = self.trainer.datamodule  # type: ignore[attr-defined]
        self.prepare(environment)
        own = self.batches(environment, self.trainer.global_rank, self.trainer.world_size)
        # Lightning leaves a process without batches out of the meeting at the end.
        return ListLoader(own or [MapBatch(0, 0, 0)])

    def predict_step(self, batch: MapBatch, batch_idx: int) -> Tensor:
        """Measure one batch: scores (N, P); P is 0 for the batch of a process that has nothing to do."""
        if batch.start == batch.stop:
            return self.table[:, batch.shape, :0]
        return self.measure(self.trainer.datamodule, batch)  # type: ignore[attr-defined]

    def on_predict_epoch_end(self) -> None:
        self.trainer.datamodule.gather_failures()  # type: ignore[attr-defined]
        for name in ("table", "seen", "error"):
            setattr(self, name, all_reduce(getattr(self, name), device=self.trainer.strategy.root_device))


def _known(names: Sequence[str] | Mapping[str, Any], space: SemanticSpace, what: str) -> None:
    unknown = sorted(set(names) - set(space.names))
    if unknown:
        raise ValueError(f"{what} {unknown} are not among the swept axes {list(space.names)}: name them in data.space")


def _mapped_axes(
    environment: SemanticEnvironment, wanted: Mapping[str, Sequence[float] | None] | Sequence[str] | None
) -> SemanticSpace:
    """The axes of the map: those of the space, over another range where one is given."""
    space, table = environment.space, environment.renderer.semantic_parameters
    names = list(space.names[:2]) if wanted is None else list(wanted)
    _known(names, space, "mapped axes")
    ranges: Mapping[str, Sequence[float] | None] = wanted if isinstance(wanted, Mapping) else dict.fromkeys(names)
    chosen = []
    for name in names:
        own, limits = space.axes[space.names.index(name)], ranges[name]
        chosen.append(own if limits is None else table[name].swept(limits))
    return SemanticSpace(tuple(chosen))


def compute_maps(
    environment: SemanticEnvironment,
    axes: SemanticSpace | None = None,
    steps: Sequence[int] | None = None,
    fixed: Mapping[str, float] | None = None,
    samples: int | None = None,
    share: float | None = None,
) -> SemanticMaps:
    """Maps of every network and shape of an environment, in this process; the arguments are of :class:`SemanticMapper`.

    Raises:
        ValueError: axes that are not swept, or a grid that does not match them.
    """
    mapper = SemanticMapper(None, None if steps is None else list(steps), dict(fixed or {}), samples, share)
    mapper.prepare(environment, axes)
    for batch in mapper.batches(environment):
        mapper.measure(environment, batch)
    return mapper.maps(environment)
