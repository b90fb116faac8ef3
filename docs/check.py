"""Check the documentation: links, Python blocks, flags, names, generated pages, docstrings.

python docs/check.py                       everything
python docs/check.py docs/guides/runs.md   these pages only
python docs/check.py --write               first bring the generated pages up to date
python docs/check.py --static              everything but running the Python blocks
"""

import argparse
import contextlib
import inspect
import io
import multiprocessing
import os
import re
import sys
import tempfile
import traceback
import types
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import cloudpickle
import jax
from generate import ROOT, command_flags, generated_pages
from pages import FENCE, INLINE, anchors, inline_code, python_blocks, relative_links

import proximax
from proximax.runtime.compilation import usable_cores
from tests.support.quick_compiler import compile_quickly, keep_programs

PAGES = ("*.md", "docs/**/*.md", "docs/**/*.ipynb", "benchmarks/**/*.md")
# Functions of proximax.maths that are definitions, not an equation of a paper; every other one names its source.
DEFINITIONS = {"batch_moments", "init_moments", "normalise", "update_moments", "variance"}
OTHER_FLAGS = {"--write", "--static", "--help", "--version", "--logdir"}
OTHER_FLAGS |= {"--hypothesis-profile", "--jaxtyping-packages", "--collect-only", "--fault", "--trap"}  # of pytest
OTHER_FLAGS |= {"--cluster"}
OTHER_FLAGS |= {"--from", "--spec"}  # of uvx and pipx
OTHER_FLAGS |= {"--ntasks", "--cpus-per-task", "--requeue", "--kill-on-bad-exit"}  # of Slurm
FOREIGN = {"PPOKLPenaltyAgent", "TRUST_REMOTE_CODE", "VecNormalize", "_final_obs", "all_gather", "bootstrap_on_timeout"}
FOREIGN |= {"psum_scatter", "vf_coef", "weights_only"}  # names of other libraries that pages speak of
LOGGERS = {"proximax.doctor", "proximax.progress"}
HISTORY = {"CHANGELOG.md", "log.md"}  # speak of names that were
OF_OTHERS = {"migrate.md"}  # whose tables have names of other libraries in their first column
API_PAGES = {"api.md", "maths.md"}


def main() -> int:
    """Run all checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, help="these pages only")
    parser.add_argument("--write", action="store_true", help="first bring the generated pages up to date")
    parser.add_argument("--static", action="store_true", help="run no Python blocks")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    pages = [path.resolve() for path in options.pages] or sorted({p for kind in PAGES for p in ROOT.glob(kind)})
    problems = generated_problems(options.write)
    for page in pages:
        problems += link_problems(page)
        if page.name not in HISTORY:
            problems += flag_problems(page) + path_problems(page) + name_problems(page) + definition_problems(page)
    problems += docstring_problems()
    documents = [page for page in pages if page.is_relative_to(ROOT / "docs")]
    if not options.static:
        problems += block_problems(documents)
    blocks, links = sum(len(python_blocks(page)) for page in documents), sum(len(relative_links(p)) for p in pages)
    print("\n".join(problems) or f"docs: {len(pages)} pages, {links} links, {blocks} code blocks: no problem")
    return int(bool(problems))


def generated_problems(write: bool) -> list[str]:
    """Generated pages that are out of date; with ``write`` they are brought up to date instead."""
    problems = []
    for page, text in generated_pages().items():
        problems += wordless_problems(page, text)
        if write:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            problems.append(f"{name(page)} is out of date: run docs/check.py --write")
    return problems


def wordless_problems(page: Path, text: str) -> list[str]:
    """Parameters and fields of the reference of the Python API of which nothing is said."""
    problems, title = [], ""
    for line in text.splitlines() if page.name in API_PAGES else []:
        title = line.lstrip("# ") if line.startswith("#") else title
        if line.endswith("|  |"):
            parameter = line.split("`")[1]
            problems.append(
                f"{name(page)}: nothing is said of {parameter} of {title}: say it in its docstring or comment"
            )
    return problems


def name(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


def link_problems(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    problems = []
    for link in relative_links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        exists = target.exists() and target.is_relative_to(ROOT)
        if not exists or (anchor and anchor not in anchors(target)):
            problems.append(f"{name(page)}: the link {link} leads nowhere")
    return problems


def flag_problems(page: Path) -> list[str]:
    """Flags in code that no command of ours has."""
    text = "\n".join([*(m[2] for m in FENCE.finditer(page.read_text())), *our_code(page)])
    text = re.sub(r"--env-kwargs\.[\w.]+", "", text)
    text = re.sub(r"XLA_FLAGS=\"[^\"]*\"", "", text)
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]", text))
    known = command_flags() | OTHER_FLAGS
    known |= {flag.partition(".")[0] for flag in known}  # --ppo, of all its settings
    return [f"{name(page)}: no command has the flag {flag}" for flag in sorted(flags - known)]


def path_problems(page: Path) -> list[str]:
    """Modules, attributes and files that a page names and that do not exist."""
    problems = []
    for code in inline_code(page):
        path = re.fullmatch(r"(proximax|tests|docs|benchmarks|examples)/[a-z0-9_/.-]+", code)
        if path and not (ROOT / code).exists():
            problems.append(f"{name(page)}: there is no {code}")
        dotted = re.match(r"proximax(\.\w+)+", code)
        if dotted and dotted[0] not in LOGGERS and not exists(dotted[0]):
            problems.append(f"{name(page)}: there is no {dotted[0]}")
    return problems


def name_problems(page: Path) -> list[str]:
    """Names in code that occur nowhere in the source: they were renamed, or are misspelt."""
    blocks = " ".join(m[2] for m in FENCE.finditer(page.read_text()))
    known = words_of_source() | FOREIGN | set(re.findall(r"\w+", blocks))
    names = [m[1] for code in our_code(page) if (m := re.fullmatch(r"([A-Za-z_][\w.]*)(\(\))?", code))]
    parts = {part for dotted in names for part in dotted.split(".") if re.search(r"_|[a-z][A-Z]", part)}
    return [f"{name(page)}: nothing is called {part}" for part in sorted(parts - known)]


def our_code(page: Path) -> list[str]:
    """What is between backticks, without the first column of tables of other libraries' names."""
    if page.name not in OF_OTHERS:
        return inline_code(page)
    text = re.sub(r"^\|[^|]*\|", "|", FENCE.sub("", page.read_text()), flags=re.MULTILINE)
    return INLINE.findall(text)


@cache
def words_of_source() -> set[str]:
    """All words of all Python files."""
    folders = ("proximax", "tests", "benchmarks", "examples", "docs")
    files = [path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py") if path != Path(__file__)]
    return {word for path in files for word in re.findall(r"\w+", path.read_text())}


def definition_problems(page: Path) -> list[str]:
    """Rows of tables that name a function and link to a file which does not have it."""
    problems = []
    for row in re.findall(r"^\|.*\|$", page.read_text(), re.MULTILINE):
        links = re.findall(r"\]\(([^)#]*proximax/[^)#]+[.]py)\)", row)
        sources = [path.read_text() for link in links if (path := (page.parent / link).resolve()).exists()]
        for code in re.findall(r"`([A-Za-z_]\w+)`", row) if sources else []:
            if not any(re.search(rf"\b{code}\b", source) for source in sources):
                problems.append(f"{name(page)}: {', '.join(links)} has no {code}")
    return problems


def exists(dotted: str) -> bool:
    """Whether ``proximax.x.y`` can be imported or is an attribute."""
    with contextlib.suppress(ImportError):
        __import__(dotted)
        return True
    thing: object = proximax
    for part in dotted.split(".")[1:]:
        fields = getattr(thing, "__dataclass_fields__", {})
        if not hasattr(thing, part) and part not in fields:
            return False
        thing = getattr(thing, part, None)
    return True


def block_problems(pages: list[Path]) -> list[str]:
    """Run the pages' blocks, several pages at a time, those with most blocks first; says where one fails."""
    pages = sorted(filter(python_blocks, pages), key=lambda page: -len(python_blocks(page)))
    if not pages:
        return []
    processes = min(len(pages), len(usable_cores()))
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), prepare_blocks) as pool:
        return sorted(filter(None, pool.map(block_problem, pages)))


def prepare_blocks() -> None:
    """Compile as tests do, for which the blocks are too short to optimise them, and share their programs."""
    jax.config.update("jax_platforms", "cpu")
    keep_programs(ROOT)
    compile_quickly(True)


def block_problem(page: Path) -> str | None:
    """Run a page's blocks in order as one module, in a temporary directory; says where one fails."""
    module, before = types.ModuleType(f"docs_{page.stem}"), Path.cwd()
    sys.modules[module.__name__] = module  # dataclasses and linen modules look theirs up
    cloudpickle.register_pickle_by_value(module)  # which processes of workers cannot import
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(directory)
        try:
            for line, code in python_blocks(page):
                exec(compile("\n" * line + code, str(page), "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)]
            return f"{name(page)}:{(lines or [0])[-1]}: {type(error).__name__}: {error}"
        finally:
            os.chdir(before)
    return None


def docstring_problems() -> list[str]:
    """Public names without a docstring other than the signature records get, functions of maths that name no source."""
    problems: list[str] = []
    public = {name: getattr(module, name) for module in (proximax.maths, proximax) for name in module.__all__}
    for public_name, thing in public.items():
        doc, function = inspect.getdoc(thing) or "", inspect.isfunction(thing)
        if (function or inspect.isclass(thing)) and (not doc or doc.startswith(f"{public_name}(")):
            problems.append(f"{public_name} has no docstring")
        if function and public_name in set(proximax.maths.__all__) - DEFINITIONS and "Source" not in doc:
            problems.append(f"{public_name} names no Source")
    return problems


if __name__ == "__main__":
    sys.exit(main())
