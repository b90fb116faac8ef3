"""Settings in files: what was written is read as it was, and a file that is none is refused by name."""

import os
from dataclasses import replace

import pytest

from proximax.config import PPOConfig, RunConfig
from proximax.config.atari_config import AtariConfig
from proximax.config.settings_file import (
    is_settings_file,
    preset_of,
    read_preset_file,
    read_settings_file,
    toml_text,
)
from proximax.errors import UsageError
from proximax.training import resolve

PPO = PPOConfig(gamma=0.123456789012345, minibatch_size=None, anneal=(), hidden=(7, 9), target_kl=1e-5)
CONFIGS = [
    RunConfig("gymnasium:CartPole-v1", steps=70_000, num_envs=4, ppo=PPO, eval_stochastic=True, network="gru"),
    RunConfig("gymnasium:CartPole-v1", algo="a2c", ppo=PPOConfig(epochs=1, minibatch_size=None, lam=1.0)),
    RunConfig("gymnasium:ALE/Pong-v5", atari=AtariConfig(stack=2, actions=(4, 5)), ppo=PPOConfig(anneal=("epsilon",))),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.algo)
@pytest.mark.parametrize("ending", ["toml", "json"])
def test_a_preset_in_a_file_gives_the_settings_that_it_was_made_of(config, ending, tmp_path):
    path = tmp_path / f"best.{ending}"
    settings = preset_of(config)
    text = toml_text(settings, ["of a search,\nin a line"])
    path.write_text(text if ending == "toml" else as_json(settings))
    resolved, _ = resolve(config.env, str(path), {})
    assert resolved == replace(config, preset=str(path))
    assert text.startswith("# of a search, in a line\n")
    longer, _ = resolve(config.env, str(path), {"steps": 10**7, "gamma": 0.5})
    assert (longer.steps, longer.ppo.gamma, longer.ppo.hidden) == (10**7, 0.5, config.ppo.hidden)


def as_json(settings):
    """As a person writes it: lists, and none for None."""
    values = [f'"{name} = {line}' for name, line in (line.split(" = ") for line in toml_text(settings).splitlines())]
    return "{" + ", ".join(value.replace(" = ", '": ') for value in values) + "}"


def test_only_names_with_these_endings_are_files():
    assert is_settings_file("a/best.toml")
    assert is_settings_file("B.JSON")
    assert not is_settings_file("cartpole")
    assert not is_settings_file(None)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "gamma = ", "a.toml cannot be read"),
        ("a.json", '{"gamma": NaN}', "NaN is not JSON"),
        ("a.json", '{"gamma": 1, "gamma": 2}', "'gamma' occurs twice"),
        ("a.json", "[1]", "must hold a table"),
        ("a.toml", b"\xff", "a.toml cannot be read"),
        ("a.toml", "gama = 1", "a.toml: unknown setting 'gama'; did you mean 'gamma'"),
        ("a.toml", "env = 'CartPole-v1'\nseed = 1", "env, seed cannot be in a preset"),
        ("a.toml", "[ppo]\ngamma = 1", "ppo is a table"),
        ("a.txt", "gamma = 1", "ends in .toml or .json"),
        (None, "", "there is no file"),
    ],
)
def test_what_is_no_preset_is_refused_with_its_name(name, text, said, tmp_path):
    path = tmp_path / (name or "missing.toml")
    if name:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=said.replace("[", r"\[")):
        read_preset_file(path)


def test_folders_pipes_and_what_is_too_large_are_not_read(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (2**20 + 1))
    for name in ("folder", "pipe", "large"):
        with pytest.raises(UsageError, match=f"{name}.toml is not a file of settings"):
            read_settings_file(tmp_path / f"{name}.toml")
