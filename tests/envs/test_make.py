"""From an id or an object to an environment, and what wrong ones are told."""

import py_compile
import sys
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from proximax.envs import JaxEnv, env_name, make_env, probe
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.make import make_rendered_env
from proximax.errors import DependencyError, EnvError, UsageError
from tests.support.toy_envs import vector
from tests.support.toy_gym import Script


@pytest.mark.parametrize(
    ("env", "near"),
    [
        ("CartPol-v1", "CartPole-v1"),
        ("gymnax:Breakout-MinAtr", "Breakout-MinAtar"),
        ("Breakout-MinAtar", "gymnax:Breakout-MinAtar"),
        ("envpool:HalfCheeta-v4", "HalfCheetah-v4"),
        ("probe:chioce", "choice"),
        ("ALE/Pong-v4", "ALE/Pong-v5"),
        ("Pong-v5", "ALE/Pong-v5"),
    ],
)
def test_an_unknown_id_is_answered_with_the_nearest_and_the_sources(env, near):
    with pytest.raises(UsageError, match=near) as info:
        make_env(env)
    assert "gymnasium:, envpool:, gymnax:, brax:, playground:, probe:" in str(info.value)


def test_a_package_that_is_not_installed_or_does_not_import_is_named(tmp_path, monkeypatch):
    with pytest.raises(DependencyError, match=r"no_such_package.*which Python does not find"):
        make_env("no_such_package:Env-v0")
    (tmp_path / "broken_envs.py").write_text("raise RuntimeError('half written')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvError, match="importing 'broken_envs' raised RuntimeError: half written"):
        make_env("broken_envs:Env-v0")


def test_a_compiled_module_that_a_full_disk_cut_short_is_named(tmp_path, monkeypatch):
    source = tmp_path / "cut_envs.py"
    source.write_text("import gymnasium\n")
    compiled = Path(py_compile.compile(str(source)))
    compiled.write_bytes(compiled.read_bytes()[:-20])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvError, match=r"importing 'cut_envs' raised EOFError: .* delete its __pycache__"):
        make_env("cut_envs:Env-v0")


def test_a_third_party_package_registers_its_environment_when_imported(tmp_path, monkeypatch):
    (tmp_path / "my_envs.py").write_text(
        "import gymnasium\nfrom tests.support.toy_gym import Script\n"
        "gymnasium.register('MyScript-v0', entry_point=Script)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    env = make_env("my_envs:MyScript-v0", 3)
    assert env.num_envs == 3
    del gymnasium.registry["MyScript-v0"]
    del sys.modules["my_envs"]


@pytest.mark.parametrize(
    ("env", "module"),
    [
        ("envpool:CartPole-v1", "envpool"),
        ("gymnax:CartPole-v1", "gymnax"),
        ("brax:ant", "brax"),
        ("playground:CartpoleBalance", "mujoco_playground"),
    ],
)
def test_a_missing_extra_is_answered_with_its_install_line(env, module, monkeypatch):
    for part in (module, f"{module}.envs"):
        monkeypatch.setitem(sys.modules, part, None)
    extra = env.partition(":")[0]
    with pytest.raises(DependencyError, match=rf'needs {module}[.a-z]*: pip install "proximax\[{extra}\]"'):
        make_env(env)


def test_objects_are_taken_as_they_are():
    one = probe.choice()
    assert make_env(one) is one
    assert isinstance(make_env("probe:choice"), JaxEnv)
    vec = vector(Script, 3, AutoresetMode.SAME_STEP)
    made = make_env(vec, 17)
    assert isinstance(made, GymnasiumEnv)
    assert made.num_envs == 3
    assert make_env(made) is made
    assert make_env(Script, 2, groups=3).num_envs == 6
    assert env_name(Script) == "object:Script"
    assert env_name("CartPole-v1") == "gymnasium:CartPole-v1"
    assert env_name(gymnasium.make_vec("CartPole-v1", 2)) == "object:CartPole-v1"


def test_the_description_of_an_object_creates_nothing():
    with pytest.raises(UsageError, match="object:Script was a Python object"):
        make_env("object:Script")


def test_arguments_reach_the_constructor_of_every_source():
    env = make_env("FrozenLake-v1", 2, env_kwargs={"desc": ["SF", "HG"], "is_slippery": False})
    assert env.observation_space.n == 4
    env.close()
    pool = make_env("envpool:CartPole-v1", 2, env_kwargs={"max_episode_steps": 2})
    pool.reset([0, 1])
    assert [pool.step(np.zeros(2, np.int64)).truncated.tolist() for _ in range(2)] == [[False] * 2, [True] * 2]
    pool.close()
    jax_env = make_env("gymnax:CartPole-v1", env_kwargs={"max_steps_in_episode": 1})
    key = jax.random.key(0)
    assert bool(jax_env.step(key, jax_env.reset(key)[0], 0)[1].truncated)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("FrozenLake-v1", "unexpected keyword argument 'nonsense'"),
        ("gymnax:CartPole-v1", "unexpected keyword argument 'nonsense'. Its parameters: .*max_steps_in_episode"),
        ("envpool:CartPole-v1", "nonsense"),
        ("probe:constant", "takes no arguments"),
        ("ALE/Pong-v5", "settings are those of AtariConfig"),
        (Script, r"only for an environment given by its id; .*as in lambda: MyEnv\(size=3\)"),
    ],
)
def test_arguments_that_an_environment_does_not_take_are_refused(env, message):
    with pytest.raises((UsageError, EnvError), match=message):
        make_env(env, 1, env_kwargs={"nonsense": 3})


def test_an_id_with_a_vector_entry_point_alone_is_made_by_it_and_cannot_be_shown():
    gymnasium.register("Many-v0", vector_entry_point=lambda num_envs: vector(Script, num_envs, AutoresetMode.NEXT_STEP))
    try:
        env = make_env("Many-v0", 3)
        assert env.reset([0, 1, 2]).shape == (3, 3)
        env.close()
        with pytest.raises(UsageError, match="a vector environment only"):
            make_rendered_env("Many-v0")
    finally:
        del gymnasium.registry["Many-v0"]
