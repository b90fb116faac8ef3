"""How small programs run on a CPU. None of it changes a number; acting calls one such program at every step."""

import os
from functools import cache

import jax

# By default XLA orders a program so that its parts could run side by side, and then hands them to a pool of threads.
# For 8 HalfCheetah environments (jax 0.10.2, 2 cores) acting takes 50 us so, 25 us in one order; learning 22 and 17 ms.
ONE_ORDER: dict[str, bool | int | float | str] = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def run_inline() -> None:
    """Let JAX run CPU programs in the calling thread: handing each to another thread takes 30 us.

    JAX reads this when it starts its CPU client; later it has no effect. ``JAX_CPU_ENABLE_ASYNC_DISPATCH`` goes first.
    """
    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        jax.config.update("jax_cpu_enable_async_dispatch", False)


@cache
def one_order() -> dict[str, bool | int | float | str] | None:
    """``compiler_options`` of ``jax.jit`` for programs of many small parts; None where this XLA does not know them."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=ONE_ORDER).lower().compile()
    except jax.errors.JaxRuntimeError:
        return None
    return ONE_ORDER
