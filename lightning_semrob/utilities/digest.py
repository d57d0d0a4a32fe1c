"""A SHA-256 that identifies a set of tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def tensors_sha256(named: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 of names, dtypes, shapes and values, in the order given; independent of device and memory layout."""
    digest = hashlib.sha256()
    for name, value in named:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        values = value.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return digest.hexdigest()
