"""A network for tests: 1000 classes, cheap, and smooth in the picture."""

from __future__ import annotations

import os
import time

import torch
from torch import Tensor, nn

#: Ink at which the score is about one half, by class: between the emptiest and the fullest view of the shape.
OFFSETS = {849: 0.035, 543: 0.078}


class InkNetwork(nn.Module):
    """Gives the teapot and the dumbbell a logit that grows with the share of ink in the weighted picture."""

    input_size = 32

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        weight = torch.linspace(0.4, 1.6, 32)
        self.register_buffer("weight", weight[:, None] * weight[None, :])

    def forward(self, images: Tensor) -> Tensor:
        ink = ((1 - images).mean(1) * self.weight).mean((-2, -1))
        logits = images.new_zeros(len(images), 1000)
        for index, offset in OFFSETS.items():
            logits[:, index] = 7.0 + 600.0 * (ink - self.factor * offset)
        return logits


def build() -> nn.Module:
    """One network."""
    return InkNetwork()


def build_other() -> nn.Module:
    """Another network."""
    return InkNetwork(factor=1.05)


def build_slow() -> nn.Module:
    """The first one, taking its time: long enough to be interrupted."""

    class Slow(InkNetwork):
        def forward(self, images: Tensor) -> Tensor:
            time.sleep(0.03)
            return super().forward(images)

    return Slow()


def build_failing() -> nn.Module:
    """A network that fails on every process but the first."""

    class Failing(InkNetwork):
        def forward(self, images: Tensor) -> Tensor:
            if os.environ.get("LOCAL_RANK", "0") != "0":
                raise RuntimeError("this network fails here")
            return super().forward(images)

    return Failing()


def build_nan() -> nn.Module:
    """A network whose scores are NaN."""

    class Broken(InkNetwork):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) * torch.nan

    return Broken()


def build_dropout() -> nn.Module:
    """A network that draws random numbers whenever it is asked."""

    class Dropout(InkNetwork):
        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.dropout(super().forward(images), 0.5, training=True)

    return Dropout()


def build_probabilities() -> nn.Module:
    """A network that ends with its softmax."""

    class Probabilities(InkNetwork):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).softmax(-1)

    return Probabilities()
