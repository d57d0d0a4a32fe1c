"""Update directions from samples on the faces of a box: the corner methods where 2**n corners are too many.

The directions of :mod:`lightning_semrob.functional.regions` are face integrals. Here each is the cross section times
the mean of f over S sample points of the face (quasi-random ones, or any equal-weight rule), at 2 n S evaluations.
``F_a[k]`` is the integral of f over the face ``u_k = a_k``, ``F_b[k]`` over ``u_k = b_k``. Shapes: n axes, S samples,
leading dimensions (...) free; side 0 is a, side 1 is b.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_semrob.functional.regions import cross_sections


def inner_points(a: Tensor, b: Tensor, q: Tensor) -> Tensor:
    """The points q (S, n) of the unit cube in each box [a, b] (..., n): (..., S, n)."""
    return a.unsqueeze(-2) + q.to(a) * (b - a).unsqueeze(-2)


def face_points(a: Tensor, b: Tensor, q: Tensor) -> Tensor:
    """The points q (S, n) on every face of the boxes [a, b] (..., n): coordinate k is the bound, the others those of q.

    (..., 2, n, S, n): side, axis of the face, sample, coordinate.
    """
    n = a.shape[-1]
    inside = inner_points(a, b, q)  # (..., S, n)
    bounds = torch.stack([a, b], -2)  # (..., 2, n)
    own = torch.eye(n, dtype=torch.bool, device=a.device)[:, None, :]  # (n, 1, n)
    return torch.where(own, bounds[..., None, None, :], inside[..., None, None, :, :])


def _integrals(a: Tensor, b: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    """F_a, F_b (..., n) from values f (..., 2, n, S)."""
    faces = f.to(a).mean(-1) * cross_sections(b - a).unsqueeze(-2)
    lower, upper = faces.unbind(-2)
    return lower, upper


def naive_face_directions(a: Tensor, b: Tensor, f: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """Gradient of the naive loss (Eq. 7): ``F_a - lam r`` and ``-F_b + lam r``, from f (..., 2, n, S)."""
    lower, upper = _integrals(a, b, f)
    r = b - a
    return lower - lam * r, -upper + lam * r


def oir_b_face_directions(a: Tensor, b: Tensor, f: Tensor, f_outer: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Gradient of the OIR_B loss (Eq. 11) from scores f, f_outer (..., 2, n, S) on the faces of inner and outer box.

    With A, B of the outer box: ``2 F_a - (1 + alpha/2) F_A - alpha/2 F_B`` and
    ``-2 F_b + (1 + alpha/2) F_B + alpha/2 F_A``.
    """
    lower, upper = _integrals(a, b, f)
    margin = alpha / 2 * (b - a)
    outer_lower, outer_upper = _integrals(a - margin, b + margin, f_outer)
    grad_a = 2 * lower - (1 + alpha / 2) * outer_lower - alpha / 2 * outer_upper
    grad_b = -2 * upper + (1 + alpha / 2) * outer_upper + alpha / 2 * outer_lower
    return grad_a, grad_b


def oir_w_face_directions(
    a: Tensor, b: Tensor, f: Tensor, g: Tensor, points: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """The white-box limit (Eq. 16) from the faces alone: scores f (..., 2, n, S) and gradients g (..., 2, n, S, n).

    The shell ``sum_i r_i / 2 (F_a[i] + F_b[i])`` equals ``integral of h = n f + (u - c) . grad f`` over the box by the
    divergence theorem, c its centre. So ``grad_a = F_a - beta (H_a + (F_b - F_a) / 2)`` and
    ``grad_b = -F_b + beta (H_b - (F_b - F_a) / 2)`` with H the face integrals of h; in 1-D this is Eq. 14 as corrected.
    """
    n = a.shape[-1]
    lower, upper = _integrals(a, b, f)
    centre = ((a + b) / 2)[..., None, None, None, :]
    h_lower, h_upper = _integrals(a, b, n * f.to(a) + ((points.to(a) - centre) * g.to(a)).sum(-1))
    half = (upper - lower) / 2
    return lower - beta * (h_lower + half), -upper + beta * (h_upper - half)


def trapezoid_sample_directions(
    a: Tensor, b: Tensor, f: Tensor, g: Tensor, q: Tensor, lam: float
) -> tuple[Tensor, Tensor]:
    """The quadrature of the naive loss differentiated itself, as the trapezoid finder does with corners for q (S, n).

    With the mean over samples ``<.>`` and V = prod(r): ``grad_a = V (<f> / r - <(1 - q) grad f>) - lam r`` and
    ``grad_b = V (-<f> / r - <q grad f>) + lam r``. f (..., S) and g (..., S, n) are at :func:`inner_points`.
    """
    r = b - a
    f, g, q = f.to(a), g.to(a), q.to(a)
    section = cross_sections(r)
    volume = r.prod(-1, keepdim=True)
    mean = section * f.mean(-1, keepdim=True)
    grad_a = mean - volume * ((1 - q) * g).mean(-2) - lam * r
    grad_b = -mean - volume * (q * g).mean(-2) + lam * r
    return grad_a, grad_b
