"""Collectives of torch.distributed that a single process may call as well."""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


def usable_cores() -> int:
    """CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # where the system has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def keep_threads(processes: int = 1) -> None:
    """Settle torch's number of threads before it is noted: Lightning sets another one when it launches processes.

    It leaves ``OMP_NUM_THREADS`` alone, which the processes inherit. Where that is not set, the number is the one that
    torch has now, with several processes at most their part of the cores.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        threads = torch.get_num_threads()
        if processes > 1:
            threads = max(1, min(threads, usable_cores() // processes))
            torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)


def connected() -> bool:
    """Whether this process belongs to a process group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def all_gather(value: Value) -> list[Value]:
    """The values of all processes, in the order of their ranks; ``[value]`` in a single process."""
    if not connected():
        return [value]
    parts: list[Value] = [value] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, value)
    return parts


def all_reduce(tensor: Tensor, largest: bool = False, device: torch.device | None = None) -> Tensor:
    """The sum, or the largest value, of a tensor over all processes; ``tensor`` itself in a single process.

    ``device`` is where the group's backend needs tensors to be; the result is on the device of ``tensor``.
    """
    if not connected():
        return tensor
    total = tensor.to(device or tensor.device, copy=True)
    torch.distributed.all_reduce(total, torch.distributed.ReduceOp.MAX if largest else torch.distributed.ReduceOp.SUM)
    return total.to(tensor.device)
