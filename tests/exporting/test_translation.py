"""Networks of users: what is known is translated, what is not is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.errors import UsageError
from tests.support.onnx_functions import assert_same, operators

pytest.importorskip("onnx")
X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


def test_layers_that_networks_are_made_of():
    assert_same(lambda x: [jax.nn.gelu(x), jax.nn.softmax(x), jax.nn.log_softmax(x), jax.nn.leaky_relu(x)], X)
    assert_same(lambda x: (x - x.mean(1, keepdims=True)) / jnp.sqrt(x.var(1, keepdims=True) + 1e-6), X, tolerance=1e-5)
    assert_same(lambda x: jax.vmap(lambda row: jax.nn.standardize(row))(x), X, tolerance=1e-5)
    assert_same(lambda x: jax.checkpoint(jnp.tanh)(x) + jax.nn.logsumexp(x, axis=1, keepdims=True), X, tolerance=1e-5)


def test_an_unknown_operation_is_named_with_what_may_help():
    with pytest.raises(UsageError, match=r"'sort' of JAX.*jax2onnx"):
        operators(lambda x: jnp.sort(x, axis=1), X)


def test_what_the_outputs_do_not_need_is_left_out():
    assert operators(lambda x: (jnp.sort(x), x * 2)[1], X) == ["Mul"]
