"""Ctrl-C and SIGTERM while training: the first asks to stop, a second one ends the process immediately."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from proximax.envs import kill_all
from proximax.errors import Interrupted
from proximax.runtime import SIGNALS

# What ``signal.signal`` takes and returns.
Handler = Callable[[int, FrameType | None], Any] | int | None
# Saving within 20 s of SIGTERM is what a cluster waits for: an update that takes longer than this is abandoned.
PATIENCE_SECONDS = 15.0


class Interrupts:
    """While it is entered, a first SIGINT or SIGTERM is noted, and ``check`` raises it between two updates.

    Python runs signal handlers only between two instructions of the main thread, which may be seconds deep in a
    compiled program: so a thread of its own reads the signals. Outside the main thread none can be caught.
    ``agree``: where several processes train together, what all of them make of the numbers of their signals (0: none).
    """

    def __init__(self, agree: Callable[[int], int] | None = None) -> None:
        self._agree = agree
        self.caught: int | None = None
        self._raised: int | None = None  # as ``KeyboardInterrupt``, wherever the main thread was
        self._acknowledged = threading.Event()  # by ``check``, or the run has ended
        self._before: dict[int, Handler] = {}
        self._writer: socket.socket | None = None  # to which Python writes a byte for each signal
        self._wakeup_before = -1

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is not threading.main_thread():
            return self
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        self._writer, self._wakeup_before = writer, signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup or a shell's & has it
                self._before[number] = signal.signal(number, _noop_handler)
        threading.Thread(target=self._watch, args=(reader,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._acknowledged.set()
        if self._writer is None:
            return
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set by Python
        self._writer.close()  # ends the thread

    def _watch(self, reader: socket.socket) -> None:
        """Read a byte for each signal, until the other end is closed."""
        while byte := reader.recv(1):
            if byte[0] not in self._before:
                continue
            if self.caught is not None:
                end(byte[0])
            self.caught = byte[0]
            name = signal.Signals(byte[0]).name
            SIGNALS.warning(f"{name}: stopping after this update; press Ctrl-C again to exit immediately")
            if byte[0] == signal.SIGTERM:
                threading.Thread(target=self._wait, daemon=True).start()
        reader.close()

    def _wait(self) -> None:
        """End the process if the update takes too long."""
        if not self._acknowledged.wait(PATIENCE_SECONDS):
            SIGNALS.warning("timed out; exiting without a new checkpoint")
            end(signal.SIGTERM)

    def check(self) -> None:
        """Raise ``Interrupted`` if there was a signal, in any of the processes."""
        number = self._raised or self.caught or 0
        if self._agree is not None:
            number = self._agree(number)
        if number:
            self._acknowledged.set()
            raise Interrupted(number)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within the block a first signal raises ``KeyboardInterrupt``: what it interrupts need not be finished."""
        if self._agree is not None:  # one process alone must not leave the others waiting
            yield
            return
        self.check()
        try:
            self._handle(self._raise)
            yield
        finally:
            self._handle(_noop_handler)

    def _handle(self, handler: Handler) -> None:
        for number in self._before:
            signal.signal(number, handler)

    def _raise(self, number: int, _: object) -> None:
        self._raised = number
        self._acknowledged.set()
        raise KeyboardInterrupt


def _noop_handler(*_: object) -> None:
    """The signal handler between interruptible blocks: the thread that reads the signals acts on them."""


def end(number: int) -> None:
    """End this process and its environments' now."""
    kill_all()
    os._exit(128 + number)
