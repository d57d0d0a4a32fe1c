"""Networks to be trained, and the names under which they are evaluated afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from lightning_semrob.networks.classifier import Classifier
from lightning_semrob.networks.options import split_name
from lightning_semrob.networks.registry import build_network
from lightning_semrob.networks.sources import LITE_SIZES, SMALL
from lightning_semrob.networks.state_dict import replace_head


def build_trainable(name: str, num_classes: int) -> Classifier:
    """The network of a name for training: every parameter needs a gradient, the head has ``num_classes`` outputs.

    If the named network has another number of outputs, its last layer is replaced by a random one; all other layers
    keep their weights. Random weights follow torch's random generator, whose state is the same afterwards.

    Raises:
        ValueError: as :func:`build_network`; for a network whose last layer was not found, or whose trained state dict
            ``evaluate.py`` could not name.
    """
    with_weights(name, "weights.pth", num_classes)  # raises for a name that cannot carry a state dict
    head, options = split_name(name)
    if head == SMALL:
        tail = "&".join(f"{key}={value}" for key, value in (options | {"num_classes": str(num_classes)}).items())
        return build_network(f"{head}?{tail}", frozen=False)
    classifier = build_network(name, frozen=False)
    spec = classifier.spec
    if spec.num_classes != num_classes:
        with torch.random.fork_rng(devices=[]):
            replace_head(classifier.backbone, name, spec.num_classes, num_classes)
    return Classifier(replace(spec, num_classes=num_classes), classifier.backbone, frozen=False)


def with_weights(name: str, file: str | Path, num_classes: int) -> str:
    """The name under which a network trained as ``name`` is evaluated: its architecture with the state dict ``file``.

    Raises:
        ValueError: for a callable or a registered network, which have no place for a state dict.
    """
    head, options = split_name(name)
    base = head.partition("@")[0]
    if base not in (*LITE_SIZES, SMALL) and base.partition("/")[0] not in ("torchvision", "timm"):
        raise ValueError(
            f"'{name}' cannot be trained here, since a callable takes no state dict: train a network of torchvision "
            f"('torchvision/resnet18'), of timm, or one of {[*LITE_SIZES, SMALL]}"
        )
    kept = {key: value for key, value in options.items() if key != "weights"} | {"num_classes": str(num_classes)}
    return f"{base}@{file}?" + "&".join(f"{key}={value}" for key, value in kept.items())
