"""The metrics of a run as they grow: each look reads on where the last one ended."""

import io
import os
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from proximax.errors import CheckpointError
from proximax.ppo import RATIO_EDGES
from proximax.runs import MAX_LINE_BYTES, MAX_METRICS_BYTES, METRICS, parse_row
from proximax.runtime import open_plain

EXACT = ("update", "steps", "time_s")  # as float64: a float32 has no number beyond 16 million exactly
HISTOGRAM = "ratio_histogram"
NUMBERS = tuple(name for name in METRICS if name not in (*EXACT, "seed", HISTOGRAM))  # as float32
BUCKETS = len(RATIO_EDGES) + 1
SPANS = 128  # of updates, whose ratios are kept together
MAX_UPDATE, MAX_COUNT = 2**53, 1e300
_numbers = count()
TAIL = 64  # bytes before the place that was reached, which must be the same when reading continues


class SeedColumns:
    """The rows of one seed, by columns."""

    def __init__(self) -> None:
        self.count = 0
        self._exact = np.empty((0, len(EXACT)))
        self._numbers = np.empty((0, len(NUMBERS)), np.float32)
        self._new: list[dict[str, Any]] = []
        self._logged = set[str]()

    def add(self, row: dict[str, Any]) -> None:
        """One more row."""
        self._new.append(row)

    def settle(self) -> None:
        """Put the rows that were added into the arrays."""
        if not self._new:
            return
        size = self.count + len(self._new)
        if size > len(self._exact):
            room = max(size, 2 * len(self._exact), 256) - self.count
            self._exact, self._numbers = (
                np.concatenate([old[: self.count], np.empty((room, old.shape[1]), old.dtype)])
                for old in (self._exact, self._numbers)
            )
        for array, names in ((self._exact, EXACT), (self._numbers, NUMBERS)):
            with np.errstate(over="ignore"):
                array[self.count : size] = table_of(self._new, names)
        self._logged.update(*self._new)
        self.count, self._new = size, []

    def column(self, name: str) -> np.ndarray:
        """``[count]``: a metric; NaN where it was not logged."""
        source, names = (self._exact, EXACT) if name in EXACT else (self._numbers, NUMBERS)
        return source[: self.count, names.index(name)]

    def all_columns(self) -> dict[str, np.ndarray]:
        """Every metric that was logged, as the doctor reads them."""
        names = [name for name in (*EXACT, *NUMBERS) if name in self._logged]
        return {name: np.asarray(self.column(name), np.float64) for name in names}


def table_of(rows: list[dict[str, Any]], names: tuple[str, ...]) -> np.ndarray:
    """``[rows, names]``: metrics as numbers; NaN where a row has none, or something else."""
    values = [list(map(row.get, names)) for row in rows]
    try:
        return np.array(values, np.float64).reshape(len(rows), len(names))
    except (TypeError, ValueError):  # a list in the place of a number
        return np.array([[None if isinstance(x, list) else x for x in row] for row in values], np.float64)


class RatioHistory:
    """Histograms of the ratios, those of all seeds together: of the last update, and of some spans of updates."""

    def __init__(self) -> None:
        self.counts = np.zeros((SPANS, BUCKETS))
        self.ends = np.zeros(SPANS)  # the steps at which each span ended
        self.updates_per_span, self.used = 1, 0
        self.latest, self.updates = np.zeros(BUCKETS), 0  # of the last of so many updates

    def add(self, rows: list[dict[str, Any]]) -> None:
        """The histograms of rows, of those that have one."""
        usable = [row for row in rows if 1 <= row["update"] <= MAX_UPDATE and is_histogram(row.get(HISTOGRAM))]
        if not usable:
            return
        values = np.array([row[HISTOGRAM] for row in usable], np.float64)
        updates = np.array([row["update"] for row in usable], np.int64)
        if updates[-1] != self.updates:
            self.latest, self.updates = np.zeros(BUCKETS), int(updates[-1])
        self.latest = self.latest + values[updates == updates[-1]].sum(axis=0)
        while (updates.max() - 1) // self.updates_per_span >= SPANS:
            self._halve()
        spans = (updates - 1) // self.updates_per_span
        np.add.at(self.counts, spans, values)
        np.maximum.at(self.ends, spans, np.array([float(row["steps"]) for row in usable]))
        self.used = max(self.used, int(spans.max()) + 1)

    def _halve(self) -> None:
        """Put every two spans together."""
        half = SPANS // 2
        self.counts = np.concatenate([self.counts[0::2] + self.counts[1::2], np.zeros((half, BUCKETS))])
        self.ends = np.concatenate([np.maximum(self.ends[0::2], self.ends[1::2]), np.zeros(half)])
        self.updates_per_span, self.used = 2 * self.updates_per_span, (self.used + 1) // 2


def is_histogram(counts: object) -> bool:
    """Whether a row has a histogram of the ratios, and not something that only a stranger writes there."""
    if not isinstance(counts, list) or len(counts) != BUCKETS:
        return False
    return set(map(type, counts)) <= {int, float} and min(counts) >= 0 and sum(counts) < MAX_COUNT


class MetricsReader:
    """Reads ``metrics.jsonl`` of the ``seeds`` of a run, a part at a time, from where it has got to.

    Begins again where the file is another one, has become shorter, or holds something else before that place: its run
    was resumed from an earlier checkpoint, or trained again. Nobody has to trust the file (``runs.metrics_file``).
    """

    def __init__(self, path: Path, seeds: range) -> None:
        self.path, self._allowed = path, seeds
        self.generation = 0  # changes where the reader has begun again
        self.made = next(_numbers)  # another reader of the file is not this one
        self._restart((0, 0))

    def _restart(self, identity: tuple[int, int]) -> None:
        self.seeds: dict[int, SeedColumns] = {}
        self.ratios = RatioHistory()
        self.rows, self.offset, self._tail, self._identity = 0, 0, b"", identity
        self.complete, self.fault = False, ""
        self.generation += 1

    @property
    def version(self) -> str:
        """Changes whenever there is something new."""
        return f"{self.generation}.{self.rows}"

    def read(self, deadline: float) -> None:
        """Read on, until the end of the file or the ``deadline`` (``time.monotonic``); ``complete`` says which."""
        try:
            with open_plain(self.path) as file:
                self._read(file, deadline)
        except FileNotFoundError:
            if self.rows:
                self._restart((0, 0))
            self.complete = True
        except (CheckpointError, OSError) as error:
            self.fault, self.complete = f"{error}", True
        for columns in self.seeds.values():
            columns.settle()

    def _read(self, file: io.BufferedReader, deadline: float) -> None:
        status = os.fstat(file.fileno())
        identity = status.st_dev, status.st_ino
        if identity != self._identity or status.st_size < self.offset or not self._continues(file):
            self._restart(identity)
        if self.fault:
            return
        if status.st_size > MAX_METRICS_BYTES:
            raise CheckpointError(f"{self.path} has {status.st_size:,} bytes; at most {MAX_METRICS_BYTES:,} are read")
        self.complete = False
        while not self.complete:
            file.seek(self.offset)
            data = file.read(MAX_LINE_BYTES)
            end = data.rfind(b"\n") + 1
            if not end and len(data) == MAX_LINE_BYTES:
                raise CheckpointError(f"{self.path} has a line of more than {MAX_LINE_BYTES:,} bytes")
            self._take(data[:end])
            self.complete = not end  # of a last line that is not whole the rest is still to come
            if time.monotonic() > deadline:
                break

    def _continues(self, file: io.BufferedReader) -> bool:
        """Whether what is before the place that was reached is what was read."""
        file.seek(self.offset - len(self._tail))
        return file.read(len(self._tail)) == self._tail

    def _take(self, data: bytes) -> None:
        """Whole lines."""
        rows: list[dict[str, Any]] = []
        try:
            for line in data.split(b"\n")[:-1]:
                row = parse_row(line, f"{self.path}, row {self.rows + 1}")
                self.rows += 1
                if row["seed"] in self._allowed:
                    rows.append(row)
                    self.seeds.setdefault(row["seed"], SeedColumns()).add(row)
        finally:
            self.ratios.add(rows)
        if data:
            self.offset, self._tail = self.offset + len(data), (self._tail + data)[-TAIL:]
