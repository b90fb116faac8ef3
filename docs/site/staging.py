"""The repository's pages as Sphinx reads them: each at its place in the site, links rewritten, diagrams drawn."""

import posixpath
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from diagrams import flowchart
from navigation import FIRST, INSTEAD, contents, pages, place_of
from notebook_pages import NotebookPage

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # as in docs/pages.py
COMMENT = re.compile(r"^<!--.*?-->\n+", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"`[^`\n]+`|(?<=\]\()([^)\s]+)(?=[^)\n]*\))")
NAMED_BY_FILE = re.compile(r"\[[\w-]+\.md\](?=\([^)#:]+\.md(?:#[\w-]+)?\))")
IMAGES = {".png", ".svg", ".gif", ".jpg"}


class Staging:
    """Pages of the repository ``root``, written to ``folder``; ``sources`` are the files and folders they link to."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.pages = set(pages())
        self.sources: set[str] = set()
        self.problems: list[str] = []

    def write(self) -> None:
        """Write all pages and the images that they show."""
        for page in sorted(self.pages):
            target = self.folder / place_of(page)
            text = self._text(page, target)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text + contents() if page == FIRST else text)

    def _text(self, page: str, target: Path) -> str:
        """A page as Sphinx reads it."""
        if page.endswith(".ipynb"):
            return NotebookPage(self.root / page, target, lambda text: "".join(self._parts(page, text))).text()
        return "".join(self._parts(page, (self.root / page).read_text()))

    def _parts(self, page: str, text: str) -> Iterator[str]:
        """The parts of a page: code as it is, diagrams drawn, links of the rest rewritten."""
        end = 0
        for fence in FENCE.finditer(text):
            yield self._prose(page, text[end : fence.start()])
            yield flowchart(fence[2]) if fence[1].strip() == "mermaid" else code(fence)
            end = fence.end()
        yield self._prose(page, text[end:])

    def _prose(self, page: str, text: str) -> str:
        text = NAMED_BY_FILE.sub("[]", COMMENT.sub("", text))  # Sphinx puts the title there
        return LINK.sub(self._linker(page), text)

    def _linker(self, page: str) -> Callable[[re.Match[str]], str]:
        """What replaces each match of ``LINK`` in a page."""
        return lambda match: match[0] if match[1] is None else self._link(page, match[1])

    def _link(self, page: str, link: str) -> str:
        """The link, from the page's place in the site."""
        if re.match(r"[a-z]+:|#", link):
            return link
        path, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        target = INSTEAD.get(target, target)
        here = posixpath.dirname(place_of(page)) or "."
        if target in self.pages:
            return posixpath.relpath(place_of(target), here) + (f"#{anchor}" if anchor else "")
        if not (self.root / target).exists():
            self.problems.append(f"{page}: the link {link} leads nowhere")
        elif target.endswith((".md", ".ipynb")):
            self.problems.append(f"{page}: {link} is not in docs/site/navigation.py")
        elif Path(target).suffix in IMAGES:
            image = self.folder / place_of(target)
            image.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.root / target, image)
            return posixpath.relpath(place_of(target), here)
        self.sources.add(target)
        return f"source:{target}"


def code(fence: re.Match[str]) -> str:
    """A block of code as Sphinx highlights it: without a language it is plain text."""
    language = {"": "text", "sh": "console", "py": "python"}.get(fence[1].strip(), fence[1].strip())
    return f"```{language}\n{fence[2]}```"
