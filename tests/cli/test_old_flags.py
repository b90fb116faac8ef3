"""Flags of version 0.1: accepted for one release, each with one line on stderr."""

from dataclasses import fields

import pytest

from proximax.cli.old_flags import SETTING_COMMANDS, SETTING_FLAGS, current_arguments
from proximax.cli.tuning import Tune
from proximax.config import RENAMED_SETTINGS
from proximax.errors import UsageError
from proximax.runtime import show_messages


@pytest.fixture(autouse=True)
def messages_are_printed():
    """As the command line prints them."""
    with show_messages(always=True):
        yield


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_every_command_with_settings_answers_flags_of_other_libraries():
    for command in SETTING_COMMANDS:
        with pytest.raises(UsageError, match="--total-timesteps: the flag is --steps"):
            current_arguments([command, "X-v0", "--total-timesteps", "5"])
    own = [f"--{field.name.replace('_', '-')}" for field in fields(Tune) if field.name != "env"]
    assert current_arguments(["tune", "X-v0", *own]) == ["tune", "X-v0", *own]


def test_every_renamed_setting_has_an_old_flag():
    assert len(SETTING_FLAGS) == len(RENAMED_SETTINGS)
    assert SETTING_FLAGS["--turns"] == "--env-groups"
    assert SETTING_FLAGS["--stop-at"] == "--stop-at-return"
    assert SETTING_FLAGS["--ppo.delta"] == "--ppo.max-kl"
    assert SETTING_FLAGS["--ppo.standardise-environments"] == "--ppo.standardise-across-envs"


@pytest.mark.parametrize(("old", "new"), SETTING_FLAGS.items())
def test_an_old_flag_is_the_new_one_with_one_line_that_names_it(old, new, capsys):
    for form in (old, old.replace("-", "_").replace("__", "--", 1)):
        assert current_arguments(["train", "CartPole-v1", form, "5"]) == ["train", "CartPole-v1", new, "5"]
        assert current_arguments(["bench", "CartPole-v1", f"{form}=5"]) == ["bench", "CartPole-v1", f"{new}=5"]
        said = lines(capsys)
        assert len(said) == 2
        assert all(line.startswith(f"proximax: warning: {old} is now {new};") for line in said)


@pytest.mark.fault(51)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["CartPole-v1", "--out", ""], "--out ''"), (["CartPole-v1", "--out="], "--out ''"), ([""], "train ''")],
)
def test_an_empty_argument_is_a_variable_that_is_not_set(arguments, said):
    with pytest.raises(UsageError, match=f"{said}: the argument is empty"):
        current_arguments(["train", *arguments])


@pytest.mark.parametrize("command", ["eval", "video"])
def test_old_words_for_how_actions_are_chosen(command, capsys):
    assert current_arguments([command, "run", "--sample"]) == [command, "run", "--stochastic"]
    assert current_arguments([command, "run", "--likeliest"]) == [command, "run", "--deterministic"]
    assert len(lines(capsys)) == 2


@pytest.mark.parametrize(
    ("flag", "old", "new"),
    [
        ("--network", "blocks", "patch-cnn"),
        ("--network", "lesson", "pong-small"),
        ("--preset", "pong-lesson", "pong-reinforce"),
    ],
)
def test_old_values_are_the_new_ones(flag, old, new, capsys):
    assert current_arguments(["train", "X-v0", flag, old]) == ["train", "X-v0", flag, new]
    assert current_arguments(["train", "X-v0", f"{flag}={old}"]) == ["train", "X-v0", f"{flag}={new}"]
    assert lines(capsys) == [f"proximax: warning: {flag} {old} is now {new}"] * 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["train", "lesson", "--out", "blocks", "--ppo.max-kl", "0.1"],
        ["eval", "turns", "--checkpoint", "best"],
        ["compare", "X-v0", "--algos=clip", "--preset", "none"],
    ],
)
def test_everything_else_is_left_as_it_is(arguments, capsys):
    assert current_arguments(arguments) == arguments
    assert lines(capsys) == []


def test_names_of_other_libraries_are_accepted_silently_and_permanently(capsys):
    given = ["train", "X-v0", "--ppo.gae-lambda", "0.9", "--ppo.clip_range=0.1"]
    assert current_arguments(given) == ["train", "X-v0", "--ppo.lam", "0.9", "--ppo.epsilon=0.1"]
    assert lines(capsys) == []


@pytest.mark.parametrize(
    ("flag", "right"),
    [
        ("--total-timesteps", "--steps"),
        ("--n_steps=5", "--ppo.num-steps"),
        ("--ent-coef", "--ppo.entropy-coef"),
        ("--learning-rate", "--ppo.learning-rate"),
        ("--stack", "--atari.stack"),
        ("--env-args", "--env-kwargs.NAME VALUE"),
        ("--env.map=8x8", "--env-kwargs.map"),
        ("--clip-range", "--ppo.epsilon"),
        ("--gae-lambda=0.9", "--ppo.lam"),
        ("--ppo.clip-coef", "--ppo.epsilon"),
        ("--ppo.num-envs", "--num-envs"),
    ],
)
def test_a_flag_of_another_library_or_without_its_group_is_answered_with_the_right_one(flag, right):
    with pytest.raises(UsageError, match=f"{flag.partition('=')[0].replace('_', '-')}: the flag is {right}$"):
        current_arguments(["train", "CartPole-v1", flag, "3"])
    assert current_arguments(["eval", "run", flag]) == ["eval", "run", flag]  # which has no settings


@pytest.mark.parametrize(
    ("flag", "answer"),
    [
        ("--tensorboard-log", "curves are written into tensorboard"),
        ("--env-id", "the environment is the first argument"),
        ("--env", "the environment is the first argument"),
        ("--num-minibatches", "the flag is --ppo.minibatch-size: the size of one"),
    ],
)
def test_a_flag_without_a_twin_or_of_another_meaning_is_answered_in_words(flag, answer):
    with pytest.raises(UsageError, match=f"{flag}: {answer}"):
        current_arguments(["train", "CartPole-v1", flag, "3"])


@pytest.mark.parametrize("flag", ["--device", "--ppo.lam", "--atari.stack", "--env-kwargs.lr", "--num-envs"])
def test_a_flag_of_ours_is_left_alone(flag):
    assert current_arguments(["train", "X-v0", flag, "3"]) == ["train", "X-v0", flag, "3"]


def test_ppo_is_clip_without_a_word(capsys):
    assert current_arguments(["train", "X", "--algo", "ppo"]) == ["train", "X", "--algo", "clip"]
    assert current_arguments(["bench", "X", "--algo=ppo"]) == ["bench", "X", "--algo=clip"]
    assert lines(capsys) == []
