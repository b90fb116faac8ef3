"""Check the documentation; run by ``make check``. With ``--write``, first make docs/metrics.md anew.

Links resolve, code blocks run, docs/metrics.md is up to date, public names have docstrings and name their source.
"""

import contextlib
import inspect
import io
import os
import re
import sys
import tempfile
import traceback
import types
from pathlib import Path

import jax

import proximax
from proximax.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)")
# Functions of proximax.maths that are definitions, not an equation of a paper; every other one names its source.
DEFINITIONS = {"batch_moments", "init_moments", "normalise", "update_moments", "variance"}


def main() -> int:
    """Run all checks; returns the exit code."""
    jax.config.update("jax_platforms", "cpu")
    if "--write" in sys.argv:
        (DOCS / "metrics.md").write_text(metrics_page())
    top = [path for name in ("README.md", "CHANGELOG.md") if (path := ROOT / name).exists()]
    docs = sorted(DOCS.glob("*.md"))
    pages = top + docs + sorted((ROOT / "benchmarks").glob("*.md"))
    links = [(page, target) for page in pages for target in relative_links(page)]
    found = [fault for page, target in links if (fault := link_fault(page, target))]
    found += [fault for page in docs if (fault := block_fault(page))]
    if not (DOCS / "metrics.md").exists() or (DOCS / "metrics.md").read_text() != metrics_page():
        found.append("docs/metrics.md is out of date: run docs/check.py --write")
    found += docstring_faults()
    for fault in found:
        print(fault, file=sys.stderr)
    if not found:
        blocks = sum(len(python_blocks(page)) for page in docs)
        names = len(proximax.__all__) + len(proximax.maths.__all__)
        print(f"docs: {len(pages)} pages, {len(links)} links, {blocks} code blocks, {names} public names, no fault")
    return bool(found)


def metrics_page() -> str:
    """The content of docs/metrics.md."""
    rows = ["| `{}` | {} |".format(name, meaning.replace("|", "\\|")) for name, meaning in METRICS.items()]
    head = (
        "<!-- Made by docs/check.py --write from proximax.metrics.METRICS. -->\n\n# Metrics\n\n"
        "Each update writes one row per seed: to `metrics.jsonl`, to TensorBoard where it is installed, and to the\n"
        "callbacks. r is the ratio π(a\\|s) / π_old(a\\|s), A the advantage; means are over valid rows.\n\n"
    )
    return head + "\n".join(["| name | meaning |", "|---|---|", *rows]) + "\n"


def relative_links(page: Path) -> list[str]:
    """The targets of a page's links that stay inside the repository; code does not count."""
    text = re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text()))
    return [target for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def link_fault(page: Path, link: str) -> str | None:
    """What is wrong with a link, if anything."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return f"{page.relative_to(ROOT)}: no file {link}"
    if anchor and anchor not in anchors(target):
        return f"{page.relative_to(ROOT)}: no heading for {link}"
    return None


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ +(.+?)\s*$", FENCE.sub("", page.read_text()), re.MULTILINE)
    texts = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    slugs = [re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts]
    return {f"{slug}-{n}" if (n := slugs[:i].count(slug)) else slug for i, slug in enumerate(slugs)}


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """(lines before it, code) of the blocks that are to be run."""
    text = page.read_text()
    found = [match for match in FENCE.finditer(text) if match[1].strip() == "python"]
    return [(text.count("\n", 0, match.start(2)), match[2]) for match in found]


def block_fault(page: Path) -> str | None:
    """Run a page's blocks in order as one module, in a temporary directory; says where one fails."""
    module = types.ModuleType(f"docs_{page.stem.replace('-', '_')}")
    sys.modules[module.__name__] = module  # dataclasses and linen modules look theirs up
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(directory)
        try:
            for line, code in python_blocks(page):
                exec(compile("\n" * line + code, str(page), "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)]
            return f"{page.relative_to(ROOT)}:{(lines or [0])[-1]}: {type(error).__name__}: {error}"
        finally:
            os.chdir(before)
    return None


def docstring_faults() -> list[str]:
    """Public functions and classes without a docstring of their own, and functions of maths that name no source."""
    found: list[str] = []
    for module in (proximax, proximax.maths):
        for name in module.__all__:
            thing = getattr(module, name)
            doc = inspect.getdoc(thing) or ""
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            if not doc or doc.startswith(f"{name}("):  # dataclasses and named tuples make such a line by themselves
                found.append(f"{module.__name__}.{name} has no docstring")
            elif inspect.isfunction(thing) and module is proximax.maths and "Source" not in doc:
                found += [] if name in DEFINITIONS else [f"{module.__name__}.{name} names no Source"]
    return found


if __name__ == "__main__":
    sys.exit(main())
