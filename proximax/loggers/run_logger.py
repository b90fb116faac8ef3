"""What a run leaves behind: rows for the loggers, config, evaluations, result."""

from pathlib import Path
from typing import Any

from proximax.config import RunConfig
from proximax.errors import ProximaxError
from proximax.evaluation import Evaluation
from proximax.loggers.base import Log, LoggedRun, Logger, Rows, Verbosity
from proximax.loggers.jsonl import JsonlLogger
from proximax.loggers.selection import make_loggers
from proximax.loggers.terminal import TerminalLogger
from proximax.runs import EVALUATIONS_FILE, METRICS_FILE, History, LoggerState, RunDirectory
from proximax.runtime import finite_or_none, storing, write_json
from proximax.types import Metrics


class RunLogger:
    """What a run leaves behind: rows for the loggers, and in its directory the config, the evaluations, the result.

    ``saved``: the ``state`` that a checkpoint has of an earlier part of the run; rows written after it are dropped.
    ``log``: other loggers.
    """

    def __init__(
        self,
        config: RunConfig,
        directory: RunDirectory | None,
        verbosity: Verbosity,
        saved: LoggerState | None = None,
        log: Log = None,
    ) -> None:
        self.rows: Rows = []
        self.history = History(config.seed, config.seeds)
        self._config, self._directory = config, directory
        self._loggers: list[Logger] = []
        self._metrics: JsonlLogger | None = None
        self._evaluations: JsonlLogger | None = None
        self._terminal: TerminalLogger | None = None
        if saved is not None:
            self.history.restore(saved.history)
        if directory:
            with storing(directory.path):
                self._open(directory.path, saved)
        steps = None if saved is None else self.history.steps.tolist()
        self._loggers += make_loggers(log, LoggedRun(config, directory.path if directory else None, self.rows, steps))
        if verbosity != "quiet":
            update, verbose = self.history.update, verbosity == "verbose"
            self._terminal = TerminalLogger(config, update, verbose, earlier=self.rows)
            self._loggers.append(self._terminal)

    def _open(self, path: Path, saved: LoggerState | None) -> None:
        """The files of the run directory."""
        config, logs = self._config, saved.logs if saved else {}
        self._metrics = JsonlLogger(path / METRICS_FILE, logs.get(METRICS_FILE))
        if (path / EVALUATIONS_FILE).exists() or (config.stop_at_return, config.eval_every) != (None, None):
            self._evaluations = JsonlLogger(path / EVALUATIONS_FILE, logs.get(EVALUATIONS_FILE))
        self._loggers.append(self._metrics)
        self.rows = self._metrics.read()
        # From here on nothing is refused any more: the directory becomes that of this run.
        for ending in ("result.json", "error.log"):  # of the part of the run that is resumed
            (path / ending).unlink(missing_ok=True)
        write_json(path / "config.json", config.to_json())

    @property
    def state(self) -> LoggerState:
        """What a checkpoint must have, so that the logs of a resumed run have no gap and no row twice."""
        logs = [log for log in (self._metrics, self._evaluations) if log]
        return LoggerState(self.history.to_tree(), {log.path.name: log.position for log in logs})

    def write(self, metrics: Metrics, time_s: float) -> Rows:
        """Send one update's rows everywhere."""
        rows = self.history.add(metrics, time_s)
        self.rows += rows
        for logger in self._loggers:
            logger.write(rows)
        return rows

    def write_evaluation(self, evaluation: Evaluation) -> None:
        """A row for each seed: in ``evaluations.jsonl``, if the run has one, and for the loggers."""
        rows = self._evaluation_rows(evaluation)
        if self._evaluations is not None:
            self._evaluations.write(rows)
        for logger in self._loggers:
            logger.write_evaluation(rows, final=False)

    def _evaluation_rows(self, evaluation: Evaluation) -> Rows:
        per_seed = zip(evaluation.seeds, self.history.steps.tolist(), evaluation.returns)
        return [
            {
                "update": self.history.update,
                "seed": seed,
                "steps": steps,
                "return_mean": finite_or_none(returns.mean()),
                "episodes": len(returns),
            }
            for seed, steps, returns in per_seed
        ]

    def write_final_evaluation(self, evaluation: Evaluation) -> None:
        """For the loggers alone: on disk it is in ``result.json``."""
        for logger in self._loggers:
            logger.write_evaluation(self._evaluation_rows(evaluation), final=True)

    def write_video(self, path: Path, steps: int) -> None:
        """For the loggers alone."""
        for logger in self._loggers:
            logger.write_video(path, steps)

    def finish_training(self) -> None:
        """No update follows; the final evaluation does."""
        if self._terminal is not None:
            self._terminal.finish_training()

    def finish(self, result: dict[str, Any]) -> None:
        """Write ``result.json``."""
        if self._directory:
            with storing(self._directory.path):
                write_json(self._directory.path / "result.json", result)

    def close(self) -> None:
        """Close the files and the screen."""
        errors: list[ProximaxError] = []
        for logger in [*self._loggers, *([self._evaluations] if self._evaluations else [])]:
            try:
                logger.close()
            except ProximaxError as error:
                errors.append(error)
        if errors:
            raise errors[0]
