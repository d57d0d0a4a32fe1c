"""Maps from views anywhere in the space."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_semrob.maps import grid_points
from lightning_semrob.maps.scattered import interpolate_views
from lightning_semrob.space import SemanticSpace

SPACE = SemanticSpace.default()


def wave(u: torch.Tensor) -> torch.Tensor:
    return 0.5 + 0.4 * torch.cos(torch.deg2rad(u[:, 0])) * (u[:, 1] - 40) / 50


def test_views_are_met_and_the_error_is_foretold() -> None:
    points, samples = SPACE.sobol(256, 1), grid_points(SPACE, (24, 11))
    values, error = interpolate_views(points, wave(points), SPACE, samples)
    assert float((values - wave(samples)).abs().mean()) < 0.02
    assert error == pytest.approx(float((values - wave(samples)).abs().mean()), abs=0.02)
    exact, _ = interpolate_views(points, wave(points), SPACE, points)
    torch.testing.assert_close(exact, wave(points), atol=1e-6, rtol=0)


def test_a_periodic_axis_has_no_seam() -> None:
    points = SPACE.sobol(256, 2)
    near = torch.tensor([[0.0, 40.0], [359.999, 40.0]], dtype=torch.float64)
    values, _ = interpolate_views(points, (points[:, 0] / 360 - 0.5).abs() * 2, SPACE, near)
    assert float((values[0] - values[1]).abs()) < 1e-3


def test_scores_that_are_unknown_are_left_out_and_too_few_make_no_map() -> None:
    points = SPACE.sobol(20, 3)
    scores = wave(points)
    scores[:4] = torch.nan
    values, error = interpolate_views(points, scores, SPACE, points)
    assert bool(values.isfinite().all())
    assert math.isfinite(error)
    scores[4] = torch.nan
    values, error = interpolate_views(points, scores, SPACE, points)
    assert bool(values.isnan().all())
    assert error == math.inf
