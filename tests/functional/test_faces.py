"""Directions from face samples against the exact gradients, with a rule that is exact for multilinear f."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from lightning_semrob.finders import NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder, TrapezoidFinder
from lightning_semrob.functional import corner_mask, corners, oir_w_directions, outer_bounds, trapezoid_directions
from lightning_semrob.functional.faces import (
    face_points,
    inner_points,
    naive_face_directions,
    oir_b_face_directions,
    oir_w_face_directions,
    trapezoid_sample_directions,
)
from lightning_semrob.functions import AnalyticFunction
from lightning_semrob.space import Axis, SemanticSpace
from tests.functional.test_regions import AXES, Multilinear, assert_close, boxes, gradient_of, values_and_gradients


def gauss(n: int) -> Tensor:
    """Two Gauss points an axis: exact for polynomials of degree 3 in each coordinate."""
    nodes = (0.5 - 12**-0.5, 0.5 + 12**-0.5)
    return torch.tensor(list(itertools.product(nodes, repeat=n)), dtype=torch.float64)


@pytest.mark.parametrize("n", AXES)
@pytest.mark.parametrize("seed", range(2))
def test_face_directions_are_the_exact_gradients(n: int, seed: int) -> None:
    f, (a, b), q = Multilinear(n, seed), boxes(n, seed), gauss(n)
    points = face_points(a, b, q)
    value, gradient = values_and_gradients(f, points)
    naive = gradient_of(lambda a, b: -f.integral(a, b) + 0.05 * (b - a).square().sum(-1), a, b)
    assert_close(naive_face_directions(a, b, value, 0.1), naive, 1e-8)

    def oir_b(a: Tensor, b: Tensor) -> Tensor:
        return f.integral(*outer_bounds(a, b, 0.05)) - 2 * f.integral(a, b)

    outer = f(face_points(*outer_bounds(a, b, 0.05), q))
    assert_close(oir_b_face_directions(a, b, value, outer, 0.05), gradient_of(oir_b, a, b), 1e-8)
    # The corner form of OIR_W is the exact limit for multilinear f (test_regions.py).
    exact = oir_w_directions(a, b, *values_and_gradients(f, corners(a, b)), 0.2)
    assert_close(oir_w_face_directions(a, b, value, gradient, points, 0.2), exact, 1e-8)


@pytest.mark.parametrize("n", AXES)
def test_corners_as_samples_give_the_trapezoid_directions(n: int) -> None:
    f, (a, b), q = Multilinear(n, 0), boxes(n, 0), corner_mask(n)
    assert torch.allclose(inner_points(a, b, q), corners(a, b))
    value, gradient = values_and_gradients(f, corners(a, b))
    expected = trapezoid_directions(a, b, value, gradient, 0.1)
    assert_close(trapezoid_sample_directions(a, b, value, gradient, q, 0.1), expected, 1e-10)


def plateau(u: Tensor) -> Tensor:
    """1 inside [0.2, 0.7]^n, averaged over axes so that it does not vanish in many dimensions."""
    return (torch.sigmoid(60 * (u - 0.2)) * torch.sigmoid(60 * (0.7 - u))).log().mean(-1).exp()


@pytest.mark.parametrize("finder", [NaiveFinder, TrapezoidFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder])
def test_twenty_axes(finder: type[NaiveFinder]) -> None:
    """2**20 corners are out of reach; faces cost 2 n S points a step, twice that for OIR_B, S for the trapezoid."""
    n = 20
    space = SemanticSpace(tuple(Axis(f"x{k}", 0.0, 1.0, "unit") for k in range(n)))
    made = finder(quadrature="sobol", num_iterations=3)
    box = made.find(AnalyticFunction(plateau), torch.full((2, n), 0.45), space)
    per_step = {NaiveFinder: 2 * n * 16, OIRBlackBoxFinder: 4 * n * 16, OIRWhiteBoxFinder: 2 * n * 16}
    assert torch.equal(box.evaluations, box.steps * per_step.get(finder, 16))
    assert (box.width > 0.02).all()


@pytest.mark.parametrize("finder", [NaiveFinder, OIRBlackBoxFinder])
def test_faces_agree_with_corners_in_two_axes(finder: type[NaiveFinder]) -> None:
    space = SemanticSpace((Axis("x", 0.0, 1.0, "unit"), Axis("y", 0.0, 1.0, "unit")))
    f, u0 = AnalyticFunction(lambda u: plateau(u) ** 2), torch.full((1, 2), 0.45)
    with_corners, with_faces = (finder(quadrature=kind).find(f, u0, space) for kind in ("corners", "sobol"))
    assert (with_corners.a - with_faces.a).abs().max() < 0.06
    assert (with_corners.b - with_faces.b).abs().max() < 0.06


def test_unknown_quadrature_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'sobol'"):
        NaiveFinder(quadrature="sobool")
