"""Looking environments up: what is missing, and what to install."""

import gymnasium
import pytest

from proximax.envs.registry import find_spec, missing_dependency
from proximax.errors import DependencyError, EnvError, ProximaxError, UsageError


def test_missing_physics_engines_name_their_extra():
    error = gymnasium.error.DependencyNotInstalled("MuJoCo is not installed, run `pip install ...`")
    assert 'pip install "proximax[mujoco]"' in str(missing_dependency("Hopper-v5", error))
    error = gymnasium.error.DependencyNotInstalled("Box2D is not installed")
    assert 'pip install "proximax[box2d]"' in str(missing_dependency("LunarLander-v3", error))


@pytest.mark.parametrize("name", ["__main__:X-v0", "sys:X-v0"])
def test_a_module_that_is_there_already_is_not_looked_for(name):
    with pytest.raises(UsageError, match="no environment 'X-v0'"):
        find_spec(name)


@pytest.mark.parametrize("name", [":X-v0", ".x:X-v0", "a b:X-v0", "a/b:X-v0", "sys:no_such.thing:X-v0", "a:b:X-v0"])
def test_what_is_no_name_of_a_package_is_refused(name):
    with pytest.raises(ProximaxError, match="is not the name of a package"):
        find_spec(name)


def test_a_file_in_the_place_of_a_package_gets_its_name():
    with pytest.raises(
        UsageError, match=r"'\./robots\.py' is not the name of a package.* give its name alone, robots:Env-v0"
    ):
        find_spec("./robots.py:Robot")


def test_a_run_in_the_place_of_an_id_is_told_from_an_unknown_id(tmp_path):
    (tmp_path / "config.json").touch()
    with pytest.raises(UsageError, match=r"no environment '.*'\. It is a run: --resume continues one"):
        find_spec(str(tmp_path))


def test_a_class_of_ones_own_needs_no_registration(tmp_path, monkeypatch):
    code = (
        "import gymnasium\nclass Robot(gymnasium.Env):\n"
        "    observation_space = action_space = gymnasium.spaces.Discrete(2)\n"
        "    def __init__(self, arms=1):\n        self.arms = arms\n"
    )
    (tmp_path / "own_robots.py").write_text(code)
    (tmp_path / "more_robots.py").write_text(f"{code}gymnasium.register('Robot-v3', Robot)\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = find_spec("own_robots:Robot")
    assert gymnasium.make(spec, arms=2).unwrapped.arms == 2
    with pytest.raises(UsageError, match=r"'own_robots' has no environment 'robot'\. Did you mean own_robots:Robot"):
        find_spec("own_robots:robot")
    try:  # of a class that is registered, the id may have a time limit
        with pytest.raises(UsageError, match=r"give more_robots:Robot-v3"):
            find_spec("more_robots:Robot")
    finally:
        gymnasium.registry.pop("Robot-v3", None)


def test_a_function_in_the_place_of_an_id_gets_the_line_that_registers_it(tmp_path, monkeypatch):
    (tmp_path / "unregistered_robots.py").write_text("def Robot(): ...\nlimit = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UsageError, match=r'gymnasium.register\("Robot-v0", Robot\), then give unregistered_robots:Robot-v0'
    ):
        find_spec("unregistered_robots:Robot")
    with pytest.raises(UsageError, match="has no environment 'limit'"):
        find_spec("unregistered_robots:limit")


@pytest.mark.parametrize(
    ("code", "said"), [("import sys; sys.exit(0)", "SystemExit: 0"), ("1 / 0", "ZeroDivisionError")]
)
def test_a_package_that_cannot_be_imported_is_an_error_of_its_own(code, said, tmp_path, monkeypatch):
    (tmp_path / "quits_at_import.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvError, match=f"importing 'quits_at_import' raised {said}"):
        find_spec("quits_at_import:X-v0")


def test_a_package_that_python_does_not_find_is_never_one_to_install_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DependencyError, match=r"Python does not find.* PYTHONPATH=\.") as info:
        find_spec("robotx:Robot-v0")
    assert "pip install robotx" not in str(info.value)
    (tmp_path / "robotx.py").write_text("import gymnasium\n")
    with pytest.raises(DependencyError, match=r"lies in this folder, where Python does not look: set PYTHONPATH=\."):
        find_spec("robotx:Robot-v0")
