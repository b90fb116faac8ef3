"""The flags of settings: made from ``RunConfig``, and only what was given comes out."""

import re
from dataclasses import fields

import pytest

from proximax.cli.commands import Compare, Train, config_of, parse
from proximax.cli.settings import as_defaults, descriptions, integer, overrides, take_env_kwargs
from proximax.config import AtariConfig, PPOConfig, RunConfig
from proximax.errors import UsageError
from proximax.training import resolve


@pytest.mark.parametrize("record", [RunConfig, PPOConfig, AtariConfig])
def test_every_setting_has_a_help_text_of_its_own(record):
    texts = descriptions(record)
    assert list(texts) == [f.name for f in fields(record)]
    assert len(set(texts.values())) == len(texts)
    assert all(text and "\n" not in text and "``" not in text for text in texts.values())


def test_only_what_was_given_comes_out():
    assert parse(["train", "X-v0"]).settings in ({}, {"ppo": {}, "atari": {}})
    command = parse(["train", "X-v0", "--steps", "5", "--ppo.hidden", "3", "4", "--atari.stack", "2", "--quiet"])
    assert isinstance(command, Train)
    assert command.settings == {"steps": 5, "ppo": {"hidden": (3, 4)}, "atari": {"stack": 2}}
    assert overrides(command.settings) == {"steps": 5, "hidden": (3, 4), "stack": 2}
    assert (command.env, command.quiet, command.debug) == ("X-v0", True, False)


def test_an_unknown_choice_is_answered_with_the_choices_in_their_order(capsys):
    with pytest.raises(SystemExit):
        parse(["train", "X-v0", "--like", "sb4"])
    said = " ".join(capsys.readouterr().err.replace("│", "").split())
    assert "('sb3', 'cleanrl', 'cleanrl-continuous', 'rllib', 'paper')" in said
    assert parse(["train", "X-v0", "--like", "sb3"]).settings["like"] == "sb3"


def test_a_setting_given_with_its_default_counts_as_given():
    """Of ``compare`` it holds for all algorithms, also for a2c, which has one epoch by itself."""
    command = parse(["compare", "CartPole-v1", "--ppo.epochs", "10"])
    assert isinstance(command, Compare)
    assert overrides(command.settings) == {"epochs": 10}


def test_a_config_as_defaults_comes_back():
    config = resolve("CartPole-v1", None, {"hidden": (3,), "algo": "a2c"})[0]
    settings = as_defaults(config)
    assert settings["ppo"]["hidden"] == (3,)
    assert "env" not in settings
    settings.pop("atari")
    preset = settings.pop("preset")
    assert resolve("CartPole-v1", preset, overrides(settings))[0] == config


def test_arguments_of_the_environment_are_taken_out_with_their_python_values():
    text = "--steps 5 --env-kwargs.continuous True --env-kwargs.wind-power=1.5 --env-kwargs.map_name 8x8 --quiet"
    arguments = ["ENV", *text.split()]
    rest, env_kwargs = take_env_kwargs(arguments)
    assert rest == ["ENV", "--steps", "5", "--quiet"]
    assert env_kwargs == {"continuous": True, "wind_power": 1.5, "map_name": "8x8"}
    numbers = ["--env-kwargs.size", "[3, -4]", "--env-kwargs.seed", "-1"]
    assert take_env_kwargs(numbers)[1] == {"size": [3, -4], "seed": -1}
    command = parse(["train", *arguments])
    assert command.settings["env_kwargs"] == env_kwargs
    for name in ("eval", "video"):
        shown = parse([name, "runs/pole", "--env", "CartPole-v1", "--env-kwargs.sutton-barto-reward", "True"])
        assert (shown.env, shown.env_kwargs) == ("CartPole-v1", {"sutton_barto_reward": True})
    assert config_of(Train("FrozenLake-v1", {"env_kwargs": {"map_name": "8x8"}})).env_kwargs == {"map_name": "8x8"}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ENV --env-kwargs.goal 0.5 -0.5 --quiet", "goal 0.5 -0.5: write lists as --env-kwargs.goal '[0.5, -0.5]'"),
        ("--env-kwargs.goal=0.5 1 ENV", "goal 0.5 1: write lists as --env-kwargs.goal '[0.5, 1]'"),
        ("ENV --env-kwargs.rows SF FH", """rows SF FH: write lists as --env-kwargs.rows '["SF", "FH"]'"""),
    ],
)
def test_several_values_are_answered_with_how_a_list_is_written(text, written):
    with pytest.raises(UsageError, match=re.escape(f"--env-kwargs.{written}")):
        parse(["train", *text.split()])


def test_arguments_without_a_name_are_answered_with_how_one_is_written():
    with pytest.raises(UsageError, match=re.escape("--env-kwargs: write --env-kwargs.NAME VALUE, as in ")):
        parse(["train", "ENV", "--env-kwargs", "length:8"])


def test_an_environment_may_stand_after_its_arguments():
    for command, text in (("train", "--env-kwargs.x 1 ENV"), ("compare", "A --env-kwargs.x 1 --steps 5")):
        assert parse([command, *text.split()]).settings["env_kwargs"] == {"x": 1}
    assert take_env_kwargs(["A", "--env-kwargs.x", "1", "B"], single_env=False) == (["A", "B"], {"x": 1})


@pytest.mark.parametrize("text", ["kwargs.x", "kwargs.x --steps 5", "kwargs. 3", "kwargs.a.b 3"])
def test_an_argument_of_the_environment_without_a_value_or_a_name_is_refused(text):
    with pytest.raises(UsageError, match=r"write --env-kwargs\.NAME VALUE"):
        take_env_kwargs(f"--env-{text}".split())
    with pytest.raises(UsageError, match="given twice"):
        take_env_kwargs(["--env-kwargs.x=1", "--env-kwargs.x=2"])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e6", 10**6), ("1_000_000", 10**6), ("2.5E+3", 2500), ("-3e0", -3), ("7", 7), ("1e18", 10**18)],
)
def test_an_integer_may_have_an_exponent(text, value):
    assert integer(text) == value
    assert parse(["train", "X-v0", f"--steps={text}"]).settings["steps"] == value


@pytest.mark.parametrize("text", ["1.5e0", "1e-3", "1e999999999", "2.0", "1e6x", "", "nan", "None"])
def test_a_number_that_is_no_integer_is_refused(text, capsys):
    with pytest.raises(ValueError, match="is not an integer"):
        integer(text)
    with pytest.raises(SystemExit):
        parse(["train", "X-v0", "--steps", text])
    assert "is not an integer" in capsys.readouterr().err


def test_integers_in_tuples_and_optional_ones_may_have_an_exponent_too():
    given = parse(["train", "X-v0", "--ppo.hidden", "1e1", "4", "--eval-every", "1e3", "--ppo.minibatch-size", "None"])
    assert overrides(given.settings) == {"hidden": (10, 4), "eval_every": 1000, "minibatch_size": None}
