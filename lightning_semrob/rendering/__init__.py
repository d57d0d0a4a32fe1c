"""Renderers: named semantic parameters and a mesh in, images out."""

from lightning_semrob.rendering.base import Renderer, SemanticParameter
from lightning_semrob.rendering.raster import Rasterizer

__all__ = ["Rasterizer", "Renderer", "SemanticParameter"]
