"""What f is made of: networks and meshes, loaded at their first use, and f itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from lightning_semrob.functional.scores import SCORES
from lightning_semrob.functions import FiniteDifference, RenderedFunction, SemanticFunction
from lightning_semrob.functions.micro_batch import MicroBatch
from lightning_semrob.functions.precision import AUTOCAST
from lightning_semrob.functions.visibility import check_visible
from lightning_semrob.networks import Classifier, build_network
from lightning_semrob.networks.folding import fold_batch_norms
from lightning_semrob.rendering import Renderer
from lightning_semrob.rendering.cache import CachedRenderer
from lightning_semrob.shapes import ShapeSpec
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.messages import unknown_name

__all__ = ["GRADIENTS", "Models"]

#: Where gradients come from.
GRADIENTS = ("analytic", "finite")

#: Meshes kept on the device at a time: shapes are visited one after the other.
_KEPT_MESHES = 4


class Models:
    """The networks, meshes and functions of a job.

    Args:
        networks, renderer, score, gradient, micro_batch_size, precision: as of the environment.
        space: the swept axes.
        device: tells where rendering and networks run; what is kept on a device that was left is dropped.
        watch: makes the context in which a section of the work runs.

    Attributes:
        shapes: what is looked at; the environment sets them.
        weights_sha256, mesh_sha256: of each network and mesh, by index, as they were when they were first loaded.
        notes: by index of the shape, what of its file is not drawn as it stands there.
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
        device: Callable[[], torch.device],
        watch: Callable[[str], AbstractContextManager[Any]],
    ) -> None:
        if score not in SCORES:
            raise ValueError(unknown_name("score", score, sorted(SCORES)))
        if gradient not in GRADIENTS:
            raise ValueError(unknown_name("gradient", gradient, GRADIENTS))
        if precision not in AUTOCAST:
            raise ValueError(f"unknown precision '{precision}' of the networks: {list(AUTOCAST)}")
        self.networks, self.renderer, self.space = list(networks), renderer, space
        self.score, self.gradient, self.precision = score, gradient, precision
        # Networks of one shape follow each other and start from the same points: each picture is made once.
        self.pictures = CachedRenderer(renderer)
        self.micro_batch = MicroBatch(micro_batch_size)
        self.shapes: list[ShapeSpec] = []
        self.weights_sha256: dict[int, str] = {}
        self.mesh_sha256: dict[int, str] = {}
        self.notes: dict[int, tuple[str, ...]] = {}
        self._unreadable: dict[int, str] = {}
        self._device, self._watch = device, watch
        self._kept_on = device()
        self._classifiers: dict[int, Classifier] = {}
        self._folded: dict[int, Classifier] = {}
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
            for kept in (self._classifiers, self._folded, self._meshes):
                kept.clear()
        return device

    @torch.inference_mode(False)
    def classifier(self, network: int) -> Classifier:
        """The network by index, built at first use, on the device."""
        device = self._move()
        if network not in self._classifiers:
            classifier = build_network(self.networks[network])
            self.weights_sha256.setdefault(network, classifier.weights_sha256)
            self._classifiers[network] = classifier.to(device)
        return self._classifiers[network]

    @torch.inference_mode(False)
    def _fast_classifier(self, network: int) -> Classifier:
        """The same network with its batch normalisations folded into convolutions."""
        device = self._move()
        if network not in self._folded:
            classifier = self.classifier(network)
            grey = torch.full((2, 3, *[classifier.spec.input_size] * 2), 0.5)
            grey[1] = torch.rand(grey[1].shape, generator=torch.Generator().manual_seed(0))
            backbone = fold_batch_norms(classifier.backbone, classifier.preprocess(grey.to(device)))
            self._folded[network] = (
                classifier if backbone is classifier.backbone else Classifier(classifier.spec, backbone).to(device)
            )
        return self._folded[network]

    @torch.inference_mode(False)
    def mesh(self, shape: int) -> Mesh:
        """The mesh by index, on the device; the last few are kept, and what is wrong with one that cannot be used.

        Raises:
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

    def rendered_function(self, network: int, shape: int) -> RenderedFunction:
        """f of one network and shape, with its own gradient."""
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
        )

    def function(self, network: int, shape: int) -> SemanticFunction:
        """f of one network and shape, with the gradient of ``gradient``."""
        f = self.rendered_function(network, shape)
        return FiniteDifference.of(f, self.space) if self.gradient == "finite" else f
