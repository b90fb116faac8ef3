"""Where metrics go while training.

Read ``base`` (the protocol), ``jsonl``, ``tensorboard``, ``terminal`` with ``progress`` (lines) and ``table``, and
``run_logger``, which feeds them all.
"""

from proximax.loggers.base import Callback, Rows, Verbosity, group_of
from proximax.loggers.run_logger import RunLogger
from proximax.loggers.terminal import sparkline

__all__ = [
    "Callback",
    "Rows",
    "RunLogger",
    "Verbosity",
    "group_of",
    "sparkline",
]
