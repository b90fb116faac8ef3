"""Exported policies on compiled environments."""

import jax
import numpy as np
import pytest

from proximax.envs import make_env
from proximax.evaluation import evaluate
from proximax.exporting.exporter import export_agent
from proximax.policy import Agent
from proximax.runs import load
from tests.support.exported_agents import agent


@pytest.mark.parametrize("network", ["auto", "gru"])
def test_the_same_policy_plays_the_same_episodes(network, tmp_path):
    env = make_env("probe:recall", 1)
    made = agent(env.observation_space, env.action_space, network)
    assert isinstance(made, Agent)
    exported = load(export_agent(made, tmp_path / "policy.npz", check=5))
    expected, given = (evaluate(x, 6, env="probe:recall", seed=3) for x in (made, exported))
    np.testing.assert_array_equal(given.returns, expected.returns)
    np.testing.assert_array_equal(given.lengths, expected.lengths)
    assert jax.tree.leaves(exported.params) == []
