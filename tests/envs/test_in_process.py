"""Environments in this process and in workers refuse the same values, and read the same masks. Faults 7, 9."""

from functools import partial

import jax
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space

from proximax.envs.env_checker import check_env
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.in_process import InProcessEnvs
from proximax.envs.rendering import RenderedGymnasiumEnv
from proximax.envs.workers.vector_env import Workers
from proximax.errors import EnvError
from tests.support.worker_envs import FromWrapper, Goes, Looks, Masked, Wrapped


def in_process(make, num_envs):
    report = check_env(make)
    return GymnasiumEnv(InProcessEnvs([make] * num_envs, report.mask_method), masked=report.masked)


def in_workers(make, num_envs):
    return Workers(make, num_envs, check_env(make))


@pytest.mark.fault(9)
@pytest.mark.parametrize("kind", [in_process, in_workers])
@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"obs": {"a": np.array([300, 0], np.uint16), "b": 1}}, r"the observation['a'] at [0] is 300, which uint8"),
        ({"obs": {"a": np.zeros(2, np.uint8), "b": 1, "c": 0}}, "the observation has the entry 'c', which its space"),
        ({"reward": None}, "the reward is None"),
        ({"terminated": "no"}, "terminated is 'no'"),
    ],
)
def test_what_does_not_fit_at_any_step_is_refused_with_environment_and_step(kind, wrong, text):
    env = kind(partial(Goes, wrong), 2)
    try:
        env.reset([0, 1])
        for _ in range(5):
            assert env.step(np.zeros(2, int)).reward.tolist() == [1.0, 1.0]
        with pytest.raises(EnvError) as caught:
            env.step(np.zeros(2, int))
        assert str(caught.value).startswith("environment 1 in step at step 5: ")
        assert text in str(caught.value)
    finally:
        env.close()


@pytest.mark.fault(9)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_what_a_vector_environment_of_the_users_own_converts_is_compared(mode):
    wrong = {"obs": {"a": np.array([0, 999], np.uint16), "b": 1}, "reward": 1.0}
    env = GymnasiumEnv(SyncVectorEnv([partial(Goes, wrong, 4)] * 2, autoreset_mode=mode))
    env.reset([0, 1])
    for _ in range(8 if mode is AutoresetMode.NEXT_STEP else 7):
        env.step(np.zeros(2, int))
    with pytest.raises(EnvError, match=r"observation\['a'\] .*at \[1\] is 999, which uint8 cannot hold"):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize("kind", [in_process, in_workers])
def test_masks_come_from_the_method_action_masks_where_info_has_none(kind):
    env = kind(lambda: Wrapped(Masked()), 2)
    assert check_env(Masked).notes == ["action masks are those of the environment's method action_masks()"]
    try:
        obs = env.reset([0, 1])
        for t in range(7):
            expected = np.tile(np.arange(3) == t % 3, (2, 1))
            np.testing.assert_array_equal(obs["action_mask"], expected)
            obs = env.step(np.full(2, t % 3)).obs
    finally:
        env.close()
    outer = kind(lambda: FromWrapper(Goes()), 2)
    assert outer.reset([0, 1])["action_mask"].tolist() == [[0, 1, 0]] * 2
    outer.close()


def test_masks_in_info_come_before_the_method_and_a_box_has_none():
    class Both(Goes):
        def action_masks(self):
            raise AssertionError("it was called")

        def reset(self, **options):
            obs, _ = super().reset(**options)
            return obs, {"action_mask": np.array([1, 0, 1], np.int8)}

        def step(self, action):
            *outcome, _ = super().step(action)
            return *outcome, {"action_mask": np.array([1, 0, 1], np.int8)}

    env = in_process(Both, 2)
    assert env.reset([0, 1])["action_mask"].tolist() == [[1, 0, 1]] * 2
    assert env.step(np.zeros(2, int)).obs["action_mask"].tolist() == [[1, 0, 1]] * 2

    class Continuous(Masked):
        action_space = spaces.Box(-1.0, 1.0, (2,))

        def step(self, action):
            return Goes.step(self, action)

    assert not check_env(Continuous).masked
    notes = GymnasiumEnv(SyncVectorEnv([Masked] * 2, autoreset_mode=AutoresetMode.SAME_STEP)).notes
    assert ["which is not read in a vector environment of your own" in note for note in notes] == [True]


def test_a_mask_has_no_other_entries_than_0_and_1():
    class Counts(Masked):
        def action_masks(self):
            return np.array([256, 0, 0]) if self.t == 0 else np.array([0.5, 0, 0])

    for kind in (in_process, in_workers):
        with pytest.raises((EnvError, ValueError), match=r"has the entry 256; entries are 0 \(forbidden\) and 1"):
            kind(Counts, 2)


def test_an_action_looks_the_same_in_a_worker_as_in_this_process():
    seen = []
    for kind in (in_process, in_workers):
        env = kind(Looks, 2)
        env.reset([0, 1])
        action = jax.tree.map(np.asarray, batch_space(env.action_space, 2).sample())
        seen.append([env.step(action).obs.copy() for _ in range(2)])
        env.close()
    np.testing.assert_array_equal(seen[0], seen[1])


def test_a_video_reads_the_masks_of_the_method_too():
    class Drawn(Masked):
        render_mode = "rgb_array"

        def render(self):
            return np.zeros((2, 2, 3), np.uint8)

    env = RenderedGymnasiumEnv(Drawn, "Drawn")
    assert env.reset([0])["action_mask"].tolist() == [[1, 0, 0]]
    assert env.step(np.zeros(1, int)).obs["action_mask"].tolist() == [[0, 1, 0]]
