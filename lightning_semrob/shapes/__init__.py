"""Shapes: embedded procedural classes, mesh files, and the class table to ImageNet indices."""

from lightning_semrob.shapes.catalog import ShapeSpec, resolve_shapes
from lightning_semrob.shapes.classes import CLASS_TABLE, ClassEntry, class_target, load_class_table, register_class
from lightning_semrob.shapes.embedded.procedural import ALL_CLASSES, EMBEDDED_CLASSES, procedural_mesh
from lightning_semrob.shapes.files import MeshFileError
from lightning_semrob.shapes.io import load_mesh
from lightning_semrob.shapes.mesh import Mesh

__all__ = [
    "ALL_CLASSES",
    "CLASS_TABLE",
    "EMBEDDED_CLASSES",
    "ClassEntry",
    "Mesh",
    "MeshFileError",
    "ShapeSpec",
    "class_target",
    "load_class_table",
    "load_mesh",
    "procedural_mesh",
    "register_class",
    "resolve_shapes",
]
