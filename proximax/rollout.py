"""Acting: T steps of N environments, from inside the program (``unroll``) or outside it (``collect``).

Both give the same ``Transition`` record, without values; ``with_values`` adds them in one batch.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.buffers import Episodes, Outcomes, Turn, count_episodes, filled, grouped, host_state
from proximax.envs.base import HostEnv, JaxEnv
from proximax.envs.groups import groups_of
from proximax.frames import Stacked, rows_of, stacks
from proximax.policy import Policy
from proximax.types import Acted, ActOnce, Array, Key, Params, PyTree, RolloutState, Transition

IMAGES_AT_ONCE = 256  # 1,024 rows of Pong, network blocks: 11 ms with 32 to 256 at once, 25 ms with all


def act(policy: Policy, params: Params, moments: PyTree, carry: PyTree, obs: PyTree, first: Array, key: Key) -> Acted:
    """Sample one action for each environment, with one key for all of them or a key for each.

    Only the actor runs: the compiler removes the value, which ``with_values`` finds for the whole rollout at once.
    """
    dist, _, carry = policy.apply(params, carry, policy.encode(moments, obs), first)
    action = jax.vmap(lambda each, k: each.sample(k))(dist, key) if key.ndim else dist.sample(key)
    return Acted(action, dist.log_prob(action), policy.env_action(action), carry)


def with_values(policy: Policy, params: Params, moments: PyTree, rollout: Transition) -> Transition:
    """Fill π(. | s_t), V(s_t) and V(final_obs_t), ``[T, N]``, by the given parameters."""
    shape = rollout.reward.shape
    rows = jnp.arange(shape[0] * shape[1])
    dist, value = on_rows(policy, params, moments, rollout, rows)
    if rollout.final_obs is None:
        next_value = values_reached(policy, params, moments, rollout, value)
    else:
        _, next_value = on_rows(policy, params, moments, rollout._replace(obs=rollout.final_obs), rows)
    dist, value, next_value = jax.tree.map(lambda x: x.reshape((*shape, *x.shape[1:])), (dist, value, next_value))
    return rollout._replace(dist=dist, value=value, next_value=next_value)


def on_rows(policy: Policy, params: Params, moments: PyTree, rollout: Transition, rows: Array) -> tuple[PyTree, Array]:
    """(π(. | s), V(s)) of rows t N + n ``[B]``; of images a few hundred at a time, for memory and caches."""

    def forward(rows: Array) -> tuple[PyTree, Array]:
        obs, first = rows_of(rollout.obs, rows), rollout.first.reshape(-1)[rows]
        dist, value, _ = policy.apply(params, (), policy.encode(moments, obs), first)
        return dist, value

    if rollout.final_obs is not None or len(rows) <= IMAGES_AT_ONCE:
        return forward(rows)
    chunk = next(size for size in range(IMAGES_AT_ONCE, 0, -1) if len(rows) % size == 0)
    parts = jax.lax.map(forward, rows.reshape(-1, chunk))
    return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), parts)


def values_reached(policy: Policy, params: Params, moments: PyTree, rollout: Transition, value: jax.Array) -> jax.Array:
    """V(final_obs_t) of stacked frames ``[T * N]``, from V(s_t) ``[T * N]``.

    It is V(s_{t+1}) but where an episode ended or the rollout was cut; those rows are valued a few at a time.
    """
    stacked: Stacked = rollout.obs
    size, envs = value.shape[0], rollout.reward.shape[1]
    others = (rollout.terminated | rollout.truncated).reshape(-1) | (jnp.arange(size) >= size - envs)
    where = jnp.nonzero(others, size=size + envs, fill_value=size)[0]  # filled up for the last slice

    def more(loop: tuple[jax.Array, jax.Array]) -> jax.Array:
        return where[loop[0]] < size

    def some(loop: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        begin, values = loop
        rows = jax.lax.dynamic_slice(where, (begin,), (envs,))
        obs = stacks(stacked, stacked.final, jnp.minimum(rows, size - 1))
        _, reached, _ = policy.apply(params, (), policy.encode(moments, obs), jnp.zeros(envs, bool))
        return begin + envs, values.at[rows].set(reached, mode="drop")

    following = jnp.concatenate([value[envs:], value[:envs]])
    return jax.lax.while_loop(more, some, (jnp.zeros((), jnp.int32), following))[1]


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
        total, length = state.episode_return + s.raw_reward, state.episode_length + s.valid
        last = s.ended
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


def collect(
    env: HostEnv, act_once: ActOnce, state: RolloutState, buffers: Any
) -> tuple[RolloutState, Transition, Episodes]:
    """Fill ``buffers`` ``[T, S, N, ...]``; ``act_once`` is the compiled ``act`` of all seeds.

    One compiled call and one environment call per step and group. With several (``envs.groups.Turns``) the policy acts
    for one while the others step; the transitions are the same.
    """
    outcomes = Outcomes(np.empty(buffers.reward.shape), np.empty(buffers.reward.shape, bool))
    turns = [Turn(group, state, buffers, outcomes) for group in groups_of(env)]
    for t in range(len(buffers.reward)):
        for turn in turns:
            if t > 0:
                turn.receive(t - 1)
            turn.act(act_once, t)
    for turn in turns:
        turn.receive(len(buffers.reward) - 1)
    rollout = filled(buffers)
    total, length = state.episode_return.copy(), state.episode_length.copy()
    ended = count_episodes(outcomes, rollout.valid, rollout.truncated, total, length)
    seeds = len(total)
    ends = [(*grouped((turn.obs, turn.first), seeds), turn.carry) for turn in turns]
    obs, first, carry = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *ends)
    return host_state(obs, first, carry, total, length), rollout, ended
