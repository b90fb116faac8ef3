"""The loop around the learner: start, resume, evaluate, save, stop.

Read ``start`` (``train`` and ``run``), ``trainer`` (the loop), then what helps them: ``arguments``, ``resolve_config``,
``resume``, ``warm_start``, ``ranks`` (several processes), ``notes``, ``callbacks``, ``periodic_evaluation``,
``periodic_video``, ``interrupts``, ``crash_report``, ``result``.
"""

from proximax.training.callbacks import Schedule, Training, TrainingCallback
from proximax.training.crash_report import was_saved
from proximax.training.resolve_config import resolve
from proximax.training.result import Result
from proximax.training.resume import check_may_change
from proximax.training.start import run, train
from proximax.training.trainer import Trainer

__all__ = [
    "Result",
    "Schedule",
    "Trainer",
    "Training",
    "TrainingCallback",
    "check_may_change",
    "resolve",
    "run",
    "train",
    "was_saved",
]
