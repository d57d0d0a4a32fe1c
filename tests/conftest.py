"""Shared fixtures. The reference data is not part of the repository: tests that use it skip where it is absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# LightningCLI 2.6 calls jsonargparse in a way that newer versions deprecate.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

import pytest
import torch

import lightning_semrob  # first: it makes torchvision importable on a CPU-only torch

assert lightning_semrob.__version__

REPOSITORY = Path(__file__).resolve().parent.parent
REFERENCE = REPOSITORY.parent / "shared" / "reference"


# One thread: two slow small tensors down, and numbers do not depend on the machine's cores. Fixtures of modules run
# before those of tests, so it is set here already.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread again after a test that changed it."""
    yield
    torch.set_num_threads(1)


@pytest.fixture
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture
def reference() -> Path:
    """The authors' maps, the reference shapes and the SqueezeNet weights."""
    if not REFERENCE.is_dir():
        pytest.skip(f"{REFERENCE} is absent: the reference data is not part of the repository")
    return REFERENCE
