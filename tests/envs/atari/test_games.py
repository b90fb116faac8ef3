"""Ids of Atari games and their files."""

import gymnasium
import pytest

from proximax.envs import EnvId, Game
from proximax.envs.atari.games import games_like, rom_of
from proximax.envs.atari.make import _ale

ale_py = pytest.importorskip("ale_py")

envpool = pytest.importorskip("envpool")


def test_every_atari_id_of_gymnasium_names_a_game_of_ale():
    gymnasium.register_envs(ale_py)
    ids = [name for name in gymnasium.registry if name.startswith("ALE/") and name.endswith("-v5")]
    assert len(ids) > 100
    for name in ids:
        assert EnvId.parse(name).is_atari
        assert callable(_ale(Game(name)))
    assert "ALE/TicTacToe3D-v5" in ids


@pytest.mark.slow
def test_every_game_of_envpool_is_a_game_of_ale():
    """Whose emulator films it."""
    games = [f"envpool:{name}" for name in envpool.list_all_envs() if EnvId.parse(f"envpool:{name}").is_atari]
    assert len(games) > 50
    for name in games:
        assert rom_of(Game(str(EnvId.parse(name).in_ale))), name


def test_which_ids_are_atari_games():
    for name in ("ALE/Pong-v5", "gymnasium:ALE/MsPacman-v5", "envpool:Pong-v5", "envpool:MsPacman-v5"):
        assert EnvId.parse(name).is_atari
    for name in ("CartPole-v1", "ALE/Pong-v4", "envpool:HalfCheetah-v5", "envpool:HalfCheetah-v4", "gymnax:Pong-v5"):
        assert not EnvId.parse(name).is_atari
        assert EnvId.parse(name).in_ale == EnvId.parse(name)
    assert str(EnvId.parse("envpool:MsPacman-v5").in_ale) == "gymnasium:ALE/MsPacman-v5"
    assert str(EnvId.parse("gymnasium:ALE/Pong-v5").in_ale) == "gymnasium:ALE/Pong-v5"


@pytest.mark.parametrize(
    ("env", "game"),
    [
        ("PongNoFrameskip-v4", "ALE/Pong-v5"),
        ("MsPacmanDeterministic-v0", "ALE/MsPacman-v5"),
        ("Seaquest-ramNoFrameskip-v4", "ALE/Seaquest-v5"),
        ("ALE/Pong-ram-v5", "ALE/Pong-v5"),
        ("ALE/Pong", "ALE/Pong-v5"),
        ("breakout", "ALE/Breakout-v5"),
    ],
)
def test_other_names_of_a_game_are_known(env, game, monkeypatch):
    assert games_like(env) == [game]
    assert games_like("Hopper-v5") == games_like("CartPol-v1") == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert games_like(env) == []
