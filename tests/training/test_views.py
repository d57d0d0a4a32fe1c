"""View samplers: shares, windows, state."""

from __future__ import annotations

import pytest
import torch

from lightning_semrob.functions import AnalyticFunction
from lightning_semrob.functions.remembered import RememberedFunction
from lightning_semrob.space import SemanticSpace
from lightning_semrob.training.aimed import FailurePredictor
from lightning_semrob.training.data import stream
from lightning_semrob.training.views import (
    AimedViews,
    CleanViews,
    RegionViews,
    RenderedRegionViews,
    UniformViews,
    ViewContext,
    ViewSampler,
    WorstOfKViews,
)

SPACE = SemanticSpace.default()
CLEAN = torch.tensor([[-30.0, 0.0], [30.0, 45.0]], dtype=torch.float64)
#: Three classes with two, one and three training shapes.
LABELS = torch.tensor([0, 0, 1, 2, 2, 2])


def bound(sampler: ViewSampler) -> ViewSampler:
    sampler.bind(ViewContext(SPACE, CLEAN, LABELS))
    return sampler


def failing_behind() -> AnalyticFunction:
    """0 in azimuth 120 to 240, 1 elsewhere, smooth between."""
    return AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / -4), SPACE.names)


@pytest.mark.parametrize(
    "sampler", [CleanViews(), UniformViews(), WorstOfKViews(3), RegionViews(), RenderedRegionViews()]
)
def test_groups_have_their_shapes_and_follow_the_generator(sampler: ViewSampler) -> None:
    bound(sampler)
    first, again, other = (sampler.draw(8, 2, stream(0, 1, step)) for step in (5, 5, 6))
    assert first.u.shape == (8, 2 * sampler.candidates, 2)
    assert first.shape.shape == first.exploratory.shape == (8,)
    assert torch.equal(first.u, again.u)
    assert not torch.equal(first.u, other.u)
    assert bool(SPACE.contains(first.u).all())


def test_every_class_is_drawn_alike_however_many_shapes_it_has() -> None:
    shape = bound(UniformViews()).draw(3000, 1, stream(1)).shape
    share = torch.bincount(LABELS[shape], minlength=3) / 3000
    torch.testing.assert_close(share, torch.full((3,), 1 / 3), atol=0.03, rtol=0)
    assert len(shape.unique()) == len(LABELS)


def test_clean_views_stay_in_their_window() -> None:
    u = bound(CleanViews()).draw(200, 2, stream(2)).u.flatten(0, 1)
    assert bool(((u >= CLEAN[0]) & (u <= CLEAN[1])).all())
    assert u[:, 0].min() < -20
    assert u[:, 0].max() > 20


def test_regions_are_grown_where_remembered_scores_are_low_and_cost_no_image() -> None:
    """Shapes of class 0 fail from behind, and no others: boxes and hard views are there."""
    sampler = bound(RegionViews(0.25, 0.25, regions=12, start=0))
    assert isinstance(sampler, RegionViews)
    f = failing_behind()
    u, shape = SPACE.uniform(600, stream(3)), torch.arange(600) % len(LABELS)
    sampler.refresh(0, stream(4))
    assert len(sampler.boxes[0]) == 0  # nothing is known yet
    score = torch.where(LABELS[shape] == 0, f(u[None])[0], 1.0)
    sampler.observe(shape, u, score)
    sampler.refresh(1, stream(4))
    labels, a, b = sampler.boxes
    assert labels.tolist() == [0] * 12
    center = (a + b)[:, 0] / 2
    assert bool(((center - 180).abs() < 60).all())
    assert float((b - a)[:, 0].mean()) > 30
    assert sampler.largest_cost == len(sampler.tasks(2, stream(4))[0]) == 0
    drawn = sampler.draw(16, 50, stream(5))
    hard = drawn.u[~drawn.exploratory & (LABELS[drawn.shape] == 0)]
    hard = hard[~((hard >= CLEAN[0]) & (hard <= CLEAN[1])).all(-1).all(-1)]
    assert len(hard) == 8
    assert f(hard.flatten(0, 1)[None]).mean() < 0.4  # uniform views would give 0.67
    before = sampler.boxes[1]
    sampler.observe(shape, u, torch.ones(600))
    sampler.recent = 600
    sampler.observe(shape, u, torch.ones(600))
    sampler.refresh(2, stream(6))  # nothing fails any more: the boxes stay
    assert torch.equal(sampler.boxes[1], before)


def test_a_remembered_function_is_the_mean_of_its_class_nearby() -> None:
    u = torch.tensor([[350.0, 40.0], [10.0, 40.0], [180.0, 40.0], [0.0, 40.0]], dtype=torch.float64)
    label, score = torch.tensor([0, 0, 0, 1]), torch.tensor([0.2, 0.4, 1.0, 0.9], dtype=torch.float64)
    f = RememberedFunction(SPACE, label, u, score, 0.02)
    points = torch.tensor([[[0.0, 40.0], [180.0, 40.0], [90.0, -10.0]]], dtype=torch.float64).expand(2, -1, -1)
    found = f(points, torch.tensor([0, 1]))
    assert abs(float(found[0, 0]) - 0.3) < 0.15  # across the seam of the azimuth
    assert found[0, 1] > 0.8
    mean = (1.6 + 2.5 / 4) / 4  # of the class, with that of all views as one more
    assert float(found[0, 2]) == pytest.approx(mean)
    assert found[1, 0] > 0.8
    _, gradient = f.value_and_grad(points + 3.0, torch.tensor([0, 1]))
    step = torch.tensor([1e-4, 0.0], dtype=torch.float64)
    slope = (f(points + 3.0 + step, torch.tensor([0, 1])) - f(points + 3.0 - step, torch.tensor([0, 1]))) / 2e-4
    torch.testing.assert_close(gradient[..., 0], slope, atol=1e-7, rtol=1e-5)


def test_rendered_regions_are_grown_where_the_network_failed_and_drawn_from() -> None:
    """Shapes of class 0 fail from behind: the boxes lie there, and so does the share of hard views."""
    sampler = bound(RenderedRegionViews(0.25, 0.25, regions=6, num_iterations=10, every=1, start=0))
    assert isinstance(sampler, RenderedRegionViews)
    f = failing_behind()
    u = SPACE.uniform(400, stream(3))
    assert len(sampler.tasks(0, stream(3))[0]) == 0  # nothing is known yet
    sampler.observe(torch.zeros(400, dtype=torch.int64), u, f(u[None])[0])
    shape, u0 = sampler.tasks(1, stream(4))
    assert len(shape) == 6
    assert bool(((u0[:, 0] - 180).abs() < 75).all())
    assert bool(SPACE.contains(u0).all())
    boxes = [sampler.grow(f, point[None]) for point in u0]
    assert sum(int(box.evaluations) for box in boxes) <= sampler.largest_cost
    sampler.store(shape, torch.cat([box.a for box in boxes]), torch.cat([box.b for box in boxes]))
    assert sampler.boxes[0].tolist() == [0] * 6
    drawn = sampler.draw(16, 50, stream(5))
    hard = drawn.u[[k for k in range(16) if not drawn.exploratory[k]]]
    inside_window = ((hard >= CLEAN[0]) & (hard <= CLEAN[1])).all(-1).all(-1)
    assert int(inside_window.sum()) == 4  # the clean share
    assert int(drawn.exploratory.sum()) == 4  # the uniform share
    behind = hard[~inside_window]
    assert len(behind) == 8
    score = f(behind.flatten(0, 1)[None])
    assert score.mean() < 0.35  # uniform views would give 0.67
    assert bool((LABELS[drawn.shape[~drawn.exploratory]][~inside_window] == 0).all())


def test_earlier_boxes_are_remembered_up_to_the_memory() -> None:
    sampler = bound(RegionViews(regions=2, memory=2))
    assert isinstance(sampler, RegionViews)
    for round_number in range(3):
        a = torch.full((2, 2), float(round_number), dtype=torch.float64)
        sampler.store(torch.tensor([2, 3]), a, a + 10)
    labels, a, _ = sampler.boxes
    assert a[:, 0].tolist() == [1.0, 1.0, 2.0, 2.0]
    assert labels.tolist() == [1, 2, 1, 2]
    empty = torch.zeros(1, 2, dtype=torch.float64)
    sampler.store(torch.tensor([0]), empty, empty)  # a collapsed box is not kept
    assert len(sampler.boxes[0]) == 4


def test_a_restored_sampler_goes_on_like_the_first() -> None:
    first = bound(RenderedRegionViews(regions=3, start=0))
    u = SPACE.uniform(50, stream(6))
    first.observe(torch.arange(50) % 6, u, torch.rand(50, generator=stream(7), dtype=torch.float64))
    shape, u0 = first.tasks(3, stream(8))
    first.store(shape, u0 - 5, u0 + 5)
    second = bound(RenderedRegionViews(regions=3, start=0))
    second.load_state_dict(first.state_dict())
    for one, two in zip(first.tasks(6, stream(9)), second.tasks(6, stream(9)), strict=True):
        assert torch.equal(one, two)
    assert torch.equal(first.draw(8, 2, stream(10)).u, second.draw(8, 2, stream(10)).u)


def test_rounds_come_every_few_epochs() -> None:
    sampler = bound(RenderedRegionViews(every=3, regions=2, start=1))
    sampler.observe(torch.zeros(4, dtype=torch.int64), SPACE.uniform(4, stream(0)), torch.zeros(4))
    assert [len(sampler.tasks(epoch, stream(epoch))[0]) for epoch in range(6)] == [0, 2, 0, 0, 2, 0]


def test_names_tell_the_samplers_apart() -> None:
    names = [
        sampler.name
        for sampler in (CleanViews(), UniformViews(), WorstOfKViews(4), RegionViews(), RenderedRegionViews())
    ]
    assert names == ["clean", "uniform", "worst_of_4", "regions", "rendered_regions"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"uniform_share": 0.0}, "some views must be uniform"),
        ({"clean_share": 0.6, "uniform_share": 0.5}, "add up to at most"),
        ({"every": 0}, "must be at least 1"),
        ({"width": 0.0}, "width positive"),
        ({"finder": "nave"}, "unknown finder 'nave'"),
    ],
)
def test_a_number_out_of_its_range_is_named(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RegionViews(**arguments)  # type: ignore[arg-type]


def test_worst_of_one_is_uniform() -> None:
    with pytest.raises(ValueError, match="UniformViews is k = 1"):
        WorstOfKViews(1)


def every_view(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(count) % len(LABELS), SPACE.uniform(count, stream(seed))


def test_the_predictor_solves_the_ridge_equations() -> None:
    """Against the dense solution, with weights."""
    context = ViewContext(SPACE, CLEAN, LABELS)
    shape, u = every_view(300, 1)
    failure = torch.rand(300, generator=stream(2), dtype=torch.float64)
    weight = torch.rand(300, generator=stream(3), dtype=torch.float64) + 0.1
    predictor = FailurePredictor(context, ridge=4.0)
    predictor.fit(shape, u, failure, weight)
    x = torch.from_numpy(predictor._indicators(shape, u).toarray())
    # One indicator each of shape, class, azimuth, elevation, and their pair, 12 x 6 bins.
    assert x.sum(1).unique().tolist() == [5.0]
    assert x.shape[1] == len(LABELS) + 3 + 3 * 12 + 3 * 8 + 3 * 12 * 6
    mean = (weight * failure).sum() / weight.sum()
    matrix = x.T @ (weight[:, None] * x) + 4 * torch.eye(x.shape[1], dtype=torch.float64)
    expected = mean + x @ torch.linalg.solve(matrix, x.T @ (weight * (failure - mean)))
    torch.testing.assert_close(predictor(shape, u), expected, atol=1e-4, rtol=0)


def test_the_predictor_wraps_periodic_axes() -> None:
    predictor = FailurePredictor(ViewContext(SPACE, CLEAN, LABELS))
    shape, u = every_view(60, 4)
    predictor.fit(shape, u, torch.rand(60, generator=stream(5)), torch.ones(60))
    turned = u + torch.tensor([360.0, 0.0])
    torch.testing.assert_close(predictor(shape, turned), predictor(shape, u))


def aimed_after_an_epoch(**options: float) -> AimedViews:
    sampler = AimedViews(**options)  # type: ignore[arg-type]
    bound(sampler)
    f, (shape, u) = failing_behind(), every_view(1200, 3)
    score = torch.where(LABELS[shape] == 0, f(u[None])[0], 1.0)
    for part in range(0, 1200, 100):
        sampler.observe(shape[part : part + 100], u[part : part + 100], score[part : part + 100])
    return sampler


def test_views_are_aimed_where_failure_is_predicted() -> None:
    """Class 0 fails from behind: a third of the shapes, a third of the views."""
    sampler = aimed_after_an_epoch()
    sampler.plan(1, 16, 800, stream(6))
    drawn = [sampler.draw(8, 2, stream(7, step)) for step in range(50)]
    shape, u, uniform = (
        torch.cat([getattr(groups, name) for groups in drawn]) for name in ("shape", "u", "exploratory")
    )
    assert len(shape) == 800
    assert int((~uniform).sum()) == round(0.7 * 16) * 50
    failing = (LABELS[shape] == 0) & ((u[:, 0, 0] - 180).abs() < 60)
    assert failing[~uniform].double().mean() > 0.8
    assert failing[uniform].double().mean() < 0.2
    assert len(torch.unique(u[~uniform, 0], dim=0)) == int((~uniform).sum())  # without replacement


@pytest.mark.parametrize(("epoch", "aims"), [(0, False), (1, True), (11, True), (12, False), (15, False)])
def test_the_first_and_the_last_epochs_are_uniform(epoch: int, aims: bool) -> None:
    sampler = aimed_after_an_epoch()
    sampler.plan(epoch, 16, 160, stream(6))
    assert bool(sampler.draw(8, 2, stream(7)).exploratory.all()) is not aims
    sampler = aimed_after_an_epoch(settle=0)
    sampler.plan(max(epoch, 1), 16, 160, stream(6))
    assert not bool(sampler.draw(8, 2, stream(7)).exploratory.all())


def test_old_epochs_fade_and_are_forgotten() -> None:
    sampler = AimedViews(memory=2)
    bound(sampler)
    for epoch in range(4):
        sampler.plan(epoch, 16, 160, stream(epoch))
        sampler.observe(*every_view(90, epoch), torch.full((90,), 0.1 * epoch))
    sampler.plan(4, 16, 160, stream(4))
    state = sampler.state_dict()
    assert [float(failure[0]) for _, _, failure in state["seen"]] == pytest.approx([0.8, 0.7])


def test_aimed_views_go_on_from_their_state() -> None:
    first, second = aimed_after_an_epoch(), AimedViews()
    bound(second)
    second.load_state_dict(first.state_dict())
    for sampler in (first, second):
        sampler.plan(1, 16, 160, stream(6))
    for step in range(10):
        one, other = (sampler.draw(8, 2, stream(7, step)) for sampler in (first, second))
        assert torch.equal(one.u, other.u)
        assert torch.equal(one.shape, other.shape)


def test_a_number_of_aimed_views_out_of_range_is_named() -> None:
    for options in ({"share": 0.0}, {"fading": 1.5}, {"memory": 0}, {"ridge": 0.0}, {"settle": -1}):
        with pytest.raises(ValueError, match="share and fading must lie"):
            AimedViews(**options)  # type: ignore[arg-type]
