"""When a run is saved: a thread writes beside the training, and a few checkpoints are kept."""

import logging
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from proximax.config import RunConfig, seconds_or_steps
from proximax.errors import CheckpointError, StorageError, text_of
from proximax.runs.checkpoint import (
    TEMPORARY,
    Checkpoint,
    Snapshot,
    checkpoint_names,
    checkpoint_path,
    rank,
    read_manifest,
    remove_partial,
    save_checkpoint,
    score_of,
)
from proximax.runs.directory import EVALUATIONS_FILE, METRICS_FILE
from proximax.runs.schedule import Every
from proximax.runtime import is_key, open_plain, own_numbers, storing
from proximax.types import PyTree

logger = logging.getLogger(__name__)

RETRY_SECONDS = 30.0  # after a save that failed


class CheckpointManager:
    """Saves snapshots of a run; without a directory it does nothing.

    ``header``: what every manifest says of the run. ``update``: that of the checkpoint the run resumes from, if any.
    """

    def __init__(
        self, config: RunConfig, folder: Path | None, header: dict[str, Any], update: int | None = None
    ) -> None:
        self._config, self._folder, self._header = config, folder, header
        self._seconds, steps = seconds_or_steps(config.checkpoint_every)
        self._schedule = Every(steps, config.batch_size) if steps is not None else None
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None  # of the last save
        self._next_s = time.monotonic() + (self._seconds or 0.0)
        self._saved = update or 0  # the update of the last snapshot taken
        self._whole = update  # of the last one that is on disk
        self._best = float("-inf")
        if folder is not None:
            with storing(folder):
                folder.mkdir(exist_ok=True)
                remove_partial(folder)
            self._best = max(map(score_of, valid_checkpoints(folder)), default=self._best)

    def next_update(self, update: int) -> int:
        """The first update after ``update`` that must be saved, so a compiled call must end with it."""
        last = self._config.updates
        return min(self._schedule.next_update(update), last) if self._schedule else last

    def due(self, update: int, evaluation: float | None) -> bool:
        """Whether the run is to be saved now, after ``update``, with this evaluation."""
        if self._folder is None or update <= self._saved:
            return False
        if self._is_best(evaluation):
            return True
        if self._error is not None and time.monotonic() >= self._next_s:
            return True
        if self._schedule is not None:
            return update >= self.next_update(self._saved)
        return self._seconds is not None and time.monotonic() >= self._next_s

    def save(self, snapshot: Snapshot, wait: bool = False) -> None:
        """Begin to save; ``wait`` until it is done.

        A periodic one by seconds is skipped while another is written, unless it is the best yet. One by steps never
        is: the same run leaves the same checkpoints.
        """
        waits = wait or self._schedule is not None or self._is_best(snapshot.evaluation)
        if self._folder is None or (not waits and self._busy()):
            return
        self._join()
        self._saved = snapshot.update
        self._thread = threading.Thread(target=self._write, args=(snapshot,))
        self._thread.start()
        if wait:
            self._join()

    def has(self, update: int) -> bool:
        """Whether the run as it was after ``update`` is on disk, once the save under way has ended.

        Where there is no directory nothing more can be saved either.
        """
        self._join()
        return self._folder is None or self._whole == update

    def _is_best(self, evaluation: float | None) -> bool:
        if evaluation is None:
            return False
        self._join()  # what is being saved may be better
        return evaluation > self._best

    def close(self) -> None:
        """Wait; raise ``StorageError`` if the last save failed."""
        self._join()
        if self._error is not None:
            raise StorageError(
                f"the last checkpoint could not be saved in {self._folder}: {text_of(self._error)}"
            ) from None

    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _write(self, snapshot: Snapshot) -> None:
        assert self._folder is not None
        try:
            logs = [self._folder.parent / name for name in (METRICS_FILE, EVALUATIONS_FILE)]
            for log in filter(Path.exists, logs):  # first: the checkpoint knows their length
                sync_file(log)
            with own_numbers():
                save_checkpoint(self._folder, self._header, snapshot)
            self._error, self._whole = None, snapshot.update
            self._best = max(self._best, float("-inf") if snapshot.evaluation is None else snapshot.evaluation)
            self._next_s = time.monotonic() + (self._seconds or 0.0)
            delete_old(self._folder, self._config.keep_checkpoints)
        except Exception as error:  # of the disk, or of a state that cannot be saved
            self._error, self._next_s = error, time.monotonic() + RETRY_SECONDS
            logger.warning(
                f"could not save at {snapshot.steps:,} steps: {text_of(error)}. Training continues and will try again"
            )


def sync_file(path: Path) -> None:
    """Wait until the disk has what was written to a file."""
    with open_plain(path) as file:
        os.fsync(file.fileno())


def valid_checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in ``folder`` with a good manifest, newest first."""
    valid: list[Checkpoint] = []
    for name in checkpoint_names(folder):
        try:
            valid.append(read_manifest(checkpoint_path(folder, name)))
        except CheckpointError:
            continue
    return valid


def delete_old(folder: Path, newest: int) -> None:
    """Remove all but the ``newest`` and the best by evaluation."""
    checkpoints = valid_checkpoints(folder)
    best = max(checkpoints, key=rank, default=None)
    for checkpoint in checkpoints[newest:]:
        if checkpoint is not best:
            # Renamed first: half a checkpoint must not look like one.
            temporary = checkpoint.path.with_name(TEMPORARY + checkpoint.path.name)
            checkpoint.path.rename(temporary)
            # What someone still reads may stay: ``remove_partial`` removes it later.
            shutil.rmtree(temporary, ignore_errors=True)


def to_host_copy(tree: PyTree) -> PyTree:
    """``tree`` on the host, in arrays that nobody writes to."""

    def leaf(x: object) -> Any:
        if is_key(x):
            return x
        return np.asarray(x) if isinstance(x, jax.Array) else np.array(x)

    return jax.tree.map(leaf, tree)
