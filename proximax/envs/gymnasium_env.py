"""Gymnasium vector environments (EnvPool's among them) as a ``HostEnv``, in every autoreset mode.

The only module that handles the differences between their step APIs.
"""

from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any

import jax
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from proximax.config import Autoreset
from proximax.envs.base import HostEnv, host_state, read_host_state, restoring_errors, saving_errors
from proximax.envs.crash_recovery import RESTARTED, RestartBudget
from proximax.envs.env_checker import environment_error, gives_masks
from proximax.envs.env_state import StateError, get_states, set_states
from proximax.envs.in_process import InProcessEnvs
from proximax.envs.time_limit import TIMEOUT_SECONDS, CallLimit, close_quietly
from proximax.errors import ENV_ERRORS, EnvError, UsageError
from proximax.spaces import (
    MASK,
    DoesNotFit,
    Space,
    check_stackable,
    flatten,
    flatten_masks,
    has_mask,
    leaves,
    paths,
    to_stored,
    unflatten,
    with_mask,
    write_tree,
)
from proximax.types import PyTree, Step

MODES: dict[str, AutoresetMode] = {
    "next_step": AutoresetMode.NEXT_STEP,
    "same_step": AutoresetMode.SAME_STEP,
    "disabled": AutoresetMode.DISABLED,
}

MASKS_NOT_READ = (
    "the environments have a method action_masks(), which is not read in a vector environment of your own: pass a "
    "callable that makes one environment, or give the masks in info['action_mask']"
)


class GymnasiumEnv(HostEnv):
    """One ``VectorEnv``. Its autoreset mode comes from its metadata, or from ``autoreset`` where they have none.

    ``masked``: whether ``info["action_mask"]`` masks actions; it becomes an entry of the observation. None: find out by
    a reset. A mask in the observation itself takes precedence. ``restarts``: of the ``AutoRestartEnv`` in it.
    ``timeout``: of each call, in seconds (``time_limit``).
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        autoreset: Autoreset = "auto",
        masked: bool | None = None,
        restarts: RestartBudget | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        check_distinct(env)
        self.env = env
        self.num_envs = env.num_envs
        self.action_space: Space = env.single_action_space
        self.mode = autoreset_mode(env, autoreset)
        self._space: Space = env.single_observation_space
        self._shapes = [(self.num_envs, *(leaf.shape or ())) for leaf in leaves(self._space)]
        self._dtypes = [leaf.dtype for leaf in leaves(env.action_space)]
        self._last: Any = np.zeros(self.num_envs, bool)
        self._all_valid: Any = np.ones(self.num_envs, bool)
        self._steps, self._budget, self._limit = 0, restarts or RestartBudget(), CallLimit(timeout)
        self.info: dict[str, Any] = {}  # of the latest step or reset
        self._pending: Any = None  # actions of environments that step in ``receive``
        self._raw = RawObservations(env)
        # A wrapper's ``step`` must not be bypassed, as the ``send`` of the environment that it wraps would.
        self.steps_in_background = not isinstance(env, VectorWrapper) and (
            isinstance(env, AsyncVectorEnv) or (hasattr(env, "send") and hasattr(env, "recv"))
        )
        self.notes: list[str] = []
        may_have_mask = (masked is None or masked) and not has_mask(self._space)
        mask = self._find_mask() if may_have_mask else None
        self._masked = mask is not None
        self.observation_space = self._space
        if mask is not None:
            self.observation_space = with_mask(self._space, mask.shape[1])
        elif may_have_mask and self._raw.has_mask_method:
            self.notes.append(MASKS_NOT_READ)

    def _find_mask(self) -> np.ndarray | None:
        """The masks in the info of a reset; None where there are none."""
        try:
            _, info = self._limit.run("reset", partial(self.env.reset, seed=0))
        except ENV_ERRORS as error:
            raise environment_error("reset", error, 0) from error
        if MASK not in info:
            return None
        check_stackable(self.action_space, info[MASK])
        mask = flatten_masks(self.action_space, info[MASK], self.num_envs, "environment")
        return mask if mask.size else None  # of an action space without choices

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """New episodes; a vector environment with one random generator for all its environments gets the first seed."""
        one_generator = not isinstance(self.env.unwrapped, (SyncVectorEnv, AsyncVectorEnv))
        return self._reset(seed=seeds[0] if one_generator else list(seeds))

    def _reset(self, **options: Any) -> PyTree:
        try:
            obs, info = self._limit.run("reset", partial(self.env.reset, **options))
            self._raw.check()
            self.info = info
            self._last[:] = False
            return jax.tree.map(np.array, self._observed(obs, info))
        except EnvError:
            raise
        except ENV_ERRORS as error:
            raise environment_error("reset", error, 0) from error

    def _observed(self, obs: object, info: dict[str, Any], terminal: bool = False) -> PyTree:
        """Observations as stored, with their mask; ``terminal`` ones, which no action follows, need none."""
        obs = to_stored(self._space, obs)
        for i, x in enumerate(flatten(self._space, obs)):
            if x.shape != self._shapes[i]:
                raise wrong_shape(self._space, i, x.shape, self._shapes[i])
        if not self._masked:
            return obs
        if MASK not in info and not terminal:
            raise EnvError(f"info of step {self._steps} has no '{MASK}', which the first reset's had")
        try:
            mask = flatten_masks(self.action_space, info.get(MASK), self.num_envs, "environment")
        except UsageError as error:
            raise EnvError(f"at step {self._steps} {error}") from error
        return {"obs": obs, MASK: np.where(info.get(f"_{MASK}", self._all_valid)[:, None], mask, 1).astype(np.int8)}

    def send(self, action: PyTree) -> None:
        """Start a step, if the environments can step in the background."""
        self._pending = self._to_env_dtypes(action)
        if not self.steps_in_background:
            return
        env: Any = self.env
        try:
            env.step_async(self._pending) if isinstance(env, AsyncVectorEnv) else env.send(self._pending)
        except ENV_ERRORS as error:
            raise environment_error("step", error, self._steps) from error

    def _finish_step(self) -> Any:
        env: Any = self.env
        if not self.steps_in_background:
            return env.step(self._pending)
        return env.step_wait() if isinstance(env, AsyncVectorEnv) else env.recv()

    def receive(self) -> Step:
        """Finish the step, in any autoreset mode."""
        try:
            with self._limit("step", self._steps):
                obs, reward, terminated, truncated, info = self._finish_step()
            self._raw.check()
            self._steps += 1
            self.info = info
            one_each: Any = self._all_valid.shape
            if getattr(reward, "shape", None) != one_each:
                raise not_one_each("rewards", reward, self.num_envs, "number")
            terminated = one_flag_each("terminated", terminated, self.num_envs)
            truncated = one_flag_each("truncated", truncated, self.num_envs)
            last = terminated | truncated
            # In same-step mode these are the next episodes' first observations.
            obs = self._observed(obs, info, bool(last.all()) and self.mode is not AutoresetMode.SAME_STEP)
            if self.mode is AutoresetMode.NEXT_STEP:
                # The step after an episode's end ignored the action: it is not a transition, and it starts an episode.
                first, self._last = self._last, last
                if first.any():
                    reward = np.where(first, 0.0, reward)
                return Step(obs, obs, reward, terminated, truncated, first, ~first)
            final_obs, crashed = obs, info.get(RESTARTED)
            if last.any():
                obs, final_obs = self._reset_ended(obs, last, info)
        except EnvError:
            raise
        except ENV_ERRORS as error:
            raise environment_error("step", error, self._steps) from error
        if crashed is None:
            return Step(obs, final_obs, reward, terminated, truncated, last, self._all_valid)
        return Step(obs, final_obs, reward, terminated, truncated, last, ~crashed, episode_over=last & ~crashed)

    def _to_env_dtypes(self, action: PyTree) -> PyTree:
        """Actions in the dtypes of the action space."""
        arrays = flatten(self.action_space, action)
        cast = [x.astype(dtype, copy=False) for x, dtype in zip(arrays, self._dtypes)]
        return unflatten(self.action_space, iter(cast))

    def _reset_ended(self, obs: PyTree, last: np.ndarray, info: dict[str, Any]) -> tuple[PyTree, PyTree]:
        """(observations to act on, observations before the reset) of a step at which episodes ended."""
        final_obs = jax.tree.map(np.array, obs)
        if self.mode is AutoresetMode.DISABLED:
            with self._limit("reset", self._steps):
                fresh = self.env.reset(options={"reset_mask": last.copy()})
            obs = self._observed(*fresh)
            if self._masked:  # the reset's info has the masks of the environments that it reset
                obs[MASK] = np.where(last[:, None], obs[MASK], final_obs[MASK])
            return obs, final_obs
        final_of_env = info.get("final_obs", info.get("final_observation"))
        if final_of_env is None:
            raise EnvError(
                f"an episode ended in environment {int(np.argmax(last))} at step {self._steps}, but info has no "
                "'final_obs', which same-step autoreset must give. Name the mode that it really has: autoreset=..., "
                "--autoreset on the command line"
            )
        reached = flatten(self._space, final_obs["obs"] if self._masked else final_obs)
        for i in np.flatnonzero(last).tolist():
            self._raw.copy_to(reached, i, final_of_env[i])
        return obs, final_obs

    @property
    def restarts(self) -> int:
        """How many of its environments were restarted."""
        return self._budget.used

    def get_state(self) -> PyTree | None:
        """Of the vector environment, and of its environments where it holds them in this process."""
        with saving_errors():
            states = get_states(self.env)
        return None if states is None else host_state(self._steps, self._last, **states)

    def set_state(self, state: PyTree) -> None:
        """Restore a state of ``get_state``, or of ``Workers.get_state``."""
        with restoring_errors():
            self._steps, ended, vector, envs = read_host_state(state, self.num_envs)
            if ended.any() and self.mode is not AutoresetMode.NEXT_STEP:
                raise StateError("it was saved in next-step autoreset, between an episode's end and its reset")
            set_states(self.env, vector, envs)
        self._last = ended
        core = self.env.unwrapped
        if isinstance(core, SyncVectorEnv):
            core._autoreset_envs = ended.copy()

    def close(self) -> None:
        """Close the vector environment; what one of its environments raises is logged."""
        core = self.env
        if isinstance(core, SyncVectorEnv) and not core.closed:
            for env in core.envs:  # each of them, also if another raises
                close_quietly(env.close, self._limit)
            core.closed = True
        else:
            close_quietly(core.close, self._limit)


class RawObservations:
    """What the environments of a user's ``SyncVectorEnv`` gave, before it converted that without a word."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        core: Any = env.unwrapped
        self._core = core if isinstance(core, SyncVectorEnv) and not isinstance(core, InProcessEnvs) else None
        self.has_mask_method = self._core is not None and gives_masks(core.envs[0])
        space = env.single_observation_space if self._core is None else core.single_observation_space
        self._places = unflatten(space, count())
        self._arrays = [np.empty((env.num_envs, *(leaf.shape or ())), leaf.dtype) for leaf in leaves(space)]

    def check(self) -> None:
        """Raise ``DoesNotFit`` where a value or an entry of the latest observations was lost."""
        if self._core is not None:
            for i, obs in enumerate(self._core._env_obs):
                self.copy_to(self._arrays, i, obs)

    def copy_to(self, arrays: list[np.ndarray], i: int, obs: object) -> None:
        """Copy the observation of environment ``i`` into the leaves ``[num_envs, ...]``; nothing is lost in silence."""
        try:
            write_tree(self._places, obs, arrays, i)
        except DoesNotFit as error:
            raise DoesNotFit(f"of environment {i} {error.text}", error.path) from error


def one_flag_each(name: str, flags: object, num_envs: int) -> Any:
    """Flags ``[num_envs]`` as bools; integers 0 and 1 are flags too."""
    array = flags if type(flags) is np.ndarray else np.asarray(flags)
    if array.shape != (num_envs,):
        raise not_one_each(name, flags, num_envs, "bool")
    if array.dtype == bool:
        return array
    if array.dtype.kind not in "iu" or not np.isin(array, (0, 1)).all():
        raise not_one_each(name, flags, num_envs, "bool")
    return array.astype(bool)


def not_one_each(name: str, got: Any, num_envs: int, wanted: str) -> EnvError:
    """The error for something that is not one number or one flag for each environment."""
    kind = f"of {got.dtype} and shape {tuple(got.shape)}" if hasattr(got, "dtype") else f"a {type(got).__name__}"
    return EnvError(
        f"the vector environment's {name} are {kind}: they must be an array of shape ({num_envs},), one {wanted} for "
        "each environment"
    )


def wrong_shape(space: Space, leaf: int, got: tuple[int, ...], wanted: tuple[int, ...]) -> EnvError:
    """The error for observations of another shape than their space says."""
    return EnvError(
        f"the vector environment's observations{paths(space)[leaf]} have shape {got}: its {wanted[0]} environments and "
        f"their space {leaves(space)[leaf]} say {wanted}"
    )


def check_distinct(env: VectorEnv[Any, Any, Any]) -> None:
    """Refuse a ``SyncVectorEnv`` that steps one and the same environment object under several numbers."""
    core = env.unwrapped
    if isinstance(core, SyncVectorEnv) and len({id(env.unwrapped) for env in core.envs}) < core.num_envs:
        raise UsageError(
            f"the callable returned the same environment object more than once, but each of the {core.num_envs} "
            "environments needs its own: create one at each call, as in lambda: gymnasium.make(...)"
        )


def autoreset_mode(env: VectorEnv[Any, Any, Any], requested: Autoreset) -> AutoresetMode:
    """The mode that the environment states, else the user's; a guess would silently corrupt every episode's end."""
    # Gymnasium's vector environments write their mode into their sub-environments' class-level metadata, where that of
    # the next vector environment overwrites it: their own attribute takes precedence.
    stated = getattr(env.unwrapped, "autoreset_mode", None) or (env.metadata or {}).get("autoreset_mode")
    if isinstance(stated, AutoresetMode):
        if requested != "auto" and MODES[requested] is not stated:
            raise UsageError(f"autoreset = {requested} contradicts the environment, which states {stated.name.lower()}")
        return stated
    if requested == "auto":
        raise UsageError(
            f"the vector environment does not state its autoreset mode (metadata['autoreset_mode'] = {stated!r}). "
            f"Say which it is, {', '.join(MODES)}: autoreset=..., --autoreset on the command line"
        )
    return MODES[requested]
