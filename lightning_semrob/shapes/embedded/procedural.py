"""The embedded classes: shapes written in code, as many of each as there are seeds."""

from __future__ import annotations

from lightning_semrob.shapes.embedded import furniture, objects, vessels  # noqa: F401  (each registers its classes)
from lightning_semrob.shapes.embedded.draw import REGISTRY, Draw
from lightning_semrob.shapes.embedded.primitives import finish
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.utilities.messages import unknown_name

ALL_CLASSES: tuple[str, ...] = tuple(sorted(REGISTRY))
"""Every procedural class."""

EMBEDDED_CLASSES: tuple[str, ...] = tuple(name for name in ALL_CLASSES if REGISTRY[name].accepted)
"""The default set: classes that pass ``benchmarks/acceptance.py``."""


def procedural_mesh(class_name: str, seed: int) -> Mesh:
    """One embedded shape: centred, longest side 2, up +y, front +z, smooth normals.

    Seed 0 is the canonical shape; others vary proportions, colours and parts, reproducibly.

    Raises:
        ValueError: for an unknown class or a negative seed.

    Examples:
        >>> mesh = procedural_mesh("teapot", seed=0)
        >>> mesh.vertices.shape[1], round(float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max()), 3)
        (3, 2.0)
    """
    if class_name not in REGISTRY:
        raise ValueError(unknown_name("embedded class", class_name, ALL_CLASSES))
    return finish(REGISTRY[class_name].build(Draw(class_name, seed)), f"{class_name}:{seed}")
