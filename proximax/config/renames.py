"""Settings and values that had other names in version 0.1, accepted for one release; and permanent aliases."""

import warnings
from typing import Any

from proximax.errors import UsageError

RENAMED_SETTINGS = {
    "turns": "env_groups",
    "eval_sample": "eval_stochastic",
    "checkpoints_kept": "keep_checkpoints",
    "stop_at": "stop_at_return",
    "backtracks": "line_search_steps",
    "delta": "max_kl",
    "credit": "advantage",
    "standardise_environments": "standardise_across_envs",
}
RENAMED_VALUES: dict[str, dict[str, str]] = {
    "network": {"blocks": "patch-cnn", "lesson": "pong-small"},
    "preset": {"pong-lesson": "pong-reinforce"},
}
OLD_CUSTOM, NEW_CUSTOM = "own:", "custom:"  # before the name of an algorithm that is not built in
# Names that other libraries use for the same setting: accepted permanently.
ALIASES = {"gae_lambda": "lam", "clip_range": "epsilon"}


def current_names(values: dict[str, Any], warn: bool = True) -> dict[str, Any]:
    """``values`` under the current names, with a ``DeprecationWarning`` for each old one if ``warn``.

    Raises ``UsageError`` where a setting is given under two names.
    """
    current: dict[str, Any] = {}
    for name, value in values.items():
        new_name = RENAMED_SETTINGS.get(name, ALIASES.get(name, name))
        if new_name in current or (new_name != name and new_name in values):
            raise UsageError(f"{name} is another name of {new_name}: give it once")
        new_value = current_value(new_name, value)
        if warn and name in RENAMED_SETTINGS:
            warnings.warn(f"the setting {name} is now {new_name}", DeprecationWarning, stacklevel=4)
        if warn and new_value is not value:
            warnings.warn(f"{new_name} = {value!r} is now {new_value!r}", DeprecationWarning, stacklevel=4)
        current[new_name] = new_value
    return current


def current_value(name: str, value: Any) -> Any:
    """A setting's value under its current name."""
    if not isinstance(value, str):
        return value
    if name == "algo" and value.startswith(OLD_CUSTOM):
        return NEW_CUSTOM + value.removeprefix(OLD_CUSTOM)
    return RENAMED_VALUES.get(name, {}).get(value, value)
