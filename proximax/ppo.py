"""The spine: rollout + update -> Learner. Read this first, then rollout, maths.advantages, maths.objectives, update.

    repeat:  collect T steps of N environments with the current policy     rollout.unroll | rollout.collect
             value every state the rollout passed, scale rewards           rollout.with_values, maths.scale_reward
             advantages, minibatches, ascent on the objective              update.update, algorithms
             only then let the observation normaliser see the new rows     learn

The normaliser is frozen from acting to the end of the update, so the first minibatch's ratio is 1, to rounding.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax import xla
from proximax.algorithms import adapted, find_algorithm
from proximax.buffers import host_buffers, start_host
from proximax.config import RunConfig
from proximax.diagnostics import diagnose
from proximax.envs.base import HostEnv, JaxEnv, env_seeds
from proximax.errors import UsageError
from proximax.keys import host_key, rolled, split_on_host
from proximax.maths import init_moments, scale_reward
from proximax.observations import init_obs_moments, update_obs_moments
from proximax.policy import Policy, policy_parameters
from proximax.rollout import act, collect, start, unroll, with_values
from proximax.seeds import over_seeds, stack_seeds
from proximax.types import (
    Acted,
    Array,
    Key,
    Learner,
    Metrics,
    Params,
    PyTree,
    RewardScale,
    RolloutState,
    TrainState,
    Transition,
)
from proximax.update import Algorithm, annealed, init_optimiser, update


def make_learner(env: JaxEnv, policy: Policy, config: RunConfig, own: Algorithm | None = None) -> Learner:
    """``config.algo`` on an environment inside the program, for one seed: ``jit`` and ``vmap`` the step as you like.

    ``own``: the algorithm where it is not a built-in one. ``init`` draws weights with NumPy, so call it once per seed
    and stack (``stack_seeds``) instead of vmapping it.
    """
    algorithm = find_algorithm(config.algo, own)
    start_envs = xla.jit(partial(start, env, policy, num_envs=config.num_envs), sooner=True)

    def init(key: Key) -> TrainState:
        key, key_params, key_env = split_on_host(key, 3)
        return fresh_state(algorithm, env, policy, config, key, key_params, start_envs(key_env))

    def roll(state: TrainState) -> tuple[TrainState, Transition, Metrics, Key]:
        key, key_act, key_update = jax.random.split(state.key, 3)
        keys = jax.random.split(key_act, config.ppo.num_steps)
        rollout, transitions, episodes = unroll(env, policy, state.params, state.obs_moments, state.rollout, keys)
        return state._replace(key=key, rollout=rollout), transitions, episodes, key_update

    def step(state: TrainState) -> tuple[TrainState, Metrics]:
        state, transitions, episodes, key_update = roll(state)
        state, metrics = learn(algorithm, policy, config, state, transitions, key_update)
        return state, metrics | episodes

    return Learner(init, step, lambda state: roll(state)[1])


def make_host_learner(env: HostEnv, policy: Policy, config: RunConfig, own: Algorithm | None = None) -> Learner:
    """``config.algo`` on environments outside the program, for S seeds at once; states and metrics are ``[S, ...]``.

    ``env`` holds S x N environments, seed by seed. ``init`` takes the S keys; the seeds of the environments come from
    ``config.seed``. Acting is one compiled call per step, learning one per rollout; seeds are vmapped in both.
    """
    algorithm = find_algorithm(config.algo, own)
    names = [config.seed + i for i in range(config.seeds)]
    act_seeds, learn_seeds = acting(policy, config.seeds), learning(algorithm, policy, config)
    buffers: list[Transition] = []  # made at the first step, then overwritten by every rollout

    def init(keys: Sequence[Key]) -> TrainState:
        rollout = start_host(env, policy, [env_seeds(name, config.num_envs) for name in names])
        states: list[TrainState] = []
        for i, key in enumerate(keys):
            key, key_params = split_on_host(key, 2)
            one = jax.tree.map(lambda x, i=i: x[i], rollout)
            states.append(fresh_state(algorithm, env, policy, config, key, key_params, one))
        return stack_seeds(states)._replace(rollout=rollout)

    def step(state: TrainState) -> tuple[TrainState, Metrics]:
        now = state.rollout
        words = np.asarray(jax.random.key_data(state.key))  # a key itself would cost 10 us per call
        act_once = partial(act_seeds, state.params, state.obs_moments, words)
        if not buffers:
            example = act_once(now.carry, now.obs, now.first, (0, 0))
            buffers.append(host_buffers(config.ppo.num_steps, now, example.action, env.stacked))
        rollout, transitions, episodes = collect(env, act_once, now, buffers[0])
        outside: Any = ()  # where acting stands is no part of the compiled program
        learned, metrics = learn_seeds(state._replace(rollout=outside), transitions)
        # The buffers are lent to the program without a copy: wait before the next rollout overwrites them.
        return jax.block_until_ready(learned)._replace(rollout=rollout), metrics | episodes

    return Learner(init, step, lambda _: buffers[0] if buffers else None)


def acting(policy: Policy, seeds: int) -> Callable[..., Acted]:
    """``act_at`` of all seeds, compiled."""
    return xla.jit(over_seeds(partial(act_at, policy), seeds, (0, 0, 0, 0, 0, 0, None)), sooner=True)


def learning(algorithm: Algorithm, policy: Policy, config: RunConfig) -> Callable[..., tuple[TrainState, Metrics]]:
    """``learn_host`` of all seeds, compiled."""
    return xla.jit(over_seeds(partial(learn_host, algorithm, policy, config), config.seeds, (0, 1)), sooner=True)


def act_at(
    policy: Policy,
    params: Params,
    moments: PyTree,
    words: Array,
    carry: PyTree,
    obs: PyTree,
    first: Array,
    place: tuple[Array, Array],
) -> Acted:
    """``rollout.act`` at ``place`` (t, number of the first environment) of a rollout whose key has these ``words``.

    An environment's key depends on its own number, and not on which others act at the same time.
    """
    t, begin = place
    key, numbers = jax.random.fold_in(host_key(words), t), begin + jnp.arange(first.shape[0])
    return act(policy, params, moments, carry, obs, first, jax.vmap(partial(jax.random.fold_in, key))(numbers))


def learn_host(
    algorithm: Algorithm, policy: Policy, config: RunConfig, state: TrainState, transitions: Transition
) -> Any:
    """``learn`` after a rollout whose actions used ``fold_in(key, t)`` for t < T."""
    key, key_update = jax.random.split(jax.random.fold_in(rolled(state.key), config.ppo.num_steps))
    state = state._replace(key=host_key(jax.random.key_data(key)))
    return learn(algorithm, policy, config, state, transitions, key_update)


def learn(
    algorithm: Algorithm, policy: Policy, config: RunConfig, state: TrainState, transitions: Transition, key: Key
) -> tuple[TrainState, Metrics]:
    """Everything after the rollout: scale rewards, value states, update the parameters, then the normaliser."""
    ppo = config.ppo
    transitions = with_values(policy, state.params, state.obs_moments, transitions)
    reward_scale = state.reward_scale
    if ppo.scale_reward:
        last = transitions.terminated | transitions.truncated
        reward, carried, moments = scale_reward(*reward_scale, transitions.reward, last, transitions.valid, ppo.gamma)
        transitions, reward_scale = transitions._replace(reward=reward), RewardScale(carried, moments)
    rates = annealed(ppo, state, config.updates)
    params, opt_state, metrics = update(algorithm, policy, ppo, state, transitions, rates, key)
    obs_moments = update_obs_moments(state.obs_moments, transitions.obs, transitions.valid)
    for leaf in jax.tree.leaves((obs_moments, reward_scale)):  # squares of huge observations overflow
        metrics["finite"] = metrics["finite"] * jnp.all(jnp.isfinite(leaf))
    metrics |= diagnose(policy, transitions)
    beta, learning_rate = adapted(ppo, state.beta, state.learning_rate, metrics)
    learned = state._replace(
        params=params,
        opt_state=opt_state,
        obs_moments=obs_moments,
        reward_scale=reward_scale,
        beta=beta,
        learning_rate=learning_rate,
        update=state.update + 1,
    )
    # An update that went wrong ends the run: what was learned before it is what is saved.
    return jax.tree.map(partial(jnp.where, good(metrics)), learned, state), metrics | rates._asdict()


def good(metrics: Metrics) -> Array:
    """Whether an update was finite and every row's mask allowed something."""
    return (metrics["finite"] == 1) & (metrics.get("stuck_row", -1) < 0)


def fresh_state(
    algorithm: Algorithm,
    env: JaxEnv | HostEnv,
    policy: Policy,
    config: RunConfig,
    key: Key,
    key_params: Key,
    rollout: RolloutState,
) -> TrainState:
    """The state before the first update."""
    params = policy.init(key_params)
    moments = init_obs_moments(env.observation_space, config.ppo)
    apart = algorithm.policy_step is not None
    if apart and all(policy_parameters(policy, params, moments, rollout.obs, rollout.first)):
        raise UsageError(
            f"algo = {config.algo} fits the critic apart from the policy, but every parameter of this network is the "
            "policy's too. Give the value a head of its own, or choose a2c, surrogate, penalty or clip"
        )
    return TrainState(
        params=params,
        opt_state=init_optimiser(algorithm, config.ppo, params),
        obs_moments=moments,
        reward_scale=RewardScale(jnp.zeros(rollout.first.shape), init_moments(())),
        rollout=rollout,
        beta=jnp.asarray(config.ppo.beta, jnp.float32),
        learning_rate=jnp.asarray(config.ppo.learning_rate, jnp.float32),
        key=key,
        update=jnp.zeros((), jnp.int32),
    )
