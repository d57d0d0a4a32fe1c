"""Any function from semantic parameters to images as the renderer: a simulator, a generator, a photo turntable."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from lightning_semrob.rendering.base import Renderer, SemanticParameter, package_version
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.space import Axis


class CallableRenderer(Renderer):
    """Images by a function of the user's, a black box: finders that need no gradient work with it, the others say so.

    Args:
        images: ``images(u)`` or ``images(u, mesh)`` with u (B, n) float32 in the units of ``axes``, one column an axis,
            to (B, 3, H, W) in [0, 1], or its name, ``package.module:function``. Without the mesh the shapes of a run
            only say which class the images show.
        axes: the axes of u, in order, with their widest useful ranges.
        defaults: axis -> value where it is not swept; the middle of the range if not given.
        image_size: H = W, pixels.

    Raises:
        ValueError: no axes, a default for an unknown axis, a name without module, function or import; images of the
            wrong shape, or outside [0, 1].

    Examples:
        >>> def images(u):
        ...     return u[:, :, None, None].expand(-1, 3, 16, 16)
        >>> CallableRenderer(images, [Axis("light", 0.0, 1.0, "share")], image_size=16).space("light").names
        ('light',)
    """

    differentiable = False

    def __init__(
        self,
        images: str | Callable[..., Tensor],
        axes: Sequence[Axis],
        defaults: dict[str, float] | None = None,
        image_size: int = 224,
    ) -> None:
        super().__init__(image_size)
        self.name = images if isinstance(images, str) else getattr(images, "__name__", repr(images))
        self.images = _imported(images) if isinstance(images, str) else images
        self._takes_mesh = _positional(self.images) >= 2
        defaults = defaults or {}
        if not axes:
            raise ValueError("a callable renderer needs the axes of its u: name at least one")
        unknown = sorted(set(defaults) - {axis.name for axis in axes})
        if unknown:
            raise ValueError(f"defaults are given for {unknown}, the axes are {[axis.name for axis in axes]}")
        self._table = {
            axis.name: SemanticParameter(
                Axis(axis.name, axis.low, axis.high, axis.unit, axis.periodic, differentiable=False),
                defaults.get(axis.name, (axis.low + axis.high) / 2),
            )
            for axis in axes
        }

    @property
    def semantic_parameters(self) -> Mapping[str, SemanticParameter]:
        """The axes of the function."""
        return self._table

    @property
    def version(self) -> str | None:
        """That of the function's package."""
        return package_version(getattr(self.images, "__module__", ""))

    def render(self, mesh: Mesh, parameters: Mapping[str, Tensor]) -> Tensor:
        """Images (B, 3, image_size, image_size); see :class:`Renderer`."""
        u = torch.stack([parameters[name] for name in self._table], -1)
        with torch.no_grad():
            images = torch.as_tensor(self.images(u, mesh) if self._takes_mesh else self.images(u))
        expected = (len(u), 3, self.image_size, self.image_size)
        if images.shape != expected:
            raise ValueError(f"'{self.name}' returned images {tuple(images.shape)}, expected {expected}")
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"'{self.name}' returned values in [{low:.3g}, {high:.3g}], expected RGB in [0, 1]")
        return images.to(u)


def _imported(name: str) -> Callable[..., Tensor]:
    module, separator, attribute = name.partition(":")
    if not separator:
        raise ValueError(f"'{name}' does not name a function: write package.module:function")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"'{name}' cannot be imported ({error}): is its folder on PYTHONPATH?") from error
    if not callable(function):
        raise ValueError(f"'{name}' is a {type(function).__name__}, not a function")
    found: Callable[..., Tensor] = function
    return found


def _positional(function: Callable[..., Tensor]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(parameter.kind in kinds for parameter in parameters)
