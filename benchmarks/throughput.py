"""Images per second of rendering alone, of the networks alone and of a whole job, and what more processes bring.

Usage: python benchmarks/throughput.py [--processes 1 2] [arguments of evaluate.py]

Everything is measured in one call, one thread a process. The job has 12 small tasks: two networks, three shapes, two
initial points, the default finders with fewer updates. Its start-up (from the parsed command to the first round:
starting processes, their imports, connecting them) is printed apart. At the end of a job a process may wait for another
one, so that few large tasks scale less well than many small ones.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from lightning_semrob.commands.evaluate import EvaluateCLI
from lightning_semrob.commands.parsing import quiet

JOB = (
    "--data.shapes=[teapot,cup,vase]",
    "--data.initial_points=2",
    "--model.num_iterations=4",
    "--model.verification=24",
    "--model.verified_evaluations=80",
    "--report_grid=[]",
)
REPEATS = 5


def images_per_second(call: Callable[[], object], images: int) -> float:
    """The fastest of some calls, the first one left out: others use the machine too."""
    call()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return images / min(seconds)


def parts_alone(arguments: Sequence[str]) -> tuple[float, dict[str, tuple[float, float]]]:
    """Images per second of rendering, and of each network forward and with gradient, over the shapes of the job."""
    environment: Any = EvaluateCLI([*arguments, "--trainer.accelerator=cpu"]).datamodule
    environment.setup()
    size = environment.micro_batch_size
    u = environment.space.sobol(size, 0)
    speeds, networks = [], {}
    for shape in range(len(environment.shapes)):
        mesh = environment.mesh(shape)
        speeds.append(images_per_second(lambda mesh=mesh: environment.renderer(mesh, u, environment.space.names), size))
    for number, name in enumerate(environment.networks):
        f = environment.rendered_function(number, 0)
        images = f.images(u)

        def forward(f: Any = f, images: torch.Tensor = images) -> None:
            with torch.no_grad():
                f.classifier(images)

        def backward(f: Any = f, images: torch.Tensor = images) -> None:
            pixels = images.clone().requires_grad_(True)
            torch.autograd.grad(f.classifier(pixels).logsumexp(-1).sum(), pixels)

        networks[name] = images_per_second(forward, size), images_per_second(backward, size)
    return len(speeds) / sum(1 / speed for speed in speeds), networks


def job(arguments: Sequence[str], processes: int) -> dict[str, Any]:
    """The summary of the whole job with some processes, in a new folder."""
    program = Path(__file__).parent.parent / "evaluate.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, str(program), *arguments, f"--trainer.devices={processes}", f"--output={folder}/job"]
        words += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
        summary: dict[str, Any] = json.loads((Path(folder) / "job" / "summary.json").read_text())
    return summary


def main(args: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options, rest = parser.parse_known_args(args)
    arguments = [*JOB, *rest]
    quiet()
    torch.set_num_threads(1)
    rendering, networks = parts_alone(arguments)
    print(f"rendering alone       {rendering:7.1f} images/s")
    for name, (forward, backward) in networks.items():
        print(f"{name} alone  {forward:7.1f} images/s, with gradient {backward:.1f}")
    print("\nprocesses  start-up s  measuring s  evaluations  with gradient  evaluations/s   ratio")
    first = 0.0
    for processes in options.processes:
        summary = job(arguments, processes)
        kinds = ("evaluations", "verification_evaluations", "audit_evaluations")
        count = sum(summary[f"computed_{kind}"] for kind in kinds)
        gradients = summary["computed_gradient_evaluations"] + summary["computed_audit_evaluations"]
        speed = count / summary["measuring_seconds"]
        first = first or speed
        print(
            f"{processes:9d}{summary['startup_seconds']:12.1f}{summary['measuring_seconds']:13.1f}{count:13d}"
            f"{gradients:15d}{speed:15.1f}{speed / first:8.2f}",
            flush=True,
        )
        if processes == 1:
            forward, backward = (len(networks) / sum(1 / speed[k] for speed in networks.values()) for k in range(2))
            alone = count / rendering + (count - gradients) / forward + gradients / backward
            print(f"          rendering and networks alone would take {alone:.1f} s: "
                  f"{alone / summary['measuring_seconds']:.2f} of the job")  # fmt: skip


if __name__ == "__main__":
    main()
