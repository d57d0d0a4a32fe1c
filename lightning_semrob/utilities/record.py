"""Dataclasses that are also read as the dictionaries of version 0.1.0 were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Record(Mapping[str, Any]):
    """Base of dataclasses (``eq=False``) whose field ``x`` is also ``record["x"]`` and a key in JSON files.

    A record equals a dictionary of the same fields.
    """

    def __getitem__(self, name: str) -> Any:
        return vars(self)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def __len__(self) -> int:
        return len(vars(self))
