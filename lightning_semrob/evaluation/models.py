"""Networks and meshes of a job, which are loaded when they are first used, and the f that they make."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.functional.scores import SCORES
from lightning_semrob.functions import FiniteDifference, RenderedFunction, SemanticFunction
from lightning_semrob.functions.memory import ScoreMemory
from lightning_semrob.functions.micro_batch import MicroBatch
from lightning_semrob.functions.nuisances import Nuisances
from lightning_semrob.functions.precision import AUTOCAST
from lightning_semrob.functions.visibility import check_visible
from lightning_semrob.networks import Classifier, build_network
from lightning_semrob.networks.inference import for_inference
from lightning_semrob.networks.probe import probe_network
from lightning_semrob.networks.runtime import RUNTIMES, OnnxClassifier, Runtime
from lightning_semrob.rendering import Renderer
from lightning_semrob.rendering.cache import CachedRenderer
from lightning_semrob.shapes import ShapeSpec
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.messages import unknown_name
from lightning_semrob.utilities.origin import Origin

#: Where gradients come from.
GRADIENTS = ("analytic", "finite")

#: Meshes kept on the device at a time: shapes are visited one after the other.
_KEPT_MESHES = 4

#: Groups (network, shape) whose scores are remembered at a time.
_KEPT_MEMORIES = 16

#: Pictures on which a network is probed and its runtime is compared with torch.
_COMPARED = 4


@dataclass(frozen=True)
class ReadyNetwork:
    """What the first process tells the others about a network: its runtime, and its backbone as exported for it."""

    runtime: Runtime
    model: bytes | None = None


class Models:
    """The networks, meshes and functions of a job.

    Args:
        networks, renderer, score, gradient, micro_batch_size, precision, runtime: as of the environment.
        space: the swept axes.
        device: returns where rendering and networks run. When it changes, everything on the old device is dropped.
        watch: makes the context in which a section of the work runs.
        nuisances: draws over which f is the mean; None for none.

    Attributes:
        shapes: the shapes of the job; the environment sets them.
        weights_sha256, mesh_sha256: of each network and mesh, by index, as they were when they were first loaded.
        notes: by index of the shape, what is drawn differently from its file.
        ready: by index, the networks that were probed and given their runtime.
        probed: pictures that networks were shown for it.
    """

    def __init__(
        self,
        networks: Sequence[str],
        renderer: Renderer,
        space: SemanticSpace,
        score: str,
        gradient: str,
        micro_batch_size: int,
        precision: str,
        runtime: str,
        device: Callable[[], torch.device],
        watch: Callable[[str], AbstractContextManager[Any]],
        nuisances: Nuisances | None = None,
    ) -> None:
        if score not in SCORES:
            raise ValueError(unknown_name("score", score, sorted(SCORES)))
        if gradient not in GRADIENTS:
            raise ValueError(unknown_name("gradient", gradient, GRADIENTS))
        if precision not in AUTOCAST:
            raise ValueError(f"unknown precision '{precision}' of the networks: {list(AUTOCAST)}")
        if runtime not in RUNTIMES:
            raise ValueError(unknown_name("runtime", runtime, RUNTIMES))
        if AUTOCAST[precision] is not None and runtime == "onnxruntime":
            raise ValueError(f"data.runtime=onnxruntime computes in float32: leave out data.precision={precision}")
        self.networks, self.renderer, self.space = list(networks), renderer, space
        self.score, self.gradient, self.precision = score, gradient, precision
        self.runtime = runtime if AUTOCAST[precision] is None else "torch"
        # Networks of one shape follow each other and start from the same points: each picture is made once.
        self.pictures = CachedRenderer(renderer)
        self.micro_batch = MicroBatch(micro_batch_size)
        self.shapes: list[ShapeSpec] = []
        self.weights_sha256: dict[int, str] = {}
        self.mesh_sha256: dict[int, str] = {}
        self.notes: dict[int, tuple[str, ...]] = {}
        self._unreadable: dict[int, str] = {}
        self._device, self._watch, self._nuisances = device, watch, nuisances
        self._kept_on = device()
        self._classifiers: dict[int, Classifier] = {}
        self._fast: dict[int, Classifier] = {}
        self._memories: OrderedDict[tuple[int, int], ScoreMemory] = OrderedDict()
        self.ready: dict[int, ReadyNetwork] = {}
        self.probed = 0
        self._forgotten = 0
        self._meshes: dict[int, Mesh] = {}

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

    def _move(self) -> torch.device:
        """The device; what is kept on another one is dropped."""
        device = self._device()
        if self._kept_on != device:
            self._kept_on = device
            for kept in (self._classifiers, self._fast, self._meshes, self._memories, self.ready):
                kept.clear()
        return device

    @torch.inference_mode(False)
    def classifier(self, network: int) -> Classifier:
        """The network by index, built at first use, on the device."""
        device = self._move()
        if network not in self._classifiers:
            classifier = build_network(self.networks[network])
            self._check_outputs(classifier)
            self.weights_sha256.setdefault(network, classifier.weights_sha256)
            self._classifiers[network] = classifier.to(device)
        return self._classifiers[network]

    @torch.inference_mode(False)
    def _fast_classifier(self, network: int) -> Classifier:
        """The same network, probed, folded, and with its runtime."""
        self._move()
        if network not in self._fast:
            classifier, pictures = self.classifier(network), self._pictures()
            known = self.ready.get(network)
            if known is None:
                self.probed += probe_network(classifier, pictures)
                fast, runtime = for_inference(classifier, pictures, self.runtime)
                model = fast.model if isinstance(fast, OnnxClassifier) else None
                self.ready[network] = ReadyNetwork(runtime, model)
            else:
                fast, _ = for_inference(classifier, pictures, known.runtime.name, known.model)
            self._fast[network] = fast
        return self._fast[network]

    def _pictures(self) -> Tensor:
        """Pictures of the job: Sobol points of the space, of the first shape that can be read."""
        u = self.space.sobol(_COMPARED, 0)
        for shape in range(len(self.shapes)):
            try:
                mesh = self.mesh(shape)
            except (ValueError, OSError):
                continue  # its runs say so
            with torch.no_grad():
                pictures: Tensor = self.renderer(mesh, u.to(self._device()), self.space.names)
            return pictures
        size = self.renderer.image_size
        return torch.rand(_COMPARED, 3, size, size, generator=torch.Generator().manual_seed(0)).to(self._device())

    def make_ready(self) -> dict[int, ReadyNetwork]:
        """Load every network, probe it and choose its runtime, before any work; raises where one cannot be used."""
        for network in range(len(self.networks)):
            self._fast_classifier(network)
        return self.ready

    def _check_outputs(self, classifier: Classifier) -> None:
        """Refuse a class that a network, which says only now how many outputs it has, has none for."""
        for shape in self.shapes:
            if max(shape.target) >= classifier.spec.num_classes:
                raise ValueError(
                    f"class '{shape.class_name}' is output {max(shape.target)}, and network '{classifier.spec.name}' "
                    f"has {classifier.spec.num_classes} outputs: give the indices of its classes in data.class_table, "
                    "or leave one out"
                )

    def check_gradient(self, network: int) -> None:
        """Raise ValueError for a network whose outputs pass no gradient on to the picture, where that is asked for."""
        if self.gradient == "analytic":
            classifier = self.classifier(network)
            picture = self._pictures()[:1].requires_grad_(True)
            with torch.enable_grad():
                if not classifier(picture).requires_grad:
                    raise ValueError(
                        f"network '{classifier.spec.name}' passes no gradient on to its picture (torch.no_grad or "
                        "detach in its forward?): use --data.gradient=finite, or finders that need none"
                    )

    @torch.inference_mode(False)
    def mesh(self, shape: int) -> Mesh:
        """The mesh by index, on the device. The last few are kept; an unusable one is not read again.

        ValueError: the file is broken or gone, or shows nothing.
        """
        device = self._move()
        if shape in self._unreadable:
            raise ValueError(self._unreadable[shape])
        if shape not in self._meshes:
            while len(self._meshes) >= _KEPT_MESHES:
                self._meshes.pop(next(iter(self._meshes)))
            try:
                self._meshes[shape] = self._load(shape, device)
            except (ValueError, OSError) as error:
                self._unreadable[shape] = str(error)
                raise ValueError(str(error)) from error
        return self._meshes[shape]

    def _load(self, shape: int, device: torch.device) -> Mesh:
        spec = self.shapes[shape]
        mesh = spec.load()
        if shape not in self.mesh_sha256:
            self.mesh_sha256[shape] = mesh.sha256
        mesh = mesh.to(device)
        if shape not in self.notes:
            seen = check_visible(self.renderer.to(device), mesh, self.space) if spec.from_file else None
            self.notes[shape] = mesh.notes if seen is None else (*mesh.notes, seen)
        return mesh

    def origin(self, network: int, shape: int) -> Origin:
        """What decides the numbers of a network on a shape, as it was first loaded; raises as loading does."""
        if network not in self.ready or network not in self.weights_sha256:
            self._fast_classifier(network)
        if shape not in self.mesh_sha256:
            self.mesh(shape)
        spec = self.shapes[shape]
        return Origin(
            self.networks[network],
            self.weights_sha256[network],
            self.ready[network].runtime.name,
            spec.class_name,
            spec.shape_id,
            tuple(spec.target),
            self.mesh_sha256[shape],
            f"{type(self.renderer).__name__} of {self.renderer.version}",
        )

    def check_origin(self, known: Origin, config: str, path: Path) -> None:
        """Refuse results in ``path`` of other weights, meshes or outputs than those of now; others are left alone.

        ValueError names what has changed, or cannot be loaded any more.
        """
        shapes = [(spec.class_name, spec.shape_id) for spec in self.shapes]
        if (known.class_name, known.shape_id) not in shapes or known.network not in self.networks:
            return
        try:
            shape = shapes.index((known.class_name, known.shape_id))
            now = self.origin(self.networks.index(known.network), shape)
        except (ValueError, OSError) as error:
            raise ValueError(
                f"'{path}' holds results of network '{known.network}' and shape '{known.shape_id}', one of which "
                f"cannot be loaded now ({error}): mend that, or choose another --output"
            ) from error
        known.check(now.with_config(config), path)

    def rendered_function(self, network: int, shape: int) -> RenderedFunction:
        """f of one network and shape, with its own gradient and no memory."""
        return RenderedFunction(
            self.pictures.to(self._device()),
            self._fast_classifier(network),
            self.mesh(shape),
            self.shapes[shape].target,
            self.space,
            self.score,
            self.micro_batch,
            AUTOCAST[self.precision],
            self._watch,
            nuisances=self._nuisances,
        )

    def memory(self, network: int, shape: int) -> ScoreMemory:
        """The memory of f of one network and shape; those of the last few groups are kept."""
        key = (network, shape)
        self._memories.setdefault(key, ScoreMemory())
        self._memories.move_to_end(key)
        while len(self._memories) > _KEPT_MEMORIES:
            self._forgotten += self._memories.popitem(last=False)[1].spared
        return self._memories[key]

    @property
    def remembered(self) -> int:
        """Evaluations of f that were answered from memory."""
        return self._forgotten + sum(memory.spared for memory in self._memories.values())

    def function(self, network: int, shape: int) -> SemanticFunction:
        """f of one network and shape, with the gradient of ``gradient``; nothing is computed twice at one point."""
        f = self.rendered_function(network, shape)
        f.memory = self.memory(network, shape)
        return FiniteDifference.of(f, self.space) if self.gradient == "finite" else f
