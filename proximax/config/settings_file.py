"""Settings in a file of the user's: a preset, the space of a search. TOML or JSON, by the ending of its name.

TOML has no None: there, and in JSON as well, the text "none" stands for it.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from proximax.config.atari_config import AtariConfig
from proximax.config.ppo_config import PPOConfig
from proximax.config.presets import preset_settings
from proximax.config.run_config import RunConfig, is_custom
from proximax.config.validation import check_names, shown
from proximax.errors import UsageError

ENDINGS = (".toml", ".json")
MAX_BYTES = 2**20
# What a preset says nothing about: the environment and the seeds are the run's, a preset stands alone.
NOT_IN_PRESETS = ("env", "env_kwargs", "preset", "seeds", "seed", "init_from", "init_checkpoint", "init_optimiser")
NAMED_NONE = ("anneal", "preset")  # whose own value "none" is


def is_settings_file(name: object) -> bool:
    """Whether ``--preset`` names a file and no preset."""
    return isinstance(name, str) and name.lower().endswith(ENDINGS)


def read_settings_file(path: str | Path) -> dict[str, Any]:
    """The table in a TOML or JSON file. Raises ``UsageError``, which names the file and what is wrong with it."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: a file of settings ends in {' or '.join(ENDINGS)}")
    try:
        if path.stat().st_size > MAX_BYTES or not path.is_file():
            raise UsageError(f"{path} is not a file of settings: at most {MAX_BYTES:,} bytes of TOML or JSON")
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else _parse_json(text)
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}") from error
    except (OSError, ValueError, RecursionError) as error:  # of TOML, JSON and UTF-8 too
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: must hold a table of settings by name, not {shown(values)}")
    return values


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_not_json)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return values


def _not_json(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def read_preset_file(path: str | Path) -> dict[str, Any]:
    """The settings of a preset in a file, as ``train`` takes them. Raises ``UsageError``."""
    values = read_settings_file(path)
    if refused := [name for name in NOT_IN_PRESETS if name in values]:
        raise UsageError(f"{path}: {', '.join(refused)} cannot be in a preset; give it beside --preset")
    for name, value in values.items():
        if isinstance(value, dict):
            raise UsageError(f"{path}: {name} is a table; a preset has each setting by its own name, as gamma = 0.99")
    try:
        check_names(values, RunConfig, PPOConfig, AtariConfig)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return {name: _from_file(name, value) for name, value in values.items()}


def _from_file(name: str, value: Any) -> Any:
    if value == "none" and name not in NAMED_NONE:
        return None
    return tuple(value) if isinstance(value, list) else value


def preset_of(config: RunConfig) -> dict[str, Any]:
    """What a preset must say to give the settings of ``config``: size and length, and what is not a plain default."""
    plain = RunConfig(config.env, algo=config.algo, ppo=preset_settings(None, config.algo)[1])
    names = [f.name for f in fields(RunConfig) if f.name not in (*NOT_IN_PRESETS, "ppo", "atari")]
    settings = {name: getattr(config, name) for name in names}
    always = ("steps", "num_envs") if is_custom(config.algo) else ("algo", "steps", "num_envs")
    settings = {name: x for name, x in settings.items() if name in always or x != getattr(plain, name)}
    settings |= _differences(config.ppo, plain.ppo)
    return settings if config.atari is None else settings | _differences(config.atari, AtariConfig())


def _differences(record: Any, plain: Any) -> dict[str, Any]:
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: x for name, x in values.items() if x != getattr(plain, name)}


def toml_text(settings: Mapping[str, Any], comments: Sequence[str] = ()) -> str:
    """Settings as a TOML file, which ``read_preset_file`` reads."""
    lines = [f"# {' '.join(comment.split())}" for comment in comments]
    return "\n".join([*lines, *(f"{name} = {_toml_value(value)}" for name, value in settings.items())]) + "\n"


def _toml_value(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(value)  # numbers, booleans and strings are the same in both
