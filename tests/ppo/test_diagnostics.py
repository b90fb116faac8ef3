"""What is logged of a rollout's health: hand numbers, and that it changes nothing of what is learned."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.probe import PROBES
from proximax.maths.distributions import Beta, Categorical, Gaussian, Joint, SquashedGaussian
from proximax.policy.policy import PolicyDiagnostics, make_policy
from proximax.ppo import learner
from proximax.ppo.diagnostics import (
    MEMORY_SAMPLES,
    action_std,
    diagnose,
    diagnose_memory,
    observation_scale,
    sample_mean,
)
from proximax.ppo.learner import make_learner
from proximax.ppo.values import add_values
from proximax.runtime.prng import seed_key
from proximax.types import Transition
from tests.support.toy_envs import roll, vector
from tests.support.toy_gym import Fixed, Script

BOX = spaces.Box(np.array([-1.0, 0.0, -np.inf]), np.array([1.0, 4.0, np.inf]), dtype=np.float64)
SEEN = spaces.Box(-np.inf, np.inf, (2,), np.float32)


def transition(**more):
    """Two steps of two environments; the last row is no transition."""
    no = jnp.zeros((2, 2), bool)
    given = dict.fromkeys(Transition._fields) | {"terminated": no, "truncated": no}
    return Transition(**{**given, "valid": jnp.array([[1.0, 1.0], [1.0, 0.0]]), **more})


@pytest.mark.slow
def test_a_rollout_by_hand():
    policy = make_policy(SEEN, BOX, PPOConfig())
    obs = jnp.array([[[1.0, -20.0], [2.0, 20.0]], [[3.0, 50.0], [1e9, np.nan]]])
    action = jnp.array([[[1.5, 0.0, 9.0], [-1.0, -2.0, 9.0]], [[0.0, 0.5, 9.0], [2.0, 2.0, 9.0]]])
    log_std = jnp.log(jnp.broadcast_to(jnp.array([0.5, 1.0, 3.0]), (2, 2, 3))).at[1, 1].set(9.0)
    truncated = jnp.array([[True, True], [False, True]])
    metrics = diagnose(
        policy,
        transition(
            obs=obs,
            action=action,
            dist=Gaussian(action, log_std),
            truncated=truncated,
            terminated=jnp.array([[False, True], [False, False]]),
        ),
    )
    assert {name: pytest.approx(float(x), rel=1e-6) for name, x in metrics.items()} == {
        "truncations": 1.0,  # not the one that also terminated, nor that of the row that is none
        "obs_abs_max_mean": 30.0,  # (20 + 20 + 50) / 3
        "action_std": 1.5,
        "actions_at_bounds": 0.5,  # 1.5; -1 and -2 of six bounded numbers: the third number has no bound
    }


@pytest.mark.slow
def test_a_bounded_sample_is_at_the_bound_that_the_environment_gets():
    policies = {
        kind: make_policy(
            SEEN, BOX if kind == "gaussian" else spaces.Box(0.0, 10.0, (2,)), PPOConfig(box_distribution=kind)
        )
        for kind in ("gaussian", "squashed_gaussian", "beta")
    }
    samples = {
        "gaussian": ([0.99, 1.01, 50.0], 0.5),
        "squashed_gaussian": ([3.0, -5.0], 0.5),  # tanh: 0.995 and -0.9999
        "beta": ([0.9999, 0.001], 0.5),  # -> 9.999 and 0.01 of 10
    }
    for kind, (sample, share) in samples.items():
        found = policies[kind].diagnostics.fraction_at_bounds(jnp.array([sample]))
        assert found.shape == (1,), kind
        assert float(found[0]) == share, kind


@pytest.mark.slow
def test_of_nested_actions_only_bounded_boxes_count():
    box = spaces.Box(-2.0, 2.0, (1,))
    space = spaces.Dict({"a": box, "b": spaces.Discrete(3), "c": spaces.Tuple([box, spaces.Box(0.0, np.inf, (2,))])})
    policy = make_policy(SEEN, space, PPOConfig())
    rows = (jnp.array([[1.0], [0.0]]), jnp.array([0, 2]), jnp.array([[0.1], [-3.0]]), jnp.array([[-1.0, 9.0]] * 2))
    assert policy.diagnostics.fraction_at_bounds(rows).tolist() == [0.5, 0.5]
    for without in (spaces.Discrete(3), spaces.Box(0.0, np.inf, (2,)), spaces.MultiBinary(2)):
        assert make_policy(SEEN, without, PPOConfig()).diagnostics.fraction_at_bounds is None


def test_the_scale_of_observations_is_of_floats_alone():
    mean = partial(sample_mean, valid=jnp.ones(4), shards=1)
    image, small = jnp.full((2, 2, 3, 3), 200, jnp.uint8), jnp.full((2, 2, 1), -0.5)
    assert observation_scale({"image": image, "choice": jnp.ones((2, 2), jnp.int32)}, mean) is None
    assert float(observation_scale({"image": image, "number": small}, mean)) == 0.5
    assert float(observation_scale(jnp.full((2, 2, 1), 1e30), mean)) == pytest.approx(1e30)  # its square is no float32


def test_the_width_is_of_gaussian_parts_alone():
    zeros, mean = jnp.zeros((2, 2, 2)), partial(sample_mean, valid=jnp.ones(4), shards=1)
    assert action_std(Categorical(zeros), mean) is None
    assert action_std(Beta(zeros + 2.0, zeros + 2.0), mean) is None
    joint = Joint(
        (Categorical(zeros), Gaussian(zeros, zeros), SquashedGaussian(zeros[..., :1], zeros[..., :1] - np.inf))
    )
    assert float(action_std(joint, mean)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("make", [Script, Fixed])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_truncations_of_host_environments_in_every_autoreset_mode(make, mode):
    env = GymnasiumEnv(vector(make, 3, mode))
    _, rollout, episodes = roll(env, 40)
    policy = make_policy(env.observation_space, env.action_space, PPOConfig())
    one = jax.tree.map(lambda x: x[:, 0], rollout)
    count = diagnose(policy, one._replace(dist=Categorical(jnp.zeros((40, 3, 2)))))["truncations"]
    # Episodes 0, 2, ... are cut by the clock, but every fifth ends both ways.
    assert 0 < count < episodes["episodes"][0]
    assert count == (rollout.truncated & ~rollout.terminated & (rollout.valid > 0)).sum()


@pytest.mark.slow
@pytest.mark.optimised  # two programs: their bits are the same in those that users have
@pytest.mark.parametrize("name", [pytest.param("matching", marks=pytest.mark.exhaustive), "matching-continuous"])
def test_learning_is_the_same_bit_for_bit_without_it(name, monkeypatch):
    config = RunConfig("probe", steps=640, num_envs=4, ppo=PPOConfig(num_steps=16, minibatch_size=16, epochs=2))

    def learn():
        env = PROBES[name]()
        learner = make_learner(env, make_policy(env.observation_space, env.action_space, config.ppo), config)
        state, step = learner.init(seed_key(0)), jax.jit(learner.step)
        for _ in range(3):
            state, metrics = step(state)
        return jax.tree.leaves((state.params, state.opt_state, state.obs_moments)), metrics

    (with_it, metrics) = learn()
    monkeypatch.setattr(learner, "diagnose", lambda policy, rollout, shards: {})
    (without, fewer) = learn()
    assert set(metrics) - set(fewer) >= {"truncations", "obs_abs_max_mean"}
    for a, b in zip(with_it, without, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_the_spread_of_advantages_is_logged_as_it_is_before_standardising():
    learner = PPOConfig(
        num_steps=4, minibatch_size=16, epochs=1, gamma=0.5, scale_reward=False, advantage="to-go", baseline=False
    )
    env, config = PROBES["delayed"](), RunConfig("probe", algo="reinforce", steps=16, num_envs=4, ppo=learner)
    learner = make_learner(env, make_policy(env.observation_space, env.action_space, learner), config)
    _, metrics = jax.jit(learner.step)(learner.init(seed_key(0)))
    assert float(metrics["advantage_std"]) == pytest.approx(0.25)  # rewards 0 and 1: to go are 0.5 and 1


@pytest.mark.trap(15)
def test_the_first_valid_row_whose_mask_allows_nothing_is_named():
    nothing = dict.fromkeys(Transition._fields)
    flags = jnp.zeros((2, 3), bool)
    allowed = jnp.array([[1, 0, 1], [1, 1, 0]])  # [T, N]: whether a row's mask allows something
    policy = SimpleNamespace(diagnostics=PolicyDiagnostics(all_masked=lambda obs: obs == 0))
    for valid, row in (([[1, 1, 1], [1, 1, 1]], 1), ([[1, 0, 1], [1, 1, 1]], 5), ([[1, 0, 1], [1, 1, 0]], -1)):
        known = {"obs": allowed, "valid": jnp.array(valid), "truncated": flags, "terminated": flags}
        assert int(diagnose(policy, Transition(**nothing | known))["fully_masked_index"]) == row


def memory_rollout(network="gru", valid=1.0):
    """(policy, params, a rollout [4, 3] with values), of episodes that open at (0, 0), (2, 1) and (3, 2)."""
    policy = make_policy(SEEN, spaces.Discrete(3), PPOConfig(hidden=(4,), recurrent_units=3), network)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + rng.standard_normal(x.shape).astype(np.float32), policy.init(seed_key(0)))
    first = jnp.zeros((4, 3), bool).at[(0, 2, 3), (0, 1, 2)].set(True)
    begin = jax.tree.map(lambda x: rng.standard_normal((1, *x.shape)).astype(np.float32), policy.initial_carry(3))
    given = {name: jnp.zeros((4, 3)) for name in ("reward", "terminated", "truncated")}
    given |= {"obs": rng.standard_normal((4, 3, 2)).astype(np.float32), "first": first, "carry": begin}
    rollout = Transition(**dict.fromkeys(Transition._fields) | given | {"final_obs": given["obs"]})
    return policy, params, add_values(policy, params, None, rollout._replace(valid=valid * jnp.ones((4, 3))))


@pytest.mark.slow
@pytest.mark.trap(31)
def test_how_much_a_policy_depends_on_its_memory_by_hand():
    policy, params, rollout = memory_rollout()
    assert rollout.valid.size < MEMORY_SAMPLES  # all of them, in this order
    order = np.random.default_rng(0).permutation(12)
    kls = []
    for sample, other in zip(order, np.roll(order, 1)):
        t, n = divmod(int(sample), 3)
        if not rollout.first[t, n]:
            memory = jax.tree.map(lambda x, o=int(other): x.reshape(12, -1)[o : o + 1], rollout.carry)
            dist, _, _ = policy.apply(params, memory, rollout.obs[t, n][None], np.zeros(1, bool))
            kls.append(float(Categorical(rollout.dist.logits[t, n][None]).kl(dist)[0]))
    assert len(kls) == 9
    metrics = diagnose_memory(policy, params, None, rollout)
    assert float(metrics["memory_kl"]) == pytest.approx(np.mean(kls), rel=1e-4)
    assert float(metrics["memory_kl"]) > 1e-3
    assert metrics["memory_abs_max"] == max(np.abs(x).max() for x in jax.tree.leaves(rollout.carry))


@pytest.mark.trap(31)
def test_without_memory_or_without_its_use_nothing_is_said_to_depend_on_it():
    policy, params, rollout = memory_rollout()
    forgetful = policy._replace(apply=lambda p, carry, obs, first: policy.apply(p, carry, obs, jnp.ones(12, bool)))
    dist, _, _ = forgetful.apply(params, policy.initial_carry(12), rollout.obs.reshape(12, 2), None)
    opened = rollout._replace(dist=Categorical(dist.logits.reshape(4, 3, 3)))
    assert float(diagnose_memory(forgetful, params, None, opened)["memory_kl"]) == pytest.approx(0.0, abs=1e-6)
    assert float(diagnose_memory(policy, params, None, rollout._replace(valid=0 * rollout.valid))["memory_kl"]) == 0
    assert diagnose_memory(make_policy(SEEN, spaces.Discrete(3), PPOConfig()), {}, None, rollout) == {}
