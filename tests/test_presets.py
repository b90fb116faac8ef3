"""The presets: each is valid, and found by its environment and by its name."""

import re

import pytest

from proximax.config import PPOConfig, RunConfig
from proximax.errors import UsageError
from proximax.presets import PRESETS, find_preset, preset_settings


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_says_what_to_expect_and_where_it_is_from(name):
    preset = PRESETS[name]
    settings, ppo = preset_settings(name)
    config = RunConfig(env=preset.env, ppo=ppo, **settings)
    config.check()
    assert (config.preset, config.steps, config.num_envs) == (name, preset.steps, preset.num_envs)
    assert config.ppo == preset.ppo
    assert config.updates >= 1
    assert re.fullmatch(r"(gymnasium|envpool|gymnax):[\w-]+", preset.env)
    assert re.fullmatch(r"-?\d+", preset.expected)
    assert preset.source
    assert re.fullmatch(r"[a-z0-9-]+", name)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_found_by_its_environment_and_by_its_name(name):
    assert find_preset(PRESETS[name].env, None) == name
    assert find_preset("gymnasium:Other-v0", name) == name  # asked for by name, on any environment


def test_no_preset():
    assert find_preset("gymnasium:CartPole-v1", "none") is None
    assert find_preset("gymnasium:Other-v0", None) is None
    assert find_preset(None, None) is None
    assert preset_settings(None) == ({}, PPOConfig())


def test_a_typo_is_answered_with_the_nearest_and_all_names():
    with pytest.raises(UsageError) as caught:
        find_preset(None, "cartpol")
    text = str(caught.value)
    assert text.startswith("no preset 'cartpol'; did you mean 'cartpole'? Presets: cartpole, ")
    assert text.endswith(", or none")
    assert all(name in text for name in PRESETS)
    with pytest.raises(UsageError, match=r"no preset 'zzz'[.;] Presets: "):
        find_preset(None, "zzz")
