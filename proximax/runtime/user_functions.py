"""Functions that a user passes, called while a program is traced: what is wrong with them is said by their names."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from proximax.errors import ProximaxError, UsageError, describe
from proximax.types import Metrics, PyTree, RewardHook, Transition


def call_user_function(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``; what it raises becomes a ``UsageError``."""
    try:
        return function(*arguments)
    except (ProximaxError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        raise UsageError(f"{name} raised {describe(error)}") from error


def kind_of(value: Any) -> str:
    """What a function gave, for a message: the shape of an array or a number, or the type of anything else."""
    if isinstance(value, (jax.Array, np.ndarray, np.generic, int, float)):
        return f"shape {np.shape(value)}"
    return f"type {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (tuple, list)) else "")


def apply_reward_hook(hook: RewardHook, state: PyTree, rollout: Transition) -> tuple[jax.Array, PyTree, Metrics]:
    """What ``hook.apply`` gives. Raises ``UsageError`` where that is not as documented."""
    name = f"reward_hook {hook.name}"
    given = call_user_function(name, hook.apply, state, rollout)
    if not isinstance(given, (tuple, list)) or len(given) != 3 or not isinstance(given[2], Mapping):
        raise UsageError(f"{name} gives {kind_of(given)}; must be (rewards, its next state, a dict of metrics)")
    reward, next_state, metrics = given
    if (kind := kind_of(reward)) != f"shape {rollout.reward.shape}":
        raise UsageError(f"{name} gives rewards of {kind}; must be {rollout.reward.shape}")
    for metric, value in metrics.items():
        if (kind := kind_of(value)) != "shape ()":
            raise UsageError(f"{name} gives the metric {metric} of {kind}; must be one number, as its mean")
    old, new = ([*map(kind_of, jax.tree.leaves(x)), jax.tree.structure(x)] for x in (state, next_state))
    if old != new:
        raise UsageError(f"{name} gives a next state of {new}; must be as the one before it: {old}")
    return reward, next_state, dict(metrics)
