"""Statistics over several environments: performance profiles, probability of improvement, aggregate scores.

Point estimates are those of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv 2108.13264), section 4. Their intervals are percentiles of a stratified bootstrap, which are too narrow for few
seeds (of three seeds the 95 % interval of a mean holds it in 75 % of the cases, and where every seed of one algorithm
beats every seed of the other the interval of P(X > Y) is [1, 1]). The intervals here cover; the simulation is in
tests/reports/test_reliability.py.

``Scores``: for each environment an array with one number per seed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from proximax.evaluation import interquartile_mean, t_quantile

Scores = Sequence[np.ndarray]
RESAMPLES, MAX_DRAWN = 2000, 2**23  # bootstraps, and numbers in all of them together, of one environment
Z = 1.959964  # 97.5 % quantile of the normal distribution
GRID = np.linspace(0.0, 1.0, 2001)  # of probabilities, where the interval of one is looked for


class Estimate(NamedTuple):
    """A number and its 95 % interval, None where there are too few seeds for one."""

    value: float
    ci95: tuple[float, float] | None


def probability_of_improvement(x: Scores, y: Scores) -> Estimate:
    """P(X > Y): that a run of the one algorithm scores more than a run of the other, averaged over environments.

    Of each environment the share of pairs of seeds in which X is higher, ties counted half (Mann and Whitney's
    U / (n m)). Interval: all θ with (θ - θ̂)² <= z² V(θ) / K for K environments, with Hanley and McNeil's variance
    V(θ) = θ (1 - θ) / (n m) [1 + (N - 1) ((1 - θ) / (2 - θ) + θ / (1 + θ))], N = (n + m) / 2. From two seeds on.

    Sources: Agarwal et al. 2021, section 4.3; Newcombe 2006, Statistics in Medicine 25, 559-573, method 5. V is nearly
    concave, so an average over environments that differ has at most this variance.
    """
    shares = [_share_of_wins(a, b) for a, b in zip(x, y, strict=True)]
    value = float(np.mean(shares))
    if min(len(scores) for scores in (*x, *y)) < 2:
        return Estimate(value, None)
    variance = sum(_variance_of_share(GRID, len(a), len(b)) for a, b in zip(x, y)) / len(x) ** 2
    inside = GRID[(GRID - value) ** 2 <= Z**2 * variance]
    low, high = (round(float(x), 4) for x in (inside[0], inside[-1]))  # the digits that the grid has
    return Estimate(value, (min(low, value), max(high, value)))


def _share_of_wins(x: np.ndarray, y: np.ndarray) -> float:
    in_order = np.sort(y)
    below, not_above = (np.searchsorted(in_order, x, side) for side in ("left", "right"))
    return float(np.mean(below + not_above) / (2 * len(y)))


def _variance_of_share(theta: np.ndarray, n: int, m: int) -> np.ndarray:
    paired = (1 - theta) / (2 - theta) + theta / (1 + theta)
    return theta * (1 - theta) * (1 + ((n + m) / 2 - 1) * paired) / (n * m)


def performance_profile(scores: Scores, taus: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(fraction, low, high) ``[taus]``: the share of runs that score more than each τ, averaged over environments.

    Interval at each τ: Wilson's for as many independent runs, which are all seeds of all environments together. It is a
    little too wide where environments differ. Sources: Agarwal et al. 2021, section 4.2; Wilson 1927.
    """
    fraction = np.mean([(values[:, None] > taus).mean(axis=0) for values in scores], axis=0)
    runs = sum(map(len, scores))
    centre = (fraction + Z**2 / (2 * runs)) / (1 + Z**2 / runs)
    half = Z / (1 + Z**2 / runs) * np.sqrt(fraction * (1 - fraction) / runs + Z**2 / (4 * runs**2))
    return fraction, np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def mean_of_means(scores: Scores) -> np.ndarray:
    """Mean over environments of the mean over seeds (the last axis)."""
    return np.mean([x.mean(axis=-1) for x in scores], axis=0)


def median_of_means(scores: Scores) -> np.ndarray:
    """Median over environments of the mean over seeds."""
    return np.median([x.mean(axis=-1) for x in scores], axis=0)


def interquartile_mean_of_all(scores: Scores) -> np.ndarray:
    """Mean of all runs of all environments without the lowest and the highest quarter."""
    return interquartile_mean(np.concatenate(list(scores), axis=-1))


def optimality_gap(scores: Scores) -> np.ndarray:
    """1 - mean of min(score, 1): how far runs fall short of a score of 1."""
    return 1 - mean_of_means([np.minimum(x, 1.0) for x in scores])


AGGREGATES = {
    "iqm": interquartile_mean_of_all,
    "median": median_of_means,
    "mean": mean_of_means,
    "optimality_gap": optimality_gap,
}


def aggregate(scores: Scores, name: str) -> Estimate:
    """One of ``AGGREGATES`` of normalised scores, with a 95 % interval: estimate ± t s*.

    s*: standard deviation of the statistic over ``RESAMPLES`` stratified bootstraps, which draw the n seeds of each
    environment with replacement and stretch their distances from the mean by √(n / (n - 1)), since a resample of n
    varies that much too little. t: Student's quantile with Welch and Satterthwaite's degrees of freedom. From two seeds
    of each environment on. Sources: Agarwal et al. 2021, section 4.1; Davison and Hinkley 1997, Bootstrap Methods,
    chapter 2.3; Welch 1947.
    """
    statistic = AGGREGATES[name]
    value = float(statistic(scores))
    if min(map(len, scores)) < 2:
        return Estimate(value, None)
    generator = np.random.default_rng(0)  # the same numbers every time
    count = max(100, min(RESAMPLES, MAX_DRAWN // max(map(len, scores))))
    resamples = []
    for x in scores:
        n = len(x)
        drawn = x[generator.integers(0, n, (count, n))]
        resamples.append(x.mean() + math.sqrt(n / (n - 1)) * (drawn - x.mean()))
    half = t_quantile(degrees_of_freedom(scores)) * float(np.std(statistic(resamples), ddof=1))
    return Estimate(value, (value - half, value + half))


def degrees_of_freedom(scores: Scores) -> int:
    """Welch and Satterthwaite's of a sum of means, rounded down: (Σ v)² / Σ (v² / (n - 1)), v = s² / n."""
    variances = np.array([x.var(ddof=1) / len(x) for x in scores])
    seeds = np.array([len(x) for x in scores])
    if not variances.any():
        return int(seeds.min() - 1)
    variances = variances / variances.max()  # no overflow
    return max(1, int(variances.sum() ** 2 / (variances**2 / (seeds - 1)).sum() + 1e-9))


def normalised(scores: np.ndarray, low: float, high: float) -> np.ndarray:
    """(score - low) / (high - low)."""
    return (scores - low) / (high - low)
