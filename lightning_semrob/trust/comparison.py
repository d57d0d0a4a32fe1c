"""Trusted shares of the networks of two jobs, paired by shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lightning_semrob.functional.uncertainty import Difference, class_mean, paired_difference
from lightning_semrob.trust.record import TrustRecord
from lightning_semrob.verification.region import named_weights


@dataclass(frozen=True)
class ShareComparison:
    """Trusted, failing and undecided shares of two networks on the shapes of both, and how the trusted ones differ.

    Shares are means over classes, before and after; ``score`` is ``top1`` where the maps are about right answers.
    """

    score: str
    share: list[float]
    failing: list[float]
    undecided: list[float]
    difference: Difference


def _settings(record: TrustRecord) -> dict[str, object]:
    """The settings that must agree for the shares of two maps to be comparable; the seed may differ."""
    m = record.map
    return {
        "axes": m.space.as_dict(),
        "density": named_weights(m.space, m.tiles.density),
        "tiles": list(m.tiles.shape),
        "eps": m.eps,
        "alpha": m.alpha,
        "error": m.error,
        "max_evaluations": record.max_evaluations,
        "score": record.score,
        "precision": record.precision,
        "fixed": record.about.get("fixed"),
        "renderer": record.about.get("renderer"),
    }


def compare_trusted_shares(
    old: Sequence[TrustRecord],
    new: Sequence[TrustRecord],
    pairs: Sequence[tuple[str, str]],
    confidence: float = 0.95,
    shown: int | None = None,
) -> list[ShareComparison]:
    """Compare networks of two jobs by trusted share; verdicts are not corrected for their number yet.

    Args:
        old, new: trust maps of either job.
        pairs: network of ``old`` and network of ``new``.
        confidence: of each interval, and of the calls together.
        shown: how many differences are called together, those of ``pairs`` if None.

    Raises:
        ValueError: maps that were made with other settings (the first one is named), a shape that has changed, or no
            shape in common.
    """
    settings = [(record, _settings(record)) for record in (*old, *new)]
    first = settings[0][1] if settings else {}
    for record, other in settings:
        name = next((name for name in first if first[name] != other[name]), None)
        if name is not None:
            raise ValueError(
                f"trusted shares are comparable at equal settings only, but {name} is {first[name]} for one map and "
                f"{other[name]} for that of '{record.network}' on '{record.shape_id}': make both with the same"
            )
    result = []
    for before, after in pairs:
        sides = [{r.shape: r for r in part if r.network == name} for part, name in ((old, before), (new, after))]
        shapes = [shape for shape in sides[0] if shape in sides[1]]
        if not shapes:
            raise ValueError(f"'{before}' and '{after}' have no trust map of one shape: map both on the same shapes")
        for shape in shapes:
            if sides[0][shape].mesh_sha256 != sides[1][shape].mesh_sha256:
                raise ValueError(f"the mesh of '{shape[1]}' is another one in the second job: map both on the same")
        names = list(dict.fromkeys(class_name for class_name, _ in shapes))
        classes = torch.tensor([names.index(class_name) for class_name, _ in shapes])
        shares = {
            word: torch.tensor([[side[shape].map.share(word) for shape in shapes] for side in sides]).double()
            for word in ("trusted", "failing", "undecided")
        }
        x, y = shares["trusted"]
        trusted, failing, undecided = (class_mean(values, classes).tolist() for values in shares.values())
        difference = paired_difference(y, x, classes, confidence, pairs=shown or len(pairs))
        score = sides[0][shapes[0]].score
        result.append(ShareComparison(score, trusted, failing, undecided, difference))
    return result
