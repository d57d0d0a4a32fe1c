"""Folding batch normalisation keeps the function, and leaves alone what it cannot keep."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lightning_semrob.networks.folding import fold_batch_norms


def normalised(*layers: nn.Module) -> nn.Sequential:
    """Layers with statistics that are not those of a new normalisation."""
    network = nn.Sequential(*layers).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                if tensor is not None:
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network


def count(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


EXAMPLE = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_value_and_gradient_stay() -> None:
    network = normalised(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 1),
        nn.BatchNorm2d(5, affine=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    before = copy.deepcopy(network.state_dict())
    folded = fold_batch_norms(network, EXAMPLE)
    assert count(folded) == 0
    assert count(network) == 2
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
    gradients = []
    for made in (network, folded):
        images = EXAMPLE.clone().requires_grad_(True)
        gradients.append(torch.autograd.grad(made(images).square().sum(), images)[0])
    torch.testing.assert_close(folded(EXAMPLE), network(EXAMPLE), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_a_normalisation_without_convolution_before_it_stays() -> None:
    network = normalised(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1), nn.ReLU(), nn.BatchNorm2d(2), nn.Flatten())
    assert fold_batch_norms(network, EXAMPLE) is network


def test_a_convolution_that_is_called_twice_stays() -> None:
    convolution = nn.Conv2d(3, 3, 1)
    network = normalised(convolution, nn.BatchNorm2d(3), nn.ReLU(), convolution, nn.Flatten())
    assert fold_batch_norms(network, EXAMPLE) is network


def test_a_tensor_that_is_looked_at_twice_is_noticed() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = normalised(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

        def forward(self, images: Tensor) -> Tensor:
            made = self.parts[0](images)
            return (made + self.parts[1](made)).flatten(1)

    network = Twice().eval()
    assert fold_batch_norms(network, EXAMPLE) is network


def test_without_normalisation_the_network_is_returned() -> None:
    network = normalised(nn.Conv2d(3, 3, 1), nn.Flatten())
    assert fold_batch_norms(network, EXAMPLE) is network
