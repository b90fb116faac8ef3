"""What the arguments say: a command with its settings, over the preset's or those of the run to resume."""

from dataclasses import fields

import pytest

from proximax.cli.commands import COMMANDS, config_of, parse
from proximax.config import AtariConfig, PPOConfig, RunConfig
from proximax.errors import CheckpointError, UsageError
from proximax.runtime.files import write_json
from proximax.training import resolve
from tests.support.saved_runs import CONFIG


@pytest.mark.parametrize("name", ["train", "bench", "compare"])
def test_commands_that_train_have_a_flag_for_every_setting(name, capsys):
    with pytest.raises(SystemExit):
        parse([name, "--help"])
    text = capsys.readouterr().out
    skipped = {"env", "env_kwargs", "ppo", "atari"} | ({"algo"} if name == "compare" else set())
    flags = [f.name for f in fields(RunConfig) if f.name not in skipped]
    flags += [
        f"{group}.{f.name}" for group, record in (("ppo", PPOConfig), ("atari", AtariConfig)) for f in fields(record)
    ]
    assert "--env-kwargs.NAME VALUE" in text
    assert [flag for flag in flags if f"--{flag.replace('_', '-')} " not in text] == []
    assert COMMANDS[name].__doc__.split(".")[0] in text


def test_the_command_line_has_the_settings_that_python_has():
    given = ["--seeds", "3", "--ppo.learning-rate", "0.5", "--algo", "penalty"]
    config = config_of(parse(["train", "CartPole-v1", *given]))
    assert config == resolve("CartPole-v1", None, {"seeds": 3, "learning_rate": 0.5, "algo": "penalty"})[0]
    assert config_of(parse(["bench", "CartPole-v1", *given])) == config
    assert config_of(parse(["train", "CartPole-v1", "--preset", "none"])) == resolve("CartPole-v1", "none", {})[0]


def test_help_shows_the_defaults_of_preset_and_algorithm_though_the_rest_is_incomplete(capsys):
    for arguments in (["CartPole-v1", "--algo", "a2c", "--help"], ["CartPole-v1", "--algo=a2c", "-h", "--steps", "5"]):
        with pytest.raises(SystemExit) as info:
            parse(["train", *arguments])
        assert info.value.code == 0
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "(default: a2c)" in text
        assert "table 3. (default: 1)" in text  # epochs
    with pytest.raises(SystemExit) as info:
        parse(["train", "CartPole-v1", "--help", "--steps"])
    assert info.value.code == 0


def test_a_game_needs_its_id_and_training_an_environment():
    with pytest.raises(UsageError, match=r"--atari.stack: only for Atari games; gymnasium:CartPole-v1 is not one"):
        config_of(parse(["train", "CartPole-v1", "--atari.stack", "2"]))


@pytest.mark.parametrize(
    ("name", "said"),
    [("trian", "no command 'trian'; did you mean train\\?"), ("xyz", "no command 'xyz'. Commands: train, bench")],
)
def test_a_command_that_does_not_exist_is_answered_with_the_nearest(name, said):
    with pytest.raises(UsageError, match=said):
        parse([name, "CartPole-v1"])


def test_what_may_not_change_is_said_before_sizes_that_do_not_fit(tmp_path):
    write_json(tmp_path / "config.json", CONFIG.to_json() | {"env": "gymnasium:X-v0"})
    with pytest.raises(CheckpointError, match=r"num_envs = 8 there, 3 asked for\. Only these may change: steps"):
        config_of(parse(["train", "--resume", str(tmp_path), "--num-envs", "3"]))
    assert config_of(parse(["train", "--resume", str(tmp_path), "--steps", "2e6"])).steps == 2_000_000
    again = ["train", "--resume", str(tmp_path), "--preset", "none"]  # as the run itself was started
    assert config_of(parse(again)).preset is None
