"""Mesh files, the class table and the grammar of shape specifications."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from lightning_semrob.shapes import (
    CLASS_TABLE,
    EMBEDDED_CLASSES,
    MeshFileError,
    class_target,
    classes,
    load_class_table,
    load_mesh,
    register_class,
    resolve_shapes,
)
from lightning_semrob.shapes.parts import DEFAULT_COLOR

RED, BLUE = (255, 0, 0, 255), (0, 0, 255, 255)

OBJ = """mtllib box.mtl
v 0 0 0
v 4 0 0
v 4 2 0
v 0 2 0
v 0 0 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl painted
f 1/1 2/2 3/3 4/4
usemtl red
f 1 2 5
f 1 1 2
"""
MTL = """newmtl painted
Kd 1 1 1
map_Kd images/paint.png

newmtl red
Kd 0.8 0.2 0.0
"""


@pytest.fixture
def obj(tmp_path: Path) -> Path:
    """An OBJ with a textured quad, a red triangle and a degenerate one; texture: top red, bottom blue."""
    (tmp_path / "images").mkdir()
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2, :, 0], pixels[2:, :, 2] = 255, 255
    Image.fromarray(pixels).save(tmp_path / "images" / "paint.png")
    (tmp_path / "box.mtl").write_text(MTL)
    (tmp_path / "box.obj").write_text(OBJ)
    return tmp_path / "box.obj"


@pytest.fixture
def table() -> Iterator[None]:
    """Restores the class table."""
    before = dict(CLASS_TABLE)
    yield
    CLASS_TABLE.clear()
    CLASS_TABLE.update(before)


def test_obj_with_materials_and_texture(obj: Path) -> None:
    mesh = load_mesh(obj)
    assert (len(mesh.faces), mesh.dropped_faces) == (3, 1)
    assert float(mesh.vertices.amax(0)[0]) == pytest.approx(1.0)
    assert mesh.corner_normals is None
    assert mesh.face_texture is not None
    assert mesh.corner_uv is not None
    textured = mesh.face_texture >= 0
    assert int(textured.sum()) == 2
    assert len(mesh.textures) == 1
    assert mesh.textures[0].shape == (4, 4, 3)
    torch.testing.assert_close(mesh.textures[0][0, 0], torch.tensor((1.0, 0.0, 0.0)))  # first row on top
    high = mesh.vertices[mesh.faces[textured]][..., 1] > 0
    torch.testing.assert_close(mesh.corner_uv[textured][..., 1], high.float())  # v up
    torch.testing.assert_close(mesh.corner_colors[~textured][0, 0], torch.tensor((0.8, 0.2, 0.0)), atol=1 / 255, rtol=0)
    assert bool((mesh.corner_colors[textured] == 1).all())


def test_textures_above_the_folder_are_found(obj: Path) -> None:
    models = obj.parent / "models"
    models.mkdir()
    (models / "box.obj").write_text(OBJ)
    (models / "box.mtl").write_text(MTL.replace("images/", "../images/"))
    assert len(load_mesh(models / "box.obj").textures) == 1


def test_missing_texture_and_material_file_warn(obj: Path) -> None:
    (obj.parent / "images" / "paint.png").unlink()
    with pytest.warns(UserWarning, match=r"names images/paint\.png, not found"):
        mesh = load_mesh(obj)
    assert not mesh.textures
    (obj.parent / "box.mtl").unlink()
    with pytest.warns(UserWarning, match=r"names box\.mtl, not found"):
        mesh = load_mesh(obj)
    torch.testing.assert_close(mesh.corner_colors[0, 0], torch.tensor(DEFAULT_COLOR))


def test_black_material_under_a_texture_is_white(obj: Path) -> None:
    (obj.parent / "box.mtl").write_text(MTL.replace("Kd 1 1 1", "Kd 0 0 0"))
    mesh = load_mesh(obj)
    assert mesh.face_texture is not None
    assert bool((mesh.corner_colors[mesh.face_texture >= 0] == 1).all())


def test_transparent_texels_are_kept(obj: Path) -> None:
    pixels = np.full((2000, 4, 4), 255, np.uint8)
    pixels[0, 0, 3] = 0
    Image.fromarray(pixels).save(obj.parent / "images" / "paint.png")
    texture = load_mesh(obj).textures[0]
    assert texture.shape[0] == 1024
    assert texture.shape[2] == 4


def test_ply_with_vertex_colors(tmp_path: Path) -> None:
    box = trimesh.creation.box((1.0, 4.0, 1.0))
    box.visual.vertex_colors = np.array([RED if y > 0 else BLUE for y in box.vertices[:, 1]], np.uint8)
    box.export(tmp_path / "box.ply")
    mesh = load_mesh(tmp_path / "box.ply")
    assert len(mesh.faces) == 12
    up = mesh.vertices[mesh.faces][..., 1] > 0
    torch.testing.assert_close(mesh.corner_colors[..., 0], up.float())
    torch.testing.assert_close(mesh.vertices.amax(0), torch.tensor((0.25, 1.0, 0.25)))


def test_ply_with_face_colors(tmp_path: Path) -> None:
    box = trimesh.creation.box()
    box.visual.face_colors = np.array([RED] * 6 + [BLUE] * 6, np.uint8)
    box.export(tmp_path / "box.ply")
    colors = load_mesh(tmp_path / "box.ply").corner_colors
    assert sorted(colors[:, 0, 0].tolist()) == [0.0] * 6 + [1.0] * 6


def test_off_is_grey_and_keeps_its_orientation(tmp_path: Path) -> None:
    trimesh.creation.box((1.0, 2.0, 3.0)).export(tmp_path / "box.off")
    mesh = load_mesh(tmp_path / "box.off")
    torch.testing.assert_close(mesh.corner_colors[0, 0], torch.tensor(DEFAULT_COLOR))
    torch.testing.assert_close(mesh.vertices.amax(0), torch.tensor((1.0, 2.0, 3.0)) / 3)
    corners = mesh.vertices[mesh.faces]
    assert float((corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum()) > 0


@pytest.mark.parametrize("mirror", [False, True])
def test_glb_scene_with_transforms_and_materials(tmp_path: Path, mirror: bool) -> None:
    scene = trimesh.Scene()
    materials = [trimesh.visual.material.PBRMaterial(baseColorFactor=color) for color in (RED, BLUE)]
    for k, material in enumerate(materials):
        box = trimesh.creation.box()
        box.visual = trimesh.visual.TextureVisuals(material=material)
        matrix = np.diag([-1.0 if mirror else 1.0, 1.0, 1.0, 1.0])
        matrix[0, 3] = 3.0 * k
        scene.add_geometry(box, transform=matrix)
    scene.export(tmp_path / "scene.glb")
    mesh = load_mesh(tmp_path / "scene.glb")
    assert len(mesh.faces) == 24
    left = mesh.vertices[mesh.faces].mean(1)[:, 0] < 0
    torch.testing.assert_close(mesh.corner_colors[:, 0, 0], left.float())
    torch.testing.assert_close(mesh.vertices.amax(0), torch.tensor((1.0, 0.25, 0.25)))
    corners = mesh.vertices[mesh.faces]
    assert float((corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum()) > 0


def test_broken_files_are_one_error_that_names_the_file(tmp_path: Path) -> None:
    contents = {
        "empty.obj": b"",
        "points.obj": b"v 0 0 0\nv 1 0 0\n",
        "words.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf one two three\n",
        "index.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
        "nan.obj": b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "flat.obj": b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n",
        "cut.glb": b"glTF\x02\x00\x00\x00",
        "cut.ply": b"ply\nformat ascii 1.0\nelement vertex 3\n",
        "noise.off": b"\x00\x01\x02 not a mesh",
    }
    for name, content in contents.items():
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(MeshFileError, match=name) as caught:
            load_mesh(file)
        assert "again" in str(caught.value)
    with pytest.raises(MeshFileError, match="there is no mesh file"):
        load_mesh(tmp_path / "absent.obj")
    with pytest.raises(MeshFileError, match="convert it"):
        load_mesh(tmp_path / "shape.fbx")


def test_class_table() -> None:
    assert class_target("teapot") == ("teapot", (849,))
    assert class_target("Park Bench") == ("park_bench", (703,))
    assert class_target("tench") == ("tench", (0,))
    assert class_target("849") == ("teapot", (849,))
    assert class_target("1500") == ("class_1500", (1500,))
    assert class_target("chair") == ("chair", (559,))
    with pytest.raises(ValueError, match="did you mean 'teapot'"):
        class_target("teapo")
    with pytest.raises(ValueError, match="or add the class"):
        class_target("qqqqqq")


def test_a_name_that_imagenet_has_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "imagenet_names", lambda: ("tench", "crane", "crane"))
    with pytest.raises(ValueError, match=r"several classes 'crane', \(1, 2\)"):
        class_target("crane")


def test_class_table_is_the_papers(reference: Path) -> None:
    maps = np.load(reference / "paper_maps.npz")
    for name, index in zip(maps["classes"].tolist(), maps["imagenet_index"].tolist(), strict=True):
        assert CLASS_TABLE[name].indices == (index,)


@pytest.mark.usefixtures("table")
def test_register_class() -> None:
    register_class("garden gnome", [42, 7], synset="09999999")
    assert class_target("garden-gnome") == ("garden_gnome", (42, 7))
    register_class("cup", 504)
    assert resolve_shapes(["cup"])[0].target == (504,)
    for wrong in ([], [-1], ["x"], [1.5], [True]):
        with pytest.raises(ValueError, match="whole numbers"):
            register_class("gnome", wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("table")
def test_class_table_files(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("gnome: 42\ndwarf: [1, 2]\nelf: {indices: 3, synset: '01234567'}\n")
    (tmp_path / "classes.json").write_text(json.dumps({"troll": {"indices": [4], "synset": ["00000001"]}}))
    load_class_table(tmp_path / "classes.yaml")
    load_class_table(str(tmp_path / "classes.json"))
    assert [class_target(n)[1] for n in ("gnome", "dwarf", "elf", "troll")] == [(42,), (1, 2), (3,), (4,)]
    assert CLASS_TABLE["elf"].synsets == ("01234567",)
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    (tmp_path / "keys.yaml").write_text("a: {index: 1}\n")
    (tmp_path / "text.yaml").write_text("a: teapot\n")
    for name, message in (
        ("list.yaml", "must map class names"),
        ("broken.yaml", "cannot be read"),
        ("keys.yaml", "give 'indices'"),
        ("text.yaml", "whole numbers"),
        ("absent.yaml", "there is no class table"),
    ):
        with pytest.raises(ValueError, match=message):
            load_class_table(tmp_path / name)


def test_embedded_specifications() -> None:
    (one,) = resolve_shapes(["teapot"])
    assert (one.class_name, one.shape_id, one.target, one.source) == ("teapot", "teapot:0", (849,), 0)
    assert one.load().name == "teapot:0"
    assert [spec.source for spec in resolve_shapes(["teapot:3"])] == [3]
    assert [spec.source for spec in resolve_shapes(["Park Bench:1-3"])] == [1, 2, 3]
    assert tuple(spec.class_name for spec in resolve_shapes(["embedded"])) == EMBEDDED_CLASSES
    assert len(resolve_shapes(["embedded:0-4", "teapot"])) == 5 * len(EMBEDDED_CLASSES)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("teapt", "did you mean 'teapot'"),
        ("teapot:x", "seeds 'x'"),
        ("teapot:", None),
        ("teapot:4-2", "seeds '4-2'"),
        ("no/such/file.obj=teapot", "there is no mesh file"),
        ("no/such/file.obj", "write 'no/such/file.obj=<class"),
        ("no/such/folder#teapot", "there is no folder"),
    ],
)
def test_errors_of_specifications(spec: str, message: str | None) -> None:
    if message is None:
        assert len(resolve_shapes([spec])) == 1
        return
    with pytest.raises(ValueError, match=message):
        resolve_shapes([spec])


def test_no_specification() -> None:
    with pytest.raises(ValueError, match="no shapes are given"):
        resolve_shapes([])


def test_file_specification(obj: Path) -> None:
    (spec,) = resolve_shapes([f"{obj}=teapot"])
    assert (spec.class_name, spec.shape_id, spec.target, spec.source) == ("teapot", "box", (849,), obj)
    with pytest.raises(ValueError, match="convert it"):
        resolve_shapes([f"{obj.with_suffix('.mtl')}=teapot"])
    assert resolve_shapes([f"{obj}=504"])[0].class_name == "coffee_mug"
    with pytest.raises(ValueError, match="did you mean 'teapot'"):
        resolve_shapes([f"{obj}=teapott"])
    other = obj.parent / "other"
    other.mkdir()
    (other / "box.obj").write_text(OBJ)
    with pytest.raises(ValueError, match="have the id 'box'"):
        resolve_shapes([f"{obj}=teapot", f"{other / 'box.obj'}=teapot"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Flat files, the id/models layout, a synset id, one file in a folder, and things that are no shapes."""
    triangle = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    for path in (
        "teapot/a.obj",
        "teapot/b.obj",
        "cup/id2/models/model_normalized.obj",
        "cup/id1/models/model_normalized.obj",
        "cup/id1/models/other.obj",
        "03001627/id3/models/model_normalized.obj",
        "vase/id4/mesh.off",
        "vase/id5/models/mesh.ply",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(triangle)
    (tmp_path / "index.json").write_text("[]")
    (tmp_path / "notes").mkdir()
    return tmp_path


def names(specs: list[str]) -> list[tuple[str, str]]:
    return [(spec.class_name, spec.shape_id) for spec in resolve_shapes(specs)]


def test_folders(folder: Path) -> None:
    everything = [
        ("chair", "id3"),
        ("cup", "id1"),
        ("cup", "id2"),
        ("teapot", "a"),
        ("teapot", "b"),
        ("vase", "id4"),
        ("vase", "id5"),
    ]
    assert names([str(folder)]) == everything
    assert names([f"{folder}#chair,vase"]) == [everything[0], *everything[5:]]
    assert names([f"{folder}#03001627"]) == everything[:1]
    assert names([f"{folder}#*:1"]) == [everything[k] for k in (0, 1, 3, 5)]
    assert names([f"{folder}#cup,*:1"]) == [everything[k] for k in (0, 1, 2, 3, 5)]
    assert names([f"{folder}#cup:1", f"{folder}#cup"]) == everything[1:3]
    cup = resolve_shapes([f"{folder}#cup:1"])[0]
    assert isinstance(cup.source, Path)
    assert cup.source.name == "model_normalized.obj"
    assert len(cup.load().faces) == 1


def test_embedded_names_come_before_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert resolve_shapes(["teapot"])[0].source == 0
    assert names(["."]) == names([str(folder)])
    with pytest.raises(ValueError, match="has no shapes: it needs"):
        resolve_shapes(["./teapot"])


def test_errors_of_folders(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"has no shapes of \['cups'\]: did you mean 'cup'"):
        resolve_shapes([f"{folder}#cups"])
    for selection in ("cup:0", "cup:x", "cup,,vase"):
        with pytest.raises(ValueError, match="has the selection"):
            resolve_shapes([f"{folder}#{selection}"])
    with pytest.raises(ValueError, match="has no shapes: it needs"):
        resolve_shapes([str(folder / "notes")])
    (folder / "teapott").mkdir()
    (folder / "teapott" / "x.obj").write_text("")
    with pytest.raises(ValueError, match="did you mean 'teapot'"):
        resolve_shapes([str(folder)])
    assert len(names([f"{folder}#teapot"])) == 2
    (folder / "00000099").mkdir()
    (folder / "00000099" / "x.obj").write_text("")
    with pytest.raises(ValueError, match="synset='00000099'"):
        resolve_shapes([f"{folder}#00000099"])


@pytest.mark.usefixtures("table")
def test_a_registered_synset_is_found(folder: Path) -> None:
    (folder / "00000099").mkdir()
    (folder / "00000099" / "x.obj").write_text("")
    register_class("gnome", 5, synset="00000099")
    assert names([f"{folder}#gnome"]) == [("gnome", "x")]


def test_reference_shapes(reference: Path) -> None:
    """The layout of the paper's shapes; up is +y: bottles and vases are tallest along it."""
    shapes = reference / "shapes"
    if not shapes.is_dir():
        pytest.skip(f"{shapes} is absent")
    specs = resolve_shapes([str(shapes)])
    assert len(specs) == 57
    assert len({spec.class_name for spec in specs}) == 10
    maps = np.load(reference / "paper_maps.npz")
    index = dict(zip(maps["classes"].tolist(), maps["imagenet_index"].tolist(), strict=True))
    assert all(spec.target == (index[spec.class_name],) for spec in specs)
    for spec in resolve_shapes([f"{shapes}#bottle:2,vase:2"]):
        mesh = spec.load()
        size = mesh.vertices.amax(0) - mesh.vertices.amin(0)
        assert int(size.argmax()) == 1
        assert float(size.max()) == pytest.approx(2.0, abs=1e-4)
        assert mesh.corner_normals is None


def test_hidden_files_are_no_shapes(folder: Path) -> None:
    before = names([str(folder)])
    for path in ("teapot/._a.obj", "teapot/.c.obj", "__MACOSX/teapot/a.obj", ".cache/cup/x.obj", "vase/id4/.mesh.obj"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"\0\5\x16\7")
    assert names([str(folder)]) == before


def test_archives_are_shapes(folder: Path) -> None:
    with zipfile.ZipFile(folder / "cup" / "id3.zip", "w") as archive:
        archive.write(folder / "teapot" / "a.obj", "a.obj")
    specs = [spec for spec in resolve_shapes([f"{folder}#cup"]) if spec.shape_id == "id3"]
    assert len(specs[0].load().faces) == 1
