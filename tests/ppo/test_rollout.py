"""Acting, and values of what was reached: traps 2, 8, 17, 33. Ends on host environments: envs/test_gymnasium_env.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from gymnasium import spaces

from proximax.config.ppo_config import PPOConfig
from proximax.envs import probe
from proximax.maths.distributions import Categorical
from proximax.policy.policy import Policy, make_policy
from proximax.ppo.rollout import act, reset_envs, unroll
from proximax.ppo.values import add_values
from proximax.runtime.prng import key_from_data, seed_key
from proximax.types import Transition
from tests.support.toy_envs import games_jax

KEY = key_from_data(np.array([0, 5], np.uint32))
# Whose value is the observation itself.
ECHO = Policy(
    init=lambda key: {},
    initial_carry=lambda batch: (),
    apply=lambda params, carry, obs, first: (Categorical(jnp.zeros((len(obs), 2))), obs[:, 0], carry),
    encode=lambda moments, obs: obs,
    env_action=lambda action: action,
)


def unrolled(env, num_envs, steps, policy=ECHO):
    state = reset_envs(env, policy, seed_key(1), num_envs)
    return unroll(env, policy, {}, None, state, jax.random.split(KEY, steps))


@pytest.mark.trap(2)
def test_next_values_are_of_the_observations_that_were_reached():
    names = set(Transition._fields) - {"obs", "final_obs", "truncated"}
    rows = Transition(
        obs=jnp.array([[[10.0]], [[20.0]], [[30.0]]]),
        final_obs=jnp.array([[[20.0]], [[25.0]], [[40.0]]]),  # the second step's is before a reset to 30
        truncated=jnp.array([[False], [True], [False]]),
        **dict.fromkeys(names, jnp.zeros((3, 1))),
    )._replace(terminated=jnp.zeros((3, 1), bool))
    valued = add_values(ECHO, {}, None, rows)
    np.testing.assert_array_equal(valued.value[:, 0], [10, 20, 30])
    np.testing.assert_array_equal(valued.next_value[:, 0], [20, 25, 40])


@pytest.mark.trap(2)
def test_a_compiled_rollout_keeps_what_was_reached_and_goes_on_from_the_reset():
    state, rollout, _ = unrolled(games_jax(), 2, 7)
    for n in range(2):
        np.testing.assert_array_equal(rollout.obs[:, n, 0], [0, 1, 2, 100, 101, 102, 200])
        np.testing.assert_array_equal(rollout.final_obs[:, n, 0], [1, 2, 3, 101, 102, 103, 201])
        np.testing.assert_array_equal(rollout.terminated[:, n], [0, 1, 1, 0, 1, 1, 0])
        np.testing.assert_array_equal(rollout.first[:, n], [1, 0, 1, 1, 0, 1, 1])
    np.testing.assert_array_equal(state.obs, [[201], [201]])


@pytest.mark.trap(33)
def test_a_compiled_rollout_counts_the_score_of_whole_games():
    state, rollout, episodes = unrolled(games_jax(), 2, 7)
    np.testing.assert_array_equal(rollout.reward, np.ones((7, 2)))  # what is learned from
    assert episodes == {"episodes": 4, "return_sum": 4 * 7, "length_sum": 4 * 3}
    np.testing.assert_array_equal(state.episode_return, [1, 1])
    np.testing.assert_array_equal(state.episode_length, [1, 1])


@pytest.mark.trap(8)
def test_starts_differ_from_episode_to_episode_and_environment_to_environment():
    _, rollout, _ = unrolled(probe.observed(), 4, 64)  # episodes of one step that begin at ±1
    starts = np.asarray(rollout.obs[..., 0])
    assert set(np.unique(starts)) == {-1, 1}
    assert all(np.abs(starts[:, n].mean()) < 0.7 for n in range(4))
    assert len(np.unique(starts, axis=1).T) == 4


@pytest.mark.trap(17)
def test_what_is_kept_is_the_sample_and_what_is_sent_is_clipped():
    space = spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
    obs = jnp.zeros((64, 3))
    policy = make_policy(spaces.Box(-1.0, 1.0, (3,)), space, PPOConfig(hidden=(4,), log_std_init=1.0))
    params = policy.init(KEY)
    dist, _, _ = policy.apply(params, (), obs, None)
    acted = act(policy, params, None, (), obs, None, KEY)
    assert np.abs(acted.action).max() > 3  # σ = e: far outside of [-1, 1]
    hand = scipy.stats.norm.logpdf(acted.action, dist.mean, np.e).sum(axis=-1)
    np.testing.assert_allclose(acted.log_prob, hand, rtol=1e-4)
    clipped = np.clip(acted.action, -1, 1)
    np.testing.assert_allclose(acted.env_action, clipped * [1, 2] + [0, 2], rtol=1e-6, atol=1e-6)
