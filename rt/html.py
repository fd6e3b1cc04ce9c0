"""HTML pages that need nothing else: the document, tables, facts, embedded files."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape


def document(title: str, css: str, body: str, script: str = "", head: str = "") -> str:
    """Return a whole page around the HTML `body`, with `head` in its head; `title` is text."""
    end = f"<script>{script}</script>\n" if script else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
{head}<style>
{css}</style>
</head>
<body>
{body}
{end}</body>
</html>
"""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], last: str = "") -> str:
    """Return a table of HTML cells, the first column as headings; `last` is the class of the last column."""

    def row(cells: Sequence[str], tag: str) -> str:
        marked = []
        for column, cell in enumerate(cells):
            kind = f' class="{last}"' if last and column == len(cells) - 1 else ""
            name = tag if column else "th"
            marked.append(f"<{name}{kind}>{cell}</{name}>")
        return f"<tr>{''.join(marked)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    head = row(headings, "th")
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return a list of facts: names are text, values are HTML; nothing without any."""
    found = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows)
    return f"<dl>{found}</dl>" if found else ""


def embedded(content: bytes, kind: str) -> str:
    """Return the address of a file within the page, of a kind such as `image/jpeg`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
