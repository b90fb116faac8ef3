"""Worker processes: the transitions of the plain loop, and a fault instead of a hang (traps 5, 32, 34, 37)."""

import os
import subprocess
import sys
import threading
import time
from functools import partial

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import proximax
from proximax.envs import env_seeds, make_env
from proximax.envs.crash_recovery import AutoRestartEnv, RestartBudget
from proximax.envs.env_checker import EnvReport, check_env
from proximax.envs.env_groups import vectorise
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.workers import vector_env
from proximax.envs.workers.vector_env import Workers
from proximax.errors import EnvError
from proximax.spaces.masks import MASK, sample_allowed_action
from proximax.spaces.tree import flatten, leaves, unflatten
from tests.support import ROOT
from tests.support.toy_envs import roll, vector
from tests.support.toy_gym import ACTIONS, Fixed, Lawful, Script, as_array, as_tree
from tests.support.worker_envs import Breaks, Forgets, Fragile, Recycles, Remembers, Slow, Twice


def pool(make, num_envs, restarts=0, timeout=60.0):
    return Workers(make, num_envs, check_env(make), RestartBudget(restarts), timeout)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """The same shares whatever machine the tests run on."""
    monkeypatch.setattr(vector_env, "usable_cores", lambda: [0, 1])


def random_actions(env, obs, rng):
    """An action for each environment that its mask, if any, allows."""
    each = []
    for i in range(env.num_envs):
        mask = obs[MASK][i] if isinstance(obs, dict) and MASK in obs else np.ones(100)
        each.append(flatten(env.action_space, sample_allowed_action(env.action_space, mask > 0, rng)))
    dtypes = [leaf.dtype for leaf in leaves(env.action_space)]
    return unflatten(env.action_space, iter([np.stack(x).astype(dtype) for x, dtype in zip(zip(*each), dtypes)]))


def history(env, steps, seeds):
    """Everything ``steps`` steps give, of actions that depend only on what was seen."""
    rng, obs = np.random.default_rng(0), env.reset(seeds)
    env.action_space.seed(0)
    seen = [jax.tree.map(np.array, obs)]
    for _ in range(steps):
        s = env.step(random_actions(env, obs, rng))
        seen.append(jax.tree.map(np.array, s._asdict()))
        obs = s.obs
    return seen


def assert_same(mine, other):
    for a, b in zip(mine, other, strict=True):
        assert jax.tree.structure(a) == jax.tree.structure(b)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


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


@pytest.mark.slow
@pytest.mark.trap(4)
@pytest.mark.parametrize("name", MAKES)
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


def test_an_environment_may_keep_its_action():
    env = pool(Remembers, 3)
    try:
        env.reset(range(3))
        actions = np.random.default_rng(0).uniform(-1, 1, (5, 3, 3)).astype(np.float32)
        seen = [np.array(env.step(action).final_obs) for action in actions]
        np.testing.assert_array_equal(seen[1:], actions[:-1])
    finally:
        env.close()


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


@pytest.mark.process
@pytest.mark.trap(37)
def test_a_worker_killed_between_two_steps_is_a_fault():
    env = pool(Script, 4)
    env.reset(range(4))
    env._workers[1]._process.kill()
    env._workers[1]._process.wait()
    with pytest.raises(EnvError, match=r"environments 2 to 3 died in step .* at step 0: signal 9"):
        env.step(np.zeros(4, int))
    env.close()


@pytest.mark.slow
@pytest.mark.trap(37)
def test_the_limit_is_for_one_call_not_for_a_whole_share():
    env = pool(Slow, 8, timeout=3.0)
    try:
        before = env.reset(range(8))
        after = env.step(np.zeros(8, int))
        np.testing.assert_array_equal(after.final_obs[:, 1], before[:, 1] + 1)  # all eight took their step
    finally:
        env.close()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


ORPHANS = """
import ctypes, os, signal, threading
import numpy as np
from tests.support.toy_gym import Script
from proximax.envs.workers import vector_env
from proximax.envs.env_checker import EnvReport

vector_env.usable_cores = lambda: [0, 1]

class Stays(Script):
    def step(self, action):
        os.write(1, b"stuck\\n")  # in one piece: both workers write, and print may not be buffered
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if {stuck} == 2:
            ctypes.PyDLL(None).sleep(1000)  # in C code, and keeps Python's lock: no thread of the worker runs
        threading.Event().wait()

tried = EnvReport(0.0, False, [], Script.observation_space, Script.action_space)
env = vector_env.Workers(Script if {stuck} == 0 else Stays, 4, tried)
env.reset(range(4))
print(*(worker.pid for worker in env._workers), flush=True)
if {stuck}:
    env.step(np.zeros(4, int))
signal.pause()
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.trap(37)
@pytest.mark.parametrize("stuck", [0, 1, 2])
def test_no_worker_outlives_a_killed_parent_even_one_that_is_stuck(stuck):
    path = str(ROOT)
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANS.format(stuck=stuck)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    for _ in range(2 * bool(stuck)):  # both workers have begun the step that never ends
        assert parent.stdout.readline() == "stuck\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    limit = time.perf_counter() + 5  # what users are promised
    while any(alive(pid) for pid in pids) and time.perf_counter() < limit:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


@pytest.mark.slow
@pytest.mark.trap(37)
def test_all_workers_can_be_ended_at_once():
    both = [pool(Script, 4), pool(Script, 2)]
    pids = [worker.pid for env in both for worker in env._workers]
    vector_env.kill_all()
    for env in both:
        env.close()
    assert not any(alive(pid) for pid in pids)


def test_the_environments_own_traceback_is_in_the_faults_notes():
    env = pool(Breaks, 5)
    with pytest.raises(EnvError) as caught:
        history(env, 5, range(5))
    env.close()
    assert [note for note in caught.value.__notes__ if 'raise ZeroDivisionError("oh no")' in note]


def aside(make, num_envs, most, timeout=60.0):
    tried = EnvReport(0.0, False, [], Script.observation_space, Script.action_space)
    return Workers(make, num_envs, tried, RestartBudget(most), timeout)


def here(make, num_envs, most, timeout=60.0):
    restarts = RestartBudget(most)
    makes = [partial(AutoRestartEnv, make, restarts, i) for i in range(num_envs)]
    return GymnasiumEnv(SyncVectorEnv(makes, autoreset_mode=AutoresetMode.DISABLED), masked=False, restarts=restarts)


CRASHES = [(aside, "raise", {3}), (here, "raise", {3}), (aside, "exit", {3}), (here, "exit", {3})]
CRASHES += [(aside, "shape", {3}), (aside, "die", {3, 4})]
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


@pytest.mark.parametrize("kind", [aside, here])
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


@pytest.mark.parametrize("kind", [aside, here])
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


@pytest.mark.parametrize("kind", [aside, here])
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


def test_a_timeout_that_is_meant_to_be_none_is_one():
    env = pool(Fixed, 2, timeout=1e12)
    try:
        assert env.reset([1, 2]).shape[0] == 2
    finally:
        env.close()


def test_environments_that_cannot_be_made_anew_say_so():
    env = make_env("CartPole-v1", 2, env_restarts=3)
    assert [note for note in env.notes if note.startswith("env_restarts")]
    assert not make_env("Pendulum-v1", 2, env_restarts=3).notes
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
