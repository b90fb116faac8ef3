"""How many updates to make in one call of the compiled program."""

import time

from proximax.ppo import MAX_UPDATES_PER_CALL

SECONDS_PER_CALL = 0.25  # a call's length to aim for: progress is shown, and a run can be interrupted, that often


class ChunkSizer:
    """How many updates to ask for, so that a call takes about SECONDS_PER_CALL; the first one, which compiles: 1."""

    def __init__(self) -> None:
        self._asked, self._when = 0, 0.0

    def next(self, most: int) -> int:
        """At most ``most``, and at most four times as many as the last time."""
        now = time.perf_counter()
        ideal = self._asked * SECONDS_PER_CALL / max(now - self._when, 1e-6)
        self._asked, self._when = max(int(min(ideal, 4 * self._asked, MAX_UPDATES_PER_CALL, most)), 1), now
        return self._asked
