"""Intervals of SRVR: coverage, pairing, small samples, missing groups."""

import math

import pytest
import torch

from lightning_semrob.functional.srvr import paired_difference, rank_stability, shape_means, srvr_curve, verified_ratio
from lightning_semrob.functional.uncertainty import bootstrap_interval


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


def test_bootstrap_interval_covers_with_few_shapes() -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(4).repeat_interleave(6)
    hits = 0
    for repetition in range(200):
        noise = torch.randn(24, generator=generator).double()
        value = 0.3 + 0.1 * classes + 0.2 * noise
        _, low, high, _ = bootstrap_interval(value[None], classes, resamples=400, seed=repetition)
        hits += int(low[0] <= 0.45 <= high[0])
    assert hits >= 178  # 95 % of 200, less three standard deviations and the small-sample loss


def test_bootstrap_counts_missing_groups() -> None:
    values = torch.tensor([[0.1, 0.2, math.nan, 0.4], [math.nan] * 4, [0.1, math.nan, math.nan, math.nan]])
    estimate, low, high, skipped = bootstrap_interval(values, torch.tensor([0, 0, 1, 1]))
    assert skipped.tolist() == [1, 4, 3]
    assert estimate[0] == pytest.approx((0.15 + 0.4) / 2)
    assert low[0] <= estimate[0] <= high[0]
    assert estimate[1].isnan()
    assert estimate[2] == pytest.approx(0.1)
    assert low[2].isnan()


def test_one_shape_in_each_class_still_has_an_interval() -> None:
    value = torch.linspace(0, 1, 10).double()
    _, low, high, _ = bootstrap_interval(value[None], torch.arange(10))
    assert high[0] - low[0] > 0.2


def test_the_only_class_with_one_shape_is_given_the_spread_of_all() -> None:
    """Without a spread of its own it would look as if it were known exactly."""
    value = torch.tensor([[0.10, 0.11, 0.12, 0.11, 0.10, 0.12, 0.90]]).double()
    classes = torch.tensor([0, 0, 0, 0, 0, 0, 1])
    estimate, low, high, _ = bootstrap_interval(value, classes)
    assert float(estimate) == pytest.approx((0.11 + 0.9) / 2)
    assert float(high - low) > 0.2
    same = torch.full((1, 7), 0.4).double()
    _, low, high, _ = bootstrap_interval(same, classes)
    assert float(low) == pytest.approx(0.4)
    assert float(high) == pytest.approx(0.4)


def test_pairing_finds_what_the_spread_over_shapes_hides() -> None:
    generator = torch.Generator().manual_seed(1)
    classes = torch.arange(5).repeat_interleave(6)
    base = torch.rand(30, generator=generator).double()
    better = base + 0.03 + 0.02 * torch.randn(30, generator=generator).double()
    result = paired_difference(better, base, classes)
    assert result.verdict == "more robust"
    assert result.p_value < 0.01
    assert result.low <= result.estimate <= result.high
    reverse = paired_difference(base, better, classes)
    assert reverse.verdict == "less robust"
    assert reverse.estimate == pytest.approx(-result.estimate)
    assert paired_difference(base, base, classes).verdict == "not distinguishable"
    assert paired_difference(base, base, classes).p_value == 1


def test_permutation_test_keeps_its_level() -> None:
    generator = torch.Generator().manual_seed(2)
    classes = torch.arange(3).repeat_interleave(4)
    rejected = sum(
        paired_difference(
            torch.rand(12, generator=generator), torch.rand(12, generator=generator), classes, resamples=200, seed=k
        ).p_value
        <= 0.05
        for k in range(300)
    )
    assert rejected <= 15 + 3 * math.sqrt(15)


def test_too_few_shapes_are_not_compared() -> None:
    result = paired_difference(torch.rand(8), torch.cat([torch.rand(5), torch.full((3,), math.nan)]), torch.zeros(8))
    assert result.verdict == "too few shapes to compare"
    assert (result.shapes, result.skipped) == (5, 3)
    assert math.isnan(result.p_value)
    nothing = paired_difference(torch.full((8,), math.nan), torch.rand(8), torch.zeros(8))
    assert nothing.verdict == "too few shapes to compare"


def test_rank_stability() -> None:
    assert rank_stability(torch.tensor([[0.1, 0.2, 0.3], [0.2, 0.3, 0.9]])) == (1.0, 1.0)
    tau, first = rank_stability(torch.tensor([[0.1, 0.2, 0.9], [0.3, 0.2, 0.1], [math.nan, 0.0, 0.0]]))
    assert tau == -1
    assert first == 0.5
    assert all(math.isnan(x) for x in rank_stability(torch.full((1, 2), math.nan)))


def test_errors() -> None:
    with pytest.raises(ValueError, match="classes"):
        bootstrap_interval(torch.rand(1, 4), torch.zeros(3))
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval(torch.rand(1, 4), torch.zeros(4), resamples=10)
