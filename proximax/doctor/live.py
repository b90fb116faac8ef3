"""The doctor on a run that is under way."""

from typing import Any

from proximax.config import RunConfig
from proximax.doctor.diagnosis import Finding, columns, run_checks
from proximax.runs import Every

# ---------------------------------------------------------------- a run that goes on


NUM_CHECKS = 20  # over a run
MAX_KEPT_UPDATES = 256  # updates at most, evenly thinned, that a look is at


class LiveDoctor:
    """Examines a run as it goes on, twenty times, on a few hundred of its updates: milliseconds for each seed."""

    def __init__(self, config: RunConfig) -> None:
        self.findings: list[Finding] = []  # of the latest look
        self._config, self._every = config, 1
        self._checks = Every.share(NUM_CHECKS, config.updates)
        self._kept: list[list[dict[str, Any]]] = []

    def see(self, rows: list[dict[str, Any]]) -> bool:
        """Take the rows of an update; whether that was reason for a look."""
        update = rows[0]["update"]
        if self._keeps(update):
            self._kept.append(rows)
        if len(self._kept) > MAX_KEPT_UPDATES:
            self._every *= 2
            self._kept = [kept for kept in self._kept if self._keeps(kept[0]["update"])]
        if not self._checks.due(update):
            return False
        self.findings = run_checks(columns(row for rows in self._kept for row in rows), self._config)
        return True

    def _keeps(self, update: int) -> bool:
        """The first one, which the others are compared with, and every so many."""
        return update == 1 or Every(self._every).due(update)
