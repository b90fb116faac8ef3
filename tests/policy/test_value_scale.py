"""Normalised values: the scale of the targets, and V(s) from what the network gives. Traps 3, 30."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from proximax.config.ppo_config import PPOConfig
from proximax.maths import Moments, merge_moments
from proximax.policy.agent import Agent
from proximax.policy.policy import make_policy
from proximax.policy.value_scale import VALUE_MOMENTS, initial_value_moments, learn_value_scale, scale_of, value_of

OBS = spaces.Box(-1.0, 1.0, (3,), np.float32)


def params_of(*moments):
    return {VALUE_MOMENTS: Moments(*map(jnp.float32, moments))}


def test_the_scale_is_that_of_what_was_seen_and_of_nothing_0_and_1():
    np.testing.assert_allclose(scale_of(Moments(*map(jnp.float32, (4, -3, 16)))), (-3, 2), rtol=1e-7)
    assert scale_of(Moments(*map(jnp.float32, (0, 0, 0)))) == (0, 1)
    assert scale_of(Moments(*map(jnp.float32, (9, 5, 0))))[1] > 0  # all equal: not a division by 0


def test_a_value_is_the_mean_of_the_targets_and_so_many_standard_deviations():
    output = jnp.array([-1.0, 0.0, 2.5])
    np.testing.assert_allclose(value_of(params_of(4, -3, 16), output), [-5, -3, 2], rtol=1e-6)
    np.testing.assert_array_equal(value_of({VALUE_MOMENTS: initial_value_moments()}, output), output)
    assert value_of({}, output) is output


def test_the_network_learns_through_a_value_and_the_scale_does_not():
    def total(params, output):
        return jnp.sum(value_of(params, output))

    of_params, of_output = jax.grad(total, (0, 1))(params_of(4, -3, 16), jnp.array([-1.0, 2.5]))
    np.testing.assert_allclose(of_output, [2, 2], rtol=1e-6)
    assert [float(x) for x in of_params[VALUE_MOMENTS]] == [0, 0, 0]


@pytest.mark.trap(3)
@pytest.mark.trap(30)
def test_targets_that_count_join_those_before_and_old_values_are_said_in_the_new_scale():
    params = {"network": "kept", **params_of(2, 2, 2)}  # of 1 and 3: standard deviation 1
    target, weight = jnp.array([5.0, 7.0, jnp.nan]), jnp.array([1.0, 1.0, 0.0])
    after, value, std = learn_value_scale(params, jnp.array([2.0, 3.0, 0.0]), target, weight)
    # 1, 3, 5, 7: mean 4, summed squared deviations 20; the network's outputs were 0, 1 and -2.
    np.testing.assert_allclose(after[VALUE_MOMENTS], (4, 4, 20), rtol=1e-6)
    assert after["network"] == "kept"
    np.testing.assert_allclose(std, np.sqrt(5), rtol=1e-6)
    np.testing.assert_allclose(value, 4 + np.sqrt(5) * np.array([0, 1, -2]), rtol=1e-6)
    np.testing.assert_allclose(value_of(after, jnp.array([0.0, 1.0, -2.0])), value, rtol=1e-6)


def test_the_other_shards_targets_count_too():
    others = Moments(*map(jnp.float32, (1, 9, 0)))
    inputs = jnp.zeros(2), jnp.array([5.0, 7.0]), jnp.ones(2)
    after, *_ = learn_value_scale(params_of(0, 0, 0), *inputs, lambda moments: merge_moments(moments, others))
    np.testing.assert_allclose(after[VALUE_MOMENTS], (3, 7, 8), rtol=1e-6)


@pytest.mark.parametrize("network", ["mlp", "gru"])
def test_whatever_asks_a_policy_for_a_value_gets_it_as_it_is(network):
    spaces_of = OBS, spaces.Discrete(3)
    settings = {"hidden": (4,), "recurrent_units": 3, "normalise_obs": False}
    plain, scaled = (make_policy(*spaces_of, PPOConfig(**settings, normalise_values=x), network) for x in (False, True))
    params = plain.init(jax.random.key(0))
    assert VALUE_MOMENTS not in params
    with_scale = scaled.init(jax.random.key(0))
    assert set(with_scale) == {*params, VALUE_MOMENTS}
    with_scale |= params_of(4, -3, 16)
    obs = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    agents = Agent(plain, params, None, *spaces_of), Agent(scaled, with_scale, None, *spaces_of)
    output, value = (agent.value(obs) for agent in agents)
    np.testing.assert_allclose(value, 2 * output - 3, rtol=1e-5)
    if scaled.unroll is not None:
        inputs = scaled.initial_carry(1), jnp.asarray(obs), np.arange(5)[:, None] == 0
        (_, output, _), (_, value, _) = plain.unroll(params, *inputs), scaled.unroll(with_scale, *inputs)
        np.testing.assert_allclose(value, 2 * output - 3, rtol=1e-5)
