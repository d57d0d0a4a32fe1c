"""PyTorch3D as the renderer: the same cameras, lights, textures and parameters as the built-in rasteriser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.rendering.base import package_version
from lightning_semrob.rendering.camera import DEPTH_TOLERANCE, NEAR, camera_matrix
from lightning_semrob.rendering.geometry import Geometry
from lightning_semrob.rendering.light import Light, Lighting
from lightning_semrob.rendering.scene import MeshRenderer, Scene
from lightning_semrob.shapes.mesh import Mesh

FAR = 100.0
EPSILON = 1e-10


class PyTorch3DRenderer(MeshRenderer):
    """Renders with PyTorch3D's MeshRenderer (0.7): hard images for f, soft rasterising for the gradient.

    The image is the hard one (nearest face, of coincident ones the one that looks at the camera, ``supersampling``
    squared samples a pixel). Where a gradient is asked for, the soft image S of Liu et al. (Soft Rasterizer, 2019) is
    drawn too and the result is ``S + (hard - S).detach()``: hard values, gradients of S. :meth:`gap` tells how far
    both are apart.

    Args:
        image_size: side of the square image, pixels.
        supersampling: samples a pixel along each side.
        ambient, directional, lights, crease_angle, albedo, defaults, scene: as of
            :class:`~lightning_semrob.rendering.Rasterizer`.
        sigma: width of the soft edges, squared units of the [-1, 1] image plane.
        gamma: softness in depth.
        faces_per_pixel: faces that a soft sample mixes.

    Raises:
        ImportError: where pytorch3d cannot be imported.
    """

    def __init__(
        self,
        image_size: int = 224,
        supersampling: int = 2,
        ambient: float = 0.5,
        directional: float = 0.5,
        lights: Sequence[Light] = (),
        crease_angle: float | None = None,
        albedo: float | None = None,
        defaults: Mapping[str, float] | None = None,
        sigma: float = 1e-5,
        gamma: float = 1e-4,
        faces_per_pixel: int = 16,
        scene: Scene | None = None,
    ) -> None:
        super().__init__(image_size, supersampling, ambient, directional, lights, crease_angle, albedo, defaults, scene)
        try:
            import pytorch3d.renderer  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "PyTorch3DRenderer needs pytorch3d, which is built from its repository: see "
                "https://github.com/facebookresearch/pytorch3d/blob/main/INSTALL.md, or use the built-in Rasterizer."
            ) from error
        if faces_per_pixel < 1:
            raise ValueError(f"faces_per_pixel must be at least 1, got {faces_per_pixel}")
        self.sigma = sigma
        self.gamma = gamma
        self.faces_per_pixel = faces_per_pixel

    @property
    def version(self) -> str | None:
        """That of PyTorch3D and of this package."""
        return f"{package_version('pytorch3d')}, {super().version}"

    def render(self, mesh: Mesh, parameters: Mapping[str, Tensor]) -> Tensor:
        """Images (B, 3, image_size, image_size); see :class:`Renderer`."""
        with torch.no_grad():
            hard = self._draw(mesh, parameters, soft=False)
        if not (torch.is_grad_enabled() and any(value.requires_grad for value in parameters.values())):
            return hard
        soft = self._draw(mesh, parameters, soft=True)
        return soft + (hard - soft).detach()

    @torch.no_grad()
    def gap(self, mesh: Mesh, u: Tensor, names: tuple[str, ...]) -> Tensor:
        """Mean absolute difference between the hard and the soft image at each point u (B, n), (B,)."""
        parameters = self.values(u, names)
        difference = self._draw(mesh, parameters, soft=False) - self._draw(mesh, parameters, soft=True)
        return difference.abs().mean((1, 2, 3))

    def _draw(self, mesh: Mesh, parameters: Mapping[str, Tensor], soft: bool) -> Tensor:
        from pytorch3d.renderer import FoVPerspectiveCameras, MeshRasterizer, RasterizationSettings
        from pytorch3d.structures import Meshes

        geometry: Geometry = self.prepared(mesh)
        azimuth, elevation, distance, field_of_view, roll = (
            parameters[name] for name in ("azimuth", "elevation", "distance", "field_of_view", "roll")
        )
        unit = camera_matrix(azimuth, elevation, distance, torch.full_like(azimuth, 90.0), roll)
        # PyTorch3D: row vectors, +x left, +y up, +z away from the camera.
        rotation = torch.stack((-unit[:, 0, :3], unit[:, 1, :3], unit[:, 2, :3]), -1)
        translation = torch.stack((torch.zeros_like(distance), torch.zeros_like(distance), distance), -1)
        cameras = FoVPerspectiveCameras(
            znear=NEAR, zfar=FAR, fov=field_of_view, R=rotation, T=translation, device=azimuth.device
        )
        # Of two coincident faces in both windings the one that is turned to the camera is seen.
        nearest = 2 if bool((geometry.partner >= 0).any()) else 1
        settings = RasterizationSettings(
            image_size=self.image_size * self.supersampling,
            blur_radius=math.log(1.0 / 1e-4 - 1.0) * self.sigma if soft else 0.0,
            faces_per_pixel=self.faces_per_pixel if soft else nearest,
            perspective_correct=True,
            clip_barycentric_coords=soft,
            cull_backfaces=False,
            z_clip_value=NEAR,
        )
        meshes = Meshes(verts=[geometry.vertices], faces=[geometry.faces]).extend(len(azimuth))
        fragments = MeshRasterizer(cameras=cameras, raster_settings=settings)(meshes)
        camera = camera_matrix(azimuth, elevation, distance, field_of_view, roll)
        light = self.lighting(mesh, parameters, camera)
        center = -(rotation @ translation[:, :, None])[..., 0].detach()
        widths = (self.sigma, self.gamma) if soft else ()
        image = mix_fragments(fragments, geometry, light, center, field_of_view.detach(), widths)
        image = image.view(len(azimuth), self.image_size, self.supersampling, self.image_size, self.supersampling, 3)
        return image.mean((2, 4)).permute(0, 3, 1, 2).clamp(0.0, 1.0)


def mix_fragments(
    fragments: Any, geometry: Geometry, light: Lighting, center: Tensor, field_of_view: Tensor, soft: Sequence[float]
) -> Tensor:
    """(B, H, W, 3) from PyTorch3D's fragments, all (B, H, W, K, ...), under cameras at ``center`` (B, 3): Lambert
    shading as of the built-in rasteriser, then the nearest, or with ``soft`` the soft mix of that sigma and gamma."""
    seen = fragments.pix_to_face
    batch, height, width, layers = seen.shape
    index = (seen >= 0).nonzero(as_tuple=True)
    image, face = index[0], seen[index] % len(geometry.faces)
    corner = geometry.vertices[geometry.faces[face]]
    normal = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    focal = 1.0 / torch.tan(field_of_view * (math.pi / 360.0))
    volume = focal[image] ** 2 * ((center[image] - corner[:, 0]) * normal).sum(-1)
    depth = fragments.zbuf[index].detach()
    stretch = depth**3 / volume.abs().clamp_min(1e-12) * 4 / height**2
    color = shade_fragments(geometry, light, image, face, fragments.bary_coords[index], volume >= 0, stretch)
    colors = torch.zeros(batch, height, width, layers, 3, device=seen.device).index_put(index, color)
    background = _behind(light.background, height)
    if not soft:
        front = torch.zeros_like(seen, dtype=torch.bool).index_put(index, volume >= 0)
        close = (seen >= 0) & (fragments.zbuf <= fragments.zbuf[..., :1] * (1 + DEPTH_TOLERANCE))
        chosen = (close & front).to(torch.int64).argmax(-1)  # the nearest where none of them looks here
        color = colors.gather(-2, chosen[..., None, None].expand(-1, -1, -1, 1, 3))[..., 0, :]
        return torch.where(seen[..., :1] >= 0, color, background)
    sigma, gamma = soft
    mask = (seen >= 0).to(colors)
    coverage = torch.sigmoid(-fragments.dists / sigma) * mask
    inverse = (FAR - fragments.zbuf) / (FAR - NEAR) * mask
    nearest = inverse.amax(-1, keepdim=True).clamp_min(EPSILON)
    weight = coverage * torch.exp((inverse - nearest) / gamma)
    rest = torch.exp((EPSILON - nearest) / gamma).clamp_min(EPSILON)
    total = weight.sum(-1, keepdim=True) + rest
    mixed: Tensor = ((weight[..., None] * colors).sum(-2) + rest * background) / total
    return mixed


def _behind(background: Tensor, side: int) -> Tensor:
    """(B, 1 or side, 1 or side, 3): what is behind each sample."""
    if background.dim() == 2:
        return background[:, None, None]
    return torch.nn.functional.interpolate(background, (side, side), mode="nearest").permute(0, 2, 3, 1)


def shade_fragments(
    geometry: Geometry, lighting: Lighting, image: Tensor, face: Tensor, weight: Tensor, front: Tensor, stretch: Tensor
) -> Tensor:
    """``colour * texture * tint * (ambient + sum of intensity * max(0, n . l))``, cut to [0, 1], of M fragments.

    Args:
        image, face: (M,) int64, which image of ``lighting`` and which face.
        weight: (M, 3) perspective-correct barycentrics.
        front: (M,) bool, whether the face is seen counter-clockwise; the normal is turned to the seen side.
        stretch: (M,) area of a sample in units of twice the face's area, which with the texture edges gives its mipmap
            level.
    """
    weight = weight[..., None]
    albedo = (weight * geometry.colors[face]).sum(1)
    textured = (geometry.texture[face] >= 0).nonzero().flatten()
    if len(textured):
        faces = face[textured]
        corner = geometry.uv[faces]
        uv = (weight[textured] * corner).sum(1)
        one, two = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
        patch = (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).abs()
        texel = _texture(geometry, geometry.texture[faces], uv, patch * stretch[textured])
        albedo = albedo.index_put((textured,), albedo[textured] * texel[:, :3])

    triangle = geometry.vertices[geometry.faces[face]]
    geometric = torch.linalg.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
    geometric = torch.where(front[:, None], geometric, -geometric)
    normal = torch.nn.functional.normalize((weight * geometry.normals[face]).sum(1), dim=-1, eps=1e-12)
    normal = torch.where((normal * geometric).sum(-1, keepdim=True) < 0, -normal, normal)
    lit = (normal[:, None] * lighting.directions[image]).sum(-1).clamp_min(0)
    light = lighting.ambient[image] + (lit * lighting.intensities[image]).sum(-1)
    color: Tensor = albedo * lighting.color[image] * light[:, None]
    return color.clamp(0.0, 1.0)


def _texture(geometry: Geometry, texture: Tensor, uv: Tensor, area: Tensor) -> Tensor:
    """(M, 4) trilinear samples of the textures at uv (M, 2), where a sample covers ``area`` (M,) of texture space."""
    base, count = geometry.pyramids[texture].unbind(-1)
    texels = area * geometry.levels[base, 1] * geometry.levels[base, 2]
    detail = torch.minimum(0.5 * texels.clamp_min(1.0).log2(), (count - 1).to(area))
    level = torch.minimum(detail.to(torch.int64), count - 1)
    fine = _sample(geometry, base + level, uv)
    coarse = _sample(geometry, base + torch.minimum(level + 1, count - 1), uv)
    return fine + (coarse - fine) * (detail - level)[:, None]


def _sample(geometry: Geometry, level: Tensor, uv: Tensor) -> Tensor:
    """(M, 4) bilinear samples, repeating, of the texture levels at uv (M, 2), v up."""
    first, height, width = geometry.levels[level].unbind(-1)
    column = (uv[:, 0] - uv[:, 0].detach().floor()) * width - 0.5
    row = (1 - (uv[:, 1] - uv[:, 1].detach().floor())) * height - 0.5
    left, top = column.detach().floor(), row.detach().floor()
    fx, fy = (column - left)[:, None], (row - top)[:, None]
    x0, y0 = left.to(torch.int64) % width, top.to(torch.int64) % height
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    at = geometry.texels
    above = at[first + y0 * width + x0] * (1 - fx) + at[first + y0 * width + x1] * fx
    below = at[first + y1 * width + x0] * (1 - fx) + at[first + y1 * width + x1] * fx
    return above * (1 - fy) + below * fy
