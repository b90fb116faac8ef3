"""Where rows of metrics go: a file, TensorBoard, the terminal. A sink is called with the rows of each update."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from proximax.config import RunConfig
from proximax.doctor import Finding, Watch
from proximax.errors import StorageError
from proximax.say import say

Rows = list[dict[str, Any]]
# Called with the rows of each update; a true result ends training after it.
Callback = Callable[[Rows], bool | None]
TENSORBOARD_ROWS, TENSORBOARD_SECONDS = 1000, 30.0  # updates at most; between flushes
NO_CURVES = ("update", "seed", "steps")
BARS = "▁▂▃▄▅▆▇█"


class Sink(Protocol):
    """Takes rows until it is closed."""

    def write(self, rows: Rows) -> None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class JsonLines:
    """A JSON object per row, on disk as soon as it is known; of an older file stays what ``saved`` has (``to_tree``).

    What a full disk does not take waits for the next row: no run ends because of a row, and no row is cut in two.
    """

    def __init__(self, path: Path, saved: dict[str, Any] | None = None) -> None:
        self.path, self.size = path, (saved["size"] if saved else 0)
        self._file = path.open("ab", buffering=0)
        lost = self.size - path.stat().st_size
        if lost > 0:  # a log is not worth a run
            say(f"proximax: warning: {path} lacks {lost:,} bytes that were written: those rows are lost")
            self.size = path.read_bytes().rfind(b"\n") + 1
        self._file.truncate(self.size)
        self._waiting, self._warned = saved["waiting"].encode(errors="replace") if saved else b"", False
        self.write([])

    def to_tree(self) -> dict[str, Any]:
        """What a checkpoint keeps of it: how much is in the file, and what is not yet."""
        return {"size": self.size, "waiting": self._waiting.decode()}

    def read(self) -> Rows:
        """The rows that are in the file."""
        try:
            rows = [json.loads(line) for line in self.path.read_bytes().splitlines()]
            for row in rows:
                if not (isinstance(row["update"], int) and isinstance(row["recent_return"], (int, float, type(None)))):
                    raise ValueError(f"{row['update']!r} is no update")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
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
                say(f"proximax: warning: {self.path}: {error.strerror}. Rows wait until there is room")
            self._warned = True

    def close(self) -> None:
        """Close the file."""
        self.write([])
        self._file.close()
        if self._waiting:
            raise StorageError(f"{self.path} lacks its last {len(self._waiting):,} bytes: the disk did not take them")


class TensorBoard:
    """Scalars for TensorBoard, a folder per seed: of a thousand updates at most, since one takes time and room.

    Event files are written here and now. ``tensorboardX.SummaryWriter`` has a thread do it, which ends at the first
    write that a full disk refuses, and the training would wait for it for ever. ``steps``: of each seed, in the
    checkpoint that a run goes on from; what had been written beyond is left out.
    """

    def __init__(self, directory: Path, config: RunConfig, steps: Sequence[int] | None = None) -> None:
        self._every, self._last = -(-config.updates // TENSORBOARD_ROWS), config.updates
        self._directory, self._files, self._flushed = directory, dict[int, Any](), time.monotonic()
        with self._given_up():
            for seed, step in zip(range(config.seed, config.seed + config.seeds), steps or [0] * config.seeds):
                self._files[seed] = start_events(directory / f"seed-{seed}", step)

    def write(self, rows: Rows) -> None:
        """Add each number under its name, at the row's steps."""
        if not self._files or (rows[0]["update"] % self._every and rows[0]["update"] < self._last):
            return
        with self._given_up():
            for row in rows:
                self._files[row["seed"]].write_event(scalars(row))
            if time.monotonic() - self._flushed > TENSORBOARD_SECONDS:
                self._flushed = time.monotonic()
                for file in self._files.values():
                    file.flush()

    @contextmanager
    def _given_up(self) -> Iterator[None]:
        """After what the disk does not take nothing more is written: a reader stops at half an event."""
        try:
            yield
        except OSError as error:
            self._files = {}
            say(f"proximax: warning: {self._directory}: {error.strerror}. No more is written for TensorBoard")

    def close(self) -> None:
        """Flush and close."""
        with self._given_up():
            for file in self._files.values():
                file.close()


def start_events(folder: Path, steps: int) -> Any:
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


def scalars(row: dict[str, Any]) -> Any:
    """The numbers of a row as TensorBoard's event."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    numbers = {name: x for name, x in row.items() if isinstance(x, (int, float)) and name not in NO_CURVES}
    values = [Summary.Value(tag=name, simple_value=x) for name, x in numbers.items()]
    return Event(wall_time=time.time(), step=row["steps"], summary=Summary(value=values))


def tensorboard_installed() -> bool:
    """Whether the ``tensorboard`` extra is there."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        return False
    return True


class Terminal:
    """Live progress on stderr: a bar where there is a terminal, else a line for each tenth of the run.

    And what ``proximax.doctor`` finds: the gravest in a line under the bar, else each once, when it first appears.
    """

    def __init__(self, config: RunConfig, update: int = 0) -> None:
        self._config = config
        self._began, self._resumed = time.perf_counter(), update * config.batch_size
        self._console = Console(stderr=True)
        self._live = self._console.is_terminal
        self._shown = 0.0
        self._tenths = update * 10 // config.updates
        self._watch = Watch(config)
        self._told: set[str] = set()
        if config.atari is not None:
            say(f"proximax: frames: {config.atari}")
        if self._live:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.fields[steps]} steps"),
                BarColumn(bar_width=24),
                TextColumn("return [bold]{task.fields[score]}[/]"),
                TextColumn("{task.fields[speed]} steps/s"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=config.updates, steps="0", score="compiling", speed="0")
            self._view = Live(self._bar, console=self._console, transient=True, refresh_per_second=10)
            self._view.start()

    def write(self, rows: Rows) -> None:
        """Show the state of the run, at most ten times a second."""
        now, update = time.perf_counter(), rows[0]["update"]
        steps = max(row["steps"] for row in rows)
        scores = [row["recent_return"] for row in rows if row["recent_return"] is not None]
        score = f"{sum(scores) / len(scores):.1f}" if scores else "no episode finished"
        made = sum(row["steps"] - self._resumed for row in rows)
        speed = f"{made / max(now - self._began, 1e-9):,.0f}"
        if self._live and now - self._shown > 0.1:
            self._shown = now
            self._bar.update(self._task, completed=update, steps=f"{steps:,}", score=score, speed=speed)
        elif not self._live and update * 10 // self._config.updates > self._tenths:
            self._tenths = update * 10 // self._config.updates
            say(f"{steps:>12,} steps   return {score}   {speed} steps/s")
        if self._watch.see(rows):
            self._tell(self._watch.findings)

    def _tell(self, findings: list[Finding]) -> None:
        if self._live:
            worst = [Text(finding.line, "yellow", no_wrap=True, overflow="ellipsis") for finding in findings[:1]]
            self._view.update(Group(self._bar, *worst))
            return
        for finding in findings:
            if finding.name not in self._told:
                self._told.add(finding.name)
                say(f"proximax: doctor: {finding.line}")

    def close(self) -> None:
        """Remove the bar; what was found last stays."""
        if self._live:
            self._view.stop()
            for finding in self._watch.findings:
                say(f"proximax: doctor: {finding.line}")


def sparkline(values: list[float], width: int = 40) -> str:
    """A curve in one line of block characters, from the lowest value to the highest."""
    if not values:
        return ""
    at = [values[round(i)] for i in np.linspace(0, len(values) - 1, min(width, len(values)))]
    low, span = min(at), max(max(at) - min(at), 1e-12)
    return "".join(BARS[min(int((v - low) / span * len(BARS)), len(BARS) - 1)] for v in at)
