"""The one meaning of "every so many steps". It lives beside the checkpoints, the lowest package that needs it."""

from typing import NamedTuple


class Every(NamedTuple):
    """Due after the first update at or beyond each multiple of ``steps``, where an update takes ``batch`` steps.

    With ``steps`` = 3,000 and ``batch`` = 2,048: after updates 2 (4,096 steps), 3 (6,144), 5 (10,240), 6 (12,288), ...
    Never more often than once an update. Where ``batch`` divides ``steps``: after every ``steps / batch`` updates.
    """

    steps: int
    batch: int = 1

    @classmethod
    def share(cls, times: int, updates: int) -> "Every":
        """``times`` over a run of so many updates, evenly; after each update if there are fewer."""
        return cls(updates, times)

    def due(self, update: int) -> bool:
        """Whether a multiple was reached or passed by the ``update``-th update; never before the first."""
        return update > 0 and self._passed(update) > self._passed(update - 1)

    def next_update(self, update: int) -> int:
        """The first update after ``update`` that is due."""
        return -(-(self._passed(update) + 1) * self.steps // self.batch)

    def _passed(self, update: int) -> int:
        """The multiples reached by then."""
        return update * self.batch // self.steps
