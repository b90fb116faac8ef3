"""Between an environment's spaces and the network's arrays: what goes in, what comes out, what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.maths.running import init_moments, normalise
from proximax.types import Array, Moments

OBS_CLIP = 10.0  # normalised observations are cut to ±10 (Huang et al. 2022, continuous-action detail 7)


def check_observation_space(space: spaces.Space[Any], path: str = "obs") -> None:
    """Refuse a space without support, naming the place inside it."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for name, part in parts:
            if not isinstance(part, (spaces.Box, spaces.Discrete)):
                check_observation_space(part, f"{path}[{name!r}]")
        raise UsageError(
            f"observation space {path} is a {type(space).__name__}. Supported: Box, Discrete. "
            "Flatten it with gymnasium.wrappers.FlattenObservation"
        )
    if not isinstance(space, (spaces.Box, spaces.Discrete)):
        raise UsageError(f"observation space {path} is a {type(space).__name__}. Supported: Box, Discrete")


def check_action_space(space: spaces.Space[Any]) -> None:
    """Refuse a space without support, or with impossible bounds."""
    if isinstance(space, spaces.Box):
        if not np.issubdtype(space.dtype, np.floating):
            raise UsageError(f"action space is a Box of {space.dtype}. Supported: Box of floats, Discrete")
        wrong = np.isnan(space.low) | np.isnan(space.high) | (space.low >= space.high)
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            bounds = f"low = {space.low[at]}, high = {space.high[at]}"
            raise UsageError(f"action space bounds at {at} are {bounds}; low must be below high")
    elif not isinstance(space, spaces.Discrete):
        raise UsageError(f"action space is a {type(space).__name__}. Supported: Discrete, Box")


def obs_shape(space: spaces.Space[Any]) -> tuple[int, ...]:
    """Shape of one encoded observation: a Discrete space becomes a one-hot vector."""
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    assert space.shape is not None
    return space.shape


def obs_dtype(space: spaces.Space[Any]) -> np.dtype[Any]:
    """The dtype observations are stored in: integers stay as they are (bytes as bytes), floats become float32."""
    if isinstance(space, spaces.Discrete):
        return np.dtype(np.int32)
    assert space.dtype is not None
    return np.dtype(np.float32) if np.issubdtype(space.dtype, np.floating) else np.dtype(space.dtype)


def is_image(space: spaces.Space[Any]) -> bool:
    """Bytes from 0 to 255: scaled to [0, 1] instead of normalised."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8


def init_obs_moments(space: spaces.Space[Any], normalise_obs: bool) -> Moments | None:
    """Moments of nothing for a space that is normalised, else None."""
    if not normalise_obs or isinstance(space, spaces.Discrete) or is_image(space):
        return None
    return init_moments(obs_shape(space))


def encode_obs(space: spaces.Space[Any], moments: Moments | None, obs: Array) -> jax.Array:
    """Observations ``[..., *space.shape]`` as the network sees them, in float32.

    Discrete: one-hot. Bytes: divided by 255, once. With ``moments``: normalised and clipped to ±10.
    """
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(jnp.asarray(obs) - int(space.start), int(space.n))
    x = jnp.asarray(obs, jnp.float32)
    if is_image(space):
        return x / 255.0
    return x if moments is None else jnp.clip(normalise(moments, x), -OBS_CLIP, OBS_CLIP)


def num_outputs(space: spaces.Space[Any]) -> int:
    """How many numbers a policy network puts out: logits of a Discrete space, means of a Box."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    assert space.shape is not None
    return int(np.prod(space.shape))


def env_action(space: spaces.Space[Any], action: jax.Array) -> jax.Array:
    """The environment's action for a sampled one; log-probabilities are always of the sample itself.

    Discrete: shifted by ``start``. Box: a dimension with two finite bounds is sampled in units where they are -1 and 1,
    so it is clipped to [-1, 1] and mapped to [low, high]; any other is clipped to the bounds it has.
    """
    if isinstance(space, spaces.Discrete):
        return action + int(space.start)
    assert isinstance(space, spaces.Box)
    lead = (1,) * (action.ndim - 1)
    bounded, centre, half, floor, ceiling = (part.reshape((*lead, -1)) for part in action_bounds(space))
    mapped = jnp.where(bounded, jnp.clip(action, -1.0, 1.0) * half + centre, action)
    # This clip catches the rounding of the mapping and holds one-sided bounds.
    return jnp.clip(mapped, floor, ceiling).reshape(action.shape[:-1] + space.shape)


def action_bounds(space: spaces.Box) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(which dimensions are mapped, their centre, half their width, floor, ceiling), the numbers in float32.

    Floor and ceiling are rounded inward, so that no action leaves a float64 space. A width beyond float32 is no bound.
    """
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        floor, ceiling, width = (np.asarray(part).astype(np.float32) for part in (low, high, high - low))
    bounded = np.isfinite(width)
    floor = np.where(floor < low, np.nextafter(floor, np.float32(np.inf)), floor)
    ceiling = np.where(ceiling > high, np.nextafter(ceiling, np.float32(-np.inf)), ceiling)
    low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    return bounded, ((high + low) / 2).astype(np.float32), ((high - low) / 2).astype(np.float32), floor, ceiling
