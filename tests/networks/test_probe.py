"""Networks that are not functions of one image are refused before any work."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_semrob.networks import Classifier, NetworkSpec, build_network
from lightning_semrob.networks.probe import probe_network


class Base(nn.Module):
    """Ten logits, linear in the mean colours of the four quarters of a picture."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("weight", torch.randn(12, 10, generator=generator))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images, 2).flatten(1) @ self.weight


class Probabilities(Base):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).softmax(-1)


class LogProbabilities(Base):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).log_softmax(-1)


class BatchStatistics(Base):
    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return logits - logits.mean(0)


class FirstOfBatch(Base):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + images[:1].mean()


class Dropout(Base):
    def forward(self, images: Tensor) -> Tensor:
        return F.dropout(super().forward(images), 0.5, training=True)


class Stateful(Base):
    def forward(self, images: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return super().forward(images) * self.calls


class QuietlyStateful(Base):
    """Its scores have not changed yet."""

    def forward(self, images: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return super().forward(images)


class Broken(Base):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * torch.nan


def classifier_of(backbone: nn.Module) -> Classifier:
    return Classifier(NetworkSpec("odd", lambda: backbone, 16, num_classes=10), backbone)


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        (Probabilities, "returns probabilities.*leave out its last softmax"),
        (BatchStatistics, "depend on the other pictures of its batch"),
        (FirstOfBatch, "depend on the other pictures of its batch"),
        (Dropout, "asked again"),
        (Stateful, "asked again"),
        (QuietlyStateful, "changes its own buffers"),
    ],
)
def test_refused_by_name(backbone: type[nn.Module], words: str, pictures: Tensor) -> None:
    with pytest.raises(ValueError, match=f"network 'odd'.*{words}|that network 'odd'.*{words}"):
        probe_network(classifier_of(backbone()), pictures)


@pytest.mark.parametrize("backbone", [Base, LogProbabilities])
def test_functions_of_one_image_pass_and_are_counted(backbone: type[nn.Module], pictures: Tensor) -> None:
    assert probe_network(classifier_of(backbone()), pictures) == 16


def test_scores_that_are_not_finite_are_left_to_the_runs(pictures: Tensor) -> None:
    assert probe_network(classifier_of(Broken()), pictures) == 4


def test_a_real_network_passes(pictures: Tensor) -> None:
    assert probe_network(build_network("small_resnet"), pictures) == 16
