"""The presets: each is valid, and found by its environment and by its name."""

import re
from dataclasses import replace

import pytest

from proximax.cli.commands import config_of, parse
from proximax.config.atari_config import AtariConfig
from proximax.config.ppo_config import PPOConfig
from proximax.config.presets import ALGORITHM_SETTINGS, PRESETS, find_preset, preset_settings
from proximax.config.run_config import RunConfig
from proximax.envs import EnvId
from proximax.errors import UsageError
from proximax.ppo.algorithms import ALGORITHMS
from proximax.training.resolve_config import resolve


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_says_what_to_expect_and_where_it_is_from(name):
    preset = PRESETS[name]
    settings, ppo = preset_settings(name)
    config = RunConfig(env=preset.env, ppo=ppo, **settings)
    config.check()
    assert (config.preset, config.steps, config.num_envs) == (name, preset.steps, preset.num_envs)
    assert config.ppo == preset.ppo
    assert config.updates >= 1
    assert re.fullmatch(r"(gymnasium|envpool|gymnax):(ALE/)?[\w*-]+", preset.env)
    assert re.fullmatch("" if name == "atari" else r"-?\d+", preset.expected)
    assert preset.source
    assert re.fullmatch(r"[a-z0-9-]+", name)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_found_by_its_environment_and_by_its_name(name):
    first = next(other for other in PRESETS if PRESETS[other].env == PRESETS[name].env)
    assert find_preset(PRESETS[name].env, None) == first
    assert find_preset("gymnasium:Other-v0", name) == name  # asked for by name, on any environment


@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("name", [None, *PRESETS])
def test_every_algorithm_goes_with_every_preset_and_with_none(name, algo):
    settings, ppo = preset_settings(name, algo)
    assert RunConfig(env="gymnasium:X-v0", algo=algo, ppo=ppo, **settings).check() is None
    assert set(PRESETS[name].algos if name else {}) <= set(ALGORITHMS)


def test_what_an_algorithm_sets_by_itself_over_defaults_and_presets():
    assert set(ALGORITHM_SETTINGS) <= set(ALGORITHMS)
    for name in (None, *PRESETS):  # CartPole's has minibatches of 256 and 20 epochs
        a2c, penalty, reinforce = (preset_settings(name, algo)[1] for algo in ("a2c", "penalty", "reinforce"))
        assert (a2c.epochs, a2c.minibatch_size) == (1, None)
        assert (penalty.target_kl, penalty.kl_control) == (0.01, "beta")
        assert reinforce.advantage == "to-go"
    assert preset_settings(None, "reinforce")[1] == PPOConfig(advantage="to-go")
    assert preset_settings(None, "trpo")[1] == preset_settings(None, "custom:mine")[1] == PPOConfig()
    assert preset_settings("cartpole", "custom:mine") == preset_settings("cartpole")


def test_a_preset_may_set_more_for_one_algorithm_which_wins(monkeypatch):
    preset = PRESETS["cartpole"]._replace(algos={"a2c": {"learning_rate": 0.5, "minibatch_size": 128}})
    monkeypatch.setitem(PRESETS, "cartpole", preset)
    a2c = preset_settings("cartpole", "a2c")[1]
    assert (a2c.learning_rate, a2c.minibatch_size, a2c.epochs) == (0.5, 128, 1)
    assert a2c.gamma == preset.ppo.gamma
    assert preset_settings("cartpole", "clip")[1] == preset.ppo


@pytest.mark.parametrize(
    ("env", "preset"),
    [
        ("ALE/Pong-v5", "pong"),
        ("gymnasium:ALE/Pong-v5", "pong"),
        ("ALE/Breakout-v5", "breakout"),
        ("ALE/Qbert-v5", "atari"),
        ("ALE/NoSuchGame-v5", "atari"),
        ("envpool:Pong-v5", "pong"),
        ("envpool:MsPacman-v5", "atari"),
        ("envpool:HalfCheetah-v5", None),
        ("PongNoFrameskip-v4", None),
    ],
)
def test_an_atari_game_has_its_own_preset_or_that_of_all_whoever_plays_it(env, preset):
    if env.startswith("envpool:"):
        pytest.importorskip("envpool")
    assert find_preset(str(EnvId.parse(env).in_ale), None) == preset
    config, _ = resolve(env, None, {})
    assert config.preset == preset
    assert config_of(parse(["train", env])) == config  # the command line agrees with the API
    if preset:
        assert config.atari == PRESETS[preset].run["atari"]
        assert config.eval_stochastic
    else:
        assert config.atari is None


def test_what_a_user_sets_of_a_game_wins_over_its_preset():
    config, _ = resolve("ALE/Pong-v5", None, {"stack": 3, "sticky_actions": 0.25, "eval_stochastic": False})
    assert (config.atari.stack, config.atari.sticky_actions, config.eval_stochastic) == (3, 0.25, False)
    assert config.atari.height == PRESETS["pong"].run["atari"].height
    flags = [
        "--atari.stack",
        "3",
        "--atari.sticky-actions",
        "0.25",
        "--eval-stochastic",
        "False",
        "--atari.actions",
        "2",
        "3",
    ]
    command = config_of(parse(["train", "ALE/Pong-v5", *flags]))
    assert command.atari == replace(config.atari, actions=(2, 3))
    assert not command.eval_stochastic
    assert config_of(parse(["train", "CartPole-v1", "--eval-stochastic", "True"])).eval_stochastic
    assert resolve("ALE/Pong-v5", "none", {})[0].atari == AtariConfig()
    assert resolve("CartPole-v1", "pong", {})[0].atari is None
    assert config_of(parse(["train", "CartPole-v1", "--preset", "pong"])).atari is None


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
