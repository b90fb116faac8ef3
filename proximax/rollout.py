"""Acting: T steps of N environments, from inside the program (``unroll``) or outside it (``collect``).

Both give the same ``Transition`` record, without values; ``with_values`` adds them in one batch.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.buffers import Episodes, Turn, check_rollout, count_episodes, grouped, host_state
from proximax.envs.base import HostEnv, JaxEnv
from proximax.envs.groups import groups_of
from proximax.policy import Policy
from proximax.types import Acted, ActOnce, Array, Key, Params, PyTree, RolloutState, Transition


def act(policy: Policy, params: Params, moments: PyTree, carry: PyTree, obs: PyTree, first: Array, key: Key) -> Acted:
    """Sample one action for each environment, with one key for all of them or a key for each.

    Only the actor runs: the compiler removes the value, which ``with_values`` finds for the whole rollout at once.
    """
    dist, _, carry = policy.apply(params, carry, policy.encode(moments, obs), first)
    action = jax.vmap(lambda each, k: each.sample(k))(dist, key) if key.ndim else dist.sample(key)
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
    return host_state(grouped(obs, shape[0]), first, carry, zeros, zeros.copy())


def collect(
    env: HostEnv, act_once: ActOnce, state: RolloutState, buffers: Any
) -> tuple[RolloutState, Transition, Episodes]:
    """Fill ``buffers`` ``[T, S, N, ...]``; ``act_once`` is the compiled ``act`` of all seeds.

    One compiled call and one environment call per step and group. With several groups (``envs.Turns``) one acts while
    the others step; the transitions are the same.
    """
    rewards = np.empty(buffers.reward.shape)  # float64, unlike the buffer: scores are exact
    turns = [Turn(group, state, buffers, rewards) for group in groups_of(env)]
    for t in range(len(rewards)):
        for turn in turns:
            if t > 0:
                turn.receive(t - 1)
            turn.act(act_once, t)
    for turn in turns:
        turn.receive(len(rewards) - 1)
    buffers.reward[:] = rewards
    check_rollout(buffers)
    total, length = state.episode_return.copy(), state.episode_length.copy()
    ended = count_episodes(rewards, buffers, total, length)
    seeds = len(total)
    ends = [(*grouped((turn.obs, turn.first), seeds), turn.carry) for turn in turns]
    obs, first, carry = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *ends)
    return host_state(obs, first, carry, total, length), buffers, ended
