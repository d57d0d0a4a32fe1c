"""The light on an object, and the colours of what is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.rendering.camera import direction


@dataclass(frozen=True)
class Light:
    """A fixed directional light beside the main one.

    Args:
        azimuth: degrees from the camera's azimuth, as ``light_azimuth``.
        elevation: degrees above the horizon of the world.
        intensity: as ``directional``.
    """

    azimuth: float
    elevation: float
    intensity: float


@dataclass(frozen=True)
class Lighting:
    """The light and the colours of B images with L directional lights.

    Args:
        directions: (B, L, 3) unit vectors towards the lights, world space.
        intensities: (B, L).
        ambient: (B,) light from everywhere.
        color: (B, 3) multiplies the colour of the object.
        background: (B, 3), or (B, 3, H, W) for a picture behind the object.
    """

    directions: Tensor
    intensities: Tensor
    ambient: Tensor
    color: Tensor
    background: Tensor


def lighting(
    parameters: Mapping[str, Tensor], ambient: float, directional: float, lights: Sequence[Light] = ()
) -> Lighting:
    """The light and colours that ``parameters`` ((B,) tensors by name) describe, with fixed further lights."""
    main = direction(parameters["azimuth"] + parameters["light_azimuth"], parameters["light_elevation"])
    directions, intensities = [main], [directional * parameters["light_intensity"]]
    for light in lights:
        azimuth = parameters["azimuth"] + light.azimuth
        directions.append(direction(azimuth, torch.full_like(azimuth, light.elevation)))
        intensities.append(torch.full_like(azimuth, light.intensity))
    color = torch.stack([parameters[f"color_{name}"] for name in ("red", "green", "blue")], -1)
    return Lighting(
        directions=torch.stack(directions, 1),
        intensities=torch.stack(intensities, 1),
        ambient=torch.full_like(parameters["azimuth"], ambient),
        color=color,
        background=parameters["background"][:, None].expand(-1, 3),
    )
