"""Files that are written completely or not at all, and strict JSON."""

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proximax.errors import CheckpointError, StorageError
from proximax.runtime.plain_files import open_plain, shorten, temporary_path

MAX_BYTES, MAX_DEPTH, MAX_DIGITS = 2**24, 100, 300  # of a JSON file that is read, and of an integer in it
# Errors of systems that cannot sync a folder: on opening it, and on syncing it (network and FUSE file systems).
NO_FOLDER, NO_SYNC = (errno.EACCES, errno.EISDIR), (errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` into a ``StorageError`` that names ``path``."""
    try:
        yield
    except OSError as error:
        reason, remedy = error.strerror or error, "Choose another --out, or make room"
        if isinstance(error, (NotADirectoryError, FileExistsError)):
            file = next((part for part in (path, *path.parents) if part.is_file()), None)
            reason, remedy = (f"{shorten(file)} is a file", "Choose another --out") if file else (reason, remedy)
        raise StorageError(f"cannot write to {shorten(path)}: {reason}. {remedy}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write the whole file or leave the previous one, also if the machine stops in between."""
    temporary = temporary_path(path)
    try:
        write_through(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_through(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on disk. It must not exist, not even as a link to another place."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in this folder are on disk, where the file system supports that.

    Where it does not, the files that were written are accepted all the same.
    """
    try:
        folder = os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno in NO_FOLDER:
            return
        raise
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(folder)


def json_bytes(values: dict[str, Any]) -> bytes:
    """Strict JSON (no NaN), indented."""
    return (json.dumps(values, indent=2, allow_nan=False) + "\n").encode()


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Strict JSON, atomically. Raises ``StorageError``."""
    with storing(path):
        write_atomically(path, json_bytes(values))


def read_json(path: Path, missing: str) -> dict[str, Any]:
    """The object in an untrusted JSON file; ``missing``: the meaning of a missing file, for the error."""
    try:
        with open_plain(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise CheckpointError(f"{path} has {size:,} bytes; at most {MAX_BYTES:,} are read")
            text = file.read()
        values = json.loads(
            text,
            object_pairs_hook=_reject_duplicate_keys,
            parse_constant=_reject_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
        )
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: {missing}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    check_depth(path, values)
    return values


def check_depth(path: Path, values: object) -> None:
    """Refuse JSON that is nested too deeply for recursive functions."""
    level = [values]
    for _ in range(MAX_DEPTH):
        level = [
            part for x in level if isinstance(x, (dict, list)) for part in (x.values() if isinstance(x, dict) else x)
        ]
        if not level:
            return
    raise CheckpointError(f"{path} is nested more than {MAX_DEPTH} deep")


def _reject_duplicate_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without duplicate keys, of which readers would take different ones."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return values


def _parse_float(text: str) -> float:
    """A finite number; ``1e999`` would be read as infinity."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is too large a number")
    return value


def _parse_int(text: str) -> int:
    """An integer that a float can hold."""
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{text[:20]}... is too large a number")
    return int(text)


def _reject_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def sha256(data: bytes) -> str:
    """A checksum, against damage; it does not prove who wrote the file."""
    return hashlib.sha256(data).hexdigest()


def finite_or_none(x: float) -> float | None:
    """``x``, or None for NaN and infinity, which JSON does not have."""
    return float(x) if math.isfinite(x) else None
