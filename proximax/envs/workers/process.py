"""The parent's side of one worker process; ``main`` is the worker's."""

import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection

from proximax.envs.env_checker import what_was_raised
from proximax.envs.workers import main, watchdog
from proximax.envs.workers.main import Arrays
from proximax.errors import EnvError
from proximax.runtime import forget_private, keep_from_children

POLL_MS = 1000.0  # at most, between two looks whether the process lives
START_SECONDS = 60.0  # allowed for starting Python and importing the environment, whatever the time limit of a call


class Worker:
    """One process, and the pipes to it. ``alive``: whether it can continue after an error."""

    commands: Connection
    answers: Connection
    alive = False

    def __init__(
        self, job: bytes, k: int, numbers: range, memory: int, arrays: Arrays, timeout: float, spins: bool = False
    ) -> None:
        self.numbers, self._spins = numbers, spins
        self._spin: main.Spin | None = None
        self._job, self._k, self._memory, self._timeout = job, k, memory, timeout
        self._calls, self._current = arrays.calls[0][k : k + 1], arrays.current[0][k : k + 1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it replaces a previous one."""
        if self._process is not None:
            self.kill()
            self.request_exit()
            self.join(0.0)
        commands_read, commands_write = os.pipe()
        answers_read, answers_write = os.pipe()
        self.commands, self.answers = (
            Connection(commands_write, readable=False),
            Connection(answers_read, writable=False),
        )
        for end in (commands_write, answers_read):
            keep_from_children(end)
        self._ready = select.poll()
        self._ready.register(answers_read, select.POLLIN)
        self._spin = main.Spin(answers_read) if self._spins else None
        passed = (commands_read, answers_write, self._memory)
        # -P: its folder does not go on the module path
        line = [sys.executable, "-P", watchdog.__file__, main.__file__, *map(str, passed)]
        try:
            self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, pass_fds=passed)
        finally:
            os.close(commands_read)
            os.close(answers_write)
        self.pid, self.alive = self._process.pid, True
        with suppress(BrokenPipeError):  # it has died, which ``wait`` reports
            self.commands.send(sys.path)
            self.commands.send_bytes(self._job)

    @property
    def current_env(self) -> int:
        """The number of the environment of its latest call."""
        return int(self._current[0])

    def send(self, command: bytes) -> None:
        """Send a command; ``wait`` reports a worker that has died."""
        with suppress(BrokenPipeError):
            os.write(self.commands.fileno(), command)

    def send_object(self, value: object) -> None:
        """Send the data that follows a command."""
        with suppress(BrokenPipeError):
            self.commands.send(value)

    def reset(self, seeds: list[int]) -> None:
        """Start a reset of its environments; ``seeds`` are those of all environments."""
        self.send(b"r")
        self.send_object([seeds[i] for i in self.numbers])

    def recreate_env(self, seed: int) -> None:
        """Let it re-create the environment that raised, and continue."""
        self.send(b"a")
        self.send_object(seed)

    def wait(self, method: str, step: int) -> None:
        """Wait for the answer; raises ``EnvError`` where the environment raised, hangs or its process died."""
        if self._spin is not None:
            self._spin.found()
        calls, since = 0, time.monotonic()
        limit = max(self._timeout, START_SECONDS) if method == "its constructor" else self._timeout
        while not self._ready.poll(min(100 * limit, POLL_MS)):  # a tenth of the limit, or less
            # A child that an environment forked keeps the pipe of a dead process open.
            if self._has_exited() and not self._ready.poll(0):
                raise self._death(method, step)
            time_now = time.monotonic()
            if calls != self._calls[0]:
                calls, since = int(self._calls[0]), time_now
            elif time_now - since > limit:
                self.kill()
                raise EnvError(
                    f"environment {self.current_env} is stuck in {method} at step {step}: no answer for {limit:g} s. "
                    "If it may take longer, raise env_timeout"
                )
        answer = os.read(self.answers.fileno(), 1)
        if not answer:
            raise self._death(method, step)
        if answer == b"f":
            raised_in, name, text, trace = self.answers.recv()
            error = EnvError(f"environment {self.current_env} {what_was_raised(raised_in, step, name, text)}")
            error.add_note(trace)
            raise error

    def _has_exited(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _death(self, method: str, step: int) -> EnvError:
        assert self._process is not None
        code, self.alive = self._process.wait(), False
        cause = f"signal {-code}" if code < 0 else f"exit status {code}"
        envs = f"environments {self.numbers[0]} to {self.numbers[-1]}"
        return EnvError(
            f"env worker {self._k} (process {self.pid}) of {envs} died in {method} of environment {self.current_env} "
            f"at step {step}: {cause}"
        )

    def kill(self) -> None:
        """Kill the process."""
        self.alive = False
        if self._process is not None:
            self._process.kill()

    def request_exit(self) -> None:
        """Ask the process to exit, by closing its pipe."""
        if self._process is not None:
            close_connection(self.commands)

    def join(self, seconds: float) -> None:
        """Wait until the process has exited; kill it after ``seconds``."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        close_connection(self.answers)


def close_connection(connection: Connection) -> None:
    """Close this process's end of a pipe."""
    if not connection.closed:
        forget_private(connection.fileno())
        connection.close()
