"""HTML in which nothing but what is written here can be more than text: whatever comes from a run is escaped."""

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proximax.reports.tables import Table
from proximax.runtime import printable

LONGEST = 4000  # characters of one text from a run


class Markup(str):
    """Text that is HTML already."""


class Section(NamedTuple):
    """A part of the page; its title is also in the list of contents."""

    name: str  # in its address
    title: str
    body: Markup


def text(value: object) -> Markup:
    """A value as HTML that shows it: escaped, unless it is ``Markup``; control and direction characters too."""
    if isinstance(value, Markup):
        return value
    shown = str(value)
    shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
    return Markup(html.escape(printable(shown)))


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """``<name attribute="...">children</name>``; ``class_`` is class, and _ in other names is -."""
    named = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{named}>{''.join(map(text, children))}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Parts one after the other."""
    return Markup(between.join(map(text, parts)))


def html_table(cells: Table, caption: object = "", dense: bool = False) -> Markup:
    """A table, which scrolls by itself where the page is narrower; ``dense``: of many columns."""
    head = [tag("th", name, scope="col", **aligned(i, cells)) for i, name in enumerate(cells.head)]
    rows = [tag("tr", join(cell_of(cell, i, cells) for i, cell in enumerate(row))) for row in cells.rows]
    title = tag("caption", caption) if caption else ""
    body = tag("table", title, tag("thead", tag("tr", join(head))), tag("tbody", join(rows)))
    return tag("div", body, class_="scroll dense" if dense else "scroll", tabindex=0)


def cell_of(cell: object, column: int, cells: Table) -> Markup:
    """A cell; that of the first column names its row."""
    return tag("td", cell, **aligned(column, cells)) if column else tag("th", cell, scope="row")


def aligned(column: int, cells: Table) -> dict[str, str]:
    """The class of a column of numbers."""
    return {} if column < cells.texts else {"class_": "number"}


def document(title: str, header: Markup, sections: Sequence[Section], style: str, script: str = "") -> str:
    """The whole page. Its policy allows this style and script, and nothing else: no picture, no address."""
    scripts = f" script-src {digest_of(script)};" if script else ""
    policy = f"default-src 'none';{scripts} style-src {digest_of(style)}; base-uri 'none'; form-action 'none'"
    contents = join(tag("a", section.title, href=f"#{section.name}") for section in sections)
    body = join(
        tag("section", tag("h2", section.title), section.body, id=section.name) for section in sections if section.body
    )
    head = join(
        [
            Markup('<meta charset="utf-8">'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Markup('<meta name="color-scheme" content="light dark">'),
            tag("title", title),
            Markup(f"<style>{style}</style>"),
        ],
        "\n",
    )
    page = tag("main", header, tag("nav", contents, aria_label="Contents"), body)
    end = f'\n<script type="module">{script}</script>' if script else ""
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{page}{end}\n</body>\n</html>\n'


def digest_of(source: str) -> str:
    """A style or script as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
