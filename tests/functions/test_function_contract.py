"""What every f promises: inherit :class:`FunctionContract` and give a function of azimuth and elevation."""

from __future__ import annotations

import pytest
import torch
from tiny_network import InkNetwork
from torch import Tensor

from lightning_semrob import SemanticSpace
from lightning_semrob.functions import (
    AnalyticFunction,
    Complement,
    FiniteDifference,
    RecordedFunction,
    RenderedFunction,
    Reordered,
    SemanticFunction,
    evaluate_rows,
)
from lightning_semrob.functions.remembered import RememberedFunction

SPACE = SemanticSpace.default()


class FunctionContract:
    """Tests of one function.

    Attributes:
        items: rows that f knows, for ``index``.
        tolerance: by how much scores may depend on what else is evaluated.
        hits: whether f tells top-1 hits.
    """

    items = 1
    tolerance = 0.0
    hits = False

    def make(self) -> SemanticFunction:
        raise NotImplementedError

    @pytest.fixture
    def f(self) -> SemanticFunction:
        return self.make()

    @property
    def index(self) -> Tensor:
        return torch.arange(2) % self.items

    @property
    def u(self) -> Tensor:
        return SPACE.sobol(6, 0).view(2, 3, 2)

    def close(self, found: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(found, expected, rtol=0, atol=self.tolerance)

    def test_scores_are_float64_between_0_and_1(self, f: SemanticFunction) -> None:
        value = f(self.u.float(), self.index)
        assert (value.shape, value.dtype) == ((2, 3), torch.float64)
        assert bool(((value >= 0) & (value <= 1)).all())
        assert f.names in (None, SPACE.names)

    def test_batch_equals_loop(self, f: SemanticFunction) -> None:
        value, index = f(self.u, self.index), self.index
        loop = [f(self.u[k : k + 1, p : p + 1], index[k : k + 1])[0, 0] for k in range(2) for p in range(3)]
        self.close(value, torch.stack(loop).view(2, 3))

    def test_the_same_points_have_the_same_scores(self, f: SemanticFunction) -> None:
        again = self.make()
        assert torch.equal(f(self.u, self.index), again(self.u, self.index))
        assert torch.equal(f(self.u, self.index), f(self.u, self.index))

    def test_gradients_come_with_the_scores(self, f: SemanticFunction) -> None:
        value, gradient = f.value_and_grad(self.u, self.index)
        assert (gradient.shape, gradient.dtype) == ((2, 3, 2), torch.float64)
        assert gradient.abs().sum() > 0
        self.close(value, f(self.u, self.index))

    def test_evaluations_are_counted(self, f: SemanticFunction) -> None:
        forward, backward = f.gradient_cost(2)
        start = f.evaluations, f.gradient_evaluations
        f(self.u, self.index)
        assert (f.evaluations, f.gradient_evaluations) == (start[0] + 6, start[1])
        f.value_and_grad(self.u, self.index)
        assert (f.evaluations, f.gradient_evaluations) == (start[0] + 6 + 6 * forward, start[1] + 6 * backward)

    def test_rows_with_different_numbers_of_points(self, f: SemanticFunction) -> None:
        points = [SPACE.sobol(size, size) for size in (2, 1, 2)] + [torch.zeros(0, 2, dtype=torch.float64)]
        for index in (torch.zeros(4, dtype=torch.int64), torch.arange(4) % self.items):
            before = f.evaluations
            values, gradients = evaluate_rows(f, points, index)
            assert f.evaluations == before + 5
            assert gradients is None
            with_gradient, slopes = evaluate_rows(f, points, index, with_gradient=True)
            assert slopes is not None
            assert [len(value) for value in values] == [2, 1, 2, 0]
            for k in range(3):
                expected, slope = f.value_and_grad(points[k][None], index[k : k + 1])
                self.close(values[k], expected[0])
                self.close(with_gradient[k], expected[0])
                torch.testing.assert_close(slopes[k], slope[0], rtol=1e-4, atol=max(self.tolerance, 1e-12))

    def test_hits_come_with_the_scores(self, f: SemanticFunction) -> None:
        if not self.hits:
            with pytest.raises(ValueError, match="has no classes"):
                f.scores_and_hits(self.u, self.index)
            return
        before = f.evaluations
        scores, hits = f.scores_and_hits(self.u, self.index)
        assert f.evaluations == before + 6
        assert torch.equal(scores, f(self.u, self.index))
        assert hits.shape == scores.shape
        assert set(hits.flatten().tolist()) <= {0.0, 1.0}

    def test_wrong_shapes_are_refused(self, f: SemanticFunction) -> None:
        with pytest.raises(ValueError, match="u must be"):
            f(torch.zeros(3, 2))
        with pytest.raises(ValueError, match="index must be"):
            f(torch.zeros(3, 1, 2), torch.zeros(1, dtype=torch.int64))
        if f.names is not None:
            with pytest.raises(ValueError, match="takes 2"):
                f(torch.zeros(3, 1, 3))


class TestAnalytic(FunctionContract):
    def make(self) -> SemanticFunction:
        return AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 50 + u[..., 1] / 90))


class TestRecorded(FunctionContract):
    items = 2

    def make(self) -> SemanticFunction:
        return RecordedFunction(torch.rand(2, 34, 120, generator=torch.Generator().manual_seed(0)))


class TestReordered(FunctionContract):
    items = 2

    def make(self) -> SemanticFunction:
        maps = torch.rand(2, 10, 12, generator=torch.Generator().manual_seed(0))
        return Reordered(RecordedFunction(maps, SemanticSpace((SPACE.axes[1], SPACE.axes[0]))), SPACE.names)


class TestFiniteDifference(FunctionContract):
    items = 2

    def make(self) -> SemanticFunction:
        return FiniteDifference.of(TestRecorded().make(), SPACE)


class TestRemembered(FunctionContract):
    items = 2
    tolerance = 1e-15

    def make(self) -> SemanticFunction:
        u = SPACE.sobol(40, 1)
        return RememberedFunction(SPACE, torch.arange(40) % 2, u, torch.sigmoid((u[:, 0] - 180) / 50), 0.1)


class TestRendered(FunctionContract):
    tolerance = 1e-7
    hits = True

    def make(self) -> SemanticFunction:
        return RenderedFunction.of("teapot", InkNetwork(), image_size=32, micro_batch_size=4)


class TestComplement(FunctionContract):
    tolerance = 1e-7
    hits = True

    def make(self) -> SemanticFunction:
        return Complement(TestRendered().make())

    def test_it_is_one_minus_f_with_the_hits_of_f(self, f: Complement) -> None:
        scores, hits = f.scores_and_hits(self.u)
        theirs, their_hits = f.function.scores_and_hits(self.u)
        assert torch.equal(scores, 1 - theirs)
        assert torch.equal(hits, their_hits)
        assert torch.equal(f.value_and_grad(self.u)[1], -f.function.value_and_grad(self.u)[1])
