"""JAX's settings: proximax computes with its own, and leaves those of the program that calls it as they were."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cache
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

logger = logging.getLogger(__name__)

CACHE_DIR = "jax_compilation_cache_dir"
# What proximax changes while it works; the number of devices stays where JAX has started with it.
CHANGED = (
    *(CACHE_DIR, "jax_persistent_cache_min_compile_time_secs", "jax_persistent_cache_min_entry_size_bytes"),
    *("jax_cpu_enable_async_dispatch", "jax_num_cpu_devices"),
)


@contextmanager
def own_settings() -> Iterator[None]:
    """Within the block, and in this thread, JAX computes as proximax is written for; afterwards all is as before.

    32-bit numbers, standard promotion, no mesh, transfers allowed, and no error at a NaN: proximax looks for those
    itself.
    """
    values = jax.config.values
    before = {name: values[name] for name in CHANGED}
    with own_numbers():
        try:
            yield
        finally:
            restore(before)


@contextmanager
def own_numbers() -> Iterator[None]:
    """``own_settings`` for what changes nothing itself: a few microseconds."""
    contexts = foreign_settings()
    if not contexts:
        yield
        return
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def foreign_settings() -> list[AbstractContextManager[Any]]:
    """A context for each setting of the program that proximax does not work with; normally none."""
    config: Any = jax.config
    contexts: list[AbstractContextManager[Any]] = []
    if config.jax_enable_x64:
        contexts.append(jax.enable_x64(False))
        note_bits()
    if "strict" in str(config.jax_numpy_dtype_promotion).lower():
        contexts.append(jax.numpy_dtype_promotion("standard"))
    if config.jax_debug_nans:
        contexts.append(jax.debug_nans(False))
    if config.jax_debug_infs:
        contexts.append(jax.debug_infs(False))
    guards = (config.jax_transfer_guard, *(getattr(config, f"jax_transfer_guard_{way}") for way in WAYS))
    if any(guard not in (None, "allow") for guard in guards):
        contexts.append(jax.transfer_guard("allow"))
    if not jax.sharding.get_abstract_mesh().empty:
        contexts.append(jax.set_mesh(None))
    return contexts


WAYS = ("host_to_device", "device_to_device", "device_to_host")


@cache
def note_bits() -> None:
    """Say, once, what is done about 64 bits."""
    logger.info("jax_enable_x64 is set; proximax computes with 32 bits, and so do environments in JAX meanwhile")


def restore(before: dict[str, Any]) -> None:
    """Set again what was set before; JAX opens another folder of compiled programs only after ``reset_cache``."""
    values = jax.config.values
    moved = values[CACHE_DIR] != before[CACHE_DIR]
    for name, value in before.items():
        if values[name] != value:
            with suppress(RuntimeError):  # JAX has started, with that number of devices
                jax.config.update(name, value)
    if moved:
        compilation_cache.reset_cache()
