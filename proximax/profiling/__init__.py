"""Where the time of a run goes.

Read ``throughput`` (environments, acting and learning measured apart), ``trace`` (when which operation ran) and
``chunk_sizer`` (how many updates a call makes).
"""

from proximax.profiling.chunk_sizer import ChunkSizer
from proximax.profiling.throughput import ThroughputReport, bench, seconds_of
from proximax.profiling.trace import TRACE_OPTIONS, CompileClock, Tracer

__all__ = [
    "TRACE_OPTIONS",
    "ChunkSizer",
    "CompileClock",
    "ThroughputReport",
    "Tracer",
    "bench",
    "seconds_of",
]
