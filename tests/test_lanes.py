"""``make test`` leaves out what is slow, and still holds a test for every trap and of every module."""

import ast
from pathlib import Path

import pytest

from tests.mutants import run as mutants
from tests.support.imports import FACES, MODULES, definers, imports_of
from tests.support.lanes import TESTS, all_tests, marked_tests

FAST = [test for test in all_tests() if test.fast]
FAST_MODULES = {test.path for test in FAST}
# Modules that no test imports by name, and the tests that use them through others.
ELSEWHERE = {
    "__main__": "cli/test_dispatch.py",
    "cli.__main__": "cli/test_dispatch.py",
    "envs.atari.rendering": "evaluation/test_recording.py",
    "envs.rendering": "evaluation/test_recording.py",
    "envs.workers.process": "envs/workers/test_vector_env.py",
    "envs.workers.watchdog": "envs/workers/test_vector_env.py",
    "runtime.console": "system/test_fault_table.py",
    "training.periodic_video": "evaluation/test_recording.py",
    "training.result": "training/test_start.py",
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


def test_every_module_has_a_test_module_in_the_fast_lane():
    used = {module for path in FAST_MODULES for module in definers(imports_of(TESTS / path))}
    used |= {module for module, path in ELSEWHERE.items() if Path(path) in FAST_MODULES}
    assert set(MODULES) - FACES - used - {module for module in MODULES if mirror(module) in FAST_MODULES} == set()
    assert set(ELSEWHERE) <= set(MODULES)


def mirror(module):
    """Where the tests of a module are, if they have a file of their own: ``ppo.update`` -> ``ppo/test_update.py``."""
    *packages, name = module.split(".")
    return Path(*packages, f"test_{name}.py")


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
