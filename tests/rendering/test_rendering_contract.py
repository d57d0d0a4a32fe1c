"""What every renderer of meshes promises: inherit :class:`RendererContract` and give a renderer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lightning_semrob.rendering import Rasterizer, Renderer
from lightning_semrob.shapes.mesh import Mesh

SIZE = 64
POINT = {"azimuth": 35.0, "elevation": 20.0, "light_azimuth": 40.0, "light_elevation": 30.0, "background": 0.7}
CAMERA = ("azimuth", "elevation", "distance", "field_of_view", "roll")


def box(
    low: tuple[float, float, float] = (-0.6, -0.5, -0.4), high: tuple[float, float, float] = (0.6, 0.5, 0.4)
) -> Mesh:
    """A closed box, each side of another colour, faces counter-clockwise seen from outside."""
    a, b = torch.tensor(low), torch.tensor(high)
    vertices = torch.stack([torch.stack([(b if i >> k & 1 else a)[k] for k in range(3)]) for i in range(8)])
    quads = [(1, 3, 7, 5), (0, 4, 6, 2), (2, 6, 7, 3), (0, 1, 5, 4), (4, 5, 7, 6), (0, 2, 3, 1)]
    faces = torch.tensor([t for q in quads for t in ((q[0], q[1], q[2]), (q[0], q[2], q[3]))])
    generator = torch.Generator().manual_seed(3)
    colors = (0.2 + 0.6 * torch.rand(6, 3, generator=generator)).repeat_interleave(2, 0)
    return Mesh(vertices, faces, colors[:, None].expand(-1, 3, -1).contiguous(), name="box")


def merge(*meshes: Mesh) -> Mesh:
    """One mesh out of several without textures."""
    starts = torch.tensor([0] + [len(m.vertices) for m in meshes]).cumsum(0)
    return Mesh(
        torch.cat([m.vertices for m in meshes]),
        torch.cat([m.faces + start for m, start in zip(meshes, starts, strict=False)]),
        torch.cat([m.corner_colors for m in meshes]),
    )


def table() -> Mesh:
    """A thick slab on two thin legs, one behind the other: occlusion, thin parts and creases."""
    slab = box((-0.7, 0.1, -0.5), (0.7, 0.3, 0.5))
    return merge(slab, box((-0.6, -0.7, 0.3), (-0.5, 0.1, 0.4)), box((0.3, -0.7, -0.4), (0.38, 0.1, -0.3)))


def checkered() -> Mesh:
    """The box with a 4 x 4 texture of grey values on every side."""
    mesh = box()
    uv = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]).repeat(6, 1, 1)
    texture = torch.rand(4, 4, 1, generator=torch.Generator().manual_seed(1)).expand(4, 4, 3).contiguous()
    return replace(mesh, corner_uv=uv, face_texture=torch.zeros(12, dtype=torch.int64), textures=(texture,))


def smooth_weights(size: int, seed: int = 0) -> Tensor:
    """(3, size, size): a fixed random field without detail, whose product with an image is a smooth score."""
    coarse = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    field = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)[0]
    return field / size**2


def inside_polygon(polygon: Tensor, size: int) -> Tensor:
    """Whether each pixel centre lies in the convex counter-clockwise polygon (K, 2) of the [-1, 1] image plane."""
    centre = (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1
    y, x = torch.meshgrid(-centre, centre, indexing="ij")
    inside = torch.ones(size, size, dtype=torch.bool)
    for a, b in zip(polygon, polygon.roll(-1, 0), strict=True):
        inside &= (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) >= 0
    return inside


class SceneContract:
    """The invariants of a renderer, whatever stands around the object. Subclasses give ``renderer``."""

    tolerance = 1e-6
    """Largest difference of two renderings of the same thing."""

    @pytest.fixture
    def renderer(self) -> Renderer:
        raise NotImplementedError

    def image(self, renderer: Renderer, mesh: Mesh, **point: float) -> Tensor:
        return renderer(mesh, torch.tensor([list(point.values())]), tuple(point))[0]

    def test_range_shape_and_dtype(self, renderer: Renderer) -> None:
        u = renderer.space("azimuth", "elevation", "light_intensity").sobol(6, seed=0)
        images = renderer(checkered(), u, ("azimuth", "elevation", "light_intensity"))
        assert images.shape == (6, 3, SIZE, SIZE)
        assert images.dtype == torch.float32
        assert images.isfinite().all()
        assert images.min() >= 0
        assert images.max() <= 1

    def test_no_images(self, renderer: Renderer) -> None:
        assert renderer(box(), torch.zeros(0, 1), ("azimuth",)).shape == (0, 3, SIZE, SIZE)

    def test_same_input_same_bits(self, renderer: Renderer) -> None:
        u = renderer.space("azimuth", "elevation").sobol(5, seed=1)
        assert torch.equal(*(renderer(table(), u, ("azimuth", "elevation")) for _ in range(2)))

    def test_image_does_not_depend_on_its_batch(self, renderer: Renderer) -> None:
        u = renderer.space("azimuth", "elevation").sobol(9, seed=2)
        mesh = checkered()
        together = renderer(mesh, u, ("azimuth", "elevation"))
        alone = torch.cat([renderer(mesh, row[None], ("azimuth", "elevation")) for row in u])
        assert torch.equal(together, alone)

    def test_periodic_axes_close(self, renderer: Renderer) -> None:
        for name, parameter in renderer.semantic_parameters.items():
            if parameter.axis.periodic:
                point = {**POINT, name: parameter.axis.low}
                again = {**POINT, name: parameter.axis.high}
                difference = self.image(renderer, table(), **point) - self.image(renderer, table(), **again)
                assert difference.abs().max() <= 1e-5, name

    def test_pole_is_not_singular(self, renderer: Renderer) -> None:
        u = torch.tensor([[30.0, 89.99], [30.0, 90.0], [30.0, 90.01], [30.0, 95.0]], requires_grad=True)
        images = renderer(table(), u, ("azimuth", "elevation"))
        assert images.isfinite().all()
        assert (images[:2] - images[1:3]).abs().mean() < 2e-3
        if renderer.differentiable:
            (gradient,) = torch.autograd.grad((images * smooth_weights(SIZE)).sum(), u)
            assert gradient.isfinite().all()

    def test_camera_inside_a_mesh_gives_an_image(self, renderer: Renderer) -> None:
        walls = box((-3.0, -3.0, -3.0), (3.0, 3.0, 3.0))
        u = torch.tensor([[0.0, 0.0], [45.0, 30.0]], requires_grad=True)
        images = renderer(walls, u, ("azimuth", "elevation"))
        assert images.isfinite().all()
        assert images.amax(1).max() < 0.99
        if renderer.differentiable:
            (gradient,) = torch.autograd.grad((images * smooth_weights(SIZE)).sum(), u)
            assert gradient.isfinite().all()

    def test_every_parameter_changes_the_image(self, renderer: Renderer) -> None:
        before = self.image(renderer, table(), **POINT)
        for name, parameter in renderer.semantic_parameters.items():
            value = POINT.get(name, parameter.default) - 0.2 * parameter.axis.extent
            after = self.image(renderer, table(), **{**POINT, name: value})
            assert (before - after).abs().mean() > 1e-4, name

    @pytest.mark.parametrize("make", [box, table, checkered])
    def test_gradients_agree_with_fitted_slopes(self, renderer: Renderer, make: Callable[[], Mesh]) -> None:
        mesh = make()
        weights = smooth_weights(SIZE)
        names = tuple(renderer.semantic_parameters)
        point = torch.tensor([POINT.get(n, p.default) for n, p in renderer.semantic_parameters.items()])
        errors = []
        for column, (name, parameter) in enumerate(renderer.semantic_parameters.items()):
            if not parameter.axis.differentiable:
                continue
            half = 1.0 if parameter.axis.unit == "degree" else 0.01 * parameter.axis.extent
            steps = torch.linspace(-1, 1, 15)
            u = point.repeat(15, 1)
            u[:, column] += half * steps
            if not parameter.axis.periodic:
                u[:, column] -= max(0.0, float(u[:, column].max()) - parameter.axis.high)
            u.requires_grad_(True)
            score = (renderer(mesh, u, names) * weights).sum((1, 2, 3))
            (gradient,) = torch.autograd.grad(score.sum(), u)
            score, steps = score.detach().double(), steps.double()
            slope = ((score - score.mean()) * steps).sum() / (steps**2).sum() / half
            error = ((score - score.mean() - slope * half * steps) ** 2).sum() / 13 / (steps**2).sum()
            if abs(slope) > 3 * error.sqrt() / half:
                mean = gradient[:, column].double().mean()
                assert mean * slope > 0, f"{name}: gradient {mean:.3g}, fitted slope {slope:.3g}"
                errors.append(float(abs(mean / slope - 1)))
        assert len(errors) >= 8
        assert sorted(errors)[len(errors) // 2] <= 0.1, errors


class RendererContract(SceneContract):
    """Also those of an object that stands before one grey level."""

    def test_beyond_the_pole_is_the_other_side_turned(self, renderer: Renderer) -> None:
        beyond = self.image(renderer, table(), azimuth=20.0, elevation=110.0, light_azimuth=0.0)
        other = self.image(renderer, table(), azimuth=200.0, elevation=70.0, light_azimuth=180.0)
        assert (beyond - other.flip(1, 2)).abs().mean() < 1e-3

    def test_background(self, renderer: Renderer) -> None:
        for grey in (0.0, 0.3, 1.0):
            image = self.image(renderer, box(), background=grey)
            assert torch.allclose(image[:, 0, 0], torch.full((3,), grey))

    def test_front_is_plus_z_and_azimuth_turns_towards_plus_x(self, renderer: Renderer) -> None:
        right = box((0.5, -0.1, -0.1), (0.7, 0.1, 0.1))
        columns = torch.arange(SIZE, dtype=torch.float32)

        def centre(mesh: Mesh, **point: float) -> tuple[float, float]:
            mass = 1 - self.image(renderer, mesh, elevation=0.0, background=1.0, **point).mean(0)
            return float((mass.sum(0) * columns).sum() / mass.sum()), float((mass.sum(1) * columns).sum() / mass.sum())

        middle = (SIZE - 1) / 2
        assert centre(right, azimuth=0.0)[0] > middle + 5
        assert abs(centre(right, azimuth=90.0)[0] - middle) < 1
        assert centre(right, azimuth=180.0)[0] < middle - 5
        assert centre(box((-0.1, 0.5, -0.1), (0.1, 0.7, 0.1)), azimuth=0.0)[1] < middle - 5
        assert centre(right, azimuth=0.0, roll=90.0)[1] < middle - 5

    @pytest.mark.parametrize("azimuth", [0.0, 57.0])
    def test_triangle_is_where_the_pinhole_camera_puts_it(self, renderer: Renderer, azimuth: float) -> None:
        vertices = torch.tensor([[-0.7, -0.4, 0.1], [0.8, -0.5, -0.2], [0.1, 0.7, 0.3]])
        mesh = Mesh(vertices, torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, 3))
        turn = math.radians(azimuth)
        x = math.cos(turn) * vertices[:, 0] - math.sin(turn) * vertices[:, 2]
        depth = 2.5 - (math.sin(turn) * vertices[:, 0] + math.cos(turn) * vertices[:, 2])
        plane = torch.stack((x, vertices[:, 1]), -1) / depth[:, None] / math.tan(math.radians(25.0))
        expected = inside_polygon(plane.double(), 8 * SIZE).double().view(SIZE, 8, SIZE, 8).mean((1, 3))
        image = self.image(renderer, mesh, azimuth=azimuth, elevation=0.0, distance=2.5, field_of_view=50.0)
        coverage = 1 - image[0].double()
        assert torch.minimum(expected, coverage).sum() / torch.maximum(expected, coverage).sum() > 0.97
        assert abs(coverage.sum() / expected.sum() - 1) < 0.01

    def test_nearer_faces_hide_farther_ones(self, renderer: Renderer) -> None:
        near, far = box((-0.2, -0.2, 0.3), (0.2, 0.2, 0.5)), box((-0.6, -0.6, -0.5), (0.6, 0.6, -0.3))
        black = replace(near, corner_colors=torch.zeros_like(near.corner_colors))
        for mesh in (merge(black, far), merge(far, black)):
            front = self.image(renderer, mesh, azimuth=0.0, elevation=0.0)
            assert front[:, SIZE // 2, SIZE // 2].abs().max() == 0
            back = self.image(renderer, mesh, azimuth=180.0, elevation=0.0)
            assert back[:, SIZE // 2, SIZE // 2].min() > 0.05

    def test_faces_in_both_windings_do_not_speckle(self, renderer: Renderer) -> None:
        mesh = table()
        dark = replace(mesh, faces=mesh.faces.flip(1), corner_colors=torch.zeros_like(mesh.corner_colors))
        for both in (merge(mesh, dark), merge(dark, mesh)):
            for azimuth in (10.0, 200.0):
                single = self.image(renderer, mesh, azimuth=azimuth)
                double = self.image(renderer, both, azimuth=azimuth)
                assert (single - double).abs().mean() < 2e-3


class TestRasterizer(RendererContract):
    @pytest.fixture
    def renderer(self) -> Renderer:
        return Rasterizer(SIZE)
