"""After runs: what several of them reached, side by side.

Read ``comparison`` (train or read several runs, one table), ``plots`` (its figures) and ``curves`` (learning curves of
any runs).
"""

from proximax.reports.comparison import compare, table
from proximax.reports.curves import plot
from proximax.reports.plots import draw_returns, draw_updates

__all__ = [
    "compare",
    "draw_returns",
    "draw_updates",
    "plot",
    "table",
]
