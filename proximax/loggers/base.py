"""Where rows of metrics go: a file, TensorBoard, the terminal. A logger gets the rows of each update."""

from collections.abc import Callable
from typing import Any, Protocol

Rows = list[dict[str, Any]]
# Called with the rows of each update; a true result ends training after it.
Callback = Callable[[Rows], bool | None]


class Logger(Protocol):
    """Takes rows until it is closed."""

    def write(self, rows: Rows) -> None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102
