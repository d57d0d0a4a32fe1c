"""f: u -> score, the one seam that finders, maps and metrics know.

Shapes: K tasks, P points each, n axes. ``f(u, index)`` takes u (K, P, n) in the units of the axes and index (K,),
which says of each row to which recorded map (or other item) it belongs, and returns (K, P) float64 scores in
[0, 1]; ``f.value_and_grad(u, index)`` adds the gradients (K, P, n). Evaluations are counted.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from lightning_semrob.functional.scores import SCORES, log_softmax_score, top1_score
from lightning_semrob.micro_batch import MicroBatch, in_micro_batches
from lightning_semrob.networks import build_network
from lightning_semrob.rendering import RENDERERS, Renderer
from lightning_semrob.shapes import Mesh, resolve_shapes
from lightning_semrob.space import Axis, SemanticSpace

__all__ = [
    "AnalyticFunction",
    "Complement",
    "FiniteDifference",
    "RecordedFunction",
    "RenderedFunction",
    "Reordered",
    "SemanticFunction",
    "Top1OfLast",
    "window_half_widths",
]


#: Gradients of float16 networks are computed of so many times the score, or small ones would vanish.
_FLOAT16_SCALE = 1024.0


class SemanticFunction(ABC):
    """Base of all f: shape checks and counters here, values in the subclass.

    Attributes:
        names: names of the columns of u, None where they are not known.
        differentiable: whether :meth:`value_and_grad` works.
        evaluations, gradient_evaluations: points evaluated so far, forward and backward. A gradient evaluation
            counts in both, since it computes the value too.
    """

    names: tuple[str, ...] | None = None
    differentiable: bool = True

    def __init__(self) -> None:
        self.evaluations = 0
        self.gradient_evaluations = 0

    def __call__(self, u: Tensor, index: Tensor | None = None) -> Tensor:
        """Scores at u (K, P, n); ``index`` (K,) defaults to zeros. Returns (K, P) float64."""
        u, index = self._check(u, index)
        self.evaluations += u.shape[0] * u.shape[1]
        return self._value(u, index)

    def value_and_grad(self, u: Tensor, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores (K, P) and gradients (K, P, n) per unit of each axis, float64.

        Raises:
            ValueError: the function has no gradient.
        """
        if not self.differentiable:
            raise ValueError(f"{type(self).__name__} has no gradient: use a black-box finder, or FiniteDifference")
        u, index = self._check(u, index)
        forward, backward = self.gradient_cost(u.shape[-1])
        self.evaluations += forward * u.shape[0] * u.shape[1]
        self.gradient_evaluations += backward * u.shape[0] * u.shape[1]
        return self._value_and_grad(u, index)

    def gradient_cost(self, n: int) -> tuple[int, int]:
        """Forward and gradient evaluations that :meth:`value_and_grad` spends on one point of n axes."""
        return 1, 1

    @abstractmethod
    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        """Scores at u (K, P, n), float64."""

    @abstractmethod
    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and gradients at u (K, P, n), float64."""

    def _check(self, u: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
        if u.dim() != 3:
            raise ValueError(f"u must be (tasks, points, axes), got {tuple(u.shape)}")
        if self.names is not None and u.shape[-1] != len(self.names):
            raise ValueError(f"u has {u.shape[-1]} axes, the function takes {len(self.names)}: {self.names}")
        if index is None:
            index = torch.zeros(u.shape[0], dtype=torch.int64, device=u.device)
        if index.shape != u.shape[:1]:
            raise ValueError(f"index must be ({u.shape[0]},), got {tuple(index.shape)}")
        return u.double(), index


class AnalyticFunction(SemanticFunction):
    """A formula, for checks and notebooks.

    Args:
        function: maps u (K, P, n) float64 to scores (K, P), differentiable by autograd.
        names: names of the columns of u.

    Examples:
        >>> f = AnalyticFunction(lambda u: u.square().sum(-1))
        >>> value, gradient = f.value_and_grad(torch.tensor([[[0.5, 0.25]]]))
        >>> value.tolist(), gradient.tolist()
        ([[0.3125]], [[[1.0, 0.5]]])
    """

    def __init__(self, function: Callable[[Tensor], Tensor], names: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.function = function
        self.names = names

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        with torch.no_grad():
            return self.function(u).double()

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            u = u.detach().clone().requires_grad_(True)
            value = self.function(u).double()
            if not value.requires_grad:
                return value, torch.zeros_like(u)
            (gradient,) = torch.autograd.grad(value.sum(), u)
        return value.detach(), gradient


class RecordedFunction(SemanticFunction):
    """Recorded maps, interpolated multilinearly; one map for each index.

    Without ``axes`` the maps are the paper's: ``maps[k, elevation, azimuth]`` with azimuth ``360 i / width`` and
    elevation evenly from -10 to 89 degrees, and u = (azimuth, elevation). With ``axes`` dimension d of a map is
    axis d, sampled evenly: without its end point on periodic axes, with both end points on the others; u has the
    columns of ``axes`` and finders match them by name to their space.

    Beyond the data: periodic axes wrap; with an ``azimuth`` and an ``elevation`` the camera passes the pole,
    ``f(azimuth, elevation) = f(azimuth + 180, 180 - elevation)`` above 90 degrees, and between the last row and 90
    it keeps the last row. Elsewhere ``outside`` decides.

    Args:
        maps: (K, d_1, ..., d_n) scores in [0, 1].
        axes: the axes in map-dimension order.
        outside: ``damp`` (edge value times ``exp(-distance / (0.15 extent))``: 15 degrees for an extent of 100,
            which fits the authors' volumes best), ``edge`` (the edge value) or ``zero``.

    Raises:
        ValueError: maps of the wrong shape, or an unknown ``outside``.

    Examples:
        >>> maps = torch.tensor([[0.0, 1.0, 0.0, 0.0]])  # one map, four azimuths
        >>> f = RecordedFunction(maps, SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True),)))
        >>> f(torch.tensor([[[90.0], [135.0], [450.0]]])).tolist()
        [[1.0, 0.5, 1.0]]
    """

    def __init__(self, maps: Tensor, axes: SemanticSpace | None = None, outside: str = "damp") -> None:
        super().__init__()
        maps = torch.as_tensor(maps)
        if outside not in ("damp", "edge", "zero"):
            raise ValueError(f"outside must be 'damp', 'edge' or 'zero', got '{outside}'")
        if axes is None:
            if maps.dim() != 3:
                raise ValueError(f"maps must be (maps, elevation, azimuth), got {tuple(maps.shape)}; or give axes")
            axes = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True), Axis("elevation", -10.0, 90.0)))
            maps = maps.transpose(1, 2)
            ends = {"elevation": 89.0}
        else:
            ends = {}
        if maps.dim() != len(axes) + 1:
            raise ValueError(f"maps must have {len(axes) + 1} dimensions for the axes {axes.names}, got {maps.dim()}")
        if min(maps.shape[1:]) < 2:
            raise ValueError(f"a recorded map needs at least 2 samples on each axis, got {tuple(maps.shape[1:])}")
        self.axes = axes
        self.names = axes.names
        self.outside = outside
        self.maps = maps.double().contiguous()
        self._flat = self.maps.reshape(-1)
        self._last = [ends.get(axis.name, axis.high) for axis in axes]
        names = axes.names
        self._pole: tuple[int, int] | None = None
        if "azimuth" in names and "elevation" in names:
            azimuth, elevation = names.index("azimuth"), names.index("elevation")
            if axes.axes[azimuth].periodic and axes.axes[azimuth].extent == 360.0:
                self._pole = (azimuth, elevation)

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return self._interpolate(u, index, gradient=False)[0]

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return self._interpolate(u, index, gradient=True)

    def _interpolate(self, u: Tensor, index: Tensor, gradient: bool) -> tuple[Tensor, Tensor]:
        n = u.shape[-1]
        finite = u.isfinite().all(-1)
        columns = list(torch.where(finite[..., None], u, torch.zeros_like(u)).unbind(-1))
        sign = torch.ones_like(columns[0])
        if self._pole is not None:
            azimuth, elevation = self._pole
            beyond = columns[elevation] > 90.0
            columns[azimuth] = torch.where(beyond, columns[azimuth] + 180.0, columns[azimuth])
            sign = torch.where(beyond, -sign, sign)
            columns[elevation] = torch.where(beyond, 180.0 - columns[elevation], columns[elevation])
        # Per axis: lower cell index, upper cell index, weight of the upper, slope of that weight.
        cells: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        damping = torch.ones_like(sign)
        damping_slope = torch.zeros_like(u)
        for k, axis in enumerate(self.axes):
            size, column = self.maps.shape[k + 1], columns[k]
            if axis.periodic:
                per_unit = size / axis.extent
                position = torch.remainder((column - axis.low) * per_unit, size)
                lower = position.floor().long() % size
                upper = (lower + 1) % size
                slope = torch.full_like(column, per_unit)
            else:
                last = self._last[k]
                per_unit = (size - 1) / (last - axis.low)
                position = ((column - axis.low) * per_unit).clamp(0, size - 1)
                lower = position.floor().long().clamp_max(size - 2)
                upper = lower + 1
                inside = (column >= axis.low) & (column <= last)
                slope = torch.where(inside, per_unit, 0.0)
                below, above = (axis.low - column).clamp_min(0), (column - axis.high).clamp_min(0)
                if self.outside == "damp":
                    scale = 0.15 * axis.extent
                    damping = damping * torch.exp(-(below + above) / scale)
                    damping_slope[..., k] = ((below > 0).double() - (above > 0).double()) / scale
                elif self.outside == "zero":
                    damping = damping * ((below == 0) & (above == 0)).double()
            cells.append((lower, upper, position - position.floor() if axis.periodic else position - lower, slope))
        base = index[:, None]
        value = torch.zeros_like(sign)
        slopes = torch.zeros_like(u)
        for corner in itertools.product((0, 1), repeat=n):
            flat = base
            weights: list[Tensor] = []
            for k, bit in enumerate(corner):
                lower, upper, weight, _ = cells[k]
                flat = flat * self.maps.shape[k + 1] + (upper if bit else lower)
                weights.append(weight if bit else 1 - weight)
            sample = self._flat[flat]
            value = value + math.prod(weights, start=sample)
            if gradient:
                for k, bit in enumerate(corner):
                    others = math.prod(weights[:k] + weights[k + 1 :], start=sample)
                    slopes[..., k] += (cells[k][3] if bit else -cells[k][3]) * others
        nan = torch.full_like(value, math.nan)
        if not gradient:
            return torch.where(finite, value * damping, nan), slopes
        slopes = slopes * damping[..., None] + damping_slope * (value * damping)[..., None]
        if self._pole is not None:
            elevation = self._pole[1]
            slopes[..., elevation] = slopes[..., elevation] * sign
        return torch.where(finite, value * damping, nan), torch.where(finite[..., None], slopes, nan[..., None])


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
            :class:`~lightning_semrob.micro_batch.MicroBatch` may serve several functions.
        autocast: ``torch.bfloat16`` or ``torch.float16`` for the network, never for the renderer; float32 if None.
        watch: makes a context for each part of the work: ``rendering``, ``network``, ``gradient``.

    Raises:
        ValueError: an axis that the renderer does not know, an empty target, an unknown score.
        MemoryError: when called, out of memory with a single image.

    Examples:
        >>> from lightning_semrob.networks import build_network
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
    ) -> None:
        super().__init__()
        renderer.space(*space.names)  # raises on an unknown axis
        if score not in SCORES:
            near = get_close_matches(score, SCORES, n=1)
            raise ValueError(f"unknown score '{score}'{f', did you mean {near[0]}?' if near else ''}: {sorted(SCORES)}")
        self.renderer = renderer
        self.classifier = classifier
        self.mesh = mesh
        self.target = (target,) if isinstance(target, int) else tuple(target)
        if not self.target:
            raise ValueError("the target needs at least one class index")
        self.space = space
        self.names = space.names
        self.score = score
        self.micro_batch = (
            micro_batch_size if isinstance(micro_batch_size, MicroBatch) else MicroBatch(micro_batch_size)
        )
        self.autocast = autocast
        self.watch = watch
        self._top1: tuple[Tensor, Tensor] | None = None
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
    ) -> RenderedFunction:
        """f from the names of one shape and one network.

        Args:
            shape: as in :func:`lightning_semrob.shapes.resolve_shapes`: ``teapot``, ``mug.glb=coffee_mug``.
            network: a name as in :func:`lightning_semrob.networks.build_network`, or a module from images
                (B, 3, H, W) in [0, 1] to logits, which is put in evaluation mode.
            axes: names of swept axes over the renderer's widest ranges, or a space of them.
            renderer: a renderer, or the name of one in :data:`lightning_semrob.rendering.RENDERERS`.
            image_size: side of the image in pixels, where ``renderer`` is a name.
            score, micro_batch_size: of the function.
            device: where mesh, renderer and network go.

        Raises:
            ValueError: a name that is not known, or one that stands for several shapes.
        """
        specs = resolve_shapes([shape])
        if len(specs) > 1:
            raise ValueError(f"'{shape}' stands for {len(specs)} shapes, f is about one: say which, e.g. 'teapot:3'")
        if isinstance(renderer, str):
            if renderer not in RENDERERS:
                near = get_close_matches(renderer, RENDERERS, n=1)
                hint = f", did you mean '{near[0]}'?" if near else ":"
                raise ValueError(f"unknown renderer '{renderer}'{hint} {sorted(RENDERERS)}")
            renderer = RENDERERS[renderer](image_size)
        classifier = build_network(network) if isinstance(network, str) else network.eval()
        space = axes if isinstance(axes, SemanticSpace) else renderer.space(*axes)
        mesh, target = specs[0].load().to(device), specs[0].target
        return cls(renderer.to(device), classifier.to(device), mesh, target, space, score, micro_batch_size)

    def images(self, u: Tensor) -> Tensor:
        """Renderings at u (B, n), (B, 3, H, W) float32."""
        assert self.names is not None
        images: Tensor = self.renderer(self.mesh, u.to(self.mesh.vertices.device), self.names)
        return images

    def logits(self, u: Tensor) -> Tensor:
        """Logits at u (B, n) in micro-batches, (B, classes) float32."""
        with torch.no_grad():
            parts = in_micro_batches(u, self.micro_batch, self._logits)
        return torch.cat([part[:count] for part, count in parts])

    def _logits(self, u: Tensor) -> Tensor:
        with self.watch("rendering"):
            images = self.images(u)
        with (
            self.watch("network"),
            torch.autocast(images.device.type, self.autocast, enabled=self.autocast is not None),
        ):
            logits: Tensor = self.classifier(images)
        return logits.float()

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        if not u.numel():
            return u.new_zeros(u.shape[:2])
        logits = self.logits(u.flatten(0, 1))
        self._top1 = u, top1_score(logits, self.target).to(u.device).view(u.shape[:2])
        return SCORES[self.score](logits, self.target).to(u.device).view(u.shape[:2])

    def top1_of(self, u: Tensor) -> Tensor:
        """Top-1 hits (K, P) float64 at the points u (K, P, n) of the last call of f, at no cost.

        Raises:
            ValueError: f was last called at other points.
        """
        if self._top1 is None or not torch.equal(self._top1[0], u):
            raise ValueError("f was last evaluated at other points")
        return self._top1[1]

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        if not u.numel():
            return u.new_zeros(u.shape[:2]), torch.zeros_like(u)
        parts = in_micro_batches(u.flatten(0, 1), self.micro_batch, self._part_with_gradient)
        values, gradients = (torch.cat([part[k][:count] for part, count in parts]) for k in range(2))
        return values.view(u.shape[:2]), gradients.view(u.shape)

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


class Top1OfLast(SemanticFunction):
    """Whether the target was the top-1 class at the points at which a rendered f was just evaluated.

    Args:
        function: the f whose last call is asked about.
    """

    differentiable = False

    def __init__(self, function: RenderedFunction) -> None:
        super().__init__()
        self.function = function
        self.names = function.names

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return self.function.top1_of(u)

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class _Wrapper(SemanticFunction):
    """A function of another function; both count."""

    def __init__(self, function: SemanticFunction) -> None:
        super().__init__()
        self.function = function
        self.names = function.names
        self.differentiable = function.differentiable

    def gradient_cost(self, n: int) -> tuple[int, int]:
        """That of the function."""
        return self.function.gradient_cost(n)


class Complement(_Wrapper):
    """1 - f: the adversarial target of Eq. 3 and 4."""

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return 1 - self.function(u, index)

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = self.function.value_and_grad(u, index)
        return 1 - value, -gradient


class FiniteDifference(_Wrapper):
    """Central differences of any f: the honest baseline for gradients, at 2n extra evaluations a point.

    ``df/du_k = (f(u + h_k e_k) - f(u - h_k e_k)) / 2 h_k``; at the border of an axis of ``space`` that is not periodic
    the outer point is moved onto the border, and the difference divided by the distance that is left.

    Args:
        function: any f.
        step: h, half the distance of the two points, one value per axis in its unit, or one for all.
        space: the axes in the order of the columns of u; None for axes without borders.

    Raises:
        ValueError: a step that is not positive.
    """

    def __init__(
        self,
        function: SemanticFunction,
        step: float | Sequence[float] = 1.0,
        space: SemanticSpace | None = None,
    ) -> None:
        super().__init__(function)
        self.step = torch.as_tensor(step, dtype=torch.float64)
        self.space = space
        self.differentiable = True
        if not bool((self.step > 0).all()):
            raise ValueError(f"the step of finite differences must be positive, got {step}")

    @staticmethod
    def of(function: SemanticFunction, space: SemanticSpace) -> FiniteDifference:
        """With steps of 1 degree, or 1 % of the range of an axis in another unit."""
        return FiniteDifference(function, window_half_widths(space).tolist(), space)

    def gradient_cost(self, n: int) -> tuple[int, int]:
        """2n + 1 forward evaluations."""
        return 2 * n + 1, 0

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return self.function(u, index)

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        tasks, points, n = u.shape
        shift = torch.diag(self.step.to(u).expand(n))
        stencil = u[:, :, None] + torch.cat([torch.zeros_like(shift[:1]), shift, -shift])
        if self.space is not None:
            # Only what the step moves is held back: a point outside stays where it is.
            low = torch.minimum(self.space.low.to(u), u)[:, :, None]
            high = torch.maximum(self.space.high.to(u), u)[:, :, None]
            stencil = torch.where(self.space.periodic.to(u.device), stencil, stencil.clamp(low, high))
        value = self.function(stencil.view(tasks, -1, n), index).view(tasks, points, 2 * n + 1)
        ahead, behind = (stencil[:, :, 1 + k * n : 1 + (k + 1) * n].diagonal(dim1=-2, dim2=-1) for k in range(2))
        gradient = (value[..., 1 : n + 1] - value[..., n + 1 :]) / (ahead - behind)
        return value[..., 0], gradient


def window_half_widths(space: SemanticSpace) -> Tensor:
    """Half the window over which a slope of f is measured: 1 degree, or 1 % of the range in another unit, (n,)."""
    return torch.tensor([1.0 if axis.unit == "degree" else 0.01 * axis.extent for axis in space], dtype=torch.float64)


class Reordered(_Wrapper):
    """The same f with the columns of u in another order.

    Args:
        function: f with known ``names``.
        names: the same names, in the order of the columns of u.

    Raises:
        ValueError: the names are not those of the function.
    """

    def __init__(self, function: SemanticFunction, names: tuple[str, ...]) -> None:
        super().__init__(function)
        if function.names is None or set(function.names) != set(names):
            raise ValueError(f"the function takes the axes {function.names}, the space has {names}")
        self.names = names
        self._forward = [names.index(name) for name in function.names]
        self._backward = [function.names.index(name) for name in names]

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return self.function(u[..., self._forward], index)

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = self.function.value_and_grad(u[..., self._forward], index)
        return value, gradient[..., self._backward]
