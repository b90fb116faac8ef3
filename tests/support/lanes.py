"""Which tests the fast lane holds, and what they are marked with, read from the source."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT

TESTS = ROOT / "tests"
SLOW_LANE = {"slow", "process", "learning"}


class Marked(NamedTuple):
    """A test function: its module, its name, and its marks with their first argument, that of the module included."""

    path: Path
    name: str
    marks: frozenset[tuple[str, object]]

    @property
    def fast(self) -> bool:
        return SLOW_LANE.isdisjoint(name for name, _ in self.marks)


def marks(node: ast.expr) -> Iterator[tuple[str, object]]:
    """(name, first argument) of each ``pytest.mark.NAME(...)`` in an expression."""
    if isinstance(node, ast.List | ast.Tuple):
        for element in node.elts:
            yield from marks(element)
        return
    called = isinstance(node, ast.Call)
    target = node.func if isinstance(node, ast.Call) else node
    if ast.unparse(target).startswith("pytest.mark."):
        first = node.args[0] if isinstance(node, ast.Call) and called and node.args else None
        yield ast.unparse(target).removeprefix("pytest.mark."), first.value if isinstance(first, ast.Constant) else None


def marked_tests(path: Path) -> Iterator[Marked]:
    """The test functions of a module."""
    body = ast.parse(path.read_text()).body
    shared = {
        mark
        for node in body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        for mark in marks(node.value)
    }
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            own = {mark for decorator in node.decorator_list for mark in marks(decorator)}
            yield Marked(path.relative_to(TESTS), node.name, frozenset(shared | own))


@cache
def all_tests() -> list[Marked]:
    """The test functions of the suite."""
    return [test for path in sorted(TESTS.rglob("test_*.py")) for test in marked_tests(path)]
