"""Where the camera and the light are: matrices from semantic parameters, differentiable everywhere.

World: right-handed, +y up, the front of an object faces +z. Camera space: the camera looks along -z, +x right,
+y up. Both are joined by rotations, never by an up vector, so that nothing is singular at the poles.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

NEAR: Final = 0.05
"""Surfaces nearer than this to the camera plane, world units, are cut away."""

DEPTH_TOLERANCE: Final = 2e-5
"""Depths that differ by less than this fraction are the same surface: rounding of float32 positions is 1e-7."""


def direction(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors towards (azimuth, elevation): ``(sin a cos e, sin e, cos a cos e)``.

    Args:
        azimuth, elevation: (B,) degrees; azimuth 0 is +z and 90 is +x.

    Returns:
        (B, 3).
    """
    a, e = torch.deg2rad(azimuth.remainder(360.0)), torch.deg2rad(elevation)
    return torch.stack((torch.sin(a) * torch.cos(e), torch.sin(e), torch.cos(a) * torch.cos(e)), -1)


def camera_matrix(azimuth: Tensor, elevation: Tensor, distance: Tensor, field_of_view: Tensor, roll: Tensor) -> Tensor:
    """The matrix P with ``(x, y, w) = P (X, 1)``: x / w and y / w are in [-1, 1] inside the image, w is the depth.

    The camera sits at ``distance * direction(azimuth, elevation)`` and looks at the origin:
    ``camera = Rz(roll) Rx(elevation) Ry(-azimuth) X``, ``w = distance - camera_z``. Past the pole the camera
    keeps turning smoothly: the picture at (azimuth, elevation) with elevation > 90 is the one from
    (azimuth + 180, 180 - elevation) turned by 180 degrees in the plane. A positive roll turns the picture
    counter-clockwise.

    Args:
        azimuth, elevation, field_of_view, roll: (B,) degrees; the field of view is the full angle of the side.
        distance: (B,) world units.

    Returns:
        (B, 3, 4), rows x (right), y (up), w (depth).
    """
    a, e, r = torch.deg2rad(azimuth.remainder(360.0)), torch.deg2rad(elevation), torch.deg2rad(roll.remainder(360.0))
    ca, sa, ce, se, cr, sr = a.cos(), a.sin(), e.cos(), e.sin(), r.cos(), r.sin()
    zero = torch.zeros_like(a)
    right = torch.stack((ca, zero, -sa), -1)
    up = torch.stack((-se * sa, ce, -se * ca), -1)
    back = torch.stack((ce * sa, se, ce * ca), -1)
    focal = 1.0 / torch.tan(field_of_view * (math.pi / 360.0))
    x = (cr[:, None] * right - sr[:, None] * up) * focal[:, None]
    y = (sr[:, None] * right + cr[:, None] * up) * focal[:, None]
    rows = torch.stack((x, y, -back), 1)
    offset = torch.stack((zero, zero, distance), -1)
    return torch.cat((rows, offset[..., None]), -1)
