"""Density, entropy and KL of the Beta distribution in float32 against float64, for parameters from 0.001 to 10⁶."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from proximax.maths import Beta
from proximax.maths.beta_function import log_remainder, stirling_error, stirling_error_slope

SCALES = [1.0, 3.0, 8.0, 20.0, 100.0, 1e4, 1e6]


def drawn(scale, rows=500):
    """α and β of a policy of this size, 1 + ..., and an action of it, in float32."""
    rng = np.random.default_rng(0)
    a, b = (np.float32(1 + scale * rng.random(rows)) for _ in range(2))
    return a, b, np.float32(np.clip(rng.beta(a, b), 1e-6, 1 - 1e-6))


@jax.jit
def numbers(a, b, x):
    p = Beta(a[:, None], b[:, None])
    return p.log_prob(x[:, None]), p.entropy()


@jax.jit
@jax.vmap
def value_and_slope(a, b, x):
    return jax.value_and_grad(lambda a, b: Beta(a[None], b[None]).log_prob(x[None]), (0, 1))(a, b)


@pytest.mark.parametrize("scale", SCALES)
def test_density_and_entropy_keep_their_digits_however_large_the_parameters(scale):
    a, b, x = drawn(scale)
    log_prob, entropy = numbers(a, b, x)
    exact = [z.astype(float) for z in (a, b, x)]
    # Where the density is steep, the rounding of the mean alone, 2⁻²⁴, moves it: by about √α 2⁻²⁴.
    bound = 4e-6 + 4e-7 * np.sqrt(scale)
    np.testing.assert_allclose(log_prob, scipy.stats.beta.logpdf(exact[2], *exact[:2]), atol=bound, rtol=0)
    np.testing.assert_allclose(entropy, scipy.stats.beta.entropy(*exact[:2]), atol=1e-5, rtol=0)


@pytest.mark.trap(12)
@pytest.mark.parametrize("scale", SCALES)
def test_the_ratio_of_unchanged_parameters_is_1(scale):
    """Also between a program that acts and one that learns, which round differently."""
    a, b, x = map(jnp.asarray, drawn(scale, 50))
    acted, _ = numbers(a, b, x)
    again, _ = numbers(a, b, x)
    np.testing.assert_array_equal(jnp.exp(acted - again), 1.0)
    apart, _ = value_and_slope(a, b, x)
    np.testing.assert_allclose(jnp.exp(acted - apart), 1.0, atol=2e-5)
    np.testing.assert_array_equal(Beta(a[:, None], b[:, None]).kl(Beta(a[:, None], b[:, None])), 0.0)


@pytest.mark.parametrize("scale", SCALES)
def test_kl_keeps_its_digits(scale):
    a, b, _ = drawn(scale)
    c, d = np.float32(a * 1.02), np.float32(b * 0.99)
    kl = np.asarray(
        jax.jit(lambda *z: Beta(*(x[:, None] for x in z[:2])).kl(Beta(*(x[:, None] for x in z[2:]))))(a, b, c, d)
    )

    def bregman(other, z):
        return scipy.special.gammaln(other) - scipy.special.gammaln(z) - (other - z) * scipy.special.digamma(z)

    p, q, r, s = (z.astype(float) for z in (a, b, c, d))
    exact = bregman(r, p) + bregman(s, q) - bregman(r + s, p + q)
    np.testing.assert_allclose(kl, exact, rtol=1e-4, atol=2e-6)
    assert (kl > -1e-6).all()


def test_the_slope_keeps_its_digits():
    for scale in SCALES:
        a, b, x = drawn(scale)
        _, (slope, _) = value_and_slope(a, b, x)
        p, q, y = (z.astype(float) for z in (a, b, x))
        exact = np.log(y) - scipy.special.digamma(p) + scipy.special.digamma(p + q)
        np.testing.assert_allclose(slope, exact, atol=5e-6 * np.abs(exact).max())


def test_the_parts_against_scipy():
    z = np.float32(np.geomspace(1e-3, 1e6, 400))
    exact = z.astype(float)
    with_stirling = scipy.special.gammaln(exact) - ((exact - 0.5) * np.log(exact) - exact + 0.5 * np.log(2 * np.pi))
    tail = exact > 1e3  # where float64 itself has cancelled
    with_stirling[tail] = 1 / (12 * exact[tail])
    np.testing.assert_allclose(stirling_error(jnp.asarray(z)), with_stirling, atol=1e-6, rtol=1e-5)
    slope = scipy.special.digamma(exact) - np.log(exact) + 0.5 / exact
    np.testing.assert_allclose(stirling_error_slope(jnp.asarray(z)), slope, atol=1e-7, rtol=2e-5)
    t = np.float32(np.concatenate([-np.geomspace(1e-6, 0.999, 200), np.geomspace(1e-6, 1e3, 200)]))
    remainder = scipy.special.log1p(t.astype(float)) - t
    small = np.abs(t) < 1e-3
    remainder[small] = (-0.5 * t.astype(float) ** 2 + t.astype(float) ** 3 / 3 - t.astype(float) ** 4 / 4)[small]
    np.testing.assert_allclose(log_remainder(jnp.asarray(t), jnp.asarray(1 + t)), remainder, rtol=3e-6)
