"""Photographs of the training classes, beside the rendered views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from lightning_semrob.shapes.classes import class_of_folder


class RealImages(Dataset[tuple[Tensor, int]]):
    """Photographs of the training classes.

    Args:
        source: a folder ``class/*.jpg`` (class names as in the class table), or a dataset of (picture, label) with an
            attribute ``classes``, such as torchvision's; pictures are PIL images or tensors in [0, 1].
        classes: the training classes, in order; pictures of others are left out.
        image_size: pictures are resized to squares of this side, pixels.

    Raises:
        ValueError: no folder, or no picture of any training class.
    """

    def __init__(self, source: str | Path | Dataset[Any], classes: Sequence[str], image_size: int) -> None:
        from torchvision.datasets import ImageFolder

        if isinstance(source, str | Path):
            source = Path(source).expanduser()
            if not source.is_dir():
                raise ValueError(f"there is no folder '{source}': real images are expected as class/picture.jpg")
        images: Any = ImageFolder(str(source), allow_empty=True) if isinstance(source, Path) else source
        self.source = images
        self.image_size = image_size
        names = [_class_name(name) for name in getattr(images, "classes", classes)]
        index = [classes.index(name) if name in classes else -1 for name in names]
        labels = getattr(images, "targets", None)
        if labels is None:
            labels = [int(images[k][1]) for k in range(len(images))]
        self.items = [(k, index[int(label)]) for k, label in enumerate(labels) if index[int(label)] >= 0]
        if not self.items:
            raise ValueError(f"no real image is of a training class: the images have {names}, trained are {classes}")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        from torchvision.transforms import functional as transforms

        position, label = self.items[item]
        picture = self.source[position][0]
        if not isinstance(picture, Tensor):
            picture = transforms.pil_to_tensor(picture.convert("RGB")).float() / 255
        size = [self.image_size, self.image_size]
        return transforms.resize(picture.float(), size, antialias=True), label


def _class_name(folder: str) -> str:
    try:
        return class_of_folder(folder)
    except ValueError:
        return folder
