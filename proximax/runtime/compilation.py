"""How programs are compiled: options for the CPU, where compiled programs are kept, how many devices there are."""

import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

# On CPU. Vectors of 512 bits where the machine has them, and operations in the order of the program, without looking
# for some to run at the same time: they are too short to be worth handing to another thread. Learning from gymnax
# CartPole-v1, 4 environments x 128 steps: 1.52 ms -> 1.23 ms; acting 0.77 -> 0.62.
CPU_OPTIONS: dict[str, bool | int] = {
    "xla_cpu_prefer_vector_width": 512,
    "xla_cpu_enable_concurrency_optimized_scheduler": False,
}
# Of programs outside of whose loops the environments are: compiling CartPole-v1's takes 1.2 s so, 1.5 s otherwise, and
# they run as fast. One that holds its environments loses 8 %.
FAST_COMPILE_OPTIONS: dict[str, bool | int] = {"xla_backend_optimization_level": 2}
MAX_CACHE_BYTES = 512 * 2**20  # the oldest programs beyond this are removed


def jit(function: Callable[..., Any], sooner: bool = False, **settings: Any) -> Callable[..., Any]:
    """``jax.jit`` with the options above, for the default backend; ``sooner``: compiled with less effort."""
    if jax.default_backend() != "cpu":
        return jax.jit(function, **settings)
    return jax.jit(function, compiler_options=CPU_OPTIONS | (FAST_COMPILE_OPTIONS if sooner else {}), **settings)


def prepare(seeds: int) -> None:
    """What is to be settled before JAX computes anything, for a run of so many seeds."""
    use_compilation_cache()
    if seeds > 1:
        use_cpu_devices()


def use_cpu_devices() -> None:
    """One CPU device per core, so that seeds can be shared out among them; without effect once JAX has computed."""
    try:
        jax.config.update("jax_num_cpu_devices", len(usable_cores()))
    except RuntimeError:
        return


def disable_async_dispatch() -> None:
    """Let JAX run CPU programs in the calling thread: handing each to another thread takes 30 us.

    For acting on host environments; several devices would work one after the other. JAX reads this when it starts its
    CPU client; later it has no effect. ``JAX_CPU_ENABLE_ASYNC_DISPATCH`` goes first.
    """
    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        jax.config.update("jax_cpu_enable_async_dispatch", False)


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def use_compilation_cache() -> None:
    """Keep compiled programs in a folder of the user's own, so that the next run need not compile them again.

    ``JAX_COMPILATION_CACHE_DIR`` names another folder; ``JAX_ENABLE_COMPILATION_CACHE=0`` turns it off. Programs of
    another kind of processor are kept apart: they would not run. A folder that others could write to is not used, since
    what it holds is executed.
    """
    values = jax.config.values
    if values["jax_compilation_cache_dir"] or not values["jax_enable_compilation_cache"]:
        return
    try:
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            return
        prune(folder, MAX_CACHE_BYTES)
    except OSError:  # no home, or it cannot be written to: compile every time
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def cache_folder() -> Path:
    """``~/.cache/proximax/xla-PROCESSOR``."""
    try:
        facts = next(x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        facts = f"{platform.machine()} {platform.processor()}"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "proximax" / f"xla-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def prune(folder: Path, most: int) -> None:
    """Remove the files written longest ago until at most ``most`` bytes are left."""
    files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in folder.iterdir() if path.is_file())
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= size
