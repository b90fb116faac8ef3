"""Trainings in several processes, all of which carry a mark in their environment, by which they are found in /proc."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from tests.support.cli_process import Ran, environment

MARK = "PROXIMAX_TEST_RUN"
TRAIN = (
    "train CartPole-v1 --preset none --shards {shards} --num-envs 4 --ppo.num-steps 16 --ppo.minibatch-size 16 "
    "--ppo.hidden 8 --ppo.epochs 2 --steps 4480 --checkpoint-every 320 --eval-episodes 2 --out run"
)
Value = TypeVar("Value")


class MarkedRun:
    """``before`` (as ``mpirun -n 2``) and a command of proximax, in ``folder``; what it says goes to a file there."""

    def __init__(self, folder: Path, arguments: str, before: Sequence[str] = (), **variables: str) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex
        self._said = folder / f"said-{self.mark}"
        line = [*before, sys.executable, "-m", "proximax.cli", *arguments.split()]
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                line,
                cwd=folder,
                env=environment() | {MARK: self.mark} | variables,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    @property
    def said(self) -> str:
        """All its output until now."""
        return self._said.read_text(errors="replace")

    @property
    def left(self) -> list[int]:
        """Its processes."""
        return [pid for pid in running_processes() if f"{MARK}={self.mark}" in variables_of(pid)]

    def ranks(self, *names: str) -> dict[int, int]:
        """Rank -> process, by the launcher's variables."""
        found = {}
        for pid in self.left:
            if b"proximax" in bytes_of(pid, "cmdline") and b"mpirun" not in bytes_of(pid, "cmdline"):
                own = dict(text.partition("=")[::2] for text in variables_of(pid))
                found |= {int(own[name]): pid for name in names or ("PROXIMAX_RANK",) if own.get(name, "").isdigit()}
        return found

    def saved(self) -> bool:
        """Whether there is a checkpoint."""
        return any((self.folder / "run" / "checkpoints").glob("step-*"))

    def wait(self, happened: Callable[[], Value], seconds: float = 90.0) -> Value:
        """Until it has happened, while the run is under way."""
        until = time.monotonic() + seconds
        while not (value := happened()):
            assert time.monotonic() < until, self.said[-3000:]
            assert self.process.poll() is None, self.said[-3000:]
            time.sleep(0.05)
        return value

    def finish(self, seconds: float = 300.0) -> Ran:
        """Wait for its end; no process of it may be left 15 seconds later."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        code = self.process.poll()
        until = time.monotonic() + 15
        while (left := self.left) and time.monotonic() < until and code is not None:
            time.sleep(0.1)
        self.kill()
        assert code is not None, f"runs still after {seconds} s: {self.said[-3000:]}"
        assert not left, f"left: {[bytes_of(pid, 'cmdline') for pid in left]}"
        return Ran(code, "", self.said)

    def kill(self) -> None:
        """End all of it."""
        for pid in [*self.left, self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait()

    def __enter__(self) -> "MarkedRun":
        return self

    def __exit__(self, *_: Any) -> None:
        self.kill()


def running_processes() -> list[int]:
    """All processes of this machine that run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(folder.name))
    return found


def bytes_of(pid: int, name: str) -> bytes:
    """A file of a process in /proc; empty where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def variables_of(pid: int) -> list[str]:
    """NAME=VALUE of a process's environment."""
    return bytes_of(pid, "environ").decode(errors="replace").split("\0")
