"""Names of version 0.1: each can be imported for one release, warns, and is the object of today."""

import importlib
import re
import subprocess
import sys

import pytest

import proximax
from proximax._renamed import ELSEWHERE, MODULES, RENAMED, RenamedModules, install
from tests.support.imports import MODULES as TODAY


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_the_object_of_today_and_the_warning_names_it(old, new):
    module, _, name = old.rpartition(".")
    package, _, new_name = new.rpartition(".")
    with pytest.warns(DeprecationWarning, match=re.escape(f"{old} is now {new};")) as record:
        found = getattr(importlib.import_module(module), name)
    assert found is getattr(importlib.import_module(package), new_name)
    assert record[0].filename == __file__  # where it is used, which is what the user has to change


def test_from_imports_of_old_modules_work_and_warn():
    with pytest.warns(DeprecationWarning, match="proximax.adapters.from_linen is now proximax.from_linen"):
        from proximax.adapters import from_linen
    assert from_linen is proximax.from_linen
    with pytest.warns(
        DeprecationWarning, match=r"proximax\.errors\.EnvironmentFault is now proximax\.errors\.EnvError"
    ):
        from proximax.errors import EnvironmentFault
    assert EnvironmentFault is proximax.errors.EnvError


@pytest.mark.parametrize("module", ["proximax", "proximax.errors", *sorted(MODULES)])
def test_a_name_that_never_was_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nonsense'"):
        _ = importlib.import_module(module).nonsense


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_of_another_library_is_an_attribute_error_that_says_what_to_use(name):
    assert not hasattr(proximax, name)
    with pytest.raises(AttributeError, match=re.escape(f"module 'proximax' has no attribute '{name}': ")) as error:
        getattr(proximax, name)
    named = re.findall(r"\bproximax\.(\w+)", str(error.value))
    assert set(named) <= set(proximax.__all__)


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("proximax.nonsense")


def test_no_old_module_hides_a_module_or_function_of_today():
    assert not {name.removeprefix("proximax.") for name in MODULES} & ({*proximax.__all__} | {*TODAY})
    for module in MODULES:
        assert isinstance(importlib.util.find_spec(module).loader, RenamedModules)


def test_the_finder_is_installed_once():
    install()
    assert [isinstance(finder, RenamedModules) for finder in sys.meta_path].count(True) == 1


@pytest.mark.process
def test_a_new_process_imports_an_old_module_first():
    script = "from proximax.keys import seed_key; print(seed_key.__module__)"
    ran = subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", script], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "DeprecationWarning: proximax.keys.seed_key is now proximax.seed_key" in ran.stderr
