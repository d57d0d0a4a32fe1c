"""What is known about a box under Eq. 2: from the finder that grew it, or from the job that judged it."""

from __future__ import annotations

from dataclasses import dataclass, field

#: The verdict of a box that nobody checked against Eq. 2.
NOT_VERIFIED = "not verified"


@dataclass(frozen=True)
class Judgement:
    """What verification says about a box; None where it was not measured.

    Attributes:
        verdict: ``valid``, ``invalid``, ``undecided`` or ``not verified``.
        confidence: of the verdict and of each bound.
        mean, mean_low, mean_high, variance, variance_low, variance_high: of f in the box, with the bounds of its tests.
        top1_rate: part of the sampled views that the network recognises.
        worst_score: smallest sampled f.
        u0_robust: whether the initial point is robust itself.
        samples: that mean and variance rest on.
        verification_evaluations: of f, all of them.
        views, viewpoint_top1, viewpoint_score: of the first run of a shape and network: how many views of the whole
            space, the part of them that the network recognises, and the mean of f.
        viewpoint_spread: mean, over these views, of the standard deviation of the score over the draws of nuisances.
        worst: axis -> value of the view with the smallest f.
    """

    verdict: str = NOT_VERIFIED
    confidence: float | None = None
    mean: float | None = None
    mean_low: float | None = None
    mean_high: float | None = None
    variance: float | None = None
    variance_low: float | None = None
    variance_high: float | None = None
    top1_rate: float | None = None
    worst_score: float | None = None
    u0_robust: bool | None = None
    samples: int | None = None
    verification_evaluations: int | None = None
    views: int | None = None
    viewpoint_top1: float | None = None
    viewpoint_score: float | None = None
    viewpoint_spread: float | None = None
    worst: dict[str, float | None] = field(default_factory=dict)
