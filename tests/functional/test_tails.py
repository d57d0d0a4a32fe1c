"""The bad end of scores: a quantile and worst regions against plain loops, and the size of the swap test."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from lightning_semrob.functional.tails import low_quantile, swap_p_value, worst_regions


def scores(seed: int, *size: int) -> torch.Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_quantile_is_an_order_statistic_of_all_views_of_all_shapes() -> None:
    x = scores(0, 3, 7, 16)
    expected = [np.quantile(part.numpy(), 0.05, method="inverted_cdf") for part in x]
    assert low_quantile(x).tolist() == expected
    assert low_quantile(x, share=1e-9).tolist() == x.flatten(1).amin(1).tolist()


def test_worst_regions_are_means_over_the_shapes_of_a_class_and_the_views_of_a_region() -> None:
    x, classes, regions = scores(1, 2, 5, 12), torch.tensor([0, 3, 0, 3, 3]), torch.arange(12) % 5 * 2
    for share, count in ((0.1, 1), (0.3, 3), (1.0, 10)):
        for part, found in zip(x, worst_regions(x, classes, regions, share), strict=True):
            cells = [part[classes == c][:, regions == r].mean() for c in (0, 3) for r in range(0, 10, 2)]
            torch.testing.assert_close(found, torch.stack(cells).sort().values[:count].mean())


def test_a_network_that_is_worse_in_its_worst_views_is_told_apart() -> None:
    good = 0.5 + 0.5 * scores(2, 1, 20, 30)
    bad = good.clone()
    bad[..., :3] -= 0.5
    regions = torch.arange(30) // 3
    for statistic in (low_quantile, partial(worst_regions, classes=torch.zeros(20), regions=regions)):
        assert swap_p_value(good, bad, statistic, 400) == 1 / 401


def test_the_swap_test_is_wrong_as_often_as_it_says() -> None:
    """Networks that are exchangeable on each shape, on shapes that differ much: p <= 0.2 in a fifth of the cases."""
    called = 0
    for seed in range(200):
        level = scores(seed, 1, 10, 1)
        first, second = (level * scores(1000 + 2 * seed + k, 1, 10, 8) for k in range(2))
        called += swap_p_value(first, second, low_quantile, 49, seed) <= 0.2
    assert 22 <= called <= 58  # 40 +- 3.2 deviations
