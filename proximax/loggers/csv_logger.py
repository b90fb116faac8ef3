"""metrics.csv: the numbers of metrics.jsonl for spreadsheets and for those who read them without pandas."""

import csv
import io
import logging
from typing import Any

from proximax.loggers.base import LoggedRun, Logger, Rows
from proximax.runtime import open_to_append, storing

logger = logging.getLogger(__name__)

FILE = "metrics.csv"


class CsvLogger(Logger):
    """A line per update and seed; the columns are the numbers of the first row, in its order, lists left out.

    An empty field is null. Of a resumed run the file is written again from its metrics.jsonl, so that no line is there
    twice. A disk that takes no more ends the file, with a warning, and not the run.
    """

    def __init__(self, run: LoggedRun) -> None:
        assert run.directory is not None
        self._path, self._columns = run.directory / FILE, list[str]()
        with storing(self._path):
            self._file: io.FileIO | None = open_to_append(self._path)
            self._file.truncate(0)
        self.write(list(run.rows))

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
