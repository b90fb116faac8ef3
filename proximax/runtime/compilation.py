"""How programs are compiled: CPU options, the cache of compiled programs, the number of devices."""

import hashlib
import importlib
import os
import platform
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

Options = Mapping[str, bool | int | str]

# On CPU: 512-bit vectors where the machine has them, and operations in program order. The scheduler that looks for
# operations to run concurrently is off: they are too short to be worth handing to another thread. Learning from gymnax
# CartPole-v1, 4 environments x 128 steps: 1.52 ms -> 1.23 ms; acting 0.77 -> 0.62.
CPU_OPTIONS: Options = MappingProxyType(
    {"xla_cpu_prefer_vector_width": 512, "xla_cpu_enable_concurrency_optimized_scheduler": False}
)
# For programs with the environments outside their loops: CartPole-v1's compile in 1.2 s instead of 1.5 s and run as
# fast. A program that contains its environments would run 8 % slower.
FAST_COMPILE_OPTIONS: Options = MappingProxyType({"xla_backend_optimization_level": 2})
GPU_REPEATABLE_FLAGS = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
_NO_OPTIONS: Options = MappingProxyType({})
_EXTRA_OPTIONS: ContextVar[Options] = ContextVar("extra CPU compiler options", default=_NO_OPTIONS)
CHECKED = ".checked"  # a file in the cache, of the time when its programs were looked at
ZSTANDARD = b"\x28\xb5\x2f\xfd"  # what its files begin with; JAX uses it where it is installed, else zlib
MAX_CACHE_BYTES = 512 * 2**20  # the oldest programs beyond this are removed


def jit(function: Callable[..., Any], fast_compile: bool = False, **settings: Any) -> jax.stages.Wrapped:
    """``jax.jit`` with the options above, for the default backend; ``fast_compile``: with less optimisation.

    On accelerators, matrix products are in full float32 unless JAX's ``jax_default_matmul_precision`` says otherwise.
    """
    if jax.default_backend() != "cpu":
        return jax.jit(with_full_precision(function), **settings)
    return jax.jit(function, compiler_options=cpu_options(fast_compile), **settings)


def with_full_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as it is traced with matrix products in full float32.

    An accelerator's default is faster and keeps 11 of float32's 24 significant bits (TF32): acting and learning, with
    batches of different sizes, then disagree on the probability of an action, and the first ratio is not 1.
    """

    @wraps(function)
    def precise(*arguments: object, **named: object) -> Any:
        with jax.default_matmul_precision(jax.config.values["jax_default_matmul_precision"] or "highest"):
            return function(*arguments, **named)

    inner = function
    while isinstance(inner, partial):
        inner = inner.func
    precise.__name__ = getattr(inner, "__name__", "precise")  # of the program, in traces and in the cache
    return precise


def repeatability_notes() -> list[str]:
    """What must hold on this device for a run to give the same bits in another process; nothing on CPU.

    XLA times several kernels for each product on a GPU and takes the fastest, which differs from process to process.
    """
    if jax.default_backend() != "gpu" or "xla_gpu_autotune_level=0" in os.environ.get("XLA_FLAGS", ""):
        return []
    return [
        "on a GPU the same bits in another process (resume, repeat) are certain only with "
        f'XLA_FLAGS="{GPU_REPEATABLE_FLAGS}", which took 16 % longer on an H200'
    ]


def cpu_options(fast_compile: bool = False) -> dict[str, bool | int | str]:
    """The compiler options that ``jit`` passes on CPU now."""
    fast = FAST_COMPILE_OPTIONS if fast_compile and not jax.config.values["jax_disable_most_optimizations"] else {}
    return {**CPU_OPTIONS, **fast, **_EXTRA_OPTIONS.get()}


@contextmanager
def extra_cpu_options(options: Options) -> Iterator[None]:
    """Compile what ``jit`` is given inside this context with these options too."""
    token = _EXTRA_OPTIONS.set({**_EXTRA_OPTIONS.get(), **options})
    try:
        yield
    finally:
        _EXTRA_OPTIONS.reset(token)


def prepare(seeds: int, shards: int = 1) -> None:
    """Configure JAX for a run of so many seeds and shards; call this before JAX computes anything."""
    use_compilation_cache()
    if shards > 1:
        # XLA divides a product among its threads, and rounds by how many there are; it takes this for their number when
        # JAX starts. So it is the same in every process, whatever share of the cores and of the shards that has.
        os.environ["NPROC"] = str(shards)
        if not jax.distributed.is_initialized():
            use_cpu_devices(shards)
    elif seeds > 1:
        use_cpu_devices(len(usable_cores()))


def use_cpu_devices(number: int) -> None:
    """CPU devices for shards, or one per core over which seeds can be divided; no effect once JAX has computed."""
    try:
        jax.config.update("jax_num_cpu_devices", number)
    except RuntimeError:
        return


def disable_async_dispatch() -> None:
    """Let JAX run CPU programs in the calling thread: handing one to another thread takes 30 us.

    For acting on host environments; several devices would run one after the other. JAX reads this when it starts its
    CPU client; later it has no effect. ``JAX_CPU_ENABLE_ASYNC_DISPATCH`` takes precedence.
    """
    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        jax.config.update("jax_cpu_enable_async_dispatch", False)


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def use_compilation_cache() -> None:
    """Keep compiled programs in a folder of the user, so that the next run need not compile them again.

    ``JAX_COMPILATION_CACHE_DIR`` names another folder; ``JAX_ENABLE_COMPILATION_CACHE=0`` turns it off. Programs for
    another kind of processor are kept apart: they would not run. A folder that others could write to is not used, since
    its contents are executed.
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
        remove_damaged(folder)
    except OSError:  # no home directory, or it is not writable: compile every time
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    compilation_cache.reset_cache()  # JAX keeps the folder that it has opened
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def cache_folder() -> Path:
    """``~/.cache/proximax/xla-PROCESSOR``."""
    try:
        processor = next(
            x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith(("flags", "Features"))
        )
    except (OSError, StopIteration):
        processor = f"{platform.machine()} {platform.processor()}"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).absolute() / "proximax" / f"xla-{hashlib.sha256(processor.encode()).hexdigest()[:12]}"


def remove_damaged(folder: Path) -> None:
    """Remove programs that were truncated, by a kill or a full disk: JAX would never replace them.

    Looks at those written since the last time.
    """
    marker = folder / CHECKED
    since = marker.stat().st_mtime_ns if marker.exists() else 0
    marker.touch()
    for path in folder.glob("*-cache"):
        if path.stat().st_mtime_ns >= since and not is_whole(path.read_bytes()):
            path.unlink(missing_ok=True)


def is_whole(data: bytes) -> bool:
    """Whether a compressed program can be read back; True where this Python cannot tell."""
    if data[:4] == ZSTANDARD:
        return _is_whole_zstandard(data)
    decompressor = zlib.decompressobj()
    try:
        decompressor.decompress(data)
    except zlib.error:
        return False
    return decompressor.eof


def _is_whole_zstandard(data: bytes) -> bool:
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        return True
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    try:
        decompressor.decompress(data)
    except zstandard.ZstdError:
        return False
    return bool(decompressor.eof)


def prune(folder: Path, max_bytes: int) -> None:
    """Remove the oldest files until at most ``max_bytes`` bytes are left."""
    files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in folder.iterdir() if path.is_file())
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= max_bytes:
            return
        path.unlink(missing_ok=True)
        total -= size
