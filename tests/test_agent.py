"""A policy on its own: acting on one observation and on many, and on which spaces. FAULTS.md 18."""

import numpy as np
import pytest
from gymnasium import spaces
from test_checkpoint import BOX, OBS, ROWS, arrays

from proximax.agent import Agent, split_agents
from proximax.errors import CheckpointError


def test_acting_on_one_observation_or_on_a_batch_is_the_same():
    agent = split_agents(*arrays(), OBS, BOX)[0]
    batch = agent.act(ROWS)
    assert (batch.shape, batch.dtype) == ((6, 2), np.float32)
    assert all(BOX.contains(action) for action in batch)
    np.testing.assert_allclose(agent.act(ROWS[2]), batch[2], atol=1e-6)
    np.testing.assert_allclose(agent.act(list(ROWS[2].astype(float))), batch[2], atol=1e-6)
    np.testing.assert_array_equal(agent.act(ROWS), batch)  # the mode, every time
    drawn = [agent.act(ROWS, sample=True) for _ in range(2)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    assert np.abs(Agent(agent.policy, agent.params, None, OBS, BOX).act(ROWS) - batch).max() > 1e-3  # normaliser counts


def test_a_discrete_action_is_an_int_of_the_space():
    space = spaces.Discrete(4, start=10)
    policy, params, moments = arrays(space)
    params["network"]["policy_head"]["b"][0] = [0, 0, 99, 0]
    agent = split_agents(policy, params, moments, OBS, space)[0]
    assert repr(agent.act(ROWS[0])) == "12"  # an int, no array
    np.testing.assert_array_equal(agent.act(ROWS[:2]), [12, 12])
    assert agent.act(ROWS[:2]).dtype == space.dtype


def test_fault_18_observations_and_environments_of_other_spaces_are_refused():
    agent = split_agents(*arrays(), OBS, BOX)[0]
    for shape in ((4,), (2, 4), (2, 2, 3), ()):
        with pytest.raises(ValueError, match=r"observation of shape .*; the policy was trained on \(3,\)") as caught:
            agent.act(np.zeros(shape))
        assert f"shape {shape};" in str(caught.value)
    agent.check_spaces(OBS, BOX)
    with pytest.raises(CheckpointError, match=r"policy's observation space is Box.*\(3,\).*environment's.*\(8,\)"):
        agent.check_spaces(spaces.Box(-1.0, 1.0, (8,)), BOX)
    for other in (spaces.Discrete(2), spaces.MultiDiscrete([2, 2])):
        with pytest.raises(CheckpointError, match=r"policy's action space is Box.*environment's is .*Discrete"):
            agent.check_spaces(OBS, other)
    bytes_, floats = (spaces.Box(0, 255, (3,), dtype) for dtype in (np.uint8, np.float32))
    with pytest.raises(CheckpointError, match="observation space"):  # inputs would be 255 times off
        Agent(agent.policy, agent.params, None, floats, BOX).check_spaces(bytes_, BOX)
    with pytest.raises(CheckpointError, match="action space"):
        Agent(agent.policy, agent.params, None, OBS, spaces.Discrete(2)).check_spaces(OBS, spaces.Discrete(2, start=1))
