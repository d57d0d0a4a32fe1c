"""A configuration of somebody else may name modules, and importing them runs their code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lightning_semrob.rendering import RENDERERS


class UntrustedError(ValueError):
    """A file names code and is not trusted."""


def _code(value: Any, key: str = "") -> Iterator[str]:
    """What the arguments of an environment name as code, beside the renderers of this package."""
    if isinstance(value, Mapping):
        if "class_path" in value and str(value["class_path"]) not in _OWN:
            yield str(value["class_path"])
        for name, item in value.items():
            yield from _code(item, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _code(item, key)
    elif key == "renderer" and isinstance(value, str) and value not in (*RENDERERS, *_OWN):
        yield value
    elif key == "networks" and ":" in (str(value).rpartition("?")[0] or str(value)).partition("@")[0]:
        yield str(value)  # the name without options and file; a colon in it names a callable


_OWN = {
    "lightning_semrob.rendering.Rasterizer",
    "lightning_semrob.rendering.PyTorch3DRenderer",
    "lightning_semrob.rendering.raster.Rasterizer",
    "lightning_semrob.rendering.pytorch3d.PyTorch3DRenderer",
}


def refuse_code(data: Mapping[str, Any], source: str) -> None:
    """Raise UntrustedError where arguments of the file ``source`` name callables or classes, whose import runs code."""
    named = sorted(set(_code(data)))
    if named:
        raise UntrustedError(
            f"'{source}' names code that would be imported and run: {', '.join(named)}; give --trust=true "
            "(in Python trust=True) where the file is yours or you trust its author"
        )
