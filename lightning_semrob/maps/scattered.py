"""Maps from views that were evaluated anywhere in the space, on no grid."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from torch import Tensor

from lightning_semrob.space import SemanticSpace

#: Views around a sample that its value comes from.
_NEIGHBOURS = 30
#: One of so many views is held out for the estimate of the error.
_HELD_OUT = 8
#: Fewer views make no map.
_FEWEST = 16


def interpolate_views(
    points: Tensor, scores: Tensor, space: SemanticSpace, samples: Tensor, seed: int = 0
) -> tuple[Tensor, float]:
    """Scores at samples (P, n) from scores (V,) at scattered points (V, n), by radial basis functions (|r|).

    An axis weighs by its range. Scores lie in [0, 1]; those that are not finite are left out.

    Returns:
        Values (P,) float64 in [0, 1], and their mean absolute error, estimated on an eighth of the views that was held
        out (by ``seed``); NaN and infinity where there are fewer than 16 views.
    """
    known = scores.isfinite()
    points, scores = points[known], scores[known].double()
    if len(points) < _FEWEST:
        return torch.full((len(samples),), torch.nan, dtype=torch.float64), float("inf")
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
    held, rest = order[::_HELD_OUT], order[torch.arange(len(order)) % _HELD_OUT != 0]
    error = (_values(points[rest], scores[rest], space, points[held]) - scores[held]).abs().mean()
    return _values(points, scores, space, samples), float(error)


def _values(points: Tensor, scores: Tensor, space: SemanticSpace, samples: Tensor) -> Tensor:
    place, value = space.to_unit(points).numpy(), scores.numpy()
    for k, axis in enumerate(space):
        if axis.periodic:  # the views next to the seam stand on both sides of it
            turn = np.eye(len(space))[k]
            below, above = place[:, k] < 0.5, place[:, k] >= 0.5
            place = np.concatenate([place, place[below] + turn, place[above] - turn])
            value = np.concatenate([value, value[below], value[above]])
    found = RBFInterpolator(place, value, neighbors=min(_NEIGHBOURS, len(place)), kernel="linear")(
        space.to_unit(samples).numpy()
    )
    return torch.from_numpy(found).clamp(0, 1)
