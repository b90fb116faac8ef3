"""The defaults of other libraries."""

from dataclasses import fields
from typing import get_args

import pytest

from proximax.config import LIBRARIES, LibraryName, PPOConfig, RunConfig, library_settings


def test_every_library_has_a_name_and_every_name_a_library():
    assert set(get_args(LibraryName)) == set(LIBRARIES)


@pytest.mark.parametrize("name", LIBRARIES)
def test_its_settings_are_lawful_and_none_is_the_default_anyway(name):
    settings, ppo = library_settings(name)
    config = RunConfig(env="gymnasium:CartPole-v1", ppo=ppo, **settings)
    assert config.check() is None
    assert (config.like, config.num_envs) == (name, LIBRARIES[name].num_envs)
    changed = {f.name for f in fields(PPOConfig) if getattr(ppo, f.name) != getattr(PPOConfig(), f.name)}
    assert changed == set(LIBRARIES[name].ppo)
    assert LIBRARIES[name].remains


def test_the_weight_of_the_value_loss_is_twice_that_of_a_loss_without_the_factor_one_half():
    weight = {name: library_settings(name)[1].value_coef for name in LIBRARIES}
    assert weight == {"sb3": 1.0, "cleanrl": 0.5, "cleanrl-continuous": 0.5, "rllib": 2.0, "paper": 2.0}
