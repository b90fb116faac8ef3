"""Where metrics go while training.

Read ``base`` (the protocol), ``jsonl``, ``csv_logger``, ``tensorboard``, ``trackers`` (W&B, trackio), ``selection`` (by
name), ``terminal`` with ``progress`` (lines) and ``table``, and ``run_logger``, which feeds them all.
"""

from proximax.loggers.base import Callback, Log, LoggedRun, Logger, LoggerName, Reporting, Rows, Verbosity, group_of
from proximax.loggers.run_logger import RunLogger
from proximax.loggers.selection import check_log, log_problem
from proximax.loggers.terminal import sparkline

__all__ = [
    "Callback",
    "Log",
    "LoggedRun",
    "Logger",
    "LoggerName",
    "Reporting",
    "Rows",
    "RunLogger",
    "Verbosity",
    "check_log",
    "group_of",
    "log_problem",
    "sparkline",
]
