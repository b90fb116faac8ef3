"""What a step says of returns and ends of episodes, where what is learned from is another. Traps 6, 33."""

import numpy as np
import pytest

from proximax.types import Step

REWARD = np.array([1.0, -1.0, 0.0])
TERMINATED, TRUNCATED = np.array([True, False, False]), np.array([False, True, False])
PLAIN = Step(0, 0, REWARD, TERMINATED, TRUNCATED, TERMINATED, np.ones(3))


@pytest.mark.trap(33)
def test_returns_count_the_environments_own_reward_where_another_is_learned_from():
    assert PLAIN.raw_reward is REWARD
    score = np.array([7.0, -20.0, 0.0])
    assert PLAIN._replace(unclipped_reward=score).raw_reward is score


@pytest.mark.trap(6)
def test_an_episode_ends_in_either_way_but_not_with_a_lost_life():
    assert PLAIN.ended.tolist() == [True, True, False]
    over = np.array([False, True, False])  # the first one lost a life
    assert PLAIN._replace(episode_over=over).ended is over
