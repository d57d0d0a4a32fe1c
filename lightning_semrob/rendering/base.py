"""The contract of a renderer: named semantic parameters in, images out."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.utilities.messages import did_you_mean

#: Side of the largest image in pixels: 200 MB in float32.
_LARGEST_IMAGE = 4096


@dataclass(frozen=True)
class SemanticParameter:
    """A parameter that a renderer understands.

    Args:
        axis: its widest useful range.
        default: its value where it is not swept.
        limits: beyond them the renderer draws nothing that is meant by the parameter; the ends of ``axis`` if None, one
            period further on either side of a periodic one.
    """

    axis: Axis
    default: float
    limits: tuple[float, float] | None = None

    def swept(self, limits: Sequence[float] | None) -> Axis:
        """The axis over ``[low, high]``, or over its widest useful range if None; periodic where that is a period.

        Raises:
            ValueError: an empty or inverted range, one beyond the limits, or one longer than the period.
        """
        axis = self.axis
        if limits is None:
            return axis
        if len(limits) != 2:
            raise ValueError(f"the range of axis '{axis.name}' must be [low, high], got {list(limits)}")
        low, high = float(limits[0]), float(limits[1])
        around = axis.extent if axis.periodic else 0.0
        least, most = self.limits or (axis.low - around, axis.high + around)
        found = replace(axis, low=low, high=high, periodic=axis.periodic and abs(high - low - axis.extent) < 1e-9)
        if low < least or high > most:
            raise ValueError(
                f"axis '{axis.name}' has the range [{low:g}, {high:g}]: it is defined in [{least:g}, {most:g}] "
                f"{axis.unit}"
            )
        if axis.periodic and high - low > axis.extent + 1e-9:
            raise ValueError(
                f"axis '{axis.name}' has the range [{low:g}, {high:g}], which counts views twice: its period is "
                f"{axis.extent:g} {axis.unit}"
            )
        return found


def package_version(module: str) -> str | None:
    """Name and version of the package of an imported module; None if it has no ``__version__``."""
    package = module.partition(".")[0]
    version = getattr(sys.modules.get(package), "__version__", None)
    return None if version is None else f"{package} {version}"


class Renderer(nn.Module, ABC):
    """Renders one mesh under a batch of semantic parameters.

    Subclasses give the property ``semantic_parameters`` (name -> :class:`SemanticParameter`) and implement
    :meth:`render`. A parameter that a call does not name takes its default.

    Args:
        image_size: side of the square image, pixels.
    """

    differentiable: bool = True

    def __init__(self, image_size: int = 224) -> None:
        super().__init__()
        if not 8 <= image_size <= _LARGEST_IMAGE:
            raise ValueError(f"image_size must lie in [8, {_LARGEST_IMAGE}] pixels, got {image_size}")
        self.image_size = image_size

    @property
    @abstractmethod
    def semantic_parameters(self) -> Mapping[str, SemanticParameter]:
        """Name -> axis and default of every parameter that :meth:`render` understands."""

    @property
    def version(self) -> str | None:
        """The package that draws the images, with its version; None if it is not known."""
        return package_version(type(self).__module__)

    @property
    def pictures_behind(self) -> int:
        """How many pictures may stand behind the object."""
        return 0

    def without_scene(self) -> Renderer:
        """The same renderer with nothing around the object; itself where it has nothing around it."""
        return self

    @abstractmethod
    def render(self, mesh: Mesh, parameters: Mapping[str, Tensor]) -> Tensor:
        """Images of one mesh.

        Args:
            mesh: on the device of the parameters.
            parameters: for *every* name of ``semantic_parameters``, a (B,) float32 tensor in the axis' unit.

        Returns:
            (B, 3, image_size, image_size) float32 in [0, 1], RGB.
        """

    def forward(self, mesh: Mesh, u: Tensor, names: tuple[str, ...]) -> Tensor:
        """Images at semantic points u (B, n), whose columns are the parameters ``names``."""
        values = self.values(u, names)
        return self.render(mesh, values) if len(u) else u.new_zeros(0, 3, self.image_size, self.image_size)

    def values(self, u: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
        """The value (B,) float32 of every parameter at u (B, n), whose columns are the parameters ``names``."""
        if u.dim() != 2 or u.shape[1] != len(names):
            raise ValueError(f"u must be (B, {len(names)}) for the axes {names}, got {tuple(u.shape)}")
        for name in names:
            self.parameter(name)
        u = u.to(torch.float32)
        return {
            name: u[:, names.index(name)] if name in names else u.new_full((u.shape[0],), parameter.default)
            for name, parameter in self.semantic_parameters.items()
        }

    def resized(self, image_size: int) -> Renderer:
        """The same renderer with smaller images, where it can make them; itself otherwise."""
        return self

    def space(self, *names: str) -> SemanticSpace:
        """The space of the named parameters over their widest useful ranges."""
        return SemanticSpace(tuple(self.parameter(name).axis for name in names))

    def parameter(self, name: str) -> SemanticParameter:
        """The parameter of a name.

        Raises:
            ValueError: the renderer has none of it.
        """
        table = self.semantic_parameters
        if name not in table:
            hint = did_you_mean(name, table) or "."
            raise ValueError(f"{type(self).__name__} has no parameter '{name}'{hint} It understands {sorted(table)}")
        return table[name]
