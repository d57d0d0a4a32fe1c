"""ONNX Runtime in place of torch: the same logits, gradients from torch, and a sentence where it does not do."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lightning_semrob.networks import Classifier, NetworkSpec, build_network, register_network
from lightning_semrob.networks.runtime import LARGEST_CHANGE, OnnxClassifier, Runtime, export_onnx, with_runtime

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")

NAME = "small_resnet?num_classes=10"


@pytest.fixture(scope="module")
def network() -> Classifier:
    torch.manual_seed(0)
    return build_network(NAME)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model(network: Classifier, pictures: Tensor) -> bytes:
    return export_onnx(network, pictures)


def classifier_of(backbone: nn.Module) -> Classifier:
    return Classifier(NetworkSpec("odd", lambda: backbone, 64, num_classes=10), backbone)


def test_auto_takes_it_and_says_what_changed(network: Classifier, pictures: Tensor, model: bytes) -> None:
    fast, runtime = with_runtime(network, pictures, "auto", model)
    assert isinstance(fast, OnnxClassifier)
    assert (runtime.name, runtime.version, runtime.reason) == ("onnxruntime", onnxruntime.__version__, "")
    assert 0 <= runtime.change <= LARGEST_CHANGE
    with torch.no_grad():
        torch.testing.assert_close(fast(pictures), network(pictures), rtol=0, atol=1e-4)
    assert "onnxruntime" in runtime.describe()


def test_a_picture_does_not_depend_on_its_batch(network: Classifier, pictures: Tensor, model: bytes) -> None:
    fast, _ = with_runtime(network, pictures, "auto", model)
    with torch.no_grad():
        assert torch.equal(fast(pictures.flip(0)).flip(0), fast(pictures))
        assert torch.equal(fast(pictures), fast(pictures))
        assert fast(pictures[:0]).shape == (0, 10)


def test_gradients_and_their_values_are_torchs(network: Classifier, pictures: Tensor, model: bytes) -> None:
    fast, _ = with_runtime(network, pictures, "auto", model)
    found, expected = (pictures.clone().requires_grad_(True) for _ in range(2))
    logits = fast(found)
    assert torch.equal(logits, network(expected))
    logits.sum().backward()
    network(expected).sum().backward()
    assert torch.equal(found.grad, expected.grad)


def test_copies_make_their_own_session(network: Classifier, pictures: Tensor, model: bytes) -> None:
    fast, _ = with_runtime(network, pictures, "auto", model)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(fast)(pictures), fast(pictures))
    assert "_session" not in fast.__getstate__()
    assert len(pickle.dumps(fast.model)) > 1000
    assert fast.weights_sha256 == network.weights_sha256


def test_torch_is_taken_when_asked(network: Classifier, pictures: Tensor) -> None:
    assert with_runtime(network, pictures, "torch") == (network, Runtime.torch())


def test_an_unknown_runtime_is_refused(network: Classifier, pictures: Tensor) -> None:
    with pytest.raises(ValueError, match=r"unknown runtime 'tensorrt'.*onnxruntime"):
        with_runtime(network, pictures, "tensorrt")


@pytest.mark.parametrize("package", ["onnxruntime", "onnxscript"])
def test_a_missing_package(
    package: str, network: Classifier, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    same, runtime = with_runtime(network, pictures)
    assert same is network
    assert runtime.name == "torch"
    assert "pip install" in runtime.reason
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        with_runtime(network, pictures, "onnxruntime")


def test_a_package_that_is_broken(
    network: Classifier, pictures: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libonnxruntime.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime")
    same, runtime = with_runtime(network, pictures)
    assert same is network
    assert "cannot be imported (libonnxruntime.so.1" in runtime.reason
    with pytest.raises(ValueError, match="cannot be imported"):
        with_runtime(network, pictures, "onnxruntime")


def test_a_version_that_is_too_old(network: Classifier, pictures: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.8.1")
    same, runtime = with_runtime(network, pictures)
    assert same is network
    assert "1.8.1 is older than" in runtime.reason
    with pytest.raises(ValueError, match="older than"):
        with_runtime(network, pictures, "onnxruntime")


def test_a_graph_that_is_wrong_on_purpose(network: Classifier, pictures: Tensor, model: bytes) -> None:
    import onnx
    from onnx import numpy_helper

    patched = onnx.load_from_string(model)
    bias = next(tensor for tensor in patched.graph.initializer if list(tensor.dims) == [10])
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.01, bias.name))
    same, runtime = with_runtime(network, pictures, "auto", patched.SerializeToString())
    assert same is network
    assert "differ from torch's" in runtime.reason
    with pytest.raises(ValueError, match="differ from torch's"):
        with_runtime(network, pictures, "onnxruntime", patched.SerializeToString())
    _, runtime = with_runtime(network, pictures, "auto", b"no model at all")
    assert "cannot run its graph" in runtime.reason


def test_control_flow_that_looks_at_the_picture(pictures: Tensor) -> None:
    class Dynamic(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if images.mean() > 0.5:
                return images.new_ones(len(images), 10)
            return images.new_zeros(len(images), 10)

    network = classifier_of(Dynamic())
    same, runtime = with_runtime(network, pictures)
    assert same is network
    assert "torch cannot export it" in runtime.reason


def test_callables_of_users_stay_torchs_unless_asked(pictures: Tensor) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 10))
    register_network("own", lambda: linear, input_size=64, num_classes=10, overwrite=True)
    network = build_network("own")
    same, runtime = with_runtime(network, pictures)
    assert same is network
    assert "callable of yours" in runtime.reason
    fast, runtime = with_runtime(network, pictures, "onnxruntime")
    assert isinstance(fast, OnnxClassifier)
    assert runtime.name == "onnxruntime"
