"""CLIP by the names of the ImageNet classes. Nothing is downloaded: the library is faked, and where open_clip is
installed a small model of it with random weights goes through the same seam."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_semrob.networks import build_network, network_spec
from lightning_semrob.networks.clip import ZeroShotClassifier, clip_weights
from lightning_semrob.space import SemanticSpace

NAMES = [f"thing {k}" for k in range(1000)]


class TwoTowers(nn.Module):
    """Pictures and sentences to three numbers: the colour, and a colour for each number in a name."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.scale_in = nn.Parameter(torch.ones(3))
        self.logit_scale = nn.Parameter(torch.tensor(3.0))

    def encode_image(self, images: Tensor, normalize: bool = False) -> Tensor:
        assert images.shape[1:] == (3, self.image_size, self.image_size)
        features = images.mean((2, 3)) * self.scale_in
        return nn.functional.normalize(features, dim=-1) if normalize else features

    def encode_text(self, numbers: Tensor, normalize: bool = False) -> Tensor:
        assert not self.training
        features = torch.stack([numbers, numbers.square(), torch.ones_like(numbers)], -1).sin()
        return nn.functional.normalize(features, dim=-1) if normalize else features


class FakeLibrary(SimpleNamespace):
    """What open_clip offers, as far as it is used."""

    IMAGENET_CLASSNAMES = NAMES
    OPENAI_DATASET_MEAN, OPENAI_DATASET_STD = (0.4, 0.5, 0.6), (0.2, 0.2, 0.2)
    created: dict[str, Any]

    def list_models(self) -> list[str]:
        return ["ViT-tiny", "ViT-bare", "ViT-wide"]

    def list_pretrained_tags_by_model(self, model: str) -> list[str]:
        return ["openai", "laion"] if model == "ViT-tiny" else []

    def get_pretrained_cfg(self, model: str, tag: str) -> dict[str, Any]:
        return {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.5, 0.5), "quick_gelu": tag == "openai"}

    def get_model_config(self, model: str) -> dict[str, Any]:
        return {"vision_cfg": {"image_size": (16, 32) if model == "ViT-wide" else 16}}

    def create_model(self, model: str, **arguments: Any) -> nn.Module:
        if arguments["pretrained"] == "laion":
            raise OSError("no connection")
        self.created = {"model": model} | arguments
        return TwoTowers(arguments["force_image_size"])

    def get_tokenizer(self, model: str) -> Any:
        return lambda texts: torch.tensor([float(text.split()[-1].strip(".")) for text in texts])

    def build_zero_shot_classifier(
        self, model: Any, tokenizer: Any, classnames: Sequence[str], templates: Sequence[str]
    ) -> Tensor:
        assert templates == ("a photo of a {}.",)
        embeddings: Tensor = model.encode_text(tokenizer([templates[0].format(name) for name in classnames]), True)
        return embeddings.T


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    fake = FakeLibrary()
    monkeypatch.setitem(sys.modules, "open_clip", fake)
    return fake


def images(count: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_logits_are_scaled_similarities(library: FakeLibrary) -> None:
    network = build_network("open_clip/ViT-tiny")
    assert library.created["pretrained"] == "openai"
    assert library.created["force_quick_gelu"] is True
    x = images()
    logits = network(x)
    assert logits.shape == (3, 1000)
    colour = ((x - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / 0.5).mean((2, 3))
    number = torch.tensor([7.0, 49.0, 1.0]).sin()
    expected = torch.tensor(3.0).exp() * nn.functional.cosine_similarity(colour, number[None])
    torch.testing.assert_close(logits[:, 7], expected)
    leaf = x.clone().requires_grad_(True)
    network(leaf)[:, 7].sum().backward()
    assert leaf.grad is not None
    assert float(leaf.grad.abs().sum()) > 0


def test_the_hash_covers_the_names(library: FakeLibrary) -> None:
    first = build_network("open_clip/ViT-tiny").weights_sha256
    assert build_network("open_clip/ViT-tiny").weights_sha256 == first
    library.IMAGENET_CLASSNAMES = [*NAMES[1:], NAMES[0]]
    assert build_network("open_clip/ViT-tiny").weights_sha256 != first


def test_a_file_goes_into_the_architecture(library: FakeLibrary, tmp_path: Path) -> None:
    file = tmp_path / "bare.pt"
    state = TwoTowers(16).state_dict()
    torch.save(state | {"scale_in": torch.tensor([1.0, 2.0, 3.0])}, file)
    network = build_network(f"open_clip/ViT-bare@{file}?input_size=24")
    assert library.created["pretrained"] is None
    assert library.created["pretrained_text"] is False
    assert network.spec.input_size == 24
    assert network.spec.mean == (0.4, 0.5, 0.6)  # CLIP's own, where no tag says otherwise
    backbone = network.backbone
    assert isinstance(backbone, ZeroShotClassifier)
    assert backbone.model.scale_in.tolist() == [1.0, 2.0, 3.0]  # type: ignore[attr-defined]
    torch.save({"scale_in": torch.ones(2)}, file)
    with pytest.raises(ValueError, match=r"'scale_in' has the shape \(2,\) where \(3,\) is expected"):
        build_network(f"open_clip/ViT-bare@{file}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip/ViT-tyni", "no model 'ViT-tyni'; did you mean 'ViT-tiny'"),
        ("open_clip/ViT-tiny?weights=openia", "no weights 'openia' for ViT-tiny; did you mean 'openai'"),
        ("open_clip/ViT-bare", "no weights for 'ViT-bare': give a file"),
        ("open_clip/ViT-wide@{file}", "16 x 32: only square"),
        ("open_clip/ViT-tiny?num_classes=10", "1000 classes of ImageNet"),
        ("efficientnet_lite0?weights=openai", "networks of torchvision and open_clip"),
    ],
)
def test_mistakes_are_one_sentence(library: FakeLibrary, tmp_path: Path, name: str, message: str) -> None:
    file = tmp_path / "x.pt"
    file.touch()
    with pytest.raises(ValueError, match=message):
        network_spec(name.format(file=file))


def test_weights_that_cannot_be_had(library: FakeLibrary) -> None:
    with pytest.raises(OSError, match=r"could not load 'open_clip/ViT-tiny\?weights=laion'.*no connection.*@path"):
        build_network("open_clip/ViT-tiny?weights=laion")


def test_an_absent_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match="pip install open_clip_torch"):
        network_spec("open_clip/ViT-B-32")


@pytest.mark.slow
def test_open_clip_itself(tmp_path: Path) -> None:
    """A CLIP of the library with random weights, from its own file to f of a shape."""
    pytest.importorskip("open_clip", reason="open_clip is not installed: pip install open_clip_torch")
    import open_clip

    from lightning_semrob.functions import RenderedFunction
    from lightning_semrob.rendering.raster import Rasterizer
    from lightning_semrob.shapes import resolve_shapes

    spec = clip_weights("ViT-B-32", None, False)
    assert (spec.tag, spec.input_size, spec.quick_gelu) == ("openai", 224, True)
    assert not clip_weights("ViT-B-32", "laion2b_s34b_b79k", False).quick_gelu
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (tmp_path / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-clip")
    torch.save(model.state_dict(), tmp_path / "tiny.pt")
    network = build_network(f"open_clip/tiny-clip@{tmp_path / 'tiny.pt'}")
    assert network.spec.input_size == 32
    # The library's own way for one picture and two of the names.
    picture = images(1, 32)
    with torch.no_grad():
        texts = [f"a photo of a {open_clip.IMAGENET_CLASSNAMES[k]}." for k in (849, 703)]
        text = model.eval().encode_text(open_clip.get_tokenizer("tiny-clip")(texts), normalize=True)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (network.spec.mean, network.spec.std))
        image = model.encode_image((picture - mean) / std, normalize=True)
        expected = model.logit_scale.exp() * image @ text.T
        torch.testing.assert_close(network(picture)[:, [849, 703]], expected, atol=1e-4, rtol=1e-4)
    (shape,) = resolve_shapes(["teapot"])
    f = RenderedFunction(
        Rasterizer(32), network, shape.load(), shape.target, SemanticSpace.default(), micro_batch_size=2
    )
    score, gradient = f.value_and_grad(torch.tensor([[[40.0, 20.0]]]))
    assert 0 < float(score) < 1
    assert float(gradient.abs().sum()) > 0
