"""Gymnasium vector environments (EnvPool's among them) in every autoreset mode, as one kind of ``HostEnv``.

The only module where other people's ``done``-shaped APIs are taken apart.
"""

import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from proximax.config import Autoreset
from proximax.envs.base import HostEnv
from proximax.errors import EnvironmentFault, ProximaxError, UsageError
from proximax.spaces import check_action_space, check_observation_space, obs_dtype
from proximax.types import Step

MODES: dict[str, AutoresetMode] = {
    "next_step": AutoresetMode.NEXT_STEP,
    "same_step": AutoresetMode.SAME_STEP,
    "disabled": AutoresetMode.DISABLED,
}
# One process per environment costs about 0.1 ms a step; below this step time the plain loop is faster.
ASYNC_STEP_SECONDS = 2e-3
OLD_API = (
    "the environment has the old Gym API (reset returns only the observation, or step four values); Gymnasium >= 1.0 "
    'is needed. Wrap it: pip install "shimmy[gym-v21]" and gymnasium.make("GymV21Environment-v0", env=...)'
)


class GymnasiumEnv:
    """One ``VectorEnv``. Its autoreset mode comes from its metadata, or from ``autoreset`` where that is silent."""

    def __init__(self, env: VectorEnv[Any, Any, Any], autoreset: Autoreset = "auto") -> None:
        self.env = env
        self.num_envs = env.num_envs
        self.observation_space: spaces.Space[Any] = env.single_observation_space
        self.action_space: spaces.Space[Any] = env.single_action_space
        self.mode = autoreset_mode(env, autoreset)
        self._dtype = env.action_space.dtype
        self._last: Any = np.zeros(self.num_envs, bool)
        self._all_valid: Any = np.ones(self.num_envs, bool)
        self._steps = 0
        self.notes: list[str] = []  # what the user should know about these environments

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        """New episodes; a vector environment with one generator for all its environments gets the first seed."""
        each = isinstance(self.env.unwrapped, (SyncVectorEnv, AsyncVectorEnv))
        return self._reset(seed=list(seeds) if each else seeds[0])

    def _reset(self, **how: Any) -> np.ndarray:
        try:
            obs, _ = self.env.reset(**how)
        except Exception as error:
            raise environment_fault("reset", error, 0) from error
        self._last[:] = False
        return np.array(obs, obs_dtype(self.observation_space))

    def step(self, action: Any) -> Step:
        """One step in any autoreset mode."""
        try:
            obs, reward, terminated, truncated, info = self.env.step(action.astype(self._dtype, copy=False))
            self._steps += 1
            last = terminated | truncated
            if self.mode is AutoresetMode.NEXT_STEP:
                # The step after an end ignored the action: its row is no transition, its observation a first one.
                first, self._last = self._last, last
                if first.any():
                    reward = np.where(first, 0.0, reward)
                return Step(obs, obs, reward, terminated, truncated, first, ~first)
            final_obs = obs
            if last.any():
                obs, final_obs = self._reset_ended(obs, last, info)
        except EnvironmentFault:
            raise
        except Exception as error:
            raise environment_fault("step", error, self._steps) from error
        return Step(obs, final_obs, reward, terminated, truncated, last, self._all_valid)

    def _reset_ended(self, obs: np.ndarray, last: np.ndarray, info: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """(observations to act on, observations before the reset) at a step with ends."""
        final_obs = np.array(obs)
        if self.mode is AutoresetMode.DISABLED:
            obs, _ = self.env.reset(options={"reset_mask": last.copy()})
            return obs, final_obs
        given = info.get("final_obs", info.get("final_observation"))
        if given is None:
            raise EnvironmentFault(
                f"an episode ended in environment {int(np.argmax(last))} at step {self._steps}, but info has no "
                "'final_obs', which same-step autoreset must give. Name the mode it really has with --autoreset"
            )
        for i in np.flatnonzero(last):
            final_obs[i] = given[i]
        return obs, final_obs

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()


class EnvPoolEnv(GymnasiumEnv):
    """EnvPool takes its seeds when it is made and ignores those of ``reset``: so ``reset`` makes it."""

    def __init__(self, make: Callable[[Sequence[int]], VectorEnv[Any, Any, Any]], num_envs: int) -> None:
        self._make = make
        super().__init__(make(range(num_envs)))

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        """A new pool with these seeds."""
        self.env.close()
        self.env = self._make(seeds)
        return self._reset()


class Groups:
    """Several host environments side by side as one: for vector environments with one generator for all of theirs."""

    def __init__(self, envs: Sequence[HostEnv]) -> None:
        self.envs = list(envs)
        self.num_envs = sum(env.num_envs for env in envs)
        self.observation_space = envs[0].observation_space
        self.action_space = envs[0].action_space
        self.notes = envs[0].notes
        self._ends = np.cumsum([env.num_envs for env in envs])[:-1]

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        """Reset each group with its share of the seeds."""
        parts = np.split(np.asarray(seeds), self._ends)
        return np.concatenate([env.reset([int(s) for s in part]) for env, part in zip(self.envs, parts)])

    def step(self, action: np.ndarray) -> Step:
        """Step each group with its share of the actions."""
        steps = [env.step(part) for env, part in zip(self.envs, np.split(action, self._ends))]
        parts: list[Any] = [np.concatenate(part) for part in zip(*steps)]
        return Step(*parts)

    def close(self) -> None:
        """Close every group."""
        for env in self.envs:
            env.close()


def autoreset_mode(env: VectorEnv[Any, Any, Any], wanted: Autoreset) -> AutoresetMode:
    """The mode the environment states, else the user; a guess would silently spoil every episode's end."""
    # Gymnasium's vector environments write their mode into their sub-environments' class-level metadata, where the next
    # one made overwrites it: their own attribute comes first.
    stated = getattr(env.unwrapped, "autoreset_mode", None) or (env.metadata or {}).get("autoreset_mode")
    if isinstance(stated, AutoresetMode):
        if wanted != "auto" and MODES[wanted] is not stated:
            raise UsageError(f"--autoreset {wanted} contradicts the environment, which states {stated.name.lower()}")
        return stated
    if wanted == "auto":
        raise UsageError(
            f"the vector environment does not state its autoreset mode (metadata['autoreset_mode'] = {stated!r}). "
            f"Say which it is: --autoreset {'|'.join(MODES)}"
        )
    return MODES[wanted]


def vectorise(make: Callable[[], gymnasium.Env[Any, Any]], num_envs: int) -> GymnasiumEnv:
    """``num_envs`` copies of one environment, stepped in this process or, where a step is slow, each in its own."""
    seconds, notes = try_out(make)
    fns = [make] * num_envs
    # Not same-step autoreset: it hands out the last observation by reference and then resets, so an environment that
    # reuses its observation buffer would have its final observation overwritten by the next episode's first.
    mode = AutoresetMode.DISABLED
    if seconds > ASYNC_STEP_SECONDS and num_envs > 1 and (os.cpu_count() or 1) > 1:
        # forkserver: forking this process after JAX has started its threads can deadlock
        vector: Any = AsyncVectorEnv(fns, context="forkserver", autoreset_mode=mode)
    else:
        vector = SyncVectorEnv(fns, autoreset_mode=mode)
    env = GymnasiumEnv(vector)
    env.notes = notes
    return env


def try_out(make: Callable[[], gymnasium.Env[Any, Any]], budget: float = 0.02) -> tuple[float, list[str]]:
    """A few random steps of a fresh environment: (least seconds of a step, what to tell the user).

    Refuses what would fail later or, worse, not fail: unsupported spaces, the old API, observations unlike their space.
    """
    env = _guarded("its constructor", make)
    check_observation_space(env.observation_space)
    check_action_space(env.action_space)
    _guarded("reset", _reset_one, env)
    env.action_space.seed(0)
    times: list[float] = []
    outside = 0
    while len(times) < 3 or (sum(times) < budget and len(times) < 50):
        before = time.perf_counter()
        obs, _, terminated, truncated, _ = _guarded("step", _step_one, env)
        times.append(time.perf_counter() - before)
        check_observation(obs, env.observation_space)
        outside += not env.observation_space.contains(np.asarray(obs, env.observation_space.dtype))
        if terminated or truncated:
            _guarded("reset", _reset_one, env)
    env.close()
    notes = [f"{outside} of {len(times)} observations tried lie outside the bounds of their space"] if outside else []
    return min(times), notes


def _reset_one(env: gymnasium.Env[Any, Any]) -> None:
    obs, _ = env.reset(seed=0)
    check_observation(obs, env.observation_space)


def _step_one(env: gymnasium.Env[Any, Any]) -> tuple[Any, ...]:
    obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
    return obs, reward, terminated, truncated, info


def _guarded(what: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """``call(*arguments)``, with what it raises named as the environment's fault."""
    try:
        return call(*arguments)
    except (ProximaxError, gymnasium.error.DependencyNotInstalled, ModuleNotFoundError):
        raise
    except Exception as error:
        raise environment_fault(what, error, 0) from error


def check_observation(obs: Any, space: spaces.Space[Any]) -> None:
    """Refuse an observation of another shape than its space, or one that cannot be stored in the space's dtype."""
    array = np.asarray(obs)
    if array.shape != space.shape:
        raise EnvironmentFault(f"the observation has shape {array.shape}, its space {space} says {space.shape}")
    if space.dtype is not None and not np.can_cast(array.dtype, space.dtype, "same_kind"):
        raise EnvironmentFault(f"the observation is of {array.dtype}, which {space} cannot hold without loss")


def ignores_seed(env: HostEnv, seeds: Sequence[int]) -> bool:
    """Whether two resets with the same seeds give different first observations."""
    before = env.reset(seeds)
    return not np.array_equal(before, env.reset(seeds), equal_nan=True)


def environment_fault(what: str, error: BaseException, step: int) -> EnvironmentFault:
    """The fault for an exception that an environment raised."""
    text = str(error)
    if isinstance(error, (ValueError, TypeError)) and "unpack" in text:
        return EnvironmentFault(OLD_API)
    index = failing_index(error.__traceback__)
    where = f"environment {index}" if index is not None else "the environment"
    return EnvironmentFault(f"{where} raised in {what} at step {step}: {type(error).__name__}: {text}")


def failing_index(trace: TracebackType | None) -> int | None:
    """Which environment of a ``SyncVectorEnv`` was being stepped or reset in this traceback."""
    while trace is not None:
        frame = trace.tb_frame
        if isinstance(frame.f_locals.get("self"), SyncVectorEnv) and isinstance(frame.f_locals.get("i"), int):
            return int(frame.f_locals["i"])
        trace = trace.tb_next
    return None
