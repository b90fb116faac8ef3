"""Settings and values that had other names in version 0.1: they are accepted for one release."""

import warnings
from typing import Any

from proximax.errors import UsageError

SETTINGS = {
    "turns": "env_groups",
    "eval_sample": "eval_stochastic",
    "checkpoints_kept": "keep_checkpoints",
    "stop_at": "stop_at_return",
    "backtracks": "line_search_steps",
    "delta": "max_kl",
    "credit": "advantage",
    "standardise_environments": "standardise_across_envs",
}
VALUES: dict[str, dict[str, str]] = {
    "network": {"blocks": "patch-cnn", "lesson": "pong-small"},
    "preset": {"pong-lesson": "pong-reinforce"},
}
# Names that other libraries use for the same setting: accepted for good.
ALIASES = {"gae_lambda": "lam", "clip_range": "epsilon"}


def current_names(values: dict[str, Any], warn: bool = True) -> dict[str, Any]:
    """``values`` under the names and values of today; ``warn``: say so, as to whoever wrote them by hand."""
    current: dict[str, Any] = {}
    for name, value in values.items():
        today = SETTINGS.get(name, ALIASES.get(name, name))
        if today != name and today in values:
            raise UsageError(f"{name} is an earlier name of {today}: both were given")
        meaning = VALUES.get(today, {}).get(value, value) if isinstance(value, str) else value
        if today == "algo" and isinstance(value, str) and value.startswith("own:"):
            meaning = f"custom:{value.removeprefix('own:')}"
        if warn and name in SETTINGS:
            warnings.warn(f"the setting {name} is called {today} now", DeprecationWarning, stacklevel=4)
        if warn and meaning != value:
            warnings.warn(f"{today} = {value!r} is called {meaning!r} now", DeprecationWarning, stacklevel=4)
        current[today] = meaning
    return current
