"""Random streams that depend only on their key, not on the number of processes or the batch."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor


def stream(*key: int) -> torch.Generator:
    """The random stream of a key of nonnegative integers, such as (seed, epoch, step).

    Streams of different keys are independent."""
    high, low = np.random.SeedSequence(key).generate_state(2, np.uint32).tolist()
    return torch.Generator().manual_seed(high << 31 ^ low)


def named_seed(seed: int, *names: str) -> int:
    """A seed of 32 bits that depends on a seed and on names only, not on what else is in a job."""
    digest = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def row_generator(seed: int, index: int, key: Tensor, *purpose: int) -> torch.Generator:
    """The random stream of one run, fixed by the seed, the index and a vector; each ``purpose`` has its own."""
    words = np.frombuffer(key.double().cpu().contiguous().numpy().tobytes(), dtype=np.uint32)
    return stream(seed, index, *words.tolist(), *purpose)
