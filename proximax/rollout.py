"""Acting: T steps of N environments, from inside the program (``unroll``) or outside it (``collect``).

Both give the same ``Transition`` record, without values; ``with_values`` adds them in one batch.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from proximax.buffers import Episodes, check_rollout, count_episodes
from proximax.envs.base import HostEnv, JaxEnv
from proximax.policy import Policy
from proximax.types import Array, Key, Params, PyTree, RolloutState, Transition


class Acted(NamedTuple):
    """What the policy did in one step; arrays are ``[N, ...]``."""

    action: PyTree  # as sampled
    log_prob: jax.Array
    sent: PyTree  # the environment's action
    carry: PyTree


def act(policy: Policy, params: Params, moments: PyTree, carry: PyTree, obs: PyTree, first: Array, key: Key) -> Acted:
    """Sample one action for each environment.

    Only the actor runs: the compiler removes the value, which ``with_values`` finds for the whole rollout at once.
    """
    dist, _, carry = policy.apply(params, carry, policy.encode(moments, obs), first)
    action = dist.sample(key)
    return Acted(action, dist.log_prob(action), policy.env_action(action), carry)


def with_values(policy: Policy, params: Params, moments: PyTree, rollout: Transition) -> Transition:
    """Fill π(. | s_t), V(s_t) and V(final_obs_t), ``[T, N]``, by the given parameters."""

    def forward(obs: PyTree) -> tuple[PyTree, jax.Array]:
        rows = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), obs)
        dist, value, _ = policy.apply(params, (), policy.encode(moments, rows), rollout.first.reshape(-1))
        return jax.tree.map(lambda x: x.reshape((*rollout.reward.shape, *x.shape[1:])), (dist, value))

    dist, value = forward(rollout.obs)
    _, next_value = forward(rollout.final_obs)
    return rollout._replace(dist=dist, value=value, next_value=next_value)


# ---------------------------------------------------------------- environments inside the program


def start(env: JaxEnv, policy: Policy, key: Key, num_envs: int) -> RolloutState:
    """Reset ``num_envs`` environments."""
    env_state, obs = jax.vmap(env.reset)(jax.random.split(key, num_envs))
    zeros = jnp.zeros(num_envs)
    return RolloutState(env_state, obs, jnp.ones(num_envs, bool), policy.initial_carry(num_envs), zeros, zeros)


def unroll(
    env: JaxEnv, policy: Policy, params: Params, moments: PyTree, state: RolloutState, keys: Key
) -> tuple[RolloutState, Transition, Episodes]:
    """One step per key, in one ``lax.scan``: T = ``len(keys)``."""

    def step(state: RolloutState, key: Key) -> tuple[RolloutState, tuple[Transition, Episodes]]:
        key_act, key_env = jax.random.split(key)
        acted = act(policy, params, moments, state.carry, state.obs, state.first, key_act)
        env_keys = jax.random.split(key_env, acted.log_prob.shape[0])
        env_state, s = jax.vmap(env.step)(env_keys, state.env_state, acted.sent)
        row = Transition(
            obs=state.obs,
            final_obs=s.final_obs,
            first=state.first,
            action=acted.action,
            log_prob=acted.log_prob,
            reward=s.reward,
            terminated=s.terminated,
            truncated=s.truncated,
            valid=s.valid,
        )
        total, length = state.episode_return + s.reward, state.episode_length + s.valid
        last = s.terminated | s.truncated
        episodes = {
            "episodes": jnp.sum(last),
            "return_sum": jnp.sum(jnp.where(last, total, 0.0)),
            "length_sum": jnp.sum(jnp.where(last, length, 0.0)),
        }
        total, length = jnp.where(last, 0.0, total), jnp.where(last, 0.0, length)
        return RolloutState(env_state, s.obs, s.first, acted.carry, total, length), (row, episodes)

    state, (rollout, episodes) = jax.lax.scan(step, state, keys)
    return state, rollout, jax.tree.map(lambda x: jnp.sum(x, axis=0), episodes)


# ---------------------------------------------------------------- environments outside the program


def start_host(env: HostEnv, policy: Policy, seeds: list[list[int]]) -> RolloutState:
    """Reset S x N host environments, seed ``s``'s with ``seeds[s]``; arrays are ``[S, N, ...]``."""
    shape = len(seeds), len(seeds[0])
    first, zeros = (np.full(shape, x) for x in (True, 0.0))
    obs = env.reset([seed for group in seeds for seed in group])
    carry = jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (shape[0], *x.shape)), policy.initial_carry(shape[1]))
    return host_state(grouped(obs, shape), first, carry, zeros, zeros.copy())


def host_state(obs: Any, first: Any, carry: PyTree, total: Any, length: Any) -> RolloutState:
    """A ``RolloutState`` of NumPy arrays; the environments' own state is theirs."""
    return RolloutState((), obs, first, carry, total, length)


def grouped(tree: PyTree, shape: tuple[int, int]) -> PyTree:
    """``[S * N, ...]`` -> ``[S, N, ...]``."""
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tree)


def collect(
    env: HostEnv, act_once: Callable[[PyTree, Any, Any, int], Acted], state: RolloutState, buffers: Any
) -> tuple[RolloutState, Transition, Episodes]:
    """Fill ``buffers`` ``[T, S, N, ...]``; ``act_once(carry, obs, first, t)`` is the compiled ``act`` of all seeds.

    One compiled call and one environment call per step. Whatever the environment hands out is copied into the buffers
    at once, since it may be overwritten at its next step; everything else waits until the rollout is there.
    """
    obs, first, carry = jax.tree.map(joined, state.obs), joined(state.first), state.carry
    rows = jax.tree.map(lambda x: x.reshape(len(x), -1, *x.shape[3:]), buffers)  # [T, S * N, ...], the same memory
    rewards = np.empty(rows.reward.shape)  # float64, unlike the buffer: scores are exact
    for t in range(len(rewards)):
        put(rows.obs, t, obs)
        rows.first[t] = first
        acted = act_once(carry, jax.tree.map(itemgetter(t), buffers.obs), buffers.first[t], t)
        s = env.step(jax.tree.map(joined, acted.sent))
        put(buffers.action, t, acted.action)
        buffers.log_prob[t] = acted.log_prob
        put(rows.final_obs, t, s.final_obs)
        rewards[t], rows.valid[t], rows.terminated[t], rows.truncated[t] = s.reward, s.valid, s.terminated, s.truncated
        obs, first, carry = s.obs, s.first, acted.carry
    rows.reward[:] = rewards
    check_rollout(buffers)
    total, length = state.episode_return.copy(), state.episode_length.copy()
    ended = count_episodes(rewards.reshape(buffers.reward.shape), buffers, total, length)
    obs, first = jax.tree.map(lambda x: np.array(x).reshape(*total.shape, *x.shape[1:]), (obs, first))
    return host_state(obs, first, carry, total, length), buffers, ended


def joined(x: Any) -> Any:
    """A copy ``[S * N, ...]`` of ``[S, N, ...]``, which an environment may write to."""
    return np.array(x).reshape(-1, *x.shape[2:])


def put(buffers: PyTree, t: int, values: PyTree) -> None:
    """Copy ``values`` to row ``t`` of the buffers."""
    for buffer, value in zip(jax.tree.leaves(buffers), jax.tree.leaves(values), strict=True):
        buffer[t] = value
