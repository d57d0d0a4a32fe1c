"""A Griffe extension: the roles of docstrings, ``:func:`~a.b.c```, become code, since pages are Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):`(~?)([^`]+)`")


def _code(found: re.Match[str]) -> str:
    name = found[2].rpartition(".")[2] if found[1] else found[2]
    return f"`{name}`"


class Roles(Extension):
    """Rewrites every docstring once, when its object is found."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Called for every object with a docstring or not."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(_code, obj.docstring.value).replace("``", "`")
