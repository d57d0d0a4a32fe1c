"""What a GPU gives, beside the CPU of the same machine: one table after another, in at most six minutes.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --small     # tries every part of the script itself

Needs a GPU that PyTorch finds, the packages of ``.[demo]``, and nothing from a network. Prints versions and card;
pictures, gradients and f of EfficientNet-Lite0 on both devices; images a second of the renderer, the network and f, and
memory; then the default job of evaluate.py on both devices with the largest difference of their rows, a slice of
configs/embedded.yaml, and an epoch of training. A job that does not end in its share of the time is stopped, and the
runs that it finished count. Convolutions are deterministic and in full float32, as in jobs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.evaluation.records import Run
from lightning_semrob.functions import RenderedFunction
from lightning_semrob.functions.precision import set_arithmetic
from lightning_semrob.networks import build_network
from lightning_semrob.rendering import Rasterizer
from lightning_semrob.shapes.catalog import resolve_shapes

REPOSITORY = Path(__file__).resolve().parent.parent
NETWORK = "efficientnet_lite0"
AXES = ("azimuth", "elevation")
#: What ``--small`` adds to evaluate.py and to train.py, so that they end soon on a CPU.
SMALL_JOB = (
    "--data.networks=[efficientnet_lite0]", "--data.shapes=[teapot]", "--data.initial_points=1",
    "--model.finders=[naive,oir_b]", "--model.num_iterations=2", "--model.views=4", "--trust.max_evaluations=0",
    "--report_grid=[]",
)  # fmt: skip
SMALL_TRAINING = (
    "--data.shapes=[drum:0-3,bucket:0-3]", "--data.held_out_per_class=1", "--data.images=64", "--data.image_size=16",
)  # fmt: skip
#: An epoch of training, judged as little as can be.
TRAINING = (
    "train.py", "fit", "--config", "configs/train_demo.yaml", "--before=null", "--trainer.max_epochs=1",
    "--trainer.limit_val_batches=0", "--judging.verified_evaluations=40", "--judging.views=1", "--judging.maps=0",
    "--judging.trust_evaluations=0",
)  # fmt: skip


def views(count: int) -> Tensor:
    """(count, 2) azimuths and elevations."""
    return Rasterizer(64).space(*AXES).sobol(count, seed=0).float()


def header(device: str) -> None:
    """Versions and card."""
    card = torch.cuda.get_device_name() if device == "cuda" else "no card: the device is the CPU"
    print(f"{card}; {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.platform()}")
    names = ("torch", "warp-lang", "pytorch-lightning", "lightning-semrob")
    print(", ".join(f"{name} {version(name)}" for name in names), f", CUDA {torch.version.cuda}", flush=True)


def agreement(device: str, count: int, pixels: int) -> None:
    """Pictures, their gradients and f of so many embedded shapes of different classes, on the CPU and on the device."""
    print("\nshape              pixels /255: largest, mean   gradient apart   f apart: largest")
    places = ("cpu", device)
    classifiers = [build_network(NETWORK).to(where) for where in places]
    renderer, u = Rasterizer(pixels), views(8)
    space = renderer.space(*AXES)
    weights = torch.linspace(-1, 1, pixels)
    specs = resolve_shapes(["embedded"])
    largest = [0.0, 0.0, 0.0]
    for spec in specs[:: max(1, len(specs) // count)][:count]:
        images, slopes, scores = [], [], []
        for where, classifier in zip(places, classifiers, strict=True):
            f = RenderedFunction(renderer, classifier, spec.load().to(where), spec.target, space)
            point = u.to(where).requires_grad_(True)
            image = renderer(f.mesh, point, AXES)
            score = (image * (weights * weights[:, None]).to(where)).mean((1, 2, 3)).sum()
            slopes.append(torch.autograd.grad(score, point)[0].cpu())
            images.append(image.detach().cpu())
            with torch.no_grad():
                scores.append(f(point.detach().double()[None]).cpu())
        pixel = 255 * (images[0] - images[1]).abs()
        slope = float((slopes[0] - slopes[1]).abs().max() / slopes[0].abs().max())
        apart = [float(pixel.max()), slope, float((scores[0] - scores[1]).abs().max())]
        largest = [max(pair) for pair in zip(largest, apart, strict=True)]
        print(
            f"{spec.class_name:18s} {apart[0]:18.4f} {pixel.mean():8.5f} {apart[1]:16.1e} {apart[2]:18.1e}", flush=True
        )
    print(f"{'largest':18s} {largest[0]:18.4f} {'':8s} {largest[1]:16.1e} {largest[2]:18.1e}")


def rate(call: Callable[[], object], images: int, device: str, seconds: float) -> float:
    """Images a second: the best of runs over about so many seconds, after one to warm up."""

    def once() -> float:
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    best, end = once(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = min(best, once())
    return images / best


def both(call: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """One call of the function at x without and with its gradient."""

    def forward() -> None:
        with torch.no_grad():
            call(x)

    def backward() -> None:
        y = x.clone().requires_grad_(True)
        torch.autograd.grad(call(y).float().sum(), y)

    return forward, backward


def speed(device: str, batches: Sequence[int], pixels: int, seconds: float) -> None:
    """Images a second of the renderer, the network and f, forward and with gradient, and the peak of memory, each case
    over so many seconds."""
    print("\nimages a second        batch   forward   with gradient   peak MiB")
    f = RenderedFunction.of(
        "teapot", NETWORK, AXES, Rasterizer(pixels), micro_batch_size=max(batches), device=device, runtime="torch"
    )
    for batch in batches:
        u = views(batch).to(device)
        images = f.renderer(f.mesh, u, AXES).detach()

        def half(x: Tensor) -> Tensor:
            with torch.autocast(device, torch.bfloat16):
                answer: Tensor = f.classifier(x)
            return answer

        cases = {
            "renderer": both(lambda x: f.renderer(f.mesh, x, AXES), u),
            "network, float32": both(f.classifier, images),
            "network, bf16": both(half, images),
            "f": (partial(f, u.double()[None]), partial(f.value_and_grad, u.double()[None])),
        }
        for name, calls in cases.items():
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            rates = [rate(call, batch, device, seconds) for call in calls]
            peak = f"{torch.cuda.max_memory_allocated() / 2**20:10.0f}" if device == "cuda" else "         -"
            print(f"{name:20s} {batch:7d} {rates[0]:9.0f} {rates[1]:15.0f} {peak}", flush=True)


def command(words: Sequence[str], seconds: float) -> tuple[float, str, str]:
    """Run a program of this checkout; how long it took, how it ended in a word, and what it printed.

    After so many seconds it is asked to stop, and after 10 more it and the processes that it started are killed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    state = "ended"
    try:
        text, _ = process.communicate(timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        state = "stopped"
        process.send_signal(signal.SIGTERM)
        try:
            text, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
    if state == "ended" and process.returncode:
        state = "failed"
        print(text[-2000:])
    return time.perf_counter() - start, state, text


def finished(folder: Path) -> dict[Any, Run]:
    """The runs in an output folder, by what tells them apart."""
    return {run.key: run for run in RunFolder(folder).load_parts()} if folder.is_dir() else {}


def numbers(value: Any, name: str = "") -> dict[str, float]:
    """The real numbers in a dictionary of dictionaries, by their names joined."""
    if isinstance(value, dict):
        return {k: v for part, inner in value.items() for k, v in numbers(inner, f"{name} {part}").items()}
    return {name.strip(): value} if isinstance(value, float) else {}


def compare_rows(device: dict[Any, Run], cpu: dict[Any, Run]) -> None:
    """The largest difference of each number between the runs that both devices finished."""
    pairs = [(device[key], cpu[key]) for key in device.keys() & cpu.keys()]
    print(f"largest difference between the {len(pairs)} rows of both:")
    apart: dict[str, float] = {}
    for pair in pairs:
        one, other = (numbers(dataclasses.asdict(run)) for run in pair)
        for name in one.keys() & other.keys():
            if not (math.isnan(one[name]) and math.isnan(other[name])):
                apart[name] = max(apart.get(name, 0.0), abs(one[name] - other[name]))
    for name, value in sorted(apart.items()):
        print(f"  {name:28s} {value:.3g}")
    differ = [sum(getattr(a, name) != getattr(b, name) for a, b in pairs) for name in ("verdict", "status")]
    print(f"  other verdicts {differ[0]}, other states {differ[1]}", flush=True)


def jobs(accelerator: str, small: bool, left: Callable[[], float]) -> list[str]:
    """The default job on both devices, a slice of the embedded classes, and an epoch of training, in the seconds that
    are ``left``; returns how each command ended."""
    states = []

    def run(words: Sequence[str], seconds: float, what: str) -> str:
        took, state, text = command(words, seconds)
        states.append(state)
        print(f"\n{what}: {took:.0f} s, {state}", flush=True)
        return text

    one = [f"--trainer.accelerator={accelerator}", *(SMALL_JOB if small else ())]
    several = ["--trainer.accelerator=cpu", f"--trainer.devices={min(8, max(1, (os.cpu_count() or 2) // 2))}"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run(["evaluate.py", *one, "--output", str(folder / "device")], 0.3 * left(), f"default job, {' '.join(one)}")
        words = several + one[1:]
        run(["evaluate.py", *words, "--output", str(folder / "cpu")], 0.4 * left(), f"default job, {' '.join(words)}")
        compare_rows(finished(folder / "device"), finished(folder / "cpu"))

        embedded = ["evaluate.py", "--config", "configs/embedded.yaml", *one]
        words = [*embedded, "--dry_run", "true", "--output", str(folder / "dry")]
        print(run(words, 0.2 * left(), "configs/embedded.yaml, dry run")[-600:])
        run([*embedded, "--output", str(folder / "slice")], min(60.0, 0.6 * left()), "a slice of it")
        print(f"{len(finished(folder / 'slice'))} runs finished")
        words = [*TRAINING, f"--trainer.accelerator={accelerator}", "--output", str(folder / "training")]
        run([*words, *(SMALL_TRAINING if small else ())], left() - 10, "an epoch of configs/train_demo.yaml, judged")
        record = folder / "training" / "training.json"
        if record.exists():
            print(f"the epoch: {json.loads(record.read_text())['costs']}")
    return states


def main(arguments: Sequence[str] | None = None) -> list[str]:
    """The command; returns how each of its jobs ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--shapes", type=int, default=12)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=345.0, help="for everything; jobs take what is left")
    parser.add_argument("--small", action="store_true", help="2 shapes, 32 pixels, batches of 2 and 4, short jobs")
    parser.add_argument("--no_jobs", action="store_true", help="only pictures and speed")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU here; --device cpu tries the script")
    if options.small:
        options.shapes, options.batches, options.pixels = 2, [2, 4], 32
    end = time.perf_counter() + options.seconds
    set_arithmetic("32")
    header(options.device)
    agreement(options.device, options.shapes, options.pixels)
    speed(options.device, options.batches, options.pixels, 0.02 if options.small else 1.0)
    accelerator = "gpu" if options.device == "cuda" else "cpu"
    return [] if options.no_jobs else jobs(accelerator, options.small, lambda: end - time.perf_counter())


if __name__ == "__main__":
    main()
