"""Where metrics go while training.

Read ``base`` (the protocol), ``jsonl``, ``tensorboard``, ``terminal``, and ``run_logger``, which feeds them all.
"""

from proximax.loggers.base import Callback, Rows
from proximax.loggers.run_logger import RunLogger
from proximax.loggers.terminal import sparkline

__all__ = [
    "Callback",
    "Rows",
    "RunLogger",
    "sparkline",
]
