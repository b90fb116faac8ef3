"""How programs of tests are compiled: most run for less time than it takes to optimise them."""

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
from jax._src import compiler

# By default XLA builds a compiler for each loop, 40 % of the time that a test's programs take, and divides each program
# into 32 parts, 20 % of the rest.
USERS = {"xla_cpu_use_fusion_emitters": True, "xla_cpu_parallel_codegen_split_count": 32}
TESTS = {"xla_cpu_use_fusion_emitters": "false", "xla_cpu_parallel_codegen_split_count": 1}
options_of_tests = compiler.get_compile_options


def known_to_xla(flags: Iterable[str]) -> bool:
    """Whether the XLA that is installed has these flags: it ends a process that is given an unknown one."""
    environment = os.environ | {"XLA_FLAGS": " ".join(flags), "JAX_PLATFORMS": "cpu"}
    tried = subprocess.run([sys.executable, "-c", "import jax; jax.devices()"], env=environment, capture_output=True)
    return tried.returncode == 0


def flags_of_users() -> list[str]:
    """What the environment says to XLA, but for the flags of tests."""
    return [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag not in QUICK]


QUICK = [f"--{name}={value}" for name, value in TESTS.items()]
# Set now: XLA reads its flags with the first program. Workers of pytest-xdist inherit them.
KNOWN = QUICK[0] in os.environ.get("XLA_FLAGS", "").split() or known_to_xla(QUICK)
if KNOWN:
    os.environ["XLA_FLAGS"] = " ".join([*flags_of_users(), *QUICK])


# XLA frees what a program took to compile in many small pieces. glibc puts together those of its fast bins again and
# again: a sixth of the time of compiling, and more, the more programs there were before.
M_MXFAST = 1
with contextlib.suppress(AttributeError, OSError):  # another C library
    ctypes.CDLL(None).mallopt(M_MXFAST, 0)


def options_of_users(*arguments: Any, env_options_overrides: Any = None, **settings: Any) -> Any:
    """The options of a program, whatever the flags of this process are."""
    return options_of_tests(*arguments, env_options_overrides={**USERS, **(env_options_overrides or {})}, **settings)


def compile_quickly(quickly: bool) -> None:
    """From now on, here and in the processes that are started; or as users do."""
    if os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "") != str(int(quickly)):
        jax.clear_caches()  # JAX's own operations, too, are of the other kind
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(quickly))
    jax.config.update("jax_disable_most_optimizations", quickly)
    os.environ["XLA_FLAGS"] = " ".join([*flags_of_users(), *(QUICK if quickly and KNOWN else [])])
    # This process has read its flags; only options of a program take precedence.
    compiler.get_compile_options = options_of_tests if quickly or not KNOWN else options_of_users


def keep_programs(root: Path) -> None:
    """Keep compiled programs, unless the environment says where; the processes that are started inherit it."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    from proximax.runtime.compilation import MAX_CACHE_BYTES, cache_folder, prune  # jaxtyping watches it by now

    processor = cache_folder().name.removeprefix("xla-")
    folder = root / ".pytest_cache" / "jax" / f"{jax.lib.__version__}-{processor}"
    folder.mkdir(parents=True, exist_ok=True)
    prune(folder, MAX_CACHE_BYTES)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
