"""Networks by name. A network's name fixes its input size and normalisation.

A name is ``network`` or ``network@file``, followed by ``?option=value&option=value`` if there are options:

========================================  ===================================================================
``efficientnet_lite0`` (``1``, ``2``)     ImageNet weights that come with pip packages
``efficientnet_lite0@weights.pth``        the same architecture and preprocessing, a local state dict
``small_resnet``, ``small_resnet@file``   a small network for ``train.py``, random or a local state dict
``torchvision/resnet50``                  torchvision's network; its default weights are downloaded
``torchvision/resnet50@weights.pth``      the same architecture and preprocessing, a local state dict
``timm/resnet18.a1_in1k``, ``…@file``     the same for timm, where it is installed
``open_clip/ViT-B-32``, ``…@file``        CLIP by the names of the ImageNet classes, where open_clip is installed
``package.module:callable``               your callable: no arguments, returns an nn.Module, images to logits
a name given to `register_network`        the same for a callable that you have
========================================  ===================================================================

Options, for every kind of name:

- ``normalize=none`` (images go in as they are, in [0, 1]), ``normalize=imagenet``, or ``normalize=imagenet255``
  (values of 0 to 255 minus the mean, for weights that were trained that way; fed otherwise, such a network raises no
  error, but its scores are almost uniform);
- ``input_size`` in pixels, ``num_classes``;
- ``label``, what tables and figures call it;
- ``weights``, for torchvision and open_clip: another set of weights, with the preprocessing that belongs to it.

A network in the paper's protocol is ``torchvision/resnet50?normalize=none&weights=IMAGENET1K_V1``.
"""

from lightning_semrob.networks.classifier import IMAGENET_MEAN, IMAGENET_STD, Classifier, NetworkSpec
from lightning_semrob.networks.labels import network_labels
from lightning_semrob.networks.registry import available_networks, build_network, network_spec, register_network
from lightning_semrob.networks.trainable import build_trainable, with_weights

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Classifier",
    "NetworkSpec",
    "available_networks",
    "build_network",
    "build_trainable",
    "network_labels",
    "network_spec",
    "register_network",
    "with_weights",
]
