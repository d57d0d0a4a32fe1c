"""Networks that are not functions of one image are refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_network import InkNetwork
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_semrob.commands import console
from lightning_semrob.commands.explore import application
from lightning_semrob.functions import RenderedFunction
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


def test_a_function_of_a_module_or_a_name_is_probed() -> None:
    with pytest.raises(ValueError, match="network 'Dropout' gives other scores when it is asked again"):
        RenderedFunction.of("teapot", Dropout(), image_size=16)
    with pytest.raises(ValueError, match=r"network 'tests\.tiny_network:build_probabilities' returns probabilities"):
        RenderedFunction.of("teapot", "tests.tiny_network:build_probabilities", image_size=32)
    f = RenderedFunction.of("teapot", InkNetwork(), image_size=32)
    assert (f.probe_pictures, f.evaluations) == (16, 0)


def test_every_command_that_asks_a_network_says_how_many_pictures_it_was_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "16 pictures before the work: every network is a function of one picture"
    data = ["--data.networks=[tiny_network:build]", "--data.shapes=[teapot]", "--data.image_size=32"]
    console.main(["maps", *data, "--maps.steps=[3,2]", "--accelerator=cpu", f"--output={tmp_path / 'maps.nc'}"])
    assert capsys.readouterr().out.count(said) == 1
    application(["--network=tiny_network:build", "--image_size=32", "--steps=[3,2]", "--evaluations=4"])
    assert capsys.readouterr().out.count(said) == 1
    audit = ["--network=tiny_network:build", "--shapes", "teapot", "--views=1", "--points=3", "--image_size=32"]
    console.main(["audit", *audit])
    assert capsys.readouterr().out.count(said) == 1


def test_a_real_network_passes(pictures: Tensor) -> None:
    assert probe_network(build_network("small_resnet"), pictures) == 16
