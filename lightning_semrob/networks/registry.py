"""Names to networks."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from lightning_semrob.networks.classifier import ONE, ZERO, Classifier, NetworkSpec, Triple
from lightning_semrob.networks.clip import open_clip
from lightning_semrob.networks.options import split_name, with_options
from lightning_semrob.networks.sources import (
    LITE_SIZES,
    SMALL,
    UserCallable,
    callable_spec,
    lite_spec,
    open_clip_spec,
    small_spec,
    timm_package,
    timm_spec,
    torchvision_names,
    torchvision_spec,
    whole_attribute,
)
from lightning_semrob.networks.state_dict import existing_file
from lightning_semrob.utilities.messages import did_you_mean

_registry: dict[str, NetworkSpec] = {}


def register_network(
    name: str,
    build: Callable[[], nn.Module],
    *,
    input_size: int = 224,
    mean: Triple = ZERO,
    std: Triple = ONE,
    num_classes: int = 1000,
    overwrite: bool = False,
) -> NetworkSpec:
    """Give a network of yours a name that works wherever a network is named, in this process.

    Args:
        name: letters, digits, ``_``, ``-`` and ``.``; ``overwrite`` replaces a network of the same name.
        build: no arguments; returns the network, weights loaded.
        input_size, num_classes: side of the input in pixels, number of logits.
        mean, std: per channel, of images in [0, 1]; by default images go in as they are.

    Raises:
        ValueError: for a name with other characters, or one that is taken.

    Examples:
        >>> spec = register_network("flat", lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 1000)), input_size=8)
        >>> build_network("flat")(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 1000])
        >>> _ = _registry.pop("flat")
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"'{name}' cannot name a network: use letters, digits, '_', '-' and '.'")
    if name in (*LITE_SIZES, SMALL) or (name in _registry and not overwrite):
        raise ValueError(f"a network '{name}' exists already: take another name, or give overwrite=True for your own")
    _registry[name] = NetworkSpec(name, build, input_size, mean, std, num_classes, exportable=False)
    return _registry[name]


def available_networks() -> tuple[str, ...]:
    """Names of the built-in, the registered, torchvision's and (where installed) timm's and open_clip's networks."""
    timm = tuple(f"timm/{name}" for name in timm_package().list_models()) if importlib.util.find_spec("timm") else ()
    clip = (f"open_clip/{name}" for name in open_clip().list_models()) if importlib.util.find_spec("open_clip") else ()
    torchvision = (f"torchvision/{name}" for name in torchvision_names())
    return (*LITE_SIZES, SMALL, *_registry, *torchvision, *timm, *clip)


def network_spec(name: str) -> NetworkSpec:
    """The spec of a name (docs/howto/networks.md); neither builds the network nor fetches its weights.

    Raises:
        ValueError: for an unknown name or option, with the nearest known one.
        FileNotFoundError: for a state dict that is not there.
        ImportError: for a package that is not installed, with the command that installs it.

    Examples:
        >>> spec = network_spec("small_resnet?input_size=64&num_classes=16")
        >>> spec.input_size, spec.num_classes
        (64, 16)
    """
    head, options = split_name(name)
    base, at, file = head.partition("@")
    path = existing_file(file, name) if at else None
    kind, slash, model = base.partition("/")
    if "weights" in options and kind not in ("torchvision", "open_clip"):
        raise ValueError(f"'{name}': the option weights is for networks of torchvision and open_clip; leave it out")
    if slash and kind == "torchvision":
        spec = torchvision_spec(name, model, path, options)
    elif slash and kind == "timm":
        spec = timm_spec(name, model, path, options)
    elif slash and kind == "open_clip":
        spec = open_clip_spec(name, model, path, options)
    elif base in LITE_SIZES:
        spec = lite_spec(name, base, path, options)
    elif base == SMALL:
        spec = small_spec(name, path, options)
    elif path is not None:
        raise ValueError(
            f"'{name}': a state dict goes with an architecture, 'torchvision/…@{file}', 'timm/…@{file}', "
            f"'open_clip/…@{file}' or one of "
            f"{[*LITE_SIZES, SMALL]}; for another network give register_network a callable that loads it"
        )
    elif base in _registry:
        spec = replace(_registry[base], name=name)
    elif ":" in base:
        spec = callable_spec(name, base)
    else:
        known = [*LITE_SIZES, SMALL, *_registry, *(f"torchvision/{model}" for model in torchvision_names())]
        same = [known_name for known_name in known if known_name.partition("/")[2] == base]
        raise ValueError(
            f"unknown network '{name}'{did_you_mean(base, known, same)}; "
            "lightning_semrob.networks.available_networks() lists the names, "
            "and 'package.module:callable' names a callable of yours"
        )
    return with_options(spec, options)


def build_network(name: str, *, frozen: bool = True, channels_last: bool = True) -> Classifier:
    """The network of a name, weights loaded, as a :class:`Classifier` (whose arguments the options are).

    The state of torch's random generator is the same afterwards.

    Raises:
        ValueError: as :func:`network_spec`; for a state dict that does not fit, naming its first offending key.
        OSError: for weights that could not be downloaded.

    Examples:
        >>> network = build_network("small_resnet?num_classes=16")
        >>> network(torch.zeros(2, 3, 48, 48)).shape
        torch.Size([2, 16])
    """
    spec = network_spec(name)
    with torch.random.fork_rng(devices=[]):
        backbone = spec.build()
    if not isinstance(backbone, nn.Module):
        raise ValueError(f"network '{name}' was built as a {type(backbone).__name__}: let it return a torch.nn.Module")
    other = next((x.dtype for x in backbone.parameters() if x.is_floating_point() and x.dtype != torch.float32), None)
    if other is not None:
        raise ValueError(
            f"network '{name}' has parameters of {other}, and pictures are float32: return it as network.float(); "
            "--data.precision=16 or bf16 runs it faster"
        )
    if isinstance(spec.build, UserCallable):  # what the callable does not say, its module may
        said, (_, options) = spec.build.callable, split_name(name)
        attributes = [key for key in ("input_size", "num_classes") if key not in options and not hasattr(said, key)]
        sizes: dict[str, Any] = {
            key: whole_attribute(name, backbone, key) for key in attributes if hasattr(backbone, key)
        }
        spec = replace(spec, **sizes)
    return Classifier(spec, backbone, frozen=frozen, channels_last=channels_last)
