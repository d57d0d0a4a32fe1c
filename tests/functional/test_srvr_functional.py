"""Verified ratios, the curve over eps_m, means of shapes, stability of ranks."""

import math

import pytest
import torch

from lightning_semrob.functional.srvr import rank_stability, shape_means, srvr_curve, verified_ratio


def test_unverified_boxes_count_as_zero() -> None:
    ratio = torch.tensor([0.4, 0.2, math.nan, 0.1])
    result = verified_ratio(ratio, ["valid", "undecided", "valid", "invalid"])
    assert result[:2].tolist() == pytest.approx([0.4, 0.0])
    assert result[2].isnan()
    assert result[3] == 0


def test_curve_is_monotone_and_needs_both_moments() -> None:
    ratio = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    mean_low, variance_high = torch.tensor([0.8, 0.6, math.nan]), torch.tensor([0.04, 0.04, 0.01])
    curve = srvr_curve(ratio, mean_low, variance_high, torch.tensor([0.1, 0.25, 0.5]), 0.05)
    assert curve.tolist() == [[0, 0, 0], [0.5, 0, 0], [0.5, 0.3, 0]]
    assert srvr_curve(ratio, mean_low, variance_high, torch.tensor([0.9]), 0.03).sum() == 0


def test_shape_means_skip_what_was_not_measured() -> None:
    means = shape_means(torch.tensor([0.2, 0.4, math.nan, 0.6]), torch.tensor([0, 0, 1, 2]), 3)
    assert means[[0, 2]].tolist() == pytest.approx([0.3, 0.6])
    assert means[1].isnan()


def test_rank_stability() -> None:
    assert rank_stability(torch.tensor([[0.1, 0.2, 0.3], [0.2, 0.3, 0.9]])) == (1.0, 1.0)
    tau, first = rank_stability(torch.tensor([[0.1, 0.2, 0.9], [0.3, 0.2, 0.1], [math.nan, 0.0, 0.0]]))
    assert tau == -1
    assert first == 0.5
    assert all(math.isnan(x) for x in rank_stability(torch.full((1, 2), math.nan)))
