"""Mean, its interval and the interquartile mean over seeds. Trap 43."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, trim_mean

from proximax.evaluation.statistics import interquartile_mean, mean_interval, summarise_returns, t_quantile


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


def test_the_interval_is_students():
    # Two seeds, 0 and 1: mean ½, s = 1 / √2, so ± t₁ s / √2 = 12.706 / 2.
    assert summarise_returns(np.array([0.0, 1.0])).ci95 == pytest.approx((0.5 - 6.3531, 0.5 + 6.3531))
    assert summarise_returns(np.array([1.0, 2.0, 3.0])).ci95 == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert summarise_returns(np.full(5, 2.0)) == (2.0, 2.0, (2.0, 2.0))


@pytest.mark.parametrize("freedom", [*range(1, 41), 100, 1000])
def test_the_quantile_is_scipys(freedom):
    assert t_quantile(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=6e-5)


@pytest.mark.trap(43)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 10, 20])
@pytest.mark.parametrize(
    ("draw", "least"),
    [("normal", 0.945), ("uniform", 0.915), ("standard_t", 0.945), ("exponential", 0.87), ("lognormal", 0.82)],
)
def test_the_interval_covers_the_true_mean(draw, least, n):
    """10,000 runs of n seeds: 95 % of the intervals hold the mean, as far as so few seeds of such a shape can tell.

    The percentile bootstrap holds it in 75 % of the runs of three normal seeds, and in 90 % of those of eight.
    """
    parameters, truth = {
        "normal": ((3.0, 2.0), 3.0),
        "uniform": ((0.0, 1.0), 0.5),
        "standard_t": ((3.0,), 0.0),
        "exponential": ((1.0,), 1.0),
        "lognormal": ((0.0, 0.5), np.exp(0.125)),
    }[draw]
    x = getattr(np.random.default_rng(n), draw)(*parameters, size=(10_000, n))
    low, high = mean_interval(x)
    covered = np.mean((low <= truth) & (truth <= high))
    assert covered >= least
    if draw == "normal":
        assert covered <= 0.956  # and it is no wider than it need be


@pytest.mark.trap(43)
def test_the_interval_covers_where_episodes_are_drawn_for_each_seed_and_fails_where_they_are_shared():
    """A seed's score is its policy's skill plus the luck of its evaluation starts: shared luck does not average out."""
    rng, runs, seeds = np.random.default_rng(0), 4000, 5
    skill = rng.normal(0.0, 1.0, (runs, seeds))
    own, shared = rng.normal(0.0, 5.0, (runs, seeds)), rng.normal(0.0, 5.0, (runs, 1))
    for luck, covers in ((own, True), (shared, False)):
        low, high = mean_interval(skill + luck)
        assert bool(np.mean((low <= 0.0) & (high >= 0.0)) > 0.94) is covers


@pytest.mark.parametrize("n", [2, 3, 5, 8, 10])
def test_the_interval_is_around_the_mean_and_is_the_same_every_time(n):
    x = np.random.default_rng(n).standard_normal(n) * 100
    summary = summarise_returns(x)
    assert summary.mean == pytest.approx(x.mean())
    assert summary.iqm == interquartile_mean(x)
    low, high = summary.ci95
    assert (low + high) / 2 == pytest.approx(summary.mean)
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


@given(RETURNS, st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_an_interval_follows_shift_and_scale(x, shift, scale):
    summary, moved = summarise_returns(x), summarise_returns(shift + scale * x)
    if len(x) == 1:
        assert summary.ci95 is moved.ci95 is None
        return
    rounding = 1e-9 * (1 + abs(shift) + scale * np.abs(x).max())
    assert moved.ci95 == pytest.approx([shift + scale * bound for bound in summary.ci95], rel=1e-6, abs=rounding)
    assert summary.ci95[0] <= summary.mean + rounding
    assert summary.mean - rounding <= summary.ci95[1]
