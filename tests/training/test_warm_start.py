"""Starting from trained policies: their parameters and normalisers, into another run, or a clear word why not."""

import shutil

import jax
import numpy as np
import pytest
from gymnasium import spaces

import proximax
from proximax.config import PPOConfig, RunConfig
from proximax.errors import CheckpointError, UsageError
from proximax.policy import Agent, init_obs_moments, make_policy
from proximax.runs.checkpoint import POLICY, STATE, find_checkpoint
from proximax.training.warm_start import initial_agents, start_from
from proximax.types import TrainState

TINY = {"num_envs": 2, "num_steps": 16, "minibatch_size": 16, "epochs": 1, "eval_episodes": 2, "quiet": True}
TINY |= {"preset": "none", "hidden": (8,), "normalise_obs": True}
STILL = {"steps": 32, "learning_rate": 1e-30}  # one update that changes nothing


def arrays(agent):
    return [np.asarray(x) for x in jax.tree.leaves(agent.params)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two seeds of CartPole-v1, trained for four updates."""
    out = tmp_path_factory.mktemp("runs") / "source"
    return proximax.train("CartPole-v1", seeds=2, steps=128, out=out, **TINY)


@pytest.mark.slow
def test_seeds_take_the_policies_in_turn_on_another_environment_of_the_same_spaces(source):
    settings = TINY | STILL | {"num_envs": 4, "steps": 64}
    run = proximax.train("gymnax:CartPole-v1", seeds=3, init_from=source.directory, **settings)
    for i, agent in enumerate(run.agents):
        for ours, theirs in zip(arrays(agent), arrays(source.agents[i % 2]), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert run.config.init_from == str(source.directory)
    assert run.notes[-1] == f"starts from {source.directory}, step-000000000128: trained for 128 steps"


@pytest.mark.slow
def test_the_observation_normaliser_comes_along_and_goes_on(source):
    agent = source.agents[1]
    run = proximax.train("gymnax:CartPole-v1", init_from=agent, **TINY | STILL)
    before, after = (jax.tree.leaves(x.obs_moments) for x in (agent, run.agent))
    counts = [float(np.max(x[0])) for x in (before, after)]
    assert counts[1] == counts[0] + 32  # the new run's samples on top of the old ones
    assert run.config.init_from == "agent"


@pytest.mark.slow
def test_a_warm_started_run_resumes_without_its_source(source, tmp_path):
    copy = shutil.copytree(source.directory, tmp_path / "copy")
    settings = TINY | {"steps": 64, "init_from": copy, "out": tmp_path / "run"}
    proximax.train("gymnax:CartPole-v1", callbacks=[lambda rows: rows[0]["update"] == 1], **settings)
    shutil.rmtree(copy)
    resumed = proximax.train("gymnax:CartPole-v1", resume=True, **settings)
    whole = proximax.train("gymnax:CartPole-v1", **settings | {"init_from": source.directory, "out": None})
    for ours, theirs in zip(arrays(resumed.agent), arrays(whole.agent), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("env", "settings", "message"),
    [
        ("CartPole-v1", {"hidden": (9,)}, r"\(8,\), this run needs \(9,\)"),
        ("CartPole-v1", {"hidden": (8, 8)}, "this run needs|no such array"),
        ("CartPole-v1", {"normalise_obs": False}, "set normalise_obs = True .--ppo.normalise-obs True"),
        ("Acrobot-v1", {}, r"that policy's observations are Box.*\(4,\).*, this run's Box.*\(6,\).*; .*actions are"),
        ("Pendulum-v1", {"normalise_obs": False}, r"actions are Discrete\(2\), this run's Box"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_left(source, tmp_path, env, settings, message):
    with pytest.raises(UsageError, match=message):
        proximax.train(env, init_from=source.directory, out=tmp_path / "run", **TINY | STILL | settings)
    assert not (tmp_path / "run").exists()


def test_a_source_that_is_none_is_refused(source, tmp_path):
    with pytest.raises(CheckpointError, match="is not a run directory"):
        proximax.train("CartPole-v1", init_from=tmp_path, **TINY)
    with pytest.raises(UsageError, match=r"init_from = a Result: pass its policy, result.agent"):
        proximax.train("CartPole-v1", init_from=source, **TINY)
    with pytest.raises(UsageError, match="init_from = 3: must be a run directory or an Agent"):
        proximax.train("CartPole-v1", init_from=3, **TINY)
    with pytest.raises(CheckpointError, match="nonsense"):
        proximax.train("CartPole-v1", init_from=source.directory, init_checkpoint="nonsense", **TINY)
    with pytest.raises(UsageError, match="pass init_from=agent"):
        initial_agents(RunConfig("CartPole-v1", init_from="agent"), None, None)


@pytest.mark.parametrize("entries", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_masks_come_and_go_with_the_same_policy_and_normaliser(entries, masked):
    pole = spaces.Box(-1, 1, (4,))
    plain = pole if entries == 1 else spaces.Dict(a=pole, b=pole)
    parts = {"obs": pole} if entries == 1 else dict(plain.spaces)
    both = {False: plain, True: spaces.Dict(parts | {"action_mask": spaces.MultiBinary(2)})}
    config = RunConfig("probe:matching", ppo=PPOConfig(normalise_obs=True, hidden=(8,)))
    policies = {m: make_policy(space, spaces.Discrete(2), config.ppo, "mlp") for m, space in both.items()}
    normalisers = {m: init_obs_moments(space, config.ppo) for m, space in both.items()}
    learned = jax.tree.map(lambda x: np.asarray(x) + 3, normalisers[masked])
    agent = Agent(policies[masked], policies[masked].init(jax.random.key(1)), learned, both[masked], spaces.Discrete(2))
    fresh = jax.tree.map(lambda x: np.asarray(x)[None], normalisers[not masked])
    params = jax.tree.map(lambda x: np.zeros((1, *np.shape(x)), np.float32), agent.params)
    state = TrainState(**dict.fromkeys(TrainState._fields) | {"params": params, "obs_moments": fresh})
    started = start_from([agent], state, config, (both[not masked], spaces.Discrete(2)))
    assert jax.tree.structure(started.obs_moments) == jax.tree.structure(fresh)
    pairs = ((started.obs_moments, learned), (started.params, agent.params))
    for ours, theirs in pairs:
        for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(x[0], y)


def moments(state):
    return [np.asarray(x) for x in jax.tree.leaves(state.opt_state)]


def first_state(env, **settings):
    """The state that a run begins with."""
    states = []

    class Look(proximax.TrainingCallback):
        def on_start(self, training):
            states.append(training._run.state)

    proximax.train(env, callbacks=[Look()], **TINY | STILL | settings)
    return states[0]


@pytest.mark.slow
def test_the_optimiser_comes_along_only_on_request(source):
    _, tensors = find_checkpoint(source.directory, read=(POLICY, STATE))
    theirs = [x for name, x in sorted(tensors.items()) if name.startswith(".opt_state")]
    fresh = first_state("gymnax:CartPole-v1", seeds=3, init_from=source.directory)
    assert all(not x.any() for x in moments(fresh))
    warm = first_state("gymnax:CartPole-v1", seeds=3, init_from=source.directory, init_optimiser=True)
    assert len(theirs) == len(moments(warm)) == 3  # count, first and second moment
    for ours in moments(warm):
        assert any(np.array_equal(ours, x[[0, 1, 0]]) and x.any() for x in theirs)


def test_an_optimiser_that_there_is_none_or_that_does_not_fit_is_refused(source, tmp_path):
    with pytest.raises(UsageError, match="init_optimiser: init_from is a policy without its optimiser"):
        proximax.train("CartPole-v1", init_from=source.agent, init_optimiser=True, **TINY)
    with pytest.raises(UsageError, match="there is no run to take it from"):
        proximax.train("CartPole-v1", init_optimiser=True, **TINY)
    with pytest.raises(UsageError, match=r"algorithm is clip, this one's trpo.*leave init_optimiser out"):
        proximax.train("CartPole-v1", algo="trpo", init_from=source.directory, init_optimiser=True, **TINY)
