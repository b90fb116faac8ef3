"""Checks of a ``JaxEnv`` before anything is built on it: by tracing, so nothing is compiled or run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config import shown
from proximax.envs.base import JaxEnv
from proximax.errors import ENV_ERRORS, EnvError, ProximaxError, describe
from proximax.runtime import own_settings, seed_key
from proximax.spaces import DoesNotFit, Space, check_structure, flatten, leaves, paths, unflatten
from proximax.types import PyTree, Step

FLAGS = ("terminated", "truncated", "first", "episode_over")
NUMBERS = ("reward", "valid", "unclipped_reward")
OPTIONAL = ("unclipped_reward", "episode_over")


def check_jax_env(env: JaxEnv) -> None:
    """Refuse a ``JaxEnv`` whose ``reset`` and ``step`` do not fit its spaces and each other; both are only traced."""
    with own_settings():
        key = seed_key(0)
        state, obs = _trace("reset", "(state, obs)", env.reset, key)
        _check_reset(env.observation_space, state, obs)
        reached, outcome = _trace("step", "(state, Step)", env.step, key, state, _actions(env.action_space))
        for name in ("obs", "final_obs"):
            _check_observation(env.observation_space, getattr(outcome, name), f"Step.{name}")
            _check_same(obs, getattr(outcome, name), f"Step.{name}", "the observation of reset")
        _check_scalars(outcome)
        _check_same(state, reached, "the state that step returns", "that of reset")


def _trace(method: str, wanted: str, call: Callable[..., Any], *arguments: object) -> tuple[PyTree, Any]:
    """The shapes and dtypes of what ``call`` returns, a pair."""

    def checked(*traced: object) -> Any:
        returned = call(*traced)
        is_pair = isinstance(returned, tuple) and len(returned) == 2
        if not is_pair or (method == "step" and not isinstance(returned[1], Step)):
            raise EnvError(f"{method} of the JaxEnv returned {_described(returned)}: it must return {wanted}")
        return returned

    try:
        shapes: tuple[PyTree, Any] = jax.eval_shape(checked, *arguments)
    except ProximaxError:
        raise
    except ENV_ERRORS as error:
        lines = describe(error).strip().splitlines()
        raise EnvError(f"the JaxEnv raised in {method} while it was traced: {lines[0]}") from error
    return shapes


def _described(returned: object) -> str:
    if isinstance(returned, tuple) and len(returned) != 2:
        return f"{len(returned)} values"
    parts = returned if type(returned) is tuple else (returned,)
    return f"({', '.join(type(part).__name__ for part in parts)})" if len(parts) > 1 else f"a {type(returned).__name__}"


def _check_reset(space: Space, state: PyTree, obs: PyTree) -> None:
    try:
        _check_observation(space, obs, "the observation")
    except EnvError as error:
        try:
            _check_observation(space, state, "the observation")
        except EnvError:
            raise error from error.__cause__
        raise EnvError(f"{error}. reset must return (state, obs) in this order; it returned (obs, state)") from error


def _check_observation(space: Space, obs: PyTree, name: str) -> None:
    """Structure and shapes of the space, and numbers: integers where the space is not a Box."""
    try:
        check_structure(space, obs)
    except DoesNotFit as error:
        raise EnvError(str(error).replace("the observation", name, 1)) from error
    for leaf, path, x in zip(leaves(space), paths(space), flatten(space, obs)):
        if not hasattr(x, "dtype"):
            raise EnvError(f"{name}{path} is a {type(x).__name__}, its space {leaf} says one array")
        if x.shape != leaf.shape:
            raise EnvError(f"{name}{path} has shape {x.shape}, its space {leaf} says {leaf.shape}")
        if not isinstance(leaf, spaces.Box) and np.dtype(x.dtype).kind not in "biu":
            raise EnvError(f"{name}{path} is of {x.dtype}, its space {leaf} says integers")
        if not _is_number(x.dtype):
            raise EnvError(f"{name}{path} is of {x.dtype}, its space {leaf} says numbers")


def _is_number(dtype: Any) -> bool:
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating))


def _check_scalars(outcome: Step) -> None:
    for name in (*NUMBERS, *FLAGS):
        x = getattr(outcome, name)
        if x is None and name in OPTIONAL:
            continue
        wanted = "one bool" if name in FLAGS else "one number"
        if not hasattr(x, "dtype"):
            raise EnvError(f"Step.{name} is a {type(x).__name__}: it must be {wanted}")
        fits = x.dtype == jnp.bool_ if name in FLAGS else _is_number(x.dtype)
        if x.shape != () or not fits:
            raise EnvError(f"Step.{name} is of {x.dtype} and shape {x.shape}: it must be {wanted}, of shape ()")


def _check_same(before: PyTree, after: PyTree, name: str, name_before: str) -> None:
    """Refuse a tree whose structure, shapes or dtypes change from one step to the next: it is compiled once."""
    structures: list[Any] = [jax.tree.structure(tree) for tree in (before, after)]
    old, new = structures
    if old != new:
        raise EnvError(f"{name} has the structure {shown(new)}, {name_before} has {shown(old)}: they must be the same")
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after)):
        # A number of Python takes the dtype of what it meets.
        if x.shape != y.shape or (x.dtype != y.dtype and not x.weak_type):
            raise EnvError(
                f"{name}{jax.tree_util.keystr(path)} is of {y.dtype} and shape {y.shape}, {name_before} of {x.dtype} "
                f"and shape {x.shape}: they must be the same"
            )


def _actions(space: Space) -> PyTree:
    """The shape and dtype of an action, as a policy gives it."""
    parts = [
        jax.ShapeDtypeStruct(leaf.shape or (), jnp.float32 if isinstance(leaf, spaces.Box) else jnp.int32)
        for leaf in leaves(space)
    ]
    return unflatten(space, iter(parts))
