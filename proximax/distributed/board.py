"""What the command and the workers of Ray tell one another while a training runs."""

import time

OUT, ERR, WARNING = 1, 2, 3  # what a text is: output of rank 0 on stdout, on stderr, or why all are started again
LOST = "a worker of Ray was lost, or there is room for more"
Said = list[tuple[int, str]]


class Board:
    """An actor of Ray: the workers ask it every second, the command writes a signal to it and reads what they say."""

    def __init__(self) -> None:
        self._code: int | None = None
        self._signal = 0
        self._asked_s = time.monotonic()
        self._starts, self._warned = 0, False
        self._said: Said = []

    def begin(self) -> tuple[int | None, int]:
        """Of the worker of rank 0: all are started, perhaps again; as ``ask``."""
        if self._starts and not self._warned:
            self._said.append((WARNING, LOST))
        self._starts, self._warned = self._starts + 1, False
        return self.ask()

    def ask(self) -> tuple[int | None, int]:
        """Of a worker that is alive: (``code``, the signal that came, 0 for none)."""
        self._asked_s = time.monotonic()
        return self._code, self._signal

    def tell(self, kind: int, text: str) -> None:
        """Of a worker: its process's output, or why it failed; the first of those that fail together is heard."""
        if kind != WARNING or not self._warned:
            self._said.append((kind, text))
        self._warned = self._warned or kind == WARNING

    def end(self, code: int) -> None:
        """Of a worker: the training is over, with this exit code; the first one holds."""
        self._code = code if self._code is None else self._code

    def code(self) -> int | None:
        """The exit code by which the training has ended for good, None while it continues."""
        return self._code

    def signal(self, number: int) -> None:
        """Of the command: all processes are to get this signal."""
        self._signal = number

    def look(self) -> tuple[float, Said]:
        """For how many seconds no worker has asked, and what was said since the last look."""
        said, self._said = self._said, []
        return time.monotonic() - self._asked_s, said
