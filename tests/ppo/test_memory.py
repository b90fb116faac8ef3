"""Learning with memory: what acted is what is learned from, values of final observations, sequences. Trap 31."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import proximax
from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.envs import probe
from proximax.policy.policy import make_policy
from proximax.ppo.algorithms import ALGORITHMS
from proximax.ppo.learner import learn_from_rollout, make_learner, next_rollout
from proximax.ppo.values import add_values, unroll_sequences
from tests.support.toy_envs import host_learner, vector
from tests.support.toy_gym import Script

PPO = PPOConfig(hidden=(6,), recurrent_units=5, num_steps=12, minibatch_size=12, epochs=2)


def move(params, seed=0):
    """Parameters away from the near-zero heads of a fresh policy."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.asarray(x) + 0.3 * rng.standard_normal(np.shape(x)).astype(np.float32), params)


def host_rollout(network, ppo=PPO, mode=AutoresetMode.NEXT_STEP, rollouts=2):
    """(learner, its state, policy, the last rollout of one seed on episodes of different lengths)."""
    learner, state, _ = host_learner(vector(Script, 3, mode), ppo, steps=360, network=network)
    state = state._replace(params=move(state.params))
    for _ in range(rollouts):
        after, transitions, _ = learner.collect(state)
        state, began = state._replace(rollout=after), state
    one = jax.tree.map(lambda x: np.array(x)[:, 0], transitions)
    return learner, jax.tree.map(lambda x: x[0], began._replace(rollout=())), one


@pytest.mark.trap(31)
@pytest.mark.parametrize("network", ["gru", "lstm", "mingru"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_values_and_policy_are_those_of_a_loop_that_carries_the_memory_along(network, mode):
    learner, state, rollout = host_rollout(network, mode=mode)
    policy, params = learner.policy, state.params
    encode, apply = jax.jit(policy.encode), jax.jit(policy.apply)
    assert any(np.abs(x).max() > 0 for x in jax.tree.leaves(rollout.carry))  # the second rollout begins with memories
    valued = jax.jit(add_values, static_argnums=0)(policy, params, state.obs_moments, rollout)
    carry = jax.tree.map(lambda x: x[0], rollout.carry)
    for t in range(12):
        jax.tree.map(lambda a, b, t=t: np.testing.assert_allclose(a[t], b, atol=2e-6), valued.carry, carry)
        obs = encode(state.obs_moments, rollout.obs[t])
        dist, value, carry = apply(params, carry, obs, rollout.first[t])
        final = encode(state.obs_moments, rollout.final_obs[t])
        _, next_value, _ = apply(params, carry, final, np.zeros(3, bool))  # its own carry is thrown away
        np.testing.assert_allclose(valued.value[t], value, atol=2e-6)
        np.testing.assert_allclose(valued.next_value[t], next_value, atol=2e-6)
        np.testing.assert_allclose(dist.log_prob(jnp.asarray(rollout.action[t])), rollout.log_prob[t], atol=2e-6)
    assert rollout.truncated.any()
    assert rollout.terminated.any()


@pytest.mark.trap(31)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sequence_length": 3},
        {"minibatch_size": None},
        {"refresh_carry": True},
        {"sequence_length": 3, "burn_in": 4},
    ],
)
def test_the_first_minibatch_sees_the_policy_that_acted(settings):
    ppo = PPOConfig(**{**vars(PPO), "anneal": "none", **settings})
    learner, state, _ = host_rollout("gru", ppo)
    full, transitions = learner.init([jax.random.key(0)]), None
    full = full._replace(params=jax.tree.map(lambda x: x[None], state.params))
    for _ in range(2):
        after, transitions, _ = learner.collect(full)
        _, metrics = learner.learn(full, transitions)
        assert float(metrics["first_ratio_error"][0]) < 1e-5
        full = full._replace(rollout=after)


@cache
def recalling(normalise_obs):
    """(environment, policy, the program of a rollout) of a probe whose episodes last three steps."""
    env, ppo = probe.recall(length=3), replace(PPO, normalise_obs=normalise_obs)
    policy = make_policy(env.observation_space, env.action_space, ppo, "gru")
    return env, policy, jax.jit(partial(next_rollout, env, policy, RunConfig("probe", num_envs=4, ppo=ppo)))


def jax_update(**settings):
    """(policy, state before, rollout, state after, metrics) of an update on it."""
    ppo = PPOConfig(**{**vars(PPO), "anneal": "none", **settings})
    env, policy, act = recalling(ppo.normalise_obs)
    config = RunConfig("probe", steps=48 * 10, num_envs=4, ppo=ppo)
    state = make_learner(env, policy, config).init(jax.random.key(0))
    state = state._replace(params=move(state.params))
    acted, rollout, _, key = act(state)
    after, metrics = jax.jit(learn_from_rollout, static_argnums=(0, 1, 2))(
        ALGORITHMS["clip"], policy, config, acted, rollout, key
    )
    return policy, state, rollout, after, metrics


@pytest.mark.slow
@pytest.mark.trap(31)
def test_one_whole_sequence_gives_the_gradient_of_the_loop_over_time():
    # One step of plain descent on the whole rollout: the gradient is that of a loop written out.
    settings = {"epochs": 1, "minibatch_size": None, "max_grad_norm": None, "normalise_obs": False, "value_coef": 0.5}
    policy, state, rollout, after, _ = jax_update(**settings, adam_epsilon=1e3, learning_rate=1.0)
    valued = jax.jit(add_values, static_argnums=0)(policy, state.params, state.obs_moments, rollout)
    from proximax.maths import clip_objective, gae, scale_reward, standardise

    last = rollout.terminated | rollout.truncated
    reward, _, _ = scale_reward(*state.reward_scale, rollout.reward, last, rollout.valid, 0.99)
    advantage = gae(reward, valued.value, valued.next_value, rollout.terminated, rollout.truncated, 0.99, 0.95)
    target, weight = advantage + valued.value, standardise(advantage)

    def loss(params):
        carry, total, log_ratios = jax.tree.map(lambda x: x[0], rollout.carry), 0.0, []
        for t in range(12):
            dist, value, carry = policy.apply(params, carry, policy.encode(None, rollout.obs[t]), rollout.first[t])
            log_ratios.append(dist.log_prob(jnp.asarray(rollout.action[t])) - rollout.log_prob[t])
            objective = clip_objective(log_ratios[-1], weight[t], 0.2)
            total -= jnp.sum(objective) - 0.5 * jnp.sum(0.5 * (value - target[t]) ** 2)
        return total / 48, jnp.stack(log_ratios)

    gradient, log_ratios = jax.jit(jax.grad(loss, has_aux=True))(state.params)
    np.testing.assert_allclose(log_ratios, 0, atol=1e-5)  # the memories of the loop are those that acted
    # Adam's first step with a huge epsilon is gradient / epsilon.
    step = jax.tree.map(lambda new, old: -(np.asarray(new) - old) * 1e3, after.params, state.params)
    for (path, ours), (_, theirs) in zip(*map(jax.tree_util.tree_leaves_with_path, (step, gradient))):
        np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=2e-2, err_msg=jax.tree_util.keystr(path))


@pytest.mark.slow
@pytest.mark.trap(31)
def test_refreshed_memories_are_those_of_the_parameters_at_the_epochs_start():
    same, fresh = (jax_update(refresh_carry=x, epochs=3, sequence_length=4, learning_rate=0.03) for x in (False, True))
    assert float(same[-1]["finite"]) == float(fresh[-1]["finite"]) == 1
    assert max(float(run[-1]["first_ratio_error"]) for run in (same, fresh)) < 1e-5
    one_epoch = [jax_update(refresh_carry=x, epochs=1, sequence_length=4) for x in (False, True)]
    for a, b in zip(*(jax.tree.leaves(run[3].params) for run in one_epoch)):
        np.testing.assert_allclose(a, b, atol=1e-6)  # in the first epoch the parameters are those that acted
    assert (
        max(np.abs(np.asarray(a) - b).max() for a, b in zip(*(jax.tree.leaves(r[3].params) for r in (same, fresh))))
        > 1e-5
    )


@pytest.mark.trap(31)
def test_burn_in_computes_the_memory_of_a_sequence_from_the_steps_before_it():
    learner, state, rollout = host_rollout("gru")
    policy, moments = learner.policy, state.obs_moments
    rollout = jax.jit(add_values, static_argnums=0)(policy, state.params, moments, rollout)
    encode, apply = jax.jit(policy.encode), jax.jit(policy.apply)
    params = move(state.params, seed=1)  # those of a later gradient step
    sequences = np.array([[0, 3, 6, 9]]) * 3 + np.array([[0, 1, 2, 0]]) + 3 * np.arange(3)[:, None]  # t N + n
    carries = [np.array(x) for x in jax.tree.leaves(rollout.carry)]
    for t, n in ((3, 1), (6, 2), (9, 0)):
        begin = max(t - 4, 0)
        carry = jax.tree.map(lambda x, n=n, t=begin: x[t, n : n + 1], rollout.carry)
        for step in range(begin, t):
            obs = encode(moments, rollout.obs[step, n : n + 1])
            _, _, carry = apply(params, carry, obs, rollout.first[step, n : n + 1])
        for all_of_them, x in zip(carries, jax.tree.leaves(carry), strict=True):
            all_of_them[t, n] = x[0]
    burnt = rollout._replace(carry=jax.tree.unflatten(jax.tree.structure(rollout.carry), carries))

    def values(params, rollout, steps):
        return jnp.sum(unroll_sequences(policy, params, moments, rollout, sequences, steps)[1] ** 2)

    compiled = jax.jit(jax.value_and_grad(values), static_argnums=2)
    ours, theirs = (compiled(params, *args) for args in ((rollout, 4), (burnt, 0)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)
    assert abs(compiled(params, rollout, 0)[0] - ours[0]) > 1e-4  # as it was stored, the memory is another


@pytest.mark.trap(31)
def test_burn_in_of_parts_of_the_environments_and_of_seeds_side_by_side_is_as_alone():
    learner, state, rollout = host_rollout("lstm")
    policy, moments = learner.policy, state.obs_moments
    seeds = jax.tree.map(lambda *x: np.stack(x), *(move(state.params, seed) for seed in (1, 2)))
    rollout = jax.jit(add_values, static_argnums=0)(policy, state.params, moments, rollout)
    rollout = rollout._replace(value=None, next_value=None, dist=None)
    starts = np.array([0, 4, 8, 4])
    steps = starts + np.arange(4)[:, None]  # [L, B]

    @jax.jit
    def values(params, rollout, envs):
        return unroll_sequences(policy, params, moments, rollout, steps * rollout.first.shape[1] + envs, 3)[1]

    together = jax.vmap(lambda params: values(params, rollout, np.array([[2, 1, 2, 2]])))(seeds)
    shard = jax.tree.map(lambda x: x[:, 1:], rollout)  # the last two environments
    for i in range(2):
        alone = values(jax.tree.map(lambda x, i=i: x[i], seeds), shard, np.array([[1, 0, 1, 1]]))
        np.testing.assert_allclose(together[i], alone, atol=2e-6)
    assert np.abs(together[0] - together[1]).max() > 1e-3


@pytest.mark.trap(3)
@pytest.mark.trap(31)
def test_three_autoreset_modes_give_equal_memories():
    seen = []
    for mode in AutoresetMode:
        learner, state, rollout = host_rollout("gru", mode=mode, rollouts=1)
        carry = jax.jit(add_values, static_argnums=0)(learner.policy, state.params, state.obs_moments, rollout).carry
        opened = rollout.first[..., None]
        used = [np.where(opened, 0.0, np.asarray(x)) for x in jax.tree.leaves(carry)]  # as the step sees it
        rows = [np.concatenate([x[:, n] for x in used], axis=1)[rollout.valid[:, n] > 0] for n in range(3)]
        assert rollout.truncated.any()
        assert rollout.terminated.any()
        seen.append(rows)
    for rows in zip(*seen):
        shortest = min(map(len, rows))
        assert shortest >= 6
        for other in rows[1:]:
            np.testing.assert_allclose(other[:shortest], rows[0][:shortest], atol=1e-6)


LEARN = {"num_envs": 16, "num_steps": 20, "minibatch_size": 80, "epochs": 4, "learning_rate": 3e-3, "gamma": 0.9}
LEARN |= {"hidden": (16,), "recurrent_units": 16, "seeds": 2, "preset": "none", "quiet": True, "eval_episodes": 50}


@pytest.mark.learning
@pytest.mark.parametrize(
    ("network", "algo"),
    [
        ("lstm", "clip"),
        ("mingru", "clip"),
        pytest.param("gru", "clip", marks=pytest.mark.exhaustive),  # which learns the maze below
        pytest.param("gru", "trpo", marks=pytest.mark.exhaustive),
    ],
)
def test_a_sign_seen_five_steps_ago_is_remembered(network, algo):
    result = proximax.train("probe:recall", network=network, algo=algo, steps=24_000, **LEARN)
    assert (result.evaluation.returns.mean(axis=1) == 1.0).all()
    agent = result.agent
    for sign in (-1.0, 1.0):
        agent.reset()
        for obs in (sign, 0.0, 0.0, 0.0):
            agent.act([obs])
        assert agent.value([0.0]) > 0  # and does not move the memory
        assert agent.act([0.0]) == int(sign > 0)


@pytest.mark.learning
def test_without_memory_it_is_a_coin():
    result = proximax.train("probe:recall", network="mlp", steps=24_000, **LEARN)
    assert np.abs(result.evaluation.returns.mean(axis=1)).max() < 0.6  # 50 tosses of ±1: 4 standard deviations


MAZE = LEARN | {"num_envs": 32, "num_steps": 40, "minibatch_size": 320, "entropy_coef": 0.01}


@pytest.mark.learning
def test_in_a_t_maze_the_policy_and_its_values_are_those_of_the_known_answer():
    result = proximax.train("probe:t-maze", network="gru", steps=128_000, scale_reward=False, **MAZE)
    assert (result.evaluation.returns.mean(axis=1) == 1.0).all()
    for agent in result.agents:
        for sign in (-1.0, 1.0):
            agent.reset()
            for t, obs in enumerate([(sign, 0.0), *[(0.0, 0.0)] * 3, (0.0, 1.0)]):
                assert agent.value(obs) == pytest.approx(0.9 ** (4 - t), abs=0.15)
                assert agent.act(obs) == ((1 if sign < 0 else 2) if t == 4 else 0)


@pytest.mark.learning
@pytest.mark.exhaustive
def test_without_memory_the_t_maze_is_a_coin():
    result = proximax.train("probe:t-maze", network="mlp", steps=128_000, scale_reward=False, **MAZE)
    assert result.evaluation.returns.mean(axis=1).max() < 0.6
