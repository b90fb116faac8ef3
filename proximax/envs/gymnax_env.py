"""gymnax environments (>= 1.0) as ``JaxEnv``."""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.envs.base import JaxEnv
from proximax.errors import DependencyError, UsageError
from proximax.spaces import Space, flatten, leaves, unflatten
from proximax.types import Key, PyTree, Step


def gymnax_ids() -> list[str]:
    """The ids of the installed gymnax; empty without it."""
    try:
        from gymnax import registered_envs
    except ImportError:
        return []
    return list(registered_envs)


def make_gymnax(name: str, kwargs: Mapping[str, Any] = MappingProxyType({})) -> JaxEnv:
    """The gymnax environment ``name``; ``kwargs``: parameters other than its defaults, or constructor's arguments."""
    try:
        import gymnax
    except ImportError as error:
        raise DependencyError(f'gymnax:{name} needs {error.name}: pip install "proximax[gymnax]"') from error
    parameters = {field.name for field in fields(gymnax.make(name)[1])}
    try:
        env, params = gymnax.make(name, **{key: x for key, x in kwargs.items() if key not in parameters})
    except TypeError as error:
        known = ", ".join(sorted(parameters))
        raise UsageError(f"env_kwargs of gymnax:{name}: {error}. Its parameters: {known}") from error
    return from_gymnax(env, params.replace(**{key: x for key, x in kwargs.items() if key in parameters}))


def from_gymnax(env: Any, params: Any) -> JaxEnv:
    """A gymnax environment and its parameters. gymnax < 1.0 merged time limits into ``done`` and is refused."""
    if not hasattr(env, "is_truncated"):
        raise DependencyError('gymnax >= 1.0 is needed (older ones hide time limits): pip install "gymnax>=1.0"')
    observation_space = to_gymnasium(env.observation_space(params), "observation")
    action_space = to_gymnasium(env.action_space(params), "action")

    def reset(key: Key) -> tuple[PyTree, PyTree]:
        obs, state = env.reset(key, params)
        return state, _observation(observation_space, obs)

    def step(key: Key, state: PyTree, action: PyTree) -> tuple[PyTree, Step]:
        obs, state, reward, terminated, truncated, info = env.step(key, state, action, params)
        last = terminated | truncated
        obs, final_obs = (_observation(observation_space, x) for x in (obs, info["final_observation"]))
        reward = jnp.asarray(reward, jnp.float32).reshape(())
        return state, Step(obs, final_obs, reward, terminated, truncated, last, jnp.ones(()))

    return JaxEnv(reset, step, observation_space, action_space)


def _observation(space: Space, obs: object) -> PyTree:
    """Booleans and floats as float32; integers, and bytes of an image, stay integers."""
    pairs = zip(leaves(space), flatten(space, obs))
    return unflatten(space, iter([_leaf(jnp.asarray(x), leaf.dtype == np.uint8) for leaf, x in pairs]))


def _leaf(x: jax.Array, image: bool) -> jax.Array:
    return x if image or jnp.issubdtype(x.dtype, jnp.integer) else x.astype(jnp.float32)


def to_gymnasium(space: Any, role: str) -> Space:
    """A space of gymnax as one of Gymnasium; ``role``: "observation" or "action"."""
    kind = type(space).__name__
    if kind == "Dict":
        return spaces.Dict({key: to_gymnasium(part, role) for key, part in space.spaces.items()})
    if kind == "Tuple":
        return spaces.Tuple([to_gymnasium(part, role) for part in space.spaces])
    if kind == "Discrete":
        return spaces.Discrete(int(space.n))
    if kind == "Box":
        dtype = np.uint8 if np.dtype(space.dtype) == np.uint8 else np.float32
        low = np.broadcast_to(np.asarray(space.low, dtype), space.shape)
        high = np.broadcast_to(np.asarray(space.high, dtype), space.shape)
        return spaces.Box(low, high, dtype=dtype)
    raise UsageError(f"the {role} space is gymnax's {kind}. Supported: Discrete, Box, Dict, Tuple")
