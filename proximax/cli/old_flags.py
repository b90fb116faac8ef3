"""Flags that are not ours: of version 0.1, accepted for one release; permanent aliases; those of other libraries."""

import logging
from dataclasses import fields
from itertools import pairwise

from proximax.config import (
    ALIASES,
    ANSWERS,
    ELSEWHERE,
    RENAMED_SETTINGS,
    RENAMED_VALUES,
    VALUE_ALIASES,
    AtariConfig,
    PPOConfig,
    RunConfig,
    difference,
)
from proximax.errors import UsageError

logger = logging.getLogger(__name__)


GROUPS = {
    f"{group}.": {f.name for f in fields(record)} for group, record in (("ppo", PPOConfig), ("atari", AtariConfig))
}
RUN_SETTINGS = {f.name for f in fields(RunConfig)}


def flag_of(setting: str) -> str:
    """The flag of a setting: ``max_kl`` -> ``--ppo.max-kl``."""
    prefix = next((prefix for prefix, names in GROUPS.items() if setting in names), "")
    return f"--{prefix}{setting.replace('_', '-')}"


def old_flag(old: str, new: str) -> str:
    """What the flag of the setting ``new`` was when the setting was called ``old``."""
    return flag_of(new).removesuffix(new.replace("_", "-")) + old.replace("_", "-")


SETTING_FLAGS = {old_flag(old, new): flag_of(new) for old, new in RENAMED_SETTINGS.items()}
ALIAS_FLAGS = {old_flag(alias, setting): flag_of(setting) for alias, setting in ALIASES.items()}
SETTING_COMMANDS = ("train", "bench", "compare", "tune")  # that have a flag for each setting
PLAY_FLAGS = {"--sample": "--stochastic", "--likeliest": "--deterministic"}
FLAGS = {"eval": PLAY_FLAGS, "video": PLAY_FLAGS} | dict.fromkeys(SETTING_COMMANDS, SETTING_FLAGS)
VALUES = {flag_of(setting): values for setting, values in RENAMED_VALUES.items()}
ALIAS_VALUES = {flag_of(setting): values for setting, values in VALUE_ALIASES.items()}


def current_arguments(arguments: list[str]) -> list[str]:
    """The arguments in the words of today; a line on stderr for each that has another name now.

    An empty one is refused: "" would be read as the working directory, and comes of a shell variable that is not set.
    """
    for previous, argument in pairwise(["", *arguments]):
        name, equals, value = argument.partition("=")
        if argument == "" or (equals and not value and name.startswith("--")):
            flag = name if equals else previous
            raise UsageError(f"{flag} '': the argument is empty. Is a variable not set?")
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
        alias = ALIAS_VALUES.get(flag_of_value, {}).get(value if equals else argument)
        if alias is not None:
            argument = f"{flag_of_value}={alias}" if equals else alias
        if arguments[0] in SETTING_COMMANDS and name not in renamed:
            refuse_foreign(name)
        current.append(argument)
    return current


def refuse_foreign(flag: str) -> None:
    """Answer a flag of another library, or one of ours in another group, with the right one."""
    if flag.startswith("--env."):
        raise UsageError(f"{flag}: the flag is --env-kwargs.{flag.removeprefix('--env.').replace('-', '_')}")
    name = flag.removeprefix("--").replace("-", "_")
    group = next((prefix for prefix in GROUPS if name.startswith(prefix)), "")
    name = name.removeprefix(group)
    name = "env_id" if name == "env" else name  # which is a setting, but no flag
    if not flag.startswith("--") or name in (GROUPS[group] if group else RUN_SETTINGS | {"device"}):
        return
    setting = (ELSEWHERE | ALIASES).get(name, name)
    if name in ANSWERS:
        raise UsageError(f"{flag}: {ANSWERS[name]}")
    if setting in RUN_SETTINGS.union(*GROUPS.values()):
        text = f"{flag}: the flag is {flag_of(setting)}{'.NAME VALUE' if setting == 'env_kwargs' else ''}"
        raise UsageError(": ".join(filter(None, (text, difference(name)))))
