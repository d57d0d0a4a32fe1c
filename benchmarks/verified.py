"""Verified regions on the recorded maps of the paper's authors, against the exact answer.

    python benchmarks/verified.py [--maps path/to/paper_maps.npz] [--limit N]

Every map (f multilinear between its samples, azimuth periodic) is searched from the four initial points at two pairs of
thresholds. Printed for each: the exact yardstick (ExhaustiveFinder, 1.5 x 2 degree cells), VerifiedFinder against the
yardstick at (eps_m - 0.02, 0.85 eps_v) and at the plain thresholds over the runs whose yardstick is >= 0.2 % of the
space; the fraction of its boxes that satisfy Eq. 2 on a 200 x 200 evaluation; evaluations; total verified volume
beside that of the authors' naive, OIR_B and OIR_W boxes, where boxes that fail the 200 x 200 evaluation count as zero;
the same for the runs with f(u0) >= 1 - eps_m; IoU and coverage of the component of f >= 1 - eps_m around u0 for every
finder's boxes as they are (no box: 0); and, over all maps, the paper's SRVR table redone with intervals and paired
comparisons.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from component import cell_coverage, component_around, overlap_with_component
from torch import Tensor

from lightning_semrob import Box, SemanticSpace
from lightning_semrob.finders.exhaustive import ExhaustiveFinder, cell_moments, start_cells
from lightning_semrob.finders.verified.search import VerifiedSearch
from lightning_semrob.functional.srvr import rank_stability, shape_means
from lightning_semrob.functional.uncertainty import clopper_pearson, mean_interval_over_shapes, paired_differences
from lightning_semrob.functions import RecordedFunction

THRESHOLDS = ((0.3, 0.05), (0.5, 0.1))
METHODS = ("naive", "oir_b", "oir_w")
SMALLEST = 0.002


def evaluate(f: RecordedFunction, a: Tensor, b: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of f on 200 x 200 midpoints of each box, (K,) each; NaN for a box without volume."""
    tick = (torch.arange(200).double() + 0.5) / 200
    grid = torch.cartesian_prod(tick, tick)
    mean, variance = torch.full((2, len(a)), torch.nan, dtype=torch.float64)
    for k in range(len(a)):
        if bool((b[k] > a[k]).all()) and bool((b[k] - a[k]).isfinite().all()):
            value = f((a[k] + grid * (b[k] - a[k]))[None], index[k : k + 1])[0]
            mean[k], variance[k] = value.mean(), value.var(correction=0)
    return mean, variance


def inside(space: SemanticSpace, a: Tensor, b: Tensor, u0: Tensor) -> tuple[Tensor, Tensor]:
    """The authors' bounds as boxes of the space around u0; inverted and non-finite ones become empty."""
    sound = (a.isfinite() & b.isfinite() & (a < b)).all(-1, keepdim=True)
    a, b = torch.where(sound, a, u0), torch.where(sound, b, u0)
    return space.project(torch.minimum(a, u0), torch.maximum(b, u0), u0)


def overlaps(
    f: RecordedFunction,
    space: SemanticSpace,
    u0: Tensor,
    index: Tensor,
    tau: float,
    boxes: dict[str, tuple[Tensor, Tensor]],
) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """The component of cells with mean f >= tau around each u0 (K, 2), against boxes of K rows.

    Returns:
        Fraction of the space that the component fills, (K,); IoU and covered fraction of each finder's boxes, (K,)
        each, NaN where the component is empty.
    """
    cells = ExhaustiveFinder().shape(space)
    start, _ = start_cells(u0, space, cells)
    coverage = {name: cell_coverage(a, b, space, cells) for name, (a, b) in boxes.items()}
    size = torch.zeros(len(u0), dtype=torch.float64)
    result = {name: (torch.zeros_like(size), torch.zeros_like(size)) for name in boxes}
    for k in range(len(u0)):
        if k == 0 or index[k] != index[k - 1]:
            values = cell_moments(f, index[k : k + 1], space, cells)[0][0]
        component = component_around(values, start[k].tolist(), space.periodic.tolist(), tau)
        size[k] = component.double().mean()
        for name, (iou, covered) in result.items():
            iou[k], covered[k] = (
                x[0] for x in overlap_with_component(component, [c[k : k + 1] for c in coverage[name]])
            )
    return size, result


def five(x: Tensor) -> str:
    """Mean, median and lower quantiles of a ratio."""
    q = torch.quantile(x, torch.tensor([0.05, 0.1, 0.25], dtype=torch.float64)).tolist()
    capped = float(x.clamp_max(1).mean())
    return (
        f"median {float(x.median()):.3f}  mean {float(x.mean()):.3f}  (capped at 1: {capped:.3f})"
        f"  5/10/25 %: {q[0]:.2f} {q[1]:.2f} {q[2]:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, default=Path(__file__).parents[2] / "shared/reference/paper_maps.npz")
    parser.add_argument("--limit", type=int, default=None, help="maps to use, evenly spread; all by default")
    arguments = parser.parse_args()
    if not arguments.maps.exists():
        sys.exit(f"{arguments.maps} is not there: give the authors' maps with --maps (see docs/differences.md)")
    torch.set_num_threads(1)
    begin = time.perf_counter()

    data = np.load(arguments.maps)
    networks, classes, objects = data["maps"].shape[:3]
    every = networks * classes * objects
    maps = torch.from_numpy(data["maps"]).double().reshape(every, *data["maps"].shape[3:])
    points = torch.from_numpy(data["initial_points"]).double()
    count = every if arguments.limit is None else min(arguments.limit, every)
    chosen = torch.linspace(0, every - 1, count).round().long()
    index = chosen.repeat_interleave(len(points))
    u0 = points.repeat(count, 1)
    space, f = SemanticSpace.default(), RecordedFunction(maps)
    print(f"{count} maps x {len(points)} initial points")

    released = {}
    for method in METHODS:
        bounds = torch.from_numpy(data[f"bounds_{method}"]).double().reshape(every, len(points), 2, 2)[chosen]
        bounds = bounds.flatten(0, 1)
        released[method] = inside(space, bounds[:, 0], bounds[:, 1], u0)
    start = f(u0[:, None], index)[:, 0]

    def volume(a: Tensor, b: Tensor) -> Tensor:
        return space.intersected_volume(a, b) / space.volume

    for eps_m, eps_v in THRESHOLDS:
        print(f"\n=== eps_m {eps_m}, eps_v {eps_v}")
        clock = time.perf_counter()
        plain = ExhaustiveFinder(eps_m, eps_v).find(f, u0, space, index)
        tight = ExhaustiveFinder(eps_m - 0.02, 0.85 * eps_v).find(f, u0, space, index)
        yardstick, tightened = volume(plain.a, plain.b), volume(tight.a, tight.b)
        print(f"exact yardstick: {time.perf_counter() - clock:.0f} s for 2 x {len(u0)} runs")

        clock = time.perf_counter()
        finder = VerifiedSearch(eps_m, eps_v)
        runs = finder.start(u0, space, index)
        box: Box = finder.run(f, runs, index)
        seconds = time.perf_counter() - clock
        growing, verifying = (
            torch.tensor(x) for x in zip(*((r.growth.evaluations, r.spent) for r in runs), strict=True)
        )
        mean, variance = evaluate(f, box.a, box.b, index)
        claimed = volume(box.a, box.b) > 0
        true = (mean >= 1 - eps_m - 0.01) & (variance <= eps_v + 0.005)
        strict = (mean >= 1 - eps_m) & (variance <= eps_v)
        ours = torch.where(true, volume(box.a, box.b), 0.0)
        low, high = clopper_pearson(true[claimed].sum(), claimed.sum())
        print(
            f"VerifiedFinder: {seconds:.0f} s; {int(claimed.sum())} boxes verified, the others collapsed; truly valid"
            f" {float(true[claimed].double().mean()):.2%} [{float(low):.1%}, {float(high):.1%}] with the tolerance,"
            f" {float(strict[claimed].double().mean()):.2%} without"
        )
        for name, rows in (
            ("yardstick >= 0.2 %", yardstick >= SMALLEST),
            ("the same and f(u0) >= 1 - eps_m", (yardstick >= SMALLEST) & (start >= 1 - eps_m)),
        ):
            some = rows & (tightened > 0)
            print(f"-- {name}: {int(rows.sum())} runs ({float(rows.double().mean()):.1%} of all)")
            print(
                f"   over the tightened yardstick ({int(some.sum())} runs have one): {five((ours / tightened)[some])}"
            )
            print(f"   over the plain yardstick: {five((ours / yardstick)[rows])}")
            both = (growing + verifying)[rows].double()
            print(
                f"   evaluations, median: growing {float(growing[rows].double().median()):.0f}, verifying"
                f" {float(verifying[rows].double().median()):.0f}, both {float(both.median()):.0f}"
            )
            line = [f"yardstick {float(yardstick[rows].sum()):.2f}", f"verified {float(ours[rows].sum()):.2f}"]
            best = 0.0
            for method, (a, b) in released.items():
                m, v = evaluate(f, a, b, index)
                valid = (m >= 1 - eps_m) & (v <= eps_v)
                total = float(volume(a, b)[valid & rows].sum())
                best = max(best, total)
                line.append(f"{method} {total:.2f}")
            print(f"   total volume (1 = the space): {', '.join(line)}; verified over the best of three:", end=" ")
            print(f"{float(ours[rows].sum()) / best:.1f}" if best > 0 else "no box of the three is valid")
        boxes = {**released, "verified": (box.a, box.b), "exact": (plain.a, plain.b)}
        size, overlap = overlaps(f, space, u0, index, 1 - eps_m, boxes)
        rows = size >= SMALLEST
        print(
            f"-- component of f >= {1 - eps_m:.1f} around u0 >= 0.2 % of the space: {int(rows.sum())} runs; mean,"
            " median"
        )
        for method, (iou, covered) in overlap.items():
            iou, covered = iou[rows], covered[rows]
            print(
                f"   {method:9s} IoU {float(iou.mean()):.3f} {float(iou.median()):.3f}"
                f"  coverage {float(covered.mean()):.3f} {float(covered.median()):.3f}"
            )
        both = (growing + verifying).double()
        print(f"-- all {len(u0)} runs: evaluations, median: {float(both.median()):.0f}, mean {float(both.mean()):.0f}")
        if count == every:
            table(space, released, f, index, u0, data, eps_m, eps_v, ours, yardstick)
    print(f"\n{time.perf_counter() - begin:.0f} s")


def table(
    space: SemanticSpace,
    released: dict[str, tuple[Tensor, Tensor]],
    f: RecordedFunction,
    index: Tensor,
    u0: Tensor,
    data: dict[str, np.ndarray],
    eps_m: float,
    eps_v: float,
    ours: Tensor,
    yardstick: Tensor,
) -> None:
    """The paper's table: SRVR of each network by several definitions, with intervals clustered by shape."""
    networks, classes, objects = data["maps"].shape[:3]
    names = [str(x) for x in data["networks"]]
    shapes = classes * objects
    labels = torch.arange(classes).repeat_interleave(objects)
    views = len(u0) // (networks * shapes)
    raw, clipped, valid = [], [], []
    for method in METHODS:
        bounds = torch.from_numpy(data[f"bounds_{method}"]).double().reshape(len(u0), 2, 2)
        raw.append(space.raw_volume(bounds[:, 0], bounds[:, 1]) / space.volume)
        a, b = released[method]
        clipped.append(space.intersected_volume(a, b) / space.volume)
        mean, variance = evaluate(f, a, b, index)
        valid.append(torch.where((mean >= 1 - eps_m) & (variance <= eps_v), clipped[-1], 0.0))
    rows = {
        "raw, three methods (paper)": torch.stack(raw).mean(0),
        "intersected, three methods": torch.stack(clipped).mean(0),
        "intersected and valid": torch.stack(valid).mean(0),
        "VerifiedFinder": ours,
        "exact yardstick": yardstick,
    }
    print("-- SRVR in %, 95 % intervals clustered by shape")
    print(f"   {'':28s}" + "".join(f"{name:>22s}" for name in names))
    for name, ratio in rows.items():
        values = shape_means(ratio, torch.arange(networks * shapes).repeat_interleave(views), networks * shapes)
        values = values.reshape(networks, shapes)
        found = [mean_interval_over_shapes(value, labels) for value in values]
        cells = [f"{100 * x.estimate:6.2f} [{100 * x.low:5.2f}, {100 * x.high:5.2f}]" for x in found]
        tau, first = rank_stability(ratio.reshape(networks, shapes, views).mean(1).T)
        print(
            f"   {name:28s}" + "".join(f"{cell:>22s}" for cell in cells) + f"  tau over u0 {tau:.2f}, first {first:.2f}"
        )
        if name in ("raw, three methods (paper)", "VerifiedFinder", "exact yardstick"):
            for i, j, d in paired_differences(values, labels):
                interval = f"{100 * d.estimate:+.2f} [{100 * d.low:+.2f}, {100 * d.high:+.2f}]"
                print(f"      {names[i]} - {names[j]}: {interval} p {d.p_value:.3f}, Holm {d.p_holm:.3f}: {d.verdict}")


if __name__ == "__main__":
    main()
