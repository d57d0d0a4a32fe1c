"""The paper's three methods, to the letter, on the authors' own maps, against the authors' bounds.

    python benchmarks/paper_replay.py [path/to/paper_maps.npz]

Prints, for 240 maps x 4 initial points x 3 methods: Spearman correlation of the volumes, the median relative error
of the widths against the authors' traces, the published SRVR table beside ours, and the time taken on one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from reference import METHODS, REFERENCE, PaperData, load_paper_data
from scipy.stats import spearmanr
from torch import Tensor

from lightning_semrob import Box, SemanticSpace
from lightning_semrob.finders import NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder
from lightning_semrob.finders.trace import trace_growth
from lightning_semrob.functional.srvr import rank_stability
from lightning_semrob.functions import RecordedFunction

FINDERS = {"naive": NaiveFinder, "oir_b": OIRBlackBoxFinder, "oir_w": OIRWhiteBoxFinder}
#: The authors' traces hold the bounds after these numbers of updates (and before the first).
TRACE_STEPS = (*range(50, 600, 50), 599)
PUBLISHED = {"alexnet": 8.92, "vgg": 9.88, "resnet": 16.88, "inception": 7.92}  # Table 2, over all 400 maps


def replay(data: PaperData) -> tuple[dict[str, Box], dict[str, Tensor], float]:
    """Boxes of every method in paper mode, their bounds at the traces' steps (12, 960, 2, 2), and the seconds."""
    function, space = RecordedFunction(data.maps), SemanticSpace.default()
    boxes, bounds = {}, {}
    start = time.process_time()
    for method in METHODS:
        boxes[method], trace = trace_growth(FINDERS[method](mode="paper"), function, data.u0, space, data.index)
        bounds[method] = trace[[min(step, len(trace) - 1) for step in TRACE_STEPS]]
    return boxes, bounds, time.process_time() - start


def width_error(data: PaperData, method: str, bounds: Tensor) -> tuple[float, int]:
    """Median relative error of the widths at the kept steps, over runs with a trace, and how many runs."""
    trace = data.traces[method]
    kept = trace.isfinite().flatten(1).all(1)
    theirs = (trace[:, 1:, 1] - trace[:, 1:, 0]).transpose(0, 1)[:, kept]
    widths = bounds[:, :, 1] - bounds[:, :, 0]
    return float(((widths[:, kept] - theirs) / theirs).abs().nanmedian()), int(kept.sum())


def mean_by_network(volume_ratio: Tensor, network: Tensor, count: int) -> list[float]:
    """Mean of the ratios (methods, R) within each network, percent; NaN is left out."""
    return [100 * float(volume_ratio[:, network == k].nanmean()) for k in range(count)]


def published_volume(space: SemanticSpace, bounds: Tensor) -> Tensor:
    """``min(|prod(b - a)|, Vol(Omega))`` of bounds (R, 2, n); NaN, to be left out, where a bound is not finite."""
    volume = space.raw_volume(bounds[:, 0], bounds[:, 1])
    return volume.where(bounds.isfinite().flatten(1).all(1), torch.nan)


def main(path: Path) -> dict[str, dict[str, float]]:
    """Print everything and return the correlations by method."""
    torch.set_num_threads(1)
    data, space = load_paper_data(path), SemanticSpace.default()
    boxes, traced, seconds = replay(data)
    f0 = RecordedFunction(data.maps)(data.u0[:, None], data.index)[:, 0]
    result: dict[str, dict[str, float]] = {}
    print(f"{len(data.u0)} runs a method, 600 steps: {seconds:.1f} s of processor time on one core for all three\n")
    print("Spearman correlation with the authors' volumes, min(|prod(b - a)|, Vol(Omega))")
    print(f"{'method':8} {'all runs':>9} {'f(u0) alone':>12} {'> 0.5 %':>9} {'f(u0) alone':>12} {'runs > 0.5 %':>13}")
    for method in METHODS:
        theirs = space.raw_volume(data.bounds[method][:, 0], data.bounds[method][:, 1])
        ours = space.raw_volume(boxes[method].a, boxes[method].b)
        large = theirs > 0.005 * space.volume
        row = {
            "all": spearmanr(theirs, ours)[0],
            "all_f0": spearmanr(theirs, f0)[0],
            "large": spearmanr(theirs[large], ours[large])[0],
            "large_f0": spearmanr(theirs[large], f0[large])[0],
        }
        result[method] = {key: float(value) for key, value in row.items()}
        print(
            f"{method:8} {row['all']:9.3f} {row['all_f0']:12.3f} {row['large']:9.3f} {row['large_f0']:12.3f} "
            f"{int(large.sum()):13d}"
        )
    print("\nMedian relative error of the widths against the authors' traces (steps 50, 100 .. 550, 599)")
    for method in METHODS:
        error, runs = width_error(data, method, traced[method])
        print(f"{method:8} {100 * error:6.1f} % over {runs} runs")
    count = len(data.networks)
    print("\nSRVR, percent, mean over classes, objects, initial points and the three methods")
    print(f"{'':46}" + "".join(f"{name:>14}" for name in data.networks))
    published = [next((v for k, v in PUBLISHED.items() if k in name.lower()), float("nan")) for name in data.networks]

    def table(label: str, values: list[float]) -> None:
        print(f"{label:46}" + "".join(f"{value:14.2f}" for value in values))

    def over_methods(volume: dict[str, Tensor]) -> list[float]:
        return mean_by_network(torch.stack(list(volume.values())) / space.volume, data.network, count)

    table("published (Table 2, all 400 maps)", published)
    bounds = data.bounds
    table(
        "authors' bounds, the paper's formula",
        over_methods({m: published_volume(space, bounds[m]) for m in METHODS}),
    )
    ours_raw = over_methods({m: published_volume(space, torch.stack([boxes[m].a, boxes[m].b], 1)) for m in METHODS})
    table("ours (paper mode), the paper's formula", ours_raw)
    table(
        "authors' bounds, intersected, azimuth periodic",
        over_methods({m: space.intersected_volume(bounds[m][:, 0], bounds[m][:, 1]) for m in METHODS}),
    )
    table(
        "ours (paper mode), intersected",
        over_methods({m: space.intersected_volume(boxes[m].a, boxes[m].b) for m in METHODS}),
    )
    default = {m: FINDERS[m]().find(RecordedFunction(data.maps), data.u0, space, data.index) for m in METHODS}
    table(
        "ours (default mode), intersected",
        over_methods({m: space.intersected_volume(default[m].a, default[m].b) for m in METHODS}),
    )
    by_step = torch.tensor(
        [over_methods({m: published_volume(space, traced[m][k]) for m in METHODS}) for k in range(len(TRACE_STEPS))]
    )
    tau, first = rank_stability(by_step)
    print(
        f"\nOrder of the networks over {len(TRACE_STEPS)} numbers of steps (50 to 599, the paper's formula): ", end=""
    )
    print(f"Kendall tau {tau:.2f}, the same network first in {100 * first:.0f} %")
    print("\nDefault mode")
    for method in METHODS:
        box = default[method]
        counts = {word: sum(status == word for status in box.status) for word in sorted(set(box.status))}
        print(f"{method:8} steps: mean {box.steps.double().mean():.1f}, median {box.steps.median()}; status {counts}")
    result["srvr"] = dict(zip(data.networks, ours_raw, strict=True))
    result["time"] = {"seconds": seconds}
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", type=Path, nargs="?", default=REFERENCE / "paper_maps.npz", help="the authors' maps")
    main(parser.parse_args().maps)
