"""Means over samples that count, and the value loss with and without a clip, by hand. Trap 3."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.config import PPOConfig
from proximax.ppo.losses import value_losses, weighted_mean
from proximax.ppo.records import Batch

NAMES = Batch._fields


def batch(**columns):
    return Batch(**dict.fromkeys(NAMES) | {name: jnp.array(x) for name, x in columns.items()})


@pytest.mark.trap(3)
def test_a_mean_is_of_what_counts_and_0_where_nothing_does():
    x = jnp.array([1.0, 5.0, jnp.inf, jnp.nan])
    assert float(weighted_mean(x, jnp.array([1.0, 1.0, 0.0, 0.0]))) == 3.0
    assert float(weighted_mean(x, jnp.zeros(4))) == 0.0
    gradient = jax.grad(lambda x: weighted_mean(x, jnp.array([1.0, 1.0, 0.0, 0.0])))(x)
    np.testing.assert_array_equal(gradient, [0.5, 0.5, 0, 0])


def test_the_value_loss_is_half_the_square_or_the_larger_of_it_and_that_of_the_clipped_value():
    rows = batch(value=[0.0, 0.0, 0.0], target=[1.0, 1.0, -1.0])
    value = jnp.array([0.5, 2.0, 0.5])
    scale = float(value_losses(PPOConfig(), jnp.array([0.0, 0.0, 0.0]), rows)[0])  # that of an error of 1
    assert scale in (0.5, 1.0)
    np.testing.assert_allclose(value_losses(PPOConfig(), value, rows), scale * np.array([0.25, 1.0, 2.25]))
    clipped = value_losses(PPOConfig(value_epsilon=0.2), value, rows)  # of 0.2, 0.2, 0.2: 0.64, 0.64, 1.44
    np.testing.assert_allclose(clipped, scale * np.array([0.64, 1.0, 2.25]), rtol=1e-6)
    alone = value_losses(PPOConfig(value_epsilon=0.2, value_clip="alone"), value, rows)
    np.testing.assert_allclose(alone, scale * np.array([0.64, 0.64, 1.44]), rtol=1e-6)


@pytest.mark.trap(23)
def test_normalised_values_are_compared_and_clipped_in_units_of_their_targets():
    rows = batch(value=[0.0, 0.0, 0.0], target=[10.0, 10.0, -10.0])
    value, unit = jnp.array([5.0, 20.0, 5.0]), jnp.float32(10.0)
    plain = value_losses(PPOConfig(), value, rows, unit)
    np.testing.assert_allclose(plain, 0.5 * np.array([0.25, 1.0, 2.25]), rtol=1e-6)
    clipped = value_losses(PPOConfig(value_epsilon=0.2), value, rows, unit)  # of 2, 2, 2
    np.testing.assert_allclose(clipped, 0.5 * np.array([0.64, 1.0, 2.25]), rtol=1e-6)
