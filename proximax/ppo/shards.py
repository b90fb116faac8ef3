"""Shards: V equal parts of the environments, each on a device of its own, that learn as one policy.

Each shard collects its part of a rollout and takes its part of every minibatch. What a whole rollout or minibatch
decides (gradients, moments, the KL, metrics) is exchanged and combined in the order of the shards. So a run's numbers
depend on V alone, and not on how many processes or machines the devices belong to. With V = 1 nothing is exchanged.
Functions for V > 1 work inside ``shard_map`` over the axis ``SHARDS``.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import PartitionSpec

from proximax.maths import batch_moments, merge_moments
from proximax.runtime import SHARDS, gather_shards
from proximax.spaces import Stacked
from proximax.types import Moments, PyTree, RewardScale, TrainState, Transition

EVERYWHERE, BY_ENVIRONMENT = PartitionSpec(), PartitionSpec(None, SHARDS)  # the same on all; [S, N, ...] divided by N
IN_ROLLOUT = PartitionSpec(None, None, SHARDS)  # [T, S, N, ...]
LARGEST = ("ratio_error",)  # statistics of which the largest counts; of the others the sum of the shards' parts


def state_specs() -> TrainState:
    """How a ``TrainState`` ``[S, ...]`` is divided: everything is the same on all shards but the environments."""
    same = TrainState(*(EVERYWHERE for _ in TrainState._fields))  # type: ignore[arg-type]
    return same._replace(rollout=BY_ENVIRONMENT, reward_scale=RewardScale(BY_ENVIRONMENT, EVERYWHERE))  # type: ignore[arg-type]


def rollout_specs(stacked: bool) -> Transition:
    """How a rollout ``[T, S, N, ...]`` is divided; ``stacked``: its observations are ``frame_stack.Stacked``."""
    specs = Transition(*(IN_ROLLOUT for _ in Transition._fields))  # type: ignore[arg-type]
    return specs._replace(obs=Stacked(IN_ROLLOUT, IN_ROLLOUT, IN_ROLLOUT, EVERYWHERE)) if stacked else specs  # type: ignore[arg-type]


def from_all(tree: PyTree, shards: int) -> PyTree:
    """Every shard's arrays of numbers, ``[V, ...]``, in one exchange."""
    flat, unravel = ravel_pytree(tree)
    gathered = gather_shards(flat, shards)
    return jax.tree.map(lambda *parts: jnp.stack(parts), *(unravel(gathered[i]) for i in range(shards)))


def sum_over_shards(tree: PyTree, shards: int) -> PyTree:
    """Σ of every array over the shards; of the statistics ``LARGEST`` the largest."""
    if shards == 1:
        return tree

    def combine(path: Any, parts: jax.Array) -> jax.Array:
        largest = any(getattr(key, "key", None) in LARGEST for key in path)
        return jnp.max(parts, axis=0) if largest else jnp.sum(parts, axis=0)

    return jax.tree_util.tree_map_with_path(combine, from_all(tree, shards))


def least_over_shards(x: jax.Array, shards: int) -> jax.Array:
    """The smallest of the shards' numbers."""
    return x if shards == 1 else jnp.min(from_all(x, shards), axis=0)


def moments_of_all(moments: Moments, shards: int) -> Moments:
    """The moments of the samples of all shards, from those of each."""
    if shards == 1:
        return moments
    parts = from_all(moments, shards)
    first, others = jax.tree.map(lambda x: x[0], parts), jax.tree.map(lambda x: x[1:], parts)
    return jax.lax.scan(lambda merged, part: (merge_moments(merged, part), None), first, others)[0]


def moments_of_minibatches(x: jax.Array, weight: jax.Array, shards: int) -> Moments | None:
    """The moments ``[M]`` of every row ``[B]`` of ``x`` ``[M, B]`` and the other shards'; None where there are none."""
    if shards == 1:
        return None
    return moments_of_all(jax.vmap(lambda row, w: batch_moments(row, (), w))(x, weight), shards)
