"""How far a run has got, how fast it is and how long it will take, in one line."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from proximax.config import RunConfig
from proximax.loggers.base import Rows
from proximax.runtime import format_duration, format_number

SPEED_WINDOW_S = 10.0  # the latest seconds, of which the speed is
MIN_BAR, MAX_BAR = 8, 24  # columns


class Sample(NamedTuple):
    """A point of the run; ``steps`` are those of all seeds together."""

    time_s: float
    update: int
    steps: int


class SpeedMeter:
    """Speed over the latest seconds, by the rows' own ``time_s``. So a resumed run counts no steps of earlier parts.

    The time of the first update, which compiles, does not count.
    """

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, rows: Rows) -> None:
        """Take the rows of an update. Not each update's are needed."""
        sample = Sample(rows[0]["time_s"], rows[0]["update"], sum(row["steps"] for row in rows))
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].time_s <= sample.time_s - SPEED_WINDOW_S:
            self._samples.popleft()

    @property
    def steps_per_s(self) -> float | None:
        """Environment steps per second, all seeds together; None where too little is known."""
        return self._rate("steps")

    def seconds_left(self, updates: int) -> float | None:
        """Until the run has made so many updates, at the present speed; None where too little is known."""
        rate = self._rate("update")
        return (updates - self._samples[-1].update) / rate if rate else None

    def _rate(self, name: str) -> float | None:
        if len(self._samples) < 2:
            return None
        first, last = self._samples[0], self._samples[-1]
        seconds = last.time_s - first.time_s
        return (getattr(last, name) - getattr(first, name)) / seconds if seconds > 0 else None


class Spread(NamedTuple):
    """A number over seeds."""

    mean: float | None  # None where no seed has it
    low: float | None = None
    high: float | None = None

    @property
    def range(self) -> str:
        """`` (LOW to HIGH)``; "" where all seeds have the same, to the digits shown."""
        low, high = format_number(self.low), format_number(self.high)
        return "" if low == high else f" ({low} to {high})"


def spread(values: Sequence[float | None]) -> Spread:
    """Mean and range over the seeds that have a value."""
    numbers = [x for x in values if x is not None]
    return Spread(sum(numbers) / len(numbers), min(numbers), max(numbers)) if numbers else Spread(None)


def over_seeds(rows: Rows, name: str) -> Spread:
    """A metric over seeds."""
    return spread([row.get(name) for row in rows])


class Progress(NamedTuple):
    """What is shown of a run after an update."""

    update: int
    updates: int
    steps: int  # of each seed; the most of any
    time_s: float
    steps_per_s: float | None
    seconds_left: float | None
    score: Spread  # return_last_100
    kl: Spread
    entropy: Spread
    evaluation: Spread  # the mean return of the latest; of none, where there was none
    ended: bool  # no update follows: the run is complete, or has reached its goal

    @classmethod
    def after(
        cls, rows: Rows, config: RunConfig, meter: SpeedMeter, evaluation: Rows, ended: bool = False
    ) -> "Progress":
        """``meter``: has taken ``rows``. ``evaluation``: the rows of the latest, or none. ``ended``: ahead of time."""
        return cls(
            update=rows[0]["update"],
            updates=config.updates,
            steps=max(row["steps"] for row in rows),
            time_s=rows[0]["time_s"],
            steps_per_s=meter.steps_per_s,
            seconds_left=meter.seconds_left(config.updates),
            score=over_seeds(rows, "return_last_100"),
            kl=over_seeds(rows, "kl"),
            entropy=over_seeds(rows, "entropy"),
            evaluation=over_seeds(evaluation, "return_mean"),
            ended=ended or rows[0]["update"] >= config.updates,
        )

    @property
    def percent(self) -> str:
        """Rounded down: 100% is the end."""
        return f"{100 * self.update // self.updates}%"

    @property
    def speed(self) -> str:
        """Of all seeds together; "" where it is not known yet."""
        return "" if self.steps_per_s is None else f"{format_number(self.steps_per_s)} steps/s"

    @property
    def left(self) -> str:
        """Time left; "" where it is not known yet. After the last update the final evaluation follows."""
        if self.ended:
            return "evaluating"
        return "" if self.seconds_left is None else f"{format_duration(self.seconds_left)} left"


def return_text(score: Spread, with_range: bool = True) -> str:
    """``return 312.4 (287.1 to 341.0)``."""
    if score.mean is None:
        return "no episode finished"
    return f"return {format_number(score.mean)}{score.range if with_range else ''}"


def file_line(progress: Progress) -> str:
    """One line of a log file, in columns."""
    evaluation = progress.evaluation
    columns = [
        f"{format_duration(progress.time_s):>8} {progress.percent:>4} {progress.steps:>12,} steps",
        f"{return_text(progress.score):<14}",
        "" if evaluation.mean is None else f"evaluation {format_number(evaluation.mean)}",
        f"kl {format_number(progress.kl.mean):<8}",
        f"entropy {format_number(progress.entropy.mean):<6}",
        progress.speed,
        "" if progress.ended else progress.left,
    ]
    return "   ".join(filter(None, columns)).rstrip()


class Layout(NamedTuple):
    """What fits in a line of the terminal: the texts before and after a bar, and the bar's width, 0 for none."""

    before: str
    bar: int
    after: str


def terminal_line(progress: Progress, width: int) -> Layout:
    """The progress in at most ``width`` columns: what matters least is left out first."""
    score, short_score = return_text(progress.score), return_text(progress.score, with_range=False)
    ends, steps = [progress.speed, progress.left], f"{progress.steps:,} steps"
    choices = [
        (MIN_BAR, [steps, score, *ends]),
        (MIN_BAR, [score, *ends]),
        (0, [score, *ends]),
        (0, [short_score, *ends]),
        (0, [short_score, progress.left]),
        (0, [progress.left]),
    ]
    before = f"{progress.percent:>4}"
    for min_bar, texts in choices:
        after = "  ".join(filter(None, texts))
        room = width - len(before) - 2 - len(after)
        if room >= (min_bar and min_bar + 2):
            break
    return Layout(before, max(min(room - 2, MAX_BAR), 0) if min_bar else 0, after)
