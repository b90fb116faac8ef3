"""The command that trains a run again gives its settings back."""

import shlex
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proximax.cli.commands import config_of, parse
from proximax.config import PRESETS, PPOConfig, RunConfig
from proximax.errors import UsageError
from proximax.reports.reproduction import command_of
from proximax.training import resolve
from tests.support.strategies import run_configs


def settings_said_by(command):
    """The settings that the command line takes from it."""
    program, *arguments = shlex.split(command)
    assert program == "proximax"
    return config_of(parse(arguments))


@pytest.mark.parametrize(
    ("env", "preset", "overrides"),
    [
        ("CartPole-v1", None, {}),
        ("CartPole-v1", "none", {"algo": "trpo", "seeds": 3}),
        ("Pendulum-v1", None, {"algo": "penalty", "hidden": (32,), "anneal": (), "log_std_init": -0.5}),
        ("ALE/Pong-v5", None, {"frame_skip": 2, "actions": (2, 3), "learning_rate": 1e-5}),
        ("probe:matching", None, {"stop_at_return": -1.5, "target_kl": 0.02, "normalise_obs": False}),
        ("FrozenLake-v1", None, {"env_kwargs": {"is_slippery": False, "map_name": "8x8", "desc": None, "p": "0.5"}}),
        ("my_package:Env-v0", None, {"init_from": "runs/a b; rm -rf", "max_grad_norm": None}),
    ],
)
def test_it_gives_the_settings_of_the_run(env, preset, overrides):
    config = resolve(env, preset, overrides)[0]
    assert settings_said_by(command_of(config)) == config


def test_only_what_is_not_set_by_itself_is_said():
    config = resolve("CartPole-v1", None, {"algo": "a2c", "seeds": 3})[0]
    assert command_of(config) == "proximax train CartPole-v1 --algo a2c --seeds 3"
    assert command_of(replace(config, preset=None)).startswith(
        "proximax train CartPole-v1 --algo a2c --preset none --steps 100000"
    )


@pytest.mark.slow
@given(run_configs(), st.sampled_from(["CartPole-v1", "Other-v3", "probe:matching"]), st.sampled_from([None, *PRESETS]))
def test_whatever_is_set_comes_back(config, env, preset):
    env_id = str(resolve(env, "none", {})[0].env)
    config = replace(config, env=env_id, atari=None, preset=preset)
    if config.algo.startswith("custom:"):
        assert command_of(config) is None
        return
    try:
        base = resolve(env, preset, {"algo": config.algo})[0]
    except UsageError:
        base = None
    assume(base is not None and base.atari is None)
    assert settings_said_by(command_of(config)) == config


@pytest.mark.parametrize(
    "config",
    [
        RunConfig("object:MyEnv"),
        RunConfig("gymnasium:CartPole-v1", algo="custom:mine"),
        RunConfig("gymnasium:X-v0", env_kwargs={"not-a-name": 1}),
        RunConfig("gymnasium:X-v0", env_kwargs={"x": float("inf")}),
        RunConfig("gymnasium:ALE/Pong-v5", atari=None, ppo=PPOConfig()),
    ],
)
def test_of_what_only_python_can_say_there_is_none(config):
    assert command_of(config) is None
