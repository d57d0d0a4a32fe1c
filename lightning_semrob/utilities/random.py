"""Random streams that depend on their key alone, whatever the number of processes or the batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["row_generator", "stream"]


def stream(*key: int) -> torch.Generator:
    """The random stream of a key of nonnegative integers, such as (seed, epoch, step); others are independent of it."""
    high, low = np.random.SeedSequence(key).generate_state(2, np.uint32).tolist()
    return torch.Generator().manual_seed(high << 31 ^ low)


def row_generator(seed: int, index: int, key: Tensor) -> torch.Generator:
    """The random stream of one run, fixed by the seed, its index and a vector, whatever else is in the batch."""
    words = np.frombuffer(key.double().cpu().contiguous().numpy().tobytes(), dtype=np.uint32)
    return stream(seed, index, *words.tolist())
