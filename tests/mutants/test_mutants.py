"""The table of mutants is alive: each bug can still be put in, and its tests exist. ``mutants/run.py`` runs them."""

import ast
from functools import cache

import pytest

from tests.mutants import run as mutants

TABLE = mutants.read_table()


def title(mutant):
    return f"{mutant.trap}: {mutant.bug}"


@cache
def meaning(file):
    """A file's syntax, without its comments and layout."""
    return ast.dump(ast.parse((mutants.ROOT / file).read_text()))


@cache
def functions_of(file):
    """The names of a file's functions."""
    return {f.name for f in ast.parse((mutants.ROOT / file).read_text()).body if isinstance(f, ast.FunctionDef)}


@pytest.mark.parametrize("mutant", TABLE.mutants, ids=title)
def test_a_mutant_can_be_put_in_and_its_tests_exist(mutant):
    before, after = (mutants.ROOT / mutant.file).read_text(), mutants.mutated(mutant)
    assert after != before
    assert ast.dump(ast.parse(after)) != meaning(mutant.file)  # more than a comment
    assert mutant.killed_by
    for test in mutant.killed_by:
        path, _, case = test.partition("::")
        assert case.partition("[")[0] in functions_of(path), test


def test_every_trap_has_mutants_or_is_named_as_one_to_come():
    covered = {mutant.trap for mutant in TABLE.mutants}
    assert covered.isdisjoint(TABLE.later)
    assert covered | TABLE.later == set(TABLE.traps) == set(range(1, 45))


def test_no_mutant_is_there_twice():
    changes = [(m.file, m.old, m.new) for m in TABLE.mutants]
    assert len(set(changes)) == len(changes)
    assert len(set(map(title, TABLE.mutants))) == len(changes)


def test_a_bug_that_no_longer_fits_is_an_error():
    one = TABLE.mutants[0]
    for old, times in (("no such text", 0), ("gamma", r"\d+")):
        with pytest.raises(ValueError, match=f"is {times} times in {one.file}, must be once"):
            mutants.mutated(mutants.Mutant(1, "stale", one.file, old, "", ()))


REPORT = """<testsuites><testsuite>
<testcase classname="tests.maths.test_x" name="test_a[1]"><failure message="assert 1 == 2">...</failure></testcase>
<testcase classname="tests.test_y" name="test_b"><failure message="ValueError: x: y">...</failure></testcase>
<testcase classname="tests.test_y" name="test_c"><failure message="Failed: DID NOT RAISE X">...</failure></testcase>
<testcase classname="tests.test_y" name="test_d"><failure message="a.b.UsageError: no">...</failure></testcase>
<testcase classname="tests.test_y" name="test_e"><error message="ModuleNotFoundError: no">...</error></testcase>
<testcase classname="tests.test_y" name="test_f"><skipped message="no"/></testcase>
<testcase classname="tests.test_y" name="test_g"/>
</testsuite></testsuites>"""


def test_only_a_test_that_ran_and_failed_as_it_should_kills(monkeypatch, tmp_path):
    cases = mutants.ElementTree.fromstring(REPORT).iter("testcase")
    outcomes = dict(map(mutants.outcome, cases))
    kinds = ["ValueError", "Failed", "UsageError", "error", "skipped", "passed"]
    expected = {f"tests/test_y.py::test_{x}": kind for x, kind in zip("bcdefg", kinds)}
    assert outcomes == {"tests/maths/test_x.py::test_a[1]": "AssertionError", **expected}
    monkeypatch.setattr(mutants, "run_tests", lambda tests, folder: outcomes)
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "x.py").touch()
    monkeypatch.setattr(mutants, "mutated", lambda mutant: "")

    def survived(*tests, raises=(), broken=()):
        one = mutants.Mutant(1, "", "x.py", "", "", tests, raises)
        return mutants.verdict(one, tmp_path / "sources", frozenset(broken))

    assert survived("tests/maths/test_x.py::test_a", "tests/test_y.py::test_c") == ""
    assert survived("tests/test_y.py::test_d", raises=("UsageError",)) == ""
    for name, found in (("b", "ValueError"), ("d", "UsageError"), ("e", "error"), ("f", "skipped"), ("g", "passed")):
        test = f"tests/test_y.py::test_{name}"
        assert survived(test, "tests/test_y.py::test_c") == f"{test}: {found}"
    assert survived("tests/test_y.py::test_h") == "tests/test_y.py::test_h: did not run"
    test = "tests/test_y.py::test_c"
    assert survived(test, broken=[test, "other"]) == f"fails without the bug too: {test}"
