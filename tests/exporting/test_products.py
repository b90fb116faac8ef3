"""Products, convolutions, pooling and reductions beside JAX."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from proximax.errors import UsageError
from tests.support.onnx_functions import assert_same, operators

pytest.importorskip("onnx")
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(4, 6, 5)).astype(np.float32), RNG.normal(size=(5, 3)).astype(np.float32)
IMAGES = RNG.normal(size=(2, 9, 8, 3)).astype(np.float32)
KERNEL = RNG.normal(size=(3, 2, 3, 4)).astype(np.float32)
NHWC = ("NHWC", "HWIO", "NHWC")


def test_products():
    assert_same(lambda x: [x @ W, x[:, 0] @ W, jnp.einsum("bij,bkj->bik", x, x)], X, tolerance=1e-5)
    assert_same(lambda x: jnp.einsum("bij,jik->bk", x, jnp.ones((5, 6, 2))), X, tolerance=1e-5)
    assert operators(lambda x: x[:, 0] @ W, X).count("MatMul") == 1


def test_reductions():
    assert_same(
        lambda x: [x.sum(1), x.max(2), x.min((1, 2)), x.mean(1), x.prod(2), jnp.cumsum(x, 1)], X, tolerance=1e-5
    )
    assert_same(lambda x: [(x > 0).any(1), (x > 0).all(1), jnp.argmax(x, 1), jnp.argmin(x, 2), jnp.argmax(x > 0, 1)], X)


def test_of_equal_elements_the_first_is_the_largest():
    assert_same(lambda x: jnp.argmax(x, axis=1), np.array([[1, 2, 2], [3, 3, 3]], np.float32))


def test_convolutions_and_pooling():
    assert_same(
        lambda x: [
            lax.conv_general_dilated(x, KERNEL, (2, 1), "SAME", dimension_numbers=NHWC),
            lax.conv_general_dilated(x, KERNEL, (1, 1), "VALID", rhs_dilation=(2, 2), dimension_numbers=NHWC),
            lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 2, 1), (1, 2, 2, 1), "SAME"),
            lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
        ],
        IMAGES,
        tolerance=1e-5,
    )


def test_a_transposed_convolution_is_refused():
    with pytest.raises(UsageError, match="transposed"):
        operators(lambda x: lax.conv_transpose(x, KERNEL, (2, 2), "SAME", dimension_numbers=NHWC), IMAGES)
