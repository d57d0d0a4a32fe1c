"""Is a network a function of one image? Asked before any work, since every statement about f rests on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_semrob.networks.classifier import Classifier

#: Change of a logit, as a share of the largest, that rounding explains (batches of another size, TF32).
_ROUNDING = 1e-3


@torch.no_grad()
def probe_network(classifier: nn.Module, pictures: Tensor) -> int:
    """Refuse a network whose scores are not a function of the picture alone; returns how many pictures it was shown.

    The network is shown the pictures (B, 3, H, W) in [0, 1], which differ, together, together again, in reverse order,
    and one by one. Each time it must give a picture the same logits, up to rounding, and it must not change its buffers
    and parameters. A network that returns probabilities is refused too: the softmax of probabilities is nearly uniform.

    Raises:
        ValueError: the network fails; the message says what it does and how to mend it.
    """
    name = classifier.spec.name if isinstance(classifier, Classifier) else type(classifier).__name__
    before = _state(classifier)
    together = classifier(pictures)
    if not bool(together.isfinite().all()):
        return len(pictures)  # the runs say so, each for itself
    again, reverse = classifier(pictures), classifier(pictures.flip(0)).flip(0)
    alone = torch.cat([classifier(picture[None]) for picture in pictures])
    scale = together.abs().max()
    if _differ(together, again, scale):
        raise ValueError(
            f"network '{name}' gives other scores when it is asked again about the same pictures: it draws random "
            "numbers (functional dropout?) or keeps state; make it deterministic in evaluation mode"
        )
    if _differ(together, reverse, scale) or _differ(together, alone, scale):
        raise ValueError(
            f"the scores that network '{name}' gives to a picture depend on the other pictures of its batch: it must "
            "be a function of one picture (batch statistics in evaluation mode?)"
        )
    if _state(classifier) != before:
        raise ValueError(
            f"network '{name}' changes its own buffers or parameters when it is evaluated: it must keep no state in "
            "evaluation mode"
        )
    if bool((together >= 0).all()) and bool(((together.sum(-1) - 1).abs() < 1e-3).all()):
        raise ValueError(
            f"network '{name}' returns probabilities (its outputs are at least 0 and add up to 1), and logits are "
            "needed: leave out its last softmax, or return the logarithm of the probabilities"
        )
    return 4 * len(pictures)


def probe_in_words(pictures: int) -> str:
    """What a command says of the pictures that its networks were shown before the work."""
    return f"{pictures} pictures before the work: every network is a function of one picture"


def _differ(first: Tensor, second: Tensor, scale: Tensor) -> bool:
    return not bool(((first - second).abs().max() <= _ROUNDING * scale).item())


def _state(classifier: nn.Module) -> list[tuple[str, int, int]]:
    """A value that changes when a buffer or parameter is replaced or written to."""
    network = classifier.backbone if isinstance(classifier, Classifier) else classifier
    return [(name, id(value), value._version) for name, value in network.state_dict(keep_vars=True).items()]
