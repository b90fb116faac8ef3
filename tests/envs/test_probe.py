"""The probe environments are learned to their known answers, on JAX and through every part of the learner."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.envs import probe
from proximax.policy.policy import make_policy
from proximax.ppo.learner import make_learner
from proximax.ppo.seed_axis import stack_seeds
from proximax.runtime.prng import seed_key

GAMMA = 0.9
PPO = PPOConfig(
    num_steps=32,
    minibatch_size=64,
    hidden=(16,),
    epochs=4,
    learning_rate=3e-3,
    gamma=GAMMA,
    normalise_obs=False,
    scale_reward=False,
    anneal="none",
)
# probe -> observation -> (value, action or None where any is as good)
ANSWERS = {
    "constant": {1.0: (1.0, None)},
    "observed": {1.0: (1.0, None), -1.0: (-1.0, None)},
    "delayed": {-1.0: (GAMMA, None), 1.0: (1.0, None)},
    "choice": {1.0: (1.0, 1)},
    "choice-continuous": {1.0: (0.0, 0.5)},
    "matching": {1.0: (1.0, 1), -1.0: (1.0, 0)},
    "matching-continuous": {1.0: (0.0, 0.5), -1.0: (0.0, -0.5)},
    "endless": {1.0: (1.0 / (1.0 - GAMMA), None)},
}


def test_every_probe_has_an_answer():
    assert {*ANSWERS, "recall", "t-maze"} == set(probe.PROBES)  # the last two need memory: ppo/test_memory.py


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_probe_is_learned(name):
    env = probe.PROBES[name]()
    config = RunConfig("probe", steps=80 * 256, ppo=PPO)
    policy = make_policy(env.observation_space, env.action_space, PPO)
    learner = make_learner(env, policy, config)
    states = stack_seeds([learner.init(seed_key(i)) for i in range(3)])
    step = jax.jit(jax.vmap(learner.step))
    for _ in range(config.updates):
        states, _ = step(states)
    for i in range(3):
        params = jax.tree.map(lambda x, i=i: x[i], states.params)
        for obs, (value, action) in ANSWERS[name].items():
            dist, v, _ = policy.apply(params, (), jnp.full((1, 1), obs), jnp.ones(1, bool))
            assert float(v[0]) == pytest.approx(value, abs=0.05 * max(1.0, abs(value))), f"V({obs}) of seed {i}"
            if action is not None:
                np.testing.assert_allclose(float(dist.mode().ravel()[0]), action, atol=0.1)


@pytest.mark.trap(8)
def test_every_episode_starts_anew():
    env = probe.observed()
    keys = jax.random.split(jax.random.key(0), 200)
    state, _ = env.reset(keys[0])
    first = [float(env.step(key, state, jnp.zeros((), int))[1].obs[0]) for key in keys[:40]]
    assert {-1.0, 1.0} == set(first)


@pytest.mark.trap(2)
def test_final_obs_is_what_the_action_led_to():
    env = probe.delayed()
    state, obs = env.reset(jax.random.key(0))
    assert float(obs[0]) == -1
    state, s = env.step(jax.random.key(1), state, jnp.zeros((), int))
    assert (float(s.obs[0]), float(s.final_obs[0]), bool(s.terminated), bool(s.first)) == (1, 1, False, False)
    _, s = env.step(jax.random.key(2), state, jnp.zeros((), int))
    assert (float(s.obs[0]), float(s.final_obs[0]), bool(s.terminated), bool(s.first)) == (-1, 1, True, True)


@pytest.mark.trap(1)
def test_the_clock_probe_truncates_and_never_terminates():
    env = probe.endless(2)
    state, _ = env.reset(jax.random.key(0))
    state, a = env.step(jax.random.key(1), state, jnp.zeros((), int))
    _, b = env.step(jax.random.key(2), state, jnp.zeros((), int))
    assert (bool(a.truncated), bool(b.truncated), bool(a.terminated), bool(b.terminated)) == (False, True, False, False)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_t_maze_by_hand(sign):
    env = probe.t_maze(length=2)
    key = next(k for k in jax.random.split(jax.random.key(0), 20) if int(env.reset(k)[1][0]) == sign)
    state, obs = env.reset(key)
    assert obs.tolist() == [sign, 0]
    # (action, observation reached, reward): a wall, forward, forward, the wall of the junction
    for action, reached, reward in ((1, [0, 0], -0.1), (0, [0, 0], 0), (0, [0, 1], 0), (0, [0, 1], -0.1)):
        state, s = env.step(key, state, action)
        assert (s.obs.tolist(), s.final_obs.tolist()) == (reached, reached)
        assert float(s.reward) == pytest.approx(reward)
        assert not any(map(bool, (s.terminated, s.truncated, s.first)))
    for action in (1, 2):
        _, s = env.step(key, state, action)
        assert float(s.reward) == (1.0 if 2 * action - 3 == sign else -1.0)
        assert bool(s.terminated)
        assert bool(s.first)
        assert (s.obs.tolist(), s.final_obs.tolist()) == ([sign, 0], [0, 1])  # the next episode, by the same key


def test_in_a_t_maze_one_may_not_wait_for_ever():
    env = probe.t_maze(length=2)
    state, _ = env.reset(jax.random.key(0))
    for t in range(12):
        state, s = env.step(jax.random.key(t), state, 1)
        assert (bool(s.truncated), bool(s.terminated)) == (t == 11, False)
    assert s.final_obs.tolist() == [0, 0]
    assert abs(float(s.obs[0])) == 1
