"""What the command and the workers of Ray tell one another while a training runs."""

import time


class Board:
    """An actor of Ray: the workers ask it every second, the command writes a signal to it and looks who still asks."""

    def __init__(self) -> None:
        self._code: int | None = None
        self._signal = 0
        self._asked_s = time.monotonic()

    def end(self, code: int) -> None:
        """Of a worker: the training is over, with this exit code; the first one holds."""
        self._code = code if self._code is None else self._code

    def code(self) -> int | None:
        """The exit code by which the training has ended for good, None while it goes on."""
        return self._code

    def signal(self, number: int) -> None:
        """Of the command: all processes are to get this signal."""
        self._signal = number

    def ask(self) -> tuple[int | None, int]:
        """Of a worker that is alive: (``code``, the signal that came, 0 for none)."""
        self._asked_s = time.monotonic()
        return self._code, self._signal

    def silence(self) -> float:
        """For how many seconds no worker has asked."""
        return time.monotonic() - self._asked_s
