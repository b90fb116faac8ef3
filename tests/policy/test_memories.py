"""What an agent remembers of many episodes at once: streams that come and go. Trap 31."""

import jax
import numpy as np
import pytest
from gymnasium import spaces

from proximax.config.ppo_config import PPOConfig
from proximax.errors import UsageError
from proximax.policy.agent import Agent
from proximax.policy.memories import Memories, stream_names
from proximax.policy.policy import make_policy

OBS = spaces.Box(-1.0, 1.0, (3,), np.float32)


def agent_of(network):
    """An agent away from the near-zero heads of a fresh policy."""
    policy = make_policy(OBS, spaces.Discrete(3), PPOConfig(hidden=(4,), recurrent_units=3), network)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + rng.standard_normal(x.shape).astype(np.float32), policy.init(jax.random.key(0)))
    return Agent(policy, params, None, OBS, spaces.Discrete(3))


# (the streams that act together, those of them whose episode opens by ``first``, those that are reset afterwards)
CALLS = [
    ([0], [], []),
    ([7, 0], [], []),
    ([7, "a", 0], [0], []),
    (["a"], [], ["a"]),
    ([0, 7], [], []),
    ([3, "a", 7, 0], [7], [3, 0]),
    ([0, 3, 7], [], []),
    ([0, "a", 3], [], []),
]


@pytest.mark.trap(31)
@pytest.mark.parametrize("network", ["gru", "lstm"])
def test_streams_that_come_and_go_are_as_agents_of_their_own(network):
    together, rng = agent_of(network), np.random.default_rng(1)
    alone = {name: agent_of(network) for names, _, _ in CALLS for name in names}
    for names, opened, reset in CALLS:
        obs = rng.standard_normal((len(names), 3)).astype(np.float32)
        for name in opened:
            alone[name].reset()
        if not opened:  # asking moves nothing
            values = [alone[name].value(x) for name, x in zip(names, obs)]
            np.testing.assert_allclose(together.value(obs, streams=names), values, atol=1e-6)
        first = np.isin(np.arange(len(names)), [names.index(name) for name in opened])
        actions = together.act(obs, streams=names, first=first)
        assert actions.tolist() == [alone[name].act(x) for name, x in zip(names, obs)]
        for name, x in zip(names, obs):
            assert together.value(x, streams=name) == pytest.approx(alone[name].value(x), abs=1e-6)
            expected = alone[name].probabilities(x)
            np.testing.assert_allclose(together.probabilities(x, streams=[name]), expected, atol=1e-6)
        together.reset(streams=reset)
        for name in reset:
            alone[name].reset()


def test_streams_and_rows_do_not_mix_and_names_are_checked():
    agent, rows = agent_of("gru"), np.zeros((2, 3), np.float32)
    agent.act(rows, streams=np.array([4, 2]))
    assert agent.value(rows[0], streams=np.int32(2)) == pytest.approx(agent.value(rows[0], streams=2))
    with pytest.raises(UsageError, match=r"the policy remembers 2 streams: pass streams=, or call reset\(\)"):
        agent.act(rows)
    agent.reset()
    agent.act(rows)
    with pytest.raises(UsageError, match=r"acted on rows without them: call reset\(\)"):
        agent.act(rows, streams=[0, 1])
    for wrong, text in (
        ([1, 1], "one of them is there twice"),
        ([1], "must be 2, one for each row"),
        ([1.5, 2], "must be integers or strings"),
        ([True, 2], "must be integers or strings"),
        (0.5, "must be integers or strings"),
        ([None, 1], "must be integers or strings"),
    ):
        with pytest.raises(UsageError, match=text):
            agent_of("gru").act(rows, streams=wrong)


def test_without_memory_streams_have_no_effect():
    agent, rows = agent_of("mlp"), np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    np.testing.assert_array_equal(agent.act(rows, streams=["x", "y"]), agent.act(rows))
    agent.reset(streams=["x"])


def test_what_is_forgotten_takes_no_room():
    memories = Memories(lambda batch: np.zeros((batch, 2), np.float32))
    carry, opens = memories.recall(2, streams=["a", "b"])
    assert opens.all()
    memories.keep(carry + np.arange(2)[:, None], ["a", "b"])
    memories.forget(["a", "never seen"])
    carry, opens = memories.recall(2, streams=["b", "a"])
    np.testing.assert_array_equal(carry, [[1, 1], [0, 0]])
    assert opens.tolist() == [False, True]
    assert stream_names("ab") == ["ab"]  # one stream, not two
