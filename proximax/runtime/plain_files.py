"""The door to the files of a run, which a stranger may have made: plain files inside it, and nothing else.

A link may lead to a file of the user's, a pipe or a device may never end, and a hard link is a file of another run too.
Whatever reads or writes inside a run directory asks here first.
"""

import io
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proximax.errors import CheckpointError, ProximaxError, StorageError, UsageError

MAX_SHOWN = 300  # characters of a path in a message

# Neither a link nor a pipe that took the file's place after it was looked at. Not on every system.
_GUARDED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def path_named(path: str | Path, name: str) -> Path:
    """``path``; "" is refused: it would be the working directory, but comes of a variable that is not set."""
    if str(path) == "":
        raise UsageError(f"{name} is empty: name a file or folder. Is a variable not set?")
    return Path(path)


def shorten(path: Path) -> str:
    """A path for a message."""
    text = str(path)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]}...{text[-MAX_SHOWN // 2 :]}"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` into a ``CheckpointError`` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{shorten(path)} cannot be read: {error.strerror or error}") from error


def refuse_link(path: Path, error: type[ProximaxError] = StorageError) -> None:
    """Refuse a symbolic link; what does not exist is fine."""
    if path.is_symlink():
        raise error(f"{path} is a symbolic link, which is not followed: put the file or folder itself there")


def refuse_special(path: Path) -> None:
    """Refuse what is neither a plain file nor a folder: ``StorageError``; what does not exist is fine."""
    refuse_link(path)
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe or device, whose end never comes
        raise StorageError(f"{path} is neither a file nor a folder: move it away")


def regular_size(path: Path) -> int:
    """The size of a plain file. Links may lead anywhere, and pipes and devices may not end: they are refused."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise CheckpointError(f"{path} is a symbolic link, which is not followed: replace it by the file")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} is not a file")
    return status.st_size


def open_plain(path: Path) -> io.BufferedReader:
    """A plain file to read. Raises ``CheckpointError`` for anything else, ``OSError`` where it cannot be opened."""
    regular_size(path)
    return io.BufferedReader(_open_regular(path, "rb", os.O_RDONLY, CheckpointError))


def open_to_append(path: Path) -> io.FileIO:
    """A plain file of this path alone, to append to without a buffer; created if it does not exist.

    One that is a hard link is copied first: what is written must not appear in the other place. Raises
    ``StorageError`` for anything but a plain file, ``OSError`` where it cannot be opened.
    """
    refuse_special(path)
    own_file(path)
    return _open_regular(path, "ab", os.O_WRONLY | os.O_APPEND | os.O_CREAT, StorageError)


def _open_regular(path: Path, mode: str, flags: int, error: type[ProximaxError]) -> io.FileIO:
    file = io.FileIO(os.open(path, flags | _GUARDED, 0o666), mode)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise error(f"{path} is not a file")
    return file


def own_file(path: Path) -> None:
    """Replace a hard link by a copy: the other names of the file keep what they have."""
    if not path.exists() or path.stat().st_nlink < 2:
        return
    copy = temporary_path(path)
    try:
        with open_plain(path) as source, copy.open("xb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        shutil.copymode(path, copy)
        copy.replace(path)
    finally:
        copy.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """A name beside ``path`` that no other process and no stranger's file has."""
    return path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")


def is_temporary(path: Path, name: str) -> bool:
    """Whether ``path`` is a ``temporary_path`` of a file ``name``, which a process that was killed left behind."""
    return path.name.startswith(f".{name}.") and path.name.endswith(f".tmp{Path(name).suffix}")
