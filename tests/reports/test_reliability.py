"""Statistics over environments: rliable's numbers, and intervals that cover. Trap 43."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from proximax.reports import reliability
from proximax.reports.reliability import aggregate, performance_profile, probability_of_improvement

# Runs x environments; and the numbers of rliable 1.2.0 (metrics.aggregate_*, metrics.probability_of_improvement,
# library.create_performance_profile) of them.
A = np.array([[0.10, 0.55, 1.20], [0.35, 0.60, 0.90], [0.20, 0.45, 1.10], [0.80, 0.50, 0.70], [0.15, 0.65, 1.30]])
B = np.array([[0.30, 0.50, 0.95], [0.35, 0.40, 0.60], [0.25, 0.70, 0.85], [0.05, 0.45, 1.05]])
RLIABLE = {
    "iqm": (0.6111111111111112, 0.5),
    "median": (0.55, 0.5125),
    "mean": (0.6366666666666667, 0.5375),
    "optimality_gap": (0.4033333333333333, 0.4666666666666667),
}
TAUS = np.array([0.0, 0.2, 0.45, 0.5, 0.9, 1.3])
PROFILES = [1, 0.8, 0.66666667, 0.6, 0.2, 0], [1, 0.91666667, 0.5, 0.41666667, 0.16666667, 0]


@pytest.mark.parametrize("name", RLIABLE)
def test_aggregates_are_those_of_rliable(name):
    for scores, expected in zip((A, B), RLIABLE[name], strict=True):
        assert aggregate(list(scores.T), name).value == pytest.approx(expected, rel=1e-12)


def test_the_probability_of_improvement_is_that_of_rliable_ties_counted_half():
    assert probability_of_improvement(list(A.T), list(B.T)).value == pytest.approx(0.6416666666666667)
    assert probability_of_improvement(list(B.T), list(A.T)).value == pytest.approx(0.35833333333333334)
    x, y = np.array([1.0, 2.0, 2.0, 5.0]), np.array([2.0, 2.0, 3.0])
    assert probability_of_improvement([x], [y]).value == pytest.approx(mannwhitneyu(x, y).statistic / 12)


def test_performance_profiles_are_those_of_rliable():
    for scores, expected in zip((A, B), PROFILES, strict=True):
        fraction, low, high = performance_profile(list(scores.T), TAUS)
        np.testing.assert_allclose(fraction, expected, atol=1e-8)
        assert (low <= fraction).all()
        assert (fraction <= high).all()


def test_the_band_of_a_profile_is_wilsons():
    """3 of 4 runs: (0.75 + z²/8 ± z √(0.75 · 0.25 / 4 + z²/64)) / (1 + z²/4)."""
    _, low, high = performance_profile([np.array([1.0, 1.0, 1.0, 0.0])], np.array([0.5]))
    assert (low[0], high[0]) == pytest.approx((0.30064, 0.95441), abs=2e-5)
    _, low, high = performance_profile([np.ones(4)], np.array([0.5, 2.0]))
    assert (low[0], high[0], low[1]) == pytest.approx((0.51011, 1, 0), abs=2e-5)  # not [1, 1]


def test_one_seed_has_no_interval():
    one, several = [np.array([1.0])], [np.array([1.0, 2.0])]
    assert probability_of_improvement(one, several) == (0.25, None)
    assert aggregate([*one, *several], "mean") == (1.25, None)


def test_the_interval_of_a_mean_of_one_environment_is_students():
    """The bootstrap's spread is s / √n but for chance, so ± t₂ s / √3 of three seeds 1, 2, 3."""
    low, high = aggregate([np.array([1.0, 2.0, 3.0])], "mean").ci95
    assert high - 2 == pytest.approx(2.4841, rel=0.05)
    assert 2 - low == pytest.approx(high - 2)


def test_degrees_of_freedom_are_between_those_of_the_smallest_sample_and_of_all():
    rng = np.random.default_rng(0)
    x = rng.normal(size=5)
    assert reliability.degrees_of_freedom([x, 1e-9 * rng.normal(size=50)]) == 4  # all the variance is in the first
    assert reliability.degrees_of_freedom([x, -x]) == 8
    assert reliability.degrees_of_freedom([np.ones(3), np.ones(7)]) == 2


def test_the_same_scores_give_the_same_interval_and_the_scale_does_not_matter():
    first, second, scaled = (aggregate(list(x.T), "iqm") for x in (A, A, 1e3 * A))
    assert first == second
    assert scaled.ci95 == pytest.approx([1e3 * x for x in first.ci95])


@pytest.mark.trap(43)
@pytest.mark.parametrize(("n", "least"), [(2, 0.86), (3, 0.89), (5, 0.92), (10, 0.93)])
@pytest.mark.parametrize("truths", [[0.5], [0.75], [0.95], [0.5, 0.9], [0.3, 0.6, 0.99]])
def test_the_interval_of_an_improvement_covers(truths, n, least):
    """1,000 comparisons of n normal scores each: the interval holds the true P(X > Y).

    The stratified bootstrap's holds it in 79 % at P = ½ and n = 3, in 44 % at P = 0.9.
    """
    rng = np.random.default_rng(n)
    shift = np.sqrt(2) * norm.ppf(truths)  # of a normal score, for P(X > Y) to be that
    known, held = {}, 0
    for _ in range(1000):
        x, y = shift[:, None] + rng.normal(size=(len(truths), n)), rng.normal(size=(len(truths), n))
        value = round(float(np.mean([(a[:, None] > b).mean() for a, b in zip(x, y, strict=True)])), 9)
        if value not in known:  # it depends on nothing else
            known[value] = probability_of_improvement(list(x), list(y)).ci95
        held += known[value][0] <= np.mean(truths) <= known[value][1]
    assert held / 1000 >= least


@pytest.mark.trap(43)
@pytest.mark.parametrize("name", ["iqm", "mean"])
@pytest.mark.parametrize(("environments", "n"), [(1, 3), (2, 3), (2, 5), (5, 3), (5, 10)])
def test_the_interval_of_an_aggregate_covers(monkeypatch, name, environments, n):
    """600 comparisons: 95 % of the intervals hold the statistic's mean; of percentile bootstraps 75 to 90 % do."""
    monkeypatch.setattr(reliability, "RESAMPLES", 300)
    rng = np.random.default_rng(10 * environments + n)
    centres = np.linspace(0.2, 1.1, environments)[:, None]
    statistic = reliability.AGGREGATES[name]
    truth = np.mean(statistic(list(centres[:, None] + 0.1 * rng.normal(size=(environments, 20_000, n)))))
    held = 0
    for _ in range(600):
        low, high = aggregate(list(centres + 0.1 * rng.normal(size=(environments, n))), name).ci95
        held += low <= truth <= high
    assert held / 600 >= 0.925  # 95 % less 2.5 standard errors


@pytest.mark.trap(43)
@pytest.mark.parametrize(("truths", "n"), [([0.5], 5), ([0.9], 5), ([0.2, 0.9], 3), ([0.05, 0.5, 1.0], 10)])
def test_the_band_of_a_profile_covers(truths, n):
    """2,000 comparisons of n runs on each environment, of which so many score more than τ."""
    rng = np.random.default_rng(n)
    held = 0
    for _ in range(2000):
        scores = [(rng.random(n) < truth).astype(float) for truth in truths]
        _, low, high = performance_profile(scores, np.array([0.5]))
        held += low[0] <= np.mean(truths) <= high[0]
    assert held / 2000 >= 0.91  # Wilson's coverage swings about 95 %, by as few values as there are
