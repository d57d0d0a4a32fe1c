"""Renderers: named semantic parameters and a mesh in, images out."""

from lightning_semrob.rendering.base import Renderer, SemanticParameter
from lightning_semrob.rendering.callable import CallableRenderer
from lightning_semrob.rendering.pytorch3d import PyTorch3DRenderer
from lightning_semrob.rendering.raster import Light, Rasterizer

__all__ = ["CallableRenderer", "Light", "PyTorch3DRenderer", "Rasterizer", "Renderer", "SemanticParameter"]
