"""Short names of networks for tables and figures; records keep the whole name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def network_labels(names: Sequence[str]) -> list[str]:
    """A short label for each network, different for different networks.

    The label is the option ``label`` of a name, otherwise its architecture. If two networks would have the same label,
    the name of the weights' file is added, then the options; the whole name comes last.

    Examples:
        >>> network_labels(["torchvision/resnet50@runs/a.pth", "torchvision/resnet50@runs/b.pth?input_size=64"])
        ['resnet50@a', 'resnet50@b']
        >>> network_labels(["torchvision/resnet50@runs/a.pth?label=mine", "efficientnet_lite0"])
        ['mine', 'efficientnet_lite0']
    """
    different = list(dict.fromkeys(names))
    forms = {name: _forms(name) for name in different}
    chosen = dict.fromkeys(different, 0)
    while True:
        labels = {name: forms[name][chosen[name]] for name in different}
        counts = Counter(labels.values())
        again = [name for name in different if counts[labels[name]] > 1 and chosen[name] < len(forms[name]) - 1]
        if not again:
            return [labels[name] for name in names]
        for name in again:
            chosen[name] += 1


def labels_by_name(names: Sequence[str]) -> dict[str, str]:
    """Name of each network -> its label."""
    return dict(zip(names, network_labels(names), strict=True))


def _forms(name: str) -> list[str]:
    """Possible labels of a network, from the shortest to the whole name."""
    head, _, options = name.partition("?")
    base, at, file = head.partition("@")
    given = [item.partition("=")[2] for item in options.split("&") if item.startswith("label=")]
    short = base.rpartition("/")[2]
    weights = f"{short}@{Path(file).stem}" if at else short
    return list(dict.fromkeys([*given, short, weights, f"{weights}?{options}" if options else weights, name]))
