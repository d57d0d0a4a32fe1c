"""A GPU that is pretended: tensors that say that they lie on ``cuda:0``, for tests of device discipline without one.

The numbers lie on the CPU and are computed there. Every call of PyTorch's Python interface is watched: it raises what
CUDA raises where tensors of two devices meet, where a GPU tensor becomes a numpy array, and where a generator of the
CPU draws on the GPU; and it refuses sums that CUDA makes in any order, since jobs repeat to the bit. Autograd, modules,
optimizers and Lightning's Trainer (``accelerator="gpu"``) work through it. What one call does inside is not watched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from pytorch_lightning.accelerators import CUDAAccelerator
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["GPU", "PretendTensor", "on_gpu", "pretended_gpu"]

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")

#: Calls that take tensors of several devices.
_ACROSS = {
    Tensor.copy_, Tensor.to, Tensor.cpu, Tensor.cuda, Tensor.type_as, Tensor.data.__set__, torch.autograd.grad,
    Tensor.backward, torch.autograd.backward, torch.result_type, torch.can_cast, Tensor.__deepcopy__,
    torch._has_compatible_shallow_copy_type,
}  # fmt: skip
#: Calls that also refuse a CPU tensor without dimensions among GPU tensors.
_JOINING = {torch.cat, torch.concat, torch.stack, torch.hstack, torch.vstack, torch.column_stack}
#: Sums of real numbers whose order CUDA leaves open.
_UNORDERED = {
    getattr(owner, name)
    for owner in (torch, Tensor)
    for name in ("index_add", "index_add_", "scatter_add", "scatter_add_")
    if hasattr(owner, name)
}
_INDEXING = {Tensor.__getitem__, Tensor.__setitem__, torch.index_put, Tensor.index_put, Tensor.index_put_}


class PretendTensor(Tensor):
    """A tensor that says that it lies on the GPU; parameters carry ``_is_param`` and are ``nn.Parameter`` too."""


def on_gpu(x: Any) -> bool:
    """Whether a tensor says that it lies on the GPU."""
    return isinstance(x, PretendTensor)


def _claim(x: Tensor, device: torch.device) -> Tensor:
    """The same object, which lies on ``device`` from now on."""
    parameter = isinstance(x, torch.nn.Parameter)
    if device.type == "cuda":
        x.__class__ = PretendTensor
        if parameter:
            x._is_param = True
    elif on_gpu(x):
        x.__class__ = torch.nn.Parameter if parameter else Tensor
    return x


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in nested sequences and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [x for item in value for x in _tensors(item)]


def _device(value: Any) -> torch.device:
    device = torch.device("cuda", value) if isinstance(value, int) else torch.device(value)
    if device.type not in ("cpu", "cuda") or device.index not in (None, 0):
        raise RuntimeError(f"CUDA error: invalid device ordinal: {device}")
    return GPU if device.type == "cuda" else CPU


def _differs(name: str) -> RuntimeError:
    return RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! ({name})"
    )


class _Watch(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            return self._call(func, args, kwargs)

    def _call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        special = getattr(self, _SPECIAL.get(func, ""), None)
        if special is not None:
            return special(*args, **kwargs)
        tensors = _tensors((args, kwargs))
        name = getattr(func, "__name__", str(func))
        self._check(func, name, args, kwargs, tensors)
        wanted = kwargs.pop("device", None)
        if wanted is None:
            target = GPU if any(on_gpu(x) for x in tensors) else CPU
            if func is torch.tensor and not (args and isinstance(args[0], Tensor)):
                target = CPU  # a list of numbers, wherever they come from
        else:
            target = _device(wanted)
        generator = kwargs.get("generator")
        if generator is not None and target == GPU:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        result = func(*args, **kwargs)
        for leaf in _tensors(result):
            if on_gpu(leaf) != (target == GPU):
                if any(leaf is x for x in tensors):
                    if leaf is result and wanted is not None:
                        return _claim(leaf.clone(), target)
                    continue
                _claim(leaf, target)
        return result

    def _check(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]
    ) -> None:
        if func in _UNORDERED and on_gpu(tensors[0]) and tensors[0].is_floating_point():
            raise RuntimeError(f"{name} adds up in any order on CUDA")
        if func in _ACROSS or len({on_gpu(x) for x in tensors}) < 2:
            return
        if func in _JOINING:
            raise _differs(name)
        if func in _INDEXING:
            own = args[0]
            index = _tensors(args[1])
            if not on_gpu(own) and any(on_gpu(x) and x.dim() for x in index):
                raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
            values = _tensors((args[2:], kwargs))
            copies = func is Tensor.__setitem__ and not any(x.dim() for x in index)
            if not copies and any(x.dim() and on_gpu(x) != on_gpu(own) for x in values):
                raise _differs(name)
            return
        # A CPU tensor without dimensions goes along with GPU tensors, never the other way round.
        if any(x.dim() and not on_gpu(x) for x in tensors):
            raise _differs(name)

    # ---- what is not the same on two devices

    def device_of(self, x: Tensor) -> torch.device:
        return GPU if on_gpu(x) else x.device

    def is_cuda(self, x: Tensor) -> bool:
        return on_gpu(x)

    def is_cpu(self, x: Tensor) -> bool:
        return not on_gpu(x)

    def get_device(self, x: Tensor) -> int:
        return 0 if on_gpu(x) else -1

    def numpy(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if on_gpu(x):
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
                "first."
            )
        return x.numpy(*args, **kwargs)

    def array(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self.numpy(x).__array__(*args, **kwargs)

    def to(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        other = args[0] if args and isinstance(args[0], Tensor) else kwargs.pop("other", None)
        copy = kwargs.pop("copy", False)
        if other is not None:
            device, dtype, memory = self.device_of(other), other.dtype, None
        else:
            device, dtype, _, memory = torch._C._nn._parse_to(*args, **kwargs)
        target = self.device_of(x) if device is None else _device(device)
        result = x.to(dtype=dtype or x.dtype, copy=copy, memory_format=memory or torch.preserve_format)
        if on_gpu(x) != (target == GPU) and result is x:
            result = x.clone()
        return result if result is x else _claim(result, target)

    def cpu(self, x: Tensor, **kwargs: Any) -> Tensor:
        return self.to(x, "cpu", **kwargs)

    def cuda(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.to(x, "cuda")

    def type_as(self, x: Tensor, other: Tensor) -> Tensor:
        return self.to(x, other)

    def set_data(self, x: Tensor, data: Tensor) -> None:
        Tensor.data.__set__(x, data)
        _claim(x, self.device_of(data))

    def set_grad(self, x: Tensor, grad: Tensor | None) -> None:
        if grad is not None and on_gpu(grad) != on_gpu(x):
            raise RuntimeError("attempting to assign a gradient with device type 'cuda' to a tensor with another one")
        Tensor.grad.__set__(x, grad)

    def autograd_grad(self, outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        found = torch.autograd.grad(outputs, inputs, *args, **kwargs)
        for gradient, x in zip(found, [inputs] if isinstance(inputs, Tensor) else inputs, strict=True):
            if gradient is not None:
                _claim(gradient, self.device_of(x))
        return found

    def deepcopy(self, x: Tensor, memo: dict[int, Any]) -> Tensor:
        if id(x) in memo:
            kept: Tensor = memo[id(x)]
            return kept
        copy = x.detach().clone().requires_grad_(x.requires_grad)
        if isinstance(x, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy, x.requires_grad)
        memo[id(x)] = _claim(copy, self.device_of(x))
        return copy


_SPECIAL: dict[Any, str] = {
    Tensor.device.__get__: "device_of",
    Tensor.is_cuda.__get__: "is_cuda",
    Tensor.is_cpu.__get__: "is_cpu",
    Tensor.get_device: "get_device",
    Tensor.numpy: "numpy",
    Tensor.__array__: "array",
    Tensor.to: "to",
    Tensor.cpu: "cpu",
    Tensor.cuda: "cuda",
    Tensor.type_as: "type_as",
    Tensor.data.__set__: "set_data",
    Tensor.grad.__set__: "set_grad",
    torch.autograd.grad: "autograd_grad",
    Tensor.__deepcopy__: "deepcopy",
}


@contextmanager
def pretended_gpu(free: int = 2**33) -> Iterator[_Watch]:
    """A GPU with ``free`` bytes of memory, which ``torch.cuda`` and Lightning find too."""
    calls: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: None,
        "mem_get_info": lambda device=None: (free, 2 * free),
        "memory_reserved": lambda device=None: 0,
        "memory_allocated": lambda device=None: 0,
        "get_rng_state": lambda device=None: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda state, device=None: None,
        "get_rng_state_all": list,
        "set_rng_state_all": lambda states: None,
        "manual_seed_all": lambda seed: None,
    }
    accelerator: dict[str, Any] = {
        "is_available": staticmethod(lambda: True),
        "auto_device_count": staticmethod(lambda: 1),
        "parse_devices": staticmethod(lambda devices: [0]),
        "get_parallel_devices": staticmethod(lambda devices: [GPU]),
        "setup": lambda self, trainer: None,
        "setup_device": lambda self, device: None,
        "teardown": lambda self: None,
    }
    # The rasteriser's kernels run on the CPU, where the numbers lie.
    kernels = patch("lightning_semrob.rendering.engine.device_of", lambda tensor: "cpu")
    with (
        patch.multiple(torch.cuda, **calls),
        patch.multiple(CUDAAccelerator, **accelerator),
        kernels,
        _Watch() as watch,
    ):
        yield watch
