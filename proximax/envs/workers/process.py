"""One worker process as its parent sees it; ``main`` is its own side."""

import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from proximax.envs.workers import main, watchdog
from proximax.envs.workers.main import Arrays
from proximax.errors import EnvError

MAX_POLL_MS = 60_000.0  # ms; the system takes no more than 32 bits of them
START_SECONDS = 60.0  # that starting Python and importing the environment may take in any case


class Worker:
    """One process, and the pipes to it. ``alive``: whether it can go on after a fault."""

    commands: Connection
    answers: Connection
    alive = False

    def __init__(self, job: bytes, k: int, numbers: range, memory: int, arrays: Arrays, timeout: float) -> None:
        self.numbers = numbers
        self._job, self._k, self._memory, self._timeout = job, k, memory, timeout
        self._calls, self._place = arrays.calls[0][k : k + 1], arrays.place[0][k : k + 1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; if there was one, it has its place."""
        if self._process is not None:
            self.kill()
            self.request_exit()
            self.join(0.0)
        theirs, mine = os.pipe()
        ours, reply = os.pipe()
        self.commands, self.answers = Connection(mine, readable=False), Connection(ours, writable=False)
        self._ready = select.poll()
        self._ready.register(ours, select.POLLIN)
        passed = (theirs, reply, self._memory)
        # -P: its folder holds no modules to import
        line = [sys.executable, "-P", watchdog.__file__, main.__file__, *map(str, passed)]
        try:
            self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, pass_fds=passed)
        finally:
            os.close(theirs)
            os.close(reply)
        self.pid, self.alive = self._process.pid, True
        with suppress(BrokenPipeError):  # ``wait`` says what became of it
            self.commands.send(sys.path)
            self.commands.send_bytes(self._job)

    @property
    def place(self) -> int:
        """The environment that it called last."""
        return int(self._place[0])

    def send(self, command: bytes) -> None:
        """Send a command; ``wait`` says what became of a worker that does not take it."""
        with suppress(BrokenPipeError):
            os.write(self.commands.fileno(), command)

    def send_object(self, value: Any) -> None:
        """Send what belongs to a command."""
        with suppress(BrokenPipeError):
            self.commands.send(value)

    def reset(self, seeds: list[int]) -> None:
        """Start a reset of its environments, of all environments' ``seeds``."""
        self.send(b"r")
        self.send_object([seeds[i] for i in self.numbers])

    def recreate_env(self, seed: int) -> None:
        """Let it make the environment that raised again, and go on."""
        self.send(b"a")
        self.send_object(seed)

    def wait(self, what: str, step: int) -> None:
        """Wait for the answer."""
        calls, since = 0, time.monotonic()
        limit = max(self._timeout, START_SECONDS) if what == "its constructor" else self._timeout
        while not self._ready.poll(min(100 * limit, MAX_POLL_MS)):  # ms: a tenth of the limit
            now = time.monotonic()
            if calls != self._calls[0]:
                calls, since = int(self._calls[0]), now
            elif now - since > limit:
                self.kill()
                raise EnvError(
                    f"environment {self.place} is stuck in {what} at step {step}: no answer for {limit:g} s. "
                    "If it may take longer, raise env_timeout"
                )
        answer = os.read(self.answers.fileno(), 1)
        if not answer:
            raise self._dead(what, step)
        if answer == b"f":
            where, name, text, trace = self.answers.recv()
            fault = EnvError(f"environment {self.place} raised in {where} at step {step}: {name}: {text}")
            fault.add_note(trace)
            raise fault

    def _dead(self, what: str, step: int) -> EnvError:
        assert self._process is not None
        code, self.alive = self._process.wait(), False
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        each = f"environments {self.numbers[0]} to {self.numbers[-1]}"
        return EnvError(
            f"env worker {self._k} (process {self.pid}) of {each} died in {what} of environment {self.place} "
            f"at step {step}: {how}"
        )

    def kill(self) -> None:
        """End it at once."""
        self.alive = False
        if self._process is not None:
            self._process.kill()

    def request_exit(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self.commands.close()

    def join(self, seconds: float) -> None:
        """Wait until it has ended; after ``seconds`` it is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.answers.close()
