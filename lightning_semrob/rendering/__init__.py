"""Renderers: named semantic parameters and a mesh in, images out."""

from collections.abc import Callable

from lightning_semrob.rendering.backdrop import Scene
from lightning_semrob.rendering.base import Renderer, SemanticParameter
from lightning_semrob.rendering.callable import CallableRenderer
from lightning_semrob.rendering.pytorch3d import PyTorch3DRenderer
from lightning_semrob.rendering.raster import Light, Rasterizer

#: Renderers that configurations and commands know by a short name.
RENDERERS: dict[str, Callable[..., Renderer]] = {"rasterizer": Rasterizer, "pytorch3d": PyTorch3DRenderer}

__all__ = [
    "RENDERERS",
    "CallableRenderer",
    "Light",
    "PyTorch3DRenderer",
    "Rasterizer",
    "Renderer",
    "Scene",
    "SemanticParameter",
]
