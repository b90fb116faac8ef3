"""After runs: what several of them reached, side by side.

Read ``comparison`` (train or read several runs, one table), with ``training_plan`` (what it trains), ``run_groups``
(which runs belong together), ``run_summary`` (their numbers), ``aggregation`` and ``reliability`` (statistics over
environments), ``tables``; ``curves`` (learning curves of any runs); ``figures`` (colours, formats), ``plots``,
``score_plots`` and ``diagnostics`` (the figures); ``page`` (runs as one HTML file), ``reproduction`` (the command that
trains a run again).
"""

from proximax.reports.aggregation import References
from proximax.reports.comparison import (
    DEFAULT_SEEDS,
    compare,
    execute_comparison,
    files_of,
    nearby,
    plan_comparison,
)
from proximax.reports.curves import plot
from proximax.reports.figures import COLOURS, FORMATS, SETTINGS, check_formats, require_matplotlib
from proximax.reports.page import report
from proximax.reports.plots import draw_returns, draw_updates
from proximax.reports.run_groups import has_runs
from proximax.reports.tables import score_table, table
from proximax.reports.training_plan import DEFAULT_ALGOS

__all__ = [
    "COLOURS",
    "DEFAULT_ALGOS",
    "DEFAULT_SEEDS",
    "FORMATS",
    "SETTINGS",
    "References",
    "check_formats",
    "compare",
    "draw_returns",
    "draw_updates",
    "execute_comparison",
    "files_of",
    "has_runs",
    "nearby",
    "plan_comparison",
    "plot",
    "report",
    "require_matplotlib",
    "score_table",
    "table",
]
