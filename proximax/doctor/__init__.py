"""Read a run's metrics and name what is wrong.

Read ``diagnosis``, ``checks`` (one function per check), ``live`` (while training).
"""

from proximax.doctor.diagnosis import (
    CHECKS,
    SEVERITIES,
    Diagnosis,
    Finding,
    columns,
    diagnose_run,
    last_line,
    run_checks,
)
from proximax.doctor.live import LiveDoctor

__all__ = [
    "CHECKS",
    "SEVERITIES",
    "Diagnosis",
    "Finding",
    "LiveDoctor",
    "columns",
    "diagnose_run",
    "last_line",
    "run_checks",
]
