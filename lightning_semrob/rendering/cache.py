"""A renderer that remembers its last pictures, so that networks which look at the same point share a rendering."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_semrob.rendering.base import Renderer, SemanticParameter
from lightning_semrob.shapes.mesh import Mesh


class CachedRenderer(Renderer):
    """Renders only points that it has not rendered lately; calls that need gradients pass through.

    Exact, since an image does not depend on what else is in its batch (the contract of :class:`Renderer`). Memory:
    ``capacity * 12 * image_size**2`` bytes, 0.6 MB an image at 224 pixels.

    Args:
        renderer: what it stands for.
        capacity: images kept.

    Attributes:
        rendered, reused: images rendered without gradient, and images taken from memory.
    """

    def __init__(self, renderer: Renderer, capacity: int = 600) -> None:
        super().__init__(renderer.image_size)
        if capacity < 1:
            raise ValueError(f"the capacity must be at least 1 image, got {capacity}")
        self.renderer = renderer
        self.differentiable = renderer.differentiable
        self.capacity = capacity
        self.rendered = 0
        self.reused = 0
        self._mesh: Mesh | None = None
        self._images: OrderedDict[tuple[tuple[str, ...], bytes], Tensor] = OrderedDict()

    @property
    def semantic_parameters(self) -> Mapping[str, SemanticParameter]:
        """Those of the renderer."""
        return self.renderer.semantic_parameters

    @property
    def pictures_behind(self) -> int:
        """Those of the renderer."""
        return self.renderer.pictures_behind

    def without_scene(self) -> Renderer:
        """The renderer with nothing around the object; it remembers nothing."""
        return self.renderer.without_scene()

    def render(self, mesh: Mesh, parameters: Mapping[str, Tensor]) -> Tensor:
        """Images by the renderer, nothing remembered."""
        return self.renderer.render(mesh, parameters)

    def forward(self, mesh: Mesh, u: Tensor, names: tuple[str, ...]) -> Tensor:
        """Images at semantic points u (B, n), from memory where they are known. Another mesh empties the memory."""
        if u.requires_grad and torch.is_grad_enabled():
            images: Tensor = self.renderer(mesh, u, names)
            return images
        if mesh is not self._mesh:
            self._mesh = mesh
            self._images.clear()
        points = u.detach().to(torch.float32).cpu().contiguous()
        keys = [(names, row.numpy().tobytes()) for row in points]
        missing = [k for k, key in enumerate(keys) if key not in self._images and key not in keys[:k]]
        found: dict[tuple[tuple[str, ...], bytes], Tensor] = {
            key: self._images[key] for key in keys if key in self._images
        }
        if missing:
            images = self.renderer(mesh, u[missing], names)
            # Copies: a view would keep the whole batch in memory.
            found |= {keys[k]: image.clone() for k, image in zip(missing, images, strict=True)}
        self.rendered += len(missing)
        self.reused += len(keys) - len(missing)
        for key in keys:
            self._images[key] = found[key]
            self._images.move_to_end(key)
        while len(self._images) > self.capacity:
            self._images.popitem(last=False)
        return torch.stack([found[key] for key in keys])
