"""What stands behind an object: a picture, a panorama that turns with the camera, a shadow on the ground below it."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_semrob.rendering.base import SemanticParameter
from lightning_semrob.rendering.pictures import EMBEDDED_PANORAMAS, EMBEDDED_PICTURES, Picture, find_pictures
from lightning_semrob.rendering.shadow import WIDTH, ground_shadow
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.space import Axis
from lightning_semrob.utilities.digest import tensors_sha256

#: The shadow pales where the ground is seen at an angle whose sine is below this: there a pixel covers much of it.
_GRAZING = 0.05


#: Shadows of the last meshes that are kept, 100 KB each: training goes back and forth between shapes.
_KEPT_SHADOWS = 128


@dataclass(frozen=True)
class Scene:
    """The surroundings of an object; without any of them it stands before one grey level.

    Args:
        background: pictures that stay where they are behind the object, whatever the camera does: ``embedded`` for the
            embedded ones, ``embedded:grass,wood`` for some of them, a picture file, or a folder of them. They are cut
            to a square.
        panorama: equirectangular panoramas, far away all around, named in the same way; what is seen of them turns
            with the camera. The middle of a panorama is what a camera at azimuth 0 sees.
        shadow: how dark the soft shadow on the ground below the object is where the object touches it, from 0 for none
            to 1 for black.

    Raises:
        ValueError: a shadow outside [0, 1].
    """

    background: str | None = None
    panorama: str | None = None
    shadow: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.shadow <= 1:
            raise ValueError(f"the shadow of a scene must lie in [0, 1], got {self.shadow}")


class Backdrop(nn.Module):
    """The pictures of a scene, and what of them is behind an object from each camera.

    Args:
        scene: what is there.
        image_size: side of the images, pixels.

    Attributes:
        names: of the pictures, those of ``background`` before those of ``panorama``.
        sha256: of the pictures and the shadow.

    Raises:
        ValueError: pictures that are not there or cannot be read.
    """

    pictures: Tensor
    panoramas: Tensor

    def __init__(self, scene: Scene, image_size: int) -> None:
        super().__init__()
        self.scene = scene
        self.image_size = image_size
        flat = [] if scene.background is None else find_pictures(scene.background, EMBEDDED_PICTURES)
        round_ = [] if scene.panorama is None else find_pictures(scene.panorama, EMBEDDED_PANORAMAS)
        self.names = tuple(picture.name for picture in (*flat, *round_))
        size = image_size, image_size
        # A pixel of a camera of 60 degrees is as large as one of such a panorama.
        height = min(3 * image_size, 1024)
        self.register_buffer("pictures", _stacked(flat, *size), persistent=False)
        panoramas = _stacked(round_, height, 2 * height)
        panoramas = torch.cat((panoramas[..., -1:], panoramas, panoramas[..., :1]), -1)
        self.register_buffer("panoramas", panoramas, persistent=False)
        shadow = torch.tensor(scene.shadow, dtype=torch.float64)
        named = (("pictures", self.pictures), ("panoramas", self.panoramas), ("shadow", shadow))
        self.sha256 = tensors_sha256(named)
        self._shadows: dict[int, tuple[weakref.ref[Mesh], tuple[Tensor, float]]] = {}

    @property
    def semantic_parameters(self) -> Mapping[str, SemanticParameter]:
        """``picture``, the number of the picture, where there are several."""
        last = len(self.names) - 1
        if last < 1:
            return {}
        return {"picture": SemanticParameter(Axis("picture", 0.0, float(last), "number", differentiable=False), 0.0)}

    def forward(self, mesh: Mesh, parameters: Mapping[str, Tensor], camera: Tensor) -> Tensor:
        """What is behind the mesh, (B, 3, image_size, image_size) in [0, 1].

        Args:
            mesh: whose shadow it is, on the device of the parameters.
            parameters: (B,) by name; ``background`` multiplies the pictures.
            camera: (B, 3, 4) of :func:`~lightning_semrob.rendering.camera.camera_matrix`.
        """
        behind = parameters["background"][:, None, None, None].expand(-1, 3, self.image_size, self.image_size)
        moves = len(self.panoramas) > 0 or self.scene.shadow > 0
        rays = self._rays(camera) if moves else camera.new_zeros(3, len(camera), 0, 0)
        if self.names:
            behind = behind * self._seen(parameters.get("picture", torch.zeros_like(parameters["azimuth"])), rays)
        if self.scene.shadow > 0:
            behind = behind * (1 - self.scene.shadow * self._shadow(mesh, camera, rays)[:, None])
        return behind

    def _seen(self, picture: Tensor, rays: Tensor) -> Tensor:
        """(B, 3, S, S) of the pictures with these numbers (B,), rounded; they go around."""
        number = picture.detach().round().to(torch.int64) % len(self.names)
        flat = len(self.pictures)
        seen = torch.zeros(len(number), 3, self.image_size, self.image_size, device=rays.device)
        fixed = (number < flat).nonzero().flatten()
        seen[fixed] = self.pictures[number[fixed]].float() / 255
        for one in number[number >= flat].unique().tolist():
            rows = (number == one).nonzero().flatten()
            if len(rows) == len(number):
                return self._around(self.panoramas[one - flat], rays)
            seen = seen.index_copy(0, rows, self._around(self.panoramas[one - flat], rays[:, rows]))
        return seen

    def _around(self, panorama: Tensor, rays: Tensor) -> Tensor:
        """(B, 3, S, S) of a panorama (3, H, W + 2), whose edges stand on the other side once more, along the rays."""
        x, y, z = rays
        column = 0.5 + torch.atan2(x, -z) / (2 * math.pi)
        row = 0.5 - torch.atan2(y, (x * x + z * z + 1e-12).sqrt()) / math.pi
        width = panorama.shape[-1]
        across = 2 * (column * (width - 2) + 1) / width - 1
        place = torch.stack((across, 2 * row - 1), -1)
        wide = (panorama.float() / 255).expand(len(x), -1, -1, -1)
        return torch.nn.functional.grid_sample(wide, place, padding_mode="border", align_corners=False)

    def resized(self, image_size: int) -> Backdrop:
        """The same pictures behind images of another size."""
        other = copy.copy(self)
        other._buffers = dict(self._buffers)
        other.image_size = image_size
        if len(self.pictures):
            scaled = torch.nn.functional.interpolate(
                self.pictures.float(), (image_size, image_size), mode="bilinear", align_corners=False, antialias=True
            )
            other.pictures = scaled.round().to(torch.uint8)
        return other

    def bytes(self, images: int, gradient: bool) -> int:
        """Most bytes that the pictures behind so many images take while they are made."""
        once = 12 * self.panoramas[0, 0].numel() if len(self.panoramas) else 0
        return once + images * self.image_size**2 * (250 if gradient else 120)

    def _rays(self, camera: Tensor) -> Tensor:
        """(3, B, S, S): x, y and z of the directions in which the pixels look."""
        size = self.image_size
        centre = (2 * torch.arange(size, device=camera.device, dtype=torch.float32) + 1) / size - 1
        right, up = (row / row.square().sum(-1, keepdim=True) for row in (camera[:, 0, :3], camera[:, 1, :3]))

        def component(k: int) -> Tensor:
            across, down = right[:, k, None, None] * centre, up[:, k, None, None] * -centre[:, None]
            return camera[:, 2, k, None, None] + across + down

        return torch.stack([component(k) for k in range(3)])

    def _shadow(self, mesh: Mesh, camera: Tensor, rays: Tensor) -> Tensor:
        """(B, S, S): how much of the sky the object hides from the ground that each pixel shows, from 0 to 1."""
        known = self._shadows.get(id(mesh))
        if known is None or known[0]() is not mesh:
            while len(self._shadows) >= _KEPT_SHADOWS:
                self._shadows.pop(next(iter(self._shadows)))
            known = self._shadows[id(mesh)] = weakref.ref(mesh), ground_shadow(mesh)
        shadow, ground = known[1]
        x, y, z = rays
        centre = -camera[:, 2, :3] * camera[:, 2, 3:]
        above = (centre[:, 1] - ground)[:, None, None]
        down = (y < -1e-4) & (above > 0)
        length = above / -torch.where(down, y, -1.0)
        place = torch.stack((centre[:, 0, None, None] + length * x, -centre[:, 2, None, None] - length * z), -1) / WIDTH
        found = torch.nn.functional.grid_sample(
            shadow.expand(len(camera), 1, -1, -1), place.clamp(-2, 2), padding_mode="zeros", align_corners=False
        )
        sine = y.square() / (x * x + y * y + z * z)
        return torch.where(down, found[:, 0] * sine / (sine + _GRAZING**2), 0.0)


def _stacked(pictures: list[Picture], height: int, width: int) -> Tensor:
    """(N, 3, height, width) uint8 of the pictures, cut around their middle to the shape and scaled."""
    made = [_fitted(picture.read(), height, width) for picture in pictures]
    return torch.stack(made) if made else torch.zeros(0, 3, height, width, dtype=torch.uint8)


def _fitted(picture: Tensor, height: int, width: int) -> Tensor:
    own_height, own_width = picture.shape[:2]
    scale = min(own_height / height, own_width / width)
    rows, columns = max(1, round(scale * height)), max(1, round(scale * width))
    top, left = (own_height - rows) // 2, (own_width - columns) // 2
    part = picture[top : top + rows, left : left + columns].permute(2, 0, 1)[None].contiguous()
    scaled = torch.nn.functional.interpolate(
        part, (height, width), mode="bilinear", align_corners=False, antialias=True
    )
    return (scaled[0].clamp(0, 1) * 255).round().to(torch.uint8)
