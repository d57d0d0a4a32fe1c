"""Axes, spaces and volumes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_semrob import Axis, Box, SemanticSpace

SPACE = SemanticSpace.default()


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_bad_ranges_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="axis 'azimuth' has the range"):
        Axis("azimuth", low, high)


def test_empty_and_repeated_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one axis"):
        SemanticSpace(())
    with pytest.raises(ValueError, match="distinct"):
        SemanticSpace((Axis("x", 0, 1), Axis("x", 0, 2)))


def test_default_is_the_papers() -> None:
    assert SPACE.names == ("azimuth", "elevation")
    assert SPACE.volume == 36000.0
    assert SPACE.periodic.tolist() == [True, False]


def test_u0_outside_names_the_point() -> None:
    with pytest.raises(ValueError, match=r"\[10\.0, 95\.0\] \(row 1\) lies outside"):
        SPACE.validate(torch.tensor([[10.0, 0.0], [10.0, 95.0]]))
    with pytest.raises(ValueError, match="must be"):
        SPACE.validate(torch.zeros(3))
    with pytest.raises(ValueError, match="lies outside"):
        SPACE.validate(torch.tensor([[math.nan, 0.0]]))


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-400, 400),
    st.floats(-400, 400),
    st.floats(-400, 400),
    st.floats(-400, 400),
    st.floats(0, 360),
    st.floats(-10, 90),
)
def test_projection_keeps_every_promise(a0: float, a1: float, b0: float, b1: float, u0: float, u1: float) -> None:
    start = tensor(u0, u1)
    a, b = SPACE.project(tensor(a0, a1), tensor(b0, b1), start)
    assert (a <= start).all()
    assert (b >= start).all()
    assert b[0] - a[0] <= 360 * (1 + 1e-12)
    assert a[1] >= -10
    assert b[1] <= 90
    again = SPACE.project(a, b, start)
    torch.testing.assert_close(torch.stack(again), torch.stack((a, b)))


def test_volumes_known_answers() -> None:
    a = torch.tensor([[350.0, 0.0], [-90.0, 80.0], [0.0, 0.0], [20.0, 0.0], [math.nan, 0.0], [-math.inf, -math.inf]])
    b = torch.tensor([[370.0, 10.0], [630.0, 100.0], [10.0, 95.0], [10.0, 10.0], [10.0, 10.0], [math.inf, math.inf]])
    assert SPACE.intersected_volume(a, b).tolist() == [200.0, 3600.0, 900.0, 0.0, 0.0, 36000.0]
    assert SPACE.raw_volume(a, b).tolist() == [200.0, 14400.0, 950.0, 100.0, 36000.0, 36000.0]


def test_raw_volume_is_capped_and_counts_non_finite_as_the_whole() -> None:
    a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[1e9, 1e9]])
    assert SPACE.raw_volume(a, b).item() == 36000.0


def test_sobol_is_fixed_by_its_seed() -> None:
    assert torch.equal(SPACE.sobol(8, 3), SPACE.sobol(8, 3))
    assert torch.equal(SPACE.sobol(8, 3)[:5], SPACE.sobol(5, 3))
    assert not torch.equal(SPACE.sobol(8, 3), SPACE.sobol(8, 4))
    assert SPACE.contains(SPACE.sobol(64, 0)).all()


def test_unit_space_round_trip() -> None:
    u = SPACE.sobol(16, 1)
    torch.testing.assert_close(SPACE.from_unit(SPACE.to_unit(u)), u)


def test_box_contains() -> None:
    box = Box(tensor(350.0, 0.0)[None], tensor(370.0, 10.0)[None])
    assert box.contains(tensor(365.0, 5.0)[None]).tolist() == [True]
    assert box.contains(tensor(365.0, 11.0)[None, None]).tolist() == [[False]]
    assert box.width.tolist() == [[20.0, 10.0]]
    assert box.center.tolist() == [[360.0, 5.0]]
    assert len(box) == 1
