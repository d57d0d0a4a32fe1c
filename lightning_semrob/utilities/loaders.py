"""Loaders for Lightning's loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class ListLoader(Generic[Batch]):
    """Serves a list of batches (Lightning takes a bare list for several loaders)."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)
