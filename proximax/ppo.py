"""The spine: rollout + update -> Learner. Read this first, then rollout, maths.advantages, maths.objectives, update.

    repeat:  collect T steps of N environments with the current policy     rollout.unroll | rollout.collect
             value every state the rollout passed, scale rewards           rollout.with_values, maths.scale_reward
             K epochs: advantages, minibatches, ascent on the objective    update.update
             only then let the observation normaliser see the new rows     learn

The normaliser is frozen from acting to the end of the update, so the first minibatch's ratio is 1, to rounding.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.config import PPOConfig, RunConfig
from proximax.envs.base import HostEnv, JaxEnv, env_seeds
from proximax.maths import init_moments, scale_reward, update_moments
from proximax.policy import Policy
from proximax.rollout import Acted, act, collect, host_buffers, start, start_host, unroll, with_values
from proximax.spaces import init_obs_moments
from proximax.types import (
    Array,
    Key,
    Learner,
    Metrics,
    Moments,
    Params,
    PyTree,
    RewardScale,
    RolloutState,
    TrainState,
    Transition,
    host_key,
)
from proximax.update import annealed, init_optimiser, update


def make_learner(env: JaxEnv, policy: Policy, config: RunConfig) -> Learner:
    """PPO on an environment inside the program, for one seed: ``jit`` and ``vmap`` the step as you like.

    ``init`` draws weights with NumPy, so call it once per seed and stack (``stack_seeds``) instead of vmapping it.
    """
    start_envs = jax.jit(partial(start, env, policy, num_envs=config.num_envs))

    def init(key: Key) -> TrainState:
        key, key_params, key_env = split_on_host(key, 3)
        return fresh_state(env, policy, config.ppo, key, key_params, start_envs(key_env))

    def step(state: TrainState) -> tuple[TrainState, Metrics]:
        key, key_act, key_update = jax.random.split(state.key, 3)
        keys = jax.random.split(key_act, config.ppo.num_steps)
        rollout, transitions, episodes = unroll(env, policy, state.params, state.obs_moments, state.rollout, keys)
        state = state._replace(key=key, rollout=rollout)
        state, metrics = learn(policy, config, state, transitions, key_update)
        return state, metrics | episodes

    return Learner(init, step)


def make_host_learner(env: HostEnv, policy: Policy, config: RunConfig) -> Learner:
    """PPO on environments outside the program, for S seeds at once; states and metrics are ``[S, ...]``.

    ``env`` holds S x N environments, seed by seed. ``init`` takes the S keys; the seeds of the environments come from
    ``config.seed``. Acting is one compiled call per step, learning one per rollout; seeds are vmapped in both.
    """
    names = [config.seed + i for i in range(config.seeds)]
    act_seeds = jax.jit(jax.vmap(partial(act_at, policy), in_axes=(0, 0, 0, 0, 0, 0, None)))
    learn_seeds = jax.jit(jax.vmap(partial(learn_host, policy, config), in_axes=(0, 1)))
    buffers: list[Transition] = []  # made at the first step, then overwritten by every rollout

    def init(keys: Sequence[Key]) -> TrainState:
        rollout = start_host(env, policy, [env_seeds(name, config.num_envs) for name in names])
        states: list[TrainState] = []
        for i, key in enumerate(keys):
            key, key_params = split_on_host(key, 2)
            one = jax.tree.map(lambda x, i=i: x[i], rollout)
            states.append(fresh_state(env, policy, config.ppo, key, key_params, one))
        return stack_seeds(states)._replace(rollout=rollout)

    def step(state: TrainState) -> tuple[TrainState, Metrics]:
        now = state.rollout
        if not buffers:
            example = act_seeds(state.params, state.obs_moments, now.carry, now.obs, now.first, state.key, 0)
            buffers.append(host_buffers(config.ppo.num_steps, now, example.action))
        act_once = lambda carry, obs, first, t: act_seeds(  # noqa: E731
            state.params, state.obs_moments, carry, obs, first, state.key, t
        )
        rollout, transitions, episodes = collect(env, act_once, now, buffers[0])
        learned, metrics = learn_seeds(without_rollout(state), transitions)
        # The buffers are lent to the program without a copy: wait before the next rollout overwrites them.
        return jax.block_until_ready(learned)._replace(rollout=rollout), metrics | episodes

    return Learner(init, step)


def act_at(
    policy: Policy,
    params: Params,
    moments: Moments | None,
    carry: PyTree,
    obs: PyTree,
    first: Array,
    key: Key,
    t: Array,
) -> Acted:
    """``rollout.act`` with the key of step ``t`` of this rollout."""
    return act(policy, params, moments, carry, obs, first, jax.random.fold_in(key, t))


def without_rollout(state: TrainState) -> TrainState:
    """What learning needs: where acting stands stays outside the program."""
    nothing: Any = ()
    return state._replace(rollout=nothing)


def learn_host(policy: Policy, config: RunConfig, state: TrainState, transitions: Transition) -> Any:
    """``learn`` after a rollout whose actions used ``fold_in(key, t)`` for t < T."""
    key, key_update = jax.random.split(jax.random.fold_in(state.key, config.ppo.num_steps))
    return learn(policy, config, state._replace(key=key), transitions, key_update)


def learn(
    policy: Policy, config: RunConfig, state: TrainState, transitions: Transition, key: Key
) -> tuple[TrainState, Metrics]:
    """Everything after the rollout: scale rewards, value states, update the parameters, then the normaliser."""
    ppo = config.ppo
    transitions = with_values(policy, state.params, state.obs_moments, transitions)
    reward_scale = state.reward_scale
    if ppo.scale_reward:
        last = transitions.terminated | transitions.truncated
        reward, carried, moments = scale_reward(
            reward_scale.discounted_return,
            reward_scale.moments,
            transitions.reward,
            last,
            transitions.valid,
            ppo.gamma,
        )
        transitions, reward_scale = transitions._replace(reward=reward), RewardScale(carried, moments)
    rates = annealed(ppo, state.update, config.updates)
    params, opt_state, metrics = update(
        policy, ppo, state.params, state.opt_state, state.obs_moments, transitions, rates, key
    )
    obs_moments = state.obs_moments
    if obs_moments is not None:
        obs_moments = update_moments(obs_moments, transitions.obs, transitions.valid)
    for leaf in jax.tree.leaves((obs_moments, reward_scale)):  # squares of huge observations overflow
        metrics["finite"] = metrics["finite"] * jnp.all(jnp.isfinite(leaf))
    return state._replace(
        params=params,
        opt_state=opt_state,
        obs_moments=obs_moments,
        reward_scale=reward_scale,
        update=state.update + 1,
    ), metrics


def fresh_state(
    env: JaxEnv | HostEnv, policy: Policy, ppo: PPOConfig, key: Key, key_params: Key, rollout: RolloutState
) -> TrainState:
    """The state before the first update."""
    params = policy.init(key_params)
    return TrainState(
        params=params,
        opt_state=init_optimiser(ppo, params),
        obs_moments=init_obs_moments(env.observation_space, ppo.normalise_obs),
        reward_scale=RewardScale(jnp.zeros(rollout.first.shape), init_moments(())),
        rollout=rollout,
        key=key,
        update=jnp.zeros((), jnp.int32),
    )


def seed_key(seed: int) -> Key:
    """The key of a run's seed: hashed, so that neighbouring seeds share nothing, and made without compiling."""
    return split_on_host(host_key(np.array([(seed >> 32) & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32)), 1)[0]


def split_on_host(key: Key, num: int) -> list[Key]:
    """``jax.random.split`` for start-up code: NumPy's seed hashing instead of a compiled program (0.1 s)."""
    data = np.asarray(jax.random.key_data(key))
    words = np.random.SeedSequence(data.tolist()).generate_state(num * data.size).reshape(num, data.size)
    return [host_key(row) for row in words]


def stack_seeds(states: Sequence[TrainState]) -> TrainState:
    """One state with a leading axis S for ``vmap``."""

    def stack(*leaves: Any) -> Any:
        if jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
            return host_key(np.stack([np.asarray(jax.random.key_data(x)) for x in leaves]))
        return np.stack([np.asarray(x) for x in leaves])  # NumPy: no program to compile

    return jax.tree.map(stack, *states)
