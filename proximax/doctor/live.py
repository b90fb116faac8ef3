"""The doctor while a run trains."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from proximax.config import RunConfig
from proximax.doctor.diagnosis import Finding, columns, run_checks
from proximax.runs import Every

NUM_CHECKS = 20  # over a run
MAX_KEPT_UPDATES = 256  # updates whose rows are kept, evenly thinned


class LiveDoctor:
    """Checks a run while it trains, twenty times, on a few hundred of its updates: milliseconds for each seed."""

    def __init__(self, config: RunConfig, earlier: Iterable[dict[str, Any]] = ()) -> None:
        """``earlier``: the rows of a resumed run so far, without which it would seem never to have learned."""
        self.findings: list[Finding] = []  # of the latest checks
        self._config, self._stride = config, 1
        self._checks = Every.share(NUM_CHECKS, config.updates)
        self._kept: list[list[dict[str, Any]]] = []
        for _, rows in groupby(earlier, key=lambda row: row["update"]):
            self._keep(list(rows))

    def observe(self, rows: list[dict[str, Any]]) -> bool:
        """Take the rows of an update; whether the checks ran on this occasion."""
        self._keep(rows)
        if not self._checks.due(rows[0]["update"]):
            return False
        self.findings = run_checks(columns(row for rows in self._kept for row in rows), self._config)
        return True

    def _keep(self, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of an update, or not; thin out those that are kept where they are too many."""
        if self._is_kept(rows[0]["update"]):
            self._kept.append(rows)
        if len(self._kept) > MAX_KEPT_UPDATES:
            self._stride *= 2
            self._kept = [kept for kept in self._kept if self._is_kept(kept[0]["update"])]

    def _is_kept(self, update: int) -> bool:
        """The first update, which the others are compared with, and every ``_stride``-th."""
        return update == 1 or Every(self._stride).due(update)
