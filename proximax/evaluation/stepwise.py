"""Scores on compiled environments by a policy that is outside the program, as one in an exported file is."""

from functools import partial
from typing import Any

import jax
import numpy as np

from proximax.config import MAX_EPISODE_STEPS
from proximax.envs import JaxEnv
from proximax.evaluation.episodes import check_masks
from proximax.policy import Policy, choice_of
from proximax.runtime import compilation
from proximax.types import Key, Params, PyTree


def score_stepwise(
    env: JaxEnv, policy: Policy, sample: bool, params: Params, moments: PyTree, key: Key, episodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """(returns, lengths) of one episode in each of ``episodes`` environments, which are stepped one step at a time.

    The same random keys as in ``score_jax``, so that the same policy plays the same episodes.
    """
    choose = choice_of(policy, sample)
    reset, step = (compilation.jit(jax.vmap(function)) for function in (env.reset, env.step))
    split = compilation.jit(partial(jax.random.split, num=3))
    is_masked = policy.diagnostics.all_masked
    key, key_reset = jax.random.split(key)
    env_state, obs = reset(jax.random.split(key_reset, episodes))
    first: Any = np.ones(episodes, bool)
    carry, alive = policy.initial_carry(episodes), np.ones(episodes, bool)
    total, length = np.zeros(episodes), np.zeros(episodes, np.int64)
    while alive.any() and length.max() < MAX_EPISODE_STEPS:
        if is_masked is not None:
            check_masks(np.asarray(is_masked(obs)) & alive, length)
        key, key_act, key_env = split(key)
        action, carry = choose(params, moments, carry, jax.tree.map(np.asarray, obs), first, key_act)
        env_state, s = step(jax.random.split(key_env, episodes), env_state, action)
        total += np.where(alive, s.raw_reward, 0.0)
        length += alive
        alive &= ~np.asarray(s.ended)
        obs, first = s.obs, np.asarray(s.first)
    return np.where(alive, np.nan, total), length
