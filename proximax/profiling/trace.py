"""A trace of training: when which operation ran, as JAX's profiler sees it, for https://ui.perfetto.dev."""

import time
from contextlib import ExitStack
from pathlib import Path

import jax

from proximax.runtime import compilation

TRACE_SECONDS = 0.2  # the profiler keeps a million events
NAME_OPERATIONS = "xla_cpu_enable_xprof_traceme"  # without it a compiled program is one block; with it, it is slower


class Tracer:
    """Traces some training once everything is compiled; to ``folder / "trace.json.gz"``, nothing without one."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._began, self._options = folder, 0.0, ExitStack()
        if folder is not None:  # for what is compiled from now on, until ``close``
            self._options.enter_context(compilation.extra_cpu_options({NAME_OPERATIONS: True}))

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
        if self._folder is None:
            return
        self._options.close()
        if self._began:
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
