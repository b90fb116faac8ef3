"""Where rows of metrics go: a file, TensorBoard, the terminal. A logger gets the rows of each update."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from proximax.config import RunConfig

Rows = list[dict[str, Any]]
# Called with the rows of each update; a true result ends training after it.
Callback = Callable[[Rows], bool | None]
# What of a run is shown on stderr: warnings and errors; the progress too; and a table of the metrics.
Verbosity = Literal["quiet", "progress", "verbose"]

# The groups of the metrics, in TensorBoard and in the table of --verbose; those of neither are of the update ("train").
ROLLOUT_METRICS = (
    "return_last_100",
    "episode_return",
    "episode_length",
    "episodes",
    "truncations",
    "obs_abs_max_mean",
    "action_std",
    "actions_at_bounds",
    "memory_abs_max",
    "memory_kl",
    "fully_masked_index",
)
TIME_METRICS = ("update", "time_s", "steps")


class LoggedRun(NamedTuple):
    """What a logger is made for."""

    config: RunConfig
    directory: Path | None  # of the run; None: nothing is written to disk
    rows: Sequence[dict[str, Any]] = ()  # of an earlier part of the run, which is resumed
    steps: Sequence[int] | None = None  # of each seed, where the run is resumed from; None: it is new


class Logger:
    """Takes what there is to log, until it is closed. By itself each method does nothing: override what you need.

    One of your own: ``train(..., log=[MyLogger])``, a function of the ``LoggedRun`` that makes it; its class is one, if
    that is the only argument. What it raises ends the training.
    """

    def __init__(self, run: LoggedRun | None = None) -> None:
        """``run``: what is logged. One that needs nothing of it has no ``__init__`` of its own."""

    def write(self, rows: Rows) -> None:
        """Take an update: a row of metrics (``proximax.runs.metrics``) for each seed."""

    def write_evaluation(self, rows: Rows, final: bool) -> None:
        """Take an evaluation, a row for each seed, as in ``evaluations.jsonl``; ``final``: the one at the end."""

    def write_video(self, path: Path, steps: int) -> None:
        """Take a video of the first seed's policy after so many steps, an .mp4."""

    def close(self) -> None:
        """Training has ended, well or not."""


LoggerName = Literal["csv", "tensorboard", "wandb", "trackio"]
LoggerMaker = Callable[[LoggedRun], Logger]
# Names, and functions that make others; None: TensorBoard, where it is installed and the run has a directory.
Log = Sequence[LoggerName | LoggerMaker] | None


class Reporting(NamedTuple):
    """What is reported of a run while it trains: on stderr, and to which loggers."""

    verbosity: Verbosity
    log: Log


def group_of(metric: str) -> str:
    """``rollout``, ``time`` or ``train``."""
    return "rollout" if metric in ROLLOUT_METRICS else "time" if metric in TIME_METRICS else "train"
