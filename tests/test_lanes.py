"""``make test`` leaves out what is slow, and still holds a test for every trap and of every module."""

import ast
from pathlib import Path

import pytest

from tests.mutants import run as mutants
from tests.support.imports import FACES, MODULES
from tests.support.lanes import TESTS, all_tests, marked_tests

FAST = [test for test in all_tests() if test.fast]
FAST_MODULES = {test.path for test in FAST}
# Modules without a test file of their own, and where they are tested.
ELSEWHERE = {
    "__main__": "cli/test_dispatch.py",  # two lines: python -m proximax
    "cli.__main__": "cli/test_dispatch.py",  # the same: python -m proximax.cli
    "ppo.records": "ppo/test_update.py",  # types alone
}


def test_every_trap_has_a_test_in_the_fast_lane():
    table = mutants.read_table()
    guarded = {number for test in FAST for mark, number in test.marks if mark == "trap"}
    assert set(table.traps) - table.later - guarded == set()


def test_every_trap_and_fault_that_is_cited_has_a_row():
    pages = {"trap": "traps.md", "fault": "faults.md"}
    for mark, page in pages.items():
        text = (TESTS.parent / "docs" / "development" / page).read_text()
        cited = {number for test in all_tests() for name, number in test.marks if name == mark}
        assert not [number for number in cited if f"| {number} |" not in text and f"## {number}." not in text], page


@pytest.mark.parametrize("module", sorted(set(MODULES) - FACES - set(ELSEWHERE)))
def test_every_module_has_a_test_file_of_its_own_which_the_fast_lane_runs(module):
    assert mirror(module) in FAST_MODULES


def mirror(module):
    """Where the tests of a module are: ``ppo.update`` -> ``ppo/test_update.py``."""
    *packages, name = module.split(".")
    return Path(*packages, f"test_{name.strip('_')}.py")


def test_what_is_tested_elsewhere_has_no_file_of_its_own():
    for module, path in ELSEWHERE.items():
        assert module in MODULES
        assert Path(path) in FAST_MODULES
        assert not (TESTS / mirror(module)).exists()


@pytest.mark.parametrize(
    ("source", "fast", "marked"),
    [
        ("def test_a(): pass", True, set()),
        ("@pytest.mark.trap(3)\n@pytest.mark.fault(4)\ndef test_a(): pass", True, {("trap", 3), ("fault", 4)}),
        ("@pytest.mark.slow\ndef test_a(): pass", False, {("slow", None)}),
        ("pytestmark = pytest.mark.process\ndef test_a(): pass", False, {("process", None)}),
        ("pytestmark = [pytest.mark.learning]\ndef test_a(): pass", False, {("learning", None)}),
    ],
)
def test_the_lane_of_a_test_is_read_from_its_marks(source, fast, marked, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.support.lanes.TESTS", tmp_path)
    (tmp_path / "test_x.py").write_text(source)
    (test,) = marked_tests(tmp_path / "test_x.py")
    assert (test.name, test.fast, set(test.marks)) == ("test_a", fast, marked)


def test_no_test_imports_a_test_module():
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").rpartition(".")[2].startswith("test_"), path
