"""Two contestants' runs as pairs that followed one another: ratios, and how sure they are. Standard library only."""

import math
import random
import statistics
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

RESAMPLES = 10_000
LEVEL = 0.95
Run = dict[str, Any]


class Ratio(NamedTuple):
    """Of the pairs: median, least, most; and the interval of the median, None of fewer than two pairs."""

    median: float
    least: float
    most: float
    interval: tuple[float, float] | None


def number(x: float | None) -> float:
    """JSON's null stands for infinity: a goal not reached."""
    return math.inf if x is None else x


def pair_ratio(ours: Sequence[Run], others: Sequence[Run], key: str, inverse: bool) -> Ratio | None:
    """``ours[i][key] / others[i][key]`` over the pairs of which both finished; ``inverse``: upside down.

    Machines differ from minute to minute, so only runs that followed one another are divided. None: there is no pair.
    """
    pairs = [(a[key], b[key]) for a, b in zip(ours, others) if "failed" not in a and "failed" not in b]
    ratios = [divide(b, a) if inverse else divide(a, b) for a, b in pairs]
    ratios = [ratio for ratio in ratios if not math.isnan(ratio)]
    if not ratios:
        return None
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), bootstrap_interval(ratios))


def divide(a: float | None, b: float | None) -> float:
    """a / b; of two goals that were not reached NaN."""
    top, bottom = number(a), number(b)
    return math.nan if math.isinf(top) and math.isinf(bottom) else top / bottom


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The percentile bootstrap's interval of the median (Efron 1979); the same for the same values.

    Of few values all resamples are taken, else ``RESAMPLES`` random ones. It says how much the median depends on which
    pairs were run. Three pairs cannot give an interval of 95 %: theirs is from the least to the most, which holds the
    true median with a probability of 1 - 2 / 2³.
    """
    n = len(values)
    if n < 2:
        return None
    if n**n <= RESAMPLES:
        resamples = product(values, repeat=n)
        medians = sorted(statistics.median(sample) for sample in resamples)
    else:
        rng = random.Random(0)
        medians = sorted(statistics.median(rng.choices(values, k=n)) for _ in range(RESAMPLES))
    beyond = (1 - LEVEL) / 2
    return medians[math.floor(beyond * (len(medians) - 1))], medians[math.ceil((1 - beyond) * (len(medians) - 1))]
