"""Remembers f where it was evaluated, so that a network is not shown the same picture twice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class ScoreMemory:
    """Scores and top-1 hits of one network and shape by point.

    Finders, maps and verification of one network and shape may share it, since f at a point is the same for all of
    them. Points are compared in float32, as the renderer sees them. A point takes about 200 bytes.

    Attributes:
        asked, computed: points that were asked for, and points that were computed.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, float]] = {}
        self.asked = 0
        self.computed = 0

    @property
    def spared(self) -> int:
        """Points that the network was not shown."""
        return self.asked - self.computed

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, u: Tensor, compute: Callable[[Tensor], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Scores and hits (B,) float64 at points u (B, n), which may repeat, computing only what is not known.

        ``compute`` takes points (M, n) and gives scores (M,) and hits (M,). Scores that are not finite are not kept.
        """
        keys = [row.tobytes() for row in u.detach().to("cpu", torch.float32).contiguous().numpy()]
        first = {key: k for k, key in reversed(list(enumerate(keys))) if key not in self._known}
        missing = sorted(first.values())
        found: dict[bytes, tuple[float, float]] = {}
        if missing:
            scores, hits = (values.tolist() for values in compute(u[missing]))
            found = {keys[k]: pair for k, pair in zip(missing, zip(scores, hits, strict=True), strict=True)}
            self._known |= {key: pair for key, pair in found.items() if pair[0] == pair[0]}
        self.asked += len(keys)
        self.computed += len(missing)
        table = torch.tensor([found[key] if key in found else self._known[key] for key in keys], dtype=torch.float64)
        scores_of, hits_of = table.T.contiguous().to(u.device)
        return scores_of, hits_of
