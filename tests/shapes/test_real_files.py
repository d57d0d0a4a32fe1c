"""Mesh files as they are met: each drawn like the same object written in a plain way, or refused in words."""

from __future__ import annotations

import base64
import json
import os
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_semrob.rendering import Rasterizer
from lightning_semrob.shapes import Mesh, MeshFileError, files, images, load_mesh, parts
from lightning_semrob.shapes.images import linear, srgb
from lightning_semrob.shapes.polygons import triangulate
from tests.meshes_by_code import COLORS, POINTS, QUADS, TRIANGLES, UV, Glb, checks, obj, png

VIEWS = torch.tensor([[35.0, 25.0], [215.0, 40.0]])


def drawn(mesh: Mesh | Path) -> Tensor:
    """Two opposite views, far enough for all of the mesh."""
    u = torch.cat((VIEWS, torch.full((2, 1), 4.0)), 1)
    images: Tensor = Rasterizer(40, supersampling=2)(
        load_mesh(mesh) if isinstance(mesh, Path) else mesh, u, ("azimuth", "elevation", "distance")
    )
    return images


def check_same(one: Mesh | Path, other: Mesh | Path, tolerance: float = 0.01) -> None:
    """Both draw the same pictures, and something."""
    first, second = drawn(one), drawn(other)
    assert float((first - 1).abs().amax()) > 0.1
    assert float((first - second).abs().max()) <= tolerance


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of text or bytes below a fresh folder."""

    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


@pytest.fixture
def plain(write: Callable[..., Path]) -> Path:
    """A light grey box."""
    return write("plain/box.obj", obj())


@pytest.fixture
def painted(write: Callable[..., Path]) -> Path:
    """A box with the four-coloured texture, as plain as OBJ can say it."""
    write("painted/box.mtl", "newmtl a\nKd 1 1 1\nmap_Kd tex.png\n")
    write("painted/tex.png", png(checks()))
    return write("painted/box.obj", obj(uv=True, head="mtllib box.mtl", use="a"))


@pytest.fixture
def colored(write: Callable[..., Path]) -> Path:
    """A box with a colour a side, as vertex colours of a plain OBJ."""
    return write("colored/box.obj", obj(colors=True))


def uniform(write: Callable[..., Path], color: Any) -> Path:
    """A box of one display colour."""
    name = "-".join(f"{c:g}" for c in color)
    write(f"uniform/{name}.mtl", f"newmtl a\nKd {' '.join(str(float(c)) for c in color)}\n")
    return write(f"uniform/{name}.obj", obj(head=f"mtllib {name}.mtl", use="a"))


# OBJ


def test_obj_relative_indices_after_several_objects(write: Callable[..., Path]) -> None:
    relative, absolute = [], []
    for k in range(3):
        rows = [f"v {x + 2 * k:g} {y:g} {z:g}" for x, y, z in POINTS]
        relative += [f"o part{k}", *rows, *("f " + " ".join(str(c - 24) for c in face) for face in QUADS)]
        absolute += [*rows, *("f " + " ".join(str(c + 1 + 24 * k) for c in face) for face in QUADS)]
    one = load_mesh(write("a.obj", "\n".join(relative)))
    assert len(one.faces) == 36
    check_same(one, write("b.obj", "\n".join(absolute)))


def test_obj_concave_polygons_are_not_filled(write: Callable[..., Path]) -> None:
    outline = [(0, 0), (3, 0), (3, 1), (1, 1), (1, 2), (3, 2), (3, 3), (0, 3)]
    rows = [f"v {x} {y} {z}" for z in (0, 0.5) for x, y in outline]
    sides = [f"f {k + 1} {(k + 1) % 8 + 1} {(k + 1) % 8 + 9} {k + 9}" for k in range(8)]
    polygons = ["f 8 7 6 5 4 3 2 1", "f 9 10 11 12 13 14 15 16", *sides]
    boxes = [(1, 2, 3, 4), (1, 4, 5, 8), (5, 6, 7, 8)]
    quads = [f"f {' '.join(str(c) for c in reversed(box))}" for box in boxes]
    quads += [f"f {' '.join(str(c + 8) for c in box)}" for box in boxes]
    check_same(write("c.obj", "\n".join(rows + polygons)), write("q.obj", "\n".join(rows + quads + sides)))


def test_triangulation_keeps_area_and_winding() -> None:
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    star = np.stack((np.cos(angles), np.sin(angles)), -1) * np.where(np.arange(20) % 2, 0.4, 1.0)[:, None]
    for axis in range(3):
        for flip in (1, -1):
            points = np.insert(star[::flip], axis, 0.25, axis=1)
            corners, owner = triangulate(points, np.array([20]))
            assert owner.tolist() == [0] * 18
            sides = points[corners]
            normal = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0])
            whole = np.cross(points, np.roll(points, -1, 0)).sum(0)
            np.testing.assert_allclose(normal.sum(0)[axis], whole[axis], rtol=1e-9)
            assert (normal[:, axis] * whole[axis] > 0).all()


def test_obj_vertex_colours_stay_beside_a_material_and_coordinates(write: Callable[..., Path], colored: Path) -> None:
    write("m.mtl", "newmtl a\nKd 1 1 1\n")
    check_same(write("m.obj", obj(colors=True, uv=True, head="mtllib m.mtl", use="a")), colored)
    bytes_ = obj(colors=True).replace(" 1 0 0\n", " 255 0 0\n").replace(" 0 1 0\n", " 0 255 0\n")
    assert load_mesh(write("bytes.obj", bytes_)).corner_colors.max() == 1


def test_obj_coordinates_without_a_texture_are_light_grey(write: Callable[..., Path], plain: Path) -> None:
    mesh = load_mesh(write("uv.obj", obj(uv=True)))
    assert torch.equal(mesh.corner_colors, torch.full((12, 3, 3), 0.8))
    check_same(mesh, plain)


@pytest.mark.parametrize("lines", ["mtllib one.mtl\nmtllib two.mtl", "mtllib one.mtl two.mtl"])
def test_obj_several_material_files(write: Callable[..., Path], lines: str) -> None:
    write("one.mtl", "newmtl z\nKd 0 0 1\n")
    write("two.mtl", "newmtl a\nKd 1 0 0\nnewmtl z\nKd 0 1 0\n")
    check_same(write("b.obj", obj(head=lines, use="a")), uniform(write, (1, 0, 0)))
    check_same(write("z.obj", obj(head=lines, use="z")), uniform(write, (0, 0, 1)))  # the first to describe it


@pytest.mark.parametrize(
    ("library", "name", "folder"),
    [
        ("box.mtl", "textures\\Tex Name.png", "textures/Tex Name.png"),
        ("mat\\box.mtl", "tex.png", "mat/tex.png"),
        ("mat/box.mtl", "tex.png", "tex.png"),
        ("my box.mtl", '"my tex.png"', "my tex.png"),
        ("BOX.MTL", "TEX.PNG", "tex.png"),
        ("box.mtl", "C:\\Users\\me\\tex.png", "tex.png"),
        ("box.mtl", "/home/me/tex.png", "tex.png"),
        ("box.mtl", "tex#1.png", "tex#1.png"),
        ("box.mtl", "-blendu on -bm 1.0 -s 1 1 1 -o 0 0 tex.png", "tex.png"),
        ("box.mtl", "-s 1 -texres 512 -imfchan l tex.png", "tex.png"),
        ("box.mtl", "tex%20name.png", "tex name.png"),
    ],
)
def test_names_of_files(write: Callable[..., Path], painted: Path, library: str, name: str, folder: str) -> None:
    write(library.replace("\\", "/").replace("BOX.MTL", "box.mtl"), f"newmtl a\nKd 1 1 1\nmap_Kd {name}\n")
    write(folder, png(checks()))
    check_same(write("box.obj", obj(uv=True, head=f"mtllib {library}", use="a")), painted)


def test_options_of_a_texture_are_obeyed(write: Callable[..., Path]) -> None:
    write("tex.png", png(checks()))
    write("quarter.png", png(checks()[32:, :32]))  # the lower left quarter: blue
    write("a.mtl", "newmtl a\nKd 1 1 1\nmap_Kd -s 0.5 0.5 1 tex.png\n")
    write("b.mtl", "newmtl a\nKd 1 1 1\nmap_Kd quarter.png\n")
    check_same(
        write("a.obj", obj(uv=True, head="mtllib a.mtl", use="a")),
        write("b.obj", obj(uv=True, head="mtllib b.mtl", use="a")),
        0.12,  # the first mixes in the other quarters at the edges
    )


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(write: Callable[..., Path], painted: Path, codec: str, ends: str) -> None:
    write("tex.png", png(checks()))
    library = "# für ein Beispiel\n\tnewmtl Türgriff\n\tKd 1 1 1\n\tmap_Kd\ttex.png\n"
    write("box.mtl", library.replace("\n", ends).encode(codec))
    text = (
        obj(uv=True, head="mtllib box.mtl", use="Türgriff").replace("f 1/1 2/2", "f 1/1 \\\n2/2").replace("v ", "v\t")
    )
    mesh = load_mesh(write("box.obj", text.replace("\n", ends).encode(codec)))
    assert len(mesh.textures) == 1
    check_same(mesh, painted)


def test_coordinates_far_from_the_origin_keep_their_digits(write: Callable[..., Path], plain: Path) -> None:
    far = "\n".join(f"v {x * 0.02 + 431234:.6f} {y * 0.02 + 121:.6f} {z * 0.02 + 5412345:.6f}" for x, y, z in POINTS)
    faces = "\n".join("f " + " ".join(str(c + 1) for c in face) for face in TRIANGLES)
    mesh = load_mesh(write("far.obj", f"{far}\n{faces}\n"))
    torch.testing.assert_close(mesh.vertices, load_mesh(plain).vertices, atol=1e-5, rtol=0)


# PLY and OFF


def ply(vertex: str, face: str, rows: Any, faces: Any, head: str = "") -> str:
    header = f"ply\nformat ascii 1.0\n{head}element vertex {len(rows)}\n{vertex}element face {len(faces)}\n{face}"
    return header + "\n".join(["end_header", *rows, *faces, ""])


XYZ = "property float x\nproperty float y\nproperty float z\n"
LIST = "property list uchar int vertex_indices\n"
RGB = "property uchar red\nproperty uchar green\nproperty uchar blue\n"


def rows_of(*columns: Any) -> list[str]:
    return [" ".join(f"{x:g}" for x in row) for row in np.concatenate([np.asarray(c, float) for c in columns], 1)]


def test_ply_face_colours_with_quads(write: Callable[..., Path], colored: Path) -> None:
    faces = ["4 " + " ".join(map(str, [*face, *COLORS[face[0]]])) for face in QUADS]
    check_same(write("a.ply", ply(XYZ, LIST + RGB, rows_of(POINTS), faces)), colored)
    mixed = [f"3 {a} {b} {c} {r} {g} {h}" for (a, b, c, _), (r, g, h) in zip(QUADS[:3], COLORS[::4][:3], strict=True)]
    mixed += [f"3 {a} {c} {d} {r} {g} {h}" for (a, _, c, d), (r, g, h) in zip(QUADS[:3], COLORS[::4][:3], strict=True)]
    check_same(write("b.ply", ply(XYZ, LIST + RGB, rows_of(POINTS), mixed + faces[3:])), colored)


@pytest.mark.parametrize("names", [("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue")])
def test_ply_vertex_colours_beside_coordinates(write: Callable[..., Path], colored: Path, names: Any) -> None:
    rgb = "".join(f"property uchar {name}\n" for name in names)
    faces = ["4 " + " ".join(map(str, face)) for face in QUADS]
    text = ply(XYZ + "property float s\nproperty float t\n" + rgb, LIST, rows_of(POINTS, UV, COLORS), faces)
    check_same(write("a.ply", text), colored)


@pytest.mark.parametrize("order", ["<", ">"])
def test_binary_ply_with_mixed_polygons_strips_and_a_texture(
    write: Callable[..., Path], painted: Path, plain: Path, order: str
) -> None:
    kind = "binary_little_endian" if order == "<" else "binary_big_endian"
    write("tex.png", png(checks()))
    head = f"ply\nformat {kind} 1.0\ncomment TextureFile tex.png\nelement vertex 24\n{XYZ}"
    head += "property float u\nproperty float v\n"
    body = np.concatenate((POINTS, UV), 1).astype(order + "f4").tobytes()
    polygons = [*QUADS[:5], QUADS[5][:3], QUADS[5][[0, 2, 3]]]
    faces = b"".join(bytes([len(face)]) + np.asarray(face).astype(order + "i4").tobytes() for face in polygons)
    text = f"{head}element face 7\n{LIST}end_header\n".encode()
    check_same(write("a.ply", text + body + faces), painted)
    strips = np.concatenate([[*face[[0, 1, 3, 2]], -1] for face in QUADS])
    data = np.array([len(strips)]).astype(order + "i4").tobytes() + strips.astype(order + "i4").tobytes()
    text = f"{head.replace('comment TextureFile tex.png', 'comment x')}element tristrips 1\n"
    text += "property list int int vertex_indices\nend_header\n"
    check_same(write("b.ply", text.encode() + body + data), plain)


def test_ply_coordinates_of_faces(write: Callable[..., Path], painted: Path) -> None:
    write("tex.png", png(checks()))
    faces = [f"4 {' '.join(map(str, face))} 8 {' '.join(f'{x:g}' for x in UV[face].reshape(-1))}" for face in QUADS]
    text = ply(
        XYZ, LIST + "property list uchar float texcoord\n", rows_of(POINTS), faces, "comment TextureFile tex.png\n"
    )
    check_same(write("a.ply", text), painted)


def test_off_colours_of_vertices_and_faces(write: Callable[..., Path], colored: Path) -> None:
    quads = ["4 " + " ".join(map(str, face)) for face in QUADS]
    alpha = np.full((24, 1), 255)
    check_same(write("a.off", "\n".join(["COFF", "24 6 0", *rows_of(POINTS, COLORS, alpha), *quads])), colored)
    floats = rows_of(POINTS, COLORS / 255, alpha / 255)
    check_same(write("b.off", "\n".join(["COFF # colours", "", "24 6 0", *floats, *quads])), colored)
    normals = rows_of(POINTS, POINTS * 0 + 1, COLORS, alpha)
    check_same(write("c.off", "\n".join(["CNOFF 24 6 0", *normals, *quads])), colored)
    faces = [f"{quad} {' '.join(map(str, COLORS[4 * k]))}" for k, quad in enumerate(quads)]
    check_same(write("d.off", "\n".join(["OFF", "24 6 0", *rows_of(POINTS), *faces])), colored)


def test_off_mixed_polygons(write: Callable[..., Path]) -> None:
    rows = ["0 0 0", "1 0 0", "1.5 .7 0", ".7 1.4 0", "0 1 0", ".5 .5 1"]
    mixed = write("a.off", "\n".join(["OFF", "6 3 0", *rows, "5 0 1 2 3 4", "3 0 1 5", "3 1 2 5"]))
    triangles = ["3 0 1 2", "3 0 2 3", "3 0 3 4", "3 0 1 5", "3 1 2 5"]
    check_same(mixed, write("b.off", "\n".join(["OFF", "6 5 0", *rows, *triangles])))


# glTF: materials


def glb(tmp_path: Path, material: dict[str, Any] | None = None, name: str = "a.glb", **box: Any) -> Path:
    """A box with one material; its textures are given as bytes in ``texture``."""
    texture, sampler = box.pop("texture", None), box.pop("sampler", {})
    found = Glb()
    if texture is not None:
        found.texture(texture, **sampler)
    found.box(None if material is None else found.material(**material), **box)
    return found.save(tmp_path / name)


TEXTURED = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}


def test_opaque_ignores_opacity(tmp_path: Path, painted: Path) -> None:
    texture = png(checks(alpha=0))
    check_same(glb(tmp_path, {**TEXTURED, "alphaMode": "OPAQUE"}, texture=texture), painted)
    check_same(glb(tmp_path, TEXTURED, texture=texture), painted)
    factor = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "baseColorFactor": [1, 1, 1, 0]}}
    check_same(glb(tmp_path, factor, texture=texture), painted)


def test_mask_cuts_at_the_cutoff_of_the_file(tmp_path: Path, painted: Path) -> None:
    def holes(cutoff: float | None, alpha: int) -> bool:
        material = {**TEXTURED, "alphaMode": "MASK"} | ({} if cutoff is None else {"alphaCutoff": cutoff})
        mesh = load_mesh(glb(tmp_path, material, texture=png(checks(alpha=alpha))))
        return mesh.textures[0].shape[2] == 4 and bool((mesh.textures[0][..., 3] < 0.5).any())

    assert holes(None, 100)
    assert not holes(None, 140)
    assert holes(0.9, 200)
    assert not holes(0.2, 60)
    assert not holes(0.0, 0)
    check_same(
        glb(tmp_path, {**TEXTURED, "alphaMode": "MASK", "alphaCutoff": 0.1}, texture=png(checks(alpha=30))), painted
    )


def test_blend_is_drawn_opaque_and_said(tmp_path: Path, write: Callable[..., Path]) -> None:
    glass = {"name": "glass", "alphaMode": "BLEND", "pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 0.2]}}
    with pytest.warns(UserWarning, match=r"glass \(alphaMode BLEND\): it is drawn opaque"):
        mesh = load_mesh(glb(tmp_path, glass))
    assert mesh.notes == ("has the see-through material glass (alphaMode BLEND): it is drawn opaque",)
    check_same(mesh, uniform(write, (1, 0, 0)))
    with pytest.warns(UserWarning, match="with holes where the opacity"):
        load_mesh(glb(tmp_path, {**TEXTURED, "alphaMode": "BLEND"}, texture=png(checks(alpha=0))))


def test_factors_are_linear(tmp_path: Path, write: Callable[..., Path], painted: Path) -> None:
    half = float(linear(0.5))
    grey = glb(tmp_path, {"pbrMetallicRoughness": {"baseColorFactor": [half, half, half, 1]}})
    check_same(grey, uniform(write, (0.5, 0.5, 0.5)), 0.005)
    pixels = np.full((8, 8, 3), 128, np.uint8)
    check_same(grey, glb(tmp_path, TEXTURED, "b.glb", texture=png(pixels)), 0.005)
    base = {"baseColorTexture": {"index": 0}, "baseColorFactor": [half, 1, 0.1, 1]}
    both = glb(tmp_path, {"pbrMetallicRoughness": base}, "c.glb", texture=png(checks()))
    worked_in = srgb(linear(checks() / 255) * np.array([half, 1, 0.1]))
    write("painted/tex.png", png((worked_in * 255).round().astype(np.uint8)))
    check_same(both, painted, 0.005)


def test_many_factors_on_one_image_share_it(tmp_path: Path) -> None:
    found = Glb()
    found.texture(png(checks()))
    for k in range(40):
        base = {"baseColorTexture": {"index": 0}, "baseColorFactor": [1 - k / 50, 1, 1, 1]}
        found.box(found.material(pbrMetallicRoughness=base), (2 * k, 0, 0))
    mesh = load_mesh(found.save(tmp_path / "a.glb"))
    assert len(mesh.textures) <= 9
    assert len(mesh.corner_colors[:, 0, 0].unique()) > 20


def test_colours_of_vertices_beside_a_material(tmp_path: Path, colored: Path) -> None:
    for kind in ("f4", "u1", "u2"):
        found = Glb()
        values = COLORS / 255 if kind == "f4" else COLORS * (1 if kind == "u1" else 257)
        tint = found.accessor(
            np.concatenate((values, values[:, :1] * 0 + values.max()), 1), kind, normalized=kind != "f4"
        )
        found.box(found.material(pbrMetallicRoughness={"baseColorFactor": [1, 1, 1, 1]}), COLOR_0=tint)
        check_same(found.save(tmp_path / f"{kind}.glb"), colored)
    found = Glb()
    found.box(None, COLOR_0=found.accessor(COLORS / 255))
    check_same(found.save(tmp_path / "a.glb"), colored)


def test_what_a_surface_gives_off_is_added(tmp_path: Path, write: Callable[..., Path], painted: Path) -> None:
    lamp = {"pbrMetallicRoughness": {"baseColorFactor": [0, 0, 0, 1]}, "emissiveFactor": [1, 0.5, 0]}
    check_same(glb(tmp_path, lamp), uniform(write, (1, float(srgb(0.5)), 0)), 0.005)
    strong = {**lamp, "emissiveFactor": [0.25, 0.125, 0]}
    strong["extensions"] = {"KHR_materials_emissive_strength": {"emissiveStrength": 4.0}}
    check_same(glb(tmp_path, strong), uniform(write, (1, float(srgb(0.5)), 0)), 0.005)
    screen = {**lamp, "emissiveFactor": [1, 1, 1], "emissiveTexture": {"index": 0}}
    check_same(glb(tmp_path, screen, texture=png(checks())), painted)


def test_specular_glossiness(tmp_path: Path, painted: Path) -> None:
    gloss = {"diffuseTexture": {"index": 0}, "specularFactor": [0.2, 0.2, 0.2], "glossinessFactor": 0.5}
    material = {"extensions": {"KHR_materials_pbrSpecularGlossiness": gloss}}
    check_same(glb(tmp_path, material, texture=png(checks(), palette=True)), painted, 0.02)


def test_unlit_is_said(tmp_path: Path, painted: Path) -> None:
    found = Glb(extensionsUsed=["KHR_materials_unlit"])
    found.texture(png(checks()))
    found.box(found.material(**TEXTURED, extensions={"KHR_materials_unlit": {}}))
    with pytest.warns(UserWarning, match="KHR_materials_unlit: unlit surfaces are lit"):
        check_same(load_mesh(found.save(tmp_path / "a.glb")), painted)


def moved(offset: Any = (0, 0), scale: Any = (1, 1), rotation: float = 0.0) -> dict[str, Any]:
    transform = {"offset": list(offset), "scale": list(scale), "rotation": rotation}
    texture = {"index": 0, "extensions": {"KHR_texture_transform": transform}}
    return {"pbrMetallicRoughness": {"baseColorTexture": texture}}


def test_texture_transforms(tmp_path: Path) -> None:
    for transform, matrix in (
        ({"offset": (0.25, 0.5), "scale": (0.5, 0.25)}, [[0.5, 0, 0.25], [0, 0.25, 0.5]]),
        ({"rotation": np.pi / 2}, [[0, 1, 0], [-1, 0, 0]]),  # counter-clockwise in the picture, v down
    ):
        place = np.array(matrix)
        down = np.stack((UV[:, 0], 1 - UV[:, 1]), -1) @ place[:, :2].T + place[:, 2]
        baked = np.stack((down[:, 0], 1 - down[:, 1]), -1)
        one = glb(tmp_path, moved(**transform), "a.glb", texture=png(checks()))
        check_same(one, glb(tmp_path, TEXTURED, "b.glb", texture=png(checks()), uv=baked))


def test_the_second_set_of_coordinates(tmp_path: Path, painted: Path) -> None:
    found = Glb()
    found.texture(png(checks()))
    second = found.accessor(np.stack((UV[:, 0], 1 - UV[:, 1]), -1))
    base = {"baseColorTexture": {"index": 0, "texCoord": 1}}
    found.box(found.material(pbrMetallicRoughness=base), uv=UV * 0, TEXCOORD_1=second)
    check_same(found.save(tmp_path / "a.glb"), painted)


def sampled(code: int, **more: Any) -> dict[str, Any]:
    return {"wrapS": code, "wrapT": code, **more}


def test_clamped_and_mirrored_textures(tmp_path: Path) -> None:
    pixels, wide = checks(16), UV * 3 - 1  # from -1 to 2
    clamped = np.pad(pixels, ((16, 16), (16, 16), (0, 0)), mode="edge")
    mirrored = np.pad(pixels, ((16, 16), (16, 16), (0, 0)), mode="symmetric")
    for code, expected in ((33071, clamped), (33648, mirrored)):
        one = glb(tmp_path, TEXTURED, "a.glb", texture=png(pixels), sampler=sampled(code), uv=wide)
        other = glb(tmp_path, TEXTURED, "b.glb", texture=png(expected), sampler=sampled(33071))
        check_same(one, other, 0.12)
        assert float((drawn(one) - drawn(other)).abs().mean()) < 0.004
    inside = glb(tmp_path, TEXTURED, "a.glb", texture=png(pixels), sampler=sampled(33071))
    assert load_mesh(inside).textures[0].shape == (16, 16, 3)


def test_repeated_textures_far_out_keep_their_digits(tmp_path: Path, painted: Path) -> None:
    check_same(glb(tmp_path, TEXTURED, texture=png(checks()), uv=UV + 100_000), painted)


# glTF: images that cannot be had


def test_missing_and_broken_images_are_said(tmp_path: Path) -> None:
    found = Glb(images=[{"uri": "gone%20one.png"}], textures=[{"source": 0}])
    found.box(found.material(**TEXTURED))
    with pytest.warns(UserWarning, match=r"names gone%20one\.png, not found beside it"):
        mesh = load_mesh(found.save(tmp_path / "a.glb"))
    assert not mesh.textures
    Image.fromarray(checks()).save(tmp_path / "gone one.png")
    assert len(load_mesh(tmp_path / "a.glb").textures) == 1
    with pytest.warns(UserWarning, match=r"an image of type image/png \(number 0\) that cannot be read"):
        load_mesh(glb(tmp_path, TEXTURED, texture=png(checks())[:60]))


@pytest.mark.parametrize("required", [True, False])
def test_ktx2_textures_are_named(tmp_path: Path, required: bool) -> None:
    found = Glb(extensionsUsed=["KHR_texture_basisu"])
    found.json |= {"extensionsRequired": ["KHR_texture_basisu"]} if required else {}
    found.texture(b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(100), "image/ktx2")
    found.json["textures"] = [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]
    found.box(found.material(**TEXTURED))
    path = found.save(tmp_path / "a.glb")
    if required:
        with pytest.raises(MeshFileError, match=r"it needs the glTF extension KHR_texture_basisu \(KTX2 textures\)"):
            load_mesh(path)
    else:
        with pytest.warns(UserWarning, match="has a KTX2 texture"):
            load_mesh(path)


def test_too_large_images_are_refused_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 4000)
    with pytest.raises(MeshFileError, match="a texture of 64 x 64 pixels, more than 4,000: scale it down"):
        load_mesh(glb(tmp_path, TEXTURED, texture=png(checks())))
    huge = bytearray(png(checks()))
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    with pytest.raises(MeshFileError, match="scale it down"):
        load_mesh(glb(tmp_path, TEXTURED, texture=bytes(huge)))


def test_unknown_required_extensions_are_refused_by_name(tmp_path: Path) -> None:
    found = Glb(extensionsUsed=["ACME_fur"], extensionsRequired=["ACME_fur"])
    found.box()
    with pytest.raises(MeshFileError, match="it needs the glTF extension ACME_fur, which is not supported"):
        load_mesh(found.save(tmp_path / "a.glb"))
    found = Glb(extensionsRequired=["KHR_materials_clearcoat"])
    found.box()
    with pytest.warns(UserWarning, match="KHR_materials_clearcoat: it is left out"):
        load_mesh(found.save(tmp_path / "b.glb"))
    (tmp_path / "c.gltf").write_text(json.dumps({"asset": {"version": "1.0"}}))
    with pytest.raises(MeshFileError, match=r"of version 1\.0 of glTF"):
        load_mesh(tmp_path / "c.gltf")


# glTF: form


def test_quantized_coordinates(tmp_path: Path) -> None:
    def two(quantized: bool) -> Path:
        found = Glb(extensionsRequired=["KHR_mesh_quantization"]) if quantized else Glb()
        red, green = (found.material(pbrMetallicRoughness={"baseColorFactor": c}) for c in ([1, 0, 0, 1], [0, 1, 0, 1]))
        if quantized:
            points = found.accessor((POINTS * 2 * 32767).round(), "i2", stride=8, normalized=True)
            found.box(red, uv=False, node={"scale": [0.5, 0.5, 0.5]}, POSITION=points)
        else:
            found.box(red)
        found.box(green, (2, 0, 0))
        return found.save(tmp_path / f"{quantized}.glb")

    check_same(two(True), two(False))


def draco_box(folder: Path) -> Path:
    """A green box packed with Draco."""
    DracoPy = pytest.importorskip("DracoPy")
    packed = DracoPy.encode(POINTS.astype(np.float32), TRIANGLES.astype(np.uint32), quantization_bits=14)
    found = Glb(extensionsUsed=["KHR_draco_mesh_compression"])
    number = DracoPy.decode(packed).attributes[0]["unique_id"]
    draco = {"bufferView": found.view(packed), "attributes": {"POSITION": number}}
    found.json["accessors"] = [
        {"componentType": 5125, "count": 36, "type": "SCALAR"},
        {"componentType": 5126, "count": 24, "type": "VEC3"},
    ]
    primitive = {"attributes": {"POSITION": 1}, "indices": 0, "extensions": {"KHR_draco_mesh_compression": draco}}
    primitive["material"] = found.material(pbrMetallicRoughness={"baseColorFactor": [0, 1, 0, 1]})
    found.mesh([primitive])
    return found.save(folder / "draco.glb")


def meshopt_box(folder: Path, name: str = "EXT_meshopt_compression") -> Path:
    """A green box packed with meshoptimizer."""
    meshopt = pytest.importorskip("meshopt", reason="needs Python 3.11")
    points = meshopt.encode_gltf_buffer(POINTS.astype(np.float32), "ATTRIBUTES")
    index = meshopt.encode_gltf_buffer(TRIANGLES.astype(np.uint16).reshape(-1), "TRIANGLES")
    found = Glb(extensionsRequired=[name], buffers=[{"byteLength": 400}])
    views = found.json["bufferViews"]
    for k, (data, stride, count, mode) in enumerate(((points, 12, 24, "ATTRIBUTES"), (index, 2, 36, "TRIANGLES"))):
        real = views[found.view(bytes(data))]
        packed = {**real, "byteStride": stride, "count": count, "mode": mode}
        views[k] = {"buffer": 1, "byteOffset": 0, "byteLength": stride * count, "extensions": {name: packed}}
    found.json["accessors"] = [
        {"bufferView": 0, "componentType": 5126, "count": 24, "type": "VEC3"},
        {"bufferView": 1, "componentType": 5123, "count": 36, "type": "SCALAR"},
    ]
    green = found.material(pbrMetallicRoughness={"baseColorFactor": [0, 1, 0, 1]})
    found.mesh([{"attributes": {"POSITION": 0}, "indices": 1, "material": green}])
    return found.save(folder / "meshopt.glb")


def test_compression(tmp_path: Path, write: Callable[..., Path]) -> None:
    green = uniform(write, (0, 1, 0))
    check_same(draco_box(tmp_path), green)
    for name in ("EXT_meshopt_compression", "KHR_meshopt_compression"):
        check_same(meshopt_box(tmp_path, name), green)


@pytest.mark.parametrize(("package", "box"), [("DracoPy", draco_box), ("meshopt", meshopt_box)])
def test_a_package_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, box: Callable[[Path], Path]
) -> None:
    path = box(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MeshFileError, match=f"run 'pip install {package}' to read it"):
        load_mesh(path)


def test_sparse_accessors(tmp_path: Path, plain: Path) -> None:
    found = Glb()
    wrong = POINTS.copy()
    wrong[[3, 17]] = 9.0
    number = found.accessor(wrong)
    values = {"bufferView": found.view(POINTS[[3, 17]].astype("<f4").tobytes())}
    where = {"bufferView": found.view(np.array([3, 17], "<u2").tobytes()), "componentType": 5123}
    found.json["accessors"][number]["sparse"] = {"count": 2, "indices": where, "values": values}
    found.box(uv=False, POSITION=number)
    check_same(found.save(tmp_path / "a.glb"), plain)
    del found.json["accessors"][number]["bufferView"]
    where |= {"bufferView": found.view(np.arange(24, dtype="<u2").tobytes())}
    values |= {"bufferView": found.view(POINTS.astype("<f4").tobytes())}
    found.json["accessors"][number]["sparse"]["count"] = 24
    check_same(found.save(tmp_path / "b.glb"), plain)


@pytest.mark.parametrize(("mode", "order"), [(5, [0, 1, 3, 2]), (6, [0, 1, 2, 3])])
def test_strips_and_fans(tmp_path: Path, plain: Path, mode: int, order: list[int]) -> None:
    found = Glb()
    points = found.accessor(POINTS)
    found.mesh(
        [{"attributes": {"POSITION": points}, "indices": found.accessor(q[order], "u1"), "mode": mode} for q in QUADS]
    )
    mesh = load_mesh(found.save(tmp_path / "a.glb"))
    corners = mesh.vertices[mesh.faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = load_mesh(plain)
    assert float((normal * corners.mean(1)).sum(-1).sign().unique().numel()) == 1
    check_same(mesh, outward)


def test_a_skin_follows_its_joints_and_not_its_node(tmp_path: Path) -> None:
    def scene(skinned: bool) -> Path:
        found = Glb()
        red, green = (found.material(pbrMetallicRoughness={"baseColorFactor": c}) for c in ([1, 0, 0, 1], [0, 1, 0, 1]))
        shift = np.eye(4)
        shift[3, 0] = -1.0  # column-major: takes the joint's rest place away
        if skinned:
            found.json["nodes"] = [{"translation": [1.0, 0, 0], "rotation": [0, 0, 0.70710678, 0.70710678]}]
            found.json["skins"] = [{"joints": [0], "inverseBindMatrices": found.accessor(shift.reshape(1, 16))}]
            joints = found.accessor(np.zeros((24, 4)), "u1")
            weights = found.accessor(np.tile([[1.0, 0, 0, 0]], (24, 1)))
            node = {"skin": 0, "scale": [0.1, 0.1, 0.1], "rotation": [0.70710678, 0, 0, 0.70710678]}
            found.box(red, (0, 1, 0), node=node, JOINTS_0=joints, WEIGHTS_0=weights)
        else:  # turned by 90 degrees about z around (1, 0, 0), the point (x - 1, y) goes to (1 - y, x - 1)
            turned = np.stack((1 - (POINTS[:, 1] + 1), POINTS[:, 0] - 1, POINTS[:, 2]), -1)
            found.box(red, POSITION=found.accessor(turned))
        found.box(green, (3, 0, 0))
        return found.save(tmp_path / f"{skinned}.glb")

    check_same(scene(True), scene(False))


def test_morph_weights(tmp_path: Path) -> None:
    def scene(morphed: bool) -> Path:
        found = Glb()
        tall = POINTS * [0, 1, 0]
        if morphed:
            target = found.accessor(tall * 4)
            found.box(uv=False)
            found.json["meshes"][0] |= {"weights": [0.0]}
            found.json["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": target}]
            found.json["nodes"][0]["weights"] = [0.5]
        else:
            found.box(uv=False, POSITION=found.accessor(POINTS + 2 * tall))
        found.box(None, (2, 0, 0))
        return found.save(tmp_path / f"{morphed}.glb")

    check_same(scene(True), scene(False))


def test_instances(tmp_path: Path) -> None:
    def scene(instanced: bool) -> Path:
        found = Glb(extensionsUsed=["EXT_mesh_gpu_instancing"])
        places = [[0.0, 0, 0], [2, 0, 0], [4, 1, 0]]
        if instanced:
            attributes = {"TRANSLATION": found.accessor(places), "SCALE": found.accessor([[1.0, 1, 1]] * 3)}
            found.box(node={"extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}}})
        else:
            for place in places:
                found.box(offset=place)
        return found.save(tmp_path / f"{instanced}.glb")

    one = load_mesh(scene(True))
    assert len(one.faces) == 36
    check_same(one, scene(False))


def test_gltf_with_files_and_data_addresses(tmp_path: Path, painted: Path) -> None:
    glb(tmp_path, TEXTURED, texture=png(checks()))
    data = (tmp_path / "a.glb").read_bytes()
    size = int.from_bytes(data[12:16], "little")
    document, body = json.loads(data[20 : 20 + size]), data[28 + size :]
    (tmp_path / "my data.bin").write_bytes(body)
    document["buffers"][0]["uri"] = "my%20data.bin"
    view = document["bufferViews"][document["images"][0].pop("bufferView")]
    image = body[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    document["images"][0]["uri"] = "data:image/png;base64," + base64.b64encode(image).decode()
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    check_same(tmp_path / "a.gltf", painted)


# Memory


def test_parts_share_one_texture(tmp_path: Path) -> None:
    found = Glb()
    found.texture(png(checks(2048)))
    material = found.material(**TEXTURED)
    found.box(material)
    found.json["nodes"] = [{"mesh": 0, "translation": [1.5 * (k % 10), 1.5 * (k // 10), 0]} for k in range(200)]
    mesh = load_mesh(found.save(tmp_path / "a.glb"))
    assert len(mesh.faces) == 2400
    assert [tuple(texture.shape) for texture in mesh.textures] == [(1024, 1024, 3)]


def test_too_many_faces_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_FACES", 100)
    found = Glb()
    found.box()
    found.json["nodes"] = [{"mesh": 0} for _ in range(20)]
    with pytest.raises(MeshFileError, match="more than 100 triangles"):
        load_mesh(found.save(tmp_path / "a.glb"))


# Other formats


def test_stl_dae_3mf_and_archives(tmp_path: Path, write: Callable[..., Path], plain: Path, painted: Path) -> None:
    import trimesh

    box = trimesh.Trimesh(POINTS, TRIANGLES, process=False)
    for kind in ("stl", "stl_ascii"):
        box.export(tmp_path / f"{kind}.stl", file_type=kind)
        check_same(tmp_path / f"{kind}.stl", plain)
    tall = trimesh.Trimesh(POINTS * [1, 1, 3], TRIANGLES, process=False)
    tall.export(tmp_path / "tall.3mf")
    size = load_mesh(tmp_path / "tall.3mf").vertices.amax(0)
    torch.testing.assert_close(size, torch.tensor([1 / 3, 1.0, 1 / 3]))  # +z of the file is up
    with zipfile.ZipFile(tmp_path / "painted.zip", "w") as archive:
        for name in ("box.obj", "box.mtl", "tex.png"):
            archive.write(painted.parent / name, f"folder/{name}")
        archive.writestr("__MACOSX/folder/._box.obj", b"\0")
        archive.writestr("folder/.box.obj", b"\0")
    check_same(tmp_path / "painted.zip", painted)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.write(plain, "one.obj")
        archive.write(plain, "other.obj")
    with pytest.raises(MeshFileError, match=r"holds 2 mesh files \(one\.obj, other\.obj\)"):
        load_mesh(tmp_path / "two.zip")


def test_collada(write: Callable[..., Path], painted: Path) -> None:
    write("tex file.png", png(checks()))
    # up is +z: (x, y, z) of the box is (x, -z, y) in the file
    points = " ".join(f"{c:g}" for x, y, z in POINTS for c in (x, -z, y))
    uv = " ".join(f"{c:g}" for c in UV.reshape(-1))
    index = " ".join(f"{k} {k}" for k in QUADS.reshape(-1))

    def numbers(name: str, values: str, count: int, params: str) -> str:
        fields = "".join(f'<param name="{p}" type="float"/>' for p in params)
        return (
            f'<source id="{name}"><float_array id="{name}a" count="{count * len(params)}">{values}</float_array>'
            f'<technique_common><accessor source="#{name}a" count="{count}" stride="{len(params)}">{fields}</accessor>'
            "</technique_common></source>"
        )

    text = f"""<?xml version="1.0"?>
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1"><asset><up_axis>Z_UP</up_axis></asset>
<library_images><image id="i"><init_from>tex%20file.png</init_from></image></library_images>
<library_effects><effect id="e"><profile_COMMON>
<newparam sid="s"><surface type="2D"><init_from>i</init_from></surface></newparam>
<newparam sid="t"><sampler2D><source>s</source></sampler2D></newparam>
<technique sid="c"><lambert><diffuse><texture texture="t" texcoord="UV"/></diffuse></lambert></technique>
</profile_COMMON></effect></library_effects>
<library_materials><material id="m"><instance_effect url="#e"/></material></library_materials>
<library_geometries><geometry id="g"><mesh>{numbers("p", points, 24, "XYZ")}{numbers("w", uv, 24, "ST")}
<vertices id="v"><input semantic="POSITION" source="#p"/></vertices>
<polylist material="M" count="6"><input semantic="VERTEX" source="#v" offset="0"/>
<input semantic="TEXCOORD" source="#w" offset="1" set="0"/><vcount>{"4 " * 6}</vcount><p>{index}</p></polylist>
</mesh></geometry></library_geometries>
<library_visual_scenes><visual_scene id="vs"><node id="n"><instance_geometry url="#g"><bind_material><technique_common>
<instance_material symbol="M" target="#m"/></technique_common></bind_material></instance_geometry></node>
</visual_scene></library_visual_scenes><scene><instance_visual_scene url="#vs"/></scene></COLLADA>"""
    check_same(write("box.dae", text), painted)


def usd(texture: str = "tex.png", head: str = "", mesh: str = "") -> str:
    """The painted box in USD, up is +z, moved and scaled by its parent; ``mesh`` is written into the mesh."""
    points = ", ".join(f"({x:g}, {-z:g}, {y:g})" for x, y, z in POINTS)
    uv = ", ".join(f"({u:g}, {v:g})" for u, v in UV.reshape(-1, 2))
    return f"""#usda 1.0
( upAxis = "Z" {head} )
def Xform "root" {{
  double3 xformOp:translate = (5, 6, 7)
  double3 xformOp:scale = (2, 2, 2)
  uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
  def Mesh "box" ( prepend apiSchemas = ["MaterialBindingAPI"] ) {{
    point3f[] points = [{points}]
    int[] faceVertexCounts = [{", ".join(["4"] * 6)}]
    int[] faceVertexIndices = [{", ".join(map(str, QUADS.reshape(-1)))}]
    texCoord2f[] primvars:st = [{uv}] ( interpolation = "vertex" )
    uniform token subdivisionScheme = "none"
    rel material:binding = </root/m>
    {mesh}
  }}
  def Material "m" {{
    token outputs:surface.connect = </root/m/surface.outputs:surface>
    def Shader "surface" {{
      uniform token info:id = "UsdPreviewSurface"
      color3f inputs:diffuseColor.connect = </root/m/picture.outputs:rgb>
      token outputs:surface
    }}
    def Shader "picture" {{
      uniform token info:id = "UsdUVTexture"
      asset inputs:file = @{texture}@
      float2 inputs:st.connect = </root/m/where.outputs:result>
      float3 outputs:rgb
    }}
    def Shader "where" {{
      uniform token info:id = "UsdPrimvarReader_float2"
      string inputs:varname = "st"
      float2 outputs:result
    }}
  }}
}}
"""


def test_usd_and_usdz(tmp_path: Path, write: Callable[..., Path], painted: Path, plain: Path) -> None:
    pytest.importorskip("pxr", reason="usd-core has no wheel for this Python")
    write("tex.png", png(checks()))
    check_same(write("box.usda", usd()), painted)
    with zipfile.ZipFile(tmp_path / "box.usdz", "w") as archive:
        archive.write(tmp_path / "box.usda", "box.usda")
        archive.write(tmp_path / "tex.png", "tex.png")
    check_same(tmp_path / "box.usdz", painted)
    with zipfile.ZipFile(tmp_path / "two.usdz", "w") as archive:  # as three.js writes them
        inside = 'def "a" ( prepend references = @./parts/box.usda@</root> )\n  {\n  }'
        root = f'#usda 1.0\n( upAxis = "Z" )\ndef Xform "all"\n{{\n  {inside}\n}}\n'
        archive.writestr("model.usda", root)
        archive.write(tmp_path / "box.usda", "parts/box.usda")
        archive.write(tmp_path / "tex.png", "tex.png")
    check_same(tmp_path / "two.usdz", painted)
    flipped = usd(mesh='uniform token orientation = "leftHanded"').replace("faceVertexIndices = [", "x = [")
    backwards = ", ".join(map(str, QUADS[:, ::-1].reshape(-1)))
    flipped = flipped.replace("texCoord2f[]", f"int[] faceVertexIndices = [{backwards}]\n    texCoord2f[]")
    for path in (tmp_path / "box.usda", write("left.usda", flipped)):
        corners = load_mesh(path).vertices[load_mesh(path).faces]
        assert torch.linalg.det(corners).sum() > 0  # six times the volume: faces look outward
    red = usd().replace(
        "inputs:diffuseColor.connect = </root/m/picture.outputs:rgb>", "inputs:diffuseColor = (1, 0, 0)"
    )
    check_same(write("red.usda", red), uniform(write, (1, 0, 0)))
    shown = usd(mesh="color3f[] primvars:displayColor = [(0, 0, 1)]").replace("rel material:binding = </root/m>", "")
    check_same(write("blue.usda", shown), uniform(write, (0, 0, 1)))
    with pytest.warns(UserWarning, match=r"names gone\.png, not found beside it"):
        check_same(write("gone.usda", usd("gone.png")), plain)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("def Mesh", 'def Sphere "ball" {}\n  def Mesh'), r"has a Sphere \(/root/ball\), which is no mesh"),
        (('def Xform "root" {', 'def Xform "root" ( references = @/etc/passwd@ ) {'), "refers to another layer"),
        (("int[] faceVertexCounts = [4", "int[] faceVertexCounts = [5"), "names a vertex that does not exist"),
        (("#usda 1.0", "nothing"), "cannot be read"),
    ],
)
def test_usd_that_is_refused(write: Callable[..., Path], change: tuple[str, str], words: str) -> None:
    pytest.importorskip("pxr", reason="usd-core has no wheel for this Python")
    with pytest.raises(MeshFileError, match=words):
        load_mesh(write("box.usda", usd().replace(*change)))


# Files that must not be read


def mesh_with_texture(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "box.mtl").write_text(f"newmtl a\nKd 1 1 1\nmap_Kd {name}\n")
    (folder / "box.obj").write_text(obj(uv=True, head="mtllib box.mtl", use="a"))
    return folder / "box.obj"


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    Image.fromarray(checks()).save(tmp_path / "secret.png")
    path = mesh_with_texture(tmp_path / "cup", "tex.png")
    (tmp_path / "cup" / "tex.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(MeshFileError, match=r"names 'tex\.png', which leads outside its folder"):
        load_mesh(path)
    (tmp_path / "cup" / "tex.png").unlink()
    (tmp_path / "box.mtl").write_text("newmtl a\nKd 1 0 0\n")
    (tmp_path / "cup" / "box.mtl").unlink()
    (tmp_path / "cup" / "box.mtl").symlink_to(tmp_path / "box.mtl")
    with pytest.raises(MeshFileError, match=r"names 'box\.mtl', which leads outside its folder"):
        load_mesh(path)
    deep = mesh_with_texture(tmp_path / "a" / "b" / "c", "../../../secret.png")
    with pytest.raises(MeshFileError, match="leads outside its folder"):
        load_mesh(deep)
    # Within the folder a link is a file like any other, and so is what lies beside the file that a link stands for.
    inner = mesh_with_texture(tmp_path / "d", "tex.png")
    Image.fromarray(checks()).save(tmp_path / "d" / "real.png")
    (tmp_path / "d" / "tex.png").symlink_to("real.png")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "link.obj").symlink_to(inner)
    assert len(load_mesh(inner).textures) == len(load_mesh(tmp_path / "e" / "link.obj").textures) == 1


def test_devices_and_pipes_are_refused(tmp_path: Path) -> None:
    path = mesh_with_texture(tmp_path / "cup", "tex.png")
    os.mkfifo(tmp_path / "cup" / "tex.png")
    with pytest.raises(MeshFileError, match=r"names 'tex\.png', which is a device or a pipe"):
        load_mesh(path)
    (tmp_path / "cup" / "tex.png").unlink()
    (tmp_path / "cup" / "tex.png").symlink_to("/dev/zero")
    with pytest.raises(MeshFileError, match="leads outside its folder"):
        load_mesh(path)
    os.mkfifo(tmp_path / "pipe.obj")
    with pytest.raises(MeshFileError, match="there is no mesh file"):
        load_mesh(tmp_path / "pipe.obj")


def test_large_files_are_refused_before_they_are_read(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 2**20)
    path = mesh_with_texture(tmp_path / "cup", "tex.png")
    with (tmp_path / "cup" / "tex.png").open("wb") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no room
    with pytest.raises(MeshFileError, match=r"more than 1 MiB \(the limit was reached with 'tex\.png'\)"):
        load_mesh(path)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("box.obj", obj() + " " * 2**22)
    with pytest.raises(MeshFileError, match="more than 1 MiB"):
        load_mesh(tmp_path / "bomb.zip")


def test_counts_that_a_file_cannot_keep(tmp_path: Path, write: Callable[..., Path]) -> None:
    found = Glb()
    found.box(uv=False)
    path = found.save(tmp_path / "a.glb")
    for key, value in (
        ("count", 2**40),
        ("count", 25),
        ("byteOffset", 10**9),
        ("bufferView", 99),
        ("sparse", {"count": 1}),
    ):
        again = Glb(**json.loads(json.dumps({k: v for k, v in found.json.items() if k != "buffers"})))
        again.data = found.data
        again.json["accessors"][0][key] = value
        if value == 2**40:
            del again.json["accessors"][0]["bufferView"]
        with pytest.raises(MeshFileError, match=r"b\.glb"):
            load_mesh(again.save(path.with_name("b.glb")))
    cycle = {"asset": {"version": "2.0"}, "nodes": [{"children": [1]}, {"children": [0]}], "scenes": [{"nodes": [0]}]}
    with pytest.raises(MeshFileError, match="hangs from"):
        load_mesh(write("c.gltf", json.dumps(cycle)))
    with pytest.raises(MeshFileError, match="ends before its 353535235358 vertices"):
        load_mesh(write("d.off", "OFF\n353535235358 6 0\n0 0 0\n"))
    with pytest.raises(MeshFileError, match="it ends within an element"):
        load_mesh(write("e.ply", f"ply\nformat binary_little_endian 1.0\nelement vertex 9999999999\n{XYZ}end_header\n"))


def test_no_warning_of_a_library_gets_out(painted: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_mesh(painted)
