"""Acting: T steps of N environments, from inside the program (``unroll``) or outside it (``collect``).

Both give the same ``Transition`` record, without values; ``values.add_values`` adds them in one batch.
"""

import jax
import jax.numpy as jnp

from proximax.envs import JaxEnv
from proximax.policy import Policy
from proximax.ppo.records import Episodes
from proximax.types import Acted, Array, Key, Params, PyTree, RolloutState, Transition


def act(policy: Policy, params: Params, moments: PyTree, carry: PyTree, obs: PyTree, first: Array, key: Key) -> Acted:
    """Sample one action for each environment, with one key for all of them or a key for each.

    Only the actor runs: the compiler removes the value, which ``add_values`` finds for the whole rollout.
    """
    dist, _, carry = policy.apply(params, carry, policy.encode(moments, obs), first)
    action = jax.vmap(lambda each, k: each.sample(k))(dist, key) if key.ndim else dist.sample(key)
    return Acted(action, dist.log_prob(action), policy.env_action(action), carry)


# ---------------------------------------------------------------- environments inside the program


def reset_envs(env: JaxEnv, policy: Policy, key: Key, num_envs: int) -> RolloutState:
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
        env_state, s = jax.vmap(env.step)(env_keys, state.env_state, acted.env_action)
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
