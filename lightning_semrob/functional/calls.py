"""Which tiles are called trusted, failing or mixed, from e-values.

Letters: T tiles. A tile with mean score mu is *trusted* if mu >= 1 - eps, *failing* if mu <= eps, else *mixed*. Four
one-sided tests a tile (two for eps = 1/2) are combined into the evidence for each call, so that for every truth a
wrong call of the tile needs one e-value of that truth to be large:

- trusted: min(E[mu < 1 - eps] / 2, E[mu <= eps]), failing: min(E[mu > eps] / 2, E[mu >= 1 - eps]), mixed:
  min(E[mu <= eps], E[mu >= 1 - eps]), where E[null] is the e-value against the null.
- In a trusted tile every wrong call needs E[mu >= 1 - eps] to reach the threshold, in a failing one E[mu <= eps], in a
  mixed one E[mu < 1 - eps] or E[mu > eps] to reach twice the threshold. For eps = 1/2 there is no factor and no mixed.

So the expected number of wrong calls at a threshold c is at most T / c. The e-BH rule (Wang and Ramdas, "False
discovery rate control with e-values", JRSS B 2022) calls the k tiles of the largest evidence if the k-th reaches
``T / (alpha k)``; the expected share of wrong ones among them is then at most alpha, under any dependence and at any
stopping time. With the threshold ``T / alpha`` all calls are right together with probability 1 - alpha.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: The calls in the order of the last dimension of :func:`call_evidence`.
CALLS = ("trusted", "failing", "mixed")


def call_sides(eps: float) -> tuple[Tensor, Tensor]:
    """The one-sided tests of a tile: threshold (S,) float64, and above (S,) bool as in ``bets.stake_growth``.

    S = 4, in the order of the nulls mu < 1 - eps, mu > eps, mu <= eps, mu >= 1 - eps; the first two for eps = 1/2.

    Raises:
        ValueError: eps outside (0, 1/2].
    """
    if not 0 < eps <= 0.5:
        raise ValueError(f"eps must lie in (0, 0.5]: trusted is a mean score >= 1 - eps, failing <= eps; got {eps}")
    count = 2 if eps == 0.5 else 4
    threshold = torch.tensor([1 - eps, eps, eps, 1 - eps], dtype=torch.float64)
    return threshold[:count], torch.tensor([True, False, True, False])[:count]


def call_evidence(log_e: Tensor) -> Tensor:
    """Evidence for each call from the e-values of the sides: logarithms, (..., S) -> (..., 3) in the order of CALLS."""
    trusted, failing = log_e[..., 0], log_e[..., 1]
    if log_e.shape[-1] == 2:
        return torch.stack([trusted, failing, torch.full_like(trusted, -math.inf)], -1)
    above, below = log_e[..., 2], log_e[..., 3]
    half = math.log(2)
    calls = torch.minimum(trusted - half, above), torch.minimum(failing - half, below), torch.minimum(above, below)
    return torch.stack(calls, -1)


def called_tiles(evidence: Tensor, alpha: float, error: str = "fdr", tiles: Tensor | int | None = None) -> Tensor:
    """Which tiles are called, (..., T) bool, from the logarithm of the largest evidence of each (..., T).

    Args:
        evidence: -inf for a tile that cannot be called.
        alpha: expected share of wrong calls (``error`` is ``fdr``: e-BH), or probability of any (``simultaneous``).
        tiles: how many were tested (...), T if None.

    Raises:
        ValueError: an unknown ``error``.

    Examples:
        >>> called_tiles(torch.tensor([90.0, 45.0, 25.0, 2.0]).log(), 0.05).tolist()  # the second: 4 / (0.05 * 2)
        [True, True, False, False]
    """
    total = torch.as_tensor(evidence.shape[-1] if tiles is None else tiles).double()[..., None]
    if error == "simultaneous":
        return evidence >= (total / alpha).log()
    if error != "fdr":
        raise ValueError(f"error must be 'fdr' or 'simultaneous', got '{error}'")
    ranked, order = evidence.sort(dim=-1, descending=True, stable=True)
    k = torch.arange(1, evidence.shape[-1] + 1, dtype=torch.float64)
    count = torch.where(ranked >= (total / (alpha * k)).log(), k, 0.0).amax(-1, keepdim=True)
    return torch.zeros_like(evidence, dtype=torch.bool).scatter(-1, order, k <= count)


def largest_trap(mean_low: Tensor, tau: float = 0.3) -> Tensor:
    """Largest share of a region in which the mean score can be <= tau, where its mean is at least ``mean_low`` (...).

    The rest of the region is at most 1, so the share s has ``mean <= s tau + (1 - s)``. NaN stays NaN; ValueError for a
    tau outside [0, 1).

    Examples:
        >>> [round(x, 3) for x in largest_trap(torch.tensor([0.93, 0.7, 0.1]), tau=0.3).tolist()]
        [0.1, 0.429, 1.0]
    """
    if not 0 <= tau < 1:
        raise ValueError(f"tau must lie in [0, 1), got {tau}")
    return ((1 - mean_low) / (1 - tau)).clamp(0, 1)
