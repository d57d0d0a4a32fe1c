"""State dicts from files: read without executing code from them, and loaded only if they fit."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_semrob.utilities.messages import did_you_mean, require


def existing_file(file: str, name: str) -> Path:
    path = Path(file).expanduser()
    if not path.is_file():
        folder = path.parent
        if not folder.is_dir():
            raise FileNotFoundError(f"'{name}': there is no folder {folder.absolute()}")
        near = did_you_mean(path.name, os.listdir(folder))
        raise FileNotFoundError(f"'{name}': there is no file {path.absolute()}{near}")
    return path


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """A state dict of ``path`` (torch.save's format, or safetensors), read without executing code from it."""
    safe = require("safetensors.torch", f"the file {path}", "safetensors") if path.suffix == ".safetensors" else None
    try:
        state = safe.load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever a broken or hostile file makes of the reader
        raise ValueError(
            f"{path} was refused: it is not a file of tensors alone ({_reason(error)}); "
            "save a state dict, torch.save(network.state_dict(), path)"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        holds = f"a dictionary of {sorted(map(str, state))[:8]}" if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"{path} holds {holds}, not tensors by name: save the network's state_dict() by itself")
    return state


def _reason(error: Exception) -> str:
    """What is wrong with a file, without the advice of torch's messages to read it unsafely."""
    text = " ".join(str(error).split())
    named = re.search(r"GLOBAL (\S+)", text)
    if named:
        return f"it names {named[1]}"
    text = re.sub(r"^Weights only load failed.*?(WeightsUnpickler error: |$)", "", text)
    return re.split(r"(?<=\w)[.;] ", re.sub(r" ?Check the documentation.*", "", text))[0] or type(error).__name__


def load_state(network: nn.Module, state: Mapping[str, Tensor], name: str, source: str) -> nn.Module:
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


def replace_head(backbone: nn.Module, name: str, old: int, new: int) -> None:
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
