"""The learner as a whole: determinism, seeds side by side, the normaliser, both forms of environment."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from proximax.config.ppo_config import NUMBERS, PPOConfig
from proximax.config.run_config import RunConfig
from proximax.envs import env_seeds, make_env, probe
from proximax.envs.env_groups import EnvGroups
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.policy.policy import make_policy
from proximax.ppo.algorithms import ALGORITHMS
from proximax.ppo.host_rollout import collect
from proximax.ppo.learner import learn_from_rollout, make_learner, next_rollout, update_succeeded
from proximax.ppo.seed_axis import stack_seeds
from proximax.runtime.prng import seed_key, split_on_host
from tests.support.toy_envs import host_learner, vector
from tests.support.toy_gym import Fixed, Script

PPO = PPOConfig(num_steps=16, minibatch_size=16, epochs=2)


def flat(tree):
    return np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(tree)])


def train_host(seeds, seed=0, updates=3, mode=AutoresetMode.NEXT_STEP):
    env = EnvGroups([GymnasiumEnv(vector(Script, 4, mode)) for _ in range(seeds)])
    learner, state, _ = host_learner(env, PPO, steps=10 * 64, seeds=seeds, seed=seed)
    for _ in range(updates):
        state, metrics = learner.step(state)
    return state, metrics


def jax_learner(name="matching-continuous", ppo=PPO, steps=640):
    env = probe.PROBES[name]()
    config = RunConfig("probe", steps=steps, num_envs=4, ppo=ppo)
    return make_learner(env, make_policy(env.observation_space, env.action_space, ppo), config)


@pytest.mark.slow
@pytest.mark.trap(34)
def test_same_seed_same_bits_another_seed_others():
    a, b, c = train_host(1), train_host(1), train_host(1, seed=1)
    np.testing.assert_array_equal(flat(a[0].params), flat(b[0].params))
    np.testing.assert_array_equal(flat(a[0].obs_moments), flat(b[0].obs_moments))
    assert a[1]["kl_k3"] == b[1]["kl_k3"]
    assert np.abs(flat(a[0].params) - flat(c[0].params)).max() > 0.01


@pytest.mark.slow
def test_a_host_seed_alone_and_among_others_agree():
    together, _ = train_host(3, seed=5)
    for i in range(3):
        alone, _ = train_host(1, seed=5 + i)
        for name in ("params", "obs_moments", "reward_scale"):
            mine = jax.tree.map(lambda x, i=i: np.asarray(x)[i], getattr(together, name))
            # vmapped matrix products may round otherwise than single ones: equal to 1e-4 after three updates.
            np.testing.assert_allclose(flat(mine), flat(getattr(alone, name)), rtol=1e-4, atol=1e-4, err_msg=name)
        np.testing.assert_array_equal(together.rollout.obs[i], alone.rollout.obs[0])


@pytest.mark.slow
def test_a_jax_seed_alone_and_among_others_agree():
    learner = jax_learner()
    step = jax.jit(jax.vmap(learner.step))
    states = stack_seeds([learner.init(seed_key(i)) for i in range(3)])
    for _ in range(3):
        states, _ = step(states)
    for i in range(3):
        state = stack_seeds([learner.init(seed_key(i))])
        for _ in range(3):
            state, _ = step(state)
        mine = jax.tree.map(lambda x, i=i: np.asarray(x)[i], states.params)
        np.testing.assert_allclose(flat(mine), flat(state.params), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, pytest.param(4, marks=pytest.mark.exhaustive), 16])
def test_many_seeds_side_by_side_do_not_deadlock(seeds):
    learner = jax_learner("choice")
    states = stack_seeds([learner.init(seed_key(i)) for i in range(seeds)])
    states, metrics = jax.jit(jax.vmap(learner.step))(states)
    assert metrics["steps"].shape == (seeds,)
    weights = np.asarray(states.params["network"]["actor"][0][0]["w"])
    assert len(np.unique(weights[:, 0, 0])) == seeds


@pytest.mark.slow
@pytest.mark.trap(12)
def test_the_normaliser_is_frozen_from_acting_to_the_end_of_the_update():
    env = GymnasiumEnv(vector(Script, 4, AutoresetMode.SAME_STEP))
    learner, state, _ = host_learner(env, PPO, steps=640)
    for _ in range(4):
        before = np.asarray(state.obs_moments.count)
        state, metrics = learner.step(state)
        # Had it moved before the update, the first ratio would not be 1 (test_update shows that it can see this).
        assert metrics["first_ratio_error"][0] <= 1e-6
        assert np.asarray(state.obs_moments.count)[0] == before[0] + 64


@pytest.mark.slow
@pytest.mark.trap(3)
def test_reset_rows_count_in_neither_steps_nor_the_normaliser():
    learner, state, _ = host_learner(vector(Fixed, 4, AutoresetMode.NEXT_STEP), PPO, steps=640)
    state, metrics = learner.step(state)
    assert metrics["steps"][0] == 4 * 12  # 16 rows: 3 valid, 1 reset, four times
    assert np.asarray(state.obs_moments.count)[0] == 48
    assert np.asarray(state.reward_scale.moments.count)[0] == 48
    assert metrics["episodes"][0] == 16
    assert metrics["return_sum"][0] == 48
    # obs[1] is the step within the episode: 0, 1, 2 equally often, never the final 3
    np.testing.assert_allclose(np.asarray(state.obs_moments.mean)[0, 1], 1.0, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.trap(4)
def test_next_step_and_same_step_learn_alike_where_the_rows_are_the_same():
    # Episodes longer than the rollout: both modes give the same rows, so the same parameters.
    def long(mode):
        env = vector(lambda: Script((40, 60)), 4, mode)
        learner, state, _ = host_learner(env, PPO, steps=640)
        for _ in range(2):
            state, _ = learner.step(state)
        return flat(state.params)

    np.testing.assert_array_equal(long(AutoresetMode.NEXT_STEP), long(AutoresetMode.SAME_STEP))


@pytest.mark.trap(34)
def test_weights_do_not_depend_on_how_many_seeds_or_steps_follow():
    learner = jax_learner()
    a, b = learner.init(seed_key(3)), jax_learner(steps=1280).init(seed_key(3))
    np.testing.assert_array_equal(flat(a.params), flat(b.params))


def test_seed_keys_and_their_splits_are_all_different():
    keys = [seed_key(i) for i in (*range(100), 2**32, 2**40 + 1)]
    words = {tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}
    parts = {tuple(np.asarray(jax.random.key_data(k)).tolist()) for key in keys for k in split_on_host(key, 3)}
    assert len(words) == 102
    assert len(parts) == 306
    assert not words & parts


# Every number that is no size, with another value than the default; all switches as there.
OTHER_NUMBERS = {
    "learning_rate": 0.01,
    "beta": 0.3,
    "anneal_start": 0.5,
    "anneal_end": 0.1,
    "gamma": 0.9,
    "lam": 0.8,
    "epsilon": 0.1,
    "max_kl": 0.02,
    "damping": 0.2,
    "value_epsilon": 0.3,
    "value_coef": 0.7,
    "entropy_coef": 0.02,
    "max_grad_norm": 0.4,
    "target_kl": 0.05,
    "adam_epsilon": 1e-6,
    "reward_clip": 0.5,
    "epsilon_high": 0.4,
    "dual_clip": 2.0,
    "kl_band": 1.2,
    "learning_rate_min": 1e-7,
    "learning_rate_max": 0.1,
}
NUMBERS_SET = {  # of those that are None by default
    "value_epsilon": 0.5,
    "target_kl": 0.03,
    "reward_clip": 2.0,
    "epsilon_high": 0.3,
    "dual_clip": 3.0,
    "kl_band": 1.5,
    "learning_rate_min": 1e-5,
    "learning_rate_max": 1e-3,
}


@pytest.mark.parametrize(("algo", "control"), [("clip", "learning_rate"), ("penalty", "beta"), ("trpo", "stop")])
def test_other_numbers_are_the_same_program(algo, control):
    env, texts = probe.PROBES["matching-continuous"](), []
    assert set(OTHER_NUMBERS) == {*NUMBERS, "learning_rate", "beta"}
    for numbers, steps in ((NUMBERS_SET, 640), (OTHER_NUMBERS, 1280)):
        ppo = dataclasses.replace(PPO, hidden=(4,), anneal=("epsilon", "entropy_coef"), kl_control=control, **numbers)
        config = RunConfig("probe", algo=algo, steps=steps, num_envs=4, ppo=ppo)
        learner = make_learner(env, make_policy(env.observation_space, env.action_space, ppo), config)
        state = learner.init(jax.random.key(0))
        lowered = jax.jit(learner.step).lower(state)
        texts.append(lowered.as_text())
        _, metrics = lowered.compile()(state)
        assert float(metrics["entropy_coef"]) == np.float32(ppo.entropy_coef)
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_seeds_side_by_side_may_each_have_their_own_numbers():
    configs = [dataclasses.replace(PPO, hidden=(4,), entropy_coef=coef, value_coef=1 - coef) for coef in (0.1, 0.9)]
    learners = [jax_learner(ppo=ppo) for ppo in configs]
    states = [learner.init(jax.random.key(7)) for learner in learners]
    together, _ = jax.jit(jax.vmap(learners[0].step))(stack_seeds(states))
    for i, (learner, state) in enumerate(zip(learners, states)):
        alone, _ = jax.jit(jax.vmap(learner.step))(stack_seeds([state]))
        mine, other = flat(alone.params), flat(jax.tree.map(lambda x, i=i: x[i], together.params))
        np.testing.assert_allclose(mine, other, atol=1e-6)
    one, two = (flat(jax.tree.map(lambda x, i=i: x[i], together.params)) for i in range(2))
    assert np.abs(one - two).max() > 1e-4


@pytest.mark.slow
@pytest.mark.trap(25)
@pytest.mark.parametrize("target_kl", [None, 1e-9])
def test_the_schedule_ends_after_the_last_update_early_stop_or_not(target_kl):
    learner = jax_learner("choice", PPOConfig(**{**vars(PPO), "target_kl": target_kl}), steps=4 * 64)
    state, rates = learner.init(seed_key(0)), []
    step = jax.jit(learner.step)
    for _ in range(4):
        state, metrics = step(state)
        rates.append(float(metrics["learning_rate"]) / PPO.learning_rate)
        assert (metrics["gradient_steps"] == 8) == (target_kl is None)
    assert rates == pytest.approx([1.0, 0.75, 0.5, 0.25])


@pytest.mark.slow
def test_a_jax_environment_and_its_host_twin_give_the_same_transitions_to_learn_from():
    # The endless probe: reward 1, a time limit every 5 steps; V = 1 / (1 - γ) only if truncation keeps its future.
    learner = jax_learner("endless", PPOConfig(num_steps=16, minibatch_size=16, epochs=1))
    _, metrics = jax.jit(learner.step)(learner.init(seed_key(0)))
    assert metrics["steps"] == 64
    assert metrics["episodes"] == 12
    assert metrics["return_sum"] == metrics["length_sum"] == 60
    assert metrics["first_ratio_error"] == 0


def test_cartpole_groups_are_independent_of_each_other():
    env = make_env("CartPole-v1", 4, groups=3)
    obs = env.reset([s for i in range(3) for s in env_seeds(i, 4)])
    assert len(np.unique(obs, axis=0)) == 12
    alone = make_env("CartPole-v1", 4)
    np.testing.assert_array_equal(alone.reset(env_seeds(1, 4)), obs[4:8])


@pytest.mark.slow
def test_update_counter_and_key_move_on():
    learner = jax_learner("choice")
    state = learner.init(seed_key(0))
    after, _ = jax.jit(learner.step)(state)
    assert int(after.update) == int(state.update) + 1
    assert not jnp.array_equal(jax.random.key_data(after.key), jax.random.key_data(state.key))


@pytest.mark.trap(15)
def test_an_update_with_a_mask_that_allows_nothing_is_not_good():
    assert update_succeeded({"finite": 1.0})
    assert update_succeeded({"finite": 1.0, "fully_masked_index": -1})
    assert not update_succeeded({"finite": 1.0, "fully_masked_index": 0})
    assert not update_succeeded({"finite": 0.0, "fully_masked_index": -1})


@pytest.fixture(scope="module")
def host_update():
    """(state before, state after, rollout ``[T, S, N]``) of one update on host environments, of noise and ends."""
    learner, state, _ = host_learner(vector(Script, 4, AutoresetMode.NEXT_STEP), PPO, steps=640)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proximax.ppo.host_learner.collect", lambda *a: seen.append(collect(*a)) or seen[-1])
        after, _ = learner.step(state)
    return state, after, seen[0][1]


@pytest.mark.trap(26)
def test_keys_of_host_learners_move_on(host_update):
    before, after, _ = host_update
    assert not jnp.array_equal(jax.random.key_data(before.key), jax.random.key_data(after.key))


@pytest.mark.trap(34)
def test_noise_differs_from_step_to_step_and_environment_to_environment(host_update):
    action = host_update[2].action[:, 0]  # of a fresh policy: as good as coins
    assert action.shape == (16, 4)
    assert len(np.unique(action, axis=0)) > 1
    assert len(np.unique(action, axis=1).T) == 4


@pytest.mark.trap(29)
def test_the_scaled_return_is_cut_at_time_limits_too(host_update):
    _, after, rollout = host_update
    assert rollout.truncated.any()
    assert rollout.terminated.any()
    totals, carried = [], np.zeros(4)
    for reward, terminated, truncated, valid in zip(
        rollout.reward[:, 0], rollout.terminated[:, 0], rollout.truncated[:, 0], rollout.valid[:, 0]
    ):
        carried = reward + PPO.gamma * carried
        totals += carried[valid > 0].tolist()
        carried = np.where(terminated | truncated, 0.0, carried)
    moments = after.reward_scale.moments
    assert moments.count[0] == len(totals)
    np.testing.assert_allclose(moments.mean[0], np.mean(totals), rtol=1e-5)
    np.testing.assert_allclose(moments.m2[0], np.var(totals) * len(totals), rtol=1e-5)
    np.testing.assert_allclose(after.reward_scale.discounted_return[0], carried, rtol=1e-5, atol=1e-6)


def test_rewards_are_clipped_after_they_are_scaled():
    """By hand: with γ = 0 rewards are divided by their own standard deviation; beyond ±0.5 of those none is left."""
    ppo = dataclasses.replace(PPO, hidden=(2,), gamma=0.0)
    env, seen = probe.PROBES["matching-continuous"](), []
    config = RunConfig("probe", steps=640, num_envs=4, ppo=dataclasses.replace(ppo, reward_clip=0.5))
    policy = make_policy(env.observation_space, env.action_space, ppo)
    state = make_learner(env, policy, config).init(jax.random.key(0))
    state, rollout, _, key = next_rollout(env, policy, config, state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proximax.ppo.learner.update", lambda *a: seen.append(a[4].reward) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learn_from_rollout(ALGORITHMS["clip"], policy, config, state, rollout, key)
    scaled = np.asarray(rollout.reward) / np.std(rollout.reward)
    assert np.mean(np.abs(scaled) > 0.5) > 0.2
    np.testing.assert_allclose(seen[0], np.clip(scaled, -0.5, 0.5), rtol=1e-5)


def test_rewards_that_are_not_scaled_are_not_clipped():
    ppo = dataclasses.replace(PPO, hidden=(2,), scale_reward=False)
    env = probe.PROBES["matching-continuous"]()
    policy = make_policy(env.observation_space, env.action_space, ppo)
    parameters = []
    for clip in (None, 0.5):
        config = RunConfig("probe", steps=640, num_envs=4, ppo=dataclasses.replace(ppo, reward_clip=clip))
        learner = make_learner(env, policy, config)
        state, _ = jax.jit(learner.step)(learner.init(jax.random.key(0)))
        parameters.append(flat(state.params))
    np.testing.assert_array_equal(*parameters)
