"""Smooth normals by crease angle."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lightning_semrob.rendering import Light, Rasterizer
from lightning_semrob.shapes import normals as module
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.shapes.normals import smooth_normals
from tests.rendering.test_rendering_contract import box, merge


def sphere(rings: int = 16, sides: int = 32) -> Mesh:
    """A unit sphere of triangles with vertices of their own: only positions tell what belongs together."""
    polar = torch.linspace(0, torch.pi, rings + 1)[:, None]
    turn = torch.linspace(0, 2 * torch.pi, sides + 1)[None]
    grid = torch.stack((polar.sin() * turn.sin(), polar.cos().expand(-1, sides + 1), polar.sin() * turn.cos()), -1)
    grid[:, -1] = grid[:, 0]
    grid[0], grid[-1] = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, -1.0, 0.0])
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    triangles = torch.cat((torch.stack((a, b, c), -2).view(-1, 3, 3), torch.stack((a, c, d), -2).view(-1, 3, 3)))
    area = torch.linalg.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]).norm(dim=-1)
    triangles = triangles[area > 1e-9]
    count = len(triangles)
    return Mesh(triangles.reshape(-1, 3), torch.arange(3 * count).view(count, 3), torch.full((count, 3, 3), 0.8))


def test_normals_of_a_sphere_are_its_radii() -> None:
    mesh = smooth_normals(sphere(), 60.0)
    assert mesh.corner_normals is not None
    radii = mesh.vertices[mesh.faces]
    cosine = (mesh.corner_normals * radii).sum(-1)
    assert cosine.min() > 0.99
    torch.testing.assert_close(mesh.corner_normals.norm(dim=-1), torch.ones(cosine.shape), rtol=0, atol=1e-5)


def test_edges_sharper_than_the_crease_angle_stay_sharp() -> None:
    mesh = smooth_normals(box(), 60.0)
    assert mesh.corner_normals is not None
    assert torch.equal(mesh.corner_normals, mesh.corner_normals[:, :1].expand(-1, 3, -1))
    assert set(map(tuple, mesh.corner_normals.abs().flatten(0, 1).tolist())) == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}


def test_a_crease_angle_of_zero_is_flat() -> None:
    u, names = torch.tensor([[30.0, 20.0]]), ("azimuth", "elevation")
    flat = Rasterizer(64)(sphere(), u, names)
    assert (Rasterizer(64, crease_angle=0.0)(sphere(), u, names) - flat).abs().mean() < 1e-4
    assert (Rasterizer(64, crease_angle=60.0)(sphere(), u, names) - flat).abs().mean() > 1e-3


def test_faces_in_both_windings_do_not_cancel() -> None:
    mesh = sphere()
    both = merge(mesh, replace(mesh, faces=mesh.faces.flip(1)))
    normals = smooth_normals(both, 60.0).corner_normals
    assert normals is not None
    count = len(mesh.faces)
    torch.testing.assert_close(normals[:count], -normals[count:].flip(1), rtol=0, atol=1e-5)


def test_chunks_of_pairs_do_not_change_the_normals(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = smooth_normals(sphere(), 60.0).corner_normals
    monkeypatch.setattr(module, "_PAIRS", 7)
    parts = smooth_normals(sphere(6, 9), 60.0).corner_normals
    monkeypatch.undo()
    assert whole is not None
    assert parts is not None
    torch.testing.assert_close(parts, smooth_normals(sphere(6, 9), 60.0).corner_normals, rtol=0, atol=1e-6)


def test_smooth_shading_takes_the_facets_away() -> None:
    u, names = torch.tensor([[10.0, 10.0]]), ("azimuth", "elevation")
    rows = [Rasterizer(64, crease_angle=angle)(sphere(10, 16), u, names)[0, 0, 32, 20:44] for angle in (0.0, 60.0)]
    bends = [row.diff().diff().abs().max() for row in rows]
    assert bends[1] < 0.4 * bends[0]


def test_further_lights_add_up() -> None:
    u, names = torch.tensor([[20.0, 30.0]]), ("azimuth", "elevation")
    mesh = replace(box(), corner_colors=torch.full((12, 3, 3), 0.5))
    key, fill = Light(30.0, 45.0, 0.3), Light(-60.0, 20.0, 0.4)
    dark = Rasterizer(64, ambient=0.2, directional=0.0)
    images = [
        Rasterizer(64, ambient=0.2, directional=0.0, lights=lights)(mesh, u, names) - dark(mesh, u, names)
        for lights in ((key,), (fill,), (key, fill))
    ]
    torch.testing.assert_close(images[0] + images[1], images[2], rtol=0, atol=1e-6)
    assert images[0].max() > 0.05
    same = Rasterizer(64, ambient=0.2, directional=0.3)(mesh, u, names)
    torch.testing.assert_close(images[0] + dark(mesh, u, names), same, rtol=0, atol=1e-6)


@pytest.mark.parametrize("angle", [-1.0, 91.0])
def test_bad_crease_angles_are_refused(angle: float) -> None:
    with pytest.raises(ValueError, match="crease_angle must lie in"):
        Rasterizer(64, crease_angle=angle)
    with pytest.raises(ValueError, match="crease_angle must lie in"):
        smooth_normals(box(), angle)
