"""The doctor while a run trains."""

from typing import Any

from proximax.config import RunConfig
from proximax.doctor.diagnosis import Finding, columns, run_checks
from proximax.runs import Every

NUM_CHECKS = 20  # over a run
MAX_KEPT_UPDATES = 256  # updates whose rows are kept, evenly thinned


class LiveDoctor:
    """Checks a run while it trains, twenty times, on a few hundred of its updates: milliseconds for each seed."""

    def __init__(self, config: RunConfig) -> None:
        self.findings: list[Finding] = []  # of the latest checks
        self._config, self._stride = config, 1
        self._checks = Every.share(NUM_CHECKS, config.updates)
        self._kept: list[list[dict[str, Any]]] = []

    def observe(self, rows: list[dict[str, Any]]) -> bool:
        """Take the rows of an update; whether the checks ran on this occasion."""
        update = rows[0]["update"]
        if self._is_kept(update):
            self._kept.append(rows)
        if len(self._kept) > MAX_KEPT_UPDATES:
            self._stride *= 2
            self._kept = [kept for kept in self._kept if self._is_kept(kept[0]["update"])]
        if not self._checks.due(update):
            return False
        self.findings = run_checks(columns(row for rows in self._kept for row in rows), self._config)
        return True

    def _is_kept(self, update: int) -> bool:
        """The first update, which the others are compared with, and every ``_stride``-th."""
        return update == 1 or Every(self._stride).due(update)
