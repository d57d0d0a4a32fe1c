"""The renderer that remembers its last pictures."""

from __future__ import annotations

import pytest
import torch

import lightning_semrob
from lightning_semrob.rendering.cache import CachedRenderer
from lightning_semrob.rendering.raster import Rasterizer
from lightning_semrob.shapes.embedded.procedural import procedural_mesh

assert lightning_semrob.__version__
NAMES = ("azimuth", "elevation")


def test_same_bits_and_each_point_once() -> None:
    plain, mesh = Rasterizer(image_size=32), procedural_mesh("dumbbell", 0)
    cached = CachedRenderer(plain)
    u = plain.space(*NAMES).sobol(6, 0)
    mixed = torch.cat([u[:4], u[:2], u[4:]])
    assert torch.equal(cached(mesh, u[:3], NAMES), plain(mesh, u[:3], NAMES))
    assert torch.equal(cached(mesh, mixed, NAMES), plain(mesh, mixed, NAMES))
    assert (cached.rendered, cached.reused) == (6, 5)
    # The same numbers for other axes are other points.
    cached(mesh, u[:1], ("azimuth", "roll"))
    assert cached.rendered == 7


def test_another_mesh_empties_the_memory() -> None:
    cached = CachedRenderer(Rasterizer(image_size=32))
    u = torch.tensor([[10.0, 20.0]])
    first = cached(procedural_mesh("dumbbell", 0), u, NAMES)
    second = cached(procedural_mesh("teapot", 0), u, NAMES)
    assert not torch.equal(first, second)
    assert cached.rendered == 2


def test_an_image_is_kept_without_its_batch() -> None:
    cached = CachedRenderer(Rasterizer(image_size=16))
    cached(procedural_mesh("dumbbell", 0), torch.tensor([[10.0, 20.0], [30.0, 20.0], [50.0, 20.0]]), NAMES)
    assert {image.untyped_storage().nbytes() for image in cached._images.values()} == {3 * 16 * 16 * 4}


def test_capacity_is_kept() -> None:
    cached = CachedRenderer(Rasterizer(image_size=16), capacity=2)
    mesh = procedural_mesh("dumbbell", 0)
    u = torch.tensor([[10.0, 20.0], [20.0, 20.0], [30.0, 20.0]])
    cached(mesh, u, NAMES)
    cached(mesh, u[2:], NAMES)
    assert cached.rendered == 3
    cached(mesh, u[:1], NAMES)
    assert cached.rendered == 4
    with pytest.raises(ValueError, match="at least 1 image"):
        CachedRenderer(Rasterizer(image_size=16), capacity=0)


def test_gradients_pass_through() -> None:
    plain, mesh = Rasterizer(image_size=32), procedural_mesh("teapot", 0)
    cached = CachedRenderer(plain)
    gradients = []
    for renderer in (plain, cached):
        u = torch.tensor([[10.0, 20.0]], requires_grad=True)
        (gradient,) = torch.autograd.grad(renderer(mesh, u, NAMES).square().sum(), u)
        gradients.append(gradient)
    assert torch.equal(*gradients)
    assert cached.rendered == 0
