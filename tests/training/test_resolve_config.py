"""From what a user says to the complete configuration: presets, algorithms, overrides."""

import gymnasium
import pytest

import proximax
from proximax.config.atari_config import AtariConfig
from proximax.config.ppo_config import PPOConfig
from proximax.envs import Game
from proximax.errors import UsageError
from proximax.training.resolve_config import resolve, with_reward_hook


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
    assert (config.algo, own) == ("custom:mine", mine)
    assert config.ppo == resolve("CartPole-v1", None, {})[0].ppo


def test_no_record_of_settings_is_passed_over():
    with pytest.raises(UsageError, match="ppo: give its settings by their own names, as learning_rate=1e-3"):
        resolve("CartPole-v1", None, {"ppo": PPOConfig(gamma=0.5)})
    small = AtariConfig(stack=1)
    with pytest.raises(UsageError, match="atari: only for Atari games by their id; gymnasium:CartPole-v1 is not one"):
        resolve("CartPole-v1", None, {"atari": small})
    assert resolve("CartPole-v1", "pong", {"atari": None})[0].atari is None
    with pytest.raises(UsageError, match=r"atari = \{'stack': 1\}: must be an AtariConfig or None"):
        resolve("ALE/Pong-v5", None, {"atari": {"stack": 1}})
    for env in ("ALE/Pong-v5", Game("ALE/Pong-v5")):
        assert resolve(env, None, {"atari": small, "height": 50})[0].atari == AtariConfig(stack=1, height=50)


def nothing(key, observation_space, action_space):
    return ()


def doubled(state, rollout):
    return 2 * rollout.reward, state, {"mean": rollout.reward.mean()}


DOUBLE = proximax.RewardHook("double", nothing, doubled)


def test_a_reward_hook_makes_a_custom_algorithm_with_the_settings_of_the_one_it_changes():
    config, custom = resolve("CartPole-v1", None, {"algo": "penalty"})
    changed, algorithm = with_reward_hook(config, custom, DOUBLE)
    assert (changed.algo, algorithm.name) == ("custom:penalty+double", "penalty+double")
    assert changed.ppo == config.ppo
    assert algorithm._replace(name="penalty", reward_hook=None) == proximax.ALGORITHMS["penalty"]
    mine = proximax.Algorithm("mine", lambda inputs, scheduled: inputs.advantage)
    assert with_reward_hook(*resolve("CartPole-v1", None, {"algo": mine}), DOUBLE)[0].algo == "custom:mine+double"


def test_settings_that_the_algorithm_forbids_are_refused_with_a_reward_hook_too():
    config, _ = resolve("CartPole-v1", None, {"algo": "trpo", "target_kl": 0.1})
    with pytest.raises(UsageError, match=r"target_kl = 0\.1: the KL of a trpo step is bounded by max_kl"):
        with_reward_hook(config, None, DOUBLE)


def test_a_reward_hook_that_would_see_parts_of_rollouts_is_refused():
    config, _ = resolve("CartPole-v1", None, {"shards": 2})
    with pytest.raises(UsageError, match=r"learns from whole rollouts, and each of 2 shards .*; leave shards out"):
        with_reward_hook(config, None, DOUBLE)


def test_another_number_of_environments_than_the_vector_environment_has_is_told(capsys):
    env = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 8)
    assert resolve(env, "none", {"num_envs": 4})[0].num_envs == 8
    told = "proximax: warning: num_envs = 4 is not used: the vector environment has 8 for each seed\n"
    assert capsys.readouterr().err == told
    resolve(env, "none", {"num_envs": 8})
    resolve(env, "none", {})
    assert capsys.readouterr().err == ""


def test_a_run_like_another_library_starts_from_its_settings_instead_of_a_preset():
    config, _ = resolve("CartPole-v1", None, {"like": "sb3", "learning_rate": 1e-3})
    assert (config.like, config.preset, config.num_envs, config.ppo.num_steps) == ("sb3", None, 1, 2048)
    assert (config.ppo.learning_rate, config.ppo.value_clip, config.ppo.bessel_correction) == (1e-3, "alone", True)
    assert proximax.config.from_json(config.to_json()) == config
    assert resolve("CartPole-v1", "none", {"like": "sb3", "num_envs": 4})[0].num_envs == 4


@pytest.mark.parametrize(
    ("preset", "settings", "message"),
    [
        ("cartpole", {"like": "sb3"}, "takes the place of a preset; leave preset = 'cartpole' out"),
        (None, {"like": "sb3", "algo": "trpo"}, "what it sets is of PPO; leave algo = 'trpo' out"),
        (None, {"like": "brax"}, "like = 'brax': must be one of sb3, cleanrl, cleanrl-continuous, rllib, paper"),
        (None, {"like": 3}, "like = 3: must be one of sb3"),
    ],
)
def test_what_does_not_go_with_another_librarys_settings_is_refused(preset, settings, message):
    with pytest.raises(UsageError, match=message):
        resolve("CartPole-v1", preset, settings)
