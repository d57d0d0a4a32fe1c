"""Text and tables as HTML."""

from __future__ import annotations

import html
from typing import Any

from lightning_semrob.report.tables import Table

__all__ = ["html_table", "html_text"]


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
