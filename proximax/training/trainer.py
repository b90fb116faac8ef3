"""A run under way: its updates one call after the other, and what is saved of it, whatever ends it."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from proximax.config import RunConfig
from proximax.envs import HostEnv, JaxEnv, restart_notes
from proximax.errors import NumericalError
from proximax.evaluation import Evaluation
from proximax.loggers import Callback, RunLogger
from proximax.policy import Policy, split_agents
from proximax.ppo import ChunkSizer, MultiSeedLearner, update_succeeded
from proximax.profiling import CompileClock, Tracer
from proximax.runs import CheckpointManager, LoggerState, RunProgress, Snapshot, to_host_copy
from proximax.runtime import finite_or_none, say
from proximax.training import crash_report
from proximax.training.interrupts import Interrupts
from proximax.training.periodic_evaluation import PeriodicEvaluator
from proximax.training.periodic_video import PeriodicVideo
from proximax.training.result import Result
from proximax.types import Metrics, TrainState


class TrainingSetup(NamedTuple):
    """What a run is made of, before anything is left behind."""

    env: JaxEnv | HostEnv
    policy: Policy
    learner: MultiSeedLearner
    state: TrainState  # the first one, or that of the checkpoint it goes on from
    notes: list[str]  # what the user should know
    header: dict[str, Any]  # of every checkpoint
    progress: RunProgress | None  # of the checkpoint it goes on from
    update: int | None  # of that checkpoint
    reel: PeriodicVideo
    directory: Path | None

    @property
    def logger_state(self) -> LoggerState | None:
        """What the logs of a resumed run are continued with."""
        return self.progress.logger if self.progress else None


@dataclass
class Trainer:
    """What a run works with, and where it stands. ``with`` saves it at the end, also after a fault."""

    config: RunConfig
    prepared: TrainingSetup
    recorder: RunLogger
    saver: CheckpointManager
    scorer: PeriodicEvaluator
    interrupts: Interrupts
    tracer: Tracer
    clock: CompileClock
    callbacks: Sequence[Callback]
    began: float  # when, by ``time.perf_counter``

    def __post_init__(self) -> None:
        self.state = self.prepared.state
        self.ahead = False  # host environments are past ``state``
        self.trained_s = 0.0  # when the last update had been made
        self.suspect: Any = None  # the rollout of an update that went wrong
        self.undone = 0  # how many updates were made and went wrong
        before = self.prepared.progress
        self.began -= before.time_s if before else 0.0
        self.clock.seconds += before.compile_s if before else 0.0
        self.logged = before.evaluated if before else 0  # the update of the last evaluation written
        self.scorer.update = before.settled_evaluation if before else 0

    @property
    def update(self) -> int:
        """Updates made so far."""
        return self.recorder.history.update

    @property
    def restarts(self) -> int:
        """How often an environment that crashed was made anew, in all parts of the run."""
        env, before = self.prepared.env, self.prepared.progress
        earlier = before.restarts if before else 0
        return earlier if isinstance(env, JaxEnv) else earlier + env.restarts

    def loop(self) -> str:
        """All updates, or as many as it takes. Returns what stopped it."""
        pace = ChunkSizer()
        while True:
            reached = self.evaluate()
            self.save_if_due()
            with self.interrupts.at_once():
                self.prepared.reel.after_update(self.state, self.update)
            self.trained_s = self.seconds()
            if reached:
                return "stop_at"
            self.interrupts.check()
            if self.update >= self.config.updates:
                return "steps"
            # A callback may stop training after any update; evaluations, videos and some saves are of a certain one.
            periodic = self.scorer, self.saver, self.prepared.reel
            end = min(part.next_update(self.update) for part in periodic)
            rows = self.advance(1 if self.callbacks else pace.next(end - self.update))
            if sum(bool(callback(rows)) for callback in self.callbacks):  # every one is called
                self.trained_s = self.seconds()
                return "callback"

    def evaluate(self) -> bool:
        """Evaluate if it is time for it; whether the goal is reached. May be long: a signal cuts it short."""
        with self.interrupts.at_once():
            reached = self.scorer.score(self.state, self.update)
        if self.scorer.latest is not None and self.scorer.update > self.logged:
            self.logged = self.scorer.update
            self.recorder.write_evaluation(self.scorer.latest)
        return reached

    def advance(self, updates: int) -> list[dict[str, Any]]:
        """So many updates in one call; the rows of the last one."""
        before, began_s, rows = self.state, self.seconds(), list[dict[str, Any]]()
        advance = self.prepared.learner.advance
        self.ahead = not isinstance(self.prepared.env, JaxEnv)
        self.state, metrics = advance(before, updates)
        self.tracer.after_call()
        ended_s, made = self.seconds(), metrics["finite"].shape[0]
        for i in range(made):
            each = {name: x[i] for name, x in metrics.items()}
            time_s = began_s + (i + 1) / made * (ended_s - began_s)
            if not np.all(update_succeeded(each)):
                # The state before the update that went wrong: to save, and to see again what it saw.
                self.state = advance(before, i)[0] if i else before
                self.fail(each, time_s)
            rows = self.recorder.write(each, time_s)
        self.ahead = False
        return rows

    def fail(self, metrics: Metrics, time_s: float) -> None:
        """Save, write the row of the update that went wrong, and raise what it was."""
        self.suspect = self.prepared.learner.failed_rollout(self.state)
        self.save_where_it_stands()
        self.undone = 1  # from here on ``update`` counts it
        raise crash_report.diagnose_failed_update(
            self.recorder.write(metrics, time_s), self.config.num_envs, self.suspect
        )

    def seconds(self) -> float:
        """Since the run began, without the time between its parts."""
        return time.perf_counter() - self.began

    def save_if_due(self) -> None:
        """Begin to save, if it is time for it."""
        if self.saver.due(self.update, self.score()):
            self.saver.save(self.snapshot())

    def save_where_it_stands(self) -> None:
        """Save, unless it is on disk already: with the state, perhaps, of environments that have gone on since."""
        if not self.saver.has(self.update):
            self.saver.save(self.snapshot(), wait=True)

    def score(self) -> float | None:
        """The mean return of the evaluation of the present policies, if there was one."""
        latest = self.scorer.latest
        return finite_or_none(latest.mean) if latest is not None and self.scorer.update == self.update else None

    def snapshot(self) -> Snapshot:
        """The run as it is now; without the state of environments that went on since."""
        env, steps = self.prepared.env, self.update * self.config.batch_size
        host = None if isinstance(env, JaxEnv) or self.ahead else env.get_state()
        progress = RunProgress(
            logger=self.recorder.state,
            time_s=self.seconds(),
            compile_s=self.clock.seconds,
            evaluated=self.logged,
            reached=self.scorer.final is not None,
            restarts=self.restarts,
        )
        return Snapshot(to_host_copy(self.state), host, progress.to_tree(), self.update, steps, self.score())

    def trained(self) -> Snapshot:
        """After the last update: save, and film; so this and the final evaluation, which may be long, can be cut short.

        It may also play in the training's own environments: so the snapshot is of before.
        """
        self.interrupts.check()
        last = self.snapshot()
        self.saver.save(last, wait=True)
        with self.interrupts.at_once():
            self.prepared.reel.at_end(self.state, self.update)
        return last

    def end(self, evaluation: Evaluation, stopped_by: str, last: Snapshot) -> Result:
        """What it reached, on disk too; ``last`` is what ``trained`` gave."""
        prepared, history = self.prepared, self.recorder.history
        spaces = prepared.env.observation_space, prepared.env.action_space
        result = Result(
            config=self.config,
            agents=split_agents(prepared.policy, self.state.params, self.state.obs_moments, *spaces),
            evaluation=evaluation,
            history=self.recorder.rows,
            steps=int(history.steps.max()),
            wall_s=self.seconds(),
            compile_s=self.clock.seconds,
            steps_per_s=float(history.steps.sum()) / self.trained_s,
            stopped_by=stopped_by,
            notes=prepared.notes + restart_notes(self.restarts),
            restarts=self.restarts,
            directory=prepared.directory,
        )
        self.saver.save(last._replace(evaluation=finite_or_none(evaluation.mean)), wait=True)
        self.recorder.finish(result.to_json())
        return result

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Save after a fault or a signal; then see that all is on disk."""
        with ExitStack() as stack:  # each of these, whatever becomes of the others
            if error is None or isinstance(error, KeyboardInterrupt):
                stack.callback(self.saver.close)  # called last: a checkpoint that is missing matters more than a row
            stack.callback(self.recorder.close)
            if type(error) is KeyboardInterrupt:
                stack.callback(self.interrupts.check)
            if error is not None:
                self.keep(error)

    def keep(self, error: BaseException) -> None:
        """What is saved after a fault or a signal. What cannot be saved is told, and ``error`` raised all the same."""
        try:
            if self.suspect is None:
                self.save_where_it_stands()
                if isinstance(error, NumericalError):
                    self.suspect = self.prepared.learner.failed_rollout(self.state)
        except Exception as fault:  # environments or a device in no state to be asked
            say(f"proximax: warning: could not save after {type(error).__name__}: {fault}")
        if self.prepared.directory and not isinstance(error, KeyboardInterrupt):
            steps = (self.update - self.undone) * self.config.batch_size
            crash_report.write_crash_report(self.prepared.directory, error, self.suspect, steps)
