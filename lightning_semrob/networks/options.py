"""The options that follow the ``?`` in a network's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lightning_semrob.networks.classifier import IMAGENET_MEAN, IMAGENET_STD, ONE, ZERO, NetworkSpec, Triple
from lightning_semrob.utilities.messages import did_you_mean

_OPTIONS = ("input_size", "label", "normalize", "num_classes", "weights")
_NORMALIZE: dict[str, tuple[Triple, Triple]] = {
    "none": (ZERO, ONE),
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "imagenet255": (IMAGENET_MEAN, (1 / 255,) * 3),
}


def split_name(name: str) -> tuple[str, dict[str, str]]:
    """``head?key=value&key=value`` as its head and checked options."""
    head, mark, tail = name.rpartition("?")
    if not mark:
        return name, {}
    options: dict[str, str] = {}
    for item in tail.split("&"):
        key, equals, value = item.partition("=")
        if key not in _OPTIONS or not equals or key in options:
            raise ValueError(
                f"'{name}': cannot read the option '{item}'{did_you_mean(key, _OPTIONS)}; options are "
                "'normalize=none', 'input_size=224', 'num_classes=1000', 'weights=IMAGENET1K_V1' and 'label=mine', "
                "joined by '&'"
            )
        if key == "label" and not value:
            raise ValueError(f"'{name}': the label is empty: give one, 'label=mine', or leave the option out")
        if key == "normalize" and value not in _NORMALIZE:
            raise ValueError(
                f"'{name}': normalize is 'none', 'imagenet' or 'imagenet255', not '{value}'"
                f"{did_you_mean(value, _NORMALIZE)}"
            )
        if key in ("input_size", "num_classes") and not (value.isdecimal() and int(value) > 0):
            raise ValueError(f"'{name}': {key} must be a positive whole number, got '{value}'")
        options[key] = value
    return head, options


def with_options(spec: NetworkSpec, options: Mapping[str, str]) -> NetworkSpec:
    if "normalize" in options:
        mean, std = _NORMALIZE[options["normalize"]]
        spec = replace(spec, mean=mean, std=std)
    sizes: dict[str, Any] = {key: int(options[key]) for key in ("input_size", "num_classes") if key in options}
    return replace(spec, **sizes)
