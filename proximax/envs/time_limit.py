"""A limit on how long a call of an environment in this process may take, and closing that costs no run.

A worker process that hangs is killed; this one is needed. A thread watches each call, and after the limit interrupts
the main thread by a signal: that ends whatever waits and whatever runs Python. Code in C that never returns cannot be
interrupted, nor can other threads: then a line says where the time goes.
"""

import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from proximax.errors import ENV_ERRORS, EnvError, describe

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 300.0  # for a call of an environment, unless ``env_timeout`` says otherwise
CONSTRUCTOR_SECONDS = 30.0  # allowed for a constructor, which may import much, whatever the limit of a call
GRACE_SECONDS = 5.0  # after the signal, until a line says that it had no effect
# One that programs hardly use; macOS has no such signals, Windows none at all.
SIGNAL = signal.SIGRTMAX - 2 if hasattr(signal, "SIGRTMAX") else getattr(signal, "SIGALRM", None)
MAIN = threading.main_thread().ident
_expired: "CallLimit | None" = None  # whose call is to be interrupted
_prepared = False  # whether the main thread handles the signal
_reported: set[str] = set()  # what environments raised in ``close``


class CallTimeout(BaseException):
    """Raised in the call that took too long. No ``Exception``: an environment that catches those must not catch it."""


class CallLimit:
    """Watches the calls of an environment: ``with limit("step", 12): env.step(...)`` raises ``EnvError`` after it."""

    def __init__(self, seconds: float = TIMEOUT_SECONDS) -> None:
        self.seconds = seconds
        self.method, self.step = "", 0
        self.began: float | None = None  # of the call under way, by ``time.monotonic``
        self.interruptible = False  # whether it is made by the main thread
        self._over: threading.Event | None = None  # ends the thread that watches

    def __call__(self, method: str, step: int = 0) -> "CallLimit":
        """The call that the ``with`` block makes."""
        self.method, self.step = method, step
        return self

    def __enter__(self) -> None:
        if self._over is None:
            self._over = threading.Event()
            weakref.finalize(self, self._over.set)
            self._thread = threading.Thread(target=watch, args=(weakref.ref(self), self._over), daemon=True)
            self._thread.start()
        self.interruptible = threading.get_ident() == MAIN
        if self.interruptible and not _prepared:
            prepare_signal()
        self.began = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.began = None
        if kind is CallTimeout:
            raise EnvError(f"the environment is {self.text}. If it may take longer, raise env_timeout") from error

    def run(self, method: str, call: Callable[[], Any]) -> Any:
        """``call()``, within the limit."""
        with self(method):
            return call()

    def stop(self) -> None:
        """End the thread that watches; another call would start another one."""
        if self._over is not None:
            self._over.set()
            self._thread.join()
            self._over = None

    @property
    def limit(self) -> float:
        """Seconds that the present call may take."""
        return max(self.seconds, CONSTRUCTOR_SECONDS) if self.method == "its constructor" else self.seconds

    @property
    def text(self) -> str:
        """The message about a call that takes too long."""
        return f"stuck in {self.method} at step {self.step}: no answer for {self.limit:g} s"


def prepare_signal() -> None:
    """Let the signal interrupt the main thread, which alone can ask for it."""
    global _prepared  # once in a process
    _prepared = True
    if SIGNAL is not None:
        signal.signal(SIGNAL, interrupt)


def interrupt(number: int, frame: FrameType | None) -> None:
    """The signal's handler: raises in the call that is too long, unless it has returned by now."""
    if _expired is not None and _expired.began is not None:
        raise CallTimeout


def watch(reference: "weakref.ref[CallLimit]", over: threading.Event) -> None:
    """Interrupt each call that takes too long, until the limit is no longer used."""
    global _expired  # a signal carries no argument
    signalled: float | None = None  # the beginning of the call that was interrupted
    seconds = 0.1
    while not over.wait(min(1.0, seconds / 4)) and (limit := reference()) is not None:
        began, seconds = limit.began, limit.limit
        if began is not None and began != signalled and time.monotonic() - began > seconds:
            signalled, _expired = began, limit
            # Without its handler the signal would end the process.
            if limit.interruptible and SIGNAL and MAIN and signal.getsignal(SIGNAL) is interrupt:
                signal.pthread_kill(MAIN, SIGNAL)
            over.wait(GRACE_SECONDS if limit.began == began else 0.0)
            if limit.began == began:
                logger.error(f"the environment is {limit.text}, and cannot be interrupted: end process {os.getpid()}")
        del limit


def close_quietly(close: Callable[[], Any], limit: CallLimit) -> None:
    """Close an environment; what it raises is logged, once: no run is lost because of it."""
    try:
        limit.run("close", close)
    except ENV_ERRORS as error:
        text = describe(error)
        if text not in _reported:
            _reported.add(text)
            logger.warning(f"an environment could not be closed: {text}. It is left as it is")
