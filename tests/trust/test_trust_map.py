"""The guaranteed map: its calls are right, its cost is what it says, its boxes and traps are exact."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_semrob import AnalyticFunction, Axis, RecordedFunction, SemanticSpace, trust_map
from lightning_semrob.functional.calls import CALLS
from lightning_semrob.trust import Tiles, trust_maps
from lightning_semrob.trust.boxes import box_text, trusted_boxes
from lightning_semrob.trust.sampling import MapSamples, sample_maps
from lightning_semrob.trust.traps import enclosed_traps
from lightning_semrob.verification.region import AxisDensity

SPACE = SemanticSpace.default()


def wave(u: Tensor) -> Tensor:
    return torch.sigmoid((50 - (u[..., 0] - 180).abs()) / 8) * torch.sigmoid((70 - u[..., 1]) / 5)


def tile_means(f: AnalyticFunction, tiles: Tiles, points: int = 20) -> np.ndarray:
    ticks = (torch.arange(points).double() + 0.5) / points
    grid = torch.cartesian_prod(*[ticks] * len(tiles.shape)).view(-1, len(tiles.shape))
    u = tiles.low[:, None] + grid * (tiles.high - tiles.low)[:, None]
    return f(u).mean(-1).view(tiles.shape).numpy()


@pytest.mark.parametrize("eps", [0.5, 0.3])
def test_calls_and_intervals_are_right(eps: float) -> None:
    m = trust_map(AnalyticFunction(wave), SPACE, tiles=(24, 8), eps=eps, seed=3)
    mean = tile_means(AnalyticFunction(wave), m.tiles)
    truth = np.where(mean >= 1 - eps, "trusted", np.where(mean <= eps, "failing", "mixed"))
    called = m.verdict != "undecided"
    assert called.mean() > 0.9
    assert (m.verdict[called] == truth[called]).all()
    assert m.low.dtype == m.high.dtype == m.mean.dtype == np.float64
    assert m.low.shape == m.high.shape == m.mean.shape == m.verdict.shape == (24, 8)
    assert ((m.low <= mean) & (mean <= m.high)).mean() > 0.98
    assert ((m.low <= m.mean) & (m.mean <= m.high))[called].mean() > 0.98
    assert (m.low[m.verdict == "trusted"] >= 1 - eps).all()
    assert (m.high[m.verdict == "failing"] <= eps).all()
    assert m.trusted_share == pytest.approx((m.verdict == "trusted").mean())
    assert m.failing_share == pytest.approx((m.verdict == "failing").mean())
    assert m.evaluations == m.count.sum() <= 4080


def test_same_seed_same_map_alone_and_among_others() -> None:
    maps = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(0)).double().repeat_interleave(2, 1)
    f = RecordedFunction(maps, SPACE)
    together = trust_maps(f, SPACE, torch.arange(3), (12, 4), max_evaluations=600)
    for row, m in enumerate(together):
        alone = trust_map(f, SPACE, (12, 4), max_evaluations=600, index=row)
        for name in ("verdict", "low", "high", "mean", "count"):
            np.testing.assert_array_equal(getattr(m, name), getattr(alone, name))
    other = trust_map(f, SPACE, (12, 4), max_evaluations=600, index=0, seed=1)
    assert (other.mean != together[0].mean).any()


def test_networks_of_one_stream_share_their_points() -> None:
    seen: list[set[tuple[float, ...]]] = [set(), set()]

    def watched(u: Tensor) -> Tensor:
        seen[len(calls)].update(map(tuple, u.reshape(-1, 2).tolist()))
        return wave(u)

    calls: list[int] = []
    trust_maps(AnalyticFunction(watched), SPACE, torch.tensor([0]), (12, 4), streams=[7])
    calls.append(1)
    trust_maps(AnalyticFunction(watched), SPACE, torch.tensor([5]), (12, 4), streams=[7], eps=0.3)
    small, large = sorted(seen, key=len)
    assert len(small & large) > 0.8 * len(small)


def test_any_number_of_axes() -> None:
    for n, tiles in ((1, (30,)), (3, (6, 4, 3)), (4, (4, 3, 2, 2))):
        axes = tuple(Axis(f"x{k}", -1.0, 2.0, "unit", periodic=k == 0) for k in range(n))
        m = trust_map(AnalyticFunction(lambda u: (u[..., 0] > 0.6).double()), SemanticSpace(axes), tiles=tiles)
        assert m.verdict.shape == tiles
        assert m.trusted_share == pytest.approx(0.4667, abs=0.12)
        assert float(m.boxes().new_share.sum()) == pytest.approx(m.trusted_share)


def test_top1_scores_are_rates() -> None:
    f = AnalyticFunction(lambda u: ((u[..., 0] * 7.3).sin() > -0.6).double())  # right in 70 % of every tile
    m = trust_map(f, SPACE, tiles=(6, 2), eps=0.5)
    assert (m.verdict == "trusted").all()
    rate = 0.5 + math.asin(0.6) / math.pi
    assert ((m.low <= rate) & (rate <= m.high)).all()


def test_density_weighs_means_and_shares() -> None:
    density = [AxisDensity([3.0, 1.0, 0.0, 0.0]), None]  # nothing beyond 180 degrees
    f = AnalyticFunction(lambda u: (u[..., 0] < 90).double())
    m = trust_map(f, SPACE, tiles=(4, 2), density=density)
    assert m.trusted_share == pytest.approx(0.75)
    assert m.failing_share == pytest.approx(0.25)
    assert m.verdict[2:].tolist() == [["undecided"] * 2] * 2
    assert (m.count[2:] == 0).all()
    half = trust_map(f, SPACE, tiles=(2, 1), density=density)  # the first tile: 3/4 of its mass is right
    assert half.verdict[0, 0] == "trusted"
    assert abs(half.mean[0, 0] - 0.75) < 0.2


def test_what_is_not_finite_is_not_called() -> None:
    f = AnalyticFunction(lambda u: torch.where(u[..., 1] > 60, torch.nan, 1.0).double())
    m = trust_map(f, SPACE, tiles=(6, 4))
    assert (m.verdict[:, 3] == "undecided").all()
    assert (m.verdict[:, :2] == "trusted").all()
    assert np.isnan(m.mean[:, 3]).all()
    assert (m.low[:, 3] == 0).all()
    assert (m.high[:, 3] == 1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tiles": (4,)}, "2 positive numbers"),
        ({"tiles": (4, 0)}, "2 positive numbers"),
        ({"eps": 0.6}, "eps must lie"),
        ({"alpha": 0.0}, "alpha must lie"),
        ({"error": "fwer"}, "error must be"),
        ({"max_evaluations": 100}, "fewer tiles or more evaluations"),
        ({"index": torch.tensor([0, 1])}, "use trust_maps"),
        ({"density": [None]}, "one density"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    f = AnalyticFunction(lambda u: pytest.fail("evaluated"))
    with pytest.raises(ValueError, match=message):
        trust_map(f, SPACE, **settings)  # type: ignore[arg-type]


def test_scores_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="use the score 'softmax' or 'top1'"):
        trust_map(AnalyticFunction(lambda u: u[..., 0]), SPACE)


def adversarial(kind: str, eps: float) -> tuple[AnalyticFunction, Tensor]:
    """A truth on 12 x 4 tiles that is hard to call, and the right call of each tile."""
    tiles = Tiles(SPACE, (12, 4))
    odd = tiles.cell.sum(-1) % 2 == 1

    def place(u: Tensor) -> tuple[Tensor, Tensor]:
        """Position in the tile, and whether the tile is odd."""
        x = SPACE.to_unit(u) * torch.tensor([12.0, 4.0])
        return x - x.floor(), x.floor().sum(-1) % 2 == 1

    def f(u: Tensor) -> Tensor:
        y, is_odd = place(u)
        if kind == "stripes":  # finer than a tile, a hair below 1 - eps; the rest is easy
            fine = ((y[..., 0] * 50) % 1 < 1 - eps - 1e-4).double()
            return torch.where(is_odd, fine, 1.0)
        if kind == "hole":  # nearly everywhere a little above the threshold, a rare hole
            hole = (y - 0.5).abs().amax(-1) < 0.07
            return torch.where(is_odd, torch.where(hole, 0.0, 1 - eps + 0.009), 1.0)
        if kind == "checkerboard":
            return torch.where((y < 0.5).double().sum(-1) == 1, 1 - eps + 0.29, 1 - eps - 0.291).clamp(0, 1)
        return torch.full_like(u[..., 0], 1 - eps - 1e-6)  # a constant just below

    mixed = 1 if eps == 0.5 else 2
    wrong_side = torch.full((48,), mixed)
    if kind in ("stripes", "hole"):
        wrong_side = torch.where(odd, mixed, 0)
    return AnalyticFunction(f), wrong_side


def sampled(kind: str, eps: float, error: str, repetitions: int) -> tuple[MapSamples, Tensor]:
    f, truth = adversarial(kind, eps)
    tiles = Tiles(SPACE, (12, 4))
    index = torch.zeros(repetitions, dtype=torch.int64)
    samples = sample_maps(
        f,
        tiles,
        index,
        eps=eps,
        alpha=0.1,
        error=error,
        max_evaluations=600,
        seed=5,
        streams=range(repetitions),
    )
    wrong = (samples.call >= 0) & (samples.call != truth)
    return samples, wrong


@pytest.mark.parametrize("eps", [0.5, 0.3])
@pytest.mark.parametrize("kind", ["stripes", "hole", "checkerboard", "constant"])
def test_guarantee_on_adversarial_truths(kind: str, eps: float) -> None:
    samples, wrong = sampled(kind, eps, "fdr", 100)
    share = wrong.sum(-1) / (samples.call >= 0).sum(-1).clamp_min(1)
    assert float(share.mean()) <= 0.1
    samples, wrong = sampled(kind, eps, "simultaneous", 60)
    assert float(wrong.any(-1).double().mean()) <= 0.1


def test_boxes_are_the_largest() -> None:
    tiles = Tiles(SPACE, (7, 4))
    for seed in range(5):
        trusted = torch.rand(7, 4, generator=torch.Generator().manual_seed(seed)) < 0.7
        boxes = trusted_boxes(trusted, tiles)
        best = 0
        for start, width, low, high in itertools.product(range(7), range(1, 8), range(4), range(1, 5)):
            if low < high and bool(trusted[[(start + k) % 7 for k in range(width)], low:high].all()):
                best = max(best, width * (high - low))
        assert float(boxes.share[0]) == pytest.approx(best / 28)
        assert bool((boxes.new_share[1:] <= boxes.new_share[:-1] + 1e-12).all())
        inside = boxes.contains(((tiles.low + tiles.high) / 2).expand(len(boxes), -1, -1))
        turned = boxes.contains(((tiles.low + tiles.high) / 2 + torch.tensor([360.0, 0.0])).expand(len(boxes), -1, -1))
        covered = (inside | turned).any(0)
        assert not bool((covered & ~trusted.flatten()).any())
        assert float(boxes.new_share.sum()) == pytest.approx(float(covered.double().mean()))
    none = trusted_boxes(torch.zeros(7, 4, dtype=torch.bool), tiles)
    assert len(none) == 0
    whole = trusted_boxes(torch.ones(7, 4, dtype=torch.bool), tiles)
    assert whole.a.tolist() == [[0.0, -10.0]]
    assert whole.b.tolist() == [[360.0, 90.0]]
    assert box_text(whole.a[0], whole.b[0], tiles) == "azimuth all around, elevation -10 to 90"


def test_traps_are_enclosed_by_trusted_tiles() -> None:
    tiles = Tiles(SPACE, (12, 5))
    call = torch.zeros(12, 5, dtype=torch.int64)
    mean = torch.full((12, 5), 0.9, dtype=torch.float64)
    call[11, 2] = call[0, 2] = 1  # over the seam
    mean[11, 2], mean[0, 2] = 0.2, 0.1
    call[5, 4] = 2  # at the upper end
    mean[5, 4] = 0.5
    call[8, 2] = -1  # undecided alone is no trap
    traps = enclosed_traps(call.flatten(), mean.flatten(), tiles, 0.3)
    assert [trap.share for trap in traps] == pytest.approx([2 / 60, 1 / 60])
    assert [trap.at_edge for trap in traps] == [False, True]
    assert traps[0].worst == 2
    assert traps[0].worst_mean == 0.1
    assert traps[0].depth == pytest.approx(0.55)
    assert traps[0].a.tolist() == [330.0, 30.0]
    assert traps[0].b.tolist() == [390.0, 50.0]
    # A trusted island in a failing sea is no trap, nor is the sea.
    island = torch.ones(12, 5, dtype=torch.int64)
    island[3, 2] = 0
    assert enclosed_traps(island.flatten(), mean.flatten(), tiles, 0.3) == []


def test_map_lists_its_traps() -> None:
    def hole(u: Tensor) -> Tensor:
        near = ((u[..., 0] - 135).abs() < 45) & ((u[..., 1] - 52.5).abs() < 12.5)
        return 1 - near.double()

    m = trust_map(AnalyticFunction(hole), SPACE, tiles=(8, 4))
    (trap,) = m.traps()
    assert (trap.mean, trap.share, trap.at_edge) == (0.0, 2 / 32, False)
    assert m.call.tolist() == [CALLS.index(x) if x in CALLS else -1 for x in m.verdict.ravel()]
    assert math.isclose(m.share("trusted") + m.share("failing") + m.share("undecided"), 1.0)
