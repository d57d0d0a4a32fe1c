"""Corner masks, losses and update directions of the paper's region finders.

Shapes: n axes, C = 2**n corners, leading dimensions (...) free (usually K tasks). All functions are pure, work
on any device and keep the dtype of ``a``. Equations are the paper's; where it prints one wrongly, the form
derived from the loss is used and the docstring says so. ``r = b - a``, ``Delta = prod(r) / 2**n``.

``Delta / r_k`` is always formed as the cross section ``prod_{i != k} r_i / 2**n``, so a zero width is harmless.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

__all__ = [
    "MAX_AXES",
    "corner_mask",
    "corners",
    "cross_sections",
    "naive_directions",
    "naive_loss",
    "oir_b_directions",
    "oir_b_loss",
    "oir_w_directions",
    "outer_bounds",
    "trapezoid_directions",
]

#: 2**14 corners of a box are 16,384 evaluations a step: beyond that corner methods are not a sensible choice.
MAX_AXES = 14


@lru_cache(maxsize=32)
def _mask(n: int) -> Tensor:
    bits = torch.arange(2**n)[:, None] >> torch.arange(n - 1, -1, -1)[None, :]
    return (bits & 1).to(torch.float64)


def corner_mask(n: int) -> Tensor:
    """Binary masking matrix M of Eq. 5, transposed, (2**n, n) float64: ``[c, k] = (c >> (n - 1 - k)) & 1``.

    ValueError for n < 1 or n > ``MAX_AXES``.

    Examples:
        >>> corner_mask(2).tolist()
        [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    if not 1 <= n <= MAX_AXES:
        raise ValueError(
            f"corner methods take 1 to {MAX_AXES} axes, got {n} (2**{n} corners); sweep fewer axes, or use "
            "VerifiedFinder, whose cost is linear in the number of axes"
        )
    return _mask(n).clone()


def corners(a: Tensor, b: Tensor) -> Tensor:
    """Corners (..., 2**n, n) of the boxes [a, b], Eq. 5: ``d^c = a + M[c] * (b - a)``, in the order of the mask.

    Examples:
        >>> corners(torch.tensor([0.0, 10.0]), torch.tensor([1.0, 20.0])).tolist()
        [[0.0, 10.0], [0.0, 20.0], [1.0, 10.0], [1.0, 20.0]]
    """
    mask = corner_mask(a.shape[-1]).to(a)
    return torch.where(mask.bool(), b.unsqueeze(-2), a.unsqueeze(-2))


def outer_bounds(a: Tensor, b: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Bounds A, B of the outer region Q of Eq. 9: widened by ``alpha / 2`` widths on each side."""
    margin = (alpha / 2) * (b - a)
    return a - margin, b + margin


def cross_sections(r: Tensor) -> Tensor:
    """``prod_{i != k} r_i`` for every k, computed as products (no division by r_k). (..., n) -> (..., n)."""
    n = r.shape[-1]
    if n == 1:
        return torch.ones_like(r)
    others = r.unsqueeze(-2).expand(*r.shape[:-1], n, n)
    return others.masked_fill(torch.eye(n, dtype=torch.bool, device=r.device), 1.0).prod(-1)


def _prepare(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Widths, Delta / r as (..., n), and the masks M, Mbar as (2**n, n)."""
    n = a.shape[-1]
    mask = corner_mask(n).to(a)
    r = b - a
    return r, cross_sections(r) / 2**n, mask, 1 - mask


def naive_loss(a: Tensor, b: Tensor, f: Tensor, lam: float) -> Tensor:
    """Loss of Eq. 7: ``-Delta * sum(f_D) + lam / 2 * |r|^2``. (..., n), (..., 2**n) -> (...)."""
    r = b - a
    loss: Tensor = -r.prod(-1) / 2 ** a.shape[-1] * f.sum(-1) + lam / 2 * r.square().sum(-1)
    return loss


def naive_directions(a: Tensor, b: Tensor, f: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """Gradient of the naive loss (Eq. 7) by the Leibniz rule, each face integral by the trapezoid rule.

    ``grad_a = 2 Delta / r * (Mbar f_D) - lam r`` and ``grad_b = -2 Delta / r * (M f_D) + lam r``. The paper prints
    M in both and the signs of ``lam r`` exchanged; its one-dimensional text has them right.

    Args:
        a, b: bounds (..., n); f: scores at the corners (..., 2**n); lam: weight of the size penalty.

    Examples:
        >>> naive_directions(torch.zeros(2).double(), torch.ones(2).double(), torch.ones(4), lam=0.1)[0].tolist()
        [0.9, 0.9]
    """
    r, delta_over_r, mask, opposite = _prepare(a, b)
    f = f.to(a)
    return 2 * delta_over_r * (f @ opposite) - lam * r, -2 * delta_over_r * (f @ mask) + lam * r


def trapezoid_directions(a: Tensor, b: Tensor, f: Tensor, g: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """Exact gradient of the trapezoid approximation of the naive loss (appendix 0.B.5). The authors report divergence.

    ``grad_a = Delta (sum(f_D) / r - diag(Mbar G)) - lam r``, ``grad_b = Delta (-sum(f_D) / r - diag(M G)) + lam r``.
    The arguments are those of :func:`naive_directions`, and g (..., 2**n, n), gradients of the score at the corners.

    Examples:
        >>> a, b = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
        >>> trapezoid_directions(a, b, torch.ones(4), torch.zeros(4, 2), lam=0.1)[0].tolist()
        [0.9, 0.9]
    """
    r, delta_over_r, mask, opposite = _prepare(a, b)
    f, g = f.to(a), g.to(a)
    total = f.sum(-1, keepdim=True)
    grad_a = delta_over_r * (total - r * (opposite * g).sum(-2)) - lam * r
    grad_b = delta_over_r * (-total - r * (mask * g).sum(-2)) + lam * r
    return grad_a, grad_b


def oir_b_loss(a: Tensor, b: Tensor, f: Tensor, f_outer: Tensor, alpha: float) -> Tensor:
    """Loss of Eq. 11: ``Delta ((1 + alpha)**n sum(f_Q) - 2 sum(f_D))``; the paper prints ``(1 + alpha)``."""
    n = a.shape[-1]
    loss: Tensor = (b - a).prod(-1) / 2**n * ((1 + alpha) ** n * f_outer.sum(-1) - 2 * f.sum(-1))
    return loss


def oir_b_directions(a: Tensor, b: Tensor, f: Tensor, f_outer: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Black-box outer-inner ratio directions (Eq. 11 and 12), from scores alone.

    With ``M_Q = (1 + alpha)**(n-1) ((1 + alpha/2) M + alpha/2 Mbar)``:
    ``grad_a = 2 Delta / r (2 Mbar f_D - Mbar_Q f_Q)``, ``grad_b = 2 Delta / r (-2 M f_D + M_Q f_Q)``.
    The paper prints M for Mbar inside M_Q. The box grows on f = 1 only while ``(1 + alpha)**n < 2``.

    Args:
        a, b, f, alpha: as of :func:`naive_directions`, and the boundary factor.
        f_outer: (..., 2**n) scores at the corners of the outer box (:func:`outer_bounds`).

    Examples:
        >>> a, b = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
        >>> oir_b_directions(a, b, torch.ones(4), torch.ones(4), alpha=0.05)[0] > 0  # 1.05**2 < 2
        tensor([True, True])
    """
    n = a.shape[-1]
    _, delta_over_r, mask, opposite = _prepare(a, b)
    f, f_outer = f.to(a), f_outer.to(a)
    growth = (1 + alpha) ** (n - 1)
    mask_outer = growth * ((1 + alpha / 2) * mask + (alpha / 2) * opposite)
    opposite_outer = growth * ((1 + alpha / 2) * opposite + (alpha / 2) * mask)
    grad_a = 2 * delta_over_r * (2 * (f @ opposite) - f_outer @ opposite_outer)
    grad_b = 2 * delta_over_r * (f_outer @ mask_outer - 2 * (f @ mask))
    return grad_a, grad_b


def oir_w_directions(a: Tensor, b: Tensor, f: Tensor, g: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """White-box outer-inner ratio directions (Eq. 14 and 16 to 18), from scores and gradients.

    The limit alpha -> 0 of the outer-inner ratio with ``lambda = alpha / beta``. With
    ``M_D = (2 - (2n - 1) beta) M - beta Mbar`` and
    ``s_k = 1/r_k sum_{i != k} r_i sum_c (M[c, i] - Mbar[c, i]) M[c, k] G[c, i]`` (sbar with M, Mbar exchanged):
    ``grad_a = Delta (Mbar_D f_D / r + beta diag(Mbar G) + beta sbar)``,
    ``grad_b = Delta (-M_D f_D / r + beta diag(M G) + beta s)``. The paper prints ``2 - n beta`` for
    ``2 - (2n - 1) beta``, and the wrong sign of f(b) in the 1-D dL/da. The box grows on f = 1 only if ``beta < 1 / n``.

    The other arguments are those of :func:`trapezoid_directions`.

    Examples:
        >>> a, b = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
        >>> [float(oir_w_directions(a, b, torch.ones(4), torch.zeros(4, 2), beta)[0][0]) for beta in (0.25, 0.5)]
        [0.5, 0.0]
    """
    n = a.shape[-1]
    r, delta_over_r, mask, opposite = _prepare(a, b)
    f, g = f.to(a), g.to(a)
    lead = 2 - (2 * n - 1) * beta
    # slope[c, i] = r_i (M - Mbar)[c, i] G[c, i]; the sums over i != k leave out the own axis.
    slope = r.unsqueeze(-2) * (mask - opposite) * g
    total = slope.sum(-1, keepdim=True)
    s_times_r = ((total - slope) * mask).sum(-2)
    sbar_times_r = -((total - slope) * opposite).sum(-2)
    grad_a = delta_over_r * (f @ (lead * opposite - beta * mask) + beta * (r * (opposite * g).sum(-2) + sbar_times_r))
    grad_b = delta_over_r * (-(f @ (lead * mask - beta * opposite)) + beta * (r * (mask * g).sum(-2) + s_times_r))
    return grad_a, grad_b
