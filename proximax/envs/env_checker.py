"""Checks of an environment before anything is built on it, and errors that name the environment as their source."""

import time
from collections.abc import Callable, Sequence
from itertools import count
from types import TracebackType
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv, VectorEnv

from proximax.config import MAX_EPISODE_STEPS, shown
from proximax.envs.base import HostEnv
from proximax.envs.mujoco_warnings import report_once
from proximax.envs.time_limit import TIMEOUT_SECONDS, CallLimit, close_quietly
from proximax.envs.workers.main import mask_method
from proximax.envs.workers.quick_step import quick_step
from proximax.errors import ENV_ERRORS, EnvError, ProximaxError, UsageError, text_of
from proximax.spaces import (
    MASK,
    DoesNotFit,
    NotANumber,
    Space,
    check_action_space,
    check_mask,
    check_observation_space,
    check_ranges,
    check_stackable,
    flatten,
    flatten_mask,
    has_mask,
    leaves,
    num_mask_entries,
    one_flag,
    one_number,
    paths,
    sample_allowed_action,
    to_stored,
    unflatten,
    write_tree,
)

OLD_API = (
    "the environment has the old Gym API (reset returns only the observation, or step four values); Gymnasium >= 1.0 "
    'is needed. Wrap it: pip install "shimmy[gym-v21]" and gymnasium.make("GymV21Environment-v0", env=...)'
)

MASK_METHOD = "action_masks"


class EnvReport(NamedTuple):
    """The result of ``check_env``."""

    seconds: float  # of the fastest step
    masked: bool  # whether there are action masks beside the observations, in ``info``
    notes: list[str]  # for the user
    observation_space: Space
    action_space: Space
    mask_method: bool = False  # whether they come from a method ``action_masks`` instead
    quick: bool = False  # whether steps are quick ones (``workers.quick_step``)


def check_env(
    make: Callable[[], gymnasium.Env[Any, Any]], budget: float = 0.02, timeout: float = TIMEOUT_SECONDS
) -> EnvReport:
    """Take a few random steps in a new environment, for up to ``budget`` seconds. ``timeout``: of each call.

    Refuses what would fail later or, worse, silently: unsupported spaces, the old API, observations unlike their space.
    """
    limit = CallLimit(timeout)
    try:
        return _check_env(make, budget, limit)
    finally:
        limit.stop()


def _check_env(make: Callable[[], gymnasium.Env[Any, Any]], budget: float, limit: CallLimit) -> EnvReport:
    env = construct(make, limit)
    if isinstance(env, VectorEnv):
        close_quietly(env.close, limit)
        raise UsageError(
            f"env: the callable returned a vector environment of {env.num_envs}, {shown(env)}: it must return one "
            "single environment, of which proximax makes num_envs. To train on a VectorEnv, pass the object itself"
        )
    if not all(hasattr(env, name) for name in ("reset", "step", "observation_space", "action_space")):
        raise UsageError(f"env: the callable returned {shown(env)}, which is not a Gymnasium environment")
    check_observation_space(env.observation_space)
    check_action_space(env.action_space)
    check_mask(env.observation_space, env.action_space)
    env.action_space.seed(0)
    times: list[float] = []
    outside, reached = 0, _call_env(limit("reset"), _reset_one, env)
    has_method = MASK not in reached[1] and gives_masks(env)
    masked = (MASK in reached[1] or has_method) and not has_mask(env.observation_space)
    while len(times) < 3 or (sum(times) < budget and len(times) < 50):
        obs, info = reached
        if masked and has_method:
            info = {**info, MASK: _call_env(limit(MASK_METHOD), call_mask_method, env)}
        if not times:
            check_stackable(env.action_space, info[MASK] if masked else None)
        allowed = _call_env(limit("step"), _allowed, env, obs, info, len(times))
        before = time.perf_counter()
        (obs, info), last = _call_env(limit("step"), _step_one, env, allowed)
        times.append(time.perf_counter() - before)
        check_observation(obs, env.observation_space)
        outside += not _contains(env.observation_space, obs)
        reached = _call_env(limit("reset"), _reset_one, env) if last else (obs, info)
    is_quick = quick_step(env) is not None
    close_quietly(env.close, limit)
    notes = [f"{outside} of {len(times)} observations checked lie outside the bounds of their space"] if outside else []
    notes += long_episode_notes(getattr(env.spec, "max_episode_steps", None))
    if masked and has_method:
        notes.append(f"action masks are those of the environment's method {MASK_METHOD}()")
    spaces_of_env = env.observation_space, env.action_space
    return EnvReport(min(times), masked, notes, *spaces_of_env, masked and has_method, not masked and is_quick)


def long_episode_notes(limit: int | None) -> list[str]:
    """A note where episodes may take more steps (``limit``) than an evaluation plays."""
    if limit is None or limit <= MAX_EPISODE_STEPS:
        return []
    return [
        f"episodes may take {limit:,} steps, but an evaluation gives up after {MAX_EPISODE_STEPS:,}: the return of one "
        "that takes longer is not known (n/a)"
    ]


def gives_masks(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether the environment has a method ``action_masks`` and actions that can be masked."""
    return mask_method(env) is not None and num_mask_entries(env.action_space) > 0


def call_mask_method(env: gymnasium.Env[Any, Any]) -> Any:
    """The mask by the method ``action_masks``, for the observation that the environment gave last."""
    method = mask_method(env)
    assert method is not None
    return method()


def _contains(space: Space, obs: object) -> bool:
    parts = zip(leaves(space), flatten(space, obs))
    return all(leaf.contains(np.asarray(x, leaf.dtype)) for leaf, x in parts)


def _reset_one(env: gymnasium.Env[Any, Any]) -> tuple[Any, dict[str, Any]]:
    reached: Any = env.reset(seed=0)
    if not (isinstance(reached, tuple) and len(reached) == 2 and isinstance(reached[1], dict)):
        raise EnvError(OLD_API)
    obs, info = reached
    check_observation(obs, env.observation_space)
    return obs, info


def _allowed(env: gymnasium.Env[Any, Any], obs: Any, info: dict[str, Any], step: int) -> np.ndarray | None:
    """Which actions the mask allows, ``[choices]``; None without a mask."""
    space = env.observation_space
    if isinstance(space, spaces.Dict) and has_mask(space):
        return np.concatenate([np.ravel(x) for x in flatten(space[MASK], obs[MASK])]) > 0
    if info.get(MASK) is None:
        return None
    try:
        return flatten_mask(env.action_space, info[MASK]) > 0
    except UsageError as error:
        if step == 0:
            raise
        raise EnvError(f"at step {step} of checking one environment {error}") from error


def _step_one(env: gymnasium.Env[Any, Any], allowed: np.ndarray | None) -> tuple[tuple[Any, dict[str, Any]], bool]:
    """A random allowed step: ((observation, info), whether the episode ended)."""
    if allowed is None:
        action = env.action_space.sample()
    else:
        action = sample_allowed_action(env.action_space, allowed, np.random.default_rng(0))
    obs, reward, terminated, truncated, info = env.step(action)
    one_number(reward, "the reward")
    return (obs, info), one_flag(terminated, "terminated") | one_flag(truncated, "truncated")


def construct(make: Callable[[], Any], limit: CallLimit) -> Any:
    """A new environment; what its constructor raises becomes an ``EnvError``."""
    report_once(make)
    return _call_env(limit("its constructor"), make)


def _call_env(limit: CallLimit, call: Callable[..., Any], *arguments: object) -> Any:
    """``call(*arguments)`` within the limit; what it raises becomes an ``EnvError`` that names the method."""
    try:
        with limit:
            return call(*arguments)
    except (ProximaxError, gymnasium.error.DependencyNotInstalled, ModuleNotFoundError):
        raise
    except ENV_ERRORS as error:
        raise environment_error(limit.method, error, 0) from error


def check_observation(obs: object, space: Space) -> None:
    """Refuse an observation that has not the structure or shape of its space, or does not fit the space's dtype."""
    try:
        parts = flatten(space, obs)
    except (KeyError, IndexError, TypeError) as error:
        raise EnvError(f"the observation {obs!r} does not have the structure of its space {space}") from error
    for leaf, path, part in zip(leaves(space), paths(space), parts):
        array, name = np.asarray(part), f"the observation{path}"
        if array.dtype == object:
            raise EnvError(f"{name} is {shown(part)}, but its space {leaf} says an array of numbers")
        if array.shape != leaf.shape:
            raise EnvError(f"{name} has shape {array.shape}, its space {leaf} says {leaf.shape}")
        if leaf.dtype is not None and not np.can_cast(array.dtype, leaf.dtype, "same_kind"):
            raise EnvError(f"{name} is of {array.dtype}, which {leaf} cannot hold without loss")
    arrays = [np.empty((1, *(leaf.shape or ())), leaf.dtype) for leaf in leaves(space)]
    try:
        write_tree(unflatten(space, count()), obs, arrays, 0)
        check_ranges(space, to_stored(space, unflatten(space, iter(arrays)), ""))
    except DoesNotFit as error:
        raise EnvError(str(error)) from error


def ignores_seed(env: HostEnv, seeds: Sequence[int]) -> bool:
    """Whether two resets with the same seeds give different first observations."""
    before, after = (jax.tree.leaves(env.reset(seeds)) for _ in range(2))
    return not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(before, after))


def environment_error(method: str, error: BaseException, step: int, index: int | None = None) -> EnvError:
    """The error for an exception that environment ``index`` raised; without an index the traceback tells it."""
    text = text_of(error)
    if isinstance(error, (ValueError, TypeError)) and "unpack" in text:
        return EnvError(OLD_API)
    index = failing_index(error.__traceback__) if index is None else index
    where = f"environment {index}" if index is not None else "the environment"
    return EnvError(f"{where} {what_was_raised(method, step, type(error).__name__, text)}")


def what_was_raised(method: str, step: int, kind: str, text: str) -> str:
    """What an environment did, after its name: it raised, or it gave a value that does not fit."""
    if kind in (DoesNotFit.__name__, NotANumber.__name__):
        return f"in {method} at step {step}: {text}"
    return f"raised in {method} at step {step}: {kind}: {text}"


def failing_index(trace: TracebackType | None) -> int | None:
    """Which environment of a ``SyncVectorEnv`` was being stepped or reset in this traceback."""
    while trace is not None:
        frame = trace.tb_frame
        if isinstance(frame.f_locals.get("self"), SyncVectorEnv) and isinstance(frame.f_locals.get("i"), int):
            return int(frame.f_locals["i"])
        trace = trace.tb_next
    return None
