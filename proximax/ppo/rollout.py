"""Acting: T steps of N environments inside the program. ``host_rollout.collect`` is for those outside it.

Both give the same ``Transition`` record, without values; ``values.add_values`` adds them in one batch.
"""

from typing import Any

import jax
import jax.numpy as jnp

from proximax.envs import JaxEnv
from proximax.policy import Policy
from proximax.ppo.records import Episodes
from proximax.runtime import environment_keys
from proximax.types import Acted, Array, Key, Params, PyTree, RolloutState, Transition


def act(policy: Policy, params: Params, moments: PyTree, carry: PyTree, obs: PyTree, first: Array, key: Key) -> Acted:
    """Sample one action for each environment, with one key for all of them or a key for each.

    Only the actor runs: the compiler removes the value, which ``add_values`` computes for the whole rollout.
    """
    dist, _, carry = policy.apply(params, carry, policy.encode(moments, obs), first)
    action = jax.vmap(lambda env_dist, env_key: env_dist.sample(env_key))(dist, key) if key.ndim else dist.sample(key)
    return Acted(action, dist.log_prob(action), policy.env_action(action), carry)


def reset_envs(env: JaxEnv, policy: Policy, key: Key, num_envs: int) -> RolloutState:
    """Reset ``num_envs`` environments."""
    env_state, obs = jax.vmap(env.reset)(jax.random.split(key, num_envs))
    zeros = jnp.zeros(num_envs)
    return RolloutState(env_state, obs, jnp.ones(num_envs, bool), policy.initial_carry(num_envs), zeros, zeros)


def unroll(
    env: JaxEnv, policy: Policy, params: Params, moments: PyTree, state: RolloutState, keys: Key, shards: int = 1
) -> tuple[RolloutState, Transition, Episodes]:
    """One step per key, in one ``lax.scan``: T = ``len(keys)``. Returns (state after it, rollout, its episodes).

    Of several ``shards`` each has its part of the environments, and of the keys those of these environments.
    """
    num_envs = state.first.shape[0]
    step_envs: Any = jax.vmap(env.step)

    def step(state: RolloutState, key: Key) -> tuple[RolloutState, tuple[Transition, Episodes]]:
        key_act, key_env = jax.random.split(key)
        act_keys = key_act if shards == 1 else environment_keys(key_act, num_envs, shards)
        acted = act(policy, params, moments, state.carry, state.obs, state.first, act_keys)
        env_keys = environment_keys(key_env, num_envs, shards)
        env_state, outcome = step_envs(env_keys, state.env_state, acted.env_action)
        transition = Transition(
            obs=state.obs,
            final_obs=outcome.final_obs,
            first=state.first,
            action=acted.action,
            log_prob=acted.log_prob,
            reward=outcome.reward,
            terminated=outcome.terminated,
            truncated=outcome.truncated,
            valid=outcome.valid,
        )
        total, length = state.episode_return + outcome.raw_reward, state.episode_length + outcome.valid
        ended = outcome.ended
        episodes = {
            "episodes": jnp.sum(ended),
            "return_sum": jnp.sum(jnp.where(ended, total, 0.0)),
            "length_sum": jnp.sum(jnp.where(ended, length, 0.0)),
        }
        total, length = jnp.where(ended, 0.0, total), jnp.where(ended, 0.0, length)
        state = RolloutState(env_state, outcome.obs, outcome.first, acted.carry, total, length)
        return state, (transition, episodes)

    begin = jax.tree.map(lambda x: x[None], state.carry)
    state, (rollout, episodes) = jax.lax.scan(step, state, keys)
    return state, rollout._replace(carry=begin), jax.tree.map(lambda x: jnp.sum(x, axis=0), episodes)
