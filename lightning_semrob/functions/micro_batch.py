"""The number of images in every network call, and what happens when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class MicroBatch:
    """Images in every call of renderer and network; halved when memory runs out.

    Args:
        size: images to begin with.

    Raises:
        ValueError: fewer than one.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"micro_batch_size must be at least 1, got {size}")
        self.size = size

    def halve(self) -> None:
        """Go on with half as many.

        Raises:
            MemoryError: there is one left.
        """
        if self.size == 1:
            raise MemoryError(
                "out of memory with a single image in a call: use a smaller data.image_size or network, or a device "
                "with more memory"
            )
        self.size //= 2
        warnings.warn(
            f"out of memory with {2 * self.size} images in a call: going on with {self.size}; scores change by "
            "rounding, and the column micro_batch_size says which runs it concerns",
            stacklevel=2,
        )


def in_micro_batches(u: Tensor, size: MicroBatch, call: Callable[[Tensor], Result]) -> list[tuple[Result, int]]:
    """``call`` on points u (B, n) in parts of ``size.size`` rows, the last one padded with its last row.

    Every call has the same shape, since scores change by 1e-7 to 1e-6 with the batch size. A call that runs out of
    memory is repeated with half as many rows; MemoryError with a single one. Returns results, each with its number of
    rows that are not padding.
    """
    results: list[tuple[Result, int]] = []
    done = 0
    while done < len(u):
        part = u[done : done + size.size]
        padding = part[-1:].expand(size.size - len(part), -1)
        try:
            results.append((call(torch.cat([part, padding])), len(part)))
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        else:
            done += len(part)
            continue
        # Outside of the handler, whose traceback holds the tensors of the failed call.
        torch.cuda.empty_cache()
        size.halve()
    return results


def _is_out_of_memory(error: BaseException) -> bool:
    words = ("out of memory", "not enough memory", "can't allocate memory", "unable to allocate", "status_alloc_failed")
    known = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
    return known or any(word in str(error).lower() for word in words)
