"""The videos of a run, and the part of one that a browser asks for."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from proximax.runtime import open_plain
from proximax.web.run_list import harmless_name, short_digest

TYPES = {".mp4": "video/mp4", ".gif": "image/gif"}
MAX_VIDEOS = 500
CHUNK = 2**16


class VideoFile(NamedTuple):
    """A video in a run directory."""

    id: str
    name: str
    path: Path
    size: int
    changed: float  # seconds since 1970

    @property
    def type(self) -> str:
        """The content type that a browser is given."""
        return TYPES[self.path.suffix.lower()]

    def to_json(self) -> dict[str, Any]:
        """As the page gets it."""
        return {"id": self.id, "name": self.name, "size": self.size, "changed": self.changed, "type": self.type}


def videos_of(run_dir: Path) -> list[VideoFile]:
    """The videos of a run, newest first; links, pipes and unfinished files are left out."""
    folder, videos = run_dir / "videos", list[VideoFile]()
    try:
        if folder.is_symlink():
            return []
        with os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                if path.suffix.lower() not in TYPES or entry.name.startswith("."):
                    continue
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    name = harmless_name(entry.name)
                    videos.append(VideoFile(short_digest(entry.name), name, path, status.st_size, status.st_mtime))
    except OSError:
        return []
    return sorted(videos, key=lambda video: (-video.changed, video.name))[:MAX_VIDEOS]


class Part(NamedTuple):
    """Bytes ``[begin, end)`` of an open file of ``size`` bytes."""

    file: BinaryIO
    begin: int
    end: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """The bytes; closes the file."""
        with self.file:
            self.file.seek(self.begin)
            left = self.end - self.begin
            while left > 0 and (data := self.file.read(min(CHUNK, left))):
                left -= len(data)
                yield data


def open_part(path: Path, header: str | None) -> tuple[Part, int]:
    """(the part of a plain file that a ``Range`` header asks for, 200, 206 or 416); without one, or of several: all.

    Raises ``CheckpointError`` for what is not a plain file, ``OSError``.
    """
    file = open_plain(path)
    size = os.fstat(file.fileno()).st_size
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", (header or "").strip())
    if match is None or match[1] == match[2] == "":
        return Part(file, 0, size, size), 200
    if match[1] == "":  # the last so many bytes
        begin, end = max(0, size - int(match[2])), size
    else:
        begin, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
    if begin >= end:
        return Part(file, 0, 0, size), 416
    return Part(file, begin, end, size), 206
