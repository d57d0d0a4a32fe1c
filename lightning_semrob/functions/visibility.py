"""Refuses shapes that no picture shows: the score of an empty picture says nothing about them."""

from __future__ import annotations

import torch

from lightning_semrob.rendering import Renderer
from lightning_semrob.shapes import Mesh
from lightning_semrob.space import SemanticSpace

#: Where the background shows through everywhere but for this much, there is no pixel of the shape.
_LEAST = 0.02


@torch.no_grad()
def check_visible(renderer: Renderer, mesh: Mesh, space: SemanticSpace, views: int = 8) -> str | None:
    """Draw a mesh on a black and on a white background from Sobol views of a space; pixels that agree show the shape.

    Returns:
        None if the shape is seen in every view, or the renderer has no parameter ``background``; otherwise a sentence
        without its subject.

    Raises:
        ValueError: in half of the views or more, no pixel shows the shape.
    """
    renderer = renderer.without_scene()
    if "background" not in renderer.semantic_parameters:
        return None
    names = tuple(name for name in space.names if name != "background")
    u = space.sobol(views, 0)[:, [space.names.index(name) for name in names]].to(mesh.vertices.device)
    black, white = (
        renderer(mesh, torch.cat((u, u.new_full((views, 1), grey)), 1), (*names, "background")) for grey in (0.0, 1.0)
    )
    covered = 1 - (white - black).mean(1)
    empty = int((covered.flatten(1).amax(1) < _LEAST).sum())
    if 2 * empty >= views:
        raise ValueError(
            f"mesh '{mesh.name}' shows no pixel in {empty} of {views} views of the space: a score would be about the "
            "background; look at the mesh (a part far away makes all others small) and at the space"
        )
    return f"shows no pixel in {empty} of {views} views of the space" if empty else None
