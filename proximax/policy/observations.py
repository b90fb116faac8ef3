"""From an environment's observations to the network's input: normalisation and encoding.

A nested space (``Dict``, ``Tuple``) gives a tree of arrays with the same structure. An entry ``action_mask`` at the top
of a ``Dict`` is not an input of the network: it says which actions are allowed (``proximax.spaces.masks``).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config import PPOConfig
from proximax.maths import batch_moments, init_moments, merge_moments, normalise
from proximax.spaces import MASK, Space, Stacked, branches, has_mask, is_stacked, leaves, unflatten
from proximax.types import Array, Moments, PyTree

# Added to a pixel's variance, so that a rare change of a constant pixel is not amplified.
PIXEL_VARIANCE = 1e-3
OBS_CLIP = 10.0  # normalised observations are clipped to ±10 (Huang et al. 2022, continuous-action detail 7)


def without_mask(space: Space, tree: PyTree) -> PyTree:
    """``tree`` (a space as a ``dict``, moments or observations) without the mask; a lone entry by itself."""
    if tree is None or not has_mask(space):
        return tree
    assert isinstance(space, spaces.Dict)
    rest = {key: tree[key] for key in space.spaces if key != MASK}
    return rest if len(rest) > 1 else next(iter(rest.values()))


def network_input_space(space: Space) -> Space:
    """The space of the network's inputs: without the mask."""
    if not has_mask(space):
        return space
    assert isinstance(space, spaces.Dict)
    rest = without_mask(space, space.spaces)
    return spaces.Dict(rest) if isinstance(rest, dict) else rest


def is_image(space: Space) -> bool:
    """Whether observations are bytes, which are scaled to [0, 1] instead of normalised."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8


def encoded_shape(leaf: Space) -> tuple[int, ...]:
    """The shape of one encoded leaf: Discrete and MultiDiscrete become one-hot vectors."""
    if isinstance(leaf, spaces.Discrete):
        return (int(leaf.n),)
    if isinstance(leaf, spaces.MultiDiscrete):
        return (int(leaf.nvec.sum()),)
    assert leaf.shape is not None
    return leaf.shape


def example_input(space: Space) -> PyTree:
    """The network's input for one observation, all zeros, ``[1, ...]``."""
    inputs = network_input_space(space)
    return unflatten(inputs, iter([jnp.zeros((1, *encoded_shape(leaf))) for leaf in leaves(inputs)]))


def init_obs_moments(space: Space, config: PPOConfig) -> PyTree:
    """Moments of no samples for the leaves that are normalised (images, other Boxes, both or none), else None."""
    return _init_moments(space, config, MASK if has_mask(space) else None)


def _init_moments(space: Space, config: PPOConfig, without: str | None = None) -> PyTree:
    parts = branches(space)
    if parts is None:
        is_box = isinstance(space, spaces.Box)
        normalised = config.normalise_pixels if is_image(space) else config.normalise_obs and is_box
        return init_moments(encoded_shape(space)) if normalised else None
    moments = [None if key == without else _init_moments(part, config) for key, part in parts]
    if not jax.tree.leaves(moments):
        return None
    return dict(zip((key for key, _ in parts), moments)) if isinstance(space, spaces.Dict) else tuple(moments)


def update_obs_moments(
    moments: PyTree, obs: PyTree, valid: jax.Array, of_all: Callable[[Moments], Moments] = lambda moments: moments
) -> PyTree:
    """Merge the ``valid`` ``[...]`` observations ``[..., *shape]`` into each leaf's moments; bytes scaled to [0, 1].

    ``of_all``: the moments of all observations from those of these, where they are a part of them.
    """

    def leaf(m: Moments | None, x: Any) -> Moments | None:
        if m is None:
            return None
        if is_stacked(x):
            return update_stack_moments(m, x, valid, of_all)
        rows = jnp.asarray(x) / 255.0 if x.dtype == np.uint8 else x
        return merge_moments(m, of_all(batch_moments(rows, m.mean.shape, valid)))

    return jax.tree.map(leaf, moments, obs, is_leaf=lambda x: x is None or isinstance(x, Moments))


def update_stack_moments(m: Moments, x: Stacked, valid: jax.Array, of_all: Callable[[Moments], Moments]) -> Moments:
    """The moments ``[depth, height, width]`` updated with a rollout's frames, one age after the other."""
    envs = jnp.arange(x.newest.shape[1])[None]

    def update_age(age: jax.Array, mean: jax.Array, m2: jax.Array) -> Moments:
        frames = jnp.asarray(x.frames)[x.newest - age, envs] / 255.0
        return merge_moments(Moments(m.count, mean, m2), of_all(batch_moments(frames, mean.shape, valid)))

    updated = jax.lax.map(lambda inputs: update_age(*inputs), (x.ages, m.mean, m.m2))
    return updated._replace(count=updated.count[0])


def encode_obs(space: Space, moments: PyTree, obs: PyTree) -> PyTree:
    """Observations ``[B, ...]`` as inputs of the network, in float32; a tree for nested spaces.

    Discrete and MultiDiscrete: one-hot. MultiBinary: 0 and 1. Bytes: divided by 255, once. With ``moments``: normalised
    and clipped to ±10.
    """
    return _encode(network_input_space(space), without_mask(space, moments), without_mask(space, obs))


def _encode(space: Space, moments: PyTree, obs: PyTree) -> PyTree:
    parts = branches(space)
    if parts is None:
        return _encode_leaf(space, moments, obs)
    encoded = [_encode(part, None if moments is None else moments[key], obs[key]) for key, part in parts]
    return dict(zip((key for key, _ in parts), encoded)) if isinstance(space, spaces.Dict) else tuple(encoded)


def _encode_leaf(leaf: Space, moments: Moments | None, obs: Array) -> jax.Array:
    if isinstance(leaf, spaces.Discrete):
        return jax.nn.one_hot(jnp.asarray(obs) - int(leaf.start), int(leaf.n))
    if isinstance(leaf, spaces.MultiDiscrete):
        sizes, starts = leaf.nvec.ravel().tolist(), leaf.start.ravel().tolist()
        index = jnp.asarray(obs).reshape((obs.shape[0], -1))
        columns = [jax.nn.one_hot(index[:, i] - start, n) for i, (n, start) in enumerate(zip(sizes, starts))]
        return jnp.concatenate(columns, axis=-1)
    x = jnp.asarray(obs, jnp.float32)
    if is_image(leaf):
        x = x / 255.0
    if moments is None:
        return x
    normalised = normalise(moments, x, PIXEL_VARIANCE) if is_image(leaf) else normalise(moments, x)
    return jnp.clip(normalised, -OBS_CLIP, OBS_CLIP)
