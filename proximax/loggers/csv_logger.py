"""metrics.csv and evaluations.csv: their numbers for spreadsheets and for those who read them without pandas."""

import csv
import io
import logging
from pathlib import Path
from typing import Any

from proximax.errors import CheckpointError
from proximax.loggers.base import LoggedRun, Logger, Rows
from proximax.runs import EVALUATIONS_FILE, read_metrics
from proximax.runtime import open_to_append, storing

logger = logging.getLogger(__name__)

FILE, EVALUATIONS = "metrics.csv", "evaluations.csv"


class CsvLogger(Logger):
    """A line per update and seed, and in a file of its own one per evaluation and seed; ``final`` is 1 in the last.

    Of a resumed run both are written again from metrics.jsonl and evaluations.jsonl, so that no line is there twice.
    """

    def __init__(self, run: LoggedRun) -> None:
        assert run.directory is not None
        self._metrics = CsvFile(run.directory / FILE)
        self._evaluations = CsvFile(run.directory / EVALUATIONS)
        self.write(list(run.rows))
        try:
            earlier = [] if run.steps is None else read_metrics(run.directory / EVALUATIONS_FILE)
        except CheckpointError:  # most runs have none
            earlier = []
        self.write_evaluation(earlier, final=False)

    def write(self, rows: Rows) -> None:
        """Append the numbers of the rows."""
        self._metrics.write(rows)

    def write_evaluation(self, rows: Rows, final: bool) -> None:
        """Append an evaluation."""
        self._evaluations.write([row | {"final": int(final)} for row in rows])

    def close(self) -> None:
        """Close the files."""
        self._metrics.close()
        self._evaluations.close()


class CsvFile:
    """A new file, from its first row on; its columns are the numbers of that row, in its order, lists left out.

    An empty field is null. A disk that takes no more ends the file, with a warning, and not the run.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._columns = path, list[str]()
        with storing(path):
            self._file: io.FileIO | None = open_to_append(path)
            self._file.truncate(0)

    def write(self, rows: Rows) -> None:
        """Append the rows."""
        if self._file is None or not rows:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._columns:
            self._columns = [name for name, value in rows[0].items() if not isinstance(value, (list, dict))]
            writer.writerow(self._columns)
        writer.writerows([[field(row.get(name)) for name in self._columns] for row in rows])
        rest = text.getvalue().encode()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            logger.warning(f"{self._path}: {error.strerror}; no more is written to it")
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def field(value: Any) -> Any:
    """As ``csv`` writes it: a float with all its digits, nothing for None."""
    return repr(value) if isinstance(value, float) else value
