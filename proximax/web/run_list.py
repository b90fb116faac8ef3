"""Which runs there are below some folders, at any moment: they start, end, are renamed and deleted while one looks."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

MAX_DEPTH = 4  # of folders below one that is named, in which runs are looked for
MAX_FOLDERS = 20_000  # that are looked at
MAX_RUNS = 1000
SECONDS = 1.0  # for which a list is used again, however many viewers ask


class FoundRun(NamedTuple):
    """A run directory; the same run after it was renamed, as its device and inode are the same."""

    id: str  # what the page calls it: no path ever comes from a browser
    name: str  # relative to the folder that was named
    path: Path
    identity: tuple[int, int]

    @property
    def in_place(self) -> bool:
        """Whether the path still leads to this directory, and to no link or other directory."""
        try:
            status = self.path.lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity


class RunList:
    """The runs below ``folders``, which need not exist yet; read again when it is older than ``SECONDS``."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = {folder.absolute(): harmless_name(str(folder)) for folder in folders}  # as they were named
        self.left_out = 0  # runs beyond ``MAX_RUNS``
        self._runs, self._read = dict[str, FoundRun](), float("-inf")
        self._lock = threading.Lock()

    def add(self, folder: Path) -> None:
        """Watch one more folder."""
        with self._lock:
            self.folders.setdefault(folder.absolute(), harmless_name(str(folder)))
            self._read = float("-inf")

    def runs(self) -> dict[str, FoundRun]:
        """By id."""
        with self._lock:
            if time.monotonic() - self._read > SECONDS:
                found = {run.id: run for folder in reversed(self.folders.keys()) for run in find_runs_below(folder)}
                kept = dict(list(found.items())[:MAX_RUNS])
                self._runs, self.left_out, self._read = kept, len(found) - len(kept), time.monotonic()
            return self._runs


def find_runs_below(folder: Path) -> Iterator[FoundRun]:
    """``folder`` if it is a run directory, else those below it, by name. Links to folders are not followed."""
    todo, looked_at = [(folder, 0)], 0
    while todo and looked_at < MAX_FOLDERS:
        path, depth = todo.pop()
        looked_at += 1
        try:
            with os.scandir(path) as listing:
                entries = list(listing)
            is_run = any(is_record(entry) for entry in entries)
            if is_run:
                yield as_found(path, folder)
                continue
            below = [entry.name for entry in entries if not entry.name.startswith(".") and is_folder(entry)]
        except OSError:  # deleted since, or not ours to read
            continue
        if depth < MAX_DEPTH:
            todo += [(path / name, depth + 1) for name in sorted(below, reverse=True)]


def is_record(entry: "os.DirEntry[str]") -> bool:
    """Whether a file or folder makes the folder around it a run directory."""
    if entry.name == "config.json":
        return entry.is_file(follow_symlinks=False)
    return entry.name == "checkpoints" and is_folder(entry)


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder itself, and no link to one."""
    return entry.is_dir(follow_symlinks=False)


def as_found(path: Path, folder: Path) -> FoundRun:
    """A run directory at ``path``, found below ``folder``."""
    if path == folder:
        path = path.resolve()  # the user may name a link
    status = path.lstat()
    identity = status.st_dev, status.st_ino
    name = path.name if path == folder or not path.is_relative_to(folder) else str(path.relative_to(folder))
    return FoundRun(short_digest(f"{identity[0]}:{identity[1]}"), harmless_name(name), path, identity)


def short_digest(text: str) -> str:
    """Twelve characters that stand for a text in an address."""
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=6).hexdigest()


def harmless_name(name: str) -> str:
    """A name as JSON can have it: what is not text is escaped."""
    return name.encode("utf-8", "backslashreplace").decode()
