"""The rasteriser's kernels: for CUDA without a GPU, in several processes, cut as for a GPU, and to the bit."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_semrob.rendering import Light, Rasterizer
from lightning_semrob.rendering.camera import camera_matrix
from lightning_semrob.rendering.engine import Engine
from lightning_semrob.rendering.geometry import prepare
from lightning_semrob.rendering.light import Lighting
from lightning_semrob.shapes import procedural_mesh
from lightning_semrob.shapes.mesh import Mesh
from tests.rendering.test_rendering_contract import SIZE, checkered, merge, smooth_weights, table

AXES = ("azimuth", "elevation", "light_azimuth", "light_intensity", "color_red", "background")
POINTS = [[35.0, 20.0, 40.0, 1.0, 0.9, 0.7], [200.0, 60.0, 300.0, 0.8, 1.0, 0.2], [95.0, -5.0, 10.0, 1.5, 0.4, 1.0]]


def meshes() -> dict[str, Mesh]:
    """Flat faces, textures with mipmaps, smooth normals with a texture, and coincident faces."""
    return {
        "flat": table(),
        "textured": checkered(),
        "smooth": procedural_mesh("soccer_ball", 0),
        "coincident": merge(table(), table()),
    }


def picture(mesh: Mesh, renderer: Rasterizer | None = None) -> tuple[Tensor, Tensor]:
    """Images and the gradient of a smooth score."""
    u = torch.tensor(POINTS, requires_grad=True)
    images = (renderer or Rasterizer(SIZE, lights=(Light(-60.0, 20.0, 0.2),)))(mesh, u, AXES)
    (gradient,) = torch.autograd.grad((images * smooth_weights(SIZE)).sum(), u)
    return images.detach(), gradient


@pytest.mark.parametrize("architecture", [80, 90])
def test_every_kernel_compiles_for_cuda_without_a_gpu(architecture: int, tmp_path: Path) -> None:
    import warp as wp

    from lightning_semrob.rendering.kernels import layout, quiet

    with quiet():
        (path,) = wp.compile_aot_module(layout.MODULE, arch=architecture, module_dir=tmp_path, use_ptx=True)
    code = path.read_text()
    assert f".target sm_{architecture}" in code
    names = [kernel.get_mangled_name() for kernel in layout.MODULE.kernels.values()]
    assert len(names) == 10
    assert all(f".entry {name}_cuda_kernel_forward(" in code for name in names)


@pytest.mark.parametrize("name", list(meshes()))
def test_work_cut_as_for_a_gpu_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One face a thread, in parts, and strips that do not divide the row."""
    mesh = meshes()[name]
    images, gradient = picture(mesh)
    monkeypatch.setattr(Engine, "_cut", lambda engine, size: (5, 3, 1))
    again, slope = picture(mesh)
    assert torch.equal(images, again)
    torch.testing.assert_close(slope, gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", list(meshes()))
def test_images_and_gradients_repeat_to_the_bit(name: str) -> None:
    mesh = meshes()[name]
    for first, second in zip(picture(mesh), picture(mesh), strict=True):
        assert torch.equal(first, second)


def test_faces_in_another_order_give_the_same_image() -> None:
    """What is seen does not depend on which face is offered first, but for ties."""
    mesh = table()
    order = torch.randperm(len(mesh.faces), generator=torch.Generator().manual_seed(0))
    turned = Mesh(mesh.vertices, mesh.faces[order], mesh.corner_colors[order])
    torch.testing.assert_close(picture(turned)[0], picture(mesh)[0], rtol=0, atol=1e-6)


def test_positions_are_rounded_to_float32_step_by_step() -> None:
    """``c0 x + (c1 y)``, then ``+ c2 z``, each rounded once, then ``+ c3``: it decides on slivers."""
    geometry = prepare(table())
    engine = Engine(geometry)
    one = torch.ones(1)
    camera = camera_matrix(35.0 * one, 20.0 * one, 2.7 * one, 60.0 * one, 5.0 * one)
    light = Lighting(torch.zeros(1, 1, 3), torch.zeros(1, 1), one, torch.ones(1, 3), torch.ones(1, 3))
    engine.draw(camera, light, SIZE, 2)
    (buffers,) = engine._spare.values()
    (x, y, z), c = geometry.vertices.double().T, camera[0].double()

    def rounded(value: Tensor) -> Tensor:
        return value.float().double()

    first = rounded(c[:, :1] * x + rounded(c[:, 1:2] * y))
    expected = rounded(rounded(c[:, 2:3] * z + first) + c[:, 3:])
    assert torch.equal(buffers["clip"][0].T, expected)


def test_images_that_wait_for_their_gradient_keep_their_memory() -> None:
    renderer, mesh = Rasterizer(SIZE), checkered()
    u = torch.tensor(POINTS, requires_grad=True)
    first = (renderer(mesh, u, AXES) * smooth_weights(SIZE)).sum()
    renderer(mesh, u.detach() + 20.0, AXES)
    second = (renderer(mesh, u + 20.0, AXES) * smooth_weights(SIZE)).sum()
    gradients = [torch.autograd.grad(first, u, retain_graph=True)[0] for _ in range(2)]
    torch.autograd.grad(second, u)
    alone = (renderer(mesh, u, AXES) * smooth_weights(SIZE)).sum()
    assert torch.equal(*gradients)
    assert torch.equal(torch.autograd.grad(alone, u)[0], gradients[0])


def test_a_slope_that_is_not_finite_stays_so() -> None:
    u = torch.tensor(POINTS, requires_grad=True)
    images = Rasterizer(SIZE)(table(), u, AXES)
    slope = torch.ones_like(images)
    slope[1, 0, 3, 3] = torch.nan
    (gradient,) = torch.autograd.grad(images, u, slope)
    assert gradient[1].isnan().any()
    assert gradient[[0, 2]].isfinite().all()


def total(mesh: Mesh) -> float:
    """A number that only the same images give, for other processes."""
    return float(picture(mesh)[0].double().sum())


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_other_processes_draw_the_same(start: str) -> None:
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {start}")
    mesh = checkered()
    with multiprocessing.get_context(start).Pool(2) as pool:
        assert pool.map(total, [mesh, mesh]) == [total(mesh)] * 2


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )


def test_warp_is_imported_only_to_draw_and_silently() -> None:
    program = (
        "import sys, lightning_semrob, lightning_semrob.rendering; assert 'warp' not in sys.modules; "
        "import lightning_semrob.rendering.kernels"
    )
    done = run(program)
    assert done.stdout + done.stderr == ""


def test_a_cache_that_cannot_be_written_is_replaced_and_said() -> None:
    program = "from lightning_semrob.rendering.kernels import cache_folder; print(cache_folder())"
    done = run(program, WARP_CACHE_PATH="/proc/nowhere")
    assert "cannot keep its compiled kernels in /proc/nowhere" in done.stderr
    assert "lightning_semrob_" in done.stdout


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    program = "from tests.rendering.test_rendering_kernels import meshes, total; print(total(meshes()['flat']))"
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "WARP_CACHE_PATH": str(tmp_path)}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = {process.communicate()[0] for process in running}
    assert answers == {f"{total(meshes()['flat'])}\n"}
