"""What decides the numbers of one network on one shape: kept with every result and compared when a job goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any


def text_sha256(text: str) -> str:
    """That of a configuration, say."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Origin:
    """All that decides the numbers of one network on one shape; every part of the output folder says its own.

    Attributes:
        network, weights: its name, and the SHA-256 of its weights.
        runtime: what computes its logits.
        class_name, shape_id, target: which shape, and which outputs count as right for it.
        mesh: SHA-256 of the mesh.
        renderer: its class, with package and version.
        config: SHA-256 of the text of ``config.yaml``.
    """

    network: str
    weights: str
    runtime: str
    class_name: str
    shape_id: str
    target: tuple[int, ...]
    mesh: str
    renderer: str
    config: str = ""

    def with_config(self, text: str) -> Origin:
        """The same under a configuration."""
        return replace(self, config=text_sha256(text))

    @property
    def sha256(self) -> str:
        """One hash of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @classmethod
    def of_plain(cls, known: Mapping[str, Any]) -> Origin:
        """The origin of which ``dataclasses.asdict`` made plain data.

        Raises:
            ValueError: it is none.
        """
        try:
            return cls(**{**known, "target": tuple(known["target"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"it does not say what decided its numbers ({error})") from error

    def check(self, now: Origin, path: Path) -> None:
        """Raise ValueError with the name of what has changed since the results in ``path`` were measured."""
        for name, what in (
            ("config", "config.yaml"),
            ("target", f"the outputs that count as right for class '{self.class_name}'"),
            ("weights", f"the weights of network '{self.network}'"),
            ("mesh", f"the mesh of shape '{self.shape_id}' of class '{self.class_name}'"),
            ("renderer", "the renderer"),
            ("runtime", f"what computes network '{self.network}'"),
        ):
            before, after = (_in_words(getattr(origin, name)) for origin in (self, now))
            if before != after:
                raise ValueError(
                    f"{what} has changed since the finished runs in '{path}' (then {before}, now {after}): undo that, "
                    "choose another --output, or --overwrite=true to drop them"
                )


def _in_words(value: str | tuple[int, ...]) -> str:
    """Hashes by their first digits, outputs separated by commas."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value if len(value) != 64 else value[:12]
