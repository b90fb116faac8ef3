"""The command that trains a run again, from its settings."""

import ast
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from proximax.config import PRESETS, RunConfig, is_custom
from proximax.envs import EnvId
from proximax.errors import UsageError
from proximax.training import resolve

GIVEN = ("env", "env_kwargs", "algo", "preset", "ppo", "atari")  # of a run's settings, said in another way or by parts


def command_of(config: RunConfig) -> str | None:
    """``proximax train ...`` with the flags whose settings are not what preset and algorithm set by themselves.

    None for what only Python can say: environments and algorithms that are Python objects.
    """
    env = EnvId.parse(config.env)
    if env.is_object or is_custom(config.algo) or not all(map(sayable, config.env_kwargs.items())):
        return None
    name = env.display if EnvId.parse(env.display) == env else str(env)
    preset = config.preset if config.preset in PRESETS else "none"
    try:
        base = resolve(name, preset, {"algo": config.algo})[0]
        default = resolve(name, None, {"algo": config.algo})[0]
    except UsageError:
        return None
    if (base.atari is None) != (config.atari is None):
        return None
    words = ["proximax", "train", name]
    words += ["--algo", config.algo] if config.algo != RunConfig.algo else []
    words += [] if default.preset == base.preset else ["--preset", preset]
    words += [f"--env-kwargs.{key}={value!r}" for key, value in config.env_kwargs.items()]
    words += flags("", plain(config), plain(base))
    words += flags("ppo.", asdict(config.ppo), asdict(base.ppo))
    words += flags("atari.", asdict(config.atari), asdict(base.atari)) if config.atari and base.atari else []
    return shlex.join(words)


def plain(config: RunConfig) -> dict[str, Any]:
    """The settings that are a flag each."""
    values = asdict(replace(config, atari=None))
    return {name: value for name, value in values.items() if name not in GIVEN}


def flags(group: str, values: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[str]:
    """The words of the flags of those ``values`` that are not those of ``base``."""
    for name, value in values.items():
        if value != base[name]:
            yield f"--{group}{name.replace('_', '-')}"
            yield from map(str, value or ["none"]) if isinstance(value, (tuple, list)) else [str(value)]


def sayable(item: tuple[str, Any]) -> bool:
    """Whether the command line can say an argument of an environment's constructor."""
    name, value = item
    try:
        return name.isidentifier() and bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
