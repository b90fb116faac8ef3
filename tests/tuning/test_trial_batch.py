"""Trials side by side: each learns what it learns alone with its settings, whoever is beside it."""

from contextlib import ExitStack
from dataclasses import replace

import jax
import numpy as np
import pytest

import proximax
from proximax.envs import env_seeds
from proximax.runtime.prng import key_from_data
from proximax.training import resolve
from proximax.tuning.search_space import with_settings
from proximax.tuning.trial_batch import TrialBatch, replace_row, rows_not_finite
from proximax.types import Transition
from tests.support.saved_runs import TINY
from tests.support.toy_gym import Fixed

SETTINGS = [
    {"learning_rate": 3e-3, "gamma": 0.9, "entropy_coef": 0.01, "epsilon": 0.1, "anneal_end": 0.5},
    {"learning_rate": 3e-4, "gamma": 0.99, "entropy_coef": 0.0, "epsilon": 0.3, "anneal_end": 0.0},
    {"learning_rate": 1e-3, "gamma": 0.5, "entropy_coef": 0.1, "epsilon": 0.2, "anneal_end": 1.0},
]


def config_of(env):
    return resolve(env, "none", {name: x for name, x in TINY.items() if name not in ("quiet", "preset")})[0]


@pytest.fixture(scope="module")
def matching():
    """A batch of three places of one seed, compiled once."""
    with ExitStack() as stack:
        yield TrialBatch(stack, config_of("probe:matching"), "probe:matching", 3)


def train(batch, trials, updates):
    """Start each trial in its place, and train all for so many updates."""
    for place, trial in trials:
        batch.start(place, trial)
    while updates:
        updates -= batch.advance(updates).updates


def learned(batch, row):
    return jax.tree.map(lambda x: np.asarray(x)[row], (batch.state.params, batch.state.obs_moments))


@pytest.mark.slow
@pytest.mark.parametrize("env", ["probe:matching", "CartPole-v1"])
def test_a_trial_is_the_run_with_its_settings_whoever_is_beside_it(env, matching):
    config = config_of(env)
    trials = [replace(with_settings(config, s), seed=10 + i) for i, s in enumerate(SETTINGS)]
    with ExitStack() as stack:
        batch = matching if env == "probe:matching" else TrialBatch(stack, config, env, 3)
        train(batch, enumerate(trials), config.updates)
        first, scores = learned(batch, 0), [batch.score(i, 10 + i) for i in range(3)]
        batch.clear(2)
        # another place, other neighbours, after another trial in it
        train(batch, [(0, trials[2]), (1, trials[0])], config.updates)
        for mine, other in zip(jax.tree.leaves(first), jax.tree.leaves(learned(batch, 1)), strict=True):
            np.testing.assert_array_equal(mine, other)
        assert batch.score(1, 10) == scores[0]
    alone = proximax.train(env, seed=10, **TINY, **SETTINGS[0])
    for mine, other in zip(jax.tree.leaves(first[0]), jax.tree.leaves(alone.agents[0].params), strict=True):
        # vmapped matrix products may round otherwise than single ones
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    assert scores[0] == pytest.approx(alone.summary.mean)


@pytest.mark.slow
@pytest.mark.parametrize("env", ["probe:matching", pytest.param("CartPole-v1", marks=pytest.mark.exhaustive)])
def test_trials_of_two_seeds_are_runs_of_two_seeds_to_the_bit(env):
    config = config_of(env)
    trial = replace(with_settings(config, SETTINGS[0]), seed=4)
    with ExitStack() as stack:
        batch = TrialBatch(stack, replace(config, seeds=2), env, 3)
        train(batch, [(0, trial), (1, replace(trial, seed=6)), (2, trial)], config.updates)
        run = proximax.train(env, seed=4, seeds=6, **TINY, **SETTINGS[0])
        for row in range(4):
            for mine, other in zip(jax.tree.leaves(learned(batch, row)[0]), jax.tree.leaves(run.agents[row].params)):
                np.testing.assert_array_equal(mine, other)
        assert batch.score(0, 4) == pytest.approx(run.evaluation.returns[:2].mean())


@pytest.mark.slow
def test_a_trial_that_diverges_stops_and_the_others_continue(matching):
    trials = [replace(with_settings(config_of("probe:matching"), SETTINGS[i]), seed=i) for i in range(3)]
    train(matching, enumerate(trials), 1)
    rates = np.array([1e-3, np.inf, 1e-3], np.float32)
    matching.state = matching.learner.place(matching.state._replace(learning_rate=rates))
    failed, made = set(), 0
    for _ in range(3):
        advanced = matching.advance(1)
        failed |= advanced.failed
        made += advanced.updates
    assert failed == {1}
    assert np.asarray(matching.state.update)[[0, 2]].tolist() == [1 + made] * 2
    assert np.isfinite(np.concatenate([np.ravel(x) for x in jax.tree.leaves(learned(matching, 0))])).all()


class Breaks(Fixed):
    """Observations of environments with certain seeds are not finite from the second step of an episode on."""

    seeds = frozenset(env_seeds(11, 2))

    def reset(self, *, seed=None, options=None):
        self.breaks, self.steps = (self.breaks if seed is None else seed in self.seeds), 0
        return super().reset(seed=seed, options=options)

    breaks = False

    def step(self, action):
        obs, *rest = super().step(action)
        self.steps += 1
        return np.full_like(obs, np.nan) if self.breaks and self.steps > 1 else obs, *rest


@pytest.mark.slow
@pytest.mark.fault(55)
def test_a_host_environment_with_nan_fails_its_trial_alone_and_the_others_are_restarted():
    config = config_of(Breaks)
    trials = [replace(with_settings(config, s), seed=10 + i) for i, s in enumerate(SETTINGS)]
    with ExitStack() as stack:
        batch = TrialBatch(stack, config, Breaks, 3)
        for place in (0, 2):
            batch.start(place, trials[place])
        batch.clear(1)
        before = batch._envs[1]._steps
        assert batch.advance(2).updates == 1
        assert batch._envs[1]._steps == before  # where nobody acts nothing is stepped
        first = learned(batch, 0)
        for place, trial in enumerate(trials):
            batch.start(place, trial)
        assert batch.advance(2) == (0, {1}, {0, 2})
        for place in (0, 2):
            batch.start(place, trials[place])
        batch.clear(1)
        assert batch.advance(2).updates == 1
        for mine, other in zip(jax.tree.leaves(first), jax.tree.leaves(learned(batch, 0)), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_a_row_is_replaced_and_the_whole_stays_as_it_was():
    whole, one = np.zeros((3, 2), np.float32), np.ones(2, np.float32)
    assert replace_row(whole, 1, one).tolist() == [[0, 0], [1, 1], [0, 0]]
    assert whole.sum() == 0
    keys = key_from_data(np.arange(6, dtype=np.uint32).reshape(3, 2))
    changed = replace_row(keys, 2, key_from_data(np.array([7, 8], np.uint32)))
    assert jax.random.key_data(changed).tolist() == [[0, 1], [2, 3], [7, 8]]


def test_rows_with_numbers_that_are_not_finite_are_found():
    obs, reward = np.zeros((4, 3, 2, 5), np.float32), np.zeros((4, 3, 2), np.float32)
    obs[1, 0, 1, 3], reward[2, 2, 0] = np.nan, np.inf
    nothing = dict.fromkeys(("first", "action", "log_prob", "terminated", "truncated", "valid"))
    rollout = Transition(obs=obs, final_obs=obs, reward=reward, **nothing)
    assert rows_not_finite(rollout) == [0, 2]
    assert rows_not_finite(None) == []
    assert rows_not_finite(rollout._replace(final_obs={"a": np.zeros((4, 3, 2), np.int8)})) == [2]
