"""The settings of the algorithms: which are numbers of the program, and the defaults' source."""

from dataclasses import fields

import numpy as np
import pytest

from proximax.config.ppo_config import NUMBERS, PPOConfig, annealed

# arXiv 1707.06347, table 3, and for ε section 6.1.
PAPER = {"learning_rate": 3e-4, "epochs": 10, "minibatch_size": 64, "gamma": 0.99, "lam": 0.95, "epsilon": 0.2}


def test_the_defaults_are_the_papers():
    assert {name: getattr(PPOConfig(), name) for name in PAPER} == PAPER
    assert PPOConfig().problems() == []


def test_the_numbers_are_all_settings_that_are_real_numbers_but_those_that_adapt_or_are_no_part_of_an_update():
    real = {f.name for f in fields(PPOConfig) if "float" in str(f.type)}
    assert set(NUMBERS) == real - {"learning_rate", "beta", "log_std_init"}


def test_settings_take_other_numbers_and_what_is_none_stays_none():
    config = PPOConfig(target_kl=None, value_epsilon=0.3)
    numbers = config.numbers()
    assert "target_kl" not in numbers
    assert numbers["value_epsilon"] == 0.3
    assert config.with_numbers(numbers) == config
    other = config.with_numbers({"gamma": np.float32(0.5), "updates": 7})  # other data of a program
    assert (other.gamma, other.lam, other.hidden) == (0.5, 0.95, (64, 64))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("none", ()), (["none"], ()), ((), ()), ("epsilon", ("epsilon",)), ("both", ("learning_rate", "epsilon")),
        (["entropy_coef", "epsilon"], ("entropy_coef", "epsilon")), (None, None), (0.5, 0.5), ([[]], ([],)),
    ],
)  # fmt: skip
def test_what_is_annealed_is_a_tuple_of_names(given, kept):
    assert annealed(given) == kept


@pytest.mark.fault(31)
def test_each_wrong_setting_is_one_sentence():
    wrong = PPOConfig(gamma=1.5, hidden=(), anneal="x", baseline=False, normalise_obs=1, activation="gelu")
    assert [problem.split(" = ")[0] for problem in wrong.problems()] == [
        "gamma", "normalise_obs", "hidden", "activation", "anneal", "baseline"
    ]  # fmt: skip
