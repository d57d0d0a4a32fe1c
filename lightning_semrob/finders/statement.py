"""What a finder that verifies its own boxes says about one of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BoxStatement"]


@dataclass(frozen=True)
class BoxStatement:
    """The verdict of Eq. 2 for one box, with what was sampled; None where no box was sampled to the end.

    Args:
        verdict: ``valid`` or ``undecided``.
        verification_evaluations: of f, spent on verifying.
        samples: of the box that was verified.
        mean, mean_low, mean_high: of f in the box, with an interval.
        variance, variance_low, variance_high: likewise.
    """

    verdict: str
    verification_evaluations: int = 0
    samples: int | None = None
    mean: float | None = None
    mean_low: float | None = None
    mean_high: float | None = None
    variance: float | None = None
    variance_low: float | None = None
    variance_high: float | None = None
