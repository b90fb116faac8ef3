"""The directory of a run: which names are in it, who may write to it."""

import logging
import os
import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import Literal

from proximax.errors import CheckpointError, StorageError, UsageError
from proximax.runs.checkpoint import checkpoint_names, remove_partial
from proximax.runtime import (
    close_private,
    is_temporary,
    keep_from_children,
    own_file,
    refuse_link,
    refuse_special,
    storing,
)

logger = logging.getLogger(__name__)

Resume = bool | Literal["auto"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # of a run directory: harmless in paths, pages and tables
METRICS_FILE, EVALUATIONS_FILE = "metrics.jsonl", "evaluations.jsonl"
RECORDS = (
    "config.json",
    METRICS_FILE,
    EVALUATIONS_FILE,
    "result.json",
    "checkpoints",
)  # any of them makes it a run's directory
FOLDERS = ("crash", "profile", "tensorboard", "videos")
OTHER_LOGS = ("metrics.csv", "evaluations.csv", "trackio", "wandb")  # of which the last has links of its own
LOCK, PROBE = ".lock", ".probe"


class RunDirectory:
    """A writable directory that no other process uses: new, or of a run to resume. This is checked before all else.

    ``resume``: True: it must hold a checkpoint; "auto": a run without one starts from the beginning; False: it must
    hold no run. ``named``: the path as it was given, for messages; ``path``: the same, absolute.
    """

    def __init__(self, path: Path, resume: Resume = False) -> None:
        check_name(path)
        self.named, self._created, self._lock = path, list[Path](), -1
        self._before: set[str] | None = None  # what was in it; None: not looked at yet
        self.keep = True  # False: nothing of the run is worth keeping, as it may yet be refused
        self.path = path.absolute()  # an environment may change the working directory
        with storing(path):
            if resume is True and not any((path / name).exists() for name in RECORDS):
                raise CheckpointError(f"{path} holds no run to resume: there is none of {', '.join(RECORDS)}")
            check_plain(path)
        try:
            with storing(path):
                for folder in reversed([p for p in (path, *path.parents) if not p.exists()]):
                    self._create(folder)
            had_lock = (path / LOCK).exists()
            self._lock = lock(path / LOCK)
            with storing(path):
                self._before = set(os.listdir(path)) - (set() if had_lock else {LOCK})
                (path / PROBE).touch()
                (path / PROBE).unlink()
                remove_temporary(path)
                self.continues = self.keep = self._has_checkpoint(resume)
                self._status = path.stat()
        except BaseException:
            self.discard()
            raise

    def _create(self, folder: Path) -> None:
        """Create a folder, and remember it, unless another process has created it in the meantime."""
        try:
            folder.mkdir()
        except FileExistsError:
            return
        self._created.append(folder.absolute())

    def _has_checkpoint(self, resume: Resume) -> bool:
        """Whether there is a checkpoint to resume from."""
        path = self.named
        if not resume and any((path / name).exists() for name in RECORDS):
            text = f"{path} already holds a run: choose another --out, or resume it: --resume {path}"
            raise StorageError(text)
        remove_partial(path / "checkpoints")
        saved = bool(checkpoint_names(path / "checkpoints"))
        if resume is True and not saved:
            raise CheckpointError(f"{path} holds no checkpoint; with --resume auto the run would start again")
        if resume == "auto" and not saved:
            logger.info(f"{path} holds no checkpoint: the run starts from the beginning")
        return saved and bool(resume)

    @property
    def in_place(self) -> bool:
        """Whether the directory is still where it was, and no other one is there."""
        try:
            return os.path.samestat(self._status, self.path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False

    def check_in_place(self) -> None:
        """Refuse to continue after the directory was renamed or deleted: what follows would be in another place."""
        if not self.in_place:
            raise StorageError(
                f"{self.path} was renamed or deleted while the run was using it, and nothing more can be saved there. "
                "What had been saved is where it was moved to: continue it with --resume and its new name"
            )

    def discard(self) -> None:
        """Remove what the run created: its files, its folder, and those above it where no other run uses them."""
        if self._before is not None:  # else another process may have come to use it
            for name in {*RECORDS, *FOLDERS, *OTHER_LOGS, "error.log", LOCK} - self._before:
                remove(self.path / name)
        if self.path in self._created and self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
        self.close()
        for folder in reversed(self._created):
            with suppress(OSError):  # not empty, or removed
                folder.rmdir()

    def close(self) -> None:
        """Let other processes use the directory."""
        if self._lock >= 0:
            close_private(self._lock)
            self._lock = -1


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def remove_temporary(path: Path) -> None:
    """Remove the unfinished files of a process that was killed; nobody else is writing, as the directory is locked."""
    for entry in path.glob(".*"):
        if any(is_temporary(entry, name) for name in (*RECORDS, LOCK)):
            entry.unlink(missing_ok=True)


def check_plain(path: Path) -> None:
    """Refuse links, pipes and devices among the files of a run: ``StorageError``.

    Writing would change what a link leads to, and a pipe's end never comes.
    """
    for name in OTHER_LOGS:
        refuse_special(path / name)
    for name in (*RECORDS, *FOLDERS, LOCK, PROBE, "error.log"):
        refuse_special(path / name)
        # Checkpoints are new folders, and the files of old ones are looked at as they are read.
        refuse = refuse_link if name == "checkpoints" else refuse_special
        for folder, subfolders, files in os.walk(path / name):
            for entry in (*subfolders, *files):
                refuse(Path(folder, entry))


def is_run_name(name: str) -> bool:
    """Whether a run may have this name."""
    return NAME.fullmatch(name) is not None


def run_name_of(text: str) -> str:
    """A name that a run may have, as near to ``text`` as can be."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:60].rstrip("._-") or "run"


def check_name(path: Path) -> None:
    """Refuse a name that some file system, page or table would misread."""
    name = path.absolute().name
    if not is_run_name(name) or "\0" in str(path):
        raise UsageError(
            f"--out {str(path)!r}: the run's name {name!r} must be of A-Z, a-z, 0-9, '.', '_' and '-', begin with a "
            "letter or a digit, and have at most 100 characters"
        )


def lock(path: Path) -> int:
    """The descriptor of a file, locked while this process lives; ``StorageError`` if another process has locked it."""
    while True:
        with storing(path):
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            if not lock_file(file, path) or still_there(file, path):
                keep_from_children(file)  # else a child that an environment forks would keep the lock
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the path has another file by now


def lock_file(file: int, path: Path) -> bool:
    """Lock an open file, without waiting. False where the system or the file system has no locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(file, 200).decode(errors="replace").strip()
        raise StorageError(f"{path.parent} is in use by another process ({holder}): choose another --out") from error
    except (ImportError, OSError):
        return False
    return True


def still_there(file: int, path: Path) -> bool:
    """Whether the locked file is that of the path, and of no other run; writes into it who has it.

    In a copy of a run by hard links it becomes a file of its own: the lock of the one is not that of the other.
    """
    with storing(path):
        if os.fstat(file).st_nlink > 1:
            own_file(path)
        if not path.exists() or not os.path.samestat(os.fstat(file), path.stat()):
            return False
        os.truncate(file, 0)
        os.pwrite(file, f"{socket.gethostname()} {os.getpid()}\n".encode(), 0)
        return True
