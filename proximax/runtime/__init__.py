"""The machine underneath: files, messages, compilation, random keys, the version.

Read ``files`` (whole files or none), ``console`` (what is said to the user), ``compilation`` (how programs are
compiled and where compiled ones are kept), ``prng`` (keys without compiling), ``version``.
"""

from proximax.runtime import compilation
from proximax.runtime.compilation import CPU_OPTIONS, run_inline, usable_cores
from proximax.runtime.console import printable, say
from proximax.runtime.files import (
    MOST_BYTES,
    finite_or_none,
    json_bytes,
    read_json,
    regular_size,
    sha256,
    storing,
    sync_folder,
    write_json,
    write_through,
)
from proximax.runtime.prng import host_key, rolled, seed_key, split_on_host
from proximax.runtime.version import proximax_version

__all__ = [
    "CPU_OPTIONS",
    "MOST_BYTES",
    "compilation",
    "finite_or_none",
    "host_key",
    "json_bytes",
    "printable",
    "proximax_version",
    "read_json",
    "regular_size",
    "rolled",
    "run_inline",
    "say",
    "seed_key",
    "sha256",
    "split_on_host",
    "storing",
    "sync_folder",
    "usable_cores",
    "write_json",
    "write_through",
]
