"""Environments outside the program: whose random numbers are whose. Trap 34."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax import maths
from proximax.config import PPOConfig, RunConfig
from proximax.policy.policy import Policy
from proximax.ppo import host_learner
from proximax.runtime.prng import seed_key
from proximax.types import TrainState

KEY = np.asarray(jax.random.key_data(seed_key(3)))


def noise(params, carry, obs, first):
    return maths.Gaussian(obs, jnp.zeros_like(obs)), jnp.zeros(len(obs)), carry


POLICY = Policy(None, None, noise, encode=lambda moments, obs: obs, env_action=lambda action: action)


def act(t, offset, num_envs, key=KEY):
    """What environments ``offset`` to ``offset + num_envs`` do at step t, when they act together."""
    obs, first = jnp.zeros((num_envs, 2)), jnp.zeros(num_envs, bool)
    acted = host_learner.act_for_group(POLICY, None, None, key, (), obs, first, (t, offset))
    return np.asarray(acted.action), np.asarray(acted.log_prob)


@pytest.mark.slow
@pytest.mark.trap(34)
def test_what_an_environment_does_does_not_depend_on_which_others_act_at_the_same_time():
    together = act(2, 0, 6)
    for groups in ([2, 4], [1, 2, 3]):
        apart = [act(2, sum(groups[:i]), size) for i, size in enumerate(groups)]
        for whole, parts in zip(together, zip(*apart)):
            np.testing.assert_array_equal(whole, np.concatenate(parts))
    others = [together[0], act(3, 0, 6)[0], act(2, 0, 6, KEY[::-1])[0], act(2, 6, 6)[0]]
    assert len(np.unique(np.concatenate(others))) == 4 * 6 * 2  # another step, run or environment: other noise


@pytest.mark.trap(34)
def test_no_key_is_used_twice(monkeypatch):
    """Keys fold_in(key, t) for t < T have acted; learning, and the next rollout, get others."""
    seen = []
    monkeypatch.setattr(host_learner, "learn_from_rollout", lambda *args: seen.append((args[3].key, args[5])))
    state = TrainState(**dict.fromkeys(TrainState._fields) | {"key": seed_key(3)})
    config = RunConfig("x", ppo=PPOConfig(num_steps=4))
    host_learner.learn_from_host_rollout(None, POLICY, config, state, None)
    following, _ = seen[0]
    acting = [jax.random.fold_in(key, t) for key in (seed_key(3), following) for t in range(5)]
    words = {tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in (*acting, seed_key(3), *seen[0])}
    assert len(words) == 10 + 3
