"""The published boxes of the paper, judged by its formula and by ours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.functions import RecordedFunction
from lightning_semrob.maps.authors import AuthorsResults
from lightning_semrob.space import Axis, SemanticSpace


@dataclass(frozen=True)
class Judgement:
    """Shares of the space and verdicts of R runs of one method; NaN where a run is absent.

    ``theirs`` is ``min(|prod(b - a)|, Vol) / Vol`` (NaN where a bound is not finite), ``unwrapped`` the part inside
    [0, 360] x [-10, 90], ``ours`` the same with a periodic azimuth; mean and variance are of f over the box, inside the
    space, on the recorded map. ``valid`` says where Eq. 2 holds, ``leaves`` where a finite box reaches beyond the
    space.
    """

    theirs: Tensor
    unwrapped: Tensor
    ours: Tensor
    mean: Tensor
    variance: Tensor
    valid: Tensor
    leaves: Tensor


def box_moments(f: RecordedFunction, a: Tensor, b: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of f over boxes (R, 2), (R,) each, from midpoints: two for each sample of the map, and at least
    8 an axis. NaN for a box without volume and where ``index`` is -1.
    """
    spacing = f.axes.extent / torch.tensor(f.maps.shape[1:])
    counts = (2 * (b - a) / spacing).ceil().clamp(min=8)
    mean, variance = torch.full((2, len(a)), torch.nan, dtype=torch.float64)
    for row in ((b > a).all(-1) & (index >= 0)).nonzero().flatten().tolist():
        ticks = [(torch.arange(int(n), dtype=torch.float64) + 0.5) / n for n in counts[row]]
        grid = torch.cartesian_prod(*ticks)
        value = f((a[row] + grid * (b[row] - a[row]))[None], index[row : row + 1])[0]
        mean[row], variance[row] = value.mean(), value.var(correction=0)
    return mean, variance


def judge(results: AuthorsResults, method: str, eps_m: float, eps_v: float) -> Judgement:
    """Volumes of the boxes of one method by both formulas, and Eq. 2 on the recorded maps.

    Eq. 2 asks for a region inside the space that holds u0: the box is cut to the space, u0 kept inside.
    """
    space = SemanticSpace.default()
    flat = SemanticSpace((Axis("azimuth", 0.0, 360.0), *space.axes[1:]))
    a, b = results.bounds[method].unbind(1)
    absent, finite = results.absent[method], results.bounds[method].isfinite().flatten(1).all(1)
    theirs = (space.raw_volume(a, b) / space.volume).masked_fill(~finite, torch.nan)
    unwrapped = (flat.intersected_volume(a, b) / space.volume).masked_fill(absent, torch.nan)
    ours = (space.intersected_volume(a, b) / space.volume).masked_fill(absent, torch.nan)
    sound = (finite & (a < b).all(-1))[:, None]
    low, high = torch.where(sound, a, results.u0), torch.where(sound, b, results.u0)
    low, high = space.project(torch.minimum(low, results.u0), torch.maximum(high, results.u0), results.u0)
    mean, variance = box_moments(RecordedFunction(results.maps), low, high, results.map_index)
    valid = (mean >= 1 - eps_m) & (variance <= eps_v)
    leaves = finite & ((a < space.low) | (b > space.high)).any(-1)
    return Judgement(theirs, unwrapped, ours, mean, variance, valid, leaves)
