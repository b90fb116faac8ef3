"""Rewards to learn from instead of the environment's: what a ``RewardHook`` gives, checked."""

from collections.abc import Mapping

import jax

from proximax.errors import UsageError
from proximax.runtime import call_user_function, kind_of
from proximax.types import Metrics, PyTree, RewardHook, Transition


def change_rewards(hook: RewardHook | None, state: PyTree, rollout: Transition) -> tuple[Transition, PyTree, Metrics]:
    """The rollout with the rewards to learn from, of the form documented: (rollout, the hook's next state, metrics)."""
    if hook is None:
        return rollout, state, {}
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
    return rollout._replace(reward=reward), next_state, {f"{hook.name}_{key}": x for key, x in metrics.items()}
