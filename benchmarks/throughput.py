"""Images per second of rendering, of networks and of a whole job, and what runtimes and processes bring.

Usage: python benchmarks/throughput.py [--processes 1 2] [--default_job] [arguments of evaluate.py]

First torch against ONNX Runtime, in turn, by the CPU time of one thread, which other load disturbs little: the network
alone, f with its rendering, and gradient calls in several ways. With --default_job also the default job of evaluate.py
on one process with either (--data.shapes makes it smaller), and the evaluations that it was spared. Then a small job by
number of processes.

Everything is measured in one call, one thread a process. The job has 12 small tasks: two networks, three shapes, two
initial points, the default finders with fewer updates. Its start-up (from the parsed command to the first round:
starting processes, their imports, connecting them) is printed apart. At the end of a job a process may wait for another
one, so that few large tasks scale less well than many small ones.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lightning_semrob.commands.evaluate import EvaluateCLI
from lightning_semrob.commands.parsing import quiet
from lightning_semrob.functions import RenderedFunction
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.networks import build_network

JOB = (
    "--data.shapes=[teapot,cup,vase]",
    "--data.initial_points=2",
    "--model.num_iterations=4",
    "--model.verification=24",
    "--model.verified_evaluations=80",
    "--report_grid=[]",
)
REPEATS = 5
#: ``model.views`` of the default job.
VIEWS = 32
#: Counts of a summary that make up the evaluations of a job.
KINDS = ("evaluations", "verification_evaluations", "audit_evaluations")


def milliseconds(calls: dict[str, Callable[[], object]], images: int) -> dict[str, float]:
    """CPU time an image of each call, the fastest of some rounds in which they take turns; the first round warms up."""
    best = dict.fromkeys(calls, float("inf"))
    for turn in range(REPEATS + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if turn:
                best[name] = min(best[name], time.process_time() - start)
    return {name: 1e3 * seconds / images for name, seconds in best.items()}


def runtimes_alone(networks: Sequence[str], shape: str = "teapot", size: int = 8) -> None:
    """Torch against ONNX Runtime for network and f, and ways to call for gradients."""
    print(f"ms an image (CPU time of one thread, batch {size}, shape {shape}); in brackets torch / ONNX Runtime")
    print(
        f"{'network':22}{'torch':>8}{'onnxruntime':>18}{'f, torch':>11}{'f, onnxruntime':>20}{'change of a logit':>20}"
    )
    total: dict[str, float] = {}
    for name in networks:
        f = {
            runtime: RenderedFunction.of(shape, name, micro_batch_size=size, runtime=runtime)
            for runtime in ("torch", "onnxruntime")
        }
        images = f["torch"].images(f["torch"].space.sobol(size, 0))
        points = f["torch"].space.sobol(size, 1)[None]

        def network(runtime: str, f: Any = f, images: torch.Tensor = images) -> None:
            with torch.no_grad():
                f[runtime].classifier(images)

        calls: dict[str, Callable[[], object]] = {
            **{f"network {runtime}": partial(network, runtime) for runtime in f},
            **{f"f {runtime}": partial(f[runtime], points) for runtime in f},
        }
        ms = milliseconds(calls, size)
        (a, b), (c, d) = ((ms[f"{kind} torch"], ms[f"{kind} onnxruntime"]) for kind in ("network", "f"))
        total = {key: total.get(key, 0.0) + value for key, value in ms.items()}
        print(f"{name:22}{a:8.1f}{b:10.1f} ({a / b:.2f}){c:11.1f}{d:12.1f} ({c / d:.2f})"
              f"{f['onnxruntime'].runtime.change:20.1e}", flush=True)  # fmt: skip
    (a, b), (c, d) = ((total[f"{kind} torch"], total[f"{kind} onnxruntime"]) for kind in ("network", "f"))
    print(f"{'together':22}{a:8.1f}{b:10.1f} ({a / b:.2f}){c:11.1f}{d:12.1f} ({c / d:.2f})")


def gradients_alone(network: str, shape: str = "teapot") -> None:
    """Ways to compute scores with gradients: memory layout, compilation, and the padding of a few rows."""
    f = RenderedFunction.of(shape, network, runtime="torch")
    layouts = {
        layout: build_network(network, channels_last=layout == "channels_last")
        for layout in ("channels_last", "contiguous")
    }
    images = f.images(f.space.sobol(8, 0))
    compiled = torch.compile(layouts["channels_last"])

    def backward(classifier: Any, count: int) -> None:
        pixels = images[:count].clone().requires_grad_(True)
        torch.autograd.grad(classifier(pixels).logsumexp(-1).sum(), pixels)

    calls: dict[str, Callable[[], object]] = {
        "channels_last, 8 images": partial(backward, layouts["channels_last"], 8),
        "folded (what jobs use), 8 images": partial(backward, f.classifier, 8),
        "contiguous, 8 images": partial(backward, layouts["contiguous"], 8),
        "torch.compile, 8 images": partial(backward, compiled, 8),
        "folded, 4 images": partial(backward, f.classifier, 4),
    }
    print(f"\nforward + backward of {network}, CPU time of the whole call")
    ms = milliseconds(calls, 1)
    for name, value in ms.items():
        print(f"  {name:36}{value:9.1f} ms  ({value / ms['folded (what jobs use), 8 images']:.2f})")


def default_jobs(arguments: Sequence[str]) -> None:
    """The default job of evaluate.py on one process with either runtime, and the evaluations that it does not pay."""
    spent = {}
    for runtime in ("torch", "onnxruntime"):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        summary, mapped = job([f"--data.runtime={runtime}", *arguments], 1)
        spent[runtime] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        paid = sum(summary[f"computed_{kind}"] for kind in KINDS) + summary["trust"]["evaluations"] + mapped.evaluations
        networks, shapes = mapped.scores.shape[:2]
        views = VIEWS * networks * shapes  # of the viewpoint accuracy: now the first views of the trust maps
        saved = summary["remembered_evaluations"] + views + mapped.scores.numel() - mapped.evaluations
        seconds = time.perf_counter() - start
        print(f"default job, {runtime}: {seconds:.0f} s, {spent[runtime]:.0f} s of CPU time; {paid} evaluations of f, "
              f"{saved} more were known: {saved / (paid + saved):.0%} saved", flush=True)  # fmt: skip
    print(f"torch / ONNX Runtime, CPU time: {spent['torch'] / spent['onnxruntime']:.2f}")


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


def job(arguments: Sequence[str], processes: int) -> tuple[dict[str, Any], Any]:
    """The summary of the whole job with some processes, in a new folder, and the maps of its report if it has one."""
    program = Path(__file__).parent.parent / "evaluate.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, str(program), *arguments, f"--trainer.devices={processes}", f"--output={folder}/job"]
        words += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
        summary: dict[str, Any] = json.loads((Path(folder) / "job" / "summary.json").read_text())
        maps = Path(folder) / "job" / "maps.nc"
        return summary, SemanticMaps.load(maps) if maps.exists() else None


def main(args: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--default_job", action="store_true", help="time the default job with both runtimes")
    options, rest = parser.parse_known_args(args)
    arguments = [*JOB, *rest]
    quiet()
    torch.set_num_threads(1)
    for size in (8, 4):
        runtimes_alone(("efficientnet_lite0", "efficientnet_lite1"), size=size)
        print()
    gradients_alone("efficientnet_lite0")
    if options.default_job:
        default_jobs(rest)
    print()
    rendering, networks = parts_alone(arguments)
    print(f"rendering alone       {rendering:7.1f} images/s")
    for name, (forward, backward) in networks.items():
        print(f"{name} alone  {forward:7.1f} images/s, with gradient {backward:.1f}")
    print("\nprocesses  start-up s  measuring s  evaluations  with gradient  evaluations/s   ratio")
    first = 0.0
    for processes in options.processes:
        summary, _ = job(arguments, processes)
        count = sum(summary[f"computed_{kind}"] for kind in KINDS)
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
