"""Returns over seeds: mean, interquartile mean, bootstrap interval."""

from typing import NamedTuple

import numpy as np


class Summary(NamedTuple):
    """Statistics of one number per seed."""

    mean: float
    iqm: float
    ci95: tuple[float, float] | None  # of the interquartile mean; None with a single seed


def interquartile_mean(x: np.ndarray) -> np.ndarray:
    """Mean of the last axis without its lowest and highest quarter (floor(n / 4) values each).

    Source: Agarwal et al. 2021 (arXiv 2108.13264), section 4.
    """
    quarter = x.shape[-1] // 4
    return np.mean(np.sort(x, axis=-1)[..., quarter : x.shape[-1] - quarter], axis=-1)


def summarise_returns(per_seed: np.ndarray, resamples: int = 10_000) -> Summary:
    """Mean and interquartile mean over seeds, with the 95 % percentile-bootstrap interval of the latter."""
    values = np.asarray(per_seed, np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        return Summary(float("nan"), float("nan"), None)
    ci95 = None
    if values.size > 1:
        samples = np.random.default_rng(0).integers(0, values.size, (resamples, values.size))
        low, high = np.percentile(interquartile_mean(values[samples]), [2.5, 97.5])
        ci95 = (float(low), float(high))
    return Summary(float(values.mean()), float(interquartile_mean(values)), ci95)
