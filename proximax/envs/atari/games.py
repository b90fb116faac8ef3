"""Atari ids and ROM names."""

import difflib
import importlib
import re
from typing import NamedTuple

from proximax.config import AtariConfig
from proximax.envs.ids import EnvId
from proximax.errors import UsageError


class Game(NamedTuple):
    """An Atari game and its preprocessing; ``make_env`` takes it instead of an id."""

    id: str  # ALE/Pong-v5 or envpool:Pong-v5
    config: AtariConfig = AtariConfig()


def rom_of(game: Game) -> str:
    """What ALE calls the game's file: ``ALE/MsPacman-v5`` -> ``ms_pacman``, EnvPool's ``TicTacToe3d`` too."""
    name, known = EnvId.parse(game.id).name.removeprefix("ALE/").removesuffix("-v5"), roms_by_name()
    if name == "TicTacToe3d":  # the one game that EnvPool writes otherwise
        name = "TicTacToe3D"
    if name not in known:
        near = [f"ALE/{x}-v5" for x in difflib.get_close_matches(name, known, n=3, cutoff=0.5)]
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise UsageError(f"ALE has no game {name!r}.{hint} It has {len(known)} games")
    return known[name]


def roms_by_name() -> dict[str, str]:
    """``MsPacman`` -> ``ms_pacman``, for all games that ALE has."""
    from ale_py import roms

    return {rom.title().replace("_", ""): rom for rom in roms.get_all_rom_ids()}


def games_like(env: str) -> list[str]:
    """Today's id of ``PongNoFrameskip-v4``, ``ALE/Pong-v4``, ``Pong-v5`` or ``pong``; none without ALE."""
    if importlib.util.find_spec("ale_py") is None:
        return []
    word = re.sub(r"^ALE/|(-ram)?(NoFrameskip|Deterministic)?(-v\d+)?$", "", env).lower()
    named = {name.lower(): f"ALE/{name}-v5" for name in roms_by_name()}
    return [named[x] for x in difflib.get_close_matches(word, named, n=1, cutoff=0.8)]
