"""SRVR as a metric and as a function."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lightning_semrob
from lightning_semrob.functional.volume_ratio import srvr
from lightning_semrob.metrics import SRVR

assert lightning_semrob.__version__


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


def test_torchmetrics_conventions() -> None:
    metric = SRVR(2, 3, 3)
    values = runs(3)
    assert metric.higher_is_better is True
    forward = metric(*values)
    torch.testing.assert_close(forward, srvr(*values, (2, 3, 3)), equal_nan=True)
    again = pickle.loads(pickle.dumps(metric))
    torch.testing.assert_close(again.compute(), metric.compute(), equal_nan=True)
    metric.reset()
    assert metric.total.sum() == 0
    assert metric.half().total.dtype == torch.float64
    with pytest.raises(ValueError, match="at least one network"):
        SRVR(0, 1)
