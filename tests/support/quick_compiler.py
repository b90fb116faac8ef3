"""How programs of tests are compiled: most run for less time than it takes to optimise them."""

import mmap
import os
from pathlib import Path
from typing import Any

import jax
import jaxlib
from jax._src import compiler

# Without it, XLA builds a compiler for each loop, which takes 40 % of the time of a test's programs.
FUSION_EMITTERS = "xla_cpu_use_fusion_emitters"
QUICK = f"--{FUSION_EMITTERS}=false"
options_of_tests = compiler.get_compile_options


def is_flag_of_xla(name: str) -> bool:
    """Whether the XLA that is installed has this flag: it ends a process that is given an unknown one."""
    for library in Path(jaxlib.__file__).parent.glob("libjax_common.*"):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(name.encode()) >= 0
    return False


# Read now: XLA reads its flags with the first program. Workers of pytest-xdist inherit it.
KNOWN = QUICK in os.environ.get("XLA_FLAGS", "") or is_flag_of_xla(FUSION_EMITTERS)
if KNOWN:
    os.environ["XLA_FLAGS"] = " ".join([*os.environ.get("XLA_FLAGS", "").split(), QUICK])


def options_of_users(*arguments: Any, env_options_overrides: Any = None, **settings: Any) -> Any:
    """The options of a program, whatever the flags say."""
    overrides = {**(env_options_overrides or {}), FUSION_EMITTERS: True}
    return options_of_tests(*arguments, env_options_overrides=overrides, **settings)


def compile_quickly(quickly: bool) -> None:
    """From now on, here and in the processes that are started; or as users do."""
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(quickly))
    jax.config.update("jax_disable_most_optimizations", quickly)
    os.environ["XLA_FLAGS"] = " ".join([*flags(), QUICK] if quickly and KNOWN else flags())
    # This process has read its flags; only options of a program take precedence.
    compiler.get_compile_options = options_of_tests if quickly or not KNOWN else options_of_users


def flags() -> list[str]:
    """Those of the user for XLA."""
    return [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag != QUICK]
