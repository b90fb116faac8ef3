"""Environments in worker processes, and everything they give, for comparison."""

import os

import jax
import numpy as np

from proximax.envs.crash_recovery import RestartBudget
from proximax.envs.env_checker import check_env
from proximax.envs.workers.vector_env import Workers
from proximax.spaces.masks import MASK, sample_allowed_action
from proximax.spaces.tree import flatten, leaves, unflatten


def pool(make, num_envs, restarts=0, timeout=60.0):
    return Workers(make, num_envs, check_env(make), RestartBudget(restarts), timeout)


def random_actions(env, obs, rng):
    """An action for each environment that its mask, if any, allows."""
    each = []
    for i in range(env.num_envs):
        mask = obs[MASK][i] if isinstance(obs, dict) and MASK in obs else np.ones(100)
        each.append(flatten(env.action_space, sample_allowed_action(env.action_space, mask > 0, rng)))
    dtypes = [leaf.dtype for leaf in leaves(env.action_space)]
    return unflatten(env.action_space, iter([np.stack(x).astype(dtype) for x, dtype in zip(zip(*each), dtypes)]))


def history(env, steps, seeds):
    """Everything ``steps`` steps give, of actions that depend only on what was seen."""
    rng, obs = np.random.default_rng(0), env.reset(seeds)
    env.action_space.seed(0)
    seen = [jax.tree.map(np.array, obs)]
    for _ in range(steps):
        s = env.step(random_actions(env, obs, rng))
        seen.append(jax.tree.map(np.array, s._asdict()))
        obs = s.obs
    return seen


def assert_same(mine, other):
    for a, b in zip(mine, other, strict=True):
        assert jax.tree.structure(a) == jax.tree.structure(b)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
