"""Where a finder samples f, and how its directions follow from the samples: all corners, or points on the faces.

Shapes: R rows, n axes, P points. Values are (R, P), gradients (R, P, n) at the points of the same quadrature.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from lightning_semrob.functional import faces, regions

Directions = tuple[Tensor, Tensor]


class CornerQuadrature:
    """The paper's: 2**n corners, exact for multilinear f."""

    #: Whether the losses of the paper, which are defined on the corners, can be computed.
    has_losses = True

    points = trapezoid_points = staticmethod(regions.corners)
    naive = staticmethod(regions.naive_directions)
    trapezoid = staticmethod(regions.trapezoid_directions)
    oir_b = staticmethod(regions.oir_b_directions)
    oir_w = staticmethod(regions.oir_w_directions)


class FaceQuadrature:
    """S scrambled Sobol points on each of the 2n faces (inside the box for the trapezoid finder), the same every step.

    Args:
        samples: S.
        seed: of the scrambling.
    """

    has_losses = False

    def __init__(self, samples: int = 16, seed: int = 0) -> None:
        if samples < 1:
            raise ValueError(f"the faces need at least 1 sample, got {samples}")
        self.samples = samples
        self.seed = seed

    def points(self, a: Tensor, b: Tensor) -> Tensor:
        """Points on the faces, (R, 2 n S, n)."""
        return faces.face_points(a, b, self._samples(a)).flatten(-4, -2)

    def trapezoid_points(self, a: Tensor, b: Tensor) -> Tensor:
        """Points inside, (R, S, n)."""
        return faces.inner_points(a, b, self._samples(a))

    def naive(self, a: Tensor, b: Tensor, values: Tensor, lam: float) -> Directions:
        return faces.naive_face_directions(a, b, self._by_face(a, values), lam)

    def trapezoid(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor, lam: float) -> Directions:
        return faces.trapezoid_sample_directions(a, b, values, gradients, self._samples(a), lam)

    def oir_b(self, a: Tensor, b: Tensor, inner: Tensor, outer: Tensor, alpha: float) -> Directions:
        return faces.oir_b_face_directions(a, b, self._by_face(a, inner), self._by_face(a, outer), alpha)

    def oir_w(self, a: Tensor, b: Tensor, values: Tensor, gradients: Tensor, beta: float) -> Directions:
        place = faces.face_points(a, b, self._samples(a))
        return faces.oir_w_face_directions(a, b, self._by_face(a, values), gradients.view(place.shape), place, beta)

    def _by_face(self, a: Tensor, values: Tensor) -> Tensor:
        return values.view(*values.shape[:-1], 2, a.shape[-1], self.samples)

    def _samples(self, a: Tensor) -> Tensor:
        points: Tensor = _sobol(a.shape[-1], self.samples, self.seed).to(a)
        return points


@lru_cache(maxsize=32)
def _sobol(n: int, samples: int, seed: int) -> Tensor:
    return torch.quasirandom.SobolEngine(n, scramble=True, seed=seed).draw(samples, dtype=torch.float64)


#: Quadratures by the name that configurations use.
QUADRATURES: dict[str, type[CornerQuadrature] | type[FaceQuadrature]] = {
    "corners": CornerQuadrature,
    "sobol": FaceQuadrature,
}
