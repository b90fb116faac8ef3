"""Progress while training, the table of ``--verbose``, and the doctor's findings: all on stderr."""

import logging
import sys

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.text import Text

from proximax.config import RunConfig
from proximax.doctor import Finding, LiveDoctor
from proximax.envs import EnvId
from proximax.loggers.base import Logger, Rows
from proximax.loggers.progress import Progress, SpeedMeter, file_line, terminal_line
from proximax.loggers.table import metrics_table
from proximax.runtime import DOCTOR, PROGRESS, can_encode, is_terminal, plural

logger = logging.getLogger(__name__)

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
SPINNER, ASCII_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
SAMPLE_S = 0.1  # between updates of the line on a terminal
TABLE_S, LINE_S = 5.0, 30.0  # between tables on a terminal; between lines, or tables, in a file


class ProgressLine:
    """The line that is drawn again and again at the bottom of a terminal."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.waiting_for = "compiling"  # as long as there is no progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        ascii_only = options.ascii_only
        frames = ASCII_SPINNER if ascii_only else SPINNER
        spinner = frames[int(console.get_time() * len(frames)) % len(frames)]
        if self.progress is None:
            yield Text(f"{spinner} {self.waiting_for}", no_wrap=True, overflow="ellipsis")
            return
        layout = terminal_line(self.progress, options.max_width - 2)
        full = layout.bar * self.progress.update // self.progress.updates
        mark, rest = ("#", "-") if ascii_only else ("━", "─")
        text = Text(f"{spinner} {layout.before}  ", no_wrap=True, overflow="ellipsis")
        if layout.bar:
            text.append(mark * full, "green").append(rest * (layout.bar - full) + "  ", "bright_black")
        yield text.append(layout.after)


class TerminalLogger(Logger):
    """Progress on stderr: on a terminal a line that stays in its place, in a file a line every 30 s, first and last.

    ``verbose``: also a table of the metrics, on a terminal every 5 s, in a file instead of the line. The most severe
    finding of ``proximax.doctor`` is shown under the line; in a file each finding once, when it first appears. All
    times are the rows' own, so hundreds of updates a second cost next to nothing.
    """

    def __init__(
        self,
        config: RunConfig,
        update: int = 0,
        verbose: bool = False,
        console: Console | None = None,
        earlier: Rows | None = None,
    ) -> None:
        """``update``: the update that a run is resumed after, ``earlier``: its rows until then.

        ``console``: for tests, instead of stderr.
        """
        self._config, self._verbose = config, verbose
        self._console = console or Console(stderr=True, force_terminal=is_terminal(sys.stderr))
        self._live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._meter, self._rows, self._evaluation, self._episode_rows = SpeedMeter(), Rows(), Rows(), Rows()
        self._sampled_s, self._printed_update = -SAMPLE_S, update
        self._printed_s: float | None = None if update else 0.0  # a resumed run's seconds do not begin at 0
        self._has_ended = False
        self._doctor = LiveDoctor(config, earlier or ())
        self._reported: set[str] = set()
        if config.atari is not None:
            logger.info(f"frames: {config.atari}")
        self._line = ProgressLine()
        if self._live:
            self._view = Live(self._line, console=self._console, transient=True, refresh_per_second=10)
            self._view.start()
        else:
            PROGRESS.info(start_line(config, update))

    def write(self, rows: Rows) -> None:
        """Show the state of the run, where it is time to."""
        time_s, is_last = rows[0]["time_s"], rows[0]["update"] >= self._config.updates
        self._rows = rows
        if self._printed_s is None:
            self._printed_s = time_s
        if self._verbose and any(row["episodes"] for row in rows):
            self._episode_rows = rows
        if time_s - self._sampled_s >= SAMPLE_S or is_last:
            self._sampled_s = time_s
            self._meter.add(rows)
            self._line.progress = self._progress()
        interval = TABLE_S if self._live else LINE_S
        if time_s - self._printed_s >= interval or is_last:
            self._printed_s = time_s
            self._print()
        if self._doctor.observe(rows):
            self._report(self._doctor.findings)

    def write_evaluation(self, rows: Rows, final: bool) -> None:
        """Show it with the next line or table."""
        self._evaluation = rows

    def finish_training(self) -> None:
        """No update follows: print the last, if it was not, and show that the final evaluation is under way."""
        self._has_ended, self._line.waiting_for = True, "evaluating"
        if not self._rows:  # a run is resumed that was complete
            return
        if self._printed_update < self._rows[0]["update"]:  # it ended before its last update
            self._meter.add(self._rows)
            self._print()
        self._line.progress = self._progress()

    def _progress(self) -> Progress:
        return Progress.after(self._rows, self._config, self._meter, self._evaluation, self._has_ended)

    def _print(self) -> None:
        """A table, or a line where nothing else shows the progress."""
        self._printed_update = self._rows[0]["update"]
        if self._verbose:
            width = self._console.width if self._live else None
            episode_rows = self._episode_rows or self._rows
            table = metrics_table(self._config, self._progress(), self._rows, episode_rows, self._evaluation, width)
            if self._live:
                self._console.print(Text(table, no_wrap=True, overflow="crop"))
            else:
                PROGRESS.info(table)
        elif not self._live:
            PROGRESS.info(file_line(self._progress()))

    def _report(self, findings: list[Finding]) -> None:
        if self._live:
            worst = [Text(finding.line, "yellow", no_wrap=True, overflow="ellipsis") for finding in findings[:1]]
            self._view.update(Group(self._line, *worst))
            return
        for finding in findings:
            if finding.name not in self._reported:
                self._reported.add(finding.name)
                DOCTOR.warning(finding.line)

    def close(self) -> None:
        """Remove the line; the last table stays, and what was found last."""
        self.finish_training()
        if self._live:
            self._view.stop()
            for finding in self._doctor.findings:
                DOCTOR.warning(finding.line)


def start_line(config: RunConfig, update: int) -> str:
    """What a log file says first: what is trained."""
    steps = f"{config.updates * config.batch_size:,} steps{' each' if config.seeds > 1 else ''}"
    resumed = f", resumed after update {update:,}" if update else ""
    return (
        f"{EnvId.parse(config.env).display}, {config.algo}, {plural(config.seeds, 'seed')}: {steps} in "
        f"{plural(config.updates, 'update')} of {config.batch_size:,}{resumed}"
    )


def sparkline(values: list[float], width: int = 40, encoding: str | None = None) -> str:
    """A curve in one line of block characters, lowest value to highest; ASCII where ``encoding`` has none."""
    if not values:
        return ""
    at = [values[round(i)] for i in np.linspace(0, len(values) - 1, min(width, len(values)))]
    low, span = min(at), max(max(at) - min(at), 1e-12)
    bars = BARS if can_encode(BARS, encoding) else ASCII_BARS
    return "".join(bars[min(int((v - low) / span * len(bars)), len(bars) - 1)] for v in at)
