"""SRVR as a metric and as a function."""

from __future__ import annotations

import importlib
import math
import pickle

import matplotlib as mpl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import MetricCollection

import lightning_semrob
from lightning_semrob.evaluation.metrics import SRVR, RegionQuality, TrustedShare
from lightning_semrob.functional.betting import eq2_start, eq2_update, eq2_verdict
from lightning_semrob.functional.srvr import srvr
from lightning_semrob.functional.trusted_share import share_by_class

assert lightning_semrob.__version__
mpl.use("Agg")
pyplot = importlib.import_module("matplotlib.pyplot")


def runs(seed: int, count: int = 60) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    ratio = torch.rand(count, generator=generator, dtype=torch.float64)
    network, class_index, method = (torch.randint(size, (count,), generator=generator) for size in (2, 3, 3))
    return ratio, network, class_index, method


def test_known_answer() -> None:
    """Means over methods of means over runs, not the mean over runs."""
    metric = SRVR(1, 1, 3)
    method = torch.tensor([0, 0, 0, 1, 2])
    zero = torch.zeros(5, dtype=torch.int64)
    metric.update(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.9]), zero, zero, method)
    assert metric.compute().item() == pytest.approx((0.2 + 0.4 + 0.9) / 3)


def test_empty_groups_are_nan_never_zero() -> None:
    metric = SRVR(2, 2, 3)
    zero = torch.zeros(2, dtype=torch.int64)
    metric.update(torch.tensor([0.5, 0.5]), zero, zero, torch.tensor([0, 1]))
    assert metric.compute().isnan().all()
    metric.update(torch.tensor([0.5]), zero[:1], zero[:1], torch.tensor([2]))
    assert metric.compute()[0, 0].item() == pytest.approx(0.5)
    assert metric.compute()[1].isnan().all()


def test_runs_that_were_not_measured_are_left_out() -> None:
    metric = SRVR(1, 1, 1)
    zero = torch.zeros(2, dtype=torch.int64)
    metric.update(torch.tensor([0.5, math.nan]), zero, zero, zero)
    assert metric.compute().item() == 0.5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 59))
def test_metric_equals_function_however_the_runs_are_split(seed: int, cut: int) -> None:
    values = runs(seed)
    metric = SRVR(2, 3, 3)
    metric.update(*(x[:cut] for x in values))
    metric.update(*(x[cut:] for x in values))
    torch.testing.assert_close(metric.compute(), srvr(*values, (2, 3, 3)), equal_nan=True)


def test_states_add_up_over_processes() -> None:
    """What the reduction of two processes gives: the sum of their states."""
    values = runs(7)
    parts = [SRVR(2, 3, 3), SRVR(2, 3, 3)]
    parts[0].update(*(x[:11] for x in values))
    parts[1].update(*(x[11:] for x in values))
    merged = SRVR(2, 3, 3)
    none = torch.zeros(0, dtype=torch.int64)
    merged.update(none.double(), none, none, none)
    merged.total, merged.count = (sum(getattr(part, name) for part in parts) for name in ("total", "count"))
    torch.testing.assert_close(merged.compute(), srvr(*values, (2, 3, 3)), equal_nan=True)
    assert parts[0]._reductions["total"] is parts[0]._reductions["count"]


def test_constants() -> None:
    metric = SRVR(2, 3, 3)
    assert metric.higher_is_better is True
    assert metric.is_differentiable is True
    assert metric.full_state_update is False
    assert (metric.plot_lower_bound, metric.plot_upper_bound) == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least one network"):
        SRVR(0, 1)
    with pytest.raises(ValueError, match=r"num_classes=3, but the names \['cup'\]"):
        SRVR(1, 3, class_names=["cup"])


def test_forward_gives_the_batch_and_keeps_the_rest() -> None:
    """What ``full_state_update = False`` promises: the same as the slow way, in which it is True."""

    class Slow(SRVR):
        full_state_update = True

    fast, slow, values = SRVR(2, 3, 3), Slow(2, 3, 3), runs(3)
    for part in (slice(0, 30), slice(30, 60)):
        batch = [x[part] for x in values]
        torch.testing.assert_close(fast(*batch), srvr(*batch, (2, 3, 3)), equal_nan=True)
        torch.testing.assert_close(slow(*batch), srvr(*batch, (2, 3, 3)), equal_nan=True)
    torch.testing.assert_close(fast.compute(), srvr(*values, (2, 3, 3)), equal_nan=True)
    torch.testing.assert_close(slow.compute(), fast.compute(), equal_nan=True)


def test_gradient_in_the_ratios() -> None:
    """The metric says that it is differentiable, so forward is, and what it keeps holds no graph."""
    ratio, *groups = runs(5, 200)
    ratio.requires_grad_(True)
    metric = SRVR(2, 3, 3)
    value = metric(ratio, *groups)
    assert value.requires_grad is metric.is_differentiable
    assert not metric.total.requires_grad
    assert torch.autograd.gradcheck(lambda x: SRVR(2, 3, 3)(x, *groups), ratio)


def test_reset_clone_and_pickle() -> None:
    metric, values = SRVR(2, 3, 3, class_names=["cup", "vase", "boat"]), runs(3)
    metric.update(*values)
    clone, again = metric.clone(), pickle.loads(pickle.dumps(metric))
    metric.reset()
    assert metric.total.sum() == metric.count.sum() == 0
    assert not metric.update_called
    for copy in (clone, again):
        torch.testing.assert_close(copy.compute(), srvr(*values, (2, 3, 3)), equal_nan=True)
        assert copy.class_names == metric.class_names
    clone.update(*values)
    assert clone.count.sum() == 2 * again.count.sum()
    metric.update(*values)
    torch.testing.assert_close(metric.compute(), again.compute(), equal_nan=True)


def test_state_dict_and_precision() -> None:
    metric, values = SRVR(2, 3, 3), runs(3)
    metric.persistent(True)
    metric.update(*values)
    other = SRVR(2, 3, 3)
    other.persistent(True)
    other.load_state_dict(metric.state_dict())
    assert torch.equal(other.total, metric.total)
    assert metric.half().total.dtype == torch.float64


def test_metric_collection() -> None:
    """One method's SRVR beside the mean of three, with prefix and clone; groups of equal states do not mix them."""
    values = runs(9)
    collection = MetricCollection({"mean": SRVR(2, 3, 3), "again": SRVR(2, 3, 3)}, prefix="srvr/")
    for part in (slice(0, 20), slice(20, 60)):
        found = collection(*[x[part] for x in values])
        assert set(found) == {"srvr/mean", "srvr/again"}
    collection.update(*values)
    twice = [torch.cat([x, x]) for x in values]
    for metric in (collection, collection.clone()):
        for value in metric.compute().values():
            torch.testing.assert_close(value, srvr(*twice, (2, 3, 3)), equal_nan=True)
    collection.reset()
    assert collection["mean"].count.sum() == 0


@pytest.mark.parametrize("sizes", [(1, 1), (2, 3)])
def test_plot(sizes: tuple[int, int]) -> None:
    ratio, network, class_index, method = runs(2)
    metric = SRVR(*sizes, 3, network_names=["net", "other"][: sizes[0]])
    groups = network.clamp_max(sizes[0] - 1), class_index.clamp_max(sizes[1] - 1), method
    first = metric(ratio, *groups)
    figure, axes = metric.plot()
    assert len(axes.lines) >= sizes[0] * sizes[1]
    labels = axes.get_legend_handles_labels()[1]
    assert labels[:1] == ["net, class 0"]
    assert len(labels) == sizes[0] * sizes[1]
    drawn = [float(line.get_ydata()[0]) for line in axes.lines[: len(labels)]]
    assert drawn == pytest.approx(metric.compute().flatten().tolist())
    again, same = metric.plot([first, metric.compute()], ax=axes)
    assert (again, same) == (None, axes)
    figure.canvas.draw()
    pyplot.close(figure)
    for figure, _ in MetricCollection({"a": metric.clone(), "b": metric.clone()}).plot():
        pyplot.close(figure)


def test_a_group_that_is_not_there_is_refused() -> None:
    """A negative index would count for the last class, without a word."""
    metric, zero = SRVR(2, 3, 1), torch.zeros(1, dtype=torch.int64)
    ratio = torch.tensor([0.5])
    with pytest.raises(ValueError, match="class_index must lie in 0 to 2, got -1"):
        metric.update(ratio, zero, zero - 1, zero)
    with pytest.raises(ValueError, match="network must lie in 0 to 1, got 2"):
        metric.update(ratio, zero + 2, zero, zero)
    with pytest.raises(ValueError, match=r"must both be \(K,\)"):
        metric.update(ratio.repeat(2), zero, zero, zero)
    assert metric.compute().isnan().all()


def scores_of_regions() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    level = torch.tensor([0.95, 0.9, 0.6, 0.2, 0.7])[:, None]
    return (level + 0.05 * torch.randn(5, 400, generator=generator)).clamp(0, 1), torch.linspace(0.1, 0.5, 5)


def test_quality_counts_the_verdicts_of_eq2() -> None:
    scores, ratio = scores_of_regions()
    found = RegionQuality(0.3, 0.05, 0.95)(scores, ratio)
    test = eq2_update(eq2_start(5, 0.3, 0.05), scores.double(), 0.3, 0.05)
    verdict = eq2_verdict(test, 0.05)
    assert verdict.tolist() == [1, 1, -1, -1, 0]
    assert [float(found[name]) for name in ("valid", "invalid", "undecided")] == pytest.approx([0.4, 0.4, 0.2])
    assert float(found["verified_ratio"]) == pytest.approx((0.1 + 0.2) / 5)


def test_quality_in_parts_in_a_collection_and_pickled() -> None:
    scores, ratio = scores_of_regions()
    whole = MetricCollection({"quality": RegionQuality()})
    whole.update(scores=scores, ratio=ratio)
    parts = pickle.loads(pickle.dumps(RegionQuality()))
    for rows in (slice(0, 2), slice(2, 5)):
        parts.update(scores[rows, : 399 if rows.start else 400], ratio[rows])
    computed = whole.compute()
    assert {name.removeprefix("quality_"): float(value) for name, value in computed.items()} == pytest.approx(
        {name: float(value) for name, value in parts.compute().items()}
    )
    figure, _ = parts.plot()
    pyplot.close(figure)
    parts.reset()
    assert float(parts.verdicts.sum()) == 0


def test_quality_refuses_what_it_cannot_judge() -> None:
    with pytest.raises(ValueError, match="eps_m"):
        RegionQuality(eps_m=2.0)
    with pytest.raises(ValueError, match="confidence"):
        RegionQuality(confidence=1.0)
    for scores in (torch.full((1, 4), math.nan), torch.full((1, 4), 1.5)):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            RegionQuality().update(scores, torch.ones(1))
    with pytest.raises(ValueError, match=r"\(K, S\)"):
        RegionQuality().update(torch.ones(4), torch.ones(1))


def test_trusted_share_in_parts_equals_its_functional_twin() -> None:
    generator = torch.Generator().manual_seed(5)
    classes = torch.arange(8) // 2
    trusted = torch.rand(2, 8, generator=generator).double() * 0.5
    trusted[1] = (trusted[0] - 0.2).clamp_min(0)
    failing = 1 - trusted - 0.1
    trusted[0, 3] = torch.nan  # not measured
    metric = TrustedShare(2, classes.tolist())
    for shape in range(8):
        network = torch.tensor([0, 1])
        metric.update(trusted[:, shape], failing[:, shape], network, torch.full_like(network, shape))
    failing[0, 3] = torch.nan
    found = metric.compute()
    torch.testing.assert_close(found["trusted"], share_by_class(trusted, classes, 4), equal_nan=True)
    torch.testing.assert_close(found["failing"], share_by_class(failing, classes, 4), equal_nan=True)
    intervals = metric.intervals()["trusted"]
    assert bool((intervals[:, 1] <= intervals[:, 0]).all() and (intervals[:, 0] <= intervals[:, 2]).all())
    ((first, second, difference),) = metric.comparisons()
    assert (first, second, difference.shapes, difference.verdict) == (0, 1, 7, "more robust")
    metric.reset()
    assert metric.shares().isnan().all()


def test_trusted_share_refuses_what_it_does_not_have() -> None:
    metric, zero = TrustedShare(1, [0, 1]), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ValueError, match="shape must lie in 0 to 1, got 2"):
        metric.update(torch.ones(1), torch.zeros(1), zero, zero + 2)
    with pytest.raises(ValueError, match=r"shares must lie in \[0, 1\]"):
        metric.update(torch.ones(1) * 2, torch.zeros(1), zero, zero)
    with pytest.raises(ValueError, match="at least one network"):
        TrustedShare(0, [0])
