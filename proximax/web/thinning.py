"""As many points as a screen has: smallest, mean and largest value in each column of pixels. No spike is lost."""

from typing import Any, NamedTuple

import numpy as np

DIGITS = 5  # significant ones of what is sent


class Thinned(NamedTuple):
    """A curve on a grid: entry i is of x in ``[place[i], place[i] + 1) * step``. Empty columns are left out."""

    place: np.ndarray
    low: np.ndarray
    mean: np.ndarray
    high: np.ndarray


def grid_step(extent: float, width: int) -> float:
    """The width of a column, a power of two: at most ``width`` of them cover ``extent``.

    It changes only when the run has become twice as long: columns that are complete stay as they are.
    """
    return float(2.0 ** np.ceil(np.log2(extent / width))) if extent > 0 else 1.0


def thin_out(x: np.ndarray, low: np.ndarray, mean: np.ndarray, high: np.ndarray, step: float) -> Thinned:
    """The columns of a curve ``[n]``, each with the least ``low``, the mean of ``mean`` and the greatest ``high``.

    NaN is not a value; a column without one is left out.
    """
    known = np.isfinite(x) & np.isfinite(mean)
    x, low, mean, high = x[known], low[known], mean[known], high[known]
    if (np.diff(x) < 0).any():  # no run writes that, but a file may hold it
        order = np.argsort(x, kind="stable")
        x, low, mean, high = x[order], low[order], mean[order], high[order]
    column = np.floor(x / step).astype(np.int64)
    if not len(column):
        return Thinned(column, low, mean, high)
    starts = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
    counts = np.diff(starts, append=len(column))
    return Thinned(
        column[starts],
        np.minimum.reduceat(low, starts),
        np.add.reduceat(mean, starts) / counts,
        np.maximum.reduceat(high, starts),
    )


def smooth(x: np.ndarray, window: int) -> np.ndarray:
    """``[..., n]``: the mean of the latest ``window`` values that are known; NaN where none is."""
    if window <= 1:
        return x
    known = np.isfinite(x)
    totals, counts = (np.cumsum(values, axis=-1, dtype=np.float64) for values in (np.where(known, x, 0.0), known))
    totals[..., window:], counts[..., window:] = (
        totals[..., window:] - totals[..., :-window],
        counts[..., window:] - counts[..., :-window],
    )
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def rounded(x: np.ndarray) -> list[Any]:
    """``DIGITS`` significant digits, None for what is not finite: short in JSON."""
    x = np.asarray(x, np.float64)
    usable = np.isfinite(x) & (x != 0)
    exponent = DIGITS - 1 - np.floor(np.log10(np.abs(np.where(usable, x, 1.0))))
    up, down = 10.0 ** np.maximum(exponent, 0), 10.0 ** np.maximum(-exponent, 0)
    short = np.where(usable, np.round(x * up / down) / up * down, x)
    values: list[Any] = short.tolist()
    return values if np.isfinite(x).all() else [value if value - value == 0 else None for value in values]
