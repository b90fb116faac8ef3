"""Worker processes: the transitions of the plain loop, and a fault instead of a hang (traps 5, 32, 34, 37)."""

import threading
import time
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from proximax.envs import env_seeds
from proximax.envs.env_checker import EnvReport, check_env
from proximax.envs.env_groups import vectorise
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.workers.vector_env import Workers
from proximax.errors import EnvError
from tests.support.toy_envs import vector
from tests.support.toy_gym import ACTIONS, Lawful, Script, as_array, as_tree
from tests.support.worker_envs import Forgets
from tests.support.worker_pools import assert_same, history, pool

LAWFUL = [(name, masks, as_array) for name in ACTIONS for masks in ("", "info", "key")]
LAWFUL += [("nested", "info", as_tree)]
MAKES = {
    f"{name}-{masks}-{form.__name__}": partial(Lawful, ACTIONS[name], masks, form, True) for name, masks, form in LAWFUL
}
MAKES |= {
    "script": Script,
    "mujoco": partial(gymnasium.make, "InvertedPendulum-v5"),
    "taxi": partial(gymnasium.make, max(name for name in gymnasium.registry if name.startswith("Taxi-"))),
}

# Every space of actions and every place of masks is among the others.
MORE = {f"{name}-{masks}-as_array" for name, masks, _ in LAWFUL}
MORE -= {"discrete-info-as_array", "multi_discrete-key-as_array", "multi_binary--as_array", "nested-key-as_array"}


@pytest.mark.slow
@pytest.mark.trap(4)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.exhaustive if name in MORE else ()) for name in MAKES]
)
def test_workers_give_the_transitions_of_the_plain_loop_bit_for_bit(name):
    if name == "mujoco":
        pytest.importorskip("mujoco")
    num_envs, steps = (3, 450) if name == "taxi" else (5, 250)
    mine = pool(MAKES[name], num_envs)
    plain = GymnasiumEnv(vector(MAKES[name], num_envs, AutoresetMode.DISABLED))
    try:
        assert mine.observation_space == plain.observation_space
        assert mine.action_space == plain.action_space
        seen = history(mine, steps, env_seeds(3, num_envs))
        assert_same(seen, history(plain, steps, env_seeds(3, num_envs)))
        assert sum(s["first"].sum() for s in seen[1:]) >= num_envs  # episodes ended
        assert_same(seen[:50], history(mine, 49, env_seeds(3, num_envs)))  # reset in the middle of episodes
    finally:
        mine.close()
        plain.close()


@pytest.mark.slow
@pytest.mark.trap(4)
def test_a_part_in_this_process_gives_the_same_transitions_and_states_bit_for_bit():
    pytest.importorskip("mujoco")
    make, seeds = partial(gymnasium.make, "HalfCheetah-v5", max_episode_steps=40), env_seeds(3, 5)
    report = check_env(make)
    mine, aside = Workers(make, 5, report, steps_part=True), Workers(make, 5, report)
    plain = GymnasiumEnv(vector(make, 5, AutoresetMode.DISABLED))
    try:
        seen = history(mine, 100, seeds)
        assert_same(seen, history(plain, 100, seeds))
        assert sum(s["first"].sum() for s in seen[1:]) == 10
        aside.reset(seeds[::-1])
        aside.set_state(mine.get_state())
        mine.reset(seeds)
        mine.set_state(aside.get_state())
        actions = np.random.default_rng(1).uniform(-1, 1, (50, 5, 6)).astype(np.float32)
        for action in actions:
            assert_same([env.step(action)._asdict() for env in (mine,)], [plain.step(action)._asdict()])
    finally:
        for env in (mine, aside, plain):
            env.close()


def test_only_quick_environments_are_stepped_in_this_process_too_and_not_those_of_groups(monkeypatch):
    pytest.importorskip("mujoco")
    monkeypatch.setattr("proximax.envs.env_groups.usable_cores", lambda: [0, 1])
    monkeypatch.setattr("proximax.envs.env_groups.WORKER_SECONDS", 0.0)
    seen = []
    monkeypatch.setattr("proximax.envs.env_groups.Workers", lambda *a: seen.append(a[-1]) or 1 / 0)
    cheetah = partial(gymnasium.make, "HalfCheetah-v5")
    for make, groups in ((cheetah, 1), (cheetah, 2), (Script, 1)):
        vectorise(make, 2, env_groups=groups).close()
    assert seen == [True, False, False]


@pytest.mark.slow
@pytest.mark.trap(34)
def test_seeds_reach_their_environments_and_decide_everything():
    env = pool(Script, 5)
    try:
        seeds = env_seeds(0, 5)
        first = env.reset(seeds)
        assert len(np.unique(first[:, 2])) == 5
        np.testing.assert_array_equal(env.reset(seeds[::-1]), first[::-1])
        np.testing.assert_array_equal(env.reset(seeds), first)
    finally:
        env.close()


def test_environments_that_cannot_be_sent_are_stepped_here_with_a_note():
    class Stuck(Script):
        lock = threading.Lock()

        def step(self, action):
            time.sleep(0.001)
            assert self.lock
            return super().step(action)

    env = vectorise(Stuck, 2)
    assert isinstance(env, GymnasiumEnv)
    assert [note for note in env.notes if note.startswith("stepped in one process") and "lock" in note]
    env.reset([1, 2])
    env.close()


def test_cheap_environments_are_stepped_in_this_process_and_others_in_workers(monkeypatch):
    for seconds, kind in ((0.0, Workers), (1.0, GymnasiumEnv)):
        monkeypatch.setattr("proximax.envs.env_groups.WORKER_SECONDS", seconds)
        env = vectorise(Script, 2)
        assert type(env) is kind
        assert env.notes == []
        env.close()
    monkeypatch.setattr("proximax.envs.env_groups.WORKER_SECONDS", 0.0)
    monkeypatch.setattr("proximax.envs.env_groups.usable_cores", lambda: [0])
    assert type(vectorise(Script, 2)) is GymnasiumEnv


def test_masks_that_vanish_are_a_fault():
    env = Workers(
        partial(Forgets, ACTIONS["discrete"], "info"),
        2,
        EnvReport(0.0, True, [], Lawful.observation_space, ACTIONS["discrete"]),
    )
    try:
        with pytest.raises(EnvError, match="has no 'action_mask', which the first reset's had"):
            history(env, 5, [1, 2])
    finally:
        env.close()
