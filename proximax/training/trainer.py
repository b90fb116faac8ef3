"""A run under way: one update after the other, and what is saved of it, however it ends."""

import logging
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn

import numpy as np
from jax.errors import JaxRuntimeError

from proximax.config import RunConfig
from proximax.distributed import mark_progress
from proximax.envs import HostEnv, JaxEnv, restart_notes
from proximax.errors import EnvError, Interrupted, NumericalError, ProximaxError, UsageError, text_of
from proximax.evaluation import Evaluation
from proximax.loggers import Rows, RunLogger
from proximax.policy import Policy, split_agents
from proximax.ppo import MultiSeedLearner, update_succeeded
from proximax.profiling import ChunkSizer, CompileClock, Tracer
from proximax.runs import CheckpointManager, RunDirectory, RunProgress, Snapshot, to_host_copy
from proximax.runtime import finite_or_none
from proximax.training import crash_report
from proximax.training.callbacks import Callbacks, Training
from proximax.training.interrupts import Interrupts
from proximax.training.periodic_evaluation import PeriodicEvaluator
from proximax.training.periodic_video import PeriodicVideo
from proximax.training.ranks import Ranks
from proximax.training.result import Result
from proximax.types import Metrics, PyTree, TrainState, Transition

logger = logging.getLogger(__name__)


class TrainingSetup(NamedTuple):
    """What is trained, on what, and from where on; complete before anything is left on disk."""

    env: JaxEnv | HostEnv
    policy: Policy
    learner: MultiSeedLearner
    state: TrainState  # the first one, or that of the checkpoint to resume from
    progress: RunProgress  # of a new run, or of that checkpoint
    resumed_update: int | None  # that checkpoint's update; None for a new run
    notes: list[str]  # what the user should know
    header: dict[str, Any]  # of every checkpoint's manifest
    directory: RunDirectory | None  # None: nothing is written, by this process at least
    ranks: Ranks = Ranks()


class RunServices(NamedTuple):
    """What works beside the learner. Nothing of it changes what is learned."""

    logger: RunLogger
    checkpoints: CheckpointManager
    evaluator: PeriodicEvaluator
    video: PeriodicVideo
    interrupts: Interrupts
    profiler: Tracer
    compile_clock: CompileClock
    callbacks: Callbacks


class Trainer:
    """A run's state, update by update. As a context manager it saves the run at the end, also after an error."""

    def __init__(self, config: RunConfig, setup: TrainingSetup, services: RunServices, began: float) -> None:
        """``began``: when the call of ``run`` did, by ``time.perf_counter``."""
        self.config, self.setup, self.services, self.ranks = config, setup, services, setup.ranks
        self.state = setup.state
        self.update = setup.progress.update  # updates made that succeeded
        self.started = False  # the callbacks have been told, and none refused
        self.env_is_ahead = False  # host environments have been stepped beyond ``state``
        self.failed_rollout: Transition | None = None  # of an update that failed
        self.has_callbacks = False  # this process or, of several, the first
        self.ended_by_callback = False  # by its answer to the last evaluation
        self.last_logged_eval = setup.progress.evaluated  # the update of the last evaluation logged
        self.trained_s = 0.0  # when the last update and what follows it ended, in ``seconds``
        self._began = began - setup.progress.time_s
        self._chunk_sizer = ChunkSizer()
        self.training = Training(self, setup.policy, setup.env)  # what callbacks see

    def train(self) -> str:
        """All updates, or as many as it takes. Returns what stopped it: ``steps``, ``stop_at`` or ``callback``."""
        stopped_by = None
        self.services.callbacks.start(self.training)
        self.has_callbacks = bool(self.ranks.first_says(bool(self.services.callbacks)))
        self.started = True
        while stopped_by is None:
            self.check_directory()
            self.evaluate()
            self.save_if_due()
            self.record_video()
            stopped_by = self.check() or self.step()
        return stopped_by

    def check_directory(self) -> None:
        """End the run where its directory was renamed or deleted."""
        if self.setup.directory:
            self.setup.directory.check_in_place()

    def evaluate(self) -> None:
        """Evaluate if it is due. It may take long, so a signal interrupts it."""
        evaluator = self.services.evaluator
        with self.services.interrupts.interruptible():
            evaluator.maybe_evaluate(self.state, self.update)
        mark_progress(self.update)
        if evaluator.latest is not None and evaluator.update > self.last_logged_eval:
            self.last_logged_eval = evaluator.update
            self.services.logger.write_evaluation(evaluator.latest)
            self.ended_by_callback = self.services.callbacks.evaluation(self.training, evaluator.latest)

    def save_if_due(self) -> None:
        """Begin to save if it is due."""
        if self.ranks.first_says(self.services.checkpoints.due(self.update, self.evaluation_return())):
            self.services.checkpoints.save(self.snapshot())

    def record_video(self) -> None:
        """Record a video if one is due."""
        with self.services.interrupts.interruptible():
            self.log_video(self.services.video.after_update(self.state, self.update))

    def log_video(self, path: Path | None) -> None:
        """Hand a video to the loggers."""
        if path is not None:
            self.services.logger.write_video(path, self.update * self.config.batch_size)

    def check(self) -> str | None:
        """What ends the run after this update, if anything does; raises ``Interrupted`` after a signal."""
        self.trained_s = self.seconds()
        if self.services.evaluator.reached:
            return "stop_at"
        self.services.interrupts.check()
        if self.has_callbacks and self.ranks.first_says(self.ended_by_callback):
            return "callback"
        return "steps" if self.update >= self.config.updates else None

    def step(self) -> str | None:
        """The updates of one call of the learner; ``callback`` if a callback ends the run after them."""
        services = self.services
        if self.has_callbacks:  # any of them may end the run after any update
            updates = 1
            self.state = self.ranks.settings_of_first(self.state, self.config.shards)
        else:  # evaluations, videos and some saves are of a certain update, which must end the call
            periodic = services.evaluator, services.checkpoints, services.video
            next_event = min(service.next_update(self.update) for service in periodic)
            updates = self.ranks.first_says(self._chunk_sizer.next(next_event - self.update))
        rows = self.advance(updates)
        ended = services.callbacks.update(self.training, rows)
        if not (self.has_callbacks and self.ranks.first_says(ended)):
            return None
        self.trained_s = self.seconds()
        return "callback"

    def advance(self, updates: int) -> Rows:
        """At most so many updates, in one call of the learner; the rows of the last one."""
        before, began_s, rows = self.state, self.seconds(), Rows()
        self.env_is_ahead = not isinstance(self.setup.env, JaxEnv)
        self.state, metrics = self.setup.learner.advance(before, updates)
        self.services.profiler.after_call()
        ended_s, count = self.seconds(), metrics["finite"].shape[0]
        for i in range(count):
            update_metrics = {name: x[i] for name, x in metrics.items()}
            time_s = began_s + (i + 1) / count * (ended_s - began_s)
            if not np.all(update_succeeded(update_metrics)):
                # The state before the update that failed: to save, and to see again what it saw.
                self.state = self.setup.learner.advance(before, i)[0] if i else before
                self.fail(update_metrics, time_s)
            self.update += 1
            rows = self.services.logger.write(update_metrics, time_s)
        self.env_is_ahead = False
        mark_progress(self.update)
        return rows

    def fail(self, metrics: Metrics, time_s: float) -> NoReturn:
        """Save, log the rows of the update that failed, and raise why it did."""
        self.failed_rollout = self.setup.learner.failed_rollout(self.state)
        self.save_unless_saved()
        rows = self.services.logger.write(metrics, time_s)
        raise crash_report.diagnose_failed_update(rows, self.config.num_envs, self.failed_rollout)

    def save_unless_saved(self) -> None:
        """Save the run as it is and wait for it, unless this update is on disk already.

        What is on disk may have the state of environments that have been stepped further since.
        """
        if not self.ranks.first_says(self.services.checkpoints.has(self.update)):
            self.services.checkpoints.save(self.snapshot(), wait=True)

    def seconds(self) -> float:
        """Since the run began, without the time between its parts."""
        return time.perf_counter() - self._began

    def evaluation_return(self) -> float | None:
        """The mean return of the evaluation of the present policies, if there was one."""
        evaluator = self.services.evaluator
        if evaluator.latest is None or evaluator.update != self.update:
            return None
        return finite_or_none(evaluator.latest.mean)

    @property
    def restarts(self) -> int:
        """How often an environment that crashed was restarted, in all parts of the run."""
        env, before = self.setup.env, self.setup.progress.restarts
        return before if isinstance(env, JaxEnv) else before + self.ranks.total(env.restarts)

    @property
    def progress(self) -> RunProgress:
        """What a checkpoint keeps beside the state."""
        return RunProgress(
            logger=self.services.logger.state,
            time_s=self.seconds(),
            compile_s=self.compile_s,
            evaluated=self.last_logged_eval,
            reached=self.services.evaluator.reached,
            restarts=self.restarts,
        )

    @property
    def compile_s(self) -> float:
        """Seconds spent compiling, in all parts of the run."""
        return self.setup.progress.compile_s + self.services.compile_clock.seconds

    def snapshot(self) -> Snapshot:
        """The run as it is; without the state of environments that have been stepped beyond it."""
        env, steps = self.setup.env, self.update * self.config.batch_size
        env_state = None if isinstance(env, JaxEnv) or self.env_is_ahead else self.env_state(env)
        progress, state = self.progress.to_tree(), to_host_copy(self.setup.learner.whole(self.state))
        return Snapshot(state, env_state, progress, self.update, steps, self.evaluation_return())

    def env_state(self, env: HostEnv) -> PyTree | None:
        """The environments' state; None where it is not available, which is noted once: no run ends because of it."""
        state = None
        try:
            state = env.get_state()
        except EnvError as error:
            text = f"{error}. It is not saved: a resumed run starts new episodes"
            if text not in self.setup.notes:
                self.setup.notes.append(text)
                logger.info(text)
        return self.ranks.join_env_states(state)

    def finish_training(self) -> Snapshot:
        """After the last update: save, and record a video, so that a signal may interrupt what follows.

        The final evaluation may use the training's own environments: so the snapshot is from before it.
        """
        self.services.interrupts.check()
        self.services.logger.finish_training()
        self.check_directory()
        last = self.snapshot()
        self.services.checkpoints.save(last, wait=True)
        with self.services.interrupts.interruptible():
            self.log_video(self.services.video.at_end(self.state, self.update))
        return last

    def finish(self, evaluation: Evaluation, stopped_by: str, last: Snapshot) -> Result:
        """The result, on disk too. ``last``: what ``finish_training`` returned."""
        self.check_directory()
        setup, history = self.setup, self.services.logger.history
        spaces = setup.env.observation_space, setup.env.action_space
        result = Result(
            config=self.config,
            agents=split_agents(setup.policy, self.state.params, self.state.obs_moments, *spaces),
            evaluation=evaluation,
            history=self.services.logger.rows,
            steps=int(history.steps.max()),
            wall_s=self.seconds(),
            compile_s=self.compile_s,
            steps_per_s=float(history.steps.sum()) / self.trained_s,
            stopped_by=stopped_by,
            notes=setup.notes + restart_notes(self.restarts),
            restarts=self.restarts,
            directory=setup.directory.path if setup.directory else None,
        )
        self.services.checkpoints.save(last._replace(evaluation=finite_or_none(evaluation.mean)), wait=True)
        self.services.logger.write_final_evaluation(evaluation)
        self.services.logger.finish(result.to_json())
        self.services.callbacks.end(self.training, result)
        return result

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Save after an error or a signal, unless the run is refused; then make sure that everything is on disk."""
        refused = error is not None and self.is_refused(error)
        if self.setup.directory and not refused:
            self.setup.directory.keep = True
        with ExitStack() as stack:  # each of these, also if another fails
            if error is None or isinstance(error, KeyboardInterrupt):
                # Called last: a checkpoint that is missing matters more than a row.
                stack.callback(self.services.checkpoints.close)
            stack.callback(self.services.logger.close)
            if type(error) is KeyboardInterrupt:
                stack.callback(self.services.interrupts.check)
            if error is not None and not refused:
                self.save_after_error(error)

    def is_refused(self, error: BaseException) -> bool:
        """Whether a new run ends before its first update by what the user passed: nothing of it is worth keeping.

        That is by a ``UsageError``; any error of a callback's ``on_start``; and what is raised while the first update
        is traced, by a network or a JAX environment. An error of the environment, of a number, of the memory or of the
        disk is none of these.
        """
        directory, others = self.setup.directory, (ProximaxError, OSError, MemoryError, JaxRuntimeError)
        if not directory or directory.continues or not directory.in_place or self.update:
            return False
        if isinstance(error, UsageError):
            return True
        if not isinstance(error, Exception) or isinstance(error, others):
            return False
        if not self.started or isinstance(self.setup.env, JaxEnv):  # which raises nothing but while it is traced
            return True
        return self.setup.learner.failed_rollout(self.state) is None  # the policy was traced, but has not acted

    def save_after_error(self, error: BaseException) -> None:
        """Save what can be saved; what cannot is logged as a warning, and ``error`` is raised all the same."""
        if self.setup.directory and not self.setup.directory.in_place:
            return
        if self.ranks.size > 1 and not isinstance(error, Interrupted):
            return  # the others do not know of it, and a checkpoint needs all of them
        try:
            if self.failed_rollout is None:
                self.save_unless_saved()
                if isinstance(error, NumericalError):
                    self.failed_rollout = self.setup.learner.failed_rollout(self.state)
        except Exception as save_error:  # environments or a device in no state to be asked
            logger.warning(f"could not save after {type(error).__name__}: {text_of(save_error)}")
        if self.setup.directory and not isinstance(error, KeyboardInterrupt):
            steps = self.update * self.config.batch_size
            crash_report.write_crash_report(self.setup.directory.path, error, self.failed_rollout, steps)
