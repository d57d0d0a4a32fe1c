"""Your own network in evaluate.py: a callable that returns an nn.Module from pictures in [0, 1] to logits.

PYTHONPATH=examples python evaluate.py --data.networks='[my_network:build]'
"""

import torch
from torch import Tensor, nn


class BrightnessNetwork(nn.Module):
    """Stands for yours: 1,000 ImageNet logits from the mean colour of the picture."""

    input_size = 64

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1000)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, 64, 64) to logits (B, 1000)."""
        logits: Tensor = self.layer(images.mean((-2, -1)))
        return logits


def build() -> nn.Module:
    """What the name ``my_network:build`` calls."""
    return BrightnessNetwork()
