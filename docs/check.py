"""Check the documentation: links, Python blocks, pages made from tables (``--write`` makes them anew), docstrings."""

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
from proximax.doctor import CHECKS, SEVERITIES
from proximax.runs import METRICS

ROOT = Path(__file__).resolve().parent.parent
METRICS_PAGE = ROOT / "docs" / "metrics.md"
DOCTOR_PAGE = ROOT / "docs" / "doctor.md"
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)")
METRICS_HEAD = """<!-- Made by docs/check.py --write from proximax.runs.metrics.METRICS. -->

# Metrics

Each update writes one row per seed: to `metrics.jsonl`, to TensorBoard where it is installed, and to the callbacks.
r is the ratio π(a|s) / π_old(a|s) and A the advantage, as in [ppo-clip.md](ppo-clip.md). Means are over valid rows.
"""
DOCTOR_HEAD = """<!-- Made by docs/check.py --write from proximax.doctor.CHECKS. -->

# Doctor

```console
$ proximax doctor runs/NAME
```

reads `config.json` and `metrics.jsonl` of a run, finished or not, and says what is wrong with it: the evidence in
numbers, the cause, and the flag to change. `proximax train` does the same as it goes, on stderr: the gravest finding
in one line under the progress bar, and when it ends what was found last; without a terminal each finding once. The
exit code is 0 also with findings, 4 for a directory that is no run.

Thresholds stand in [checks.py](../proximax/checks.py), each with its reason and what healthy runs reach. A finding is
a suspicion with a number, not a proof; a run without one may still learn too little. What the metrics mean:
[metrics.md](metrics.md).
"""
# Functions of proximax.maths that are definitions, not an equation of a paper; every other one names its source.
DEFINITIONS = {"batch_moments", "init_moments", "normalise", "update_moments", "variance"}


def main() -> int:
    """Run all checks; returns the exit code."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_disable_most_optimizations", True)  # the blocks mostly compile
    if "--write" in sys.argv:
        METRICS_PAGE.write_text(metrics_page())
        DOCTOR_PAGE.write_text(doctor_page())
    docs = sorted(ROOT.glob("docs/*.md"))
    pages = docs + [page for kind in ("README.md", "CHANGELOG.md", "benchmarks/*.md") for page in ROOT.glob(kind)]
    links = [(page, target) for page in pages for target in relative_links(page)]
    found = [fault for page, target in links if (fault := link_fault(page, target))]
    found += [fault for page in docs if (fault := block_fault(page))]
    for page, text in ((METRICS_PAGE, metrics_page()), (DOCTOR_PAGE, doctor_page())):
        if not page.exists() or page.read_text() != text:
            found.append(f"{page.relative_to(ROOT)} is out of date: run docs/check.py --write")
    found += docstring_faults()
    blocks, names = sum(len(python_blocks(page)) for page in docs), len(proximax.__all__ + proximax.maths.__all__)
    checked = f"docs: {len(pages)} pages, {len(links)} links, {blocks} code blocks, {names} public names: no fault"
    print("\n".join(found) or checked)
    return int(bool(found))


def metrics_page() -> str:
    """The content of docs/metrics.md."""
    rows = ["| `{}` | {} |".format(name, meaning.replace("|", "\\|")) for name, meaning in METRICS.items()]
    return "\n".join([METRICS_HEAD, "| name | meaning |", "|---|---|", *rows, ""])


def doctor_page() -> str:
    """The content of docs/doctor.md."""
    lines = [DOCTOR_HEAD]
    for severity, meaning in SEVERITIES.items():
        lines += [f"## {severity.capitalize()}s: {meaning}", ""]
        for name, check in CHECKS.items():
            cause, remedy = (re.sub(r"--ppo[.][a-z-]+", r"`\g<0>`", text) for text in (check.cause, check.remedy))
            told = [f"**{name}.** {check.look.__doc__}", "", f"- Cause: {cause}", f"- Remedy: {remedy}", ""]
            lines += told if check.severity == severity else []
    return "\n".join(lines)


def relative_links(page: Path) -> list[str]:
    """The targets of a page's links that stay inside the repository; code does not count."""
    text = re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text()))
    return [target for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def link_fault(page: Path, link: str) -> str | None:
    """What is wrong with a link, if anything."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    there = target.exists() and target.is_relative_to(ROOT) and (not anchor or anchor in anchors(target))
    return None if there else f"{page.relative_to(ROOT)}: the link {link} leads nowhere"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ +(.+?)\s*$", FENCE.sub("", page.read_text()), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {f"{slug}-{n}" if (n := slugs[:i].count(slug)) else slug for i, slug in enumerate(slugs)}


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """(lines before it, code) of the blocks that are to be run."""
    text = page.read_text()
    return [(text.count("\n", 0, m.start(2)), m[2]) for m in FENCE.finditer(text) if m[1].strip() == "python"]


def block_fault(page: Path) -> str | None:
    """Run a page's blocks in order as one module, in a temporary directory; says where one fails."""
    module, before = types.ModuleType(f"docs_{page.stem}"), Path.cwd()
    sys.modules[module.__name__] = module  # dataclasses and linen modules look theirs up
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
    """Public names without a docstring other than the signature records get, functions of maths that name no source."""
    found: list[str] = []
    public = {name: getattr(module, name) for module in (proximax.maths, proximax) for name in module.__all__}
    for name, thing in public.items():
        doc, function = inspect.getdoc(thing) or "", inspect.isfunction(thing)
        if (function or inspect.isclass(thing)) and (not doc or doc.startswith(f"{name}(")):
            found.append(f"{name} has no docstring")
        if function and name in set(proximax.maths.__all__) - DEFINITIONS and "Source" not in doc:
            found.append(f"{name} names no Source")
    return found


if __name__ == "__main__":
    sys.exit(main())
