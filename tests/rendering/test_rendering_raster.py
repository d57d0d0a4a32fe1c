"""The built-in rasteriser: its options, memory, textures, and the slow reference beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_semrob.rendering import Rasterizer, Renderer, SemanticParameter
from lightning_semrob.rendering.camera import camera_matrix
from lightning_semrob.rendering.geometry import prepare
from lightning_semrob.rendering.raster import PARAMETERS, lighting
from lightning_semrob.shapes.mesh import Mesh
from tests.rendering.reference_rasterizer import rasterize
from tests.rendering.test_rendering_contract import SIZE, RendererContract, box, checkered, smooth_weights, table

CAMERA = ("azimuth", "elevation", "distance", "field_of_view", "roll")


class TorchRasterizer(Renderer):
    """The slow reference as a renderer."""

    @property
    def semantic_parameters(self) -> Mapping[str, SemanticParameter]:
        return PARAMETERS

    def render(self, mesh: Mesh, parameters: Mapping[str, Tensor]) -> Tensor:
        camera = camera_matrix(*(parameters[name] for name in CAMERA))
        if len(camera) == 0:
            return camera.new_zeros(0, 3, self.image_size, self.image_size)
        return rasterize(prepare(mesh), camera, lighting(parameters, 0.5, 0.5), self.image_size, 2)


class TestReference(RendererContract):
    @pytest.fixture
    def renderer(self) -> Renderer:
        return TorchRasterizer(SIZE)


def wall(**attributes: object) -> Mesh:
    """One triangle larger than the image."""
    vertices = torch.tensor([[-6.0, -5.0, 0.3], [6.0, -5.0, -0.4], [0.3, 7.0, 0.1]])
    colors = 0.2 + 0.6 * torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(2))
    return replace(Mesh(vertices, torch.tensor([[0, 1, 2]]), colors), **attributes)  # type: ignore[arg-type]


def test_albedo_draws_every_surface_alike() -> None:
    """White without textures: a checkered box is the plain white one."""
    u, names = torch.tensor([[35.0, 20.0]]), ("azimuth", "elevation")
    white = replace(box(), corner_colors=torch.ones(12, 3, 3))
    assert torch.equal(Rasterizer(SIZE, albedo=1.0)(checkered(), u, names), Rasterizer(SIZE)(white, u, names))
    assert not torch.equal(Rasterizer(SIZE)(checkered(), u, names), Rasterizer(SIZE)(white, u, names))
    half = Rasterizer(SIZE, albedo=0.5, defaults={"background": 0.0})(white, u, names)
    full = Rasterizer(SIZE, defaults={"background": 0.0})(white, u, names)
    torch.testing.assert_close(half, full / 2, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"albedo must lie in \[0, 1\], got 2"):
        Rasterizer(SIZE, albedo=2)


def test_defaults_hold_where_a_parameter_is_not_swept() -> None:
    u, names = torch.tensor([[35.0, 20.0]]), ("azimuth", "elevation")
    set_here = Rasterizer(SIZE, defaults={"distance": 3.5, "light_elevation": 90})
    swept = torch.tensor([[35.0, 20.0, 3.5, 90.0]])
    expected = Rasterizer(SIZE)(box(), swept, (*names, "distance", "light_elevation"))
    assert torch.equal(set_here(box(), u, names), expected)
    assert set_here.semantic_parameters["distance"].default == 3.5
    assert PARAMETERS["distance"].default == 2.732
    with pytest.raises(ValueError, match="did you mean 'distance'"):
        Rasterizer(SIZE, defaults={"distanc": 3.0})
    with pytest.raises(ValueError, match=r"the default 9.0 of 'distance' lies outside its range \[1.5, 5\]"):
        Rasterizer(SIZE, defaults={"distance": 9.0})


def textured(texture: Tensor, uv: Tensor) -> Mesh:
    return wall(corner_uv=uv, face_texture=torch.zeros(1, dtype=torch.int64), textures=(texture,))


def both(mesh: Mesh, point: Mapping[str, float]) -> list[tuple[Tensor, Tensor]]:
    """Image, and gradient of a smooth score, from the kernels and from the reference."""
    results = []
    for renderer in (Rasterizer(SIZE), TorchRasterizer(SIZE)):
        u = torch.tensor([list(point.values())], requires_grad=True)
        image = renderer(mesh, u, tuple(point))
        (gradient,) = torch.autograd.grad((image * smooth_weights(SIZE)).sum(), u)
        results.append((image.detach()[0], gradient[0]))
    return results


POINT = {
    name: p.default + 0.1 * (p.axis.low - p.default) + 3.0 * (p.axis.unit == "degree") for name, p in PARAMETERS.items()
}


@pytest.mark.parametrize("kind", ["colours", "normals", "texture", "minified texture"])
def test_shading_and_its_gradient_are_the_same(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(1, 3, 5, 5, generator=generator)
    texture = torch.nn.functional.interpolate(texture, (64, 64), mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)
    normals = torch.tensor([[[-0.5, 0.2, 1.0], [0.6, 0.1, 1.0], [0.0, -0.4, 1.0]]])
    uv = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [1.0, 2.0]]])
    mesh = {
        "colours": wall(),
        "normals": wall(corner_normals=torch.nn.functional.normalize(normals, dim=-1)),
        "texture": textured(texture, uv),
        "minified texture": textured(texture, 20 * uv),
    }[kind]
    (image, gradient), (expected, slope) = both(mesh, POINT)
    assert (image - expected).abs().max() < 1e-4
    assert torch.allclose(gradient, slope, rtol=2e-2, atol=2e-3 * float(slope.abs().max()))


@pytest.mark.parametrize("make", [box, table, checkered])
def test_both_draw_the_same_picture(make: Callable[[], Mesh]) -> None:
    (image, gradient), (expected, slope) = both(make(), {"azimuth": 35.0, "elevation": 20.0})
    assert (image - expected).abs().mean() < 1e-3
    assert torch.allclose(gradient, slope, rtol=0.1, atol=0.05 * float(slope.abs().max()))


@pytest.mark.parametrize("renderer", [Rasterizer(SIZE), TorchRasterizer(SIZE)])
class TestTextures:
    def test_first_row_is_on_top_and_u_goes_right(self, renderer: Renderer) -> None:
        texture = torch.zeros(2, 2, 3)
        texture[0, 0, 0] = texture[0, 1, 1] = texture[1, 0, 2] = 1.0
        uv = torch.tensor([[[0.5 - 6 / 4, 0.5 - 5 / 4], [0.5 + 6 / 4, 0.5 - 5 / 4], [0.5 + 0.3 / 4, 0.5 + 7 / 4]]])
        flat = torch.tensor([[-6.0, -5.0, 0.0], [6.0, -5.0, 0.0], [0.3, 7.0, 0.0]])
        mesh = replace(textured(texture, uv), vertices=flat, corner_colors=torch.ones(1, 3, 3))
        image = renderer(mesh, torch.tensor([[0.0, 0.0]]), ("azimuth", "elevation"))[0]
        low, high = SIZE // 3, SIZE - SIZE // 3
        assert image[:, low, low].argmax() == 0
        assert image[:, low, high].argmax() == 1
        assert image[:, high, low].argmax() == 2

    def test_fine_patterns_become_their_mean(self, renderer: Renderer) -> None:
        texture = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float()[..., None].expand(-1, -1, 3)
        uv = torch.tensor([[[0.0, 0.0], [150.0, 0.0], [70.0, 140.0]]])
        mesh = replace(textured(texture.contiguous(), uv), corner_colors=torch.ones(1, 3, 3))
        images = renderer(mesh, torch.tensor([[0.0], [0.3], [5.0]]), ("azimuth",))
        assert images.std((2, 3)).max() < 0.02

    def test_transparent_texels_are_holes(self, renderer: Renderer) -> None:
        texture = torch.ones(8, 8, 4)
        texture[2:6, 2:6, 3] = 0.0
        plain = torch.zeros(1, 3, 3)
        mesh = replace(textured(texture, torch.tensor([[[0.0, 0.0], [4.0, 0.0], [2.0, 4.0]]])), corner_colors=plain)
        image = renderer(mesh, torch.tensor([[0.0, 1.0]]), ("azimuth", "background"))[0]
        assert image.min() == 0
        assert image.max() == 1
        assert 0.1 < image.mean() < 0.4


def test_smooth_normals_leave_no_facets() -> None:
    angle = torch.linspace(0, 2 * torch.pi, 25)[:-1]
    ring = torch.stack((angle.cos(), angle.sin()), -1)
    vertices = torch.cat([torch.stack((ring[:, 0], torch.full((24,), y), ring[:, 1]), -1) for y in (-1.0, 1.0)])
    faces = torch.tensor([t for i, j in pairwise([*range(24), 0]) for t in ((i, i + 24, j), (j, i + 24, j + 24))])
    normals = torch.cat((ring, ring))[faces]
    normals = torch.stack((normals[..., 0], torch.zeros(len(faces), 3), normals[..., 1]), -1)
    tube = Mesh(vertices, faces, torch.full((48, 3, 3), 0.8))
    point, names = torch.tensor([[3.0, 0.0]]), ("azimuth", "elevation")
    jumps = []
    for mesh in (tube, replace(tube, corner_normals=normals)):
        row = Rasterizer(SIZE)(mesh, point, names)[0, 0, SIZE // 2, 24:40]
        jumps.append(row.diff().diff().abs().max())
    assert jumps[1] < 0.3 * jumps[0]


def test_supersampling_converges() -> None:
    u = torch.tensor([[35.0, 20.0]])
    images = [Rasterizer(SIZE, supersampling=n)(table(), u, ("azimuth", "elevation")) for n in (1, 2, 6)]
    errors = [(image - images[-1]).abs().mean() for image in images[:2]]
    assert errors[1] < errors[0] < 5e-3


def test_images_at_once_does_not_change_the_images() -> None:
    u = Rasterizer(SIZE).space("azimuth", "elevation").sobol(7, seed=4)
    few, many = Rasterizer(SIZE, memory_limit=1), Rasterizer(SIZE)
    assert few.images_at_once(table()) == 1
    assert many.images_at_once(table(), gradient=True) > 7
    images = [renderer(table(), u, ("azimuth", "elevation")) for renderer in (few, many)]
    assert torch.equal(*images)


def test_a_changed_mesh_is_not_mixed_up_with_the_last_one() -> None:
    renderer, u = Rasterizer(SIZE), torch.tensor([[30.0]])
    first = renderer(box(), u, ("azimuth",))
    renderer(table(), u, ("azimuth",))
    assert torch.equal(renderer(box(), u, ("azimuth",)), first)


def test_bad_sizes_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Rasterizer(SIZE, supersampling=0)
    with pytest.raises(ValueError, match="did you mean 'azimuth'"):
        Rasterizer(SIZE)(box(), torch.zeros(1, 1), ("azimut",))


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from /proc")
def test_a_large_mesh_stays_within_the_memory_formula(repository: Path) -> None:
    """100,000 faces with a texture, in a process of its own: its peak grows by no more than the formula."""
    program = (
        "import sys; sys.path.insert(0, 'benchmarks'); import rendering, torch; torch.set_num_threads(1); "
        "print(*rendering.memory(100_000, 512, 64, 8, True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    measured, formula = map(float, done.stdout.split())
    assert 1 < measured < formula
