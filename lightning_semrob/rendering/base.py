"""The contract of a renderer: named semantic parameters in, images out."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.space import Axis, SemanticSpace
from lightning_semrob.utilities.messages import did_you_mean

__all__ = ["Renderer", "SemanticParameter"]


@dataclass(frozen=True)
class SemanticParameter:
    """A parameter that a renderer understands: its widest useful axis and its default value."""

    axis: Axis
    default: float


def package_version(module: str) -> str | None:
    """``package version`` of an imported module's package, None where it has no ``__version__``."""
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
        if image_size < 8:
            raise ValueError(f"image_size must be at least 8 pixels, got {image_size}")
        self.image_size = image_size

    @property
    @abstractmethod
    def semantic_parameters(self) -> Mapping[str, SemanticParameter]:
        """Name -> axis and default of every parameter that :meth:`render` understands."""

    @property
    def version(self) -> str | None:
        """Package, with its version, that the images come from; None where it does not say."""
        return package_version(type(self).__module__)

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
        if u.dim() != 2 or u.shape[1] != len(names):
            raise ValueError(f"u must be (B, {len(names)}) for the axes {names}, got {tuple(u.shape)}")
        table = self.semantic_parameters
        for name in names:
            self._check(name)
        u = u.to(torch.float32)
        parameters = {
            name: u[:, names.index(name)] if name in names else u.new_full((u.shape[0],), parameter.default)
            for name, parameter in table.items()
        }
        return self.render(mesh, parameters)

    def space(self, *names: str) -> SemanticSpace:
        """The space of the named parameters over their widest useful ranges."""
        return SemanticSpace(tuple(self._check(name).axis for name in names))

    def _check(self, name: str) -> SemanticParameter:
        table = self.semantic_parameters
        if name not in table:
            hint = did_you_mean(name, table) or "."
            raise ValueError(f"{type(self).__name__} has no parameter '{name}'{hint} It understands {sorted(table)}")
        return table[name]
