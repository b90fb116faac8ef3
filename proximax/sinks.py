"""Where rows of metrics go: a file, TensorBoard, the terminal. A sink is called with the rows of each update."""

import json
import sys
import time
from collections.abc import Callable, Sequence
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

Rows = list[dict[str, Any]]
# Called with the rows of each update; a true result ends training after it.
Callback = Callable[[Rows], bool | None]
TENSORBOARD_ROWS = 1000
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
        found = path.stat().st_size
        if found < self.size:
            knows = f"the checkpoint knows of {self.size:,}"
            raise StorageError(f"{path} has {found:,} bytes, {knows}: put the whole file back")
        self._file.truncate(self.size)
        self._waiting, self._warned = saved["waiting"].encode() if saved else b"", False
        self.write([])

    def to_tree(self) -> dict[str, Any]:
        """What a checkpoint keeps of it: how much is in the file, and what is not yet."""
        return {"size": self.size, "waiting": self._waiting.decode()}

    def read(self) -> Rows:
        """The rows that are in the file."""
        try:
            return [json.loads(line) for line in self.path.read_bytes().splitlines()]
        except ValueError as error:
            raise StorageError(f"{self.path} was changed since it was written: {error}") from error

    def write(self, rows: Rows) -> None:
        """Append the rows."""
        self._waiting += b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows)
        try:
            rest = self._waiting
            while rest:
                rest = rest[self._file.write(rest) :]
            self.size, self._waiting = self.size + len(self._waiting), b""
        except OSError as error:
            self._file.truncate(self.size)
            if not self._warned:
                text = f"proximax: warning: {self.path}: {error.strerror}. Rows wait until there is room"
                print(text, file=sys.stderr, flush=True)
            self._warned = True

    def close(self) -> None:
        """Close the file."""
        self.write([])
        self._file.close()
        if self._waiting:
            raise StorageError(f"{self.path} lacks its last {len(self._waiting):,} bytes: the disk did not take them")


class TensorBoard:
    """Scalars for TensorBoard, a folder per seed: of a thousand updates at most, since one takes a millisecond.

    ``steps``: of each seed, in the checkpoint that a run goes on from; what had been written beyond is left out.
    """

    def __init__(self, directory: Path, config: RunConfig, steps: Sequence[int] | None = None) -> None:
        from tensorboardX import SummaryWriter

        seeds = range(config.seed, config.seed + config.seeds)
        self._every, self._last = -(-config.updates // TENSORBOARD_ROWS), config.updates
        first = [None] * config.seeds if steps is None else [each + 1 for each in steps]
        self._writers = {
            seed: SummaryWriter(str(directory / f"seed-{seed}"), purge_step=step) for seed, step in zip(seeds, first)
        }

    def write(self, rows: Rows) -> None:
        """Add each number under its name, at the row's steps."""
        if rows[0]["update"] % self._every and rows[0]["update"] < self._last:
            return
        for row in rows:
            for name, x in row.items():
                if name not in ("update", "seed", "steps") and isinstance(x, (int, float)):
                    self._writers[row["seed"]].add_scalar(name, x, row["steps"])

    def close(self) -> None:
        """Flush and close."""
        for writer in self._writers.values():
            writer.close()


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
            print(f"proximax: frames: {config.atari}", file=sys.stderr)
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
            line = f"{steps:>12,} steps   return {score}   {speed} steps/s"
            print(line, file=sys.stderr, flush=True)
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
                print(f"proximax: doctor: {finding.line}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar; what was found last stays."""
        if self._live:
            self._view.stop()
            for finding in self._watch.findings:
                print(f"proximax: doctor: {finding.line}", file=sys.stderr)


def sparkline(values: list[float], width: int = 40) -> str:
    """A curve in one line of block characters, from the lowest value to the highest."""
    if not values:
        return ""
    at = [values[round(i)] for i in np.linspace(0, len(values) - 1, min(width, len(values)))]
    low, span = min(at), max(max(at) - min(at), 1e-12)
    return "".join(BARS[min(int((v - low) / span * len(BARS)), len(BARS) - 1)] for v in at)
