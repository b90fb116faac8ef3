"""Each elementwise rule beside JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from proximax.errors import UsageError
from tests.support.onnx_functions import assert_same, operators

pytest.importorskip("onnx")
X = np.random.default_rng(0).normal(0, 2, (4, 5)).astype(np.float32)
Y = np.random.default_rng(1).normal(0, 2, (4, 5)).astype(np.float32)
N = np.array([[-7, 3, 0], [5, -2, 9]], np.int32)
SMALL, POSITIVE = np.clip(X, -0.9, 0.9), np.abs(X) + 0.1


def test_functions_of_one_number():
    assert_same(
        lambda x, small, positive: [
            *(f(x) for f in (jnp.abs, jnp.ceil, jnp.cos, jnp.exp, jnp.floor, jnp.sign, jnp.sin, jnp.tanh, jnp.round)),
            *(f(x) for f in (jax.nn.sigmoid, jax.nn.elu, jax.nn.silu, jax.nn.softplus, jnp.square, lax.erf, lax.erfc)),
            *(f(small) for f in (jnp.arcsin, jnp.arccos, jnp.arctanh, jnp.tan, jnp.sinh, jnp.cosh, jnp.expm1)),
            *(f(positive) for f in (jnp.log, jnp.log1p, jnp.sqrt, lax.rsqrt, jnp.arctan, jnp.arcsinh)),
            jnp.arccosh(positive + 1),
            -x,
            x**2,
            x**3,
            positive**-1,
            jnp.exp2(x),
            jnp.isfinite(jnp.where(x > 1, jnp.inf, x)),
            lax.clamp(-1.0, x, 0.5),
        ],
        X,
        SMALL,
        POSITIVE,
        tolerance=1e-5,
    )


def test_functions_of_two_numbers():
    assert_same(
        lambda x, y: [x + y, x - y, x * y, x / y, jnp.maximum(x, y), jnp.minimum(x, y), lax.rem(x, y), jnp.abs(x) ** y],
        X,
        Y,
        tolerance=1e-4,
    )
    assert_same(lambda x, y: [x < y, x <= y, x > y, x >= y, x == y, x != x], X, Y)


def test_integers_and_booleans():
    assert_same(lambda n: [n // 2, lax.div(n, 3), lax.rem(n, 3), n & 3, n | 8, n ^ 5, ~n, n.astype(bool)], N)
    assert_same(lambda n: [(n > 0) & (n < 5), (n > 0) | (n < -3), (n > 0) ^ (n < 5), ~(n > 0), n.astype(np.float32)], N)
    assert_same(lambda n: [jnp.maximum(n > 0, n < 5), n.astype(jnp.int8) > 3, jnp.where(n > 0, n < 5, n < -3)], N)
    assert_same(lambda n: lax.select_n(jnp.clip(n, 0, 2), n, n * 10, n * 100), N)


def test_what_is_constant_is_computed_beforehand():
    scale = jnp.arange(5.0)
    assert operators(lambda x: x * jnp.sqrt(jnp.exp(scale) + 1.0)[None], X) == ["Mul"]


def test_rounding_away_from_zero_is_refused():
    with pytest.raises(UsageError, match=r"jnp\.round"):
        operators(lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO), X)
