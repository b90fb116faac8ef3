"""Where the time of a run goes.

Read ``throughput`` (environments, acting and learning measured apart) and ``trace`` (when which operation ran).
"""

from proximax.profiling.throughput import ThroughputReport, bench, seconds_of
from proximax.profiling.trace import TRACE_OPTIONS, CompileClock, Tracer

__all__ = [
    "TRACE_OPTIONS",
    "CompileClock",
    "ThroughputReport",
    "Tracer",
    "bench",
    "seconds_of",
]
