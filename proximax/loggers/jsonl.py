"""A JSON object per line, whole or not there."""

import json
import logging
from contextlib import suppress
from pathlib import Path

from proximax.errors import CheckpointError, StorageError
from proximax.loggers.base import Logger, Rows
from proximax.runs import LogPosition, read_metrics
from proximax.runtime import open_plain, open_to_append

logger = logging.getLogger(__name__)


class JsonlLogger(Logger):
    """A JSON object per row, on disk as soon as it is known; of an older file stays what ``saved`` has.

    What a full disk does not take is buffered until the next row: no run ends because of a row, and none is cut in two.
    """

    def __init__(self, path: Path, saved: LogPosition | None = None) -> None:
        self.path, self.size = path, (saved.size if saved else 0)
        self._file = open_to_append(path)
        lost = self.size - path.stat().st_size
        if lost > 0:  # a run does not end because of its log
            logger.warning(f"{path} lacks {lost:,} bytes that were written: those rows are lost")
            with open_plain(path) as file:
                self.size = file.read().rfind(b"\n") + 1
        self._file.truncate(self.size)
        self._waiting, self._warned = saved.waiting.encode(errors="replace") if saved else b"", False
        self.write([])

    @property
    def position(self) -> LogPosition:
        """What a checkpoint keeps of it: how much is in the file, and what is not yet."""
        return LogPosition(self.size, self._waiting.decode())

    def read(self) -> Rows:
        """The rows that are in the file."""
        try:
            rows = read_metrics(self.path, max_bytes=None)
            if missing := [row["update"] for row in rows if "return_last_100" not in row]:
                raise CheckpointError(f"no return_last_100 at update {missing[0]}")
        except CheckpointError as error:
            raise StorageError(f"{self.path} was changed since it was written: {error}. Move it away") from error
        return rows

    def write(self, rows: Rows) -> None:
        """Append the rows."""
        self._waiting += b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows)
        try:
            if self._warned:
                self._file.truncate(self.size)  # the part of a row that was taken
            rest = self._waiting
            while rest:
                rest = rest[self._file.write(rest) :]
            self.size, self._waiting = self.size + len(self._waiting), b""
        except OSError as error:
            with suppress(OSError):  # a file system in trouble: tried again with the next row
                self._file.truncate(self.size)
            if not self._warned:
                logger.warning(f"{self.path}: {error.strerror}; buffering metrics until the disk has space")
            self._warned = True

    def close(self) -> None:
        """Close the file."""
        self.write([])
        self._file.close()
        if self._waiting:
            raise StorageError(f"{self.path} lacks its last {len(self._waiting):,} bytes: the disk did not take them")
