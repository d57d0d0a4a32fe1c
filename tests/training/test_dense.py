"""Networks at many views: the statistics of known scores, and what is gained, against plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_semrob.functional.uncertainty import paired_difference
from lightning_semrob.training.dense import DenseViews, compare_shape_means, correct


def views(better: float = 0.3) -> DenseViews:
    """Two networks on 8 shapes of 2 classes from 40 views; the second is better where the first is worst."""
    x = torch.rand(2, 8, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    score = torch.stack([x[0], x[0] + better * (x[0] < 0.3)])
    classes, regions = torch.arange(8) % 2, torch.arange(40) // 10
    return DenseViews(["a", "b"], classes, regions, score, (score > 0.25).double(), (x[..., :10] > 0.5).double())


def test_statistics_are_those_of_the_scores() -> None:
    made = views()
    for row, name in enumerate("ab"):
        found, score = made.statistics()[name], made.score[row]
        assert found.score == pytest.approx(float(score.mean()))
        assert found.failures == pytest.approx(float((score <= 0.25).double().mean()))
        assert found.worst_score == pytest.approx(float(score.amin(1).mean()))
        assert found.low_score == float(score.flatten().sort().values[15])  # the 16th of 320
        cells = [score[made.classes == c][:, 10 * r : 10 * r + 10].mean() for c in (0, 1) for r in range(4)]
        assert found.worst_regions == pytest.approx(float(min(cells)))
        assert found.accuracy_clean == pytest.approx(float(made.clean_hit[row].mean()))


def test_gains_are_paired_by_shape() -> None:
    made = views()
    failures, mean, quantile, regions = made.gains("a", "b", resamples=200)
    expected = paired_difference(made.score[1].mean(1), made.score[0].mean(1), made.classes)
    assert mean.difference == pytest.approx(expected.estimate)
    assert (mean.low, mean.high, mean.p_value, mean.shapes) == (expected.low, expected.high, expected.p_value, 8)
    assert failures.difference < 0 < mean.difference
    assert failures.p_value == mean.p_value == 2 / 2**8  # all eight shapes agree
    for gain in (quantile, regions):
        assert gain.difference > 0
        assert gain.p_value < 0.05
        assert math.isnan(gain.low)
    assert all(gain.p_value == 1 for gain in made.gains("a", "a", resamples=20))


def test_p_values_are_corrected_for_the_number_of_measures() -> None:
    found = correct(views().gains("a", "b", resamples=200))
    assert min(gain.p_holm for gain in found) == pytest.approx(4 * min(gain.p_value for gain in found))


def test_a_shape_that_one_network_misses_is_left_out_of_both_means() -> None:
    before, after = torch.tensor([0.1, 0.3, math.nan]), torch.tensor([0.2, 0.6, 0.9])
    gain = compare_shape_means("x", before, after, torch.zeros(3, dtype=torch.int64))
    assert (gain.before, gain.after, gain.shapes) == (pytest.approx(0.2), pytest.approx(0.4), 2)
    assert math.isnan(gain.p_value)  # two shapes show nothing
