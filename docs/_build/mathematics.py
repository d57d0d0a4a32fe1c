"""A MkDocs hook: formulas become MathML when the site is built, so that a page needs no script for them."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([\[(])(.*?)\\[\])]</\1>', re.DOTALL)


def _mathml(found: re.Match[str]) -> str:
    display = "block" if found[2] == "[" else "inline"
    return convert(html.unescape(found[3]).strip(), display=display)


def on_page_content(text: str, **_: Any) -> str:
    """Replace what pymdownx.arithmatex marked."""
    return _FORMULA.sub(_mathml, text)
