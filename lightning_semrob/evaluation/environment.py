"""Renderer, classifiers, shapes and initial points of a run, in the manner of a DataModule."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from lightning_semrob.functional.scores import SCORES
from lightning_semrob.functions import FiniteDifference, RenderedFunction, SemanticFunction
from lightning_semrob.functions.micro_batch import MicroBatch
from lightning_semrob.functions.precision import AUTOCAST
from lightning_semrob.networks import Classifier, NetworkSpec, build_network, network_spec
from lightning_semrob.networks.folding import fold_batch_norms
from lightning_semrob.networks.sources import UserCallable
from lightning_semrob.rendering import RENDERERS, Renderer
from lightning_semrob.rendering.cache import CachedRenderer
from lightning_semrob.shapes import ShapeSpec, resolve_shapes
from lightning_semrob.shapes.classes import CLASS_TABLE, read_class_table
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.sharing.work import RoundLoader, TaskBatch, Work
from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.utilities.distributed import all_gather
from lightning_semrob.utilities.loaders import ListLoader
from lightning_semrob.utilities.messages import unknown_name
from lightning_semrob.verification.region import AxisDensity, box_mass

__all__ = ["PAPER_INITIAL_POINTS", "PROFILED", "SemanticEnvironment", "TaskBatch", "sweep_space"]

#: The four constant initial points of the paper's runs, (azimuth, elevation) in degrees.
PAPER_INITIAL_POINTS = ((130.0, 30.0), (50.0, 20.0), (200.0, 15.0), (310.0, 50.0))

#: Where gradients come from.
GRADIENTS = ("analytic", "finite")

#: Sections of the work begin with it in the report of the Trainer's profiler.
PROFILED = "[semrob]"

#: Meshes kept on the device at a time: shapes are visited one after the other.
_KEPT_MESHES = 4


def sweep_space(renderer: Renderer, axes: Mapping[str, Sequence[float] | None] | Sequence[str]) -> SemanticSpace:
    """The swept space from axis names, with a narrower range where one is given.

    Args:
        renderer: knows the widest range, unit and periodicity of every axis.
        axes: names, or name -> ``[low, high]`` (None for the renderer's range). A narrowed periodic axis is no
            longer periodic.

    Raises:
        ValueError: an unknown axis, or an empty or inverted range.
    """
    ranges: Mapping[str, Sequence[float] | None] = axes if isinstance(axes, Mapping) else dict.fromkeys(axes)
    if not ranges:
        raise ValueError(f"the space needs at least one axis of {sorted(renderer.semantic_parameters)}")
    swept = []
    for name, limits in ranges.items():
        known = renderer.space(name).axes[0]
        if limits is None:
            swept.append(known)
            continue
        if len(limits) != 2:
            raise ValueError(f"the range of axis '{name}' must be [low, high], got {list(limits)}")
        low, high = float(limits[0]), float(limits[1])
        periodic = known.periodic and abs((high - low) - known.extent) < 1e-9
        swept.append(Axis(name, low, high, known.unit, periodic, known.differentiable))
    return SemanticSpace(tuple(swept))


def _check_targets(specs: Sequence[NetworkSpec], shapes: Sequence[ShapeSpec]) -> None:
    """Refuse a class that a network has no output for; of a callable only its network itself knows how many it has."""
    for spec, shape in itertools.product(specs, shapes):
        if max(shape.target) >= spec.num_classes and not isinstance(spec.build, UserCallable):
            raise ValueError(
                f"class '{shape.class_name}' is output {max(shape.target)}, and network '{spec.name}' has "
                f"{spec.num_classes} outputs: give the indices of its classes in data.class_table, or leave one out"
            )


def _seed_for(seed: int, *parts: str) -> int:
    """A seed that depends on the run's seed and on names only, not on what else is in the run."""
    digest = hashlib.sha256("\0".join((str(seed), *parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class SemanticEnvironment(pl.LightningDataModule):
    """Everything that f is made of, and the table of tasks: shape x network x initial point.

    Args:
        networks: names as in :func:`lightning_semrob.networks.network_spec`.
        shapes: specifications as in :func:`lightning_semrob.shapes.resolve_shapes`.
        space: swept axes: names, or name -> [low, high]; everything else keeps the renderer's default.
        initial_points: number of scrambled Sobol points per shape, ``paper`` for the paper's four points, or the
            points themselves (in the units of the axes).
        renderer: the renderer, or ``rasterizer`` (the built-in one) or ``pytorch3d`` with their defaults.
        image_size: side of the rendered image in pixels, where ``renderer`` is given by a name.
        score: ``softmax``, ``margin`` or ``top1``.
        gradient: ``analytic``, through renderer and network, or ``finite`` for central differences of f with steps of
            1 degree (1 % of an axis in another unit), which every renderer and score has, at 2n + 1 evaluations.
        micro_batch_size: images in every network call, the last one padded; a small one pads less where few runs are
            left, and costs no more an image on CPU. Halved when memory runs out.
        precision: of the networks, ``32``, ``tf32`` (which rounds on CUDA only), or ``bf16`` or ``16`` by autocast;
            rendering, bounds and statistics keep theirs. The change in f is measured and reported.
        class_table: a yaml or JSON file that adds classes, see
            :func:`lightning_semrob.shapes.classes.read_class_table`.
        density: axis -> how often its values occur in operation, weights of equal bins over its range (most views
            come from the front, say); weighs mean, variance and volume. Axes that are not named are uniform.
        seed: fixes the initial points and everything random.
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
        micro_batch_size: int = 8,
        precision: str = "32",
        class_table: str | None = None,
        density: dict[str, list[float]] | None = None,
        seed: int = 0,
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
        self.renderer = renderer if isinstance(renderer, Renderer) else RENDERERS[renderer](image_size)
        # Networks of one shape follow each other and start from the same points: each picture is made once.
        self.pictures = CachedRenderer(self.renderer)
        self.space = sweep_space(self.renderer, space if space is not None else ["azimuth", "elevation"])
        if score not in SCORES:
            raise ValueError(unknown_name("score", score, sorted(SCORES)))
        if gradient not in GRADIENTS:
            raise ValueError(unknown_name("gradient", gradient, GRADIENTS))
        self.class_table = class_table
        self.score = score
        self.gradient = gradient
        self.density: list[AxisDensity | None] | None = None
        if density is not None:
            unknown = sorted(set(density) - set(self.space.names))
            if unknown:
                raise ValueError(f"data.density names {unknown}, which the space {self.space.names} does not sweep")
            self.density = [AxisDensity(density[name]) if name in density else None for name in self.space.names]
        if str(precision) not in AUTOCAST:
            raise ValueError(f"unknown precision '{precision}' of the networks: {list(AUTOCAST)}")
        self.precision = str(precision)
        self.micro_batch = MicroBatch(micro_batch_size)
        self.seed = seed
        self.initial_points = initial_points
        self.shapes: list[ShapeSpec] = []
        self.u0 = torch.zeros(0, len(self.space), dtype=torch.float64)
        self.points_per_shape = 0
        self.failures: dict[str, str] = {}
        #: SHA-256 of the weights of each network and of each mesh, by index, as they were when they were first loaded.
        self.weights_sha256: dict[int, str] = {}
        self.mesh_sha256: dict[int, str] = {}
        self._classifiers: dict[int, Classifier] = {}
        self._folded: dict[int, Classifier] = {}
        self._meshes: dict[int, Mesh] = {}
        self._device: torch.device | None = None
        self._kept_on = self.device
        self._work: Work | None = None

    # ---- tasks

    def setup(self, stage: str | None = None) -> None:
        """Resolve names and make the task table; every mistake in names, files or points is raised here."""
        if self.shapes:
            return
        specs = [network_spec(name) for name in self.networks]
        added = {} if self.class_table is None else read_class_table(self.class_table)
        self.shapes = resolve_shapes(self.shape_specs, CLASS_TABLE | added)
        _check_targets(specs, self.shapes)
        points = torch.stack([self._points_of(shape) for shape in self.shapes])  # shapes, points, axes
        self.space.validate(points.flatten(0, 1))
        self.points_per_shape = points.shape[1]
        self.u0 = points[:, None].expand(-1, len(self.networks), -1, -1).flatten(0, 2)

    def _points_of(self, shape: ShapeSpec) -> Tensor:
        if isinstance(self.initial_points, int):
            if self.initial_points < 1:
                raise ValueError(f"initial_points must be at least 1, got {self.initial_points}")
            return self.space.sobol(self.initial_points, _seed_for(self.seed, shape.class_name, shape.shape_id))
        if isinstance(self.initial_points, str):
            if self.initial_points != "paper":
                raise ValueError(f"initial_points must be a number, 'paper' or points, got '{self.initial_points}'")
            if set(self.space.names) != {"azimuth", "elevation"}:
                raise ValueError(f"the paper's points need azimuth and elevation; the space is {self.space.names}")
            order = [self.space.names.index(name) for name in ("azimuth", "elevation")]
            return torch.tensor(PAPER_INITIAL_POINTS, dtype=torch.float64)[:, order]
        points = torch.tensor(self.initial_points, dtype=torch.float64)
        if points.dim() != 2 or points.shape[1] != len(self.space):
            raise ValueError(
                f"initial_points must be a list of points ({', '.join(self.space.names)}), got {self.initial_points}"
            )
        return points

    def __len__(self) -> int:
        """Number of tasks."""
        return len(self.u0)

    def describe(self, row: int) -> tuple[int, int, int]:
        """Shape, network and initial point of a row of the table."""
        group, point = divmod(row, self.points_per_shape)
        shape, network = divmod(group, len(self.networks))
        return shape, network, point

    @property
    def class_names(self) -> list[str]:
        """Class names of the shapes, each once, in order."""
        return list(dict.fromkeys(shape.class_name for shape in self.shapes))

    def class_of(self, shape: int) -> int:
        """Index of the class of a shape in ``class_names``."""
        return self.class_names.index(self.shapes[shape].class_name)

    def owned_rows(self, device: torch.device | str = "cpu") -> Tensor:
        """Which rows this process worked on, (N,) bool."""
        return self.work.owned.to(device)

    @property
    def work(self) -> Work:
        """How the processes of the Trainer share the rows."""
        if self._work is None or (self._work.rank, self._work.processes) != self._place():
            self._work = self._work_of(*self._place())
        return self._work

    def _work_of(self, rank: int, world_size: int) -> Work:
        groups = torch.arange(len(self)) // self.points_per_shape
        networks = len(self.networks)
        return Work(groups // networks, groups % networks, rank, world_size, self.device)

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

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
        self._note_failure(self.shapes[shape].shape_id, str(error))

    def _note_failure(self, name: str, reason: str) -> None:
        if name not in self.failures:
            self.failures[name] = reason
            rank_zero_warn(f"shape '{name}' is not measured: {reason}")

    def gather_failures(self) -> None:
        """Note what the other processes could not measure; a collective."""
        for part in all_gather(self.failures):
            for name, reason in part.items():
                self._note_failure(name, reason)

    # ---- f

    @property
    def differentiable(self) -> bool:
        """Whether f has a gradient along every swept axis."""
        return not self.without_gradient

    @property
    def without_gradient(self) -> str:
        """What f has no gradient along or through, in words; empty where it has one along every swept axis."""
        if self.gradient == "finite":
            return ""
        if not self.renderer.differentiable:
            return f"the renderer {type(self.renderer).__name__}"
        if self.score == "top1":
            return "the score 'top1'"
        return ", ".join(f"the axis '{axis.name}'" for axis in self.space if not axis.differentiable)

    @property
    def device(self) -> torch.device:
        """Where rendering and networks run: what it is set to, or the Trainer's device, or the CPU."""
        if self._device is not None:
            return self._device
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    @device.setter
    def device(self, device: torch.device | str) -> None:
        self._device = torch.device(device)

    def _leave_old_device(self) -> None:
        """Forget what is kept on a device that was left."""
        if self._kept_on != self.device:
            self._kept_on = self.device
            self._classifiers.clear()
            self._folded.clear()
            self._meshes.clear()

    @torch.inference_mode(False)
    def classifier(self, network: int) -> Classifier:
        """The network by index, built at first use, on the device."""
        self._leave_old_device()
        if network not in self._classifiers:
            classifier = build_network(self.networks[network])
            self.weights_sha256.setdefault(network, classifier.weights_sha256)
            self._classifiers[network] = classifier.to(self.device)
        return self._classifiers[network]

    @torch.inference_mode(False)
    def _fast_classifier(self, network: int) -> Classifier:
        """The same network with its batch normalisations folded into convolutions."""
        self._leave_old_device()
        if network not in self._folded:
            classifier = self.classifier(network)
            grey = torch.full((2, 3, *[classifier.spec.input_size] * 2), 0.5)
            grey[1] = torch.rand(grey[1].shape, generator=torch.Generator().manual_seed(0))
            backbone = fold_batch_norms(classifier.backbone, classifier.preprocess(grey.to(self.device)))
            self._folded[network] = (
                classifier if backbone is classifier.backbone else Classifier(classifier.spec, backbone).to(self.device)
            )
        return self._folded[network]

    @property
    def micro_batch_size(self) -> int:
        """Images in every network call, now."""
        return self.micro_batch.size

    def watch(self, section: str) -> AbstractContextManager[Any]:
        """A context in which the Trainer's profiler sees a part of the work."""
        if self.trainer is None:
            return nullcontext()
        trainer: Any = self.trainer
        context: AbstractContextManager[Any] = trainer.profiler.profile(f"{PROFILED}{section}")
        return context

    @torch.inference_mode(False)
    def mesh(self, shape: int) -> Mesh:
        """The mesh by index, on the device; the last few are kept.

        Raises:
            ValueError, OSError: the file is broken or gone.
        """
        self._leave_old_device()
        if shape not in self._meshes:
            while len(self._meshes) >= _KEPT_MESHES:
                self._meshes.pop(next(iter(self._meshes)))
            mesh = self.shapes[shape].load()
            if shape not in self.mesh_sha256:
                self.mesh_sha256[shape] = mesh.sha256
            self._meshes[shape] = mesh.to(self.device)
        return self._meshes[shape]

    def function(self, network: int, shape: int) -> SemanticFunction:
        """f of one network and shape, with the gradient of ``gradient``."""
        f = self.rendered_function(network, shape)
        return FiniteDifference.of(f, self.space) if self.gradient == "finite" else f

    def rendered_function(self, network: int, shape: int) -> RenderedFunction:
        """f of one network and shape, with its own gradient."""
        return RenderedFunction(
            self.pictures.to(self.device),
            self._fast_classifier(network),
            self.mesh(shape),
            self.shapes[shape].target,
            self.space,
            self.score,
            self.micro_batch,
            AUTOCAST[self.precision],
            self.watch,
        )

    # ---- Lightning

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are row numbers: they stay where they are."""
        return batch

    def train_dataloader(self) -> RoundLoader:
        """Rounds of work until no process has any left; a new division of the rows."""
        self._work = None
        return RoundLoader()

    def test_dataloader(self) -> ListLoader[TaskBatch]:
        """Every owned group once; the same number of batches on every process, the tail empty."""
        batches = self.batches()
        waiting = TaskBatch(0, 0, torch.zeros(0, dtype=torch.int64))
        return ListLoader(batches + [waiting] * (max(all_gather(len(batches))) - len(batches)))

    def predict_dataloader(self) -> Any:
        """The batches that the module makes (:class:`lightning_semrob.maps.SemanticMapper`)."""
        assert self.trainer is not None
        module: Any = self.trainer.lightning_module
        return module.predict_dataloader()
