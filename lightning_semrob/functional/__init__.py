"""Pure functions: tensors in, tensors out."""

from lightning_semrob.functional.regions import (
    corner_mask,
    corners,
    cross_sections,
    naive_directions,
    naive_loss,
    oir_b_directions,
    oir_b_loss,
    oir_w_directions,
    outer_bounds,
    trapezoid_directions,
)

__all__ = [
    "corner_mask",
    "corners",
    "cross_sections",
    "naive_directions",
    "naive_loss",
    "oir_b_directions",
    "oir_b_loss",
    "oir_w_directions",
    "outer_bounds",
    "trapezoid_directions",
]
