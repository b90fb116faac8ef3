"""Evaluations while training: for the log, for the best checkpoint, to stop early; and the one at the end."""

from functools import partial

import jax
import numpy as np

from proximax.config import RunConfig
from proximax.envs import EnvLike, HostEnv, JaxEnv, can_recreate, env_options
from proximax.evaluation import Evaluation, Evaluator, Purpose, make_evaluator
from proximax.policy import Policy
from proximax.runs import Every
from proximax.types import TrainState

STOP_CHECKS = 40  # evaluations over a run with ``stop_at_return``, where ``eval_every`` does not say


class PeriodicEvaluator:
    """Evaluations after certain updates, each once. They change nothing in training.

    A deterministic policy is often far ahead of the training returns. Without ``eval_every`` a few episodes are played
    forty times in a run with ``stop_at_return``; if they reach the goal, a full evaluation on fresh starts decides.
    That one has chosen when to stop, so it is not reported: ``final_evaluation`` follows on starts of its own.
    """

    def __init__(self, config: RunConfig, env: EnvLike, policy: Policy, evaluated: int = 0) -> None:
        """``evaluated``: the last update whose evaluation a resumed run need not repeat."""
        self.latest: Evaluation | None = None
        self.reached = False  # the goal, by a full evaluation
        self.update = evaluated  # after which the latest was
        self._config = config
        self._schedule = evaluation_schedule(config)
        self._make = partial(
            make_evaluator, env, policy, config.eval_episodes, sample=config.eval_stochastic, **env_options(config)
        )
        self._evaluator: Evaluator | None = None

    def next_update(self, update: int) -> int:
        """The first update after ``update`` at which to evaluate; the run's last where nothing asks for one."""
        last = self._config.updates
        return min(self._schedule.next_update(update), last) if self._schedule else last

    def maybe_evaluate(self, state: TrainState, update: int) -> bool:
        """Evaluate if it is due. Returns whether the mean return of every seed has reached ``stop_at_return``."""
        goal, all_episodes = self._config.stop_at_return, self._config.eval_every is not None
        if self._schedule is None or update <= self.update or update != self.next_update(update - 1):
            return False
        self._evaluator = self._evaluator or self._make()
        episodes = None if all_episodes else self._evaluator.copies
        self.latest = evaluate_seeds(self._evaluator, state, self._config, update, Purpose.LOG, episodes)
        # Not before: an interrupted evaluation does not count, and the one before it is of another update.
        self.update = update
        if goal is None or not self.latest.worst >= goal:  # NaN, of episodes that do not end, reaches nothing
            return False
        self.reached = evaluate_seeds(self._evaluator, state, self._config, update, Purpose.STOP).worst >= goal
        return self.reached

    def close(self) -> None:
        """Close the evaluation's environments."""
        if self._evaluator is not None:
            self._evaluator.close()


def evaluation_schedule(config: RunConfig) -> Every | None:
    """When to evaluate while training; None where neither ``eval_every`` nor ``stop_at_return`` asks for it."""
    if config.eval_every is not None:
        return Every(config.eval_every, config.batch_size)
    return Every(max(1, config.updates // STOP_CHECKS)) if config.stop_at_return is not None else None


def final_evaluation(
    config: RunConfig, env: EnvLike, training_env: JaxEnv | HostEnv, policy: Policy, state: TrainState
) -> Evaluation:
    """Every seed's policy on fresh environments, or on the training ones where they cannot be re-created."""
    if not can_recreate(env):
        return evaluate_seeds(
            Evaluator(training_env, policy, config.eval_episodes, config.eval_stochastic), state, config
        )
    evaluator = make_evaluator(env, policy, config.eval_episodes, sample=config.eval_stochastic, **env_options(config))
    try:
        return evaluate_seeds(evaluator, state, config)
    finally:
        evaluator.close()


def evaluate_seeds(
    evaluator: Evaluator,
    state: TrainState,
    config: RunConfig,
    salt: int = 0,
    purpose: Purpose = Purpose.REPORT,
    episodes: int | None = None,
) -> Evaluation:
    """Every seed's policy; another ``salt`` or ``purpose``, other starts."""
    arrays = jax.tree.map(np.asarray, (state.params, state.obs_moments))
    policies = [jax.tree.map(lambda x, i=i: x[i], arrays) for i in range(config.seeds)]
    seeds = tuple(range(config.seed, config.seed + config.seeds))
    return evaluator.every(policies, seeds, salt, purpose, episodes)
