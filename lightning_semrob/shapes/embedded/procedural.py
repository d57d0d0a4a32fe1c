"""The embedded classes: shapes written in code, as many of each as there are seeds."""

from __future__ import annotations

from difflib import get_close_matches

from lightning_semrob.shapes.embedded import furniture, objects, vessels  # noqa: F401  (each registers its classes)
from lightning_semrob.shapes.embedded.draw import REGISTRY, Draw, ProceduralClass
from lightning_semrob.shapes.embedded.primitives import finish
from lightning_semrob.shapes.mesh import Mesh

__all__ = ["ALL_CLASSES", "EMBEDDED_CLASSES", "imagenet_index", "procedural_mesh"]

ALL_CLASSES: tuple[str, ...] = tuple(sorted(REGISTRY))
"""Every procedural class."""

EMBEDDED_CLASSES: tuple[str, ...] = tuple(name for name in ALL_CLASSES if REGISTRY[name].accepted)
"""The default set: classes that pass ``benchmarks/acceptance.py``."""


def _entry(name: str) -> ProceduralClass:
    if name not in REGISTRY:
        near = get_close_matches(name, ALL_CLASSES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(ALL_CLASSES)}"
        raise ValueError(f"unknown embedded class '{name}': {hint}")
    return REGISTRY[name]


def imagenet_index(name: str) -> tuple[int, ...]:
    """The ImageNet-1k indices that count as right for an embedded class."""
    return _entry(name).imagenet


def procedural_mesh(class_name: str, seed: int) -> Mesh:
    """One embedded shape: centred, longest side 2, up +y, front +z, smooth normals.

    Args:
        class_name: one of ``ALL_CLASSES``.
        seed: 0 is the canonical shape; others vary proportions, colours and parts, reproducibly.

    Raises:
        ValueError: for an unknown class or a negative seed.

    Examples:
        >>> mesh = procedural_mesh("teapot", seed=0)
        >>> mesh.vertices.shape[1], round(float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max()), 3)
        (3, 2.0)
    """
    entry = _entry(class_name)
    return finish(entry.build(Draw(class_name, seed)), f"{class_name}:{seed}")
