"""gymnax environments: six values, true final observations, fresh starts, nested spaces."""

import collections
import sys
from typing import NamedTuple

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnax.environments import spaces as gymnax_spaces

import proximax
from proximax.envs import from_gymnax, make_env
from proximax.envs.gymnax_env import gymnax_ids, make_gymnax, to_gymnasium
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


@pytest.mark.trap(1)
def test_a_time_limit_is_a_truncation():
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
    class Graph:
        pass

    with pytest.raises(UsageError, match=r"observation space is gymnax's Graph\. Supported: Discrete, Box, Dict"):
        to_gymnasium(Graph(), "observation")
    with pytest.raises(UsageError, match="action space is gymnax's Graph"):
        to_gymnasium(gymnax_spaces.Dict({"a": gymnax_spaces.Tuple((Graph(),))}), "action")


def test_nested_spaces_of_gymnax_are_those_of_gymnasium():
    flat = gymnax_spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 4.0]), (2,), jnp.float32)
    image = gymnax_spaces.Box(0, 255, (2, 2, 1), jnp.uint8)
    given = gymnax_spaces.Dict({"b": gymnax_spaces.Tuple([flat, gymnax_spaces.Discrete(3)]), "a": image})
    made = to_gymnasium(given, "observation")
    assert made == spaces.Dict(
        b=spaces.Tuple((spaces.Box(np.float32([-1, 0]), np.float32([1, 4])), spaces.Discrete(3))),
        a=spaces.Box(0, 255, (2, 2, 1), np.uint8),
    )


class State(NamedTuple):
    time: jax.Array


class Toy:
    """A gymnax environment by its interface alone: nested observations and actions, a mask, three steps."""

    is_truncated = None

    def observation_space(self, params):
        inner = gymnax_spaces.Tuple([gymnax_spaces.Box(0, 255, (2,), jnp.uint8), gymnax_spaces.Discrete(4)])
        mask = gymnax_spaces.Box(0, 1, (3,), jnp.uint8)
        return gymnax_spaces.Dict({"see": inner, "action_mask": mask, "on": gymnax_spaces.Box(0, 1, (1,), jnp.float32)})

    def action_space(self, params):
        return gymnax_spaces.Tuple([gymnax_spaces.Discrete(3), gymnax_spaces.Box(-2.0, 2.0, (1,))])

    def look(self, time):
        mask = jax.nn.one_hot(time % 3, 3, dtype=jnp.uint8)
        see = jnp.full(2, 10 * time, jnp.uint8), time
        return collections.OrderedDict([("see", see), ("action_mask", mask), ("on", jnp.ones(1, bool))])

    def reset(self, key, params):
        return self.look(jnp.zeros((), jnp.int32)), State(jnp.zeros((), jnp.int32))

    def step(self, key, state, action, params):
        pick, push = action
        good = (pick == state.time % 3) & (jnp.abs(push[0]) <= 2)
        time = state.time + 1
        last = time == 3
        new = jnp.where(last, 0, time)
        info = {"final_observation": self.look(time)}
        return self.look(new), State(new), good.astype(jnp.float32), last, jnp.zeros((), bool), info


@pytest.mark.trap(2)
def test_nested_observations_of_gymnax_come_as_plain_trees_with_their_final_ones():
    env = from_gymnax(Toy(), None)
    state, obs = env.reset(jax.random.key(0))
    for t in range(1, 7):
        action = jnp.asarray((t - 1) % 3), jnp.zeros(1)
        state, s = jax.jit(env.step)(jax.random.key(t), state, action)
        assert s.reward == 1
        for tree, time in ((s.obs, t % 3), (s.final_obs, (t - 1) % 3 + 1)):
            assert type(tree) is dict
            assert jax.tree.structure(tree) == jax.tree.structure(obs)
            np.testing.assert_array_equal(tree["see"][0], [10 * time, 10 * time])
            assert tree["see"][1] == time
            assert [x.dtype for x in jax.tree.leaves(tree)] == [jnp.uint8, jnp.float32, jnp.uint8, jnp.int32]
            np.testing.assert_array_equal(tree["action_mask"], np.eye(3)[time % 3])
        assert bool(s.first) == bool(s.terminated) == (t % 3 == 0)


@pytest.mark.slow
@pytest.mark.trap(15)
def test_a_nested_gymnax_environment_trains_under_its_masks():
    env = from_gymnax(Toy(), None)
    settings = {"steps": 32, "num_steps": 8, "num_envs": 2, "minibatch_size": None, "epochs": 1, "hidden": (4,)}
    result = proximax.train(env, eval_episodes=2, quiet=True, preset="none", **settings)
    assert [row["episode_return"] for row in result.history] == [3.0, 3.0]  # the mask leaves one thing to pick
    np.testing.assert_array_equal(result.evaluation.returns, [[3.0, 3.0]])
    assert all(row["finite"] == 1 and row["first_ratio_error"] <= 1e-5 for row in result.history)
    assert result.agent.act({"see": ([0, 0], 0), "action_mask": [0, 1, 0], "on": [1]})[0] == 1
