"""Trials side by side in one compiled program: what seeds are to a run, trials of different settings are here.

The state of all trials has a leading axis, a row for each seed of each trial. Settings that are data lie in it
(``TrainState.hyperparameters``), so each row has its own, and its own update number: a trial that ends makes room for
another while the others continue, and nothing is compiled again.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from proximax.config import RunConfig
from proximax.envs import EnvGroups, EnvLike, HostEnv, JaxEnv, env_options, make_env
from proximax.errors import NumericalError
from proximax.evaluation import Purpose, make_evaluator
from proximax.networks import AnyNetwork
from proximax.policy import make_policy
from proximax.ppo import Algorithm, make_host_learner, make_learner, make_multi_seed_learner, update_succeeded
from proximax.profiling import ChunkSizer
from proximax.runtime import key_from_data, seed_key
from proximax.types import PyTree, Step, TrainState, Transition


class Advanced(NamedTuple):
    """What became of a batch: updates made by all trials but those that failed, and trials by their places."""

    updates: int
    failed: frozenset[int] = frozenset()  # their numbers are no longer finite
    lost: frozenset[int] = frozenset()  # host environments have moved on without them: to be started again


class TrialBatch:
    """``places`` trials that train side by side, each of ``config.seeds`` seeds; ``config``: what all have in common.

    A place that no trial takes is to be cleared: what it has learns at rate 0.
    """

    def __init__(
        self,
        stack: ExitStack,
        config: RunConfig,
        env: EnvLike,
        places: int,
        network: AnyNetwork | None = None,
        custom_algorithm: Algorithm | None = None,
    ) -> None:
        """``stack`` closes the environments that are opened."""
        self.config, self.places, self._custom = config, places, custom_algorithm
        rows = replace(config, seeds=places * config.seeds)
        self.env = open_envs(stack, config, env, rows.seeds)
        self.policy = make_policy(
            self.env.observation_space, self.env.action_space, config.ppo, network or config.network
        )
        self.learner = make_multi_seed_learner(self.env, self.policy, rows, custom_algorithm)
        self._envs = list(self.env.envs) if isinstance(self.env, EnvGroups) else []  # of each row
        if isinstance(self.env, JaxEnv):
            self._init = make_learner(self.env, self.policy, replace(config, seeds=1), custom_algorithm).init
        self._evaluator = make_evaluator(
            env, self.policy, config.eval_episodes, sample=config.eval_stochastic, **env_options(config)
        )
        stack.callback(self._evaluator.close)
        self._sizer = ChunkSizer()
        self.state = self.learner.init()

    def start(self, place: int, config: RunConfig) -> None:
        """A trial from its first update on: settings and ``seed`` of ``config``, whose structure is that of all."""
        for i in range(self.config.seeds):
            row = place * self.config.seeds + i
            self._put(row, self._initial(row, replace(config, seeds=1, seed=config.seed + i)))

    def clear(self, place: int) -> None:
        """Leave a place to no trial."""
        for i in range(self.config.seeds):
            row = place * self.config.seeds + i
            still = self._initial(row, replace(self.config, seeds=1))
            self._put(row, still._replace(learning_rate=jnp.zeros_like(still.learning_rate)))
            if isinstance(self.env, EnvGroups) and not self.env.stacked:
                self.env.envs[row] = StillEnvs(self._envs[row], still.rollout.obs)

    def _initial(self, row: int, config: RunConfig) -> TrainState:
        """The state that a run of this config alone begins with; host environments of the row are reset."""
        if isinstance(self.env, JaxEnv):
            return with_numbers(self._init(seed_key(config.seed)), config)
        assert isinstance(self.env, EnvGroups)
        self.env.envs[row] = self._envs[row]
        learner = make_host_learner(self._envs[row], self.policy, config, self._custom)
        return jax.tree.map(lambda x: x[0], learner.init([seed_key(config.seed)]))

    def _put(self, row: int, one: TrainState) -> None:
        self.state = self.learner.place(jax.tree.map(lambda whole, x: replace_row(whole, row, x), self.state, one))

    def advance(self, updates: int) -> Advanced:
        """At most ``updates`` of all trials, in one call; fewer where one fails."""
        try:
            self.state, metrics = self.learner.advance(self.state, self._sizer.next(updates))
        except NumericalError:
            failed = self._places_of(rows_not_finite(self.learner.failed_rollout(self.state)))
            if not failed:
                raise
            return Advanced(0, failed, frozenset(range(self.places)) - failed)
        succeeded = np.asarray(update_succeeded(metrics))  # [updates, rows]; after a failure no more were made
        ends = np.flatnonzero(~succeeded.all(axis=1))
        if not ends.size:
            return Advanced(len(succeeded))
        return Advanced(int(ends[0]) + 1, self._places_of(np.flatnonzero(~succeeded[ends[0]])))

    def _places_of(self, rows: Any) -> frozenset[int]:
        return frozenset(int(row) // self.config.seeds for row in rows)

    def score(self, place: int, seed: int, salt: int = 0, purpose: Purpose = Purpose.REPORT) -> float:
        """Mean return over the episodes and seeds of a trial, on its own starts; NaN where it is not known."""
        rows = range(place * self.config.seeds, (place + 1) * self.config.seeds)
        parts = self.state.params, self.state.obs_moments
        policies = [jax.tree.map(lambda x, row=row: np.asarray(x)[row], parts) for row in rows]
        seeds = tuple(range(seed, seed + self.config.seeds))
        try:
            return self._evaluator.every(policies, seeds, salt, purpose).mean
        except NumericalError:
            return float("nan")


class StillEnvs(HostEnv):
    """In the place of environments in which no trial acts: nothing happens, and costs nothing."""

    def __init__(self, env: HostEnv, obs: PyTree) -> None:
        """``env``: whose place it takes; ``obs``: its observations, for good."""
        self.num_envs, self.notes = env.num_envs, env.notes
        self.observation_space, self.action_space = env.observation_space, env.action_space
        zeros, never = np.zeros(self.num_envs), np.zeros(self.num_envs, bool)
        self._obs, self._step = obs, Step(obs, obs, zeros, never, never, never, zeros + 1)

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """The observations."""
        return self._obs

    def send(self, action: PyTree) -> None:
        """No action has an effect."""

    def receive(self) -> Step:
        """The observations again, without reward."""
        return self._step

    def close(self) -> None:
        """The environments themselves are closed by who opened them."""


def open_envs(stack: ExitStack, config: RunConfig, env: EnvLike, rows: int) -> JaxEnv | HostEnv:
    """The environments of all rows; those of a row can be reset alone."""
    options = {"env_groups": config.env_groups, **env_options(config)}
    first = make_env(env, config.num_envs, **options)
    if isinstance(first, JaxEnv):
        return first
    envs: list[HostEnv] = []
    for row in range(rows):
        created = make_env(env, config.num_envs, **options) if row else first
        assert not isinstance(created, JaxEnv)
        stack.callback(created.close)
        envs.append(created)
    return EnvGroups(envs)


def with_numbers(state: TrainState, config: RunConfig) -> TrainState:
    """The first state of a run with the settings of ``config`` in place of those that it was made with."""
    return state._replace(
        beta=jnp.asarray(config.ppo.beta, jnp.float32),
        learning_rate=jnp.asarray(config.ppo.learning_rate, jnp.float32),
        hyperparameters={name: jnp.asarray(x, jnp.float32) for name, x in config.numbers().items()},
    )


def replace_row(whole: Any, row: int, one: Any) -> Any:
    """A copy of an array ``[rows, ...]`` or of as many keys, one row of which is ``one``."""
    if jnp.issubdtype(whole.dtype, jax.dtypes.prng_key):
        return key_from_data(replace_row(jax.random.key_data(whole), row, jax.random.key_data(one)))
    array = np.array(whole)
    array[row] = np.asarray(one)
    return array


def rows_not_finite(rollout: Transition | None) -> list[int]:
    """The rows of a rollout ``[T, rows, ...]`` with an observation or reward that is not finite."""
    if rollout is None:
        return []
    arrays = [np.asarray(x) for x in jax.tree.leaves((rollout.final_obs, rollout.reward))]
    bad = [~np.isfinite(x).all(axis=(0, *range(2, x.ndim))) for x in arrays if np.issubdtype(x.dtype, np.floating)]
    return np.flatnonzero(np.any(bad, axis=0)).tolist()
