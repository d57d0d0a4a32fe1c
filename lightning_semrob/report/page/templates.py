"""The page's templates, filled by Jinja2 with autoescape everywhere: whatever text a job brings stays text.

Only the style sheet and the two scripts of the page, which come with the packages, are put in as they are. Their hashes
stand in the page's content security policy, so that the browser runs no other script.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from lightning_semrob.report.figures import method_color, network_color
from lightning_semrob.space import Axis
from lightning_semrob.utilities.messages import percent


class Script(NamedTuple):
    """A script of the page and its hash for the content security policy."""

    text: str
    sha256: str

    @classmethod
    def of(cls, text: str) -> Script:
        """With the hash of the text as it stands in the page."""
        from markupsafe import Markup

        return cls(Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


def words(name: str) -> str:
    """A name without its underscores."""
    return name.replace("_", " ")


def plural(count: int, word: str) -> str:
    """``1 shape``, ``2 shapes``, ``2 classes``."""
    many = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{count} {word if count == 1 else many}"


def amount(value: float, axis: Axis) -> str:
    """A value of an axis with its unit."""
    unit = {"degree": "°", "": ""}.get(axis.unit, f" {axis.unit}")
    number = round(float(value), 1 if axis.extent > 20 else 2)
    return f"{number + 0.0:g}{unit}"  # without the sign of a zero


def _breakable(text: str) -> Any:
    """A name that may be broken behind ``_`` and ``/``."""
    from markupsafe import Markup

    return Markup("/<wbr>").join(Markup("_<wbr>").join(part.split("_")) for part in text.split("/"))


@cache
def _templates() -> Any:
    import jinja2

    folder = Path(__file__).parent / "templates"
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    found.filters |= {
        "amount": amount,
        "breakable": _breakable,
        "ends": lambda axis: f"{words(axis.name)} {amount(axis.low, axis)} to {amount(axis.high, axis)}",
        "label": jinja2.pass_context(lambda page, name: page.get("labels", {}).get(name, name)),
        "method_color": method_color,
        "network_color": network_color,
        "percent": lambda share: percent(share, unit=" %"),
        "plural": plural,
        "words": words,
    }
    return found


def fill(template: str, **values: Any) -> str:
    """The text of a template of this folder, with every value escaped."""
    text: str = _templates().get_template(template).render(values)
    return text
