"""A trace of training: when which operation ran, as JAX's profiler sees it, for https://ui.perfetto.dev."""

import time
from pathlib import Path

import jax

TRACE_SECONDS = 0.2  # the profiler keeps a million events
# For what is to be traced: without it a compiled program is one block in the trace; with it, it is slower.
TRACE_OPTIONS = {"xla_cpu_enable_xprof_traceme": True}  # ``compilation.extra_cpu_options``


class Tracer:
    """Traces some training once everything is compiled; to ``folder / "trace.json.gz"``, nothing without one.

    The trace shows the operations of programs that were compiled with ``TRACE_OPTIONS``, others as one block.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._began = folder, 0.0

    def after_call(self) -> None:
        """Start after the first call, which compiles; stop when there is enough."""
        if self._folder is None:
            return
        if not self._began:
            self._began = time.perf_counter()
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
        elif time.perf_counter() - self._began > TRACE_SECONDS:
            self.close()

    def close(self) -> None:
        """Write the trace, if there is one."""
        if self._folder is not None and self._began:
            jax.profiler.stop_trace()
            written = next(self._folder.rglob("perfetto_trace.json.gz"))
            written.rename(self._folder / "trace.json.gz")
        self._folder = None


class CompileClock:
    """Counts the ``seconds`` that JAX spends tracing and compiling while it is entered."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def _add(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event.startswith("/jax/core/compile/"):
            self.seconds += duration_secs

    def __enter__(self) -> "CompileClock":
        jax.monitoring.register_event_duration_secs_listener(self._add)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._add)
