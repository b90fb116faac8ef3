"""Flags and values of version 0.1, accepted for one release with a line that names the new one; permanent aliases."""

import logging
from dataclasses import fields

from proximax.config import ALIASES, RENAMED_SETTINGS, RENAMED_VALUES, PPOConfig

logger = logging.getLogger(__name__)


def flag_of(setting: str) -> str:
    """The flag of a setting: ``max_kl`` -> ``--ppo.max-kl``."""
    prefix = "ppo." if setting in {f.name for f in fields(PPOConfig)} else ""
    return f"--{prefix}{setting.replace('_', '-')}"


def old_flag(old: str, new: str) -> str:
    """What the flag of the setting ``new`` was when the setting was called ``old``."""
    return flag_of(new).removesuffix(new.replace("_", "-")) + old.replace("_", "-")


SETTING_FLAGS = {old_flag(old, new): flag_of(new) for old, new in RENAMED_SETTINGS.items()}
ALIAS_FLAGS = {old_flag(alias, setting): flag_of(setting) for alias, setting in ALIASES.items()}
PLAY_FLAGS = {"--sample": "--stochastic", "--likeliest": "--deterministic"}
FLAGS = {"eval": PLAY_FLAGS, "video": PLAY_FLAGS} | dict.fromkeys(("train", "bench", "compare"), SETTING_FLAGS)
VALUES = {flag_of(setting): values for setting, values in RENAMED_VALUES.items()}


def current_arguments(arguments: list[str]) -> list[str]:
    """The arguments in the words of today; a line on stderr for each that has another name now."""
    renamed = ALIAS_FLAGS | FLAGS.get(arguments[0], {}) if arguments else {}
    current: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        name = name.replace("_", "-") if name.startswith("--") else name
        if name in renamed and name not in ALIAS_FLAGS:
            logger.warning(f"{name} is now {renamed[name]}; the old name will be removed in the next release")
        if name in renamed:
            argument = renamed[name] + equals + value
        flag_of_value = name if equals else (current[-1] if current else "")
        new_value = VALUES.get(flag_of_value, {}).get(value if equals else argument)
        if new_value is not None:
            logger.warning(f"{flag_of_value} {value or argument} is now {new_value}")
            argument = f"{flag_of_value}={new_value}" if equals else new_value
        current.append(argument)
    return current
