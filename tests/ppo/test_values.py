"""π and V of a whole rollout, by policies whose values are known on paper. Traps 2, 31."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.policy.policy import Policy
from proximax.ppo.values import IMAGES_PER_CHUNK, add_values, evaluate_policy
from proximax.types import Transition


def policy_of(apply, unroll=None):
    """A policy of nothing but these functions; observations are numbers ``[B]``."""
    return Policy(None, None, apply, encode=lambda moments, obs: obs - moments, env_action=None, unroll=unroll)


def plain(params, carry, obs, first):
    """V = w s, and the state itself for a distribution."""
    return obs, params * obs, carry


def total(params, carry, obs, first):
    """V is the sum of an episode's observations so far, by one sum to remember."""
    after = jnp.where(first, 0.0, carry) + obs
    return obs, params * after, after


def total_of_sequences(params, carry, obs, first):
    after = []
    for row, begins in zip(obs.reshape(first.shape), first):
        carry = jnp.where(begins, 0.0, carry) + row
        after.append(carry)
    return obs, params * jnp.stack(after).reshape(-1), jnp.stack(after)


def rollout(obs, final_obs, first=None, carry=()):
    obs = jnp.array(obs, jnp.float32)
    first = jnp.zeros(obs.shape, bool) if first is None else jnp.array(first)
    nothing = dict.fromkeys(("action", "log_prob", "terminated", "truncated", "valid"))
    final_obs = None if final_obs is None else jnp.array(final_obs, jnp.float32)
    return Transition(obs=obs, final_obs=final_obs, first=first, reward=obs, carry=carry, **nothing)


@pytest.mark.trap(2)
def test_every_state_has_its_value_and_that_of_the_state_it_reached():
    valued = add_values(policy_of(plain), 10.0, 1.0, rollout([[1, 2], [3, 4]], [[3, 9], [7, 8]]))
    np.testing.assert_array_equal(valued.value, [[0, 10], [20, 30]])  # 10 (s - 1)
    np.testing.assert_array_equal(valued.next_value, [[20, 80], [60, 70]])  # 9, not 4: an episode ended there
    np.testing.assert_array_equal(valued.dist, [[0, 1], [2, 3]])


@pytest.mark.trap(31)
def test_the_value_of_a_state_reached_has_the_memory_of_all_before_it_and_moves_no_later_one():
    first = [[False], [False], [True]]
    steps = rollout([[1], [2], [3]], [[5], [6], [7]], first, carry=jnp.array([[100.0]]))
    valued = add_values(policy_of(total, total_of_sequences), 1.0, 0.0, steps)
    np.testing.assert_array_equal(valued.value, [[101], [103], [3]])
    np.testing.assert_array_equal(valued.next_value, [[101 + 5], [103 + 6], [3 + 7]])
    np.testing.assert_array_equal(valued.carry, [[100], [101], [103]])  # before each step, and before any reset


@pytest.mark.parametrize("rows", [IMAGES_PER_CHUNK, 300, 257])  # in one piece; in two; 257 is a prime
def test_many_images_are_evaluated_in_pieces_each_once_and_in_order(rows):
    frames = rollout(np.arange(rows)[:, None], None)
    indices = jnp.arange(rows)[::-1]
    _, value = jax.jit(lambda: evaluate_policy(policy_of(plain), 2.0, 0.0, frames, indices))()
    np.testing.assert_array_equal(value, 2.0 * np.arange(rows)[::-1])
