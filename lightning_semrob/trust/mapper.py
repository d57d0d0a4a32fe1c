"""Trust maps of every network and shape of a job, in the predict loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_semrob.functional.betting import mean_interval
from lightning_semrob.functions import RenderedFunction, SemanticFunction
from lightning_semrob.functions.memory import ScoreMemory
from lightning_semrob.functions.precision import RenderedTasks
from lightning_semrob.shapes import ShapeSpec
from lightning_semrob.sharing.rounds import SharedTasks
from lightning_semrob.space import SemanticSpace
from lightning_semrob.trust.map import TrustMap, check_settings, trust_maps
from lightning_semrob.trust.record import TrustRecord, read_records, write_records
from lightning_semrob.trust.sampling import first_points
from lightning_semrob.trust.tiles import Tiles
from lightning_semrob.utilities.distributed import all_gather
from lightning_semrob.utilities.loaders import ListLoader
from lightning_semrob.utilities.random import named_seed
from lightning_semrob.verification.region import AxisDensity

#: Tiles of a periodic and of another axis where a job names none, by the number of axes: coarse, for a first answer.
_COARSE = {1: (24, 12), 2: (12, 4), 3: (8, 3)}


@dataclass(frozen=True)
class TrustSettings:
    """The trust maps of a job (docs/trust.md).

    Args:
        tiles: number of tiles along each swept axis; 12 x 4 on azimuth and elevation if null.
        eps: trusted is a mean score >= 1 - eps, failing one <= eps; in (0, 0.5].
        alpha: expected share of wrong calls, or probability of any.
        error: ``fdr`` or ``simultaneous``.
        max_evaluations: largest number of evaluations of each map, 8 a tile if null; 0 for no maps.
        score: ``top1`` for the rate of right answers, or ``f`` for the mean of the score of the job (``data.score``).
    """

    tiles: list[int] | None = None
    eps: float = 0.5
    alpha: float = 0.05
    error: str = "fdr"
    max_evaluations: int | None = None
    score: str = "top1"

    def grid(self, space: SemanticSpace) -> tuple[int, ...]:
        """Tiles along each axis."""
        if self.tiles is not None:
            return tuple(self.tiles)
        size = _COARSE.get(len(space), (4, 2))
        return tuple(size[0] if axis.periodic else size[1] for axis in space)

    def budget(self, space: SemanticSpace) -> int:
        """Largest number of evaluations of a map."""
        grid = Tiles(space, self.grid(space))
        return 8 * grid.count if self.max_evaluations is None else self.max_evaluations

    def check(self, space: SemanticSpace) -> None:
        """Refuse settings that make no map.

        Raises:
            ValueError: a setting out of range, or tiles that do not match the axes.
        """
        if self.max_evaluations == 0:
            return
        if self.score not in ("top1", "f"):
            raise ValueError(f"trust.score must be 'top1' or 'f' (the score of the job), got '{self.score}'")
        count = Tiles(space, self.grid(space)).count
        check_settings(count, self.eps, self.alpha, self.error, self.budget(space), "trust.")


@dataclass(frozen=True)
class MapTask:
    """The maps to make of one shape, by the index of the network; none for a process without work."""

    shape: int
    networks: tuple[int, ...] = ()


class MappedEnvironment(SharedTasks, RenderedTasks, Protocol):
    """What the mapper needs of the Trainer's datamodule."""

    density: list[AxisDensity | None] | None
    score: str
    weights_sha256: dict[int, str]
    mesh_sha256: dict[int, str]

    @property
    def shapes(self) -> list[ShapeSpec]:
        """What is looked at."""

    @property
    def micro_batch_size(self) -> int:
        """Images in every network call."""


class _NetworksOfShape(SemanticFunction):
    """f of several networks of a shape; the index of a row is its network. They share the pictures of a round."""

    differentiable = False

    def __init__(self, functions: Mapping[int, RenderedFunction], after: Callable[[], None]) -> None:
        super().__init__()
        self.names = next(iter(functions.values())).names
        self._functions, self._after = functions, after

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return self._scores_and_hits(u, index)[0]

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _scores_and_hits(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        scores, hits = u.new_zeros(u.shape[:2]), u.new_zeros(u.shape[:2])
        for network, f in self._functions.items():
            rows = index == network
            if bool(rows.any()):
                found = f.scores_and_hits(u[rows].flatten(0, 1)[None])
                scores[rows], hits[rows] = (values.to(u).view(-1, u.shape[1]) for values in found)
        self._after()
        return scores, hits


class TrustMapper(pl.LightningModule):
    """Makes the trust map of every network and shape that has none yet; processes share the maps.

    The networks of a shape that one process maps are sampled together and share its pictures. A map is the same
    whatever the number of processes.

    Args:
        settings: of the maps.
        about: what all records of the job share, plain data.
        folder: every map is kept in its ``parts`` as soon as it is made; nowhere if None.
        after_round: called after each round of evaluations, to leave in between.

    Attributes:
        records: by network and shape index, on every process after the loop.
    """

    def __init__(
        self,
        settings: TrustSettings,
        about: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        after_round: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.settings, self.about, self.folder, self.after_round = settings, dict(about or {}), folder, after_round
        self.records: dict[tuple[int, int], TrustRecord] = {}
        self._memories: tuple[int, dict[int, ScoreMemory]] = (-1, {})
        # After a requeue by SLURM Lightning hands every loop the checkpoint of the runs; the maps have no use for it.
        self.strict_loading = False

    def restore(self, environment: MappedEnvironment, found: Sequence[TrustRecord]) -> int:
        """Keep the finished maps of an earlier start; returns how many."""
        names = {
            (name, shape.class_name, shape.shape_id): (network, number)
            for network, name in enumerate(environment.networks)
            for number, shape in enumerate(environment.shapes)
        }
        self.records |= {names[record.key]: record for record in found if record.key in names}
        return len(self.records)

    def tasks(self, environment: MappedEnvironment, rank: int = 0, processes: int = 1) -> list[MapTask]:
        """The maps of a process: a contiguous slice of those that are missing, ordered by shape."""
        every = [
            (shape, network)
            for shape in range(len(environment.shapes))
            for network in range(len(environment.networks))
            if (network, shape) not in self.records
        ]
        own = every[len(every) * rank // processes : len(every) * (rank + 1) // processes]
        return [
            MapTask(shape, tuple(network for _, network in group))
            for shape, group in groupby(own, lambda place: place[0])
        ]

    def function(self, environment: MappedEnvironment, task: MapTask) -> SemanticFunction:
        """f of some networks of a shape, by their index; it remembers earlier evaluations."""
        functions = {network: environment.rendered_function(network, task.shape) for network in task.networks}
        if self._memories[0] != task.shape:
            self._memories = task.shape, {}
        for network, f in functions.items():
            f.memory = self._memories[1].setdefault(network, ScoreMemory())
        return _NetworksOfShape(functions, self.after_round)

    def memory(self, network: int) -> ScoreMemory:
        """The remembered evaluations of a network on the present shape."""
        return self._memories[1][network]

    def measure(self, environment: MappedEnvironment, task: MapTask) -> list[TrustRecord]:
        """The maps of some networks of a shape, each as it would be alone; none of a shape that cannot be loaded."""
        settings, space, spec = self.settings, environment.space, environment.shapes[task.shape]
        try:
            environment.mesh(task.shape)
        except (ValueError, OSError) as error:
            environment.report_failure(task.shape, error)
            return []
        f = self.function(environment, task)
        stream, size = named_seed(0, spec.class_name, spec.shape_id), environment.micro_batch_size
        maps = trust_maps(
            f,
            space,
            torch.tensor(task.networks),
            settings.grid(space),
            settings.eps,
            settings.alpha,
            settings.error,
            settings.budget(space),
            environment.seed,
            environment.density,
            [stream] * len(task.networks),
            settings.score == "top1",
        )
        return [
            TrustRecord(
                environment.networks[network],
                spec.class_name,
                spec.shape_id,
                tuple(spec.target),
                environment.score if settings.score == "f" else settings.score,
                found,
                settings.budget(space),
                *self._top1(f, network, found, environment),
                environment.weights_sha256.get(network),
                environment.mesh_sha256.get(task.shape),
                size,
                environment.precision,
                self.about,
            )
            for network, found in zip(task.networks, maps, strict=True)
        ]

    def _top1(
        self, f: SemanticFunction, network: int, found: TrustMap, environment: MappedEnvironment
    ) -> tuple[float | None, float | None, float | None]:
        """Rate of right answers over the space, from the first view of every tile, which are known already.

        One view a tile is a stratified sample: a wealth with a fixed bet is the product of one factor a tile, and by
        the inequality of the means its expectation is largest where all tiles have the same rate.
        """
        if environment.density is not None:
            return None, None, None
        first = first_points(found.tiles, found.stream, found.seed)
        _, hits = f.scores_and_hits(first[None], torch.tensor([network]))
        if not bool(hits.isfinite().all()):
            return None, None, None
        low, high = mean_interval(hits, self.settings.alpha)
        return float(hits.mean()), float(low[0]), float(high[0])

    # ---- Lightning

    def predict_dataloader(self) -> ListLoader[MapTask]:
        trainer = self.trainer
        own = self.tasks(trainer.datamodule, trainer.global_rank, trainer.world_size)  # type: ignore[attr-defined]
        # Lightning leaves a process without batches out of the meeting at the end.
        return ListLoader(own or [MapTask(0)])

    def predict_step(self, batch: MapTask, batch_idx: int) -> int:
        """Make some maps of a shape and keep them; returns their evaluations."""
        found = self.measure(self.trainer.datamodule, batch) if batch.networks else []  # type: ignore[attr-defined]
        for network, record in zip(batch.networks, found, strict=False):
            self.records[network, batch.shape] = record
            if self.folder is not None:
                name = hashlib.sha256("\0".join(record.key).encode()).hexdigest()[:20]
                write_records(self.folder / "parts" / f"trust-{name}.jsonl", [record])
        return sum(record.map.evaluations for record in found)

    def on_predict_epoch_end(self) -> None:
        self.trainer.datamodule.gather_failures()  # type: ignore[attr-defined]
        for part in all_gather(self.records):
            self.records |= part


def load_trust_parts(folder: Path) -> list[TrustRecord]:
    """The finished maps of earlier starts; ValueError with the remedy for a part that cannot be read."""
    remedy = "delete it and its map is made again"
    return [
        record for path in sorted((folder / "parts").glob("trust-*.jsonl")) for record in read_records(path, remedy)
    ]


def trusted_start(record: TrustRecord) -> Tensor:
    """The middle (n,) of the largest trusted box of a map, or of the tile with the best mean where none is trusted."""
    boxes, space = record.map.boxes(1), record.map.space
    if len(boxes):
        middle = boxes.center[0]
    else:
        mean = torch.from_numpy(record.map.mean.ravel()).nan_to_num(nan=-1.0)
        best = int(mean.argmax())
        middle = (record.map.tiles.low[best] + record.map.tiles.high[best]) / 2
    turns = ((middle - space.low) / space.extent).floor() * space.extent
    return torch.where(space.periodic, middle - turns, middle)
