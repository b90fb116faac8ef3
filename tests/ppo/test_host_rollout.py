"""A rollout from outside the program: what counts for the score, and what is refused. Traps 24, 33; faults 8, 9."""

from functools import partial

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.errors import EnvError, NumericalError
from proximax.ppo.host_rollout import finish_rollout, host_buffers, host_rollout_state
from tests.support.toy_envs import Games, roll, vector
from tests.support.toy_gym import Script


@pytest.mark.trap(33)
def test_returns_are_of_the_score_and_of_whole_games():
    state, rollout, episodes = roll(Games(2), 7)
    np.testing.assert_array_equal(rollout.reward, np.ones((7, 1, 2)))  # what is learned from
    np.testing.assert_array_equal(rollout.terminated[:, 0, 0], [0, 1, 1, 0, 1, 1, 0])
    assert {name: x.tolist() for name, x in episodes.items()} == {
        "episodes": [4],
        "return_sum": [4 * 7],
        "length_sum": [4 * 3],
    }
    np.testing.assert_array_equal(state.episode_return, [[1, 1]])
    np.testing.assert_array_equal(state.episode_length, [[1, 1]])


@pytest.mark.trap(24)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_before_it_is_learned_from(value):
    obs = {"a": np.zeros((2, 3, 4), np.float32), "b": np.zeros((2, 3), np.int32)}
    flags, zeros = np.zeros((2, 3), bool), np.zeros((2, 3))
    buffers = host_buffers(5, host_rollout_state(obs, flags, (), zeros, zeros), np.zeros((2, 3), int))
    for part in (buffers.obs["a"], buffers.final_obs["a"], buffers.reward):
        for other in (buffers.obs["a"], buffers.final_obs["a"], buffers.reward):
            other[:] = 0
        assert finish_rollout(buffers) is buffers
        part[3, 1, 2, ...] = value
        what = "reward" if part is buffers.reward else r"observation\['a'\]"
        place = "environment 2 of seed 8, step 3 of this rollout"
        with pytest.raises(NumericalError, match=rf"the {what} is not finite: .*{value}.* in {place}"):
            finish_rollout(buffers, first_seed=7)


@pytest.mark.fault(8)
def test_a_reward_beyond_float32_is_told_from_an_infinite_one():
    obs, flags, zeros = np.zeros((1, 2, 4), np.float32), np.zeros((1, 2), bool), np.zeros((1, 2))
    buffers = host_buffers(3, host_rollout_state(obs, flags, (), zeros, zeros), np.zeros((1, 2), int))
    for part in (buffers.obs, buffers.final_obs, buffers.reward):
        part[:] = 0
    raw = np.zeros((3, 1, 2))
    raw[2, 0, 1], buffers.reward[2, 0, 1] = 1e300, np.inf
    with pytest.raises(NumericalError, match=r"reward is 1e\+300 in environment 1 of seed 0, step 2 .* float32"):
        finish_rollout(buffers, None, raw)


@pytest.mark.fault(9)
def test_a_choice_that_the_space_has_not_is_refused_at_any_step():
    class Far(Script):
        observation_space = spaces.Discrete(5)

        def _obs(self):
            return 7 if (self.episode, self.t) == (1, 1) else self.t

    env = GymnasiumEnv(vector(partial(Far, (3, 3)), 2, AutoresetMode.SAME_STEP))
    with pytest.raises(
        EnvError, match=r"observation is 7, which is not in Discrete\(5\) in environment 0 .* step 3 of"
    ):
        roll(env, 8)


@pytest.mark.fault(9)
def test_a_host_environment_that_changes_its_dtype_keeps_its_values():
    class Changes(Games):
        def __init__(self):
            super().__init__(2)
            self.observation_space, self.taken = spaces.Box(-9, 9, (2,), np.int8), 0

        def reset(self, seeds):
            super().reset(seeds)
            return np.zeros((2, 2), np.int8)

        def receive(self):
            self.taken += 1
            obs = np.full((2, 2), 200 if self.taken == 3 else self.taken, np.int16)
            return super().receive()._replace(obs=obs, final_obs=obs)

    _, rollout, _ = roll(Changes(), 2)
    assert rollout.final_obs[:, 0, 0, 0].tolist() == [1, 2]
    with pytest.raises(
        EnvError, match=r"step 2 of this rollout: the observation of environment 0 at \[0\] is 200, which"
    ):
        roll(Changes(), 4)
