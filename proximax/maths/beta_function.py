"""The Beta distribution's density, entropy and KL without differences of large numbers.

log Γ(z) = (z - ½) log z - z + ½ log 2π + c(z). Of the sums in log B(α, β), entropy and KL the parts that grow with α
and β cancel on paper, so only small numbers are left to subtract: in float32, log Γ of 10,000 alone is off by 0.004.
Source: Loader 2000, "Fast and accurate computation of binomial probabilities", which does this for the binomial.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Numbers = Float[Array, "..."]
LOG_2PI = math.log(2.0 * math.pi)
SERIES_BELOW = 0.25  # of |t|, for ``log_remainder``
SHIFTS = 7  # the argument of Stirling's series is this at least
SERIES = 1 / 12, -1 / 360, 1 / 1260  # Stirling's, in 1 / z, 1 / z³, 1 / z⁵


def log_remainder(t: Numbers, ratio: Numbers) -> Numbers:
    """log(1 + t) - t, where ``ratio`` is 1 + t without the rounding of t. It is -t² / 2 for small t.

    By the series of log((1 + r) / (1 - r)) with r = t / (2 + t) for small t.
    """
    small = jnp.abs(t) < SERIES_BELOW
    near = jnp.where(small, t, 0.0)
    r = near / (2.0 + near)
    y = r * r
    series = r * (2.0 * y * (1 / 3 + y * (1 / 5 + y * (1 / 7 + y / 9))) - near)
    return jnp.where(small, series, jnp.log(jnp.where(small, 1.0, ratio)) - t)


def divergence(a: Numbers, b: Numbers, p: Numbers, q: Numbers) -> Numbers:
    """a log(m / p) + b log((1 - m) / q), m = a / (a + b), p + q = 1: a + b times the KL of two coins; 0 for p = m."""
    m, k = a / (a + b), b / (a + b)
    # The difference of the smaller ones has the smaller rounding.
    gap = jnp.where(m < k, p - m, k - q)
    return -(a * log_remainder(gap / m, p / m) + b * log_remainder(-gap / k, q / k))


def stirling_error(z: Numbers) -> Numbers:
    """c(z) = log Γ(z) - ((z - ½) log z - z + ½ log 2π), 1 / (12 z) for large z; for small z by c(z) = c(z + 1) + ..."""
    small = z < SHIFTS
    shift = jnp.where(small, z, 1.0)
    steps = sum((shift + j + 0.5) * jnp.log1p(1.0 / (shift + j)) - 1.0 for j in range(SHIFTS))
    inverse = 1.0 / jnp.where(small, z + SHIFTS, z)
    square = inverse * inverse
    return inverse * (SERIES[0] + square * (SERIES[1] + square * SERIES[2])) + jnp.where(small, steps, 0.0)


def stirling_error_slope(z: Numbers) -> Numbers:
    """The derivative of ``stirling_error``: ψ(z) - log z + 1 / (2 z)."""
    small = z < SHIFTS
    shift = jnp.where(small, z, 1.0)
    terms = [shift + j for j in range(SHIFTS)]
    steps = sum(jnp.log1p(1.0 / x) - (x + 0.5) / (x * (x + 1.0)) for x in terms)
    inverse = 1.0 / jnp.where(small, z + SHIFTS, z)
    square = inverse * inverse
    series = -square * (SERIES[0] + square * (3.0 * SERIES[1] + square * 5.0 * SERIES[2]))
    return series + jnp.where(small, steps, 0.0)


def log_density(a: Numbers, b: Numbers, x: Numbers) -> Numbers:
    """log of x^(a - 1) (1 - x)^(b - 1) / B(a, b), for 0 < x < 1."""
    n = a + b
    peak = 0.5 * (jnp.log(a) + jnp.log(b) - jnp.log(n) - LOG_2PI)
    error = stirling_error(a) + stirling_error(b) - stirling_error(n)
    return peak - error - divergence(a, b, x, 1.0 - x) - jnp.log(x) - jnp.log1p(-x)


def entropy(a: Numbers, b: Numbers) -> Numbers:
    """log B(a, b) - (a - 1) ψ(a) - (b - 1) ψ(b) + (a + b - 2) ψ(a + b)."""
    n = a + b
    size = 0.5 * (jnp.log(a) + jnp.log(b) - 3.0 * jnp.log(n) + LOG_2PI)
    error = stirling_error(a) + stirling_error(b) - stirling_error(n)
    halves = 0.5 * ((a - 1.0) / a + (b - 1.0) / b - (n - 2.0) / n)
    slopes = [(z - less) * stirling_error_slope(z) for z, less in ((a, 1.0), (b, 1.0), (n, 2.0))]
    return size + error + halves - slopes[0] - slopes[1] + slopes[2]


def kl(a: Numbers, b: Numbers, other_a: Numbers, other_b: Numbers) -> Numbers:
    """log B' / B + (a - a') ψ(a) + (b - b') ψ(b) + (a' - a + b' - b) ψ(a + b), with a' and b' those of the other."""
    n, other_n = a + b, other_a + other_b

    def rest(z: jax.Array, other: jax.Array) -> jax.Array:
        """What -½ log z + c(z) adds: f(z') - f(z) - (z' - z) f'(z)."""
        gap = other - z
        error = stirling_error(other) - stirling_error(z) - gap * stirling_error_slope(z)
        return error - 0.5 * log_remainder(gap / z, other / z)

    coins = divergence(other_a, other_b, a / n, b / n)
    return coins + rest(a, other_a) + rest(b, other_b) - rest(n, other_n)
