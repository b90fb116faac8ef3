"""Environments of JAX physics, of Brax and MuJoCo Playground, as ``JaxEnv``: without their own automatic resets.

By default the wrappers that both libraries train with return each environment to its own first state after every
episode, lose the last observation of the episode, keep stepping after its end while an action is repeated, and tell a
time limit apart only in ``info``. Here the bare environment is stepped: each episode has a start of its own, and a time
limit is a truncation.
"""

import importlib
import logging
import subprocess
from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config import COUNT, range_problem, refuse
from proximax.envs.base import JaxEnv, auto_reset
from proximax.envs.lazy_reset import reset_where_ended
from proximax.envs.registry import check_known
from proximax.errors import ENV_ERRORS, DependencyError, EnvError, UsageError, describe
from proximax.runtime import seed_key
from proximax.spaces import Space
from proximax.types import Array, Key, PyTree, Step

EPISODE_LENGTH = 1000  # of Brax's environments, whose own code has no time limit
POLICY_ENTRY = "state"  # in observations of MuJoCo Playground beside "privileged_state", which a robot cannot sense
_NONE: Mapping[str, Any] = MappingProxyType({})


class Episode(NamedTuple):
    """An environment's own state, and how many of its steps the episode has taken."""

    state: Any
    steps: Array


def make_brax(name: str, kwargs: Mapping[str, Any] = _NONE) -> JaxEnv:
    """Brax's environment ``name``; ``kwargs``: arguments of its constructor, or of ``from_brax``."""
    envs = _import("brax.envs", f"brax:{name}", "brax")
    check_known(name, list(envs._envs), "brax")
    own, arguments = _divide(kwargs)
    try:
        env = keep_root_logger(envs.get_environment)(name, **arguments)
    except ENV_ERRORS as error:
        raise UsageError(f"env_kwargs of brax:{name}: {describe(error)}") from error
    return from_brax(env, **own)


def make_playground(name: str, kwargs: Mapping[str, Any] = _NONE) -> JaxEnv:
    """MuJoCo Playground's environment ``name``; ``kwargs``: entries of its configuration, or ``observation``."""
    registry = _import("mujoco_playground", f"playground:{name}", "playground").registry
    check_known(name, list(registry.ALL_ENVS), "playground")
    own, overrides = _divide(kwargs, "observation")
    config = registry.get_default_config(name).lock()  # takes no entries but those it has
    if "impl" in config and jax.default_backend() == "cpu":
        overrides = {"impl": "jax", **overrides}  # the default, Warp, is for NVIDIA's GPUs
    try:
        config.update_from_flattened_dict(_flat(overrides))
    except (KeyError, TypeError, ValueError) as error:
        reason = describe(error).partition(". Other fields present")[0]  # all of them, with their values
        raise UsageError(
            f"env_kwargs of playground:{name}: {reason}. It has {', '.join(config)}. Entries of an entry: as a dict"
        ) from error
    try:
        env = keep_root_logger(registry.load)(name, config=config)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise DependencyError(
            f"playground:{name} needs the robots of MuJoCo Menagerie, which MuJoCo Playground downloads from GitHub by "
            f"git when the first of them is made: {describe(error)}"
        ) from error
    except ENV_ERRORS as error:
        raise EnvError(f"playground:{name}: {describe(error)}") from error
    return from_brax(env, config.episode_length, config.get("action_repeat", 1), **own)


def _import(module: str, env_id: str, extra: str) -> Any:
    """The module, or which ``pip install`` gives it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DependencyError(f'{env_id} needs {error.name}: pip install "proximax[{extra}]"') from error
    except ENV_ERRORS as error:  # another version of JAX or MuJoCo than it was written for
        raise DependencyError(
            f'{env_id}: {module} cannot be imported with what is installed ({describe(error)}): pip install --upgrade "'
            f'proximax[{extra}]"'
        ) from error


def _divide(kwargs: Mapping[str, Any], *ours: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arguments of ``from_brax``, arguments of the environment)."""
    names = ours or ("episode_length", "action_repeat", "observation")
    return {k: x for k, x in kwargs.items() if k in names}, {k: x for k, x in kwargs.items() if k not in names}


def _flat(entries: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``, which leaves the other entries of ``a`` as they are."""
    flat: dict[str, Any] = {}
    for name, value in entries.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def from_brax(
    env: Any, episode_length: int = EPISODE_LENGTH, action_repeat: int = 1, observation: str | None = None
) -> JaxEnv:
    """An environment with Brax's interface, which MuJoCo Playground's have too, without wrappers.

    ``env.reset(key)`` and ``env.step(state, action)`` return a state with ``obs``, ``reward`` and ``done``, which are
    its own: ``done`` is a terminal state. Actions are in [-1, 1], as both libraries' own learners give them; an
    environment whose motors have other ranges scales them itself.
    ``episode_length``: after so many of the environment's steps an episode is truncated, whose last state keeps its
    value. ``action_repeat``: how many of these steps one action lasts, fewer where the episode ends before; their
    rewards are added.
    ``observation``: which entry of an observation that is a dict the policy sees; without it ``"state"``, where there
    is one, else all. Value and policy see the same.
    A simulation that diverges ends its episode: where ``done`` comes with numbers that are not finite, the reward is 0
    and the final observation the one before.
    """
    counts = {"episode_length": episode_length, "action_repeat": action_repeat}
    refuse([range_problem(name, count, COUNT) for name, count in counts.items()])
    reset_env, step_env = keep_root_logger(env.reset), keep_root_logger(env.step)
    shapes = jax.eval_shape(reset_env, jax.random.key_data(seed_key(0))).obs
    entry = _entry(shapes, observation)
    observation_space = _space(shapes if entry is None else shapes[entry])

    def observe(state: Any) -> PyTree:
        return _plain(state.obs if entry is None else state.obs[entry])

    def reset(key: Key) -> tuple[Episode, PyTree]:
        state = reset_env(jax.random.key_data(key))  # both libraries' code is written for keys of the old kind
        return Episode(state, jnp.zeros((), jnp.int32)), observe(state)

    restart = reset_where_ended(reset)

    def step(key: Key, episode: Episode, action: jax.Array) -> tuple[Episode, Step]:
        reached, reward = step_repeatedly(step_env, episode.state, action, action_repeat)
        steps = episode.steps + action_repeat
        terminated = reached.done.astype(bool)
        truncated = (steps >= episode_length) & ~terminated
        final_obs = observe(reached)
        diverged = terminated & ~(_is_finite(final_obs) & jnp.isfinite(reward))
        final_obs, reward = auto_reset(diverged, (observe(episode.state), jnp.zeros(())), (final_obs, reward))
        last = terminated | truncated
        episode, obs = restart(last, key, (Episode(reached, steps), final_obs))
        return episode, Step(obs, final_obs, reward, terminated, truncated, last, jnp.ones(()))

    action_space = spaces.Box(-1.0, 1.0, (env.action_size,), np.float32)
    return JaxEnv(reset, step, observation_space, action_space)


def keep_root_logger(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, after which the root logger has the handlers that it had.

    MJX logs by ``logging.debug``, which gives it one where it has none: then all messages of a run come twice.
    """

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        handlers = list(logging.root.handlers)
        try:
            return function(*arguments, **named)
        finally:
            logging.root.handlers[:] = handlers

    return called


def step_repeatedly(
    step: Callable[[Any, jax.Array], Any], state: Any, action: jax.Array, times: int
) -> tuple[Any, jax.Array]:
    """(state, sum of rewards) after ``times`` steps with one action; none is taken after the end of an episode."""

    def once(state: Any) -> tuple[Any, jax.Array]:
        # Environments write into the dicts of the state that they are given: it gets its own.
        reached = step(jax.tree.map(lambda x: x, state), action)
        reward = jnp.asarray(reached.reward, jnp.float32).reshape(())
        return jax.tree.map(_as_before, state, reached), reward

    def again(carry: tuple[Any, jax.Array], _: None) -> tuple[tuple[Any, jax.Array], None]:
        state, total = carry
        reached, reward = once(state)
        return auto_reset(state.done.astype(bool), carry, (reached, total + reward)), None

    reached, reward = once(state)
    if times == 1:
        return reached, reward
    (reached, reward), _ = jax.lax.scan(again, (reached, reward), length=times - 1)
    return reached, reward


def _as_before(old: Any, x: Any) -> Any:
    """``x`` with the dtype of ``old``: a loop cannot carry what changes it, such as ``done``."""
    old, x = jnp.asarray(old), jnp.asarray(x)
    return x if x.dtype == old.dtype else x.astype(old.dtype)


def _entry(obs: Any, name: str | None) -> str | None:
    """The entry of an observation that the policy sees; None: the whole observation."""
    if not isinstance(obs, Mapping):
        if name is not None:
            raise UsageError(f"observation = {name!r}: the environment's observations are one array, without entries")
        return None
    if name is not None and name not in obs:
        raise UsageError(f"observation = {name!r}: must be one of {', '.join(obs)}")
    return name or (POLICY_ENTRY if POLICY_ENTRY in obs else None)


def _space(shapes: Any) -> Space:
    if isinstance(shapes, Mapping):
        return spaces.Dict({key: _space(part) for key, part in shapes.items()})
    if shapes.dtype == np.uint8:
        return spaces.Box(0, 255, shapes.shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shapes.shape, np.float32)


def _plain(obs: Any) -> PyTree:
    """Dicts and arrays: bytes of images as they are, all other numbers as float32."""
    if isinstance(obs, Mapping):
        return {key: _plain(part) for key, part in obs.items()}
    return obs if obs.dtype == jnp.uint8 else obs.astype(jnp.float32)


def _is_finite(tree: PyTree) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))
