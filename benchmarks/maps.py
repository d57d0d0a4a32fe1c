"""Semantic maps: the adaptive mode's error on the authors' maps, and what a full map costs.

    python benchmarks/maps.py adaptive --maps path/to/paper_maps.npz
    python benchmarks/maps.py cost

``adaptive`` measures at most a share of each map and states the mean absolute error over the full grid. ``cost``
maps one embedded shape for two networks at 34 x 120 views and compares it with the bare rendering of these views
plus the bare networks on the pictures, all in one run and interleaved, so that a busy machine slows both alike.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from reference import REFERENCE, load_paper_data

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.maps import SemanticMapper, adaptive_map, compute_maps
from lightning_semrob.space import Axis, SemanticSpace

PAPER_AXES = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True), Axis("elevation", -10.0, 89.0)))
PAPER_STEPS = (120, 34)


def adaptive(path: Path, share: float, count: int) -> float:
    """Mean absolute error over ``count`` maps spread evenly over all (networks and classes alike)."""
    data = load_paper_data(path)
    maps = data.maps.transpose(1, 2).flatten(1)
    chosen = [round((i + 0.5) * len(maps) / count) for i in range(count)]
    errors, shares, estimates = [], [], []
    print(f"{'map':>4} {'network':14} {'measured %':>10} {'error':>7} {'estimated':>9}")
    for number in chosen:
        truth = maps[[number]]
        found = adaptive_map(lambda index, truth=truth: truth[:, index], PAPER_STEPS, (True, False), share)  # type: ignore[misc]
        errors.append(float((found.values - truth).abs().mean()))
        shares.append(float(found.measured.double().mean()))
        estimates.append(float(found.error))
        network = data.networks[number * len(data.networks) // len(maps)]
        print(f"{number:4} {network:14} {100 * shares[-1]:10.1f} {errors[-1]:7.4f} {estimates[-1]:9.4f}")
    mean = sum(errors) / count
    print(
        f"{count} maps: mean absolute error {mean:.4f} (estimated {sum(estimates) / count:.4f}) with "
        f"{100 * sum(shares) / count:.1f} % of the evaluations on average and {100 * max(shares):.1f} % at most; "
        f"{sum(error <= 0.02 for error in errors)} of {count} maps at most 0.02, the worst {max(errors):.4f}"
    )
    return mean


def cost(shape: str, networks: list[str], steps: tuple[int, int]) -> float:
    """Time of a full map over that of rendering and networks alone."""
    environment = SemanticEnvironment(networks=networks, shapes=[shape])
    compute_maps(environment, PAPER_AXES, (4, 4))  # compiles, builds, allocates
    renderer, names, mesh = environment.renderer, environment.space.names, environment.mesh(0)
    classifiers = [environment.classifier(i) for i in range(len(networks))]
    mapper = SemanticMapper(steps=list(steps))
    mapper.prepare(environment, PAPER_AXES)
    seconds = {"rendering": 0.0, "networks": 0.0, "maps": 0.0}
    for number, batch in enumerate(mapper.batches(environment)):
        points = mapper.points[batch.start : batch.stop, 0]

        def bare(points: torch.Tensor = points) -> None:
            with torch.no_grad():
                start = time.perf_counter()
                images = renderer(mesh, points, names)
                middle = time.perf_counter()
                for classifier in classifiers:
                    classifier(images)
                seconds["rendering"] += middle - start
                seconds["networks"] += time.perf_counter() - middle

        def mapped(batch=batch) -> None:  # type: ignore[no-untyped-def]
            start = time.perf_counter()
            mapper.measure(environment, batch)
            seconds["maps"] += time.perf_counter() - start

        for step in (bare, mapped) if number % 2 else (mapped, bare):  # neither always finds warm caches
            step()
    views = steps[0] * steps[1]
    alone = seconds["rendering"] + seconds["networks"]
    for name, spent in seconds.items():
        print(f"{name:10} {spent:8.1f} s  {1000 * spent / views:6.1f} ms a view")
    ratio = seconds["maps"] / alone
    print(f"{views} views of {shape}, {len(networks)} networks: map / (rendering + networks) = {ratio:.3f}")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("adaptive", "cost"))
    parser.add_argument("--maps", type=Path, default=REFERENCE / "paper_maps.npz")
    parser.add_argument("--share", type=float, default=0.3, help="largest share of the samples that is measured")
    parser.add_argument("--count", type=int, default=20, help="maps, spread evenly over the 240")
    parser.add_argument("--shape", default="teapot")
    parser.add_argument("--networks", nargs="+", default=["efficientnet_lite0", "efficientnet_lite1"])
    parser.add_argument("--steps", type=int, nargs=2, default=PAPER_STEPS, help="azimuths and elevations")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "adaptive":
        adaptive(arguments.maps, arguments.share, arguments.count)
    else:
        cost(arguments.shape, arguments.networks, tuple(arguments.steps))


if __name__ == "__main__":
    main()
