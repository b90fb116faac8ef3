"""The one reader of ``metrics.jsonl``: for the doctor, comparisons, and runs that are resumed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proximax.errors import CheckpointError
from proximax.runs.metrics import current_metrics
from proximax.runtime import open_plain, regular_size

MAX_METRICS_BYTES = 2**30  # of a file that is read; a row has some 800 bytes
MAX_LINE_BYTES = 2**20
MAX_NUMBER = 1e308  # an integer beyond it is not a float
REQUIRED = ("update", "seed", "steps")  # integers, in every row


def read_metrics(path: Path, max_bytes: int | None = MAX_METRICS_BYTES) -> list[dict[str, Any]]:
    """The rows of a ``metrics.jsonl``, under the names that metrics have in this version.

    A last line that is not complete is skipped: its run may be writing it. Of any other line the place is named.
    Nobody has to trust the file: links, pipes and devices are refused, as are files of more than ``max_bytes``
    (None: no limit) and rows that are not numbers. Raises ``CheckpointError``.
    """
    try:
        size = regular_size(path)
        if max_bytes is not None and size > max_bytes:
            raise CheckpointError(f"{path} has {size:,} bytes; at most {max_bytes:,} are read")
        return [parse_row(line, f"{path}, line {i}") for i, line in enumerate(_lines(path), 1)]
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: {path.parent} is not the directory of a run") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _lines(path: Path) -> Iterator[bytes]:
    """The complete lines of a file: those that end, and a last one that holds a whole value."""
    with open_plain(path) as file:
        while line := file.readline(MAX_LINE_BYTES):
            if line.endswith(b"\n") or _is_json(line):
                yield line
            elif len(line) == MAX_LINE_BYTES:
                raise CheckpointError(f"{path} has a line of more than {MAX_LINE_BYTES:,} bytes")


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def parse_row(line: bytes, place: str) -> dict[str, Any]:
    """One row: an object of numbers, null and lists, with integers for update, seed and steps."""
    try:
        row = current_metrics(json.loads(line))
        numbers = [x for x in row.values() if x is not None and not isinstance(x, list)]
        integers = all(type(row[name]) is int for name in REQUIRED)
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{place}: not a row of metrics: {error!r}. Was the file edited?") from error
    if not integers or not all(isinstance(x, (int, float)) and abs(x) < MAX_NUMBER for x in numbers):
        raise CheckpointError(f"{place}: not a row of metrics: values must be numbers. Was the file edited?")
    return row
