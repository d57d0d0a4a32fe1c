"""What is installed, what works on this machine, and what to do about the rest."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import torch
from packaging.requirements import Requirement

import lightning_semrob
from lightning_semrob.utilities.distributed import usable_cores

PACKAGE = "lightning-semrob"
#: Packages whose versions decide numbers or speed.
SHOWN = (
    "torch", "torchvision", "pytorch-lightning", "torchmetrics", "jsonargparse", "warp-lang", "numpy", "scipy",
    "trimesh", "pyarrow",
)  # fmt: skip
PYTORCH3D_BUILD = (
    "no wheel for current torch is on the index; build it (half an hour on 2 cores): pip install iopath ninja && "
    "pip install --no-build-isolation 'git+https://github.com/facebookresearch/pytorch3d.git@stable'"
)
#: Free disk that a job asks for, bytes.
DISK = 50 * 2**20
_SIZE = 32


@dataclass(frozen=True)
class Finding:
    """One line of the examination, with the remedy where something is missing.

    ``state`` is ``ok``, ``absent`` (optional and not there) or ``broken`` (the default job cannot run).
    """

    subject: str
    text: str
    state: str = "ok"


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _attempt(subject: str, attempt: Callable[[], str], failed: str = "broken") -> Finding:
    """What ``attempt`` returns; if it raises, a finding in the state ``failed``."""
    try:
        return Finding(subject, attempt())
    except Exception as error:
        return Finding(subject, _reason(error), failed)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> list[Requirement]:
    """The requirements of the installed package; none where it runs from its folder without being installed."""
    try:
        return [Requirement(text) for text in metadata.requires(PACKAGE) or []]
    except metadata.PackageNotFoundError:
        return []


def _unmet(requirements: Sequence[Requirement]) -> str:
    """The requirements that are absent or of another version, with the command that installs them; or nothing."""
    found = [(item, _version(item.name)) for item in requirements]
    unmet = [
        (item, "absent" if version is None else f"{version}, needs {item.specifier}")
        for item, version in found
        if version is None or not item.specifier.contains(version, prereleases=True)
    ]
    wrong = ", ".join(f"{item.name} ({what})" for item, what in unmet)
    return f"{wrong}; pip install {' '.join(shlex.quote(f'{x.name}{x.specifier}') for x, _ in unmet)}" if unmet else ""


def package_findings() -> Iterator[Finding]:
    """Python, versions, and whether the required packages are there."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield Finding(PACKAGE, lightning_semrob.__version__)
    for name in SHOWN:
        yield Finding(name, _version(name) or "absent")
    required = [item for item in _requirements() if item.marker is None or item.marker.evaluate({"extra": ""})]
    unmet = _unmet(required)
    if unmet:
        yield Finding("required packages", unmet, "broken")


def device_findings() -> Iterator[Finding]:
    """CPU cores, CUDA and MPS devices."""
    yield Finding("CPU", f"{usable_cores()} cores, torch uses {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        built = "torch was built without CUDA" if torch.version.cuda is None else "torch finds no driver or device"
        yield Finding("CUDA", f"no device: {built}", "absent")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding(f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        yield Finding("MPS", "there; rendering on it is not tested")


def _render(backend: str, device: str) -> str:
    """Draw a tiny picture and its gradient."""
    from lightning_semrob.rendering import RENDERERS
    from lightning_semrob.shapes import resolve_shapes

    try:
        renderer = RENDERERS[backend](_SIZE)
    except ImportError as error:
        raise ImportError(f"{error.__cause__}; {PYTORCH3D_BUILD}") from error
    mesh = resolve_shapes(["teapot"])[0].load().to(torch.device(device))
    u = torch.tensor([[30.0, 20.0]], device=device, requires_grad=True)
    image = renderer(mesh, u, ("azimuth", "elevation"))
    (gradient,) = torch.autograd.grad(image.mean(), u)
    if not (image.isfinite().all() and float(image.detach().std()) > 0 and gradient.isfinite().all()):
        raise ValueError("the picture is empty or its gradient not finite")
    return "draws a picture and its gradient"


def renderer_findings() -> Iterator[Finding]:
    """Every rendering backend on every device, tried."""
    from lightning_semrob.rendering import RENDERERS

    for backend in RENDERERS:
        for device in ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]:
            needed = backend == "rasterizer" and device == "cpu"
            failed = "broken" if needed else "absent"
            yield _attempt(f"{backend} on {device}", partial(_render, backend, device), failed)


def extra_findings() -> Iterator[Finding]:
    """Whether the optional extras are there, with the command that installs them."""
    requirements = _requirements()
    if not requirements:
        yield Finding("extras", f"unknown, since {PACKAGE} is not installed: pip install -e .", "absent")
        return
    for extra in metadata.metadata(PACKAGE).get_all("Provides-Extra") or []:
        asked = [
            item
            for item in requirements
            if item.marker and item.marker.evaluate({"extra": extra}) and not item.marker.evaluate({"extra": ""})
        ]
        unmet = _unmet(asked)
        yield Finding(f"extra {extra}", unmet or "there", "absent" if unmet else "ok")


def wandb_finding() -> Finding:
    """Whether runs can be logged to W&B, and where they go."""
    version = _version("wandb")
    if version is None:
        return Finding("W&B", "absent; pip install wandb", "absent")
    mode = os.environ.get("WANDB_MODE", "offline")
    folder = Path(os.environ.get("WANDB_DIR", ".")).resolve() / "wandb"
    hint = "" if mode == "online" else ", WANDB_MODE=online sends them"
    return Finding("W&B", f"{version}, {mode}{hint}; runs are kept in {folder}")


def _kernel_cache() -> str:
    from lightning_semrob.rendering.kernels import cache_folder

    path = Path(cache_folder())
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        return f"{path} is writable"


def place_findings() -> Iterator[Finding]:
    """Cache of the compiled kernels, output folder and disk."""
    cache = _attempt("kernel cache", _kernel_cache, "absent")
    remedy = "" if cache.state == "ok" else "; kernels compile at every start, set WARP_CACHE_PATH to a writable folder"
    yield Finding(cache.subject, cache.text + remedy, cache.state)

    def output() -> str:
        with tempfile.TemporaryFile(dir="."):
            return f"{Path.cwd()} is writable"

    yield _attempt("output folder", output)
    free = shutil.disk_usage(".").free
    yield Finding("free disk", f"{free / 2**30:.1f} GiB, a job asks for 0.05", "ok" if free >= DISK else "broken")


def network_findings() -> Iterator[Finding]:
    """The networks of the default job, built and asked."""
    from lightning_semrob.evaluation.environment import SemanticEnvironment
    from lightning_semrob.networks import build_network

    def ask(name: str) -> str:
        with torch.no_grad():
            logits = build_network(name)(torch.zeros(1, 3, _SIZE, _SIZE))
        return f"gives {logits.shape[1]} logits"

    for name in SemanticEnvironment().networks:
        yield _attempt(name, partial(ask, name))


GROUPS: dict[str, Callable[[], Iterator[Finding]]] = {
    "Packages": package_findings,
    "Devices": device_findings,
    "Rendering": renderer_findings,
    "Networks of the default job": network_findings,
    "Extras": extra_findings,
    "Logging": lambda: iter([wandb_finding()]),
    "Disk": place_findings,
}


def examine(group: str) -> Iterator[Finding]:
    """The findings of a group of ``GROUPS``, one by one; if the group itself fails, that is a broken finding."""
    try:
        yield from GROUPS[group]()
    except Exception as error:
        yield Finding("not examined", _reason(error), "broken")
