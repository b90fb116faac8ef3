"""What the charts show: metrics of a run over steps or time, its seeds as a mean with a band, or each by itself."""

from functools import reduce
from typing import Any, Literal, NamedTuple

import numpy as np

from proximax.runs import METRICS
from proximax.web.metrics_reader import EXACT, HISTOGRAM, MetricsReader
from proximax.web.thinning import grid_step, rounded, smooth, thin_out

Axis = Literal["steps", "time"]
SPEED = "steps_per_s"
SPEED_UPDATES = 10  # over which speed is taken: within a call of the compiled program times are interpolated
CHARTED = (*(name for name in METRICS if name not in ("update", "seed", HISTOGRAM, "steps", "time_s")), SPEED)
MAX_WIDTH, MAX_WINDOW = 2000, 100_000
MAX_LINES = 16  # seeds that are shown one by one


class Wish(NamedTuple):
    """What a browser asks for; it is also the key under which answers are kept."""

    metrics: tuple[str, ...]
    axis: Axis = "steps"
    width: int = 600  # columns of pixels
    window: int = 1  # updates over which values are averaged
    each_seed: bool = False
    begin: float = 0.0  # of the part of the axis that is shown
    end: float = np.inf


class SeedTable(NamedTuple):
    """The updates that all seeds of a run have."""

    seeds: list[int]
    x: np.ndarray  # [n], of the axis
    rows: list[np.ndarray]  # which rows of each seed


def extent_of(reader: MetricsReader, axis: Axis) -> float:
    """How far a run has got on an axis."""
    name = "time_s" if axis == "time" else "steps"
    ends = [float(np.nanmax(columns.column(name), initial=0.0)) for columns in reader.seeds.values()]
    return max(ends, default=0.0)


def step_of(extents: list[float], wish: Wish) -> float:
    """The width of a column of the shared grid of several runs."""
    end = min(wish.end, max(extents, default=0.0))
    return grid_step(end - wish.begin, wish.width)


def table_of(reader: MetricsReader, wish: Wish) -> SeedTable:
    """The updates of all seeds within the part of the axis that is shown, and those just beside it."""
    seeds = sorted(reader.seeds)
    updates = [reader.seeds[seed].column("update") for seed in seeds]
    shared = reduce(np.intersect1d, updates) if updates else np.empty(0)
    if not len(shared):
        return SeedTable([], np.empty(0), [])
    rows = [np.searchsorted(x, shared) if (np.diff(x) > 0).all() else first_places(x, shared) for x in updates]
    name = "time_s" if wish.axis == "time" else "steps"
    x = np.mean([reader.seeds[seed].column(name)[row] for seed, row in zip(seeds, rows)], axis=0)
    return SeedTable(seeds, x, rows)


def first_places(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where each of ``values`` comes first in ``x``, which no run writes out of order, but a file may be."""
    unique, places = np.unique(x, return_index=True)
    return places[np.searchsorted(unique, values)]


def values_of(reader: MetricsReader, table: SeedTable, metric: str) -> np.ndarray:
    """``[S, n]``: a metric of the seeds; of ``SPEED`` ``[1, n]``, that of all seeds together."""
    columns = [(reader.seeds[seed], rows) for seed, rows in zip(table.seeds, table.rows)]
    if metric not in EXACT and metric != SPEED:
        return np.array([of.column(metric)[rows] for of, rows in columns], np.float64)
    steps = np.sum([of.column("steps")[rows] for of, rows in columns], axis=0)
    time_s = columns[0][0].column("time_s")[columns[0][1]]
    lag = min(SPEED_UPDATES, max(1, len(steps) - 1))
    speed = np.full((1, len(steps)), np.nan)
    passed = time_s[lag:] - time_s[:-lag]
    np.divide(steps[lag:] - steps[:-lag], passed, out=speed[0, lag:], where=passed > 0)
    return speed


def curves_of(reader: MetricsReader, wish: Wish, step: float) -> dict[str, Any]:
    """Every metric of a run that was asked for and logged: index, low, mean, high; and the seeds one by one."""
    table = table_of(reader, wish)
    if not table.seeds:
        return {}
    shown = np.flatnonzero((table.x >= wish.begin) & (table.x <= wish.end))
    part = slice(max(0, shown[0] - 1), shown[-1] + 2) if len(shown) else slice(0, 0)
    curves: dict[str, Any] = {}
    for metric in wish.metrics:
        values = smooth(values_of(reader, table, metric), wish.window)[:, part]
        known = np.isfinite(values)
        if not known.any():
            continue
        count = known.sum(axis=0)
        mean = np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
        low, high = np.where(known, values, np.inf).min(axis=0), np.where(known, values, -np.inf).max(axis=0)
        thin = thin_out(table.x[part], low, mean, high, step)
        curve: dict[str, Any] = {"index": thin.place.tolist()}
        curve |= {name: rounded(getattr(thin, name)) for name in ("low", "mean", "high")}
        if wish.each_seed and len(values) > 1:
            curve["seeds"] = each_seed(table.x[part], values[:MAX_LINES], step)
        curves[metric] = curve
    return curves


def each_seed(x: np.ndarray, values: np.ndarray, step: float) -> list[dict[str, Any]]:
    """The curve of each seed."""
    thinned = [thin_out(x, row, row, row, step) for row in values]
    return [{"index": thin.place.tolist(), "mean": rounded(thin.mean)} for thin in thinned]
