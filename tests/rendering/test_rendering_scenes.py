"""What stands around an object: pictures, panoramas, the shadow on the ground."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_semrob.rendering import Rasterizer, Renderer, Scene, pictures
from lightning_semrob.rendering.backdrop import Backdrop
from lightning_semrob.rendering.camera import camera_matrix
from lightning_semrob.rendering.engine import Engine
from lightning_semrob.rendering.pictures import EMBEDDED_PANORAMAS, EMBEDDED_PICTURES
from lightning_semrob.rendering.shadow import WIDTH, ground_shadow
from lightning_semrob.shapes.mesh import Mesh, normalize
from tests.rendering.test_rendering_contract import SIZE, SceneContract, box, checkered, smooth_weights, table

BOTH = Scene("embedded:noise,wood", "embedded:room", 0.8)
AXES = ("azimuth", "elevation", "distance", "roll", "light_azimuth", "background")


@cache
def renderer_in(scene: Scene, picture: int) -> Rasterizer:
    """Made once: panoramas take a second."""
    return Rasterizer(SIZE, scene=scene, defaults={"picture": picture})


class TestPicturesAndShadow(SceneContract):
    @pytest.fixture
    def renderer(self) -> Renderer:
        return renderer_in(Scene("embedded:noise,wood,sky_and_ground,checker", shadow=0.8), 0)


class TestPanoramaAndShadow(SceneContract):
    @pytest.fixture
    def renderer(self) -> Renderer:
        return renderer_in(Scene("embedded:noise,wood", "embedded:field,room", 0.8), 2)


def points(count: int, seed: int = 0) -> Tensor:
    return Rasterizer(SIZE).space(*AXES).sobol(count, seed).float()


def gradient(renderer: Renderer, mesh: Mesh, u: Tensor) -> Tensor:
    u = u.clone().requires_grad_(True)
    return torch.autograd.grad((renderer(mesh, u, AXES) * smooth_weights(SIZE)).sum(), u)[0]


@pytest.mark.parametrize("make", [box, table, checkered])
def test_a_picture_of_one_grey_is_that_background_in_value_and_gradient(make: object, tmp_path: Path) -> None:
    Image.new("RGB", (50, 40), (102, 102, 102)).save(tmp_path / "grey.png")
    pictured = Rasterizer(SIZE, scene=Scene(str(tmp_path / "grey.png")))
    mesh, u = make(), points(6)  # type: ignore[operator]
    grey = u.clone()
    grey[:, AXES.index("background")] *= 0.4  # it multiplies the picture
    torch.testing.assert_close(pictured(mesh, u, AXES), Rasterizer(SIZE)(mesh, grey, AXES), rtol=0, atol=1e-6)
    slopes = gradient(pictured, mesh, u), gradient(Rasterizer(SIZE), mesh, grey)
    slopes[1][:, AXES.index("background")] *= 0.4
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-7)


def test_the_camera_moves_no_fixed_picture_and_turns_a_panorama() -> None:
    columns = zip(AXES, points(4).T, strict=True)
    parameters = {name: column.clone().requires_grad_(True) for name, column in columns}
    camera = camera_matrix(
        *(parameters[name] for name in ("azimuth", "elevation", "distance")), torch.full((4,), 60.0), parameters["roll"]
    )
    fixed = Backdrop(Scene("embedded:wood"), SIZE)(box(), parameters, camera)
    background, azimuth = parameters["background"], parameters["azimuth"]
    slopes = torch.autograd.grad(fixed.sum(), [background, azimuth], allow_unused=True, retain_graph=True)
    assert slopes[1] is None  # the picture does not depend on the camera at all
    turning = Backdrop(Scene(panorama="embedded:field"), SIZE)(box(), parameters, camera)
    (slope,) = torch.autograd.grad((turning * smooth_weights(SIZE)).sum(), [azimuth])
    assert (slope != 0).all()


def test_what_a_panorama_shows(tmp_path: Path) -> None:
    """Ahead is its middle, to the right what lies right of it, above its first rows."""
    panorama = torch.zeros(64, 128, 3)
    panorama[:, 56:72, 0] = 1.0  # red in the middle
    panorama[:, 88:104, 1] = 1.0  # green 90 degrees to the right
    panorama[:8, :, 2] = 1.0  # blue on top
    Image.fromarray((panorama * 255).byte().numpy()).save(tmp_path / "p.png")
    renderer = Rasterizer(SIZE, scene=Scene(panorama=str(tmp_path / "p.png")))
    far = replace(box(), vertices=box().vertices * 1e-4)
    u = torch.tensor([[0.0, 0.0, 0.0], [270.0, 0.0, 0.0], [0.0, -90.0, 0.0], [0.0, 20.0, 90.0]])
    ahead, right, up, rolled = renderer(far, u, ("azimuth", "elevation", "roll"))
    middle = SIZE // 2
    assert ahead[:, middle, middle].tolist() == pytest.approx([1, 0, 0], abs=0.01)
    assert right[:, middle, middle].tolist() == pytest.approx([0, 1, 0], abs=0.01)
    assert up[2, middle, middle] == pytest.approx(1, abs=0.01)
    level = renderer(far, torch.tensor([[0.0, 20.0]]), ("azimuth", "elevation"))[0]
    torch.testing.assert_close(rolled, level.rot90(1, (1, 2)), rtol=0, atol=1e-4)


def test_pictures_by_number_go_around_and_stay_out_of_the_object() -> None:
    renderer = renderer_in(BOTH, 0)
    names = ("azimuth", "picture")
    u = torch.tensor([[20.0, number] for number in (0.0, 1.0, 2.0, 3.0, 1.4)])
    images = renderer(box(), u, names)
    assert torch.equal(images[0], images[3])
    assert torch.equal(images[1], images[4])
    assert renderer.backdrop is not None
    assert torch.equal(images[1, :, 0, 0], renderer.backdrop.pictures[1, :, 0, 0] / 255)
    middle = slice(SIZE // 2 - 5, SIZE // 2 + 5)
    assert (images[1:, :, middle, middle] == images[0, :, middle, middle]).all()
    assert not renderer.parameter("picture").axis.differentiable


def test_pictures_repeat_to_the_bit_however_the_work_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer, mesh, u = renderer_in(BOTH, 2), checkered(), points(3)
    images, slope = renderer(mesh, u, AXES), gradient(renderer, mesh, u)
    assert torch.equal(slope, gradient(renderer, mesh, u))
    monkeypatch.setattr(Engine, "_cut", lambda engine, size: (5, 3, 1))
    assert torch.equal(images, renderer(mesh, u, AXES))
    torch.testing.assert_close(gradient(renderer, mesh, u), slope, rtol=1e-5, atol=1e-7)


def test_the_shadow_is_below_the_object_and_fades_with_height() -> None:
    plate = normalize(box((-0.5, -0.02, -0.5), (0.5, 0.02, 0.5)))
    lying, ground = ground_shadow(plate)
    assert ground == pytest.approx(-0.04, abs=1e-6)
    assert lying[0, 0, 80, 80] > 0.95
    assert lying[0, 0, 0].max() < 1e-6
    cell = 160 / (2 * WIDTH)
    edge = round(80 + 1.0 * cell)
    assert lying[0, 0, 80, edge + 4] < 0.1
    # The same plate on a thin leg: it hides h^2 / (pi (r^2 + h^2)^2) of the sky for each of its patches.
    leg = box((-0.005, -0.7, -0.005), (0.005, 0.0, 0.005))
    vertices = torch.cat((plate.vertices, leg.vertices))
    raised, low = ground_shadow(Mesh(vertices, torch.cat((plate.faces, leg.faces + 8)), torch.ones(24, 3, 3)))
    assert low == pytest.approx(-0.7, abs=1e-6)
    height = 0.7 - 0.04
    x, z = torch.meshgrid(*(torch.linspace(-1, 1, 200),) * 2, indexing="ij")
    share = (height**2 / torch.pi / ((x - 0.5) ** 2 + z**2 + height**2) ** 2).mean() * 4
    assert float(raised[0, 0, 80, round(79.5 + 0.5 * cell)]) == pytest.approx(float(share), abs=0.08)


def test_the_shadow_darkens_the_ground_alone() -> None:
    plain, shaded = (Rasterizer(SIZE, scene=Scene(shadow=shadow)) for shadow in (0.0, 1.0))
    u = torch.tensor([[30.0, 30.0], [30.0, 60.0]])
    before, after = (renderer(table(), u, ("azimuth", "elevation")) for renderer in (plain, shaded))
    assert (after <= before).all()
    assert (before - after).amax() > 0.3
    black = plain(table(), torch.cat((u, torch.zeros(2, 1)), 1), ("azimuth", "elevation", "background"))
    object_ = before == black  # the background shows through nowhere
    assert object_.float().mean() > 0.05
    assert torch.equal(before[object_], after[object_])
    below = torch.tensor([[30.0, -60.0]])  # nothing hides what stands on the ground from below it
    assert torch.equal(*(renderer(table(), below, ("azimuth", "elevation")) for renderer in (plain, shaded)))


def test_embedded_pictures_are_made_the_same_again() -> None:
    assert len(EMBEDDED_PICTURES) >= 8
    for name, make in (EMBEDDED_PICTURES | EMBEDDED_PANORAMAS).items():
        picture = make()
        assert picture.shape == ((512, 512, 3) if name in EMBEDDED_PICTURES else (768, 1536, 3)), name
        assert picture.min() >= 0, name
        assert picture.max() <= 1, name
        assert picture.std() > 0.03, name
        if name in EMBEDDED_PANORAMAS:  # it goes on over its edges
            step = (picture[:, 1:] - picture[:, :-1]).abs().mean()
            assert (picture[:, 0] - picture[:, -1]).abs().mean() < 3 * step, name
    assert Backdrop(Scene("embedded:noise"), 32).sha256 == Backdrop(Scene("embedded:noise"), 32).sha256


def test_folders_and_files(tmp_path: Path) -> None:
    for name, color in (("b.png", "red"), ("a.jpg", "blue"), (".hidden.png", "green")):
        Image.new("RGB", (60, 20), color).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    os.mkfifo(tmp_path / "0.png")  # whoever opens it waits for ever
    backdrop = Backdrop(Scene(str(tmp_path)), 16)
    assert backdrop.names == ("a.jpg", "b.png")
    assert backdrop.pictures[1, :, 3, 3].tolist() == [255, 0, 0]
    assert Backdrop(Scene(str(tmp_path / "b.png")), 16).semantic_parameters == {}
    versions = {Rasterizer(16, scene=scene).version for scene in (None, Scene(str(tmp_path)), Scene(shadow=0.5))}
    assert len(versions) == 3
    (tmp_path / "c.png").write_bytes(b"no picture either")
    with pytest.raises(ValueError, match=r"c\.png' cannot be read"):
        Backdrop(Scene(str(tmp_path)), 16)


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (Scene("embedded:gras"), "did you mean 'grass'"),
        (Scene("nowhere/at/all"), "there are no pictures 'nowhere/at/all'"),
        (Scene(panorama="embedded:wood"), "unknown embedded picture 'wood'"),
    ],
)
def test_mistakes_are_named(scene: Scene, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Rasterizer(SIZE, scene=scene)


def test_a_folder_without_pictures_and_a_shadow_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has 0 pictures"):
        Rasterizer(SIZE, scene=Scene(str(tmp_path)))
    with pytest.raises(ValueError, match=r"shadow of a scene must lie in \[0, 1\]"):
        Scene(shadow=1.5)


def test_a_renderer_without_its_scene() -> None:
    renderer, u = renderer_in(BOTH, 0), points(2)
    assert torch.equal(renderer.without_scene()(box(), u, AXES), Rasterizer(SIZE)(box(), u, AXES))
    assert not torch.equal(renderer(box(), u, AXES), Rasterizer(SIZE)(box(), u, AXES))


def test_another_size_of_the_same_scene() -> None:
    renderer, names = renderer_in(BOTH, 0), (*AXES, "picture")
    assert renderer.backdrop is not None
    smaller = renderer.resized(SIZE // 2)
    u = torch.cat((points(3), torch.tensor([[0.0], [1.0], [2.0]])), 1)
    own = Rasterizer(SIZE // 2, scene=BOTH)(box(), u, names)
    assert (smaller(box(), u, names) - own).abs().mean() < 0.02
    assert renderer(box(), u, names).shape[-1] == SIZE  # the other one is as it was
    assert renderer.backdrop.pictures.shape[-1] == SIZE


def test_a_picture_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (60, 20)).save(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"a\.png' cannot be read \(it has 60 x 20 pixels, more than 1,000\)"):
        Backdrop(Scene(str(tmp_path / "a.png")), 16)
