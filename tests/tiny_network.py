"""A network for tests: 1000 classes, cheap, and smooth in the picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InkNetwork(nn.Module):
    """Gives every class of ``classes`` a logit that grows with the share of ink in the weighted picture."""

    input_size = 32

    def __init__(self, classes: tuple[int, ...] = (849, 543), offset: float = 0.2) -> None:
        super().__init__()
        self.classes = classes
        self.offset = offset
        weight = torch.linspace(0.4, 1.6, 32)
        self.register_buffer("weight", weight[:, None] * weight[None, :])

    def forward(self, images: Tensor) -> Tensor:
        ink = ((1 - images).mean(1) * self.weight).mean((-2, -1))
        logits = torch.zeros(len(images), 1000, dtype=images.dtype)
        for number, index in enumerate(self.classes):
            logits[:, index] = 7.0 + (40.0 + 10.0 * number) * (ink - self.offset)
        return logits


def build() -> nn.Module:
    """One network."""
    return InkNetwork()


def build_other() -> nn.Module:
    """Another network."""
    return InkNetwork(offset=0.25)


def build_nan() -> nn.Module:
    """A network whose scores are NaN."""

    class Broken(InkNetwork):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) * torch.nan

    return Broken()
