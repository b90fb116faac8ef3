"""Put well-known bugs of PPO code into a copy of the package, one at a time, and see the tests that name them fail.

    python tests/mutants/run.py [--trap N] [--since COMMIT] [--jobs K]

``mutants.toml`` has the bugs and the tests. A bug is killed if every test named for it ran and failed, by an assertion
or by one of the errors listed with it; an import that fails, a test that is skipped or one that hangs kills nothing.
Nor does a test that fails without the bug too. A run of all of them writes ``results.md``. Exit code: 0 if all were
killed, 1 if some survived, 2 if a bug cannot be put in.
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).resolve().parent
TABLE = HERE / "mutants.toml"
ROOT = HERE.parents[1]
NEEDED = ("proximax", "tests", "examples", "pyproject.toml")  # by the tests that are named
LIBRARIES = (
    "jax",
    "gymnasium.vector",
    "optax",
    "safetensors.numpy",
    "scipy.stats",
    "hypothesis.extra.numpy",
    "beartype",
)
LIMIT_SECONDS = 600


@dataclass(frozen=True)
class Mutant:
    """A bug: ``old`` text, which the file has exactly once, becomes ``new``. The tests ``killed_by`` see it."""

    trap: int
    bug: str
    file: str
    old: str
    new: str
    killed_by: tuple[str, ...]
    raises: tuple[str, ...] = ()  # what else than an AssertionError a test may fail with


@dataclass(frozen=True)
class Table:
    """What ``mutants.toml`` holds."""

    traps: dict[int, str]
    later: frozenset[int]
    mutants: list[Mutant]


def read_table() -> Table:
    """``mutants.toml``."""
    values = tomllib.loads(TABLE.read_text())
    mutants = [Mutant(**{k: tuple(v) if isinstance(v, list) else v for k, v in m.items()}) for m in values["mutant"]]
    traps = {int(number): words for number, words in values["traps"].items()}
    return Table(traps, frozenset(values["later"]), mutants)


def texts_at(commit: str) -> set[tuple[str, str]]:
    """(old, new) of the table as it was at a commit."""
    path = f"{commit}:./{TABLE.name}"
    shown = subprocess.run(["git", "show", path], cwd=HERE, capture_output=True, text=True, check=True).stdout
    return {(mutant["old"], mutant["new"]) for mutant in tomllib.loads(shown)["mutant"]}


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The file's text with the bug."""
    text = (root / mutant.file).read_text()
    if (times := text.count(mutant.old)) != 1:
        raise ValueError(
            f"trap {mutant.trap}, {mutant.bug!r}: its old text is {times} times in {mutant.file}, must be once. "
            f"Bring it up to date in mutants.toml:\n{mutant.old}"
        )
    return text.replace(mutant.old, mutant.new)


def copy_sources(folder: Path) -> None:
    """The package and its tests as they are."""
    leave = shutil.ignore_patterns("__pycache__")
    for name in NEEDED:
        source = ROOT / name
        target = folder / name
        shutil.copytree(source, target, ignore=leave) if source.is_dir() else shutil.copy2(source, target)


def run_tests(tests: Sequence[str], folder: Path, limit_s: float = LIMIT_SECONDS) -> dict[str, str]:
    """What became of each test: "passed", "skipped", "error", or the kind of exception it failed with."""
    report = folder / "report.xml"
    line = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", f"--rootdir={folder}"]
    child = os.fork()
    if child == 0:
        run_pytest([*line, "--jaxtyping-packages=proximax.maths,beartype.beartype", *tests], folder)
    begin = time.monotonic()
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() - begin > limit_s:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise RuntimeError(f"no end within {limit_s:g} s")
        time.sleep(0.05)
    if not report.exists():
        raise RuntimeError(f"pytest wrote no report:\n{(folder / 'output.txt').read_text()[-2000:]}")
    return dict(map(outcome, ElementTree.parse(report).iter("testcase")))


def run_pytest(line: list[str], folder: Path) -> NoReturn:
    """The life of a child process: pytest on the package in ``folder``."""
    try:
        output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        # Before any installed proximax, here and in the processes that tests start.
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        pytest.main(line)
    finally:
        os._exit(0)


def outcome(case: ElementTree.Element) -> tuple[str, str]:
    """(node id, what became of it) of a test case in pytest's report."""
    node = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
    if case.find("error") is not None:
        return node, "error"
    failure = case.find("failure")
    if failure is None:
        return node, "passed" if case.find("skipped") is None else "skipped"
    message = failure.get("message", "")
    kind = message.split(":")[0].split("\n")[0].rpartition(".")[2]
    return node, "AssertionError" if message.startswith("assert ") else kind


def cases_of(test: str, outcomes: dict[str, str]) -> list[str]:
    """What became of the cases of a test named with or without its parameters."""
    return [result for node, result in outcomes.items() if node == test or node.startswith(f"{test}[")]


def verdict(mutant: Mutant, sources: Path, broken: frozenset[str]) -> str:
    """What happened instead where not every test named for the bug failed as it should; nothing if all did.

    ``broken`` are the tests that do not pass without a bug either: they kill nothing.
    """
    if useless := broken.intersection(mutant.killed_by):
        return f"fails without the bug too: {', '.join(sorted(useless))}"
    expected = {"AssertionError", "Failed", *mutant.raises}  # Failed: what pytest.raises waited for did not come
    with tempfile.TemporaryDirectory(dir=sources.parent) as name:
        folder = shutil.copytree(sources, Path(name) / "mutant")  # with bytecode, but for the file that is changed
        (folder / mutant.file).write_text(mutated(mutant))
        try:
            outcomes = run_tests(mutant.killed_by, folder)
        except RuntimeError as error:
            return str(error)
    seen = {test: cases_of(test, outcomes) for test in mutant.killed_by}
    blind = [f"{test}: {', '.join(sorted(set(found))) or 'did not run'}" for test, found in seen.items()]
    return "; ".join(text for text, found in zip(blind, seen.values()) if not expected & set(found))


def broken_tests(mutants: list[Mutant], sources: Path) -> frozenset[str]:
    """Which of the tests named do not pass as things are."""
    tests = sorted({test for mutant in mutants for test in mutant.killed_by})
    outcomes = run_tests(tests, sources, LIMIT_SECONDS * len(tests))
    (sources / "report.xml").unlink()
    return frozenset(test for test in tests if set(cases_of(test, outcomes)) != {"passed"})


def row(mutant: Mutant, survived: str) -> str:
    """A line of the table."""
    tests = ", ".join(f"`{test.removeprefix('tests/')}`" for test in mutant.killed_by)
    return f"| {mutant.trap} | {mutant.bug} | {f'**SURVIVED**: {survived}' if survived else tests} |"


def page(table: Table, verdicts: list[str]) -> str:
    """The content of results.md."""
    killed = verdicts.count("")
    lines = [
        "# Mutants",
        "",
        f"{killed} of {len(verdicts)} bugs are killed: the tests beside each pass, and fail once it is in the source.",
        "Made by `python tests/mutants/run.py` from `mutants.toml`.",
        "",
        "| trap | bug | killed by |",
        "|--:|---|---|",
        *map(row, table.mutants, verdicts),
        "",
        f"Traps without mutants so far: {', '.join(map(str, sorted(table.later)))}.",
        "",
    ]
    return "\n".join(lines)


def prepare(programs: Path) -> None:
    """Import what all tests need, but for the package itself: processes that are forked from here need not."""
    os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(programs)}
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    for name in LIBRARIES:
        importlib.import_module(name)
    assert "proximax" not in sys.modules
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # JAX has no threads yet


def main() -> int:
    """Run the mutants asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trap", type=int, help="only the bugs of this trap")
    parser.add_argument("--since", metavar="COMMIT", help="only the bugs whose texts are not in the table of a commit")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (1)")
    asked = parser.parse_args()
    table = read_table()
    tried = texts_at(asked.since) if asked.since else set()
    mutants = [m for m in table.mutants if asked.trap in (None, m.trap) and (m.old, m.new) not in tried]
    if not mutants:
        parser.error(f"none is left; there are bugs of the traps {sorted({m.trap for m in table.mutants})}")
    try:
        for mutant in mutants:
            mutated(mutant)
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        prepare(Path(name) / "programs")
        sources = Path(name) / "sources"
        sources.mkdir()
        copy_sources(sources)
        broken = broken_tests(mutants, sources)
        print("| trap | bug | killed by |\n|--:|---|---|", flush=True)
        verdicts: list[str] = []
        with multiprocessing.get_context("fork").Pool(asked.jobs) as pool:
            for mutant, survived in zip(mutants, pool.imap(partial(verdict, sources=sources, broken=broken), mutants)):
                verdicts.append(survived)
                print(row(mutant, survived), flush=True)
    print(f"\n{verdicts.count('')} of {len(verdicts)} killed")
    if mutants == table.mutants:
        (HERE / "results.md").write_text(page(table, verdicts))
    return int(any(verdicts))


if __name__ == "__main__":
    sys.exit(main())
