"""Environments that show less, for tests and teaching, or also what was done last, for policies with memory.

Both functions take a Gymnasium environment or a ``JaxEnv`` and return the same kind; ``changed_observations`` does the
same for a ``HostEnv``.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config import shown
from proximax.envs.base import JaxEnv
from proximax.errors import UsageError
from proximax.spaces import Space, flatten, leaves, unflatten
from proximax.types import Key, PyTree, Step

# Entries of the observation that are velocities, by the id without its version.
VELOCITIES = {
    "CartPole": (1, 3),
    "MountainCar": (1,),
    "MountainCarContinuous": (1,),
    "Pendulum": (2,),
    "Acrobot": (4, 5),
    "LunarLander": (2, 3, 5),
    "LunarLanderContinuous": (2, 3, 5),
    "InvertedPendulum": (2, 3),
    "Swimmer": tuple(range(3, 8)),
    "Hopper": tuple(range(5, 11)),
    "Walker2d": tuple(range(8, 17)),
    "HalfCheetah": tuple(range(8, 17)),
}
Env = TypeVar("Env", gymnasium.Env[Any, Any], JaxEnv)


def hide_velocities(env: Env, velocities: Sequence[int] | None = None) -> Env:
    """``env`` without these entries of its observations, vectors; by default those of ``VELOCITIES``."""
    if velocities is None:
        spec = getattr(env, "spec", None)
        velocities = known_velocities(spec.id if spec else "")
    shown_space, keep = without_entries(env.observation_space, velocities)
    if not isinstance(env, JaxEnv):
        return gymnasium.wrappers.TransformObservation(env, lambda obs: obs[keep], shown_space)
    inner = env

    def reset(key: Key) -> tuple[PyTree, PyTree]:
        state, obs = inner.reset(key)
        return state, obs[keep]

    def step(key: Key, state: PyTree, action: PyTree) -> tuple[PyTree, Step]:
        state, outcome = inner.step(key, state, action)
        return state, outcome._replace(obs=outcome.obs[keep], final_obs=outcome.final_obs[keep])

    return JaxEnv(reset, step, shown_space, env.action_space)


def known_velocities(name: str) -> tuple[int, ...]:
    """The entries of ``VELOCITIES`` of an environment, by its id."""
    family = name.split("/")[-1].split("-")[0]
    if family not in VELOCITIES:
        raise UsageError(
            f"which entries are velocities is known of {', '.join(VELOCITIES)}: in Python pass velocities= to "
            "proximax.envs.hide_velocities"
        )
    return VELOCITIES[family]


def without_entries(space: Space, entries: Sequence[int]) -> tuple[spaces.Box, np.ndarray]:
    """The space of vectors without these entries, and the indices of the others."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise UsageError(f"hide_velocities needs observations that are vectors; this space is {space}")
    wrong = [i for i in entries if not 0 <= i < space.shape[0]]
    if wrong or len(set(entries)) >= space.shape[0]:
        raise UsageError(f"velocities = {shown(entries)}: must be some, not all, of 0 to {space.shape[0] - 1}")
    keep = np.array([i for i in range(space.shape[0]) if i not in entries])
    return spaces.Box(space.low[keep], space.high[keep], dtype=space.low.dtype.type), keep


def show_previous(env: Env) -> Env:
    """``env`` whose observations also have ``previous_action`` and ``previous_reward``, 0 where an episode opens.

    Actions of Discrete and MultiDiscrete spaces are one-hot. An observation that is not a dict is the entry ``obs``.
    """
    space, with_previous = env.action_space, space_with_previous(env.observation_space, env.action_space)
    if not isinstance(env, JaxEnv):
        return _ShowPrevious(env, with_previous)
    wrapped = env

    def reset(key: Key) -> tuple[PyTree, PyTree]:
        state, obs = wrapped.reset(key)
        return state, join(obs, jnp.zeros(with_previous["previous_action"].shape), jnp.zeros(1))

    def step(key: Key, state: PyTree, action: PyTree) -> tuple[PyTree, Step]:
        state, outcome = wrapped.step(key, state, action)
        previous = action_vector(space, action, jnp), jnp.asarray(outcome.reward, jnp.float32).reshape(1)
        opening = jax.tree.map(lambda x: jnp.where(outcome.first, 0.0, x), previous)
        return state, outcome._replace(obs=join(outcome.obs, *opening), final_obs=join(outcome.final_obs, *previous))

    return JaxEnv(reset, step, with_previous, space)


def space_with_previous(observation_space: Space, action_space: Space) -> spaces.Dict:
    """The space of observations that also say what led to them."""
    inner = observation_space
    entries = dict(inner.spaces) if isinstance(inner, spaces.Dict) else {"obs": inner}
    if taken := entries.keys() & {"previous_action", "previous_reward"}:
        raise UsageError(f"show_previous: the observation has the entry {min(taken)!r} already")
    size = len(action_vector(action_space, action_space.sample()))
    entries["previous_action"] = spaces.Box(-np.inf, np.inf, (size,), np.float32)
    entries["previous_reward"] = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    return spaces.Dict(entries)


class _ShowPrevious(gymnasium.Wrapper[Any, Any, Any, Any]):
    """``show_previous`` of a Gymnasium environment. It keeps nothing from step to step."""

    def __init__(self, env: gymnasium.Env[Any, Any], observation_space: spaces.Dict) -> None:
        super().__init__(env)
        self.observation_space = self.with_previous = observation_space

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """An episode's start, before which nothing was done."""
        obs, info = self.env.reset(**kwargs)
        size = self.with_previous["previous_action"].shape
        return join(obs, np.zeros(size, np.float32), np.zeros(1, np.float32)), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """A step, whose observation says what led to it."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        obs = join(obs, action_vector(self.env.action_space, action), np.array([reward], np.float32))
        return obs, reward, terminated, truncated, info


def join(obs: Any, action: Any, reward: Any) -> dict[str, Any]:
    """The observation with what led to it."""
    entries = obs if isinstance(obs, dict) else {"obs": obs}
    return entries | {"previous_action": action, "previous_reward": reward}


def action_vector(space: Space, action: Any, xp: Any = np) -> Any:
    """An action of ``space`` as float32 numbers ``[size]``, those of finite choices one-hot; ``xp``: np or jnp."""
    batch = unflatten(space, iter([xp.asarray(x)[None] for x in flatten(space, action)]))
    return action_vectors(space, batch, xp)[0]


def action_vectors(space: Space, actions: Any, xp: Any = np) -> Any:
    """``action_vector`` of a batch ``[B, ...]``: ``[B, size]``."""
    parts = []
    for leaf, x in zip(leaves(space), flatten(space, actions)):
        rows = xp.asarray(x).reshape(len(x), -1)
        if isinstance(leaf, spaces.Discrete):
            parts.append(rows - int(leaf.start) == xp.arange(int(leaf.n))[None])
        elif isinstance(leaf, spaces.MultiDiscrete):
            chosen = rows - xp.asarray(leaf.start.reshape(1, -1))
            parts += [chosen[:, i : i + 1] == xp.arange(int(n))[None] for i, n in enumerate(leaf.nvec.reshape(-1))]
        else:
            parts.append(rows)
    return xp.concatenate([part.astype(np.float32) for part in parts], axis=1)
