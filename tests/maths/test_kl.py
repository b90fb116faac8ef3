"""Estimates of how far the policy has moved, on numbers worked out by hand. Traps 19, 20."""

import jax.numpy as jnp
import numpy as np
import pytest

from proximax import maths

OLD, NEW = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5])
LOG_RATIO = jnp.log(jnp.float32(NEW / OLD))  # -log 2, 0, log 2


def test_the_estimates_by_hand():
    log2 = np.log(2)
    np.testing.assert_allclose(maths.kl_k1(LOG_RATIO), [log2, 0, -log2], rtol=1e-6)
    np.testing.assert_allclose(maths.kl_k2(LOG_RATIO), [log2**2 / 2, 0, log2**2 / 2], rtol=1e-6)
    np.testing.assert_allclose(maths.kl_k3(LOG_RATIO), [log2 - 0.5, 0, 1 - log2], rtol=1e-6)


def test_k1_and_k3_are_unbiased_and_k2_is_not():
    exact = np.sum(OLD * np.log(OLD / NEW))  # log 2 / 4
    np.testing.assert_allclose(np.sum(OLD * maths.kl_k1(LOG_RATIO)), exact, rtol=1e-6)
    np.testing.assert_allclose(np.sum(OLD * maths.kl_k3(LOG_RATIO)), exact, rtol=1e-6)
    np.testing.assert_allclose(np.sum(OLD * maths.kl_k2(LOG_RATIO)), 0.75 * np.log(2) ** 2 / 2, rtol=1e-6)


def test_k3_is_exact_and_positive_where_the_policy_has_hardly_moved():
    """k3 = log²/2 + log³/6 + ...; e^x - 1 - x in float32 would be 0, or negative."""
    small = np.float32([1e-4, -1e-4, 3e-3])
    expected = small.astype(float) ** 2 / 2 + small.astype(float) ** 3 / 6
    found = np.asarray(maths.kl_k3(jnp.asarray(small)))
    assert (found > 0).all()
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-3)


@pytest.mark.trap(20)
@pytest.mark.parametrize(
    ("control", "target", "expected"),
    [
        ("beta", 0.01, (4.0, 0.003)),
        ("learning_rate", 0.01, (2.0, 0.002)),
        ("stop", 0.01, (2.0, 0.003)),
        ("beta", None, (2.0, 0.003)),
        ("learning_rate", None, (2.0, 0.003)),
    ],
)
def test_too_large_a_kl_moves_what_the_settings_say_and_nothing_else(control, target, expected):
    after = maths.adapt_to_kl(control, target, *map(jnp.float32, (2.0, 0.003, 0.05)))
    assert [float(x) for x in after] == pytest.approx(expected)


@pytest.mark.trap(20)
@pytest.mark.parametrize(
    ("kl", "settings", "rate"),
    [
        (0.014, {}, 0.003),
        (0.014, {"band": 1.4}, 0.002),  # at the band's edge
        (0.0071, {"band": 1.4}, 0.0045),
        (0.0073, {"band": 1.4}, 0.003),
        (0.1, {"least": 0.0025}, 0.0025),
        (0.001, {"most": 0.004}, 0.004),
        (0.1, {"least": 0.004}, 0.003),  # begins below the bound: stays
    ],
)
def test_the_band_and_the_bounds_of_an_adapted_learning_rate(kl, settings, rate):
    given = {name: jnp.float32(x) for name, x in settings.items()}
    _, after = maths.adapt_to_kl("learning_rate", 0.01, *map(jnp.float32, (1.0, 0.003, kl)), **given)
    assert float(after) == pytest.approx(rate)
