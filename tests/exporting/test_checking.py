"""The comparison of a file with its agent."""

import numpy as np
import pytest
from gymnasium import spaces

from proximax.errors import NumericalError
from proximax.exporting.checking import check_policy, preferences, refuse_difference
from tests.support.exported_agents import agent


def test_differences_count_relative_to_their_row():
    given, expected = np.array([[1000.001, 2.0]]), np.array([[1000.0, 2.0]])
    assert refuse_difference("mean", given, expected) == pytest.approx(1e-6, rel=0.01)
    with pytest.raises(NumericalError, match="mean of the exported policy"):
        refuse_difference("mean", np.array([[1.001]]), np.array([[1.0]]))
    with pytest.raises(NumericalError):
        refuse_difference("mean", np.array([[np.nan]]), np.array([[1.0]]))
    with pytest.raises(NumericalError, match="shape"):
        refuse_difference("mean", np.zeros((1, 2)), np.zeros((1, 3)))
    assert refuse_difference("logits", np.array([[-np.inf, 1.0]]), np.array([[-np.inf, 1.0]])) == 0


def test_an_equally_likely_action_is_as_good():
    logits = np.array([[0.0, 1.0, 1.0 + 1e-7, 0.2, 0.1]])
    space = spaces.MultiDiscrete([3, 2], start=[1, 0])
    chosen, best = preferences(space, logits, np.array([[2, 0]]), np.array([[3, 1]]))
    np.testing.assert_allclose(chosen, [[1.0, 0.2]], rtol=1e-6)
    np.testing.assert_allclose(best, [[1.0, 0.1]], rtol=1e-6)
    bits = preferences(spaces.MultiBinary(2), np.array([[0.3, -0.1]]), np.array([[1, 0]]), np.array([[0, 0]]))
    np.testing.assert_allclose(bits, [[[0.3, 0]], [[0, 0]]])


def test_a_policy_that_acts_otherwise_is_found_out():
    with pytest.raises(NumericalError, match="action of the exported policy"):
        check_policy(agent(), lambda obs, memory, first: ({"action": np.zeros(len(first), np.int32)}, memory), 20)
