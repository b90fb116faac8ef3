"""Bins of continuous actions and their ordinal logits, by hand and in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax import maths


def test_bins_lie_evenly_between_the_bounds_which_are_bins_too():
    np.testing.assert_allclose(maths.bin_centre(jnp.arange(5), 5), [-1, -0.5, 0, 0.5, 1], atol=1e-7)
    np.testing.assert_array_equal(maths.bin_centre(jnp.arange(2), 2), [-1, 1])
    ends = maths.bin_centre(jnp.array([0, 10]), 11)
    np.testing.assert_allclose(ends, [-1, 1], atol=1e-7)


@pytest.mark.parametrize("bins", [2, 3, 11, 1001])
def test_the_nearest_bin_of_a_centre_is_that_bin_and_beyond_the_bounds_the_outermost(bins):
    index = jnp.arange(bins)
    centre = maths.bin_centre(index, bins)
    np.testing.assert_array_equal(maths.nearest_bin(centre, bins), index)
    little = 0.4 / (bins - 1)
    np.testing.assert_array_equal(maths.nearest_bin(centre + little, bins), index)
    np.testing.assert_array_equal(maths.nearest_bin(centre - little, bins), index)
    assert maths.nearest_bin(jnp.array([-7.0, 7.0]), bins).tolist() == [0, bins - 1]


def test_ordinal_logits_are_the_papers_up_to_what_softmax_ignores():
    """Tang & Agrawal 2020: the sum of log σ(s_j) up to the bin and of log(1 - σ(s_j)) beyond, in float64."""
    s = np.random.default_rng(0).normal(size=(4, 2, 5)).astype(np.float32).astype(np.float64)
    yes, no = -np.log1p(np.exp(-s)), -np.log1p(np.exp(s))
    papers = np.stack([yes[..., : i + 1].sum(-1) + no[..., i + 1 :].sum(-1) for i in range(5)], axis=-1)
    found = maths.ordinal_logits(jnp.float32(s.reshape(4, 10)), 5)
    np.testing.assert_allclose(jax.nn.log_softmax(found.reshape(4, 2, 5)), jax.nn.log_softmax(papers), atol=1e-5)


def test_a_push_on_one_output_moves_all_bins_from_there_on():
    np.testing.assert_allclose(maths.ordinal_logits(jnp.array([0.0, 2.0, 0.0, 1.0, 0.0, 0.0]), 3), [0, 2, 2, 1, 1, 1])
