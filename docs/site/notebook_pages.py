"""Notebooks as pages of the site: their text, their code, and the outputs that they were saved with."""

import base64
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from notebooks import Cell, joined, read_notebook, source_of

VIDEO = re.compile(r'src="(data:video/mp4;base64,[^"]+)"')


class NotebookPage:
    """The notebook ``source`` as Markdown; its pictures and a copy of it go beside ``target``, the page's file.

    ``rewrite``: what is done with the text of its Markdown cells.
    """

    def __init__(self, source: Path, target: Path, rewrite: Callable[[str], str]) -> None:
        self._source, self._target, self._rewrite = source, target, rewrite
        self._pictures = 0

    def text(self) -> str:
        """The page."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._source, self._target.with_suffix(".ipynb"))
        return "\n\n".join(self._parts(read_notebook(self._source)["cells"])) + "\n"

    def _parts(self, cells: list[Cell]) -> Iterator[str]:
        title, _, rest = source_of(cells[0]).partition("\n")
        yield title
        name = self._target.with_suffix(".ipynb").name
        yield f"This page is a notebook with its outputs: {{download}}`{name} <{name}>`."
        yield self._rewrite(rest)
        for cell in cells[1:]:
            if cell["cell_type"] == "markdown":
                yield self._rewrite(source_of(cell))
            elif cell["cell_type"] == "code":
                yield f"```python\n{source_of(cell)}\n```"
                yield from self._outputs(cell)

    def _outputs(self, cell: Cell) -> Iterator[str]:
        """What a cell printed and showed, in one block."""
        outputs = [self._output(output, cell["metadata"].get("alt", "")) for output in cell["outputs"]]
        if any(outputs):
            yield '<div class="output">\n\n' + "\n\n".join(filter(None, outputs)) + "\n\n</div>"

    def _output(self, output: dict[str, Any], alt: str) -> str:
        """One output: text, a picture or a video."""
        data = output.get("data", {})
        if output["output_type"] == "stream":
            return text_block(output["text"])
        if "image/png" in data:
            return f"![{alt}]({self._write_picture(joined(data['image/png']))})"
        if video := VIDEO.search(joined(data.get("text/html", ""))):
            return f'<video controls loop muted playsinline title="{escape(alt)}" src="{video[1]}"></video>'
        return text_block(data["text/plain"]) if "text/plain" in data else ""

    def _write_picture(self, encoded: str) -> str:
        """Write a picture beside the page; gives its address."""
        self._pictures += 1
        path = self._target.with_name(f"{self._target.stem}-{self._pictures}.png")
        path.write_bytes(base64.b64decode(encoded))
        return path.name


def text_block(text: str | list[str]) -> str:
    """A text that was printed."""
    return f"```text\n{joined(text).rstrip()}\n```"
