"""Phrases that messages and tables of all rooms share."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def did_you_mean(name: object, known: Iterable[str], first: Iterable[str] = (), before: str = "; ") -> str:
    """``; did you mean 'teapot'?`` with the known name nearest to ``name``, or the ``first``; empty if none is near."""
    near = [*first, *get_close_matches(str(name), list(known), n=1)]
    return f"{before}did you mean '{near[0]}'?" if near else ""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """The message for a name that is not one of the known ones.

    Examples:
        >>> unknown_name("shape", "teapt", ["cup", "teapot"])
        "unknown shape 'teapt', did you mean 'teapot'? Known: ['cup', 'teapot']"
    """
    names = list(known)
    return f"unknown {kind} '{name}'{did_you_mean(name, names, before=', ') or '.'} Known: {names}"


def percent(share: float, digits: int = 2, unit: str = "") -> str:
    """A share as a percentage, followed by ``unit``; ``n/a`` for NaN.

    Examples:
        >>> percent(0.12345), percent(0.5, 0, " %"), percent(float("nan"))
        ('12.35', '50 %', 'n/a')
    """
    return "n/a" if share != share else f"{100 * share:.{digits}f}{unit}"


def require(module: str, what: str, pip: str) -> Any:
    """An optional module.

    Raises:
        ModuleNotFoundError: it is not installed: ``what`` needs it, and ``pip`` is what installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ModuleNotFoundError(f"{what} needs the package {module}: pip install {pip}") from error
