"""f as the score of a network on renderings of a mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_semrob.functional.scores import SCORES, log_softmax_score, top1_score
from lightning_semrob.functions.base import SemanticFunction
from lightning_semrob.functions.memory import ScoreMemory
from lightning_semrob.functions.micro_batch import MicroBatch, in_micro_batches
from lightning_semrob.functions.nuisances import Nuisances
from lightning_semrob.networks import Classifier, build_network
from lightning_semrob.networks.inference import for_inference
from lightning_semrob.networks.probe import probe_network
from lightning_semrob.networks.runtime import Runtime
from lightning_semrob.rendering import RENDERERS, Renderer, Scene
from lightning_semrob.shapes import Mesh, resolve_shapes
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.messages import unknown_name

#: The score is multiplied by this before the backward pass of a float16 network, or small gradients would vanish.
_FLOAT16_SCALE = 1024.0

#: Pictures on which a network is probed and its runtime is compared with torch.
_COMPARED = 4


@dataclass(frozen=True)
class Drawn:
    """What f is the mean of, at K x P points.

    Attributes:
        scores: (K, P, draws) float64.
        all_hits: (K, P, draws), 1 where the target is the top-1 class.
    """

    scores: Tensor
    all_hits: Tensor

    @property
    def mean(self) -> Tensor:
        """f, (K, P)."""
        return self.scores.mean(-1)

    @property
    def hits(self) -> Tensor:
        """The part of the draws in which the target is the top-1 class, (K, P)."""
        return self.all_hits.mean(-1)

    @property
    def spread(self) -> Tensor:
        """Standard deviation of the scores over the draws (divided by their number less one), (K, P); 0 of one."""
        return self.scores.std(-1) if self.scores.shape[-1] > 1 else torch.zeros_like(self.scores[..., 0])


#: Modules that behave differently in training mode.
_VARYING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


class RenderedFunction(SemanticFunction):
    """f of Eq. 1: the score of the target class for one mesh rendered at u.

    Every network call has the same batch shape ``micro_batch_size`` (the last one padded), since scores change by
    1e-7 to 1e-6 with the batch size. Gradients go through log-softmax, ``grad f = f * grad log f``.

    Args:
        renderer: images in [0, 1] from a mesh and semantic parameters.
        classifier: images (B, 3, H, W) in [0, 1] to logits (B, classes), in evaluation mode.
        mesh: the shape.
        target: index of the true class, or a set of synonyms whose probabilities add up.
        space: the swept axes; everything else keeps the renderer's default.
        score: ``softmax``, ``margin`` or ``top1`` (the last has no gradient).
        micro_batch_size: images in every call of renderer and network, halved when memory runs out; one
            :class:`~lightning_semrob.functions.micro_batch.MicroBatch` may serve several functions.
        autocast: ``torch.bfloat16`` or ``torch.float16`` for the network, never for the renderer; float32 if None.
        watch: makes a context for each part of the work: ``rendering``, ``network``, ``gradient``.
        memory: of the same network, mesh, target, score and space: f is not computed again at a point that it knows
            (gradients are). ``evaluations`` counts what is asked for, ``memory.computed`` what is computed.
        nuisances: draws of background and light: f is the mean of the scores under them, a hit the part of them in
            which the target is the top-1 class, and each evaluation takes as many renderings as there are draws.

    Attributes:
        runtime: what computes the logits where no gradient is asked for.
        probe_pictures: that the network was shown by :meth:`of`, to see whether it is a function of one picture.

    Raises:
        ValueError: an axis that the renderer does not know, an empty target, an unknown score, a classifier in
            training mode; when called, a target beyond the classifier's outputs.
        MemoryError: when called, out of memory with a single image.

    Examples:
        >>> from lightning_semrob.functions.memory import ScoreMemory
        >>> from lightning_semrob.rendering import Rasterizer
        >>> from lightning_semrob.shapes import resolve_shapes
        >>> renderer, (shape,) = Rasterizer(32), resolve_shapes(["teapot"])
        >>> space, network = renderer.space("azimuth", "elevation"), build_network("small_resnet")
        >>> f = RenderedFunction(renderer, network, shape.load(), shape.target, space)
        >>> f(torch.tensor([[[30.0, 20.0], [60.0, 20.0]]])).shape  # 1 task, 2 points
        torch.Size([1, 2])
    """

    def __init__(
        self,
        renderer: Renderer,
        classifier: nn.Module,
        mesh: Mesh,
        target: int | Sequence[int],
        space: SemanticSpace,
        score: str = "softmax",
        micro_batch_size: int | MicroBatch = 16,
        autocast: torch.dtype | None = None,
        watch: Callable[[str], AbstractContextManager[Any]] = nullcontext,
        memory: ScoreMemory | None = None,
        nuisances: Nuisances | None = None,
    ) -> None:
        super().__init__()
        drawn = () if nuisances is None else nuisances.names
        renderer.space(*space.names, *drawn)  # raises on an unknown axis
        if score not in SCORES:
            raise ValueError(unknown_name("score", score, sorted(SCORES)))
        self.renderer = renderer
        self.classifier = classifier
        self.mesh = mesh
        self.target = (target,) if isinstance(target, int) else tuple(target)
        if not self.target or min(self.target) < 0:
            raise ValueError(f"the target needs at least one class index, and none below 0, got {self.target}")
        parts = classifier.named_modules()
        training = next((name for name, part in parts if part.training and isinstance(part, _VARYING)), None)
        if training is not None:
            raise ValueError(f"'{training}' of the classifier is in training mode: call classifier.eval() first")
        self.space = space
        self.names = space.names
        self.nuisances = nuisances
        self._columns = (*space.names, *drawn)
        self.score = score
        self.micro_batch = (
            micro_batch_size if isinstance(micro_batch_size, MicroBatch) else MicroBatch(micro_batch_size)
        )
        self.autocast = autocast
        self.watch = watch
        self.memory = memory
        self.runtime = Runtime.torch()
        self.probe_pictures = 0
        smooth = all(renderer.semantic_parameters[axis.name].axis.differentiable for axis in space)
        self.differentiable = renderer.differentiable and smooth and score != "top1"

    @classmethod
    def of(
        cls,
        shape: str,
        network: str | nn.Module,
        axes: Sequence[str] | SemanticSpace = ("azimuth", "elevation"),
        renderer: str | Renderer = "rasterizer",
        image_size: int = 224,
        score: str = "softmax",
        micro_batch_size: int = 16,
        device: torch.device | str = "cpu",
        runtime: str = "auto",
        scene: Scene | None = None,
        nuisances: int = 0,
        seed: int = 0,
    ) -> RenderedFunction:
        """f from the names of one shape and one network; a network given as a module is put in evaluation mode.

        Args:
            shape: as in :func:`lightning_semrob.shapes.resolve_shapes`: ``teapot``, ``mug.glb=coffee_mug``.
            network: a name as in :func:`lightning_semrob.networks.build_network`, or a module from images
                (B, 3, H, W) in [0, 1] to logits.
            axes: names of swept axes over the renderer's widest ranges, or a space of them.
            renderer: a renderer, or the name of one in :data:`lightning_semrob.rendering.RENDERERS`.
            image_size: side of the image in pixels, where ``renderer`` is a name.
            score, micro_batch_size: of the function.
            device: where mesh, renderer and network go.
            runtime: of a network that is given by its name, see
                :func:`~lightning_semrob.networks.runtime.with_runtime`; the attribute ``runtime`` says which it is.
            scene: what stands around the shape, where ``renderer`` is a name.
            nuisances: number of draws of background and light over which f is the mean, by ``seed``; 0 for none.

        Raises:
            ValueError: a name that is not known, or one that stands for several shapes; a network that the runtime
                cannot be used for, or that is no function of one picture
                (:func:`~lightning_semrob.networks.probe.probe_network`).
        """
        specs = resolve_shapes([shape])
        if len(specs) > 1:
            raise ValueError(f"'{shape}' stands for {len(specs)} shapes, f is about one: say which, e.g. 'teapot:3'")
        if isinstance(renderer, str):
            if renderer not in RENDERERS:
                raise ValueError(unknown_name("renderer", renderer, sorted(RENDERERS)))
            renderer = RENDERERS[renderer](image_size, scene=scene)
        elif scene is not None:
            raise ValueError("the renderer is given: give the scene to it")
        classifier = build_network(network) if isinstance(network, str) else network.eval()
        space = axes if isinstance(axes, SemanticSpace) else renderer.space(*axes)
        mesh, target = specs[0].load().to(device), specs[0].target
        drawn = Nuisances.draw(renderer, space.names, nuisances, seed) if nuisances else None
        f = cls(
            renderer.to(device), classifier.to(device), mesh, target, space, score, micro_batch_size, nuisances=drawn
        )
        with torch.no_grad():
            pictures = f.images(space.sobol(_COMPARED, 0))
        f.probe_pictures = probe_network(f.classifier, pictures)
        if isinstance(classifier, Classifier) and isinstance(network, str):
            f.classifier, f.runtime = for_inference(classifier, pictures, runtime)
        return f

    def images(self, u: Tensor) -> Tensor:
        """Renderings at u (B, n), (B, 3, H, W) float32; under the first draw of the nuisances."""
        return self._images(self._rows(u)[:: self.draws])

    def logits(self, u: Tensor) -> Tensor:
        """Logits at u (B, n) in micro-batches, (B, classes) float32; under the first draw of the nuisances."""
        return self._all_logits(self._rows(u)[:: self.draws])

    @property
    def draws(self) -> int:
        """Renderings of an evaluation: the number of draws of nuisances, 1 without any."""
        return 1 if self.nuisances is None else len(self.nuisances)

    def scores_by_draw(self, u: Tensor) -> Drawn:
        """Scores and hits at u (K, P, n) under every draw of the nuisances; nothing is remembered."""
        u, _ = self._check(u, None)
        self.evaluations += u.shape[0] * u.shape[1]
        scores, hits = self._scores_by_draw(u.flatten(0, 1))
        return Drawn(scores.view(*u.shape[:2], -1), hits.view(*u.shape[:2], -1))

    def _rows(self, u: Tensor) -> Tensor:
        """What is rendered for points (B, n), (B * draws, columns)."""
        return u if self.nuisances is None else self.nuisances.rows(u)

    def _images(self, rows: Tensor) -> Tensor:
        images: Tensor = self.renderer(self.mesh, rows.to(self.mesh.vertices.device), self._columns)
        return images

    def _all_logits(self, rows: Tensor) -> Tensor:
        with torch.no_grad():
            parts = in_micro_batches(rows, self.micro_batch, self._logits)
        return torch.cat([part[:count] for part, count in parts])

    def _logits(self, rows: Tensor) -> Tensor:
        with self.watch("rendering"):
            images = self._images(rows)
        with (
            self.watch("network"),
            torch.autocast(images.device.type, self.autocast, enabled=self.autocast is not None),
        ):
            logits: Tensor = self.classifier(images)
        if max(self.target) >= logits.shape[-1]:
            raise ValueError(
                f"the target is output {max(self.target)} of a classifier with {logits.shape[-1]} outputs: give the "
                "index of the class in this classifier"
            )
        return logits.float()

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return self._scores_and_hits(u, index)[0]

    def _scores_and_hits(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        if not u.numel():
            return u.new_zeros(u.shape[:2]), u.new_zeros(u.shape[:2])
        points = u.flatten(0, 1)
        found = self._compute(points) if self.memory is None else self.memory.recall(points, self._compute)
        return found[0].view(u.shape[:2]), found[1].view(u.shape[:2])

    def _compute(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and hits (B,) at u (B, n)."""
        scores, hits = self._scores_by_draw(u)
        return scores.mean(1), hits.mean(1)

    def _scores_by_draw(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and hits (B, draws) at u (B, n)."""
        logits = self._all_logits(self._rows(u))
        found = SCORES[self.score](logits, self.target), top1_score(logits, self.target)
        return found[0].to(u.device).view(-1, self.draws), found[1].to(u.device).view(-1, self.draws)

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        if not u.numel():
            return u.new_zeros(u.shape[:2]), torch.zeros_like(u)
        parts = in_micro_batches(self._rows(u.flatten(0, 1)), self.micro_batch, self._part_with_gradient)
        values, gradients = (torch.cat([part[k][:count] for part, count in parts]) for k in range(2))
        shape = (*u.shape[:2], self.draws)
        return values.view(shape).mean(-1), gradients[:, : u.shape[-1]].reshape(*shape, -1).mean(-2)

    def _part_with_gradient(self, part: Tensor) -> tuple[Tensor, Tensor]:
        # The softmax score saturates: its logarithm keeps the gradient's digits.
        logarithmic = self.score == "softmax"
        scale = _FLOAT16_SCALE if self.autocast == torch.float16 else 1.0
        with torch.enable_grad():
            point = part.detach().clone().requires_grad_(True)
            logits = self._logits(point)
            with self.watch("gradient"):
                root = (log_softmax_score if logarithmic else SCORES[self.score])(logits, self.target)
                (gradient,) = torch.autograd.grad(root.sum() * scale, point)
        root, gradient = root.detach().to(part.device), gradient.to(part.device) / scale
        if not logarithmic:
            return root, gradient
        value = root.exp()
        return value, value[:, None] * gradient
