"""The runtime of a network where no gradient is needed: torch, or ONNX Runtime, which is faster on a CPU.

Torch's own exporter (``torch.onnx.export(dynamo=True)``) exports the backbone. The logits of the graph are compared
with torch's on pictures of the job, and a graph that does not agree is not used. Gradients, and the values that are
computed with them, always come from torch.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from packaging.version import Version
from torch import Tensor

from lightning_semrob.networks.classifier import Classifier
from lightning_semrob.utilities.messages import require
from lightning_semrob.utilities.record import Record

#: Runtimes by the name that configurations use.
RUNTIMES = ("auto", "torch", "onnxruntime")

#: Largest accepted change of a logit, as a share of the largest logit of the pictures.
LARGEST_CHANGE = 1e-4

#: The first ONNX Runtime that knows the operators which torch's exporter writes (opset 18).
_MINIMUM = Version("1.17")

_INSTALL = "'onnxruntime>=1.17' onnx onnxscript"


@dataclass(frozen=True, eq=False)
class Runtime(Record):
    """What computes the logits of one network.

    Args:
        name: ``torch`` or ``onnxruntime``.
        version: of that package.
        change: largest change of a logit against torch's, as a share of the largest logit; 0 for torch itself.
        reason: why ``auto`` took torch on a CPU, one sentence; empty otherwise.
    """

    name: str
    version: str
    change: float = 0.0
    reason: str = ""

    @classmethod
    def torch(cls, reason: str = "") -> Runtime:
        """Torch itself."""
        return cls("torch", torch.__version__, 0.0, reason)

    def describe(self) -> str:
        """One line for tables: ``onnxruntime 1.22.0 (logits within 7e-07 of torch's)``."""
        if self.name == "torch":
            return f"torch {self.version}"
        return f"{self.name} {self.version} (logits within {self.change:.0e} of torch's)"


class OnnxClassifier(Classifier):
    """A classifier whose logits come from ONNX Runtime, on one thread, where no gradient is needed.

    ``model`` is the backbone of the classifier as :func:`export_onnx` wrote it; calls that need gradients go to torch.
    ONNX Runtime may refuse it (RuntimeError).
    """

    def __init__(self, classifier: Classifier, model: bytes) -> None:
        super().__init__(classifier.spec, classifier.backbone)
        self.model = model
        self._session = _session(model)

    def _logits(self, images: Tensor) -> Any:
        if torch.is_grad_enabled() and images.requires_grad:
            return super()._logits(images)
        inputs = self.normalise(images).contiguous().numpy()
        name = self._session.get_inputs()[0].name
        return torch.from_numpy(self._session.run(None, {name: inputs})[0])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the session: copies and spawned processes make it again from the model."""
        return {key: value for key, value in self.__dict__.items() if key != "_session"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._session = _session(self.model)


def _session(model: bytes) -> Any:
    import onnxruntime

    if hasattr(onnxruntime, "disable_telemetry_events"):
        onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def export_onnx(classifier: Classifier, pictures: Tensor) -> bytes:
    """The backbone of a classifier as an ONNX model whose batch size is free; raises whatever torch's exporter does.

    The classifier is on the CPU, in evaluation mode; pictures (B, 3, H, W) in [0, 1], B at least 2, are what is traced.
    """
    example = classifier.normalise(pictures).contiguous()
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    with _silence():
        program = torch.onnx.export(classifier.backbone, (example,), dynamo=True, dynamic_shapes=dynamic, verbose=False)
        assert program is not None
        return bytes(program.model_proto.SerializeToString())


@contextlib.contextmanager
def _silence() -> Any:
    """Keep the exporter's own reports from the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def with_runtime(
    classifier: Classifier, pictures: Tensor, runtime: str = "auto", model: bytes | None = None
) -> tuple[Classifier, Runtime]:
    """A classifier, frozen, with the runtime that was asked for, and what that is.

    ``auto`` takes ONNX Runtime if the network is on a CPU, the packages are installed, and export and comparison
    succeed; otherwise it takes torch, and :attr:`Runtime.reason` says why. It leaves callables of the user's to torch,
    since their Python code may do what a graph cannot.

    Args:
        pictures: (B, 3, H, W) float32 in [0, 1], B at least 2, on the classifier's device, to compare the logits on.
        runtime: of :data:`RUNTIMES`.
        model: the exported backbone, if another process has made it already.

    Raises:
        ValueError: an unknown runtime; with ``onnxruntime``, a network or device that it cannot be used for.
        ModuleNotFoundError: with ``onnxruntime``, packages that are missing, with the command that installs them.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"unknown runtime '{runtime}' of the networks: choose one of {', '.join(RUNTIMES)}")
    if runtime == "torch" or (runtime == "auto" and pictures.device.type != "cpu"):
        return classifier, Runtime.torch()
    name = classifier.spec.name
    try:
        if runtime == "auto" and not classifier.spec.exportable:
            raise _NotUsable("it is a callable of yours, which runs as it is (data.runtime=onnxruntime exports it)")
        return _with_onnx(classifier, pictures, model)
    except ModuleNotFoundError as error:
        if runtime != "auto":
            raise ModuleNotFoundError(f"data.runtime=onnxruntime: {error}") from error
        reason = str(error)
    except _NotUsable as error:
        if runtime != "auto":
            raise ValueError(f"network '{name}' cannot run with data.runtime=onnxruntime: {error}") from error
        reason = str(error)
    return classifier, Runtime.torch(f"'{name}' runs with torch: {reason}")


class _NotUsable(Exception):
    """The reason why ONNX Runtime cannot run a network."""


def _with_onnx(classifier: Classifier, pictures: Tensor, model: bytes | None) -> tuple[Classifier, Runtime]:
    version = _installed_version()
    if pictures.device.type != "cpu":
        raise _NotUsable("it is used on a CPU only, and this job runs elsewhere")
    if model is None:
        try:
            model = export_onnx(classifier, pictures)
        except Exception as error:  # the exporter's own exceptions have no common class
            line = next(iter(str(error).strip().splitlines()), "")[:200]
            raise _NotUsable(f"torch cannot export it ({type(error).__name__}: {line})") from error
    try:
        fast = OnnxClassifier(classifier, model)
        with torch.no_grad():
            expected, found = classifier(pictures), fast(pictures)
            alone = fast(pictures[:1])
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), "")[:200]
        raise _NotUsable(f"ONNX Runtime {version} cannot run its graph ({line})") from error
    change = _relative(found, expected)
    if not change <= LARGEST_CHANGE or not _relative(alone, expected[:1]) <= LARGEST_CHANGE:
        raise _NotUsable(
            f"its logits from ONNX Runtime {version} differ from torch's by {change:.1e} of the largest, and "
            f"{LARGEST_CHANGE:.0e} is allowed"
        )
    return fast, Runtime("onnxruntime", str(version), change)


def _relative(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(torch.finfo(torch.float32).tiny))


def _installed_version() -> Version:
    try:
        version = Version(require("onnxruntime", "ONNX Runtime", _INSTALL).__version__)
        if version < _MINIMUM:
            raise _NotUsable(f"ONNX Runtime {version} is older than {_MINIMUM}, pip install {_INSTALL}")
        for package in ("onnx", "onnxscript"):
            require(package, "torch's exporter", _INSTALL)
    except ModuleNotFoundError:
        raise
    except ImportError as error:  # a library of the system that is missing, say
        raise _NotUsable(f"its packages cannot be imported ({error}), pip install {_INSTALL}") from error
    return version
