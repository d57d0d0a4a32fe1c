"""A small residual network for pictures of 32 to 96 pixels, to be trained from scratch on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al., arXiv:1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x)).relu()
        result: Tensor = (self.norm2(self.conv2(y)) + self.shortcut(x)).relu()
        return result


class SmallResNet(nn.Module):
    """A stem of stride 2, one residual block a stage (all but the first with stride 2), global mean, a linear head.

    Args:
        num_classes: number of logits.
        widths: channels of the stages; 310,000 parameters with the default.
    """

    def __init__(self, num_classes: int, widths: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        inputs = [widths[0], *widths[:-1]]
        self.stages = nn.Sequential(
            *[_Block(i, o, 1 if k == 0 else 2) for k, (i, o) in enumerate(zip(inputs, widths, strict=True))]
        )
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) of images (B, 3, H, W)."""
        logits: Tensor = self.head(self.stages(self.stem(images)).mean((2, 3)))
        return logits
