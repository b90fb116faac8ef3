"""What is said to the user on stderr, and how text from files and names is shown."""

import sys
from contextlib import suppress


def say(text: str) -> None:
    """Print a line on stderr. A stderr that takes nothing (a full disk, a reader that went away) ends no run."""
    with suppress(OSError, ValueError):
        print(printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """``text`` without what a terminal would obey: colours, cursor moves, titles, reversed writing."""
    return "".join(x if x.isprintable() or x == "\n" else x.encode("unicode_escape").decode() for x in text)
