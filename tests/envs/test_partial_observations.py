"""Hidden velocities, and the previous action and reward as observations, outside and inside the program."""

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import proximax
from proximax.envs import hide_velocities, make_env, show_previous
from proximax.envs.partial_observations import VELOCITIES, action_vector
from proximax.envs.probe import recall
from proximax.errors import UsageError


def test_velocities_are_hidden_outside_and_inside_the_program():
    whole, env = gymnasium.make("CartPole-v1"), hide_velocities(gymnasium.make("CartPole-v1"))
    expected, _ = whole.reset(seed=1)
    obs, _ = env.reset(seed=1)
    np.testing.assert_array_equal(obs, expected[[0, 2]])
    np.testing.assert_array_equal(env.step(1)[0], whole.step(1)[0][[0, 2]])
    assert env.observation_space == spaces.Box(*(x[[0, 2]] for x in bounds(whole)))
    inside = make_env("gymnax:CartPole-v1", 1)
    hidden, key = hide_velocities(inside, velocities=(1, 3)), jax.random.key(0)
    state, obs = hidden.reset(key)
    np.testing.assert_array_equal(obs, inside.reset(key)[1][np.array([0, 2])])
    theirs, ours = inside.step(key, state, 1)[1], hidden.step(key, state, 1)[1]
    np.testing.assert_array_equal(ours.obs, theirs.obs[np.array([0, 2])])
    np.testing.assert_array_equal(ours.final_obs, theirs.final_obs[np.array([0, 2])])
    assert hidden.observation_space.shape == (2,)


def bounds(env):
    return env.observation_space.low, env.observation_space.high


def test_the_velocities_that_are_known_are_what_changes_the_positions():
    for name in ("CartPole-v1", "MountainCar-v0", "Pendulum-v1", "Acrobot-v1"):
        env = hide_velocities(gymnasium.make(name))
        assert (
            env.observation_space.shape[0] + len(VELOCITIES[name.split("-")[0]])
            == env.unwrapped.observation_space.shape[0]
        )


def test_what_cannot_be_hidden_is_refused():
    with pytest.raises(UsageError, match="pass velocities="):
        hide_velocities(recall())
    with pytest.raises(UsageError, match="some, not all"):
        hide_velocities(recall(), velocities=(0,))
    with pytest.raises(UsageError, match="vectors"):
        hide_velocities(show_previous(recall()), velocities=(0,))


@pytest.mark.trap(31)
def test_the_previous_action_and_reward_are_zero_where_an_episode_opens_and_nowhere_else():
    env, key = show_previous(recall(length=3)), jax.random.key(0)
    state, obs = env.reset(key)
    assert (np.asarray(obs["previous_action"]) == 0).all()
    for t in range(6):
        state, step = env.step(key, state, np.int32(t % 2))
        one_hot = np.eye(2)[t % 2]
        np.testing.assert_array_equal(step.final_obs["previous_action"], one_hot)
        np.testing.assert_array_equal(step.final_obs["previous_reward"], [step.reward])
        opens = t % 3 == 2
        assert step.first == opens
        np.testing.assert_array_equal(step.obs["previous_action"], 0 * one_hot if opens else one_hot)
        np.testing.assert_array_equal(step.obs["previous_reward"], [0.0 if opens else step.reward])
        assert abs(step.reward) == opens
        assert env.observation_space.contains(jax.tree.map(np.asarray, step.obs))


@pytest.mark.trap(31)
def test_outside_the_program_too():
    env = show_previous(gymnasium.make("Pendulum-v1"))
    obs, _ = env.reset(seed=0)
    assert (obs["previous_action"] == 0).all()
    for action in (0.5, -1.0):
        obs, reward, *_ = env.step(np.array([action], np.float32))
        np.testing.assert_array_equal(obs["previous_action"], np.float32([action]))
        np.testing.assert_array_equal(obs["previous_reward"], np.float32([reward]))
        assert env.observation_space.contains(obs)
    obs, _ = env.reset()
    assert (obs["previous_action"] == 0).all()
    assert (obs["previous_reward"] == 0).all()


def test_an_action_is_a_vector_of_one_hot_choices_and_numbers():
    space = spaces.Dict(
        a=spaces.Discrete(3, start=1),
        b=spaces.MultiDiscrete([2, 3]),
        c=spaces.Box(-1, 1, (2, 1)),
        d=spaces.MultiBinary(2),
    )
    action = {"a": 2, "b": np.array([1, 0]), "c": np.float32([[0.5], [-0.5]]), "d": np.array([0, 1], np.int8)}
    expected = [0, 1, 0, 0, 1, 1, 0, 0, 0.5, -0.5, 0, 1]
    np.testing.assert_array_equal(action_vector(space, action), np.float32(expected))
    np.testing.assert_array_equal(action_vector(space, action, jax.numpy), np.float32(expected))


@pytest.mark.slow
@pytest.mark.parametrize("env", [show_previous(recall()), lambda: show_previous(gymnasium.make("CartPole-v1"))])
def test_a_policy_with_memory_trains_on_it(env):
    settings = {"num_envs": 2, "num_steps": 8, "minibatch_size": 8, "epochs": 1, "eval_episodes": 2, "quiet": True}
    result = proximax.train(env, network="gru", recurrent_units=3, hidden=(4,), steps=32, **settings)
    assert result.history[0]["first_ratio_error"] < 1e-5
