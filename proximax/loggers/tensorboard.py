"""Event files for TensorBoard."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proximax.config import RunConfig
from proximax.loggers.base import Rows
from proximax.runs import Every

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event

logger = logging.getLogger(__name__)

TENSORBOARD_ROWS, TENSORBOARD_SECONDS = 1000, 30.0  # updates at most; between flushes
NO_CURVES = ("update", "seed", "steps")


class TensorBoardLogger:
    """Scalars for TensorBoard, a folder per seed: of a thousand updates at most, since one takes time and room.

    Event files are written synchronously. ``tensorboardX.SummaryWriter`` uses a thread, which ends at the first write
    that a full disk refuses, and training would wait for it forever. ``steps``: of each seed, in the checkpoint that a
    run is resumed from; what had been written beyond is dropped.
    """

    def __init__(self, directory: Path, config: RunConfig, steps: Sequence[int] | None = None) -> None:
        self._schedule, self._last = Every(-(-config.updates // TENSORBOARD_ROWS)), config.updates
        self._directory, self._files, self._flushed = directory, dict[int, "EventsWriter"](), time.monotonic()
        with self._disabled_on_error():
            for seed, step in zip(range(config.seed, config.seed + config.seeds), steps or [0] * config.seeds):
                self._files[seed] = start_events(directory / f"seed-{seed}", step)

    def write(self, rows: Rows) -> None:
        """Add each number under its name, at the row's steps."""
        update = rows[0]["update"]
        if not self._files or not (self._schedule.due(update) or update >= self._last):
            return
        with self._disabled_on_error():
            for row in rows:
                self._files[row["seed"]].write_event(scalars(row))
            if time.monotonic() - self._flushed > TENSORBOARD_SECONDS:
                self._flushed = time.monotonic()
                for file in self._files.values():
                    file.flush()

    @contextmanager
    def _disabled_on_error(self) -> Iterator[None]:
        """Write nothing more after an event that the disk did not take: readers stop at half an event."""
        try:
            yield
        except OSError as error:
            self._files = {}
            logger.warning(f"{self._directory}: {error.strerror}; TensorBoard logging disabled")

    def close(self) -> None:
        """Flush and close."""
        with self._disabled_on_error():
            for file in self._files.values():
                file.close()


def start_events(folder: Path, steps: int) -> "EventsWriter":
    """A new event file. TensorBoard leaves out what earlier ones in ``folder`` have of steps beyond ``steps``."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    folder.mkdir(parents=True, exist_ok=True)
    earlier = steps or any(folder.iterdir())  # also of a run that ended before its first checkpoint
    file = EventsWriter(str(folder / "events"), f".{steps}")
    if earlier:
        log = SessionLog(status=SessionLog.START)
        file.write_event(Event(wall_time=time.time(), step=steps + 1, session_log=log))
    return file


def scalars(row: dict[str, Any]) -> "Event":
    """The numbers of a row as TensorBoard's event."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    numbers = {name: x for name, x in row.items() if isinstance(x, (int, float)) and name not in NO_CURVES}
    values = [Summary.Value(tag=name, simple_value=x) for name, x in numbers.items()]
    return Event(wall_time=time.time(), step=row["steps"], summary=Summary(value=values))


def tensorboard_installed() -> bool:
    """Whether the ``tensorboard`` extra is installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        return False
    return True
