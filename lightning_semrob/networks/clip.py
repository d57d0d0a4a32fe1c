"""CLIP as an ImageNet classifier without training: the class whose name fits the picture best.

Uses open_clip (the extra ``clip``), which brings architectures, weights by tag, tokenizers and the class names; the
registry of :mod:`lightning_semrob.networks` names such a network ``open_clip/ViT-B-32``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_semrob.utilities.messages import did_you_mean, require

NUM_CLASSES = 1000
PROMPTS = ("a photo of a {}.",)
"""The sentences whose embeddings are averaged for each class. CLIP's authors add up to 79 others to this one, which
raises accuracy by a few points and takes 80 times as long to build."""


def open_clip() -> Any:
    """The library; raises ImportError where it is not installed."""
    return require("open_clip", "a network 'open_clip/…'", "open_clip_torch")


@dataclass(frozen=True)
class ClipWeights:
    """What belongs to the weights ``tag`` of a model (None for a file's): how they are fed, and their activation.

    ``input_size`` is in pixels; ``mean`` and ``std`` are of images in [0, 1]; ``quick_gelu`` says whether the towers
    use ``x * sigmoid(1.702 x)`` as GELU, which OpenAI's weights need.
    """

    tag: str | None
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    quick_gelu: bool


def clip_weights(model: str, tag: str | None, from_file: bool) -> ClipWeights:
    """How to feed a model of open_clip with a tag, its first one if None; neither builds it nor fetches its weights.

    Raises:
        ValueError: for an unknown model or tag, with the nearest known one; for a model without weights, unless they
        come
            ``from_file``.
        ImportError: open_clip is not installed.
    """
    library = open_clip()
    known = library.list_models()
    if model not in known:
        raise ValueError(f"open_clip has no model '{model}'{did_you_mean(model, known)}")
    tags = library.list_pretrained_tags_by_model(model)
    if tag is not None and tag not in tags:
        raise ValueError(f"open_clip has no weights '{tag}' for {model}{did_you_mean(tag, tags)}; it has {tags}")
    if not tags and not from_file:
        raise ValueError(f"open_clip has no weights for '{model}': give a file, 'open_clip/{model}@path/to/file.pt'")
    chosen = tag if tag is not None or from_file else tags[0]
    config = library.get_model_config(model)
    extra = library.get_pretrained_cfg(model, chosen) if chosen is not None else {}
    size = config["vision_cfg"]["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise ValueError(f"open_clip's {model} takes inputs of {height} x {width}: only square ones are supported")
    mean = extra.get("mean", library.OPENAI_DATASET_MEAN)
    std = extra.get("std", library.OPENAI_DATASET_STD)
    quick = bool(config.get("quick_gelu", False) or extra.get("quick_gelu", False))
    return ClipWeights(chosen, height, tuple(mean), tuple(std), quick)


class ZeroShotClassifier(nn.Module):
    """Logits are the scaled cosine similarities of a picture with the name of each class.

    The model has ``encode_image`` and ``logit_scale``. The embeddings (E, classes), columns of length 1, are part of
    the state dict, so that the SHA-256 of the weights covers names and prompts.
    """

    class_embeddings: Tensor

    def __init__(self, model: nn.Module, class_embeddings: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("class_embeddings", class_embeddings)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, 3, H, W)."""
        model: Any = self.model
        features: Tensor = model.encode_image(images, normalize=True)
        logits: Tensor = model.logit_scale.exp() * features @ self.class_embeddings
        return logits


def build_zero_shot(
    name: str, model: str, weights: ClipWeights, load: Callable[[nn.Module], nn.Module] | None = None
) -> ZeroShotClassifier:
    """A model of open_clip with the embeddings of the 1000 ImageNet classes.

    ``load`` puts a state dict into the model; None for open_clip's own weights, which are downloaded, or OSError.
    """
    library = open_clip()
    try:
        made: nn.Module = library.create_model(
            model,
            pretrained=weights.tag if load is None else None,
            pretrained_text=False,
            force_quick_gelu=weights.quick_gelu,
            force_image_size=weights.input_size,
        )
        tokenizer = library.get_tokenizer(model)
    except (OSError, RuntimeError, ImportError) as error:
        raise OSError(
            f"open_clip could not load '{name}' ({type(error).__name__}: {error}): where its weights cannot be "
            f"downloaded, give a local state dict, 'open_clip/{model}@path/to/open_clip_model.safetensors'"
        ) from error
    made = (made if load is None else load(made)).eval()
    with torch.no_grad():
        embeddings: Tensor = library.build_zero_shot_classifier(made, tokenizer, library.IMAGENET_CLASSNAMES, PROMPTS)
    return ZeroShotClassifier(made, embeddings)
