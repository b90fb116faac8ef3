"""The learner of environments outside the program: all seeds, one compiled call per step and one per update."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.config import RunConfig
from proximax.envs import HostEnv, env_seeds
from proximax.policy import Policy
from proximax.ppo.algorithms import find_algorithm
from proximax.ppo.host_rollout import collect, host_buffers, reset_host_envs
from proximax.ppo.learner import initial_train_state, learn_from_rollout
from proximax.ppo.records import Algorithm
from proximax.ppo.rollout import act
from proximax.ppo.seed_axis import stack_seeds, vmap_seeds
from proximax.runtime import as_threefry2x32, compilation, key_from_data, split_on_host
from proximax.types import (
    Acted,
    Array,
    Key,
    Learner,
    Metrics,
    Params,
    PyTree,
    TrainState,
    Transition,
)


def make_host_learner(env: HostEnv, policy: Policy, config: RunConfig, own: Algorithm | None = None) -> Learner:
    """``config.algo`` on environments outside the program, for S seeds at once; states and metrics are ``[S, ...]``.

    ``env`` holds S x N environments, seed by seed. ``init`` takes the S keys; the seeds of the environments come from
    ``config.seed``. Acting is one compiled call per step, learning one per rollout; seeds are vmapped in both.
    """
    algorithm = find_algorithm(config.algo, own)
    names = [config.seed + i for i in range(config.seeds)]
    act_seeds, learn_seeds = compile_acting(policy, config.seeds), compile_learning(algorithm, policy, config)
    buffers: list[Transition] = []  # made at the first step, then overwritten by every rollout

    def init(keys: Sequence[Key]) -> TrainState:
        rollout = reset_host_envs(env, policy, [env_seeds(name, config.num_envs) for name in names])
        states: list[TrainState] = []
        for i, key in enumerate(keys):
            key, key_params = split_on_host(key, 2)
            one = jax.tree.map(lambda x, i=i: x[i], rollout)
            states.append(initial_train_state(algorithm, env, policy, config, key, key_params, one))
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


def compile_acting(policy: Policy, seeds: int) -> Callable[..., Acted]:
    """``act_for_group`` of all seeds, compiled."""
    return compilation.jit(
        vmap_seeds(partial(act_for_group, policy), seeds, (0, 0, 0, 0, 0, 0, None)), fast_compile=True
    )


def compile_learning(
    algorithm: Algorithm, policy: Policy, config: RunConfig
) -> Callable[..., tuple[TrainState, Metrics]]:
    """``learn_from_host_rollout`` of all seeds, compiled."""
    return compilation.jit(
        vmap_seeds(partial(learn_from_host_rollout, algorithm, policy, config), config.seeds, (0, 1)), fast_compile=True
    )


def act_for_group(
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
    key, numbers = jax.random.fold_in(key_from_data(words), t), begin + jnp.arange(first.shape[0])
    return act(policy, params, moments, carry, obs, first, jax.vmap(partial(jax.random.fold_in, key))(numbers))


def learn_from_host_rollout(
    algorithm: Algorithm, policy: Policy, config: RunConfig, state: TrainState, transitions: Transition
) -> Any:
    """``learn_from_rollout`` after a rollout whose actions used ``fold_in(key, t)`` for t < T."""
    key, key_update = jax.random.split(jax.random.fold_in(as_threefry2x32(state.key), config.ppo.num_steps))
    state = state._replace(key=key_from_data(jax.random.key_data(key)))
    return learn_from_rollout(algorithm, policy, config, state, transitions, key_update)
