"""Each rule for shapes beside JAX."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from proximax.errors import UsageError
from tests.support.onnx_functions import assert_same, operators

pytest.importorskip("onnx")
X = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
TABLE = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)


def test_shapes_and_parts():
    assert_same(
        lambda x: [
            x.reshape(-1, 5),
            x.reshape(len(x), -1),
            jnp.transpose(x, (0, 2, 1)),
            x[..., None] + jnp.zeros(2)[None, None, None],
            x[:, ::2, 1:3],
            x[:, 0],
            x[:, -1],
            x[:, ::-1],
            jnp.concatenate([x, x[:, :1]], axis=1),
            jnp.stack([x, -x], axis=2),
            jnp.split(x, [2, 3], axis=1),
            jnp.pad(x, ((0, 0), (1, 2), (0, 0)), constant_values=-1.0),
            lax.pad(x, 0.0, ((0, 0, 0), (-1, 2, 0), (1, -2, 0))),
            x[:, np.array([[0, 5], [2, 2]])],
            x[:, :, np.array([3, 1])],
            x + jnp.arange(5.0)[None, None],
            lax.stop_gradient(x) + lax.optimization_barrier(x),
        ],
        X,
    )


def test_rows_of_a_table():
    index = np.array([[2, 0], [1, 1]], np.int32)
    assert_same(lambda n: jnp.asarray(TABLE)[n], index)
    assert_same(lambda n: jnp.take(jnp.asarray(TABLE), n, axis=0), index)


def test_what_broadcasting_repeats_is_not_written_out():
    assert "Expand" not in operators(lambda x: x + jnp.broadcast_to(jnp.arange(5.0), x.shape), X)
    assert_same(lambda x: jnp.concatenate([x, jnp.ones_like(x)], axis=2), X)
    assert_same(lambda x: jnp.ones((2 * len(x) + 1, 3)).T, X)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[: len(x) - 1],
        lambda x: jnp.arange(len(x)),
        lambda x: lax.dynamic_slice_in_dim(x, x[0, 0, 0].astype(int), 2, 1),
        lambda x: x[jnp.arange(2), 0],
        lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1), (0, 0, 0))),
        lambda x: jnp.take_along_axis(x, x.astype(int), 1),
    ],
)
def test_what_no_rule_covers_is_refused(function):
    with pytest.raises(UsageError, match=r"cannot be exported|whole batches"):
        operators(function, X)
