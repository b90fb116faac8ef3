"""Clip-higher, dual clip and SPO against numbers by hand and NumPy in float64. Trap 22."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax import maths


def with_slope(objective):
    """(objective, its derivative by the log ratio) of a number each, as a function of (ratio, advantage)."""
    both = jax.jit(jax.vmap(jax.value_and_grad(objective), in_axes=(0, 0)))
    return lambda ratio, advantage: both(jnp.log(jnp.float32(ratio)), jnp.float32(advantage))


# Columns: ratio, advantage, objective, derivative by log ratio; the band is [0.8, 1.4], and c = 3.
@pytest.mark.trap(22)
def test_the_wide_clip_case_by_case():
    cases = np.array(
        [
            (1.3, 1.0, 1.3, 1.3),  # good: beyond ε and within ε_high
            (1.5, 1.0, 1.4, 0.0),
            (0.5, 1.0, 0.5, 0.5),  # good and rarer: comes back
            (0.7, -1.0, -0.8, 0.0),  # bad and rarer: the lower edge is that of ε
            (0.9, -1.0, -0.9, -0.9),
            (2.9, -1.0, -2.9, -2.9),  # bad and likelier: has its gradient up to c
            (3.1, -1.0, -3.0, 0.0),
            (3.1, 2.0, 2.8, 0.0),
            (3.1, 0.0, 0.0, 0.0),
        ]
    )
    ratio, advantage, *expected = cases.T
    found = with_slope(lambda x, a: maths.wide_clip_objective(x, a, 0.2, 0.4, 3.0))(ratio, advantage)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def reference(ratio, advantage, low, high, c):
    """By the formulas, in float64."""
    inner = np.minimum(ratio * advantage, np.clip(ratio, 1 - low, 1 + high) * advantage)
    return np.where(advantage < 0, np.maximum(inner, c * advantage), inner)


GRID = np.meshgrid(np.exp(np.linspace(-2, 2, 97)), [-3.0, -0.1, 0.0, 0.1, 3.0])


@pytest.mark.parametrize(("low", "high", "c"), [(0.2, 0.28, 3.0), (0.3, 0.1, 1.5), (0.2, None, 2.0), (0.2, 0.5, None)])
def test_the_wide_clip_is_what_the_papers_write(low, high, c):
    ratio, advantage = (x.ravel() for x in GRID)
    expected = reference(ratio, advantage, low, low if high is None else high, 1e9 if c is None else c)
    found = maths.wide_clip_objective(jnp.log(jnp.float32(ratio)), jnp.float32(advantage), low, high, c)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_a_width_above_and_a_bound_it_is_the_clip():
    args = jnp.log(jnp.float32(GRID[0])), jnp.float32(GRID[1]), 0.2
    np.testing.assert_array_equal(maths.wide_clip_objective(*args), maths.clip_objective(*args))
    np.testing.assert_allclose(maths.wide_clip_objective(*args, 0.2, 1e9), maths.clip_objective(*args), rtol=1e-6)


@pytest.mark.trap(22)
def test_a_ratio_beyond_float32_has_gradient_0_with_a_dual_clip():
    slope = jax.grad(maths.wide_clip_objective)
    assert float(slope(jnp.float32(200.0), jnp.float32(-2.0), 0.2, None, 3.0)) == 0
    assert float(slope(jnp.float32(200.0), jnp.float32(2.0), 0.2, 0.3, None)) == 0


@pytest.mark.trap(22)
def test_spo_case_by_case_and_is_drawn_back_from_beyond_the_band():
    # ε = 0.2: r A - 2.5 |A| (r - 1)²; its slope by log r is r (A - 5 |A| (r - 1)).
    ratio = np.array([1.0, 1.2, 1.4, 0.6, 1.0, 0.8, 0.6, 1.4, 2.0])
    advantage = np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 0.0])
    objective = [1.0, 1.1, 1.0, 0.2, -1.0, -0.9, -1.0, -1.8, 0.0]
    slope = [1.0, 0.0, -1.4, 1.8, -1.0, 0.0, 0.6, -4.2, 0.0]
    found = with_slope(lambda x, a: maths.spo_objective(x, a, 0.2))(ratio, advantage)
    np.testing.assert_allclose(found, (objective, slope), rtol=1e-5, atol=1e-6)


def test_spo_in_float64_over_a_grid():
    ratio, advantage = (x.ravel() for x in GRID)
    expected = ratio * advantage - np.abs(advantage) / (2 * 0.3) * (ratio - 1) ** 2
    found = maths.spo_objective(jnp.log(jnp.float32(ratio)), jnp.float32(advantage), 0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_outside_of_the_band_is_below_the_one_width_and_above_the_other():
    ratio = jnp.array([0.79, 0.81, 1.19, 1.21, 1.39, 1.41])
    assert maths.outside_band(ratio, 0.2).tolist() == [True, False, False, True, True, True]
    assert maths.outside_band(ratio, 0.2, 0.4).tolist() == [True, False, False, False, False, True]


@pytest.mark.trap(10)
@pytest.mark.parametrize("objective", [maths.wide_clip_objective, maths.spo_objective])
def test_rank_promotion_raises(objective):
    column, row = jnp.ones((4, 1)), jnp.ones(4)
    for wrong in ((column, row), (row, column)):
        with pytest.raises((TypeError, ValueError)):
            objective(*wrong, 0.2)
