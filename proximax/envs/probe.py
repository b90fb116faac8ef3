"""Environments whose solutions are known exactly: a learner that misses one has a bug.

After Andy Jones, "Debugging RL, without the agonizing pain" (2021). Each isolates one more part of the learner; its
optimal value function is in the docstring.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.envs.base import JaxEnv, auto_reset
from proximax.types import Key, PyTree, Step

OBS = spaces.Box(-1.0, 1.0, (1,), np.float32)
DISCRETE: spaces.Space[np.int64] = spaces.Discrete(2)
CONTINUOUS = spaces.Box(-1.0, 1.0, (1,), np.float32)


def _probe(
    start: Callable[[Key], jax.Array],
    reward: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    length: int = 1,
    transition: Callable[[jax.Array, jax.Array], jax.Array] = lambda obs, action: obs,
    time_limit: bool = False,
    continuous: bool = False,
) -> JaxEnv:
    """Episodes of ``length`` steps from ``start(key)``, with ``reward(t, obs, action)`` and ``transition``.

    ``time_limit``: the episode ends by a time limit (truncation), not in a terminal state.
    """

    def reset(key: Key) -> tuple[PyTree, jax.Array]:
        obs = start(key)
        return (jnp.zeros((), jnp.int32), obs), obs

    def step(key: Key, state: PyTree, action: jax.Array) -> tuple[PyTree, Step]:
        t, obs = state
        r = reward(t, obs, action.reshape(()).astype(jnp.float32))
        final_obs = transition(obs, action.reshape(()).astype(jnp.float32))
        last = t + 1 >= length
        state, next_obs = auto_reset(last, reset(key), ((t + 1, final_obs), final_obs))
        never = jnp.zeros((), bool)
        terminated, truncated = (never, last) if time_limit else (last, never)
        return state, Step(next_obs, final_obs, r, terminated, truncated, last, jnp.ones(()))

    return JaxEnv(reset, step, OBS, CONTINUOUS if continuous else DISCRETE)


def _one(key: Key) -> jax.Array:
    return jnp.ones(1)


def _coin(key: Key) -> jax.Array:
    return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)[None]


def constant() -> JaxEnv:
    """One observation, one step, reward 1: V = 1. Tests the value loss alone."""
    return _probe(_one, lambda t, obs, action: jnp.ones(()))


def observed() -> JaxEnv:
    """Observation ±1, reward equal to it: V(obs) = obs. Tests that the value sees the observation."""
    return _probe(_coin, lambda t, obs, action: obs[0])


def delayed() -> JaxEnv:
    """Two steps, observation -1 then 1, reward 1 at the second: V(1) = 1, V(-1) = γ. Tests discounting."""
    return _probe(
        lambda key: -jnp.ones(1),
        lambda t, obs, action: jnp.where(t == 1, 1.0, 0.0),
        length=2,
        transition=lambda obs, action: jnp.ones(1),
    )


def choice(continuous: bool = False) -> JaxEnv:
    """One step; the discrete action 1 pays 1, the other -1 (continuous: -(a - 0.5)²). Tests the policy gradient."""
    if continuous:
        return _probe(_one, lambda t, obs, action: -jnp.square(action - 0.5), continuous=True)
    return _probe(_one, lambda t, obs, action: 2.0 * action - 1.0)


def matching(continuous: bool = False) -> JaxEnv:
    """One step, observation ±1; pays when the action agrees with it: V = 1 (continuous: best a = obs / 2, V = 0)."""
    if continuous:
        return _probe(_coin, lambda t, obs, action: -jnp.square(action - 0.5 * obs[0]), continuous=True)
    return _probe(_coin, lambda t, obs, action: jnp.where((action > 0.5) == (obs[0] > 0), 1.0, -1.0))


def endless(length: int = 5) -> JaxEnv:
    """One observation, reward 1 forever, truncated every ``length`` steps: V = 1 / (1 - γ).

    A learner that takes a time limit for a terminal state finds (1 - γ^length) / (1 - γ) at most.
    """
    return _probe(_one, lambda t, obs, action: jnp.ones(()), length=length, time_limit=True)


def recall(length: int = 5) -> JaxEnv:
    """±1 is shown at the first of ``length`` steps, 0 after it; the last action pays 1 if it agrees with it, else -1.

    A corridor with a sign at its entrance (the T-maze of Bakker 2002). With memory V = γ^(steps to come), the mean
    return 1; without it every return is 1 or -1 by chance.
    """

    def reset(key: Key) -> tuple[PyTree, jax.Array]:
        sign = _coin(key)
        return (jnp.zeros((), jnp.int32), sign), sign

    def step(key: Key, state: PyTree, action: jax.Array) -> tuple[PyTree, Step]:
        t, sign = state
        last = t + 1 >= length
        agrees = (action.reshape(()) > 0) == (sign[0] > 0)
        reward = jnp.where(last, jnp.where(agrees, 1.0, -1.0), 0.0)
        nothing = jnp.zeros(1)
        state, next_obs = auto_reset(last, reset(key), ((t + 1, sign), nothing))
        return state, Step(next_obs, nothing, reward, last, jnp.zeros((), bool), last, jnp.ones(()))

    return JaxEnv(reset, step, OBS, DISCRETE)


def t_maze(length: int = 4) -> JaxEnv:
    """A corridor of ``length`` steps to a junction; a sign at the entrance, ±1, says on which side the reward is.

    Observed: (the sign, at the entrance alone, else 0; whether this is the junction). Actions: 0 forward, 1 left,
    2 right. At the junction the turn to the sign's side (1 for -1, 2 for 1) pays 1 and the other -1, and the episode
    ends; any move into a wall pays -0.1. Truncated after 4 (``length`` + 1) steps. After Bakker 2002, "Reinforcement
    Learning with Long Short-Term Memory". With memory V = γ^(steps to the junction), the mean return 1; without it
    nothing is better than chance at the junction, and the mean return is 0 at most.
    """
    space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    moves: spaces.Space[np.int64] = spaces.Discrete(3)

    def reset(key: Key) -> tuple[PyTree, jax.Array]:
        sign, zero = _coin(key)[0], jnp.zeros((), jnp.int32)
        return (zero, zero, sign), jnp.stack([sign, jnp.asarray(length == 0, jnp.float32)])

    def step(key: Key, state: PyTree, action: jax.Array) -> tuple[PyTree, Step]:
        t, place, sign = state
        action, at_junction = jnp.asarray(action).reshape(()), place == length
        turned = at_junction & (action > 0)
        agrees = (action == 2) == (sign > 0)
        wall = at_junction == (action == 0)
        reward = jnp.where(turned, jnp.where(agrees, 1.0, -1.0), jnp.where(wall, -0.1, 0.0))
        place = place + (~at_junction & (action == 0))
        reached = jnp.stack([jnp.zeros(()), (place == length).astype(jnp.float32)])
        truncated = ~turned & (t + 1 >= 4 * (length + 1))
        last = turned | truncated
        state, next_obs = auto_reset(last, reset(key), ((t + 1, place, sign), reached))
        return state, Step(next_obs, reached, reward, turned, truncated, last, jnp.ones(()))

    return JaxEnv(reset, step, space, moves)


PROBES: dict[str, Callable[[], JaxEnv]] = {
    "constant": constant,
    "observed": observed,
    "delayed": delayed,
    "choice": choice,
    "choice-continuous": lambda: choice(continuous=True),
    "matching": matching,
    "matching-continuous": lambda: matching(continuous=True),
    "endless": endless,
    "recall": recall,
    "t-maze": t_maze,
}
