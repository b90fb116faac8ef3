"""How the library's messages reach a terminal.

The library itself only logs, to ``logging.getLogger("proximax")`` and its children. ``show_messages`` adds the handler
that prints: for the command line, and for a run in a program that has not configured logging.
"""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

LOGGER = logging.getLogger("proximax")
# Children whose lines look different: the doctor's findings, a run's progress, the answer to Ctrl-C.
DOCTOR, PROGRESS, SIGNALS = (logging.getLogger(f"proximax.{name}") for name in ("doctor", "progress", "signals"))
# After Ctrl-C the terminal's line begins with ^C.
_PREFIXES = {DOCTOR.name: "proximax: doctor: ", PROGRESS.name: "", SIGNALS.name: "\nproximax: "}
_LABELS = {logging.INFO: "note", logging.WARNING: "warning", logging.ERROR: "error"}


def write_stderr(text: str) -> None:
    """Print a line on stderr, escaped. A stderr that takes nothing (a full disk, a closed pipe) ends no run."""
    if sys.stderr is not None:
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        with suppress(OSError, ValueError):
            text = printable(text).encode(encoding, "backslashreplace").decode(encoding)
            print(text, file=sys.stderr, flush=True)


def can_encode(text: str, encoding: str | None) -> bool:
    """Whether a stream of this encoding takes ``text``; None: any text."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeError:
        return False
    return True


def is_terminal(stream: Any) -> bool:
    """Whether a stream itself says so. FORCE_COLOR, which CI sets for colours, does not make a log file a terminal."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):  # there is none, or it is closed
        return False


@contextmanager
def lenient_output() -> Iterator[None]:
    """Within the block stdout and stderr replace what their encoding lacks (ASCII, cp1252), instead of raising."""
    streams = [x for x in (sys.stdout, sys.stderr) if isinstance(x, io.TextIOWrapper) and x.errors == "strict"]
    for stream in streams:
        stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        for stream in streams:
            with suppress(OSError, ValueError):  # it is closed, or takes nothing more
                stream.reconfigure(errors="strict")


def printable(text: str) -> str:
    """``text`` without what a terminal would obey: colours, cursor moves, titles, reversed writing."""
    return "".join(x if x.isprintable() or x == "\n" else x.encode("unicode_escape").decode() for x in text)


class ConsoleHandler(logging.Handler):
    """Prints records on stderr, one line each: ``proximax: note: ...``, ``proximax: warning: ...``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        label = _LABELS.get(record.levelno, record.levelname.lower())
        return _PREFIXES.get(record.name, f"proximax: {label}: ") + record.getMessage()

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        write_stderr(self.format(record))


@contextmanager
def show_messages(quiet: bool = False, always: bool = False) -> Iterator[None]:
    """Print the library's messages on stderr within the block; of a ``quiet`` one only warnings and errors.

    Where the program has configured logging its own handlers get the records and nothing is printed here, unless
    ``always``.
    """
    attached = next((handler for handler in LOGGER.handlers if isinstance(handler, ConsoleHandler)), None)
    if attached is None and LOGGER.hasHandlers() and not always:
        yield
        return
    handler = attached or ConsoleHandler()
    levels = handler.level, LOGGER.level
    handler.setLevel(max(handler.level, logging.WARNING if quiet else logging.INFO))  # quiet blocks stay so
    if LOGGER.level == logging.NOTSET:
        LOGGER.setLevel(logging.INFO)  # else the root's level, which is WARNING, holds
    if attached is None:
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        handler.setLevel(levels[0])
        LOGGER.setLevel(levels[1])
        if attached is None:
            LOGGER.removeHandler(handler)
