"""Batch normalisation folded into the convolutions before it: the same function in evaluation mode, with less work."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

#: Largest change of a logit, as a share of the largest logit of an example, that rounding explains.
_ROUNDING = 1e-3


def fold_batch_norms(network: nn.Module, example: Tensor) -> nn.Module:
    """A copy in which ``BatchNorm2d(Conv2d(x))`` is one convolution; ``network`` itself if nothing can be folded.

    Pairs are found by running an example (B, C, H, W) through the network, which is in evaluation mode: the tensor that
    enters a normalisation is the one that left a convolution. The copy is used only if it gives the logits of the
    original on the example, up to rounding. So a network that uses such a tensor twice is left as it is.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    folded = copy.deepcopy(network)
    pairs = _pairs(folded, example)
    for convolution, normalisation in pairs:
        _fold(convolution, normalisation)
    replaced = {id(normalisation) for _, normalisation in pairs}
    for parent in folded.modules():
        for name, child in parent.named_children():
            if id(child) in replaced:
                setattr(parent, name, nn.Identity())
    with torch.no_grad():
        expected, found = network(example), folded(example)
    same = bool(((found - expected).abs().max() <= _ROUNDING * expected.abs().max()).item())
    return folded if pairs and same else network


@torch.no_grad()
def _pairs(network: nn.Module, example: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Pairs of a convolution and the normalisation that gets its result, each of which is called once."""
    calls: dict[nn.Module, int] = {}
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # holds the tensors, so that no address is used twice
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.BatchNorm2d):
            if id(inputs[0]) in made:
                pairs.append((made[id(inputs[0])][0], module))
        elif isinstance(module, nn.Conv2d):
            made[id(output)] = (module, output)

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    hooks = [module.register_forward_hook(after) for module in network.modules() if isinstance(module, kinds)]
    network(example)
    for hook in hooks:
        hook.remove()
    return [(c, n) for c, n in pairs if calls[c] == calls[n] == 1 and n.running_mean is not None]


def _fold(convolution: nn.Conv2d, normalisation: nn.BatchNorm2d) -> None:
    mean, variance = normalisation.running_mean, normalisation.running_var
    assert mean is not None
    assert variance is not None
    weight, bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, mean, variance, normalisation.eps, normalisation.weight,
        normalisation.bias,
    )  # fmt: skip
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    convolution.bias = nn.Parameter(bias, requires_grad=False)
