"""Milliseconds an image of each network, by batch size and memory layout, on one thread.

    python benchmarks/inference.py
    python benchmarks/inference.py --networks torchvision/squeezenet1_0@squeezenet1_0.pth --batch_sizes 8 16

On one CPU thread the clock is CPU time, which other load on the machine disturbs little; otherwise it is wall time.
Layouts and batch sizes are measured in turn within each round, and the fastest round counts. Read ratios: the
milliseconds are of this machine at this moment.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
from pathlib import Path

import torch

from lightning_semrob.networks import Classifier, build_network


def seconds(classifier: Classifier, images: torch.Tensor, backward: bool) -> float:
    """Time of one call."""
    clock = time.process_time if torch.get_num_threads() == 1 and not images.is_cuda else time.perf_counter
    start = clock()
    if backward:
        images = images.clone().requires_grad_(True)
        classifier(images).log_softmax(1)[:, 0].sum().backward()
    else:
        with torch.no_grad():
            classifier(images)
    if images.is_cuda:
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["efficientnet_lite0", "efficientnet_lite1"])
    parser.add_argument("--batch_sizes", nargs="+", type=int, default=[1, 4, 8, 16, 32])
    parser.add_argument("--image_size", type=int, default=224, help="side of the images that are fed, pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="write the rows as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {arguments.threads} thread(s)")
    print("ms an image; (x) is the ratio to channels_last at the same batch size\n")
    print(f"{'network':44} {'batch':>5} {'channels_last':>13} {'contiguous':>18} {'forward + backward':>19}")
    rows = []
    for name in arguments.networks:
        layouts = {layout: build_network(name, channels_last=layout).to(arguments.device) for layout in (True, False)}
        best: dict[tuple[int, bool, bool], float] = {}
        cases = list(itertools.product(arguments.batch_sizes, (True, False), (False, True)))
        cases = [(size, layout, backward) for size, layout, backward in cases if layout or not backward]
        images = torch.rand(max(arguments.batch_sizes), 3, arguments.image_size, arguments.image_size)
        images = images.to(arguments.device)
        for round_number in range(arguments.rounds + 1):
            for size, layout, backward in cases:
                time_an_image = seconds(layouts[layout], images[:size], backward) / size
                if round_number:  # the first warms up
                    key = (size, layout, backward)
                    best[key] = min(best.get(key, float("inf")), time_an_image)
        for size in arguments.batch_sizes:
            last, contiguous, gradient = (
                1e3 * best[key] for key in [(size, True, False), (size, False, False), (size, True, True)]
            )
            shown = name if len(name) < 44 else name[:20] + "…" + name[-22:]
            print(
                f"{shown:44} {size:5} {last:13.2f} {contiguous:11.2f} ({contiguous / last:.2f}) "
                f"{gradient:12.2f} ({gradient / last:.2f})"
            )
            rows.append(
                {
                    "network": name,
                    "batch_size": size,
                    "channels_last_ms": last,
                    "contiguous_ms": contiguous,
                    "channels_last_backward_ms": gradient,
                }
            )
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
