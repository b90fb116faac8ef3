"""gymnax environments: six values, true final observations, fresh starts."""

import sys

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from proximax.envs import from_gymnax, make_env
from proximax.envs.jaxenvs import gymnax_ids, make_gymnax, to_gymnasium
from proximax.errors import DependencyError, UsageError


def test_cartpole_ends_with_its_final_observation_and_starts_anew():
    env = make_gymnax("CartPole-v1")
    assert env.action_space == spaces.Discrete(2)
    assert env.observation_space.shape == (4,)
    step = jax.jit(env.step)
    starts = []
    for seed in range(3):
        state, _ = env.reset(jax.random.key(0))  # the same start each time; the next one must differ
        for t in range(60):
            state, s = step(jax.random.key(100 * seed + t), state, jnp.ones((), int))
            if s.terminated:
                break
        assert abs(s.final_obs[2]) > 0.2  # the pole has fallen
        assert abs(s.obs[2]) < 0.06  # the new episode has not
        assert bool(s.first)
        starts.append(tuple(np.asarray(s.obs).tolist()))
    assert len(set(starts)) == 3


def test_trap_01_a_time_limit_is_a_truncation():
    env, params = gymnax.make("Pendulum-v1")
    made = from_gymnax(env, params.replace(max_steps_in_episode=3))
    state, _ = made.reset(jax.random.key(0))
    flags = []
    for t in range(6):
        state, s = made.step(jax.random.key(t), state, jnp.zeros(1))
        flags.append((bool(s.terminated), bool(s.truncated), bool(s.first)))
    assert flags == [(False, i % 3 == 2, i % 3 == 2) for i in range(6)]


def test_minatar_observations_are_floats_of_the_declared_shape():
    env = make_env("gymnax:Breakout-MinAtar")
    state, obs = env.reset(jax.random.key(0))
    assert obs.shape == env.observation_space.shape == (10, 10, 4)
    assert obs.dtype == jnp.float32
    _, s = env.step(jax.random.key(1), state, jnp.zeros((), int))
    assert s.obs.dtype == s.final_obs.dtype == s.reward.dtype == jnp.float32


def test_old_gymnax_is_refused():
    with pytest.raises(DependencyError, match=r"gymnax >= 1\.0"):
        from_gymnax(object(), None)


def test_without_gymnax_the_install_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnax", None)
    with pytest.raises(DependencyError, match=r'pip install "proximax\[gymnax\]"'):
        make_env("gymnax:CartPole-v1")
    assert gymnax_ids() == []


def test_unknown_spaces_are_refused():
    class Dict:
        pass

    with pytest.raises(UsageError, match="observation space is gymnax's Dict"):
        to_gymnasium(Dict(), "observation")
