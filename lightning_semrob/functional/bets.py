"""Bets against a mean, each chosen from the past alone: the evidence behind the calls of a trust map.

Letters: S sides, J stakes. A side is a null hypothesis about the mean mu of scores in [0, 1]: "mu <= m" or "mu >= m".
A bettor who holds wealth 1 puts a part of it on every sample; under the null the wealth is a nonnegative
supermartingale whatever the past made of the bet, so at any stopping time its expectation is <= 1: it is an e-value
(Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024).

A control variate g, fixed before the sample, with mean 0 and |g| <= reach, may be subtracted from the score: the mean
stays, and the largest admissible bet shrinks with the range. Both ways of betting are tried on paper with every stake,
and the bet that is made is the average of all of them, weighted by what each would have earned so far.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: The bets that are tried, as fractions of the largest admissible one.
STAKES = torch.tensor([0.99, 0.9, 0.75, 0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
# Weights are the exponential of this times the logarithm of what a stake has earned: 1 would be Cover's universal
# portfolio, which is slower to leave the bad stakes. On the authors' maps 2 decides one tile in a hundred more.
_SHARPNESS = 2.0
# Before any sample large stakes come first, and bets without a control variate: logarithms of the weights.
_START = torch.cat([torch.linspace(2, 0, len(STAKES)), torch.linspace(1, -1, len(STAKES))]).double()


def stake_growth(x: Tensor, g: Tensor, reach: Tensor, threshold: Tensor, above: Tensor) -> Tensor:
    """Logarithm of the factor by which each stake would multiply the wealth: the J stakes without, then with g.

    Args:
        x, g: (...) float64 scores in [0, 1], and the control variate at the same points, of mean 0.
        reach: (...) bounds of abs(g), known before the sample.
        threshold, above: (S,) m in (0, 1), and whether the null is "mu <= m" and the bet that the mean lies above.

    Returns:
        (..., S, 2 J) float64.
    """
    sign = torch.where(above, 1.0, -1.0).double()
    room = torch.where(above, threshold, 1 - threshold)  # how far a score can fall short of the threshold
    plain = sign * (x[..., None] - threshold) / room
    controlled = sign * ((x - g)[..., None] - threshold) / (room + reach[..., None])
    ratio = torch.stack([plain, controlled], -1)
    return torch.log1p(ratio[..., None] * STAKES).flatten(-2)


def bet(growth: Tensor, past: Tensor, others: Tensor) -> Tensor:
    """Logarithm of the factor by which a predictable bet multiplies the wealth, (..., S).

    ``growth`` (..., S, 2 J) is of this sample (:func:`stake_growth`) and ``past`` is its sum over the earlier ones.
    ``others`` is what samples elsewhere make one expect; any values known before this sample.
    """
    weight = torch.log_softmax(_SHARPNESS * (past + others + _START), -1)
    return torch.logsumexp(weight + growth, -1)
