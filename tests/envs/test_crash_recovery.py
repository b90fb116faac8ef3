"""Environments that crash now and then are made anew, in workers and in this process."""

from functools import partial

import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import proximax
from proximax.envs import make_env
from proximax.envs.crash_recovery import AutoRestartEnv, RestartBudget
from proximax.envs.env_checker import EnvReport
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.workers import vector_env
from proximax.envs.workers.vector_env import Workers
from proximax.errors import EnvError
from tests.support.toy_envs import roll, vector
from tests.support.toy_gym import Fixed, Script
from tests.support.worker_envs import Breaks, Fragile
from tests.support.worker_pools import assert_same, history


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """The same shares whatever machine the tests run on."""
    monkeypatch.setattr(vector_env, "usable_cores", lambda: [0, 1])


def aside(make, num_envs, most, timeout=60.0):
    tried = EnvReport(0.0, False, [], Script.observation_space, Script.action_space)
    return Workers(make, num_envs, tried, RestartBudget(most), timeout)


def part(make, num_envs, most, timeout=60.0):
    """All in this process, as the part of one core."""
    tried = EnvReport(0.0, False, [], Script.observation_space, Script.action_space)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_env, "usable_cores", lambda: [0])
        return Workers(make, num_envs, tried, RestartBudget(most), timeout, steps_part=True)


def here(make, num_envs, most, timeout=60.0):
    restarts = RestartBudget(most)
    makes = [partial(AutoRestartEnv, make, restarts, i) for i in range(num_envs)]
    return GymnasiumEnv(SyncVectorEnv(makes, autoreset_mode=AutoresetMode.DISABLED), masked=False, restarts=restarts)


CRASHES = [(aside, "raise", {3}), (here, "raise", {3}), (aside, "exit", {3}), (here, "exit", {3})]
CRASHES += [(aside, "shape", {3}), (aside, "die", {3, 4})]
CRASHES += [(part, "raise", {3}), (part, "exit", {3}), (part, "shape", {3})]
CRASHES += [(aside, "leave", {3, 4}), (aside, "hang", {3, 4})]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "how", "lost"), CRASHES)
def test_an_environment_that_crashes_is_made_anew_and_its_episode_is_cut(kind, how, lost, capfd):
    env, whole = kind(partial(Breaks, how), 5, 1, 0.5 if how == "hang" else 60.0), plain_breaks()
    try:
        mine, other = history(env, 60, range(5)), history(whole, 60, [0, 1, 2, 30, 4])
        same = [i for i in range(5) if i not in lost]
        assert_same(
            *[
                [jax.tree.map(lambda x: x[same], dict(s, episode_over=0 * s["valid"])) for s in each[1:]]
                for each in (mine, other)
            ]
        )
        crash, following = mine[3], mine[4]
        for i in lost:
            assert (crash["valid"][i], crash["episode_over"][i], crash["reward"][i]) == (0, 0, 0)
            assert (crash["terminated"][i], crash["truncated"][i], crash["first"][i]) == (0, 1, 1)
            assert crash["obs"][i, 1] == 0
            assert following["obs"][i, 1] == 1  # it goes on from there
            assert following["valid"][i]
        assert env.restarts == 1
        assert "Restarted: restart 1 of 1" in capfd.readouterr().err
    finally:
        env.close()


def plain_breaks():
    return GymnasiumEnv(vector(Breaks, 5, AutoresetMode.DISABLED))


@pytest.mark.parametrize("kind", [aside, part, here])
@pytest.mark.parametrize("how", ["raise", "reset"])
def test_there_is_an_end_to_making_environments_anew(kind, how, capfd):
    class Always(Breaks):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=3, options=options)

    env = kind(partial(Always, how), 2, 4)
    try:
        with pytest.raises(EnvError, match=r"environment \d raised in (step|reset) at step \d+: (Zero|Value)"):
            history(env, 60, range(2))
        assert env.restarts == 4
        assert capfd.readouterr().err.count("Restarted") == 4
    finally:
        env.close()


@pytest.mark.parametrize("kind", [aside, part, here])
def test_a_crash_in_a_reset_leaves_the_episode_before_it_whole(kind):
    class Once(Fixed):
        resets = 0

        def reset(self, *, seed=None, options=None):
            self.resets += 1
            if self.resets == 3 and seed is None:
                raise OSError("gone")
            return super().reset(seed=seed, options=options)

    env = kind(Once, 2, 2)
    try:
        env.reset([1, 2])
        steps = [jax.tree.map(np.array, env.step(np.zeros(2, int))._asdict()) for _ in range(8)]
        assert all(s["valid"].all() for s in steps)
        np.testing.assert_array_equal([s["first"] for s in steps], [[t % 3 == 2] * 2 for t in range(8)])
        assert env.restarts == 2
    finally:
        env.close()


@pytest.mark.parametrize("kind", [aside, part, here])
@pytest.mark.parametrize("split", [0, 4])
def test_what_a_crash_cuts_is_neither_learned_from_nor_counted(kind, split):
    env = kind(Fragile, 2, 2)
    try:
        state, parts = None, []
        for steps in (split, 12 - split):
            if steps:
                state, rows, episodes = roll(env, steps, state, [1, 2])
                parts.append((rows, episodes))
        valid, truncated, last, first = (
            np.concatenate([x(rows)[:, 0, 0] for rows, _ in parts])
            for x in (
                lambda r: r.valid,
                lambda r: r.truncated,
                lambda r: r.truncated | r.terminated,
                lambda r: r.first,
            )
        )
        np.testing.assert_array_equal(valid, [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1])
        # Row 3 is the last whose outcome is known: cut there as by the clock, unless the rollout ends there anyway.
        assert truncated[3] == (split == 0)
        np.testing.assert_array_equal(last[[0, 1, 2, 4, 5, 6, 7]], [0, 0, 1, 1, 0, 0, 1])
        np.testing.assert_array_equal(first, [1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1])
        count, total, length = (
            sum(episodes[name][0] for _, episodes in parts) for name in ("episodes", "return_sum", "length_sum")
        )
        assert (count, total, length) == (2 * 3, 2 * 9, 2 * 9)  # of three steps each; no part of one
        np.testing.assert_array_equal(state.episode_return, 1)
    finally:
        env.close()


@pytest.mark.slow
def test_training_and_evaluation_go_on_after_crashes():
    class Now(Fixed):
        def step(self, action):
            if self.np_random.random() < 0.01:
                raise OSError("gone")
            return super().step(action)

    settings = {"steps": 512, "num_steps": 32, "num_envs": 4, "minibatch_size": 64, "eval_episodes": 20, "quiet": True}
    result = proximax.train(Now, env_restarts=100, **settings)
    assert (result.evaluation.lengths == 3).all()
    assert result.summary.mean == 3
    assert [note for note in result.notes if note.startswith("env_restarts: ")]
    with pytest.raises(EnvError, match="OSError: gone"):
        proximax.train(Now, **settings)


def test_environments_that_cannot_be_made_anew_say_so():
    env = make_env("CartPole-v1", 2, env_restarts=3)
    assert [note for note in env.notes if note.startswith("env_restarts")]
    assert not make_env("Pendulum-v1", 2, env_restarts=3).notes
    env.close()
