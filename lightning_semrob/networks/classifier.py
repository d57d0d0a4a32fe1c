"""A network and how to feed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_semrob.utilities.digest import tensors_sha256

Triple = tuple[float, float, float]
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
ZERO: Triple = (0.0, 0.0, 0.0)
ONE: Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class NetworkSpec:
    """A network and how to feed it.

    Args:
        name: the name that :func:`network_spec` resolves to this.
        build: returns the network, weights loaded: normalised (B, 3, input_size, input_size) images to logits.
        input_size: side of the square input, pixels.
        mean: subtracted from each channel of images in [0, 1].
        std: each channel is divided by it afterwards.
        num_classes: number of logits.
        exportable: whether ``data.runtime=auto`` may replace torch by another runtime; False for Python code of the
            user's, which may do what a graph cannot.

    Raises:
        ValueError: for a value outside its range.
    """

    name: str
    build: Callable[[], nn.Module]
    input_size: int = 224
    mean: Triple = ZERO
    std: Triple = ONE
    num_classes: int = 1000
    exportable: bool = True

    def __post_init__(self) -> None:
        if self.input_size < 1 or self.num_classes < 1:
            raise ValueError(
                f"network '{self.name}' has input_size {self.input_size} and num_classes {self.num_classes}: "
                "give positive whole numbers"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"network '{self.name}' has mean {self.mean} and std {self.std}: give three numbers each (red, green, "
                "blue) in the scale of images in [0, 1], std above 0"
            )


class Classifier(nn.Module):
    """A network that takes images in [0, 1] of any size.

    Resizes to the network's input size (antialiased bilinear; nothing when the size is right), normalises, and
    calls the backbone in channels_last layout. Gradients reach the images.

    Args:
        spec: how to feed the backbone.
        backbone: normalised images to (B, num_classes) logits.
        frozen: parameters need no gradient, and the network stays in evaluation mode even if a module that contains
            it is put in training mode. False to train it.
        channels_last: memory layout of weights and images; it changes speed, and logits by rounding only.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, spec: NetworkSpec, backbone: nn.Module, *, frozen: bool = True, channels_last: bool = True
    ) -> None:
        super().__init__()
        self.spec = spec
        self.frozen = frozen
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.backbone = backbone.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)
        if frozen:
            self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Classifier:
        """Set training mode; a frozen network stays in evaluation mode."""
        super().train(mode and not self.frozen)
        return self

    def normalise(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1], resized to the network's input size and normalised."""
        if images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be (B, 3, H, W), red, green and blue, got {tuple(images.shape)}")
        if images.dtype != self.mean.dtype:
            raise ValueError(
                f"images must be {self.mean.dtype} in [0, 1], got {images.dtype}; of 8-bit images give images / 255"
            )
        size = (self.spec.input_size, self.spec.input_size)
        if images.shape[2:] != size:
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        return (images - self.mean) / self.std

    def preprocess(self, images: Tensor) -> Tensor:
        """What the backbone is fed: normalised images in its memory layout."""
        return self.normalise(images).contiguous(memory_format=self.memory_format)

    def _logits(self, images: Tensor) -> Any:
        """What the backbone returns for images."""
        return self.backbone(self.preprocess(images))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images.

        Args:
            images: (B, 3, H, W) float32 in [0, 1], RGB; B may be 0.

        Returns:
            (B, num_classes) float32.

        Raises:
            ValueError: for another shape or dtype, of the images or of what the network returns.
        """
        if images.dim() == 4 and images.shape[0] == 0:
            return images.sum((1, 2, 3))[:, None].expand(0, self.spec.num_classes)
        logits = self._logits(images)
        expected = (images.shape[0], self.spec.num_classes)
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"network '{self.spec.name}' returned {got} where {expected} logits were expected: let it return one "
                "tensor of logits, and give its number of classes as num_classes"
            )
        return logits

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the backbone's state dict, computed at each access; the same on every device, in every layout."""
        return tensors_sha256(sorted(self.backbone.state_dict().items()))

    def extra_repr(self) -> str:
        return f"{self.spec.name!r}, input_size={self.spec.input_size}, frozen={self.frozen}"
