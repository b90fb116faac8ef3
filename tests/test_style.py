"""What a machine can hold the code to: lengths, words, a documented public surface, no dead settings."""

import ast
import dataclasses
import inspect
import re

import pytest

import proximax
from proximax import maths
from proximax.config import PPOConfig, RunConfig
from tests.support.imports import MODULES, room


def functions(path):
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def code_lines(node, source):
    body = node.body[1:] if ast.get_docstring(node) else node.body
    lines = source.splitlines()[body[0].lineno - 1 : node.end_lineno] if body else []
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short_flat_and_take_few_arguments(module):
    source = MODULES[module].read_text()
    assert len(source.splitlines()) <= 350
    for node in functions(MODULES[module]):
        assert code_lines(node, source) <= 45, node.name
        if node.name not in proximax.__all__:  # what users call has a keyword for each thing they may say
            assert len(node.args.args) + len(node.args.kwonlyargs) <= 8 + (node.args.args[:1] == ["self"]), node.name
        inner = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n is not node]
        assert not any(isinstance(n, ast.FunctionDef) for f in inner for n in ast.walk(f) if n is not f), node.name


def test_the_word_done_stays_with_other_peoples_apis():
    for module, path in MODULES.items():
        names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
        assert not {name for name in names if re.fullmatch(r"dones?|.*_dones?", name)}, module


def test_no_pickle_eval_or_host_callback_anywhere():
    for module, path in MODULES.items():
        text = path.read_text()
        assert not re.search(
            r"import pickle|pickle\.|cloudpickle|\beval\(|\bexec\(|pure_callback|io_callback|allow_pickle=True", text
        ), module


@pytest.mark.parametrize("package", [proximax, maths])
def test_every_public_name_is_there_and_documented(package):
    for name in package.__all__:
        thing = getattr(package, name)
        if not inspect.ismodule(thing):
            assert inspect.getdoc(thing), name


@pytest.mark.parametrize("name", [name for name in proximax.__all__ if hasattr(getattr(proximax, name), "_fields")])
def test_a_public_tuple_explains_its_fields(name):
    """``help`` shows none of the comments beside them."""
    text, fields = inspect.getdoc(getattr(proximax, name)), getattr(proximax, name)._fields
    if name != "Policy":  # which explains its calls
        assert not [field for field in fields if not re.search(rf"\b{field}\b", text)]


@pytest.mark.parametrize("name", [n for n in maths.__all__ if inspect.isfunction(getattr(maths, n))])
def test_every_equation_names_its_source_or_is_a_plain_definition(name):
    plain = {"batch_moments", "init_moments", "normalise", "update_moments", "variance"}
    assert name in plain or "Source:" in inspect.getdoc(getattr(maths, name))


@pytest.mark.parametrize("field", [f.name for f in (*dataclasses.fields(PPOConfig), *dataclasses.fields(RunConfig))])
def test_every_setting_is_read_somewhere(field):
    code = "".join(path.read_text() for module, path in MODULES.items() if room(module) != "config")
    assert re.search(rf"\.{field}\b", code)
