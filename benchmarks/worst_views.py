"""The worst view at equal evaluations: random search and CMA-ES against what the finders meet on their way.

    python benchmarks/worst_views.py [--maps path/to/paper_maps.npz] [--limit N] [--shape teapot]

Recorded maps, where the lowest f is known (on a fine grid): within the whole space, and within the boxes that
VerifiedFinder verifies around the paper's four initial points. Printed for each budget: the mean gap to the lowest f,
and the share of problems with a gap of at most 0.01. On a rendered shape: the lowest f found, mean and largest over
seeds. ``verified`` and ``adversarial`` are the views that VerifiedFinder meets while it grows and verifies a robust box
(one of 1 - f: adversarial), from one Sobol point after the other until the budget is spent.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_semrob import Axis, Box, RenderedFunction, SemanticFunction, SemanticSpace, VerifiedFinder, score_map
from lightning_semrob.finders.worst_views import CMAESSearch, RandomSearch
from lightning_semrob.functions import RecordedFunction
from lightning_semrob.report.tables import format_table

METHODS = ("random search", "CMA-ES", "verified", "adversarial")


class Spent(Exception):
    """The budget is spent."""


class Watched(SemanticFunction):
    """f of one row, remembering every score in turn; raises Spent behind the budget."""

    def __init__(self, function: SemanticFunction, index: int, budget: float = math.inf) -> None:
        super().__init__()
        self.function, self.index, self.names, self.budget = function, index, function.names, budget
        self.scores: list[Tensor] = []

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        value = self.function(u, torch.full_like(index, self.index))
        self.scores.append(value.flatten())
        if self.evaluations >= self.budget:
            raise Spent
        return value

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def lowest(method: str, f: SemanticFunction, space: SemanticSpace, index: int, budget: int, seed: int) -> Tensor:
    """The lowest f after each evaluation, (budget,)."""
    if method in METHODS[:2]:
        search = (RandomSearch if method == METHODS[0] else CMAESSearch)(budget, seed=seed)
        return search.search(f, space, index=torch.tensor([index])).lowest[0]
    watched = Watched(f, index, budget)
    with contextlib.suppress(Spent):
        for u0 in space.sobol(64, seed):
            VerifiedFinder(seed=seed, adversarial=method == "adversarial").find(watched, u0[None], space)
    return torch.cat(watched.scores)[:budget].cummin(0).values


def within(box: Box, row: int, space: SemanticSpace) -> SemanticSpace:
    """The space of one box; an axis that is swept whole stays periodic."""
    axes = []
    for axis, low, high in zip(space, box.a[row].tolist(), box.b[row].tolist(), strict=True):
        whole = axis.periodic and high - low >= axis.extent - 1e-9
        axes.append(axis if whole else Axis(axis.name, low, high, axis.unit))
    return SemanticSpace(tuple(axes))


def recorded(path: Path, limit: int | None, budgets: list[int]) -> None:
    """The tables over recorded maps."""
    data = np.load(path)
    maps = torch.from_numpy(data["maps"]).double().flatten(0, 2)
    maps = maps[:: max(len(maps) // limit, 1)][:limit] if limit else maps
    f, space = RecordedFunction(maps), SemanticSpace.default()
    u0 = torch.from_numpy(data["initial_points"]).double().repeat(len(maps), 1)
    index = torch.arange(len(maps)).repeat_interleave(4)
    boxes = VerifiedFinder(eps_m=0.3, eps_v=0.05).find(f, u0, space, index)
    verified = [k for k, status in enumerate(boxes.status) if status == "verified"]
    problems = {
        f"the whole space, {len(maps)} recorded maps": [(space, k) for k in range(len(maps))],
        f"{len(verified)} verified boxes of them": [(within(boxes, k, space), int(index[k])) for k in verified],
    }
    for name, found in problems.items():
        least = torch.tensor([float(score_map(Watched(f, k), part, (361, 201)).min()) for part, k in found])
        print(f"\n{name}: mean gap to the lowest f (its mean is {least.mean():.3f}), share with a gap <= 0.01")
        lines = []
        for method in METHODS:
            traces = torch.stack([lowest(method, f, part, k, max(budgets), 0) for part, k in found])
            for budget in budgets:
                gap = (traces[:, budget - 1] - least).clamp_min(0)
                lines.append([method, str(budget), f"{gap.mean():.3f}", f"{100 * (gap <= 0.01).double().mean():.0f} %"])
        print(format_table(["method", "evaluations", "gap", "found"], lines, left=1), flush=True)


def rendered(shape: str, network: str, image_size: int, budgets: list[int], seeds: int) -> None:
    """The table on one shape."""
    f = RenderedFunction.of(shape, network, image_size=image_size)
    print(f"\n{shape}, {network}, {image_size} pixels: lowest f found, mean (largest) of {seeds} seeds")
    lines = []
    for method in METHODS:
        traces = torch.stack([lowest(method, f, f.space, 0, max(budgets), seed) for seed in range(seeds)])
        for budget in budgets:
            found = traces[:, budget - 1]
            lines.append([method, str(budget), f"{found.mean():.4f} ({found.max():.4f})"])
    print(format_table(["method", "evaluations", "lowest f"], lines, left=1))


def main() -> None:
    """Both tables."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, default=Path("../shared/reference/paper_maps.npz"))
    parser.add_argument("--limit", type=int, default=None, help="recorded maps, evenly chosen; all if not given")
    parser.add_argument("--shape", default="teapot")
    parser.add_argument("--network", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, nargs="+", default=[50, 200, 400], help="budgets on recorded maps")
    parser.add_argument("--rendered", type=int, nargs="+", default=[50, 200, 400], help="budgets on the shape")
    options = parser.parse_args()
    if options.maps.is_file():
        recorded(options.maps, options.limit, options.evaluations)
    else:
        print(f"{options.maps} is absent: recorded maps are left out")
    rendered(options.shape, options.network, options.image_size, options.rendered, options.seeds)


if __name__ == "__main__":
    main()
