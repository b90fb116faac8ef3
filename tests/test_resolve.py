"""From what a user says to the complete configuration: presets, algorithms, overrides."""

import pytest

import proximax
from proximax.errors import UsageError
from proximax.resolve import resolve


def test_settings_come_from_preset_then_overrides():
    config, own = resolve("CartPole-v1", None, {"learning_rate": 0.5, "seeds": 3})
    assert own is None
    assert (config.preset, config.num_envs, config.ppo.epochs) == ("cartpole", 8, 20)
    assert (config.ppo.learning_rate, config.seeds) == (0.5, 3)
    plain, _ = resolve("CartPole-v1", "none", {})
    assert (plain.preset, plain.ppo.epochs) == (None, 10)
    other, _ = resolve("gymnax:CartPole-v1", "cartpole", {})
    assert (other.env, other.ppo.epochs) == ("gymnax:CartPole-v1", 20)
    with pytest.raises(UsageError, match="did you mean 'learning_rate'"):
        resolve("CartPole-v1", None, {"learning_rat": 0.5})


def test_settings_come_from_preset_then_algorithm_then_overrides():
    a2c, _ = resolve("CartPole-v1", None, {"algo": "a2c", "num_steps": 64})
    assert (a2c.algo, a2c.preset, a2c.ppo.epochs, a2c.ppo.minibatch_size, a2c.ppo.num_steps) == (
        "a2c",
        "cartpole",
        1,
        None,
        64,
    )
    assert a2c.check() is None
    fixed, _ = resolve("CartPole-v1", "none", {"algo": "penalty", "target_kl": None})
    assert (fixed.ppo.target_kl, fixed.ppo.kl_control) == (None, "beta")
    mine = proximax.Algorithm("mine", lambda signals, rates: signals.advantage)
    config, own = resolve("CartPole-v1", None, {"algo": mine})
    assert (config.algo, own) == ("own:mine", mine)
    assert config.ppo == resolve("CartPole-v1", None, {})[0].ppo
