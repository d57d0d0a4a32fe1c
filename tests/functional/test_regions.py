"""Update directions against the exact gradient of their losses, for multilinear f."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_semrob.functional import (
    corner_mask,
    corners,
    cross_sections,
    naive_directions,
    naive_loss,
    oir_b_directions,
    oir_b_loss,
    oir_w_directions,
    outer_bounds,
    trapezoid_directions,
)

AXES = [1, 2, 3, 4]


class Multilinear:
    """f(u) = sum over subsets S of coefficient_S * prod_{i in S} u_i, with its exact integral over boxes."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.coefficients = torch.rand(2**n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def __call__(self, u: Tensor) -> Tensor:
        total = torch.zeros_like(u[..., 0])
        for coefficient, bits in zip(self.coefficients, itertools.product((0, 1), repeat=self.n), strict=True):
            term = coefficient
            for k, bit in enumerate(bits):
                term = term * u[..., k] if bit else term
            total = total + term
        return total

    def integral(self, a: Tensor, b: Tensor) -> Tensor:
        total = torch.zeros_like(a[..., 0])
        for coefficient, bits in zip(self.coefficients, itertools.product((0, 1), repeat=self.n), strict=True):
            term = coefficient
            for k, bit in enumerate(bits):
                term = term * ((b[..., k] ** 2 - a[..., k] ** 2) / 2 if bit else b[..., k] - a[..., k])
            total = total + term
        return total


def boxes(n: int, seed: int, count: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(100 + seed)
    a = torch.rand(count, n, generator=generator, dtype=torch.float64)
    return a, a + 0.2 + torch.rand(count, n, generator=generator, dtype=torch.float64)


def gradient_of(loss, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    a, b = a.clone().requires_grad_(True), b.clone().requires_grad_(True)
    return torch.autograd.grad(loss(a, b).sum(), (a, b))


def values_and_gradients(f: Multilinear, points: Tensor) -> tuple[Tensor, Tensor]:
    points = points.clone().requires_grad_(True)
    value = f(points)
    (gradient,) = torch.autograd.grad(value.sum(), points)
    return value.detach(), gradient


def assert_close(actual, expected, tolerance: float) -> None:
    for x, y in zip(actual, expected, strict=True):
        assert (x - y).abs().max() <= tolerance * max(1.0, float(y.abs().max()))


def test_corner_mask_is_the_binary_matrix() -> None:
    for n in AXES:
        mask = corner_mask(n)
        assert mask.shape == (2**n, n)
        for c in range(2**n):
            assert [int(x) for x in mask[c]] == [(c >> (n - 1 - k)) & 1 for k in range(n)]


@pytest.mark.parametrize("n", [0, 15, -1])
def test_too_many_axes_is_one_clear_error(n: int) -> None:
    with pytest.raises(ValueError, match=r"1 to 14 axes, got"):
        corner_mask(n)


def test_corners_are_exact() -> None:
    a, b = torch.tensor([[[310 - 1e-5, 5.0]], [[310 + 1e-5, 7.0]]], dtype=torch.float64)
    d = corners(a, b)
    assert d[0].tolist() == [[a[0, 0], 5.0], [a[0, 0], 7.0], [b[0, 0], 5.0], [b[0, 0], 7.0]]


@pytest.mark.parametrize("n", AXES)
@pytest.mark.parametrize("seed", range(3))
def test_naive(n: int, seed: int) -> None:
    f, (a, b) = Multilinear(n, seed), boxes(n, seed)
    exact = gradient_of(lambda a, b: -f.integral(a, b) + 0.05 * (b - a).square().sum(-1), a, b)
    assert_close(naive_directions(a, b, f(corners(a, b)), 0.1), exact, 1e-8)
    torch.testing.assert_close(
        naive_loss(a, b, f(corners(a, b)), 0.1), -f.integral(a, b) + 0.05 * (b - a).square().sum(-1)
    )


@pytest.mark.parametrize("n", AXES)
@pytest.mark.parametrize("seed", range(3))
def test_trapezoid(n: int, seed: int) -> None:
    f, (a, b) = Multilinear(n, seed), boxes(n, seed)
    exact = gradient_of(lambda a, b: naive_loss(a, b, f(corners(a, b)), 0.1), a, b)
    assert_close(trapezoid_directions(a, b, *values_and_gradients(f, corners(a, b)), 0.1), exact, 1e-8)


@pytest.mark.parametrize("n", AXES)
@pytest.mark.parametrize("seed", range(3))
def test_oir_b(n: int, seed: int) -> None:
    f, (a, b), alpha = Multilinear(n, seed), boxes(n, seed), 0.05
    outer = outer_bounds(a, b, alpha)

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return f.integral(*outer_bounds(a, b, alpha)) - 2 * f.integral(a, b)

    scores = f(corners(a, b)), f(corners(*outer))
    assert_close(oir_b_directions(a, b, *scores, alpha), gradient_of(loss, a, b), 1e-8)
    torch.testing.assert_close(oir_b_loss(a, b, *scores, alpha), loss(a, b))


@pytest.mark.parametrize("n", AXES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("beta", [0.0009, 0.2])
def test_oir_w_is_the_limit_of_the_ratio(n: int, seed: int, beta: float) -> None:
    """(beta / alpha) (outer - inner) - inner, whose gradient tends to the white-box directions as alpha -> 0."""
    f, (a, b) = Multilinear(n, seed), boxes(n, seed)

    def directions(alpha: float) -> tuple[Tensor, Tensor]:
        def loss(a: Tensor, b: Tensor) -> Tensor:
            inner = f.integral(a, b)
            return beta / alpha * (f.integral(*outer_bounds(a, b, alpha)) - inner) - inner

        return gradient_of(loss, a, b)

    # Richardson extrapolation to alpha = 0.
    coarse, fine = directions(2e-4), directions(1e-4)
    limit = [2 * y - x for x, y in zip(coarse, fine, strict=True)]
    actual = oir_w_directions(a, b, *values_and_gradients(f, corners(a, b)), beta)
    assert_close(actual, limit, 1e-6)


@pytest.mark.parametrize("n", [2, 3])
def test_the_papers_printed_coefficient_is_wrong(n: int) -> None:
    """2 - n beta, as printed in Eq. 17, misses the limit that 2 - (2n - 1) beta meets."""
    f, (a, b), beta = Multilinear(n, 0), boxes(n, 0), 0.2
    value, gradient = values_and_gradients(f, corners(a, b))
    right, _ = oir_w_directions(a, b, value, gradient, beta)
    opposite = 1 - corner_mask(n)
    section = cross_sections(b - a) / 2**n
    printed = right + section * ((2 - n * beta) - (2 - (2 * n - 1) * beta)) * (value @ opposite)
    assert (printed - right).abs().max() > 1e-2


@pytest.mark.parametrize("n", AXES)
def test_beta_zero_gives_the_unregularised_naive_directions(n: int) -> None:
    f, (a, b) = Multilinear(n, 1), boxes(n, 1)
    value, gradient = values_and_gradients(f, corners(a, b))
    assert_close(oir_w_directions(a, b, value, gradient, 0.0), naive_directions(a, b, value, 0.0), 1e-12)


def every_direction(a: Tensor, b: Tensor, f: Tensor, outer: Tensor, g: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [
        naive_directions(a, b, f, 0.1),
        trapezoid_directions(a, b, f, g, 0.1),
        oir_b_directions(a, b, f, outer, 0.05),
        oir_w_directions(a, b, f, g, 0.1),
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(0, 10_000))
def test_reflection_exchanges_a_and_b(n: int, seed: int) -> None:
    """f(-u) on [-b, -a]: the direction of a becomes minus the direction of b."""
    a, b = boxes(n, seed, 3)
    generator = torch.Generator().manual_seed(seed)
    f, outer = torch.rand(2, 3, 2**n, generator=generator, dtype=torch.float64)
    g = torch.rand(3, 2**n, n, generator=generator, dtype=torch.float64)
    mirrored = every_direction(-b, -a, f.flip(-1), outer.flip(-1), -g.flip(-2))
    for (grad_a, grad_b), (mirror_a, mirror_b) in zip(every_direction(a, b, f, outer, g), mirrored, strict=True):
        torch.testing.assert_close(mirror_a, -grad_b)
        torch.testing.assert_close(mirror_b, -grad_a)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 4), st.integers(0, 10_000))
def test_exchanging_axes_exchanges_directions(n: int, seed: int) -> None:
    a, b = boxes(n, seed, 2)
    f = Multilinear(n, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    back = torch.argsort(order)

    def all_of(a: Tensor, b: Tensor, f) -> list[tuple[Tensor, Tensor]]:
        value, g = values_and_gradients(f, corners(a, b))
        return every_direction(a, b, value, f(corners(*outer_bounds(a, b, 0.05))), g)

    permuted = all_of(a[:, order], b[:, order], lambda u: f(u[..., back]))
    for plain, other in zip(all_of(a, b, f), permuted, strict=True):
        for x, y in zip(plain, other, strict=True):
            torch.testing.assert_close(x[:, order], y)


@pytest.mark.parametrize("n", AXES)
def test_batch_equals_loop(n: int) -> None:
    a, b = boxes(n, 3, 6)
    f = Multilinear(n, 3)
    value, g = values_and_gradients(f, corners(a, b))
    outer = f(corners(*outer_bounds(a, b, 0.05)))
    batched = every_direction(a, b, value, outer, g)
    for row in range(6):
        for whole, single in zip(batched, every_direction(a[row], b[row], value[row], outer[row], g[row]), strict=True):
            for x, y in zip(whole, single, strict=True):
                torch.testing.assert_close(x[row], y, rtol=1e-13, atol=1e-15)


def test_known_directions_on_a_constant() -> None:
    """f = 1, n = 2, unit square: naive faces have integral 1; OIR_B grows while (1 + alpha)^n < 2."""
    a, b = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    one, zero = torch.ones(1, 4, dtype=torch.float64), torch.zeros(1, 4, 2, dtype=torch.float64)
    grad_a, grad_b = naive_directions(a, b, one, 0.1)
    torch.testing.assert_close(grad_a, torch.full_like(a, 0.9))
    torch.testing.assert_close(grad_b, torch.full_like(a, -0.9))
    grad_a, _ = oir_b_directions(a, b, one, one, 0.05)
    torch.testing.assert_close(grad_a, torch.full_like(a, 2 - 1.05**2))
    grad_a, _ = oir_b_directions(a, b, one, one, 2**0.5 - 1)
    torch.testing.assert_close(grad_a, torch.zeros_like(a), atol=1e-12, rtol=0)
    grad_a, _ = oir_w_directions(a, b, one, zero, 0.5)
    torch.testing.assert_close(grad_a, torch.zeros_like(a), atol=1e-12, rtol=0)


def test_a_zero_width_is_harmless() -> None:
    a = torch.zeros(1, 3, dtype=torch.float64)
    b = torch.tensor([[0.0, 1.0, 1.0]], dtype=torch.float64)
    f, g = torch.rand(1, 8, dtype=torch.float64), torch.rand(1, 8, 3, dtype=torch.float64)
    for pair in every_direction(a, b, f, f, g):
        assert all(x.isfinite().all() for x in pair)
