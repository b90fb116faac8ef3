"""The machine: files, messages, compilation, random keys, the version.

Read ``plain_files`` (the door to files that a stranger may have made), ``files`` (atomic writes, strict JSON),
``console`` (messages on a terminal), ``compilation`` (compiler options and the cache of compiled programs), ``prng``
(keys without compiling), ``version``.
"""

from proximax.runtime import compilation
from proximax.runtime.compilation import disable_async_dispatch, usable_cores
from proximax.runtime.console import DOCTOR, PROGRESS, SIGNALS, printable, show_messages, write_stderr
from proximax.runtime.files import (
    MAX_BYTES,
    finite_or_none,
    json_bytes,
    read_json,
    sha256,
    storing,
    sync_folder,
    write_atomically,
    write_json,
    write_through,
)
from proximax.runtime.plain_files import (
    is_temporary,
    open_plain,
    open_to_append,
    own_file,
    refuse_link,
    refuse_special,
    regular_size,
    temporary_path,
)
from proximax.runtime.prng import as_threefry2x32, key_from_data, seed_key, split_on_host
from proximax.runtime.version import proximax_version

__all__ = [
    "DOCTOR",
    "MAX_BYTES",
    "PROGRESS",
    "SIGNALS",
    "as_threefry2x32",
    "compilation",
    "disable_async_dispatch",
    "finite_or_none",
    "is_temporary",
    "json_bytes",
    "key_from_data",
    "open_plain",
    "open_to_append",
    "own_file",
    "printable",
    "proximax_version",
    "read_json",
    "refuse_link",
    "refuse_special",
    "regular_size",
    "seed_key",
    "sha256",
    "show_messages",
    "split_on_host",
    "storing",
    "sync_folder",
    "temporary_path",
    "usable_cores",
    "write_atomically",
    "write_json",
    "write_stderr",
    "write_through",
]
