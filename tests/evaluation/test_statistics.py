"""Interquartile mean and bootstrap interval over seeds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from proximax.evaluation.statistics import interquartile_mean, summarise_returns


def test_interquartile_mean_against_hand_numbers():
    assert interquartile_mean(np.array([7.0])) == 7
    assert interquartile_mean(np.array([1.0, 2.0, 6.0])) == 3  # floor(3 / 4) = 0: nothing is cut
    assert interquartile_mean(np.array([100.0, 1.0, 3.0, -50.0])) == 2  # one from each end
    assert interquartile_mean(np.array([1.0, 2, 3, 4, 5, 6, 7, 800])) == 4.5


@pytest.mark.parametrize("n", range(1, 18))
def test_interquartile_mean_is_scipys_trimmed_mean(n):
    x = np.random.default_rng(n).standard_cauchy((5, n))
    np.testing.assert_allclose(interquartile_mean(x), trim_mean(x, 0.25, axis=-1), rtol=1e-12)


def test_the_summary_of_one_seed_has_no_interval():
    assert summarise_returns(np.array([3.5])) == (3.5, 3.5, None)


def test_the_interval_is_the_bootstraps():
    # Two seeds, 0 and 1: a resample's mean is 0, ½ or 1 with chances ¼, ½, ¼, so the interval is all of [0, 1].
    assert summarise_returns(np.array([0.0, 1.0])) == (0.5, 0.5, (0.0, 1.0))
    assert summarise_returns(np.full(5, 2.0)) == (2.0, 2.0, (2.0, 2.0))
    # Many seeds of a normal distribution: about ±1.96 standard errors, which for this trimmed mean are 1.09 σ / √n.
    x = np.random.default_rng(0).standard_normal(400)
    low, high = summarise_returns(x, resamples=2000).ci95
    assert high - low == pytest.approx(2 * 1.96 * 1.09 / 20, rel=0.12)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 10])
def test_the_interval_contains_the_interquartile_mean_and_is_the_same_every_time(n):
    x = np.random.default_rng(n).standard_normal(n) * 100
    summary = summarise_returns(x)
    assert summary.mean == pytest.approx(x.mean())
    assert summary.iqm == interquartile_mean(x)
    low, high = summary.ci95
    assert x.min() - 1e-9 <= low < summary.iqm < high <= x.max() + 1e-9
    assert summarise_returns(x) == summary


@pytest.mark.parametrize("x", [[], [np.nan], [1.0, np.nan, 2.0], [np.inf, 1.0]])
def test_an_episode_that_never_ended_gives_no_number_instead_of_a_wrong_one(x):
    summary = summarise_returns(np.array(x))
    assert np.isnan(summary.mean)
    assert np.isnan(summary.iqm)
    assert summary.ci95 is None


RETURNS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20).map(np.array)


@given(RETURNS, st.randoms(use_true_random=False), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_an_interquartile_mean_lies_inside_and_follows_shift_scale_and_no_order(x, random, shift, scale):
    iqm = interquartile_mean(x)
    rounding = 1e-9 * (1 + np.abs(x).max())
    assert x.min() - rounding <= iqm <= x.max() + rounding
    mixed = x.tolist()
    random.shuffle(mixed)
    assert interquartile_mean(np.array(mixed)) == iqm
    assert interquartile_mean(shift + scale * x) == pytest.approx(shift + scale * iqm, rel=1e-6, abs=1e-2 * rounding)
    assert interquartile_mean(-x) == pytest.approx(-iqm, abs=rounding)
    worst = np.sort(x)[: len(x) // 4]
    if len(worst):  # what is cut does not count, however bad
        y = np.sort(x)
        y[: len(worst)] = -1e9
        assert interquartile_mean(y) == iqm


@given(RETURNS)
def test_an_interval_lies_between_the_worst_and_the_best_seed(x):
    summary = summarise_returns(x, resamples=200)
    if len(x) == 1:
        assert summary.ci95 is None
        return
    low, high = summary.ci95
    rounding = 1e-9 * (1 + np.abs(x).max())
    assert x.min() - rounding <= low <= high <= x.max() + rounding
