"""Ranges in which a renderer means nothing are refused with the range that it means."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.maps import SemanticMapper
from lightning_semrob.rendering import CallableRenderer, Rasterizer
from lightning_semrob.rendering.sweep_space import sweep_space
from lightning_semrob.space import Axis
from lightning_semrob.training.data import RenderedViews

#: Axis and range, and what the message says of it.
WRONG: list[tuple[str, list[float], str]] = [
    ("azimuth", [-360, 360], r"\[-360, 360\], which counts views twice: its period is 360 degree"),
    ("azimuth", [0, 1e6], r"\[0, 1e\+06\]: it is defined in \[-360, 720\] degree"),
    ("elevation", [-1000, 1000], r"defined in \[-90, 90\] degree"),
    ("light_elevation", [0, 91], r"defined in \[-90, 90\] degree"),
    ("distance", [-2, 4], r"defined in \[1, 100\] unit"),
    ("field_of_view", [10, 400], r"defined in \[1, 170\] degree"),
    ("light_intensity", [-1, 1], r"defined in \[0, 100\] multiple"),
    ("background", [0, 2], r"defined in \[0, 1\] grey level"),
    ("color_red", [1, 0], r"give finite values with low < high"),
    ("distance", [2, float("inf")], r"give finite values with low < high"),
]


@pytest.mark.parametrize(("name", "limits", "message"), WRONG)
def test_a_range_without_meaning_is_refused(name: str, limits: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=f"axis '{name}' has the range.*{message}"):
        SemanticEnvironment(space={name: limits}, image_size=16)
    randomized: dict[str, Any] = {name: limits}
    with pytest.raises(ValueError, match=message):
        RenderedViews(["embedded"], space=["roll"], clean={"roll": [-30, 30]}, randomized=randomized)


def test_maps_have_the_same_limits() -> None:
    environment = SemanticEnvironment(["small_resnet"], ["teapot"], image_size=16)
    with pytest.raises(ValueError, match=r"defined in \[-90, 90\]"):
        SemanticMapper(axes={"azimuth": None, "elevation": [-10, 100]}, steps=[2, 2]).prepare(environment)
    with pytest.raises(ValueError, match=r"a map of 100000 x 100000 views is too large: 10,000,000 at most"):
        SemanticMapper(steps=[100000, 100000]).prepare(environment)


def test_a_periodic_axis_may_begin_anywhere_in_a_period() -> None:
    renderer = Rasterizer(16)
    for limits, periodic in (([-180, 180], True), ([-30, 30], False), ([350, 370], False), ([90, 450], True)):
        (axis,) = sweep_space(renderer, {"azimuth": limits}).axes
        assert (axis.low, axis.high, axis.periodic) == (*limits, periodic)


def test_a_callable_renderer_has_the_ranges_that_it_names() -> None:
    renderer = CallableRenderer(lambda u: u, [Axis("light", 0.0, 1.0, "share")], image_size=16)
    assert sweep_space(renderer, {"light": [0.2, 0.4]}).axes[0].low == 0.2
    with pytest.raises(ValueError, match=r"axis 'light' has the range \[0, 2\]: it is defined in \[0, 1\] share"):
        sweep_space(renderer, {"light": [0, 2]})
