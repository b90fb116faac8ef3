"""Initial weights and the affine layer that every network is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.networks.base import ACTIVATIONS, HIDDEN_GAIN, POLICY_GAIN, VALUE_GAIN, affine, orthogonal


@pytest.mark.parametrize(("rows", "columns"), [(5, 3), (3, 5), (4, 4), (1, 6)])
def test_the_fewer_of_rows_and_columns_are_orthonormal_times_the_gain(rows, columns):
    w = orthogonal(np.random.default_rng(0), rows, columns, 2.0).astype(float)
    assert w.shape == (rows, columns)
    few = w if rows <= columns else w.T
    np.testing.assert_allclose(few @ few.T, 4 * np.eye(min(rows, columns)), atol=1e-6)


def test_gains_are_those_of_the_paper():
    assert (pytest.approx(2), 0.01, 1.0) == (HIDDEN_GAIN**2, POLICY_GAIN, VALUE_GAIN)


def test_an_affine_layer_and_its_gradients_by_hand():
    x, w, b = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]), jnp.arange(3.0)
    y, gradient = jax.vjp(affine, x, w, b)
    np.testing.assert_array_equal(y, [[1, 3, 2], [3, 5, 4]])
    to_x, to_w, to_b = gradient(jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]]))
    np.testing.assert_array_equal(to_x, [[1, 0], [4, -1]])  # g wᵀ
    np.testing.assert_array_equal(to_w, [[1, 3, 6], [2, 4, 8]])  # xᵀ g
    np.testing.assert_array_equal(to_b, [1, 1, 2])


def test_activations_keep_0():
    assert {name: float(function(jnp.zeros(()))) for name, function in ACTIVATIONS.items()} == dict.fromkeys(
        ("tanh", "relu", "elu", "silu"), 0.0
    )
