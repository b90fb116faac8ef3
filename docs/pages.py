"""Reading Markdown pages: links, anchors, code."""

import re
from pathlib import Path

from notebooks import prose, read_notebook

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)")


def text_of(page: Path) -> str:
    """The text of a page; of a notebook that of its Markdown cells."""
    return prose(read_notebook(page)) if page.suffix == ".ipynb" else page.read_text()


def relative_links(page: Path) -> list[str]:
    """The targets of a page's links that stay inside the repository; code does not count."""
    text = INLINE.sub("", FENCE.sub("", text_of(page)))
    return [target for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def inline_code(page: Path) -> list[str]:
    """What stands between single backticks."""
    return INLINE.findall(FENCE.sub("", text_of(page)))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ +(.+?)\s*$", FENCE.sub("", text_of(page)), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {f"{slug}-{n}" if (n := slugs[:i].count(slug)) else slug for i, slug in enumerate(slugs)}


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """(lines before it, code) of the blocks that are to be run."""
    text = page.read_text()
    return [(text.count("\n", 0, m.start(2)), m[2]) for m in FENCE.finditer(text) if m[1].strip() == "python"]
