"""What a GPU gives, beside the CPU of the same machine: one table after another, in at most six minutes.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --shapes 2 --batches 2 4 --pixels 64 --seconds 60   # tries the script itself

Needs a GPU that PyTorch finds, the packages of ``.[demo]``, and nothing from a network. Prints versions and card;
pictures, gradients and f of EfficientNet-Lite0 on both devices; images a second of the renderer, the network and f, and
memory; then the default job of evaluate.py on both devices with the largest difference of their rows, a slice of
configs/embedded.yaml, and an epoch of training. A job that does not end in its share of the time is stopped, and the
runs that it finished count.
"""

from __future__ import annotations

import argparse
import dataclasses
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
from lightning_semrob.rendering import Rasterizer
from lightning_semrob.shapes.catalog import resolve_shapes

REPOSITORY = Path(__file__).resolve().parent.parent
NETWORK = "efficientnet_lite0"
AXES = ("azimuth", "elevation")


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
    """Pictures, their gradients and f of embedded shapes on the CPU and on the device."""
    print("\nshape              pixels /255: largest, mean   gradient apart   f apart: largest")
    specs, u = resolve_shapes(["embedded"])[:count], views(8)
    for spec in specs:
        images, slopes, scores = [], [], []
        for where in ("cpu", device):
            shape = f"{spec.class_name}:{spec.source}"
            f = RenderedFunction.of(shape, NETWORK, AXES, Rasterizer(pixels), device=where)
            point = u.to(where).requires_grad_(True)
            image = f.renderer(f.mesh, point, AXES)
            weights = torch.linspace(-1, 1, pixels, device=where)
            (slope,) = torch.autograd.grad((image * weights * weights[:, None]).mean((1, 2, 3)).sum(), point)
            images.append(image.detach().cpu())
            slopes.append(slope.cpu())
            with torch.no_grad():
                scores.append(f(point.detach().double()[None]).cpu())
        apart = 255 * (images[0] - images[1]).abs()
        slope = (slopes[0] - slopes[1]).abs().max() / slopes[0].abs().max()
        score = (scores[0] - scores[1]).abs().max()
        print(f"{spec.class_name:18s} {apart.max():18.4f} {apart.mean():8.5f} {slope:16.1e} {score:18.1e}", flush=True)


def rate(call: Callable[[], object], images: int, device: str) -> float:
    """Images a second: the best of runs over about a second, after one to warm up."""

    def once() -> float:
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    best, end = once(), time.perf_counter() + 1.0
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


def speed(device: str, batches: Sequence[int], pixels: int) -> None:
    """Images a second of the renderer, the network and f, forward and with gradient, and the peak of memory."""
    print("\nimages a second        batch   forward   with gradient   peak MiB")
    f = RenderedFunction.of("teapot", NETWORK, AXES, Rasterizer(pixels), micro_batch_size=max(batches), device=device)
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
            rates = [rate(call, batch, device) for call in calls]
            peak = f"{torch.cuda.max_memory_allocated() / 2**20:10.0f}" if device == "cuda" else "         -"
            print(f"{name:20s} {batch:7d} {rates[0]:9.0f} {rates[1]:15.0f} {peak}", flush=True)


def command(words: Sequence[str], seconds: float) -> tuple[float, bool, str]:
    """Run a program of this checkout; how long it took, whether it ended by itself, and what it printed."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    ended = True
    try:
        text, _ = process.communicate(timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        ended = False
        process.send_signal(signal.SIGTERM)
        try:
            text, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
    if ended and process.returncode:
        print(text[-2000:])
    return time.perf_counter() - start, ended, text


def finished(folder: Path) -> dict[Any, Run]:
    """The runs in an output folder, by what tells them apart."""
    return {run.key: run for run in RunFolder(folder).load_parts()} if folder.is_dir() else {}


def numbers(value: Any, name: str = "") -> dict[str, float]:
    """The real numbers in a dictionary of dictionaries, by their names joined."""
    if isinstance(value, dict):
        return {k: v for part, inner in value.items() for k, v in numbers(inner, f"{name} {part}").items()}
    return {name.strip(): value} if isinstance(value, float) else {}


def jobs(accelerator: str, deadline: Callable[[], float]) -> None:
    """The default job on both devices, a slice of the embedded classes, and an epoch of training."""
    with tempfile.TemporaryDirectory() as temporary:
        rows = {}
        for name, words in {
            "device": [f"--trainer.accelerator={accelerator}"],
            "cpu": ["--trainer.accelerator=cpu", f"--trainer.devices={min(8, max(1, (os.cpu_count() or 2) // 2))}"],
        }.items():
            output = Path(temporary) / name
            took, ended, _ = command(["evaluate.py", *words, "--output", str(output)], 0.35 * deadline())
            rows[name] = finished(output)
            state = "ended" if ended else "stopped"
            print(f"\ndefault job, {' '.join(words)}: {took:.0f} s, {state}, {len(rows[name])} runs", flush=True)
        common = rows["device"].keys() & rows["cpu"].keys()
        print(f"largest difference between the {len(common)} rows of both:")
        pairs = [(rows["device"][key], rows["cpu"][key]) for key in common]
        apart: dict[str, float] = {}
        for pair in pairs:
            one, other = (numbers(dataclasses.asdict(run)) for run in pair)
            for name in one.keys() & other.keys():
                apart[name] = max(apart.get(name, 0.0), abs(one[name] - other[name]))
        for name, value in sorted(apart.items()):
            print(f"  {name:28s} {value:.3g}")
        differ = [sum(getattr(a, name) != getattr(b, name) for a, b in pairs) for name in ("verdict", "status")]
        print(f"  other verdicts {differ[0]}, other states {differ[1]}", flush=True)

        words = ["evaluate.py", "--config", "configs/embedded.yaml", f"--trainer.accelerator={accelerator}"]
        _, _, text = command([*words, "--dry_run", "true", "--output", str(Path(temporary) / "dry")], 0.2 * deadline())
        print("\nconfigs/embedded.yaml, dry run:\n" + text[-600:])
        seconds = min(60.0, 0.5 * deadline())
        output = Path(temporary) / "slice"
        took, _, _ = command([*words, "--output", str(output)], seconds)
        print(f"a slice of it: {len(finished(output))} runs in {took:.0f} s", flush=True)
        words = ["train.py", "fit", "--config", "configs/train_demo.yaml", f"--trainer.accelerator={accelerator}"]
        words += ["--trainer.max_epochs=1", "--trainer.limit_val_batches=0", "--output", str(Path(temporary) / "train")]
        took, ended, text = command(words, deadline())
        print(f"an epoch of configs/train_demo.yaml: {took:.0f} s{'' if ended else ', stopped'}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--shapes", type=int, default=12)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=350.0, help="for everything; jobs take what is left")
    parser.add_argument("--no_jobs", action="store_true", help="only pictures and speed")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU here; --device cpu tries the script")
    end = time.perf_counter() + options.seconds
    header(options.device)
    agreement(options.device, options.shapes, options.pixels)
    speed(options.device, options.batches, options.pixels)
    if not options.no_jobs:
        jobs("gpu" if options.device == "cuda" else "cpu", lambda: end - time.perf_counter())


if __name__ == "__main__":
    main()
