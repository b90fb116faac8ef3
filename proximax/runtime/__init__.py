"""The machine: files, messages, compilation, random keys, the version.

Read ``plain_files`` (the door to files that a stranger may have made), ``files`` (atomic writes, strict JSON),
``console`` (messages on a terminal), ``formatting`` (numbers and durations as text), ``forking`` (what a forked child
must not keep), ``compilation`` (compiler options and the cache of compiled programs), ``jax_settings`` (those of the
user), ``machine`` (what a run was computed with), ``named_arrays`` (trees in files), ``prng`` (keys without compiling),
``seed_sharding`` (seeds on devices), ``shard_placement`` (shards on devices), ``user_functions`` (called by name),
``version``.
"""

from proximax.runtime import compilation
from proximax.runtime.compilation import disable_async_dispatch, usable_cores
from proximax.runtime.console import (
    DOCTOR,
    PROGRESS,
    SIGNALS,
    can_encode,
    is_terminal,
    lenient_output,
    printable,
    show_messages,
    write_stderr,
)
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
from proximax.runtime.forking import close_private, forget_private, keep_from_children, refuse_fork
from proximax.runtime.formatting import format_duration, format_number, plural
from proximax.runtime.jax_settings import own_numbers, own_settings
from proximax.runtime.machine import library_version, machine_facts
from proximax.runtime.named_arrays import check_no_extra_arrays, is_key, named_leaves, restore_tree
from proximax.runtime.plain_files import (
    is_temporary,
    open_plain,
    open_to_append,
    own_file,
    path_named,
    reading,
    refuse_link,
    refuse_special,
    regular_size,
    shorten,
    temporary_path,
)
from proximax.runtime.prng import as_threefry2x32, key_from_data, seed_key, split_on_host
from proximax.runtime.seed_sharding import SEEDS_SPEC, map_over_seeds, seed_sharding, shard_over_devices, vmap_seeds
from proximax.runtime.shard_placement import (
    SHARD_OPTIONS,
    SHARDS,
    from_processes,
    gather_shards,
    join_parts,
    largest,
    local_shards,
    map_over_shards,
    on_this_device,
    place_parts,
    place_whole,
    whole,
)
from proximax.runtime.user_functions import call_user_function, kind_of
from proximax.runtime.version import proximax_version

__all__ = [
    "DOCTOR",
    "MAX_BYTES",
    "PROGRESS",
    "SEEDS_SPEC",
    "SHARDS",
    "SHARD_OPTIONS",
    "SIGNALS",
    "as_threefry2x32",
    "call_user_function",
    "can_encode",
    "check_no_extra_arrays",
    "close_private",
    "compilation",
    "disable_async_dispatch",
    "finite_or_none",
    "forget_private",
    "format_duration",
    "format_number",
    "from_processes",
    "gather_shards",
    "is_key",
    "is_temporary",
    "is_terminal",
    "join_parts",
    "json_bytes",
    "keep_from_children",
    "key_from_data",
    "kind_of",
    "largest",
    "lenient_output",
    "library_version",
    "local_shards",
    "machine_facts",
    "map_over_seeds",
    "map_over_shards",
    "named_leaves",
    "on_this_device",
    "open_plain",
    "open_to_append",
    "own_file",
    "own_numbers",
    "own_settings",
    "path_named",
    "place_parts",
    "place_whole",
    "plural",
    "printable",
    "proximax_version",
    "read_json",
    "reading",
    "refuse_fork",
    "refuse_link",
    "refuse_special",
    "regular_size",
    "restore_tree",
    "seed_key",
    "seed_sharding",
    "sha256",
    "shard_over_devices",
    "shorten",
    "show_messages",
    "split_on_host",
    "storing",
    "sync_folder",
    "temporary_path",
    "usable_cores",
    "vmap_seeds",
    "whole",
    "write_atomically",
    "write_json",
    "write_stderr",
    "write_through",
]
