"""Ids of environments: parsed once, printed once."""

import pytest

from proximax.envs import EnvId, Game
from proximax.envs.make import env_id_of
from tests.support.toy_gym import Script


@pytest.mark.parametrize(
    ("text", "source", "name", "package"),
    [
        ("CartPole-v1", "gymnasium", "CartPole-v1", None),
        ("gymnasium:CartPole-v1", "gymnasium", "CartPole-v1", None),
        ("my_package:Env-v0", "gymnasium", "my_package:Env-v0", "my_package"),
        ("gymnasium:my_package:Env-v0", "gymnasium", "my_package:Env-v0", "my_package"),
        ("my.package:Env-v0", "gymnasium", "my.package:Env-v0", "my.package"),
        ("gymnasium:object:Env-v0", "gymnasium", "object:Env-v0", "object"),
        ("gymnax:Breakout-MinAtar", "gymnax", "Breakout-MinAtar", None),
        ("brax:ant", "brax", "ant", None),
        ("playground:CartpoleBalance", "playground", "CartpoleBalance", None),
        ("envpool:a:b", "envpool", "a:b", None),
        ("probe:choice", "probe", "choice", None),
        ("object:a:b", "object", "a:b", None),
        ("", "gymnasium", "", None),
    ],
)
def test_an_id_is_split_into_source_and_name_and_comes_back(text, source, name, package):
    env_id = EnvId.parse(text)
    assert env_id == (source, name)
    assert env_id.package == package
    assert EnvId.parse(str(env_id)) == env_id
    assert str(env_id) == f"{source}:{name}"
    assert env_id.display == (name if source == "gymnasium" else text)
    assert env_id.is_object == (source == "object")
    assert env_id.is_compiled == (source in ("gymnax", "brax", "playground", "probe"))


@pytest.mark.parametrize("text", ["ALE/Pong-v5", "gymnasium:ALE/Pong-v5", "ALE/NoSuchGame-v5"])
def test_ale_ids_are_atari_games(text):
    assert EnvId.parse(text).is_atari
    assert EnvId.parse(text).in_ale == EnvId.parse(text)


@pytest.mark.parametrize(
    "text",
    ["ALE/Pong-v4", "ALE/Pong-v5/x", "ALE/-v5", "Pong-v5", "x:ALE/Pong-v5", "gymnax:ALE/Pong-v5", "object:ALE/Pong-v5"],
)
def test_other_ids_are_not(text):
    assert not EnvId.parse(text).is_atari
    assert EnvId.parse(text).in_ale == EnvId.parse(text)


def test_games_of_envpool_have_the_ids_of_ale():
    pytest.importorskip("envpool")
    assert EnvId.parse("envpool:MsPacman-v5").in_ale == EnvId.parse("ALE/MsPacman-v5")
    for other in ("envpool:HalfCheetah-v4", "envpool:NoSuchGame-v5", "envpool:Pong-v4"):
        assert not EnvId.parse(other).is_atari
        assert str(EnvId.parse(other).in_ale) == other


def test_a_game_of_envpool_is_taken_as_one_where_envpool_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert EnvId.parse("envpool:Pong-v5").is_atari
    assert not EnvId.parse("envpool:Pong-v4").is_atari


def test_what_is_not_an_id_is_an_object():
    assert env_id_of(Script) == ("object", "Script")
    assert env_id_of(Game("ALE/Pong-v5")) == ("gymnasium", "ALE/Pong-v5")
