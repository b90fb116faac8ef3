"""Which loggers a run has, by name or made by the user."""

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from proximax.config import shown
from proximax.errors import DependencyError, UsageError
from proximax.loggers.base import Log, LoggedRun, Logger, LoggerMaker, LoggerName
from proximax.loggers.csv_logger import CsvLogger
from proximax.loggers.tensorboard import TensorBoardLogger, tensorboard_installed
from proximax.loggers.trackers import TrackerLogger

LOGGERS: dict[LoggerName, LoggerMaker] = {
    "csv": CsvLogger,
    "tensorboard": TensorBoardLogger,
    "wandb": partial(TrackerLogger, "wandb"),
    "trackio": partial(TrackerLogger, "trackio"),
}
MODULES: dict[LoggerName, str] = {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio"}
IN_DIRECTORY: tuple[LoggerName, ...] = ("csv", "tensorboard")  # those that write into the run directory


def log_problem(log: Any) -> str:
    """What is wrong with the argument ``log``; "" if nothing is."""
    if log is None:
        return ""
    names = get_args(LoggerName)
    one_by_one = isinstance(log, Sequence) and not isinstance(log, str)
    wrong = [x for x in log if not (x in names if isinstance(x, str) else callable(x))] if one_by_one else [log]
    if wrong:
        return f"log = {shown(wrong[0])}: must be a list of {', '.join(names)}, or functions that make a Logger"
    return ""


def check_log(log: Log, out: str | Path | None) -> None:
    """Refuse loggers that are not installed, or have no directory to write to."""
    for name in log or ():
        if not isinstance(name, str):
            continue
        if (module := MODULES.get(name)) and find_spec(module) is None:
            raise DependencyError(f'log = {name} needs {module}: pip install "proximax[{name}]"')
        if name in IN_DIRECTORY and out is None:
            raise UsageError(f"log = {name}: its file is in the run directory; name one with out")


def make_loggers(log: Log, run: LoggedRun) -> list[Logger]:
    """The loggers that were asked for, opened."""
    if log is None:
        log = ["tensorboard"] if run.directory and tensorboard_installed() else []
    return [(LOGGERS[each] if isinstance(each, str) else each)(run) for each in log]
