"""Intervals over shapes, paired tests and their correction: known answers, invariances and coverage."""

import math

import pytest
import torch
from scipy.stats import binomtest

from benchmarks.intervals import bootstrap_interval, symmetric_interval
from lightning_semrob.functional.uncertainty import (
    Difference,
    call_differences,
    clopper_pearson,
    detectable_difference,
    holm,
    mean_interval_over_shapes,
    paired_difference,
    paired_differences,
    sign_flip_p_value,
)


@pytest.mark.parametrize("successes", [0, 3, 17, 34])
def test_zeros_and_ones_give_clopper_pearson(successes: int) -> None:
    values = (torch.arange(34) < successes).double()
    found = mean_interval_over_shapes(values, torch.arange(34))
    low, high = clopper_pearson(torch.tensor(successes), torch.tensor(34))
    assert found.estimate == pytest.approx(successes / 34)
    assert found.low == pytest.approx(float(low), abs=0.006)
    assert found.high == pytest.approx(float(high), abs=0.006)


@pytest.mark.parametrize("sizes", [[6] * 10, [4, 6, 6, 5, 6], [1, 11], [2, 2, 2]])
def test_zeros_exclude_what_no_population_with_this_mean_would_show(sizes: list[int]) -> None:
    """The upper end is the largest mean over classes p_c for which all are zero with probability 2.5 %."""
    classes = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    found = mean_interval_over_shapes(torch.zeros(len(classes)), classes)
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor(sizes).double()
    for _ in range(2000):  # random p_c, scaled in the exponent to have exactly this probability
        chance = torch.rand(len(sizes), generator=generator, dtype=torch.float64) ** 3
        chance = 1 - (1 - chance) ** (math.log(0.025) / float((size * (1 - chance).log()).sum()))
        assert float(chance.mean()) <= found.high + 1e-3
    assert mean_interval_over_shapes(torch.ones(len(classes)), classes).low == pytest.approx(1 - found.high)


def test_order_labels_and_missing_shapes_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    classes = torch.tensor([0] * 4 + [1] * 6 + [2] * 5)
    values = torch.rand(15, generator=generator).double()
    found = mean_interval_over_shapes(values, classes)
    order = torch.randperm(15, generator=generator)
    other = mean_interval_over_shapes(values[order], 7 - 3 * classes[order])
    assert other == pytest.approx(found)
    more = torch.cat([values, torch.tensor([math.nan, math.nan])])
    missing = mean_interval_over_shapes(more, torch.cat([classes, torch.tensor([2, 9])]))
    assert missing[:4] == found[:4]
    assert missing.skipped == 2


def test_range_confidence_and_mirror() -> None:
    values, classes = torch.linspace(0, 0.7, 12).double(), torch.arange(3).repeat(4)
    found = mean_interval_over_shapes(values, classes)
    wide = mean_interval_over_shapes(values, classes, confidence=0.99)
    assert wide.low < found.low < found.estimate < found.high < wide.high
    mirrored = mean_interval_over_shapes(1 - values, classes)
    assert mirrored.low == pytest.approx(1 - found.high, abs=0.01)
    scaled = mean_interval_over_shapes(2 * values - 1, classes, bounds=(-1.0, 1.0))
    assert scaled[:3] == pytest.approx([2 * x - 1 for x in found[:3]])
    assert all(math.isnan(x) for x in mean_interval_over_shapes(torch.tensor([math.nan]), torch.zeros(1))[:3])
    one = mean_interval_over_shapes(torch.tensor([0.5]), torch.zeros(1))
    assert one.low < 0.05
    assert one.high > 0.95


def coverage(values: torch.Tensor, classes: torch.Tensor, truth: float) -> tuple[float, float]:
    """Of the interval and of the bootstrap, over the rows of values."""
    held = [0, 0]
    for row in values:
        found = mean_interval_over_shapes(row, classes, draws=1000)
        held[0] += found.low <= truth <= found.high
        _, low, high, _ = bootstrap_interval(row[None], classes, resamples=300)
        held[1] += bool(low <= truth <= high)
    return held[0] / len(values), held[1] / len(values)


def test_it_covers_where_the_bootstrap_does_not() -> None:
    """Most shapes have no verified box: 57 of ten classes, five percent above zero."""
    generator = torch.Generator().manual_seed(2)
    classes = torch.arange(10).repeat_interleave(torch.tensor([4, 6, 6, 5, *[6] * 6]))
    shape = (300, 57)
    values = torch.rand(shape, generator=generator).double() * (torch.rand(shape, generator=generator) < 0.05)
    new, old = coverage(values, classes, 0.025)
    assert binomtest(round(300 * new), 300, 0.945, "less").pvalue > 0.001
    assert old < 0.9


def test_exact_and_random_sign_flips_agree_with_what_is_known() -> None:
    one_class = torch.zeros(6, dtype=torch.int64)
    assert sign_flip_p_value(torch.full((6,), 0.1), one_class) == 2 / 64
    assert sign_flip_p_value(torch.zeros(6), one_class) == 1
    assert sign_flip_p_value(torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0, 0.0]), one_class) == 1
    many = torch.linspace(-0.3, 0.7, 20).double()
    classes = torch.arange(4).repeat(5)
    random = sign_flip_p_value(many, classes, 20_000)
    bits = torch.arange(2**20)[:, None] >> torch.arange(20) & 1
    exact = float((((2.0 * bits - 1) @ many.float()).abs() >= float(many.sum()) - 1e-5).double().mean())
    assert random == pytest.approx(exact, abs=0.002)


def test_the_symmetric_interval_holds_what_sign_flips_do_not_reject() -> None:
    """At its ends the p-value of the exact test crosses 1 - confidence; it covers as often as it says."""
    one = torch.zeros(9, dtype=torch.int64)
    difference = torch.randn(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.4
    low, high = symmetric_interval(difference)
    for end, inside in ((low, 1e-6), (high, -1e-6)):
        assert (
            sign_flip_p_value(difference - (end + inside), one)
            > 0.05
            >= sign_flip_p_value(difference - (end - inside), one)
        )
    covered = 0
    for seed in range(1000):
        drawn = torch.randn(7, generator=torch.Generator().manual_seed(seed)) ** 3
        low, high = symmetric_interval(drawn, 0.9)
        covered += low <= 0 <= high
    assert binomtest(covered, 1000, 1 - 2 * 6 / 2**7).pvalue > 1e-3
    many = torch.randn(100, generator=torch.Generator().manual_seed(1))
    low, high = symmetric_interval(many)
    assert low == pytest.approx(float(many.mean()) - 0.2, abs=0.05)
    assert high == pytest.approx(float(many.mean()) + 0.2, abs=0.05)
    assert all(math.isnan(end) for end in symmetric_interval(torch.ones(5)))


def test_holm_is_that_of_the_definition() -> None:
    assert holm([0.01, 0.04, 0.03, math.nan]) == pytest.approx([0.03, 0.06, 0.06, math.nan], nan_ok=True)
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def difference(p_value: float, estimate: float = 0.1) -> Difference:
    return Difference(estimate, -0.1, 0.3, p_value, 20, 0, "")


def test_a_pair_alone_is_called_and_among_six_is_not() -> None:
    (alone,) = call_differences([difference(0.03)])
    assert (alone.verdict, alone.p_holm) == ("more robust", 0.03)
    together = call_differences([difference(0.03), difference(0.005, -0.1), *[difference(0.6)] * 4])
    assert [found.verdict for found in together][:2] == ["not distinguishable", "less robust"]
    assert together[0].p_holm == pytest.approx(0.15)


def test_detectable_difference_is_found_as_often_as_said() -> None:
    generator = torch.Generator().manual_seed(3)
    classes = torch.arange(10).repeat(4)
    spread = 0.1 * torch.randn(400, 40, generator=generator, dtype=torch.float64)
    said = sorted(detectable_difference(row, classes) for row in spread)[200]
    called = sum(sign_flip_p_value(row + said, classes, 500) <= 0.05 for row in spread)
    assert 0.72 <= called / 400 <= 0.88
    assert math.isnan(detectable_difference(torch.ones(5) + torch.arange(5), torch.zeros(5)))  # p is never below 1 / 16
    assert math.isnan(detectable_difference(torch.zeros(20), torch.zeros(20)))


def test_a_call_comes_from_the_test_and_the_interval_stands_beside() -> None:
    generator = torch.Generator().manual_seed(4)
    classes = torch.arange(5).repeat_interleave(6)
    base = 0.9 * torch.rand(30, generator=generator).double()
    better = base + 0.03 + 0.02 * torch.randn(30, generator=generator).double()
    found = paired_difference(better, base, classes)
    assert found.verdict == "more robust"
    assert found.p_value < 0.001
    assert found.low < found.estimate < found.high
    reverse = paired_difference(base, better, classes)
    assert reverse.verdict == "less robust"
    assert reverse.estimate == pytest.approx(-found.estimate)
    assert paired_difference(base, base, classes).verdict == "not distinguishable"
    few = paired_difference(base, torch.cat([better[:5], torch.full((25,), math.nan)]), classes)
    assert (few.verdict, few.shapes, few.skipped) == ("too few shapes to compare", 5, 25)
    assert math.isnan(few.p_value)
    assert math.isnan(few.p_holm)


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


def test_the_sign_flip_test_keeps_its_level() -> None:
    generator = torch.Generator().manual_seed(2)
    classes = torch.arange(3).repeat_interleave(4)
    rejected = sum(
        sign_flip_p_value(
            torch.rand(12, generator=generator) - torch.rand(12, generator=generator), classes, resamples=200, seed=k
        )
        <= 0.05
        for k in range(300)
    )
    assert rejected <= 15 + 3 * math.sqrt(15)


def test_all_pairs_are_called_together() -> None:
    generator = torch.Generator().manual_seed(5)
    classes = torch.arange(4).repeat(5)
    values = torch.rand(4, 20, generator=generator).double() / 2
    values[3] += 0.4
    found = paired_differences(values, classes)
    assert [(i, k) for i, k, _ in found] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert [d.verdict for i, k, d in found if k == 3] == ["less robust"] * 3
    assert [d.p_holm for *_, d in found] == pytest.approx(holm([d.p_value for *_, d in found]))
    alone = paired_difference(values[0], values[1], classes)
    assert found[0][2].detectable > alone.detectable  # six pairs ask for more


def test_errors() -> None:
    with pytest.raises(ValueError, match="classes"):
        mean_interval_over_shapes(torch.rand(4), torch.zeros(3))
    with pytest.raises(ValueError, match="resamples"):
        mean_interval_over_shapes(torch.rand(4), torch.zeros(4), draws=10)
    with pytest.raises(ValueError, match=r"values must lie in \[0, 1\]"):
        mean_interval_over_shapes(torch.tensor([0.5, 1.2]), torch.zeros(2))
