"""Traps on functions with holes at known places."""

from __future__ import annotations

import pytest
import torch

from lightning_semrob.functions import AnalyticFunction
from lightning_semrob.maps import SemanticMaps, grid_points
from lightning_semrob.maps.traps import adversarial_boxes, find_traps, rank_traps, shared_holes, worst_views
from lightning_semrob.space import Axis, Box, SemanticSpace

SPACE = SemanticSpace.default()
#: A plateau of 1 with a rectangular hole: azimuth 100..116, elevation 20..36, 256 of 36,000 square degrees.
HOLE = torch.tensor([[100.0, 20.0], [116.0, 36.0]])


def plateau(u: torch.Tensor) -> torch.Tensor:
    return 1.0 - ((u > HOLE[0]) & (u < HOLE[1])).all(-1).double()


def robust() -> Box:
    """The first contains the hole, the second does not, the third is not robust."""
    a = torch.tensor([[60.0, -10.0], [200.0, 0.0], [98.0, 18.0]], dtype=torch.float64)
    return Box(a, torch.tensor([[200.0, 80.0], [300.0, 60.0], [120.0, 40.0]], dtype=torch.float64))


def test_a_hole_in_a_robust_box_is_found_and_verified() -> None:
    found = adversarial_boxes(AnalyticFunction(plateau, SPACE.names), robust(), SPACE, max_evaluations=1200)
    assert found
    assert {row for row, _ in found} == {0}
    trap = found[0][1]
    assert trap.verdict == "valid"
    assert (trap.a >= robust().a[0]).all()
    assert (trap.b <= robust().b[0]).all()
    overlap = (torch.minimum(trap.b, HOLE[1]) - torch.maximum(trap.a, HOLE[0])).clamp_min(0).prod()
    assert overlap >= 0.6 * 256
    assert overlap >= 0.65 * (trap.b - trap.a).prod()
    assert trap.volume == pytest.approx(float((trap.b - trap.a).prod()) / 36000)
    assert trap.worst_score == 0
    assert bool((trap.worst_point > HOLE[0]).all() & (trap.worst_point < HOLE[1]).all())
    assert trap.depth > 0.6


def maps_with_holes() -> SemanticMaps:
    """Two networks, two classes; cup: both fail around azimuth 0, only the second at azimuth 90..180."""
    axes = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True), Axis("elevation", 0.0, 90.0)))
    scores = torch.full((2, 2, 36, 10), 0.9)
    scores[:, 0, :3, 2:5] = 0.1
    scores[:, 0, -2:, 2:5] = 0.2
    scores[1, 0, 9:19] = 0.0
    scores[:, 0, 30, 9] = 0.0  # a single sample is no hole
    scores[:, 1] = 0.8
    scores[0, 1, 7, 3] = 0.35
    return SemanticMaps(scores, axes, ("first", "second"), ("cup:0", "teapot:0"), ("cup", "teapot"))


def test_shared_holes_are_joined_over_the_turn() -> None:
    maps = maps_with_holes()
    (hole,) = shared_holes(maps.data_map("cup"))
    assert hole.a.tolist() == [335, 15]
    assert hole.b.tolist() == [385, 45]
    assert hole.volume == 15 / 360
    assert hole.depth == pytest.approx(0.3 - (9 * 0.1 + 6 * 0.2) / 15)
    assert hole.worst_score == pytest.approx(0.1)
    assert shared_holes(maps.data_map("teapot")) == []
    # The second network's failure is its own.
    (own, other) = shared_holes(maps.select(networks=[1]).data_map("cup"))
    assert own.volume == 100 / 360
    assert own.volume * own.depth > other.volume * other.depth
    assert own.b.tolist() == [185, 90]


def test_a_hole_all_around_has_the_whole_extent() -> None:
    maps = maps_with_holes()
    maps.scores[:] = 0.0
    (hole,) = shared_holes(maps.data_map())
    assert (hole.a.tolist(), hole.b.tolist()) == ([0, 0], [360, 90])


def test_the_worst_view_of_every_class() -> None:
    views = worst_views(maps_with_holes())
    assert [view.class_name for view in views] == ["cup", "teapot"]
    assert views[0].worst_point.tolist() == [300, 90]
    assert views[1].worst_point.tolist() == [70, 30]
    assert views[1].worst_score == pytest.approx((0.35 + 0.8) / 2)
    assert views[1].volume == 0


def test_all_traps_of_saved_maps() -> None:
    axes = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True), Axis("elevation", -10.0, 90.0)))
    points = grid_points(axes, (120, 51))
    scores = torch.stack([plateau(points), torch.ones(len(points))]).float().view(2, 1, 120, 51)
    maps = SemanticMaps(scores, axes, ("weak", "strong"), ("cup:0",), ("cup",))
    turn = torch.tensor([[0.0, 0.0], [360.0, 0.0], [0.0, 0.0]])
    box = Box(robust().a[[0, 0, 0]] + turn, robust().b[[0, 0, 0]] + turn)
    traps = find_traps(maps, box, torch.tensor([0, 0, 1]))
    boxes = [trap for trap in traps if trap.kind == "adversarial box"]
    assert {(trap.networks, trap.class_name, trap.shape) for trap in boxes} == {(("weak",), "cup", "cup:0")}
    assert [trap.kind for trap in traps[len(boxes) :]] == ["worst view"]
    assert rank_traps(boxes) == boxes
    # The same box a turn further has the same trap: it is listed once, within the first turn.
    inside = [x for x in boxes if bool((x.a < HOLE[1]).all() & (x.b > HOLE[0]).all())]
    centres = torch.stack([(x.a + x.b) / 2 for x in inside])
    assert len(inside) == len(boxes)
    assert ((centres[:, None] - centres[None]).abs().sum(-1) > 2).sum() == len(boxes) * (len(boxes) - 1)
