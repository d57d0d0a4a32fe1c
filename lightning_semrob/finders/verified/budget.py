"""Whether a budget of the verified finder can verify anything at all."""

from __future__ import annotations

import torch

from lightning_semrob.finders.verified.search import VerifiedSearch
from lightning_semrob.functions import AnalyticFunction
from lightning_semrob.space import Axis, SemanticSpace

_LARGEST = 2**16


def can_verify(search: VerifiedSearch, n: int) -> bool:
    """Whether a box of n axes is verified for a perfect network, f = 1 everywhere. If not, no box of any network is.
    The search itself runs on the constant, so its samples, margins and attempts decide.
    """
    space = SemanticSpace(tuple(Axis(f"axis_{k}", 0.0, 1.0) for k in range(n)))
    perfect = AnalyticFunction(lambda u: torch.ones_like(u[..., 0]))
    return search.find(perfect, torch.full((1, n), 0.5, dtype=torch.float64), space).status == ["verified"]


def _with_budget(search: VerifiedSearch, evaluations: int) -> VerifiedSearch:
    half = max(evaluations // 2, 1)
    return VerifiedSearch(search.eps_m, search.eps_v, search.confidence, search.runs, half, half)


def smallest_budget(search: VerifiedSearch, n: int) -> int | None:
    """Fewest evaluations, half for growing and half for verifying, with which a box of n axes can be verified.

    Found by bisection to 10; None where 65,536 are too few.
    """
    low, high = 0, 40
    while not can_verify(_with_budget(search, high), n):
        low, high = high, 2 * high
        if high > _LARGEST:
            return None
    while high - low > 10:
        middle = (low + high) // 20 * 10
        low, high = (low, middle) if can_verify(_with_budget(search, middle), n) else (middle, high)
    return high


def reach_in_words(search: VerifiedSearch, n: int) -> str:
    """What the budget asks of a box of n axes, attempt by attempt, in a sentence."""
    asked = [
        f"mean >= {attempt.mean:.3f} and variance <= {max(attempt.variance, 0.0):.4f} "
        f"(at most {attempt.samples} samples, error {attempt.level:.3g})"
        for attempt in search.reach(n)
    ]
    return (
        f"a box is tried only where growing believes in {', then '.join(asked)}: what so many samples can tell from "
        f"{1 - search.eps_m:.3g} and {search.eps_v:.3g}"
    )


def too_few_evaluations(setting: str, search: VerifiedSearch, n: int) -> str | None:
    """One sentence with the remedy where the search cannot verify any box of n axes; None where it can.

    ``setting`` is where its evaluations come from; the search's own budget is taken to be enough.
    """
    if search.verification_evaluations is None or can_verify(search, n):
        return None
    together = f" of {search.runs} runs together" if search.runs > 1 else ""
    needed = smallest_budget(search, n)
    return (
        f"{setting} pays for {search.verification_evaluations} samples of a box, with which no box can be verified, "
        f"not even that of a network whose score is 1 everywhere (confidence {search.confidence:g}{together}, eps_m "
        f"{search.eps_m:g}, eps_v {search.eps_v:g}, {n} axes): every verified SRVR would be 0; "
        + (f"give {setting} at least {needed}" if needed else "give larger eps_m or eps_v, or less confidence")
    )
