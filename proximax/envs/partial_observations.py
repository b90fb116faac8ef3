"""Environments that show less, for tests and teaching, or also what was done last, for policies with memory.

Both functions take a Gymnasium environment or a ``JaxEnv`` and return the same kind.
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
from proximax.spaces import Space, flatten, leaves
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
}
Env = TypeVar("Env", gymnasium.Env[Any, Any], JaxEnv)


def hide_velocities(env: Env, velocities: Sequence[int] | None = None) -> Env:
    """``env`` without these entries of its observations, vectors; by default those of ``VELOCITIES``."""
    if velocities is None:
        spec = getattr(env, "spec", None)
        name = spec.id.split("/")[-1].split("-")[0] if spec else ""
        if name not in VELOCITIES:
            raise UsageError(f"which entries are velocities is known of {', '.join(VELOCITIES)}: pass velocities=")
        velocities = VELOCITIES[name]
    space = env.observation_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise UsageError(f"hide_velocities needs observations that are vectors; this space is {space}")
    wrong = [i for i in velocities if not 0 <= i < space.shape[0]]
    if wrong or len(set(velocities)) >= space.shape[0]:
        raise UsageError(f"velocities = {shown(velocities)}: must be some, not all, of 0 to {space.shape[0] - 1}")
    keep = np.array([i for i in range(space.shape[0]) if i not in velocities])
    shown_space = spaces.Box(space.low[keep], space.high[keep], dtype=space.low.dtype.type)
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


def show_previous(env: Env) -> Env:
    """``env`` whose observations also have ``previous_action`` and ``previous_reward``, 0 where an episode opens.

    Actions of Discrete and MultiDiscrete spaces are one-hot. An observation that is no dict is the entry ``obs``.
    """
    inner, space = env.observation_space, env.action_space
    size = len(action_vector(space, space.sample()))
    entries = dict(inner.spaces) if isinstance(inner, spaces.Dict) else {"obs": inner}
    entries["previous_action"] = spaces.Box(-np.inf, np.inf, (size,), np.float32)
    entries["previous_reward"] = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    with_previous = spaces.Dict(entries)
    if not isinstance(env, JaxEnv):
        return _ShowPrevious(env, with_previous)
    wrapped = env

    def reset(key: Key) -> tuple[PyTree, PyTree]:
        state, obs = wrapped.reset(key)
        return state, join(obs, jnp.zeros(size), jnp.zeros(1))

    def step(key: Key, state: PyTree, action: PyTree) -> tuple[PyTree, Step]:
        state, outcome = wrapped.step(key, state, action)
        previous = action_vector(space, action, jnp), jnp.asarray(outcome.reward, jnp.float32).reshape(1)
        opening = jax.tree.map(lambda x: jnp.where(outcome.first, 0.0, x), previous)
        return state, outcome._replace(obs=join(outcome.obs, *opening), final_obs=join(outcome.final_obs, *previous))

    return JaxEnv(reset, step, with_previous, space)


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
    parts = []
    for leaf, x in zip(leaves(space), flatten(space, action)):
        if isinstance(leaf, spaces.Discrete):
            parts.append(xp.arange(leaf.n) == xp.asarray(x).reshape(()) - leaf.start)
        elif isinstance(leaf, spaces.MultiDiscrete):
            chosen = (xp.asarray(x) - leaf.start).reshape(-1)
            parts += [xp.arange(n) == chosen[i] for i, n in enumerate(leaf.nvec.reshape(-1))]
        else:
            parts.append(xp.asarray(x).reshape(-1))
    return xp.concatenate([part.astype(np.float32) for part in parts])
