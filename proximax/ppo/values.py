"""π(. | s), V(s) and V(final_obs) of a rollout, in one batch."""

import jax
import jax.numpy as jnp

from proximax.maths import Distribution
from proximax.policy import Policy
from proximax.spaces import Stacked, take_observations, take_stacks
from proximax.types import Array, Params, PyTree, Transition

IMAGES_PER_CHUNK = 256  # 1,024 stacks of Pong, patch_cnn: 11 ms with 32 to 256 at once, 25 ms with all


def add_values(policy: Policy, params: Params, moments: PyTree, rollout: Transition) -> Transition:
    """Fill π(. | s_t), V(s_t) and V(final_obs_t), ``[T, N]``, by the given parameters; with memory the carries too."""
    shape = rollout.reward.shape
    indices, carry, reached = jnp.arange(shape[0] * shape[1]), rollout.carry, ()
    if policy.unroll is None:
        dist, value = evaluate_policy(policy, params, moments, rollout, indices)
    else:
        dist, value, after = unroll_sequences(policy, params, moments, rollout, indices.reshape(shape))
        carry = jax.tree.map(lambda begin, x: jnp.concatenate([begin[:1], x[:-1]]), carry, after)
        # V(final_obs_t) has the memory after step t, before any reset, and moves that of no later step.
        reached = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), after)
    if rollout.final_obs is None:
        next_value = bootstrap_values_of_frames(policy, params, moments, rollout, value, reached)
    else:
        final = rollout._replace(obs=rollout.final_obs, first=jnp.zeros_like(rollout.first))
        _, next_value = evaluate_policy(policy, params, moments, final, indices, reached)
    dist, value, next_value = jax.tree.map(lambda x: x.reshape((*shape, *x.shape[1:])), (dist, value, next_value))
    return rollout._replace(dist=dist, value=value, next_value=next_value, carry=carry)


def unroll_sequences(
    policy: Policy, params: Params, moments: PyTree, rollout: Transition, indices: Array, burn_in: int = 0
) -> tuple[Distribution, jax.Array, PyTree]:
    """(π(. | s), V(s) of the samples t N + n ``[L, B]``, flat; carries ``[L, B, ...]`` after each).

    A column is a sequence of L steps of one environment. It begins with the rollout's carry of its first step; with
    ``burn_in`` with that which ``params`` give after so many steps before it, without gradient, or those since t = 0
    (Kapturowski et al. 2019, "Recurrent Experience Replay in Distributed Reinforcement Learning", section 3).
    """
    assert policy.unroll is not None
    obs, first = take_observations(rollout.obs, indices.reshape(-1)), rollout.first.reshape(-1)[indices]
    envs = rollout.first.shape[1]
    t, n = jnp.divmod(indices[0], envs)
    carry = jax.tree.map(lambda x: jnp.asarray(x)[t, n], rollout.carry)
    if burn_in and len(indices) < rollout.first.shape[0]:
        begin = jnp.maximum(t - burn_in, 0)
        earlier = (begin[None] + jnp.arange(burn_in)[:, None]) * envs + n[None]
        _, _, after = unroll_sequences(policy, jax.lax.stop_gradient(params), moments, rollout, earlier)
        at = jnp.maximum(t - begin - 1, 0), jnp.arange(len(t))
        carry = jax.tree.map(lambda old, x: jax.vmap(jnp.where)(t > 0, x[at], old), carry, after)
    return policy.unroll(params, carry, policy.encode(moments, obs), first)


def evaluate_policy(
    policy: Policy, params: Params, moments: PyTree, rollout: Transition, indices: Array, carry: PyTree = ()
) -> tuple[Distribution, jax.Array]:
    """(π(. | s), V(s)) of the samples t N + n ``[B]``; of images a few hundred at a time, for memory and caches.

    ``carry``: of a policy with memory, what it evaluates each of the rollout's samples with, ``[T * N, ...]``.
    """

    def forward(indices: Array) -> tuple[Distribution, jax.Array]:
        obs, first = take_observations(rollout.obs, indices), rollout.first.reshape(-1)[indices]
        memory = jax.tree.map(lambda x: x[indices], carry)
        dist, value, _ = policy.apply(params, memory, policy.encode(moments, obs), first)
        return dist, value

    if rollout.final_obs is not None or len(indices) <= IMAGES_PER_CHUNK:
        return forward(indices)
    chunk = next(size for size in range(IMAGES_PER_CHUNK, 0, -1) if len(indices) % size == 0)
    parts = jax.lax.map(forward, indices.reshape(-1, chunk))
    return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), parts)


def bootstrap_values_of_frames(
    policy: Policy, params: Params, moments: PyTree, rollout: Transition, value: jax.Array, carry: PyTree = ()
) -> jax.Array:
    """V(final_obs_t) of stacked frames ``[T * N]``, from V(s_t) ``[T * N]``.

    It is V(s_{t+1}) except where an episode ended or the rollout did; those states are evaluated N at a time.
    ``carry``: of a policy with memory, after each step, ``[T * N, ...]``.
    """
    stacked: Stacked = rollout.obs
    size, envs = value.shape[0], rollout.reward.shape[1]
    others = (rollout.terminated | rollout.truncated).reshape(-1) | (jnp.arange(size) >= size - envs)
    indices = jnp.nonzero(others, size=size + envs, fill_value=size)[0]  # padded for the last slice

    def remain(loop: tuple[jax.Array, jax.Array]) -> jax.Array:
        return indices[loop[0]] < size

    def evaluate_slice(loop: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        begin, values = loop
        chunk = jax.lax.dynamic_slice(indices, (begin,), (envs,))
        inside = jnp.minimum(chunk, size - 1)
        obs, memory = take_stacks(stacked, stacked.final, inside), jax.tree.map(lambda x: x[inside], carry)
        _, final_values, _ = policy.apply(params, memory, policy.encode(moments, obs), jnp.zeros(envs, bool))
        return begin + envs, values.at[chunk].set(final_values, mode="drop")

    following = jnp.concatenate([value[envs:], value[:envs]])
    return jax.lax.while_loop(remain, evaluate_slice, (jnp.zeros((), jnp.int32), following))[1]
