"""Text and tables as HTML."""

from __future__ import annotations

import html
import json
from typing import Any

from lightning_semrob.report.figures import network_color, network_label
from lightning_semrob.report.tables import Table

__all__ = ["embedded_json", "html_table", "html_text", "network_name", "swatch"]


def html_text(value: Any) -> str:
    """Escaped for HTML, in text and in quoted attributes."""
    return html.escape(str(value), quote=True)


def html_table(table: Table, left: int, caption: str = "") -> str:
    """A table whose columns from ``left`` on are numbers; it scrolls where the screen is too narrow."""
    columns, lines = table

    def cell(tag: str, k: int, text: str) -> str:
        kind = "" if k < left else ' class="number"'
        return f"<{tag}{kind}>{html_text(text)}</{tag}>"

    head = "".join(cell("th", k, text) for k, text in enumerate(columns))
    body = "".join("<tr>" + "".join(cell("td", k, text) for k, text in enumerate(line)) + "</tr>" for line in lines)
    title = f"<caption>{html_text(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def embedded_json(value: Any) -> str:
    """JSON that may stand in a script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def swatch(color: str) -> str:
    return f'<span class="swatch" style="--c:{color}"></span>'


def network_name(network: str) -> str:
    """A network with its colour."""
    text = html_text(network_label(network)).replace("_", "_<wbr>").replace("/", "/<wbr>")
    return f'<span class="name">{swatch(network_color(network))}{text}</span>'
