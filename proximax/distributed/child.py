"""One rank as a child process, and what can be seen of its progress from outside."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PROGRESS = "PROXIMAX_PROGRESS"  # names the file to which a process writes its number of updates
PARENT = "PROXIMAX_PARENT"  # the number of the process that watches over it
STUCK_SECONDS = 45.0  # without progress and without work, after the first update: the process is stuck
LONGEST_SECONDS = 600.0  # without progress, though it works: compiling, or a long evaluation
GAPS = 5  # a process may take so many times as long as its longest time between two signs of progress
WORK_SHARE = 0.05  # of a core: what an idle process does not use
PR_SET_PDEATHSIG = 1  # of prctl in Linux
EXCERPT_LINES, EXCERPT_BYTES = 6, 4000


def mark_progress(update: int) -> None:
    """Tell who watches over this process, if anybody does, that it has come to ``update``."""
    if path := os.environ.get(PROGRESS):
        with suppress(OSError):  # a full disk must not end the training
            Path(path).write_text(f"{update}\n")


def end_with_parent() -> None:
    """Let the kernel end this process when the one that watches over it ends, however that does."""
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != parent:  # it has ended before
        os._exit(1)


def cpu_seconds(pid: int, descendants: bool, processes: Path = Path("/proc")) -> float | None:
    """Seconds of processor time of a process; ``descendants``: of its whole session. None where it cannot be seen."""
    files = processes.glob("[0-9]*/stat") if descendants else [processes / str(pid) / "stat"]
    ticks, seen = 0, False
    for file in files:
        with suppress(OSError):  # it has ended
            fields = file.read_text().rpartition(")")[2].split()  # state, parent, group, session, ...
            if not descendants or fields[3] == str(pid):
                ticks, seen = ticks + int(fields[11]) + int(fields[12]), True
    return ticks / os.sysconf("SC_CLK_TCK") if seen else None


class Signs:
    """When a process last made progress, and when it was last at work."""

    def __init__(self, now: float) -> None:
        self.marked = False  # it has made progress at all
        self._progress_s = self._work_s = self._look_s = now
        self._mark: int | None = None
        self._marks = 0
        self._cpu_s = 0.0
        self._longest_gap = 0.0

    def look(self, now: float, mark: int | None, cpu: float | None) -> None:
        """``mark``: changes with progress; ``cpu``: processor seconds so far, None: unknown, which counts as work."""
        if mark != self._mark:
            if self.marked:  # before its first progress it compiles
                self._longest_gap = max(self._longest_gap, now - self._progress_s)
            self._mark, self.marked, self._progress_s, self._work_s = mark, True, now, now
            self._marks += 1
        if cpu is None or abs(cpu - self._cpu_s) >= WORK_SHARE * (now - self._look_s):
            self._work_s = now
        self._look_s, self._cpu_s = now, cpu or 0.0

    def stuck_for(self, now: float) -> float | None:
        """The seconds without progress, where they are too many; else None."""
        idle, without = now - self._work_s, now - self._progress_s
        patience = max(0.0, GAPS * self._longest_gap)
        # Until the first update is done a process may wait, idle, for one that still compiles.
        is_idle = self._marks > 1 and idle > max(STUCK_SECONDS, patience)
        return without if is_idle or without > max(LONGEST_SECONDS, patience) else None


class Child:
    """A process of one rank: its progress and its output are files in ``folder``.

    ``shown``: rank 0 writes to this process's stdout and stderr; else to rank-0.out and rank-0.log. Other ranks write
    both to rank-RANK.log.
    """

    def __init__(
        self,
        command: Sequence[str],
        rank: int,
        variables: Mapping[str, str],
        folder: Path,
        cwd: str | None = None,
        shown: bool = True,
    ) -> None:
        self.rank, self.folder = rank, folder
        self._progress, self._output = folder / f"progress-{rank}", folder / f"rank-{rank}.log"
        self._progress.unlink(missing_ok=True)
        shown = shown and rank == 0
        out_name = folder / "rank-0.out" if rank == 0 else self._output
        with self._output.open("wb") as log, out_name.open("ab") as out:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **variables, PROGRESS: str(self._progress), PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=None if shown else out,
                stderr=None if shown else log if rank == 0 else out,
                start_new_session=True,  # a terminal's Ctrl-C is passed on once, by who watches
            )
        self._signs = Signs(time.monotonic())

    def stuck_for(self) -> float | None:
        """The seconds without progress, where they are too many; else None."""
        try:
            mark = self._progress.stat().st_mtime_ns
        except OSError:
            mark = None
        now, pid = time.monotonic(), self.process.pid
        self._signs.look(now, mark, cpu_seconds(pid, descendants=not self._signs.marked))
        return self._signs.stuck_for(now)

    @property
    def updates(self) -> str:
        """The updates it has made, as it says; "no" before the first."""
        with suppress(OSError):
            return self._progress.read_text().strip() or "no"
        return "no"

    @property
    def excerpt(self) -> str:
        """The last lines of its output, where that is not shown already."""
        with suppress(OSError):
            text = self._output.read_bytes()[-EXCERPT_BYTES:].decode(errors="replace")
            return "\n".join(text.splitlines()[-EXCERPT_LINES:])
        return ""

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it and all that it has started, also where it is stopped, and wait for it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
