"""The datamodule of a job: its tasks, its models, and which process works on which task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from lightning_semrob.evaluation.models import Models
from lightning_semrob.evaluation.tasks import PAPER_INITIAL_POINTS as PAPER_INITIAL_POINTS
from lightning_semrob.evaluation.tasks import TRUSTED, Tasks, make_tasks
from lightning_semrob.functions import RenderedFunction, SemanticFunction
from lightning_semrob.functions.nuisances import Nuisances
from lightning_semrob.networks import Classifier
from lightning_semrob.rendering import RENDERERS, Renderer, Scene
from lightning_semrob.rendering.sweep_space import sweep_space
from lightning_semrob.shapes import ShapeSpec
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.sharing.work import RoundLoader, TaskBatch, Work
from lightning_semrob.utilities.distributed import all_gather
from lightning_semrob.utilities.loaders import ListLoader
from lightning_semrob.verification.region import AxisDensity, box_mass

#: Names of the job's sections in the report of the Trainer's profiler begin with this.
PROFILED = "[semrob]"


class SemanticEnvironment(pl.LightningDataModule):
    """Everything that f is made of, and the table of tasks: shape x network x initial point.

    Args:
        networks: names as in :func:`lightning_semrob.networks.network_spec`.
        shapes: specifications as in :func:`lightning_semrob.shapes.resolve_shapes`.
        space: swept axes: names, or name -> [low, high]; everything else keeps the renderer's default.
        initial_points: number of scrambled Sobol points per shape, ``paper`` for the paper's four points, the points
            themselves (in the units of the axes), or ``trusted`` for one point a network and shape, the middle of the
            largest trusted box of its trust map.
        renderer: the renderer, or ``rasterizer`` (the built-in one) or ``pytorch3d`` with their defaults.
        image_size: side of the rendered image in pixels, where ``renderer`` is given by a name.
        score: ``softmax``, ``margin`` or ``top1``.
        gradient: ``analytic``, through renderer and network, or ``finite`` for central differences of f with steps of
            1 degree (1 % of an axis in another unit), which every renderer and score has, at 2n + 1 evaluations.
        micro_batch_size: images in every network call, the last one padded; a small one pads less where few runs are
            left, and costs no more an image on CPU. Halved when memory runs out.
        precision: of the networks, ``32``, ``tf32`` (which rounds on CUDA only), or ``bf16`` or ``16`` by autocast;
            rendering, bounds and statistics keep theirs. The change in f is measured and reported.
        runtime: what computes logits without gradients: ``torch``, ``onnxruntime``, or ``auto`` for ONNX Runtime on a
            CPU where it agrees with torch (:func:`~lightning_semrob.networks.runtime.with_runtime`).
        class_table: a yaml or JSON file that adds classes, see
            :func:`lightning_semrob.shapes.classes.read_class_table`.
        density: axis -> how often its values occur in operation, weights of equal bins over its range (most views
            come from the front, say); weighs mean, variance and volume. Axes that are not named are uniform.
        seed: fixes the initial points and everything random.
        scene: what stands around the shapes, where ``renderer`` is given by a name.
        nuisances: number of draws of background and light over which f is the mean, the same for all networks and
            shapes; 0 for none. Each evaluation of f then takes as many renderings.
    """

    def __init__(
        self,
        networks: Sequence[str] = ("efficientnet_lite0", "efficientnet_lite1"),
        shapes: Sequence[str] = ("teapot", "park_bench"),
        space: dict[str, list[float] | None] | list[str] | None = None,
        initial_points: int | str | list[list[float]] = 2,
        renderer: Renderer | Literal["rasterizer", "pytorch3d"] = "rasterizer",
        image_size: int = 224,
        score: str = "softmax",
        gradient: str = "analytic",
        micro_batch_size: int = 4,
        precision: str = "32",
        runtime: str = "auto",
        class_table: str | None = None,
        density: dict[str, list[float]] | None = None,
        seed: int = 0,
        scene: Scene | None = None,
        nuisances: int = 0,
    ) -> None:
        super().__init__()
        self.networks = list(networks)
        if not self.networks:
            raise ValueError("data.networks is empty: name at least one network")
        if len(set(self.networks)) != len(self.networks):
            raise ValueError(f"data.networks names a network twice: {self.networks}")
        self.shape_specs = list(shapes)
        if not self.shape_specs:
            raise ValueError("data.shapes is empty: name at least one shape")
        if isinstance(renderer, Renderer):
            if scene is not None:
                raise ValueError("data.scene is of a renderer that is given by its name: write data.renderer.scene")
            self.renderer = renderer
        else:
            self.renderer = RENDERERS[renderer](image_size, scene=scene)
        self.space = sweep_space(self.renderer, space if space is not None else ["azimuth", "elevation"])
        self.class_table = class_table
        self.density: list[AxisDensity | None] | None = None
        if density is not None:
            unknown = sorted(set(density) - set(self.space.names))
            if unknown:
                raise ValueError(f"data.density names {unknown}, which the space {self.space.names} does not sweep")
            self.density = [AxisDensity(density[name]) if name in density else None for name in self.space.names]
        self.seed = seed
        self.initial_points = initial_points
        self.failures: dict[str, str] = {}
        self._device: torch.device | None = None
        self._work: Work | None = None
        self._tasks: Tasks | None = None
        self.nuisances = Nuisances.draw(self.renderer, self.space.names, nuisances, seed) if nuisances else None
        self.models = Models(
            self.networks,
            self.renderer,
            self.space,
            score,
            gradient,
            micro_batch_size,
            str(precision),
            runtime,
            lambda: self.device,
            self.watch,
            self.nuisances,
        )
        self.score, self.gradient, self.precision = score, gradient, self.models.precision
        self.pictures, self.micro_batch = self.models.pictures, self.models.micro_batch
        #: SHA-256 of the weights of each network and of each mesh, by index, as they were when they were first loaded.
        self.weights_sha256, self.mesh_sha256 = self.models.weights_sha256, self.models.mesh_sha256

    # ---- tasks

    def setup(self, stage: str | None = None) -> None:
        """Resolve names and make the task table; every mistake in names, files or points is raised here."""
        if self._tasks is None:
            specs, points, table = self.shape_specs, self.initial_points, self.class_table
            self._tasks = make_tasks(self.networks, specs, self.space, points, self.seed, table)
            self.models.shapes = self._tasks.shapes

    @property
    def tasks(self) -> Tasks:
        """The table of tasks, empty before :meth:`setup`."""
        return self._tasks or Tasks([], len(self.networks), 0, torch.zeros(0, len(self.space), dtype=torch.float64))

    @property
    def starts_trusted(self) -> bool:
        """Whether the initial points come from the trust maps of the job (:meth:`start_from`)."""
        return self.initial_points == TRUSTED

    def start_from(self, starts: Mapping[tuple[int, int], Tensor]) -> None:
        """Set the initial points (n,) by network and shape; a shape without any keeps the middle of the space."""
        u0 = self.tasks.u0.clone()
        for row in range(len(u0)):
            shape, network, _ = self.describe(row)
            u0[row] = starts.get((network, shape), u0[row])
        self._tasks = replace(self.tasks, u0=u0)

    @property
    def shapes(self) -> list[ShapeSpec]:
        """What is looked at."""
        return self.tasks.shapes

    @property
    def u0(self) -> Tensor:
        """Initial points of all tasks, (N, n) float64."""
        return self.tasks.u0

    @property
    def points_per_shape(self) -> int:
        """Initial points of every shape."""
        return self.tasks.points

    def __len__(self) -> int:
        """Number of tasks."""
        return len(self.u0)

    def describe(self, row: int) -> tuple[int, int, int]:
        """Shape, network and initial point of a row of the table."""
        return self.tasks.describe(row)

    def names_of(self, row: int) -> tuple[str, str, str]:
        """Network, class and shape of a row of the table; its random streams depend on them."""
        shape, network, _ = self.describe(row)
        return self.networks[network], self.shapes[shape].class_name, self.shapes[shape].shape_id

    @property
    def class_names(self) -> list[str]:
        """Class names of the shapes, each once, in order."""
        return list(dict.fromkeys(shape.class_name for shape in self.shapes))

    def class_of(self, shape: int) -> int:
        """Index of the class of a shape in ``class_names``."""
        return self.class_names.index(self.shapes[shape].class_name)

    @property
    def work(self) -> Work:
        """How the processes of the Trainer share the rows."""
        rank, processes = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        if self._work is None or (self._work.rank, self._work.processes) != (rank, processes):
            self._work = Work(*self.tasks.groups(), rank, processes, self.device)
        return self._work

    def batches(self) -> list[TaskBatch]:
        """The rows that this process worked on, one batch a (network, shape) group."""
        groups: dict[tuple[int, int], list[int]] = {}
        for row in self.work.owned.nonzero().flatten().tolist():
            shape, network, _ = self.describe(row)
            groups.setdefault((network, shape), []).append(row)
        return [TaskBatch(network, shape, torch.tensor(rows)) for (network, shape), rows in groups.items()]

    def volume_ratio(self, a: Tensor, b: Tensor) -> Tensor:
        """Volume of boxes (R, n) inside the space over that of the space, or their mass under the density, (R,)."""
        if self.density is None:
            return self.space.intersected_volume(a, b) / self.space.volume
        low, high, periodic = self.space.low, self.space.high, self.space.periodic
        low, high = torch.where(periodic, a, torch.maximum(a, low)), torch.where(periodic, b, torch.minimum(b, high))
        return box_mass(low, high, self.space, self.density)

    def report_failure(self, shape: int, error: Exception) -> None:
        """Note that a shape could not be measured, and say so once."""
        self._note_failure(self._name(shape), str(error))

    def _name(self, shape: int) -> str:
        """The id of a shape, with its class where another class has the same id."""
        spec = self.shapes[shape]
        twins = sum(other.shape_id == spec.shape_id for other in self.shapes) > 1
        return f"{spec.class_name}/{spec.shape_id}" if twins else spec.shape_id

    def _note_failure(self, name: str, reason: str) -> None:
        if name not in self.failures:
            self.failures[name] = reason
            rank_zero_warn(f"shape '{name}' is not measured: {reason}")

    def gather_failures(self) -> None:
        """Learn what other processes could not measure, or draw differently from its file; a collective."""
        for failures, notes in all_gather((self.failures, self.models.notes)):
            for name, reason in failures.items():
                self._note_failure(name, reason)
            self.models.notes |= notes

    def notes(self) -> dict[str, list[str]]:
        """What is drawn differently from a shape's file, by the shape's name; shapes without notes are left out."""
        return {self._name(shape): list(notes) for shape, notes in sorted(self.models.notes.items()) if notes}

    # ---- f

    @property
    def differentiable(self) -> bool:
        """Whether f has a gradient along every swept axis."""
        return not self.without_gradient

    @property
    def without_gradient(self) -> str:
        """What f has no gradient along or through, in words; empty where it has one along every swept axis."""
        return self.models.without_gradient

    @property
    def device(self) -> torch.device:
        """Where rendering and networks run: the device that was set, else the Trainer's, else the CPU."""
        if self._device is not None:
            return self._device
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    @device.setter
    def device(self, device: torch.device | str) -> None:
        self._device = torch.device(device)

    def classifier(self, network: int) -> Classifier:
        """The network by index, built at first use, on the device."""
        return self.models.classifier(network)

    def mesh(self, shape: int) -> Mesh:
        """The mesh by index, on the device; raises ValueError or OSError where its file is broken or gone."""
        return self.models.mesh(shape)

    def function(self, network: int, shape: int) -> SemanticFunction:
        """f of one network and shape, with the gradient of ``gradient``."""
        return self.models.function(network, shape)

    def rendered_function(self, network: int, shape: int) -> RenderedFunction:
        """f of one network and shape, with its own gradient."""
        return self.models.rendered_function(network, shape)

    @property
    def fixed(self) -> dict[str, dict[str, float | str]]:
        """Value and unit of every parameter of the renderer that is neither swept nor drawn."""
        moving = (*self.space.names, *(self.nuisances.names if self.nuisances else ()))
        table = self.renderer.semantic_parameters.items()
        return {name: {"value": p.default, "unit": p.axis.unit} for name, p in table if name not in moving}

    @property
    def draws(self) -> int:
        """Renderings of an evaluation of f, one for each draw of nuisances."""
        return 1 if self.nuisances is None else len(self.nuisances)

    @property
    def micro_batch_size(self) -> int:
        """Images in every network call, now."""
        return self.micro_batch.size

    def watch(self, section: str) -> AbstractContextManager[Any]:
        """A context in which the Trainer's profiler times a section of the work."""
        if self.trainer is None:
            return nullcontext()
        trainer: Any = self.trainer
        context: AbstractContextManager[Any] = trainer.profiler.profile(f"{PROFILED}{section}")
        return context

    # ---- Lightning

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are row numbers: they stay where they are."""
        return batch

    def train_dataloader(self) -> RoundLoader:
        """Rounds of work until no process has any left; the rows are divided anew."""
        self._work = None
        return RoundLoader()

    def test_dataloader(self) -> ListLoader[TaskBatch]:
        """Every owned group once; empty batches at the end give all processes the same number."""
        batches = self.batches()
        waiting = TaskBatch(0, 0, torch.zeros(0, dtype=torch.int64))
        return ListLoader(batches + [waiting] * (max(all_gather(len(batches))) - len(batches)))

    def predict_dataloader(self) -> Any:
        assert self.trainer is not None
        module: Any = self.trainer.lightning_module
        return module.predict_dataloader()
