"""What a user's code may see and do while a run trains."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from proximax.config import ALIASES, ELSEWHERE, Rule, RunConfig, range_problem, refuse, shown
from proximax.envs import HostEnv, JaxEnv
from proximax.evaluation import Evaluation
from proximax.loggers import Callback, Rows
from proximax.policy import Agent, Policy, split_agents
from proximax.training.result import Result
from proximax.types import TrainState

SETTABLE = {"learning_rate": Rule(0.0), "epsilon": Rule(0.0, open_low=True), "entropy_coef": Rule(0.0)}


class Run(Protocol):
    """The run under way, as ``Trainer`` has it."""

    config: RunConfig
    state: TrainState
    update: int


class Training:
    """A view of a run under way, for callbacks. It is of the present whenever it is asked."""

    def __init__(self, run: Run, policy: Policy, env: JaxEnv | HostEnv) -> None:
        self._run, self._policy, self._env = run, policy, env

    def __setattr__(self, name: str, value: object) -> None:
        """Set one of ``SETTABLE``; anything else would have no effect, and is refused."""
        if name not in SETTABLE and name not in ("_run", "_policy", "_env"):
            refuse([f"training.{name} cannot be set{suggestion(name)}"])
        super().__setattr__(name, value)

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
        """The learning rate; of the first seed, where they differ (``kl_control="learning_rate"``).

        Where it is annealed, this is its value before: what an update used is ``learning_rate`` in its rows. This and
        the next two may be set, for all seeds: the value holds from the next update on, and is saved.
        """
        return first_of(self._run.state.learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        rate = checked_like("learning_rate", value, self._run.state.learning_rate)
        self._run.state = self._run.state._replace(learning_rate=rate)

    @property
    def epsilon(self) -> float:
        """ε, half-width of the clip range; before annealing, as all three."""
        return first_of(self._run.state.hyperparameters["epsilon"])

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        self._set_hyperparameter("epsilon", value)

    @property
    def entropy_coef(self) -> float:
        """Weight of the entropy bonus; before annealing, as all three."""
        return first_of(self._run.state.hyperparameters["entropy_coef"])

    @entropy_coef.setter
    def entropy_coef(self, value: float) -> None:
        self._set_hyperparameter("entropy_coef", value)

    def _set_hyperparameter(self, name: str, value: float) -> None:
        old = self._run.state.hyperparameters
        new = {**old, name: checked_like(name, value, old[name])}
        self._run.state = self._run.state._replace(hyperparameters=new)


def first_of(setting: object) -> float:
    """The first seed's value of a setting ``[S]``."""
    return float(np.ravel(np.asarray(setting))[0])


def suggestion(name: str) -> str:
    """What may be set instead: one of ``SETTABLE``, by what other libraries call it, or all of them."""
    known = ALIASES.get(name, ELSEWHERE.get(name))
    return f", but {', '.join(SETTABLE)}" + (f"; did you mean {known!r}?" if known in SETTABLE else "")


def checked_like(name: str, value: Any, old: Any) -> Any:
    """``value``, a number or an array of one, for all seeds, as the array ``old`` is, and on its device."""
    if isinstance(value, (np.ndarray, jax.Array)) and value.shape == () and value.dtype.kind in "biuf":
        value = value.item()
    refuse([range_problem(name, value, SETTABLE[name])])
    new = np.full(np.shape(old), value, np.float32)
    if isinstance(old, jax.Array) and old.is_fully_addressable:
        return jax.device_put(new, old.sharding)
    return new  # the learner's ranks place it


class TrainingCallback:
    """Base class of callbacks: override what you need. An exception ends the run, which is saved first.

    Other public methods named ``on_...`` are refused at the start of ``train``: nothing would call them.

    The order: ``on_start``; then for each update ``on_update``, and ``on_evaluation`` where one is due after it;
    ``on_end`` with the result, also where a callback, ``stop_at_return`` or ``steps`` ended the run, not after an error
    or a signal. A resumed run begins with ``on_start`` again. With any callback a call of the compiled program makes
    one update, so that short updates on JAX environments take longer.
    """

    def on_start(self, training: Training) -> None:
        """Before the first update of this process."""

    def on_update(self, training: Training, rows: Rows) -> bool | None:
        """After an update, with its rows of metrics.jsonl, one per seed; a true result ends training."""

    def on_evaluation(self, training: Training, evaluation: Evaluation) -> bool | None:
        """After an evaluation of ``eval_every`` or ``stop_at_return``; a true result ends training."""

    def on_end(self, training: Training, result: Result) -> None:
        """After the final evaluation, when everything is on disk."""


class Schedule(TrainingCallback):
    """Settings as functions of the training's progress: ``Schedule(entropy_coef=lambda done: 0.01 * (1 - done) ** 2)``.

    A function takes the fraction of the updates done, from 0 for the first update to almost 1 for the last, and gives
    the setting's value in the next update: ``learning_rate``, ``epsilon`` or ``entropy_coef``. Straight lines need no
    callback: ``anneal``. In ``train`` the setting is taken out of the ``anneal`` of the preset or the defaults. Raises
    ``UsageError`` where the call says ``anneal`` for it too, where it is adapted, or has two schedules.
    """

    def __init__(self, **functions: Callable[[float], float]) -> None:
        unknown = [f"Schedule has no {name}{suggestion(name)}" for name in functions if name not in SETTABLE]
        no_function = [
            f"{name} = {shown(function)}: must be a function of the progress"
            for name, function in functions.items()
            if not callable(function)
        ]
        refuse([*unknown, *no_function])
        self.functions = functions

    def on_start(self, training: Training) -> None:
        """Set the values of the first update."""
        ppo = training.config.ppo
        adapted = ["learning_rate"] if ppo.target_kl is not None and ppo.kl_control == "learning_rate" else []
        refuse(
            [
                f"{name} has a Schedule and is annealed too: leave it out of anneal = {' '.join(ppo.anneal)}"
                for name in self.functions
                if name in ppo.anneal
            ]
            + [f"{name} has a Schedule and kl_control = {name}" for name in self.functions if name in adapted]
        )
        self.set_values(training)

    def on_update(self, training: Training, rows: Rows) -> None:
        """Set the values of the next update."""
        self.set_values(training)

    def set_values(self, training: Training) -> None:
        """The functions' values at the present progress; none after the last update."""
        if training.progress >= 1:
            return
        for name, function in self.functions.items():
            setattr(training, name, function(training.progress))


def scheduled_settings(callbacks: object) -> list[str]:
    """The settings that have a ``Schedule``. Raises ``UsageError`` where one has two."""
    schedules = [x for x in callbacks if isinstance(x, Schedule)] if isinstance(callbacks, Sequence) else []
    names = [name for schedule in schedules for name in schedule.functions]
    refuse([f"{name} has {names.count(name)} Schedules: give one" for name in SETTABLE if names.count(name) > 1])
    return names


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

    def evaluation(self, training: Training, evaluation: Evaluation) -> bool:
        """The policies were evaluated while training: whether any callback ends the run. Every one is called."""
        answers = [callback.on_evaluation(training, evaluation) for callback in self._objects]
        return any(answers)

    def end(self, training: Training, result: Result) -> None:
        """The run has finished normally."""
        for callback in self._objects:
            callback.on_end(training, result)


HOOKS = [name for name in vars(TrainingCallback) if name.startswith("on_")]


def hook_problem(callback: object) -> str:
    """What is wrong with the methods of a ``TrainingCallback``: one that nothing calls; empty where all are called."""
    if not isinstance(callback, TrainingCallback):
        return ""
    kind = type(callback)
    unknown = [
        name for name in dir(kind) if name.startswith("on_") and name not in HOOKS and callable(getattr(kind, name))
    ]
    if not unknown:
        return ""
    are = "is not a hook and would never be called" if len(unknown) == 1 else "are not hooks and would never be called"
    return f"{kind.__name__}.{', '.join(unknown)} {are}; the hooks of a TrainingCallback: {', '.join(HOOKS)}"


def is_callback(value: object) -> bool:
    """Whether ``train`` can call it: a function, or a ``TrainingCallback`` object, but not the class itself."""
    if isinstance(value, type):
        return not issubclass(value, TrainingCallback)
    return isinstance(value, TrainingCallback) or callable(value)
