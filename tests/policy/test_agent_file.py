"""A policy in one file: the same actions after it, and anything else refused."""

import json

import jax
import numpy as np
import pytest
from gymnasium import spaces
from safetensors.numpy import load_file, save_file

import proximax
from proximax.config import PPOConfig
from proximax.errors import CheckpointError, UsageError
from proximax.networks import mlp
from proximax.policy import Agent, init_obs_moments, make_policy
from proximax.policy.agent_file import HEADER

OBS = spaces.Dict({"x": spaces.Box(-2, 2, (3,), np.float32), "kind": spaces.Discrete(4)})
ACTIONS = spaces.Tuple([spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3)])
CONFIG = PPOConfig(hidden=(6, 5), normalise_obs=True, box_distribution="beta")


def agent_of(network="auto", config=CONFIG):
    policy = make_policy(OBS, ACTIONS, config, network)
    moments = jax.tree.map(lambda x: np.asarray(x) + 0.5, init_obs_moments(OBS, config))
    return Agent(policy, policy.init(jax.random.key(3)), moments, OBS, ACTIONS)


def header(path, **changes):
    """The file again with other entries in its header."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        values = json.loads(file.metadata()[HEADER]) | changes
    save_file(load_file(path), path, metadata={HEADER: json.dumps(values)})


def test_an_agent_acts_the_same_after_it_was_saved_and_loaded(tmp_path):
    agent = agent_of()
    path = agent.save(tmp_path / "new" / "agent.safetensors")
    loaded = proximax.load(path)
    assert (loaded.observation_space, loaded.action_space) == (OBS, ACTIONS)
    for seed in range(3):
        OBS.seed(seed)
        obs = OBS.sample()
        for one, other in zip(agent.act(obs), loaded.act(obs), strict=True):
            np.testing.assert_array_equal(one, other)
    assert loaded.policy.settings == agent.policy.settings
    assert agent.save(path) == path  # replaces the file


def test_a_custom_network_is_asked_for(tmp_path):
    network = mlp(7, (4,))
    agent = agent_of(network)
    path = agent.save(tmp_path / "agent.safetensors")
    with pytest.raises(CheckpointError, match="pass it as network="):
        proximax.load(path)
    OBS.seed(0)
    obs = OBS.sample()
    assert agent.act(obs)[1] == proximax.load(path, network=network).act(obs)[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "later version"),
        (
            {"ppo": {"hidden": [7, 5], "box_distribution": "beta", "normalise_obs": True}},
            r"is \(6,\), the config makes it \(7,\)",
        ),
        ({"ppo": {"hidden": [10**6, 10**6]}}, "hidden = .* weights or more"),
        ({"network": "gru", "ppo": {"recurrent_units": 10**6}}, "recurrent_units = 1000000 has .* weights or more"),
        ({"ppo": {"nonsense": 1}}, "unknown setting 'nonsense'"),
        ({"ppo": {"gamma": 7}}, "gamma = 7"),
        ({"network": "nonsense"}, "nonsense"),
        ({"network": 3}, "not written by"),
        ({"action_space": {"kind": "Discrete"}}, "space|Discrete"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, changes, message):
    path = agent_of().save(tmp_path / "agent.safetensors")
    header(path, **changes)
    with pytest.raises(CheckpointError, match=message):
        proximax.load(path)


def test_other_files_and_values_that_are_not_finite_are_refused(tmp_path):
    path = agent_of().save(tmp_path / "agent.safetensors")
    whole = path.read_bytes()
    for content in (b"", b"nonsense" * 40, whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read"):
            proximax.load(path)
    save_file({"x": np.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not written by"):
        proximax.load(path)
    agent = agent_of()
    agent.params["network"] = jax.tree.map(lambda x: np.full_like(x, np.nan), agent.params["network"])
    with pytest.raises(CheckpointError, match="not finite"):
        proximax.load(agent.save(path))


def test_a_policy_of_other_making_says_so(tmp_path):
    agent = agent_of()
    other = Agent(agent.policy._replace(settings=None), agent.params, agent.obs_moments, OBS, ACTIONS)
    with pytest.raises(UsageError, match="not made by make_policy"):
        other.save(tmp_path / "agent")
