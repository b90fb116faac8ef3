"""Pages of the source files that the documentation links to, and of their folders."""

import ast
import shutil
from html import escape
from pathlib import Path

from docutils import nodes
from navigation import place_of
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
SCHEME = "source:"
MOST_BYTES = 300_000
# Outside the theme, which would take twenty times as long for each of some hundred pages.
TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{path} - proximax</title>
<link rel="stylesheet" href="{up}_static/pygments.css"><link rel="stylesheet" href="{up}_static/source.css"></head>
<body data-theme="auto"><script>document.body.dataset.theme = localStorage.getItem("theme") || "auto";</script>
<nav>{crumbs}</nav><main>{body}</main></body></html>
"""


def setup(app: Sphinx) -> None:
    """Add the pages, and lead links of the form ``source:PATH`` to them."""
    app.connect("doctree-resolved", resolve)
    app.connect("build-finished", write_pages)


def name_of(path: str) -> str:
    """The file, in the site, of the page of a file or folder; a page in HTML is itself."""
    if path.endswith(".html"):
        return place_of(path)
    return f"source/{path.rstrip('/')}.html"


def resolve(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Replace the addresses of links to source files by those of their pages."""
    for link in doctree.findall(nodes.reference):
        if (address := link.get("refuri", "")).startswith(SCHEME):
            link["refuri"] = "../" * name.count("/") + name_of(address.removeprefix(SCHEME))
            link["classes"].append("source")


def write_pages(app: Sphinx, error: Exception | None) -> None:
    """Write a page for each file and folder; a folder's Python files have pages too."""
    if error is not None:
        return
    listed = {path.rstrip("/") for path in app.config.proximax_sources}
    folders = {path for path in listed if (ROOT / path).is_dir()}
    files = (listed - folders) | {
        str(file.relative_to(ROOT)) for name in folders for file in (ROOT / name).glob("*.py")
    }
    for path in sorted(folders | files):
        target = Path(app.outdir, name_of(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == Path(path).suffix:
            shutil.copy(ROOT / path, target)
            continue
        body = folder_listing(path, folders | files) if path in folders else file_listing(ROOT / path)
        up = "../" * name_of(path).count("/")
        target.write_text(TEMPLATE.format(path=escape(path), up=up, crumbs=crumbs(path, folders, up), body=body))


def crumbs(path: str, folders: set[str], up: str) -> str:
    """The way to a page: the site's first page, the folders that have pages, the name."""
    parts = path.split("/")
    steps = [f'<a href="{up}index.html">proximax documentation</a>']
    for i, part in enumerate(parts):
        folder = "/".join(parts[: i + 1])
        link = f'<a href="{up}{name_of(folder)}">{escape(part)}</a>' if folder in folders else f"<b>{escape(part)}</b>"
        steps.append(link if i < len(parts) - 1 else f"<b>{escape(part)}</b>")
    return " / ".join(steps)


def file_listing(path: Path) -> str:
    """The highlighted text of a file, with line numbers that can be linked to (``#L-12``)."""
    if path.stat().st_size > MOST_BYTES:
        return f"<p>A file of {path.stat().st_size:,} bytes: read it in the repository.</p>"
    try:
        lexer = get_lexer_for_filename(path.name)
    except ClassNotFound:
        lexer = TextLexer()
    return highlight(path.read_text(), lexer, HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True))


def folder_listing(folder: str, with_page: set[str]) -> str:
    """What a folder holds: names, and the first line of each Python file's docstring."""
    rows = []
    for path in sorted((ROOT / folder).iterdir()):
        name = str(path.relative_to(ROOT))
        if path.name.startswith((".", "__pycache__")):
            continue
        shown = f"<code>{escape(path.name)}{'/' if path.is_dir() else ''}</code>"
        if name in with_page:
            shown = f'<a href="{"../" * name_of(folder).count("/")}{name_of(name)}">{shown}</a>'
        about = escape(purpose(path).replace("``", ""))
        rows.append(f"<tr><td>{shown}</td><td>{about}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def purpose(path: Path) -> str:
    """The first line of the docstring of a module or package, "" where there is none."""
    module = path / "__init__.py" if path.is_dir() else path
    if module.suffix != ".py" or not module.exists():
        return ""
    return (ast.get_docstring(ast.parse(module.read_text())) or "").partition("\n")[0]
