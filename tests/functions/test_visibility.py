"""Shapes that cannot be seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lightning_semrob.functions.visibility import check_visible
from lightning_semrob.rendering.raster import Rasterizer
from lightning_semrob.shapes import Mesh, procedural_mesh


def flat(size: float = 1.0) -> Mesh:
    """A square in the plane x = 0, and so seen edge-on from azimuth 0."""
    corners = torch.tensor([[0.0, -1, -1], [0, 1, -1], [0, 1, 1], [0, -1, 1]]) * size
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]), torch.full((2, 3, 3), 0.5), name="flat")


def test_a_shape_that_is_seen() -> None:
    renderer = Rasterizer(32)
    assert check_visible(renderer, procedural_mesh("teapot", 0), renderer.space("azimuth", "elevation")) is None
    white = replace(flat(), corner_colors=torch.ones(2, 3, 3))
    assert check_visible(renderer, white, renderer.space("azimuth", "background")) is None


def test_a_shape_that_shows_nothing_is_an_error() -> None:
    renderer = Rasterizer(32)
    with pytest.raises(ValueError, match="mesh 'flat' shows no pixel in 8 of 8 views of the space"):
        check_visible(renderer, flat(1e-4), renderer.space("azimuth", "elevation"))


def test_a_shape_that_some_views_miss_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Rasterizer(32)
    space = renderer.space("azimuth")
    turned = torch.tensor([[0.0], [90.0], [80.0], [70.0], [60.0], [50.0], [40.0], [30.0]], dtype=torch.float64)
    monkeypatch.setattr(type(space), "sobol", lambda *_: turned)
    assert check_visible(Rasterizer(32, defaults={"elevation": 0}), flat(), space) == (
        "shows no pixel in 1 of 8 views of the space"
    )
