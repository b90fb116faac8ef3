"""What a run leaves behind: its directory, rows of metrics, the result, the traceback of a fault."""

import os
import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from proximax.checkpoint import checkpoint_names, tidy
from proximax.config import RunConfig
from proximax.errors import CheckpointError, ProximaxError, StorageError, UsageError
from proximax.evaluate import Evaluation
from proximax.files import storing, write_json
from proximax.metrics import History
from proximax.result import finite_or_none
from proximax.say import say
from proximax.sinks import JsonLines, Sink, TensorBoard, Terminal, tensorboard_installed
from proximax.types import Metrics

Resume = bool | Literal["auto"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # of a run directory: harmless in paths, pages and tables
METRICS, EVALUATIONS = "metrics.jsonl", "evaluations.jsonl"
RECORDS = ("config.json", METRICS, EVALUATIONS, "result.json", "checkpoints")  # any of them makes it a run's directory
FOLDERS = ("fault", "profile", "tensorboard", "videos")
LOCK, PROBE = ".lock", ".probe"


class RunDirectory:
    """A writable directory that no other process uses: new, or of a run to go on with. Found out before all else.

    ``resume``: True: it must hold a checkpoint; "auto": a run without one starts from the beginning; False: it must
    hold no run.
    """

    def __init__(self, path: Path, resume: Resume = False) -> None:
        check_name(path)
        self.path, self._made, self._lock = path, list[Path](), -1
        if resume is True and not any((path / name).exists() for name in RECORDS):
            raise CheckpointError(f"{path} holds no run to resume: there is none of {', '.join(RECORDS)}")
        check_links(path)
        try:
            with storing(path):
                for folder in reversed([p for p in (path, *path.parents) if not p.exists()]):
                    self._make(folder)
            self._lock = lock(path / LOCK)
            with storing(path):
                (path / PROBE).touch()
                (path / PROBE).unlink()
                self.continues = self._find(resume)
        except BaseException:
            self.discard()
            raise

    def _make(self, folder: Path) -> None:
        """Make a folder, and know that it is this process's own, unless another process made it just now."""
        try:
            folder.mkdir()
        except FileExistsError:
            return
        self._made.append(folder)

    def _find(self, resume: Resume) -> bool:
        """Whether there is a checkpoint to go on from."""
        if not resume and any((self.path / name).exists() for name in RECORDS):
            text = f"{self.path} already holds a run: choose another --out, or go on with it: --resume {self.path}"
            raise StorageError(text)
        tidy(self.path / "checkpoints")
        saved = bool(checkpoint_names(self.path / "checkpoints"))
        if resume is True and not saved:
            raise CheckpointError(f"{self.path} holds no checkpoint; with --resume auto the run would start again")
        if resume == "auto" and not saved:
            say(f"proximax: note: {self.path} holds no checkpoint: the run starts from the beginning")
        return saved and bool(resume)

    def discard(self) -> None:
        """Remove what the constructor made; of the folders above the run's those that no other run has come to use."""
        if self.path in self._made and self._lock >= 0:  # else another process may have come to use it
            shutil.rmtree(self.path, ignore_errors=True)
        self.close()
        for folder in reversed(self._made):
            with suppress(OSError):  # not empty, or removed
                folder.rmdir()

    def close(self) -> None:
        """Let other processes use the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def check_links(path: Path) -> None:
    """Refuse links among what a run writes, which would change what they lead to; and logs that are pipes."""
    for name in (*RECORDS, *FOLDERS, LOCK, PROBE, "error.log"):
        for where, folders, files in os.walk(path / name):
            for each in (Path(where), *(Path(where, x) for x in (*folders, *files))):
                refuse_link(each)
        refuse_link(path / name)
        if (path / name).exists() and not ((path / name).is_file() or (path / name).is_dir()):  # whose end never comes
            raise StorageError(f"{path / name} is neither a file nor a folder: move it away")


def refuse_link(path: Path) -> None:
    """Refuse a symbolic link."""
    if path.is_symlink():
        raise StorageError(f"{path} is a symbolic link, which is not followed: put the file or folder itself there")


def check_name(path: Path) -> None:
    """Refuse a name that some file system, page or table would take for something else."""
    name = path.absolute().name
    if not NAME.fullmatch(name) or "\0" in str(path):
        raise UsageError(
            f"--out {str(path)!r}: the run's name {name!r} must be of A-Z, a-z, 0-9, '.', '_' and '-', begin with a "
            "letter or a digit, and have at most 100 characters"
        )


def lock(path: Path) -> int:
    """An open file that is locked as long as this process lives; refuses one that another process has locked."""
    with storing(path):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(file, 200).decode(errors="replace").strip()
        os.close(file)
        raise StorageError(f"{path.parent} is in use by another process ({holder}): choose another --out") from error
    except (ImportError, OSError):  # not on this system, not on this file system
        return file
    os.truncate(file, 0)
    os.pwrite(file, f"{socket.gethostname()} {os.getpid()}\n".encode(), 0)
    return file


class Recorder:
    """What a run leaves behind: rows for the sinks, and in its directory the config, the evaluations, the result.

    ``saved``: what a checkpoint has of an earlier part of the run (``to_tree``); rows written after it are dropped.
    """

    def __init__(
        self, config: RunConfig, directory: RunDirectory | None, quiet: bool, saved: dict[str, Any] | None = None
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self.history = History(config.seed, config.seeds)
        self._config, self._directory = config, directory
        self._sinks: list[Sink] = []
        self._evaluations: JsonLines | None = None
        if saved is not None:
            self.history.restore(saved["history"])
        if directory:
            with storing(directory.path):
                self._open(directory.path, saved)
        if not quiet:
            self._sinks.append(Terminal(config, self.history.update))

    def _open(self, path: Path, saved: dict[str, Any] | None) -> None:
        """The files of the run directory."""
        config, logs = self._config, (saved or {}).get("logs", {})
        self._metrics = JsonLines(path / METRICS, logs.get(METRICS))
        if (path / EVALUATIONS).exists() or (config.stop_at, config.eval_every) != (None, None):
            self._evaluations = JsonLines(path / EVALUATIONS, logs.get(EVALUATIONS))
        self._sinks.append(self._metrics)
        self.rows = self._metrics.read()
        # Only now, when nothing is refused any more: the directory becomes that of this run.
        for ending in ("result.json", "error.log"):  # of the part of the run that it goes on from
            (path / ending).unlink(missing_ok=True)
        write_json(path / "config.json", config.to_json())
        if tensorboard_installed():
            steps = None if saved is None else self.history.steps.tolist()
            self._sinks.append(TensorBoard(path / "tensorboard", config, steps))

    def to_tree(self) -> dict[str, Any]:
        """What a checkpoint must have, so that the logs of a run that goes on have no gap and no row twice."""
        logs = [log for log in (self._directory and self._metrics, self._evaluations) if log]
        return {"history": self.history.to_tree(), "logs": {log.path.name: log.to_tree() for log in logs}}

    def write(self, metrics: Metrics, time_s: float) -> list[dict[str, Any]]:
        """Send one update's rows everywhere."""
        rows = self.history.add(metrics, time_s)
        self.rows += rows
        for sink in self._sinks:
            sink.write(rows)
        return rows

    def write_evaluation(self, evaluation: Evaluation) -> None:
        """A row for each seed in ``evaluations.jsonl``."""
        if self._evaluations is None:
            return
        each = zip(evaluation.seeds, self.history.steps.tolist(), evaluation.returns)
        self._evaluations.write(
            [
                {
                    "update": self.history.update,
                    "seed": seed,
                    "steps": steps,
                    "return_mean": finite_or_none(returns.mean()),
                    "episodes": len(returns),
                }
                for seed, steps, returns in each
            ]
        )

    def finish(self, result: dict[str, Any]) -> None:
        """Write ``result.json``."""
        if self._directory:
            with storing(self._directory.path):
                write_json(self._directory.path / "result.json", result)

    def close(self) -> None:
        """Close the files and the screen."""
        faults: list[ProximaxError] = []
        for sink in [*self._sinks, *([self._evaluations] if self._evaluations else [])]:
            try:
                sink.close()
            except ProximaxError as error:
                faults.append(error)
        if faults:
            raise faults[0]
