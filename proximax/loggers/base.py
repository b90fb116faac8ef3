"""Where rows of metrics go: a file, TensorBoard, the terminal. A logger gets the rows of each update."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

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


class Logger(Protocol):
    """Takes rows until it is closed."""

    def write(self, rows: Rows) -> None: ...  # noqa: D102

    def write_evaluation(self, rows: Rows, final: bool) -> None:
        """Take an evaluation, a row for each seed, as in ``evaluations.jsonl``; ``final``: the one at the end."""

    def close(self) -> None: ...  # noqa: D102


def group_of(metric: str) -> str:
    """``rollout``, ``time`` or ``train``."""
    return "rollout" if metric in ROLLOUT_METRICS else "time" if metric in TIME_METRICS else "train"
