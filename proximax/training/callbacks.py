"""What a user's code may see and do while a run trains."""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np

from proximax.config import Rule, RunConfig, range_problem, refuse
from proximax.envs import HostEnv, JaxEnv
from proximax.evaluation import Evaluation
from proximax.loggers import Callback, Rows
from proximax.policy import Agent, Policy, split_agents
from proximax.training.result import Result
from proximax.types import TrainState

RATE = Rule(0.0)


class Run(Protocol):
    """The run under way, as ``Trainer`` has it."""

    config: RunConfig
    state: TrainState
    update: int


class Training:
    """A view of a run under way, for callbacks. It is of the present whenever it is asked."""

    def __init__(self, run: Run, policy: Policy, env: JaxEnv | HostEnv) -> None:
        self._run, self._policy, self._env = run, policy, env

    @property
    def config(self) -> RunConfig:
        """The settings."""
        return self._run.config

    @property
    def update(self) -> int:
        """Updates made so far; ``config.updates`` at the end."""
        return self._run.update

    @property
    def steps(self) -> int:
        """Environment steps of each seed so far."""
        return self._run.update * self._run.config.batch_size

    @property
    def progress(self) -> float:
        """From 0 at the start to 1 at the end: ``update / config.updates``."""
        return self._run.update / self._run.config.updates

    @property
    def agents(self) -> list[Agent]:
        """The present policies, one per seed; copies, which training does not change."""
        state, env = self._run.state, self._env
        return split_agents(self._policy, state.params, state.obs_moments, env.observation_space, env.action_space)

    @property
    def learning_rate(self) -> float:
        """The learning rate before annealing; of the first seed, where they differ (``kl_control="learning_rate"``).

        May be set, for all seeds: it holds from the next update on.
        """
        return float(np.ravel(np.asarray(self._run.state.learning_rate))[0])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        refuse([range_problem("learning_rate", value, RATE)])
        old = self._run.state.learning_rate
        new: Any = np.full(np.shape(old), value, np.float32)
        self._run.state = self._run.state._replace(
            learning_rate=jax.device_put(new, old.sharding) if isinstance(old, jax.Array) else new
        )


class TrainingCallback:
    """Base class of callbacks: override what you need. An exception ends the run, which is saved first.

    The order: ``on_start``; then for each update ``on_update``, and ``on_evaluation`` where one is due after it;
    ``on_end`` with the result, also where a callback, ``stop_at_return`` or ``steps`` ended the run, not after an error
    or a signal. A resumed run begins with ``on_start`` again. With any callback a call of the compiled program makes
    one update, so that short updates on JAX environments take longer.
    """

    def on_start(self, training: Training) -> None:
        """Before the first update of this process."""

    def on_update(self, training: Training, rows: Rows) -> bool | None:
        """After an update, with its rows of metrics.jsonl, one per seed; a true result ends training."""

    def on_evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """After an evaluation of ``eval_every`` or ``stop_at_return``."""

    def on_end(self, training: Training, result: Result) -> None:
        """After the final evaluation, when everything is on disk."""


class Callbacks:
    """All callbacks of a run: functions of the rows, and ``TrainingCallback`` objects."""

    def __init__(self, callbacks: Sequence[Callback | TrainingCallback]) -> None:
        self._objects = [x for x in callbacks if isinstance(x, TrainingCallback)]
        self._all = list(callbacks)

    def __bool__(self) -> bool:
        return bool(self._all)

    def start(self, training: Training) -> None:
        """Training is about to begin."""
        for callback in self._objects:
            callback.on_start(training)

    def update(self, training: Training, rows: Rows) -> bool:
        """An update was made: whether any callback ends the run. Every one is called."""
        answers = [
            callback.on_update(training, rows) if isinstance(callback, TrainingCallback) else callback(rows)
            for callback in self._all
        ]
        return any(answers)

    def evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """The policies were evaluated while training."""
        for callback in self._objects:
            callback.on_evaluation(training, evaluation)

    def end(self, training: Training, result: Result) -> None:
        """The run has ended by itself."""
        for callback in self._objects:
            callback.on_end(training, result)


def is_callback(value: object) -> bool:
    """Whether ``train`` can call it: a function, or a ``TrainingCallback`` object, but not the class itself."""
    if isinstance(value, type):
        return not issubclass(value, TrainingCallback)
    return isinstance(value, TrainingCallback) or callable(value)
