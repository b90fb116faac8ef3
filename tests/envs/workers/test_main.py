"""The program of a worker process: what it imports, what it does with arrays and with what goes wrong. Traps 5, 37."""

import os
import time
from functools import partial

import numpy as np
import pytest

from proximax.envs import make_env
from proximax.envs.workers.main import Spin
from proximax.envs.workers.vector_env import Workers
from proximax.errors import EnvError
from tests.support.worker_envs import Breaks, Recycles, Remembers, Twice
from tests.support.worker_pools import alive, history, pool


@pytest.mark.trap(5)
def test_the_final_observation_survives_an_environment_that_reuses_its_array():
    env, action = pool(Recycles, 2), np.ones((2, 2), np.float32)
    try:
        obs = env.reset([1, 2])
        for _ in range(50):
            s = env.step(action)
            np.testing.assert_array_equal(s.final_obs[:, 1], obs[:, 1] + 1)
            np.testing.assert_array_equal(s.obs[:, 1], np.where(s.first, 0, s.final_obs[:, 1]))
            obs = s.obs.copy()
        np.testing.assert_array_equal(action, 1)
    finally:
        env.close()


@pytest.mark.trap(40)
def test_an_environment_may_keep_its_action():
    env = pool(Remembers, 3)
    try:
        env.reset(range(3))
        actions = np.random.default_rng(0).uniform(-1, 1, (5, 3, 3)).astype(np.float32)
        seen = [np.array(env.step(action).final_obs) for action in actions]
        np.testing.assert_array_equal(seen[1:], actions[:-1])
    finally:
        env.close()


@pytest.mark.trap(42)
def test_one_environment_object_is_not_several_environments_of_a_worker():
    with pytest.raises(EnvError, match=r"raised in its constructor.*the same environment object again"):
        pool(Twice, 4)


REPORTS = """
import os, sys
import gymnasium, numpy as np

class Reports(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 2**40, (4,), np.float64)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        here = ["jax" in sys.modules, "proximax" in sys.modules, os.getpid(), os.getppid()]
        return np.array(here, np.float64), {}

    def step(self, action):
        return self.reset()[0], 0.0, False, False, {}

gymnasium.register("Reports-v0", Reports)
"""


@pytest.mark.trap(37)
def test_workers_have_neither_jax_nor_proximax_and_there_is_one_per_core(tmp_path, monkeypatch):
    (tmp_path / "reports.py").write_text(REPORTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("proximax.envs.env_groups.WORKER_SECONDS", 0.0)
    monkeypatch.setattr("proximax.envs.env_groups.usable_cores", lambda: [0, 1])
    env = make_env("reports:Reports-v0", 5)
    try:
        assert isinstance(env, Workers)
        has_jax, has_proximax, pid, parent = env.reset([0] * 5).T
        assert not has_jax.any()
        assert not has_proximax.any()
        assert (parent == os.getpid()).all()
        assert [int((pid == p).sum()) for p in dict.fromkeys(pid)] == [3, 2]
    finally:
        env.close()


@pytest.mark.process
@pytest.mark.trap(37)
@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("raise", "environment 3 raised in step at step 2: ZeroDivisionError: oh no"),
        ("raise no text", r"environment 3 raised in step at step 2: NoTextError: \(its text raised ValueError\)"),
        ("exit", "environment 3 raised in step at step 2: SystemExit: 0"),
        ("reset", "environment 3 raised in reset at step 0: ValueError: no level loaded"),
        (
            "die",
            r"env worker 1 \(process \d+\) of environments 3 to 4 died in step of environment 3 at step 2: signal 9",
        ),
        (
            "fork and die",
            r"env worker 1 \(process \d+\) of environments 3 to 4 died in step of environment 3 .* signal 9",
        ),
        (
            "leave",
            r"worker 1 \(process \d+\) of environments 3 to 4 died in step of environment 3 at step 2: exit status 7",
        ),
        ("hang", r"environment 3 is stuck in step at step 2: no answer for 0.5 s"),
        ("shape", r"environment 3 in step at step 2: the observation has shape \(\), where \(3,\) belongs"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_a_fault_at_once_that_names_environment_and_step(how, text):
    env = pool(partial(Breaks, how), 5, timeout=0.5 if how == "hang" else 60.0)
    pids = [worker.pid for worker in env._workers]
    before = time.perf_counter()
    with pytest.raises(EnvError, match=text):
        history(env, 5, range(5))
    env.close()
    assert time.perf_counter() - before < 4
    assert not any(alive(pid) for pid in pids)


def test_the_environments_own_traceback_is_in_the_faults_notes():
    env = pool(Breaks, 5)
    with pytest.raises(EnvError) as caught:
        history(env, 5, range(5))
    env.close()
    assert [note for note in caught.value.__notes__ if 'raise ZeroDivisionError("oh no")' in note]


def test_who_looks_in_vain_pauses_ever_longer_and_what_is_found_ends_that():
    reading, writing = os.pipe()
    try:
        spin = Spin(reading)
        looked = [(spin.found(), spin.pause) for _ in range(6)]
        assert looked == [(False, 1), (False, 0), (False, 3), (False, 2), (False, 1), (False, 0)]
        os.write(writing, b"s")
        assert (spin.found(), spin.vain) == (True, 0)
        assert os.read(reading, 1) == b"s"  # it only looks
        os.close(writing)
        writing = None
        assert spin.found()  # the end of the pipe is something to read
    finally:
        for end in (reading, writing):
            if end is not None:
                os.close(end)
