"""After runs: what several of them reached, side by side.

Read ``comparison`` (train or read several runs, one table) and ``plots`` (its figures).
"""

from proximax.reports.comparison import compare, table
from proximax.reports.plots import draw_returns, draw_updates

__all__ = [
    "compare",
    "draw_returns",
    "draw_updates",
    "table",
]
