"""The progress bar, and the doctor's findings."""

import logging
import time

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from proximax.config import RunConfig
from proximax.doctor import Finding, LiveDoctor
from proximax.loggers.base import Rows
from proximax.runs import Every
from proximax.runtime import DOCTOR, PROGRESS, can_encode

logger = logging.getLogger(__name__)

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"


class TerminalLogger:
    """Live progress on stderr: a bar where there is a terminal, else a line for each tenth of the run.

    And what ``proximax.doctor`` finds: the most severe in a line under the bar; without a terminal each finding is
    logged once, when it first appears.
    """

    def __init__(self, config: RunConfig, update: int = 0) -> None:
        self._config = config
        self._began, self._resumed = time.perf_counter(), update * config.batch_size
        self._console = Console(stderr=True)
        self._live = self._console.is_terminal
        self._shown = 0.0
        self._lines = Every.share(10, config.updates)
        self._doctor = LiveDoctor(config)
        self._reported: set[str] = set()
        if config.atari is not None:
            logger.info(f"frames: {config.atari}")
        if self._live:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.fields[steps]} steps"),
                BarColumn(bar_width=24),
                TextColumn("return [bold]{task.fields[score]}[/]"),
                TextColumn("{task.fields[speed]} steps/s"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=config.updates, steps="0", score="compiling", speed="0")
            self._view = Live(self._bar, console=self._console, transient=True, refresh_per_second=10)
            self._view.start()

    def write(self, rows: Rows) -> None:
        """Show the state of the run, at most ten times a second."""
        now_s, update = time.perf_counter(), rows[0]["update"]
        steps = max(row["steps"] for row in rows)
        scores = [row["return_last_100"] for row in rows if row["return_last_100"] is not None]
        score = f"{sum(scores) / len(scores):.1f}" if scores else "no episode finished"
        new_steps = sum(row["steps"] - self._resumed for row in rows)
        speed = f"{new_steps / max(now_s - self._began, 1e-9):,.0f}"
        if self._live and now_s - self._shown > 0.1:
            self._shown = now_s
            self._bar.update(self._task, completed=update, steps=f"{steps:,}", score=score, speed=speed)
        elif not self._live and self._lines.due(update):
            PROGRESS.info(f"{steps:>12,} steps   return {score}   {speed} steps/s")
        if self._doctor.observe(rows):
            self._report(self._doctor.findings)

    def _report(self, findings: list[Finding]) -> None:
        if self._live:
            worst = [Text(finding.line, "yellow", no_wrap=True, overflow="ellipsis") for finding in findings[:1]]
            self._view.update(Group(self._bar, *worst))
            return
        for finding in findings:
            if finding.name not in self._reported:
                self._reported.add(finding.name)
                DOCTOR.warning(finding.line)

    def close(self) -> None:
        """Remove the bar; what was found last stays."""
        if self._live:
            self._view.stop()
            for finding in self._doctor.findings:
                DOCTOR.warning(finding.line)


def sparkline(values: list[float], width: int = 40, encoding: str | None = None) -> str:
    """A curve in one line of block characters, lowest value to highest; ASCII where ``encoding`` has none."""
    if not values:
        return ""
    at = [values[round(i)] for i in np.linspace(0, len(values) - 1, min(width, len(values)))]
    low, span = min(at), max(max(at) - min(at), 1e-12)
    bars = BARS if can_encode(BARS, encoding) else ASCII_BARS
    return "".join(bars[min(int((v - low) / span * len(bars)), len(bars) - 1)] for v in at)
