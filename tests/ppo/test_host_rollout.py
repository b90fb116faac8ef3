"""A rollout from outside the program: what counts for the score, and what is refused. Traps 24, 33."""

import numpy as np
import pytest

from proximax.errors import NumericalError
from proximax.ppo.host_rollout import finish_rollout, host_buffers, host_rollout_state
from tests.support.toy_envs import Games, roll


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
        place = "environment 2 of seed number 1, step 3 of this rollout"
        with pytest.raises(NumericalError, match=rf"the {what} is not finite: .*{value}.* in {place}"):
            finish_rollout(buffers)
