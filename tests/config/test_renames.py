"""Settings under the names of version 0.1 and of other libraries."""

import re
import warnings
from dataclasses import fields

import pytest

import proximax
from proximax.config import PRESETS, RENAMED_SETTINGS, RENAMED_VALUES, NetworkName, PPOConfig, RunConfig, from_json
from proximax.config.renames import ALIASES, ANSWERS, DIFFERENCES, ELSEWHERE, current_names
from proximax.errors import UsageError
from proximax.training import resolve

SETTINGS = {f.name for record in (PPOConfig, RunConfig) for f in fields(record)}


@pytest.mark.parametrize(("old", "new"), RENAMED_SETTINGS.items())
def test_an_old_setting_is_the_new_one_with_a_warning(old, new):
    assert old not in SETTINGS
    assert new in SETTINGS
    with pytest.warns(DeprecationWarning, match=f"the setting {old} is now {new}"):
        assert current_names({old: 3, "gamma": 1}) == {new: 3, "gamma": 1}


def test_aliases_are_permanent_and_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert current_names({"gae_lambda": 0.9, "clip_range": 0.1}) == {"lam": 0.9, "epsilon": 0.1}
        ppo = resolve("CartPole-v1", "none", {"gae_lambda": 0.5, "clip_range": 0.3})[0].ppo
    assert (ppo.lam, ppo.epsilon) == (0.5, 0.3)
    assert not SETTINGS & ALIASES.keys()
    assert {*ALIASES.values()} <= SETTINGS


@pytest.mark.parametrize(
    "twice",
    [{"delta": 1, "max_kl": 1}, {"max_kl": 1, "delta": 1}, {"gae_lambda": 1, "lam": 1}],
)
def test_a_setting_under_two_names_is_refused(twice):
    with pytest.raises(UsageError, match=r"is another name of \w+: give it once"):
        current_names(twice, warn=False)


def test_old_values_are_the_new_ones_with_a_warning():
    for name, known in (("network", NetworkName.__args__), ("preset", PRESETS)):
        for old, new in RENAMED_VALUES[name].items():
            assert old not in known
            assert new in known
            with pytest.warns(DeprecationWarning, match=f"{name} = '{old}' is now '{new}'"):
                assert current_names({name: old}) == {name: new}
    with pytest.warns(DeprecationWarning, match="preset = 'pong-lesson' is now 'pong-reinforce'"):
        assert resolve("ALE/Pong-v5", "pong-lesson", {})[0].preset == "pong-reinforce"
    assert current_names({"preset": None, "network": 5, "algo": object}) == {
        "preset": None,
        "network": 5,
        "algo": object,
    }


def test_a_config_file_of_version_0_1_is_read_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old = {"env": "x", "algo": "own:mine", "turns": 2, "network": "blocks", "preset": "none", "ppo": {"delta": 0.5}}
        config = from_json(old)
    assert (config.algo, config.env_groups, config.network) == ("custom:mine", 2, "patch-cnn")
    assert (config.preset, config.ppo.max_kl) == (None, 0.5)
    assert from_json({"env": "x", "preset": "pong-lesson"}).preset == "pong-reinforce"


@pytest.mark.slow
def test_the_warning_is_of_the_line_that_uses_the_old_name():
    settings = {"steps": 64, "num_envs": 2, "num_steps": 8, "minibatch_size": 16, "hidden": (2,), "quiet": True}
    with pytest.warns(DeprecationWarning, match="the setting delta is now max_kl") as warned:
        proximax.train("probe:choice", algo="trpo", preset="none", eval_episodes=1, delta=0.1, **settings)
    assert warned[0].filename == __file__


def test_names_of_other_libraries_are_answered_with_ours():
    assert {*ELSEWHERE.values()} <= SETTINGS | {"env"}
    assert not ELSEWHERE.keys() & (SETTINGS | ALIASES.keys())
    with pytest.raises(UsageError, match="unknown setting 'total_timesteps'; did you mean 'steps'"):
        resolve("CartPole-v1", "none", {"total_timesteps": 3})
    assert resolve("CartPole-v1", "none", {"algo": "ppo"})[0].algo == "clip"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "num_minibatches",
            "did you mean 'minibatch_size' (the size of one, not how many: num_steps x num_envs / num_mi",
        ),
        ("eval_freq", "did you mean 'eval_every' (in environment steps of a seed"),
        ("clip_range_vf", "did you mean 'value_epsilon' (in units of scaled returns"),
        ("ortho_init", "unknown setting 'ortho_init': the weights of built-in networks are orthogonal"),
        ("log_dir", "unknown setting 'log_dir': the run directory is out="),
        ("tensorboard_log", "tensorboard in the run directory"),
        ("callback", "callbacks=[...]"),
        ("policy", "network=..."),
        ("device", "JAX_PLATFORMS"),
        ("use_sde", "does not exist here"),
    ],
)
def test_names_that_mean_something_else_or_nothing_here_are_answered_with_the_difference(name, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        resolve("CartPole-v1", "none", {name: 3})


def test_every_answer_is_of_a_name_that_is_not_ours():
    assert DIFFERENCES.keys() <= ELSEWHERE.keys()
    assert not ANSWERS.keys() & (SETTINGS | ALIASES.keys() | ELSEWHERE.keys())
