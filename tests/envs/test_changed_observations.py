"""Hidden velocities, and the previous action and reward, of every kind of environment, by a run's settings. Trap 31."""

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import proximax
from proximax.config.run_config import RunConfig
from proximax.envs import hide_velocities, make_env, show_previous
from proximax.envs.changed_observations import ChangedObservations, unchanged
from proximax.envs.env_groups import DoubleBufferedEnvs, pipeline_groups
from proximax.envs.make import env_options, make_rendered_env
from proximax.envs.probe import recall
from proximax.errors import UsageError
from tests.support.toy_envs import vector
from tests.support.toy_gym import Script

PREVIOUS = ("previous_action", "previous_reward")
BOTH = {"hide_velocities": True, "show_previous": True}


def cart_pole():
    return gymnasium.make("CartPole-v1", max_episode_steps=6)


def changed_one():
    return show_previous(hide_velocities(cart_pole()))


def same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


@pytest.mark.trap(31)
def test_many_at_once_are_what_each_is_alone():
    made = make_env("CartPole-v1", 3, env_kwargs={"max_episode_steps": 6}, **BOTH)
    assert isinstance(made, ChangedObservations)
    alone = make_env(changed_one, 3)
    assert made.observation_space == alone.observation_space
    ours, theirs = (env.reset([1, 2, 3]) for env in (make_env(lambda: cart_pole(), 3, show_previous=True), alone))
    same(ours["obs"][:, [0, 2]], theirs["obs"])
    envs = [make_env(lambda: hide_velocities(cart_pole()), 3, show_previous=True), alone]
    rng = np.random.default_rng(0)
    same(*(env.reset([1, 2, 3]) for env in envs))
    ended = 0
    for _ in range(25):
        actions = rng.integers(0, 2, 3)
        ours, theirs = (env.step(actions) for env in envs)
        same(ours, theirs)
        ended += ours.ended.sum()
        assert (ours.final_obs["previous_action"].sum(axis=1) == 1).all()
        assert (ours.obs["previous_action"].sum(axis=1) == ~ours.first).all()
    assert ended > 6
    for env in (made, *envs):
        env.close()


@pytest.mark.trap(31)
def test_every_autoreset_mode_opens_episodes_with_nothing_before_them():
    seen = []
    for mode in AutoresetMode:
        env, rows = make_env(vector(Script, 2, mode), show_previous=True), []
        env.reset([0, 1])
        for t in range(30):
            step = env.step(np.full(2, t % 2))
            step = step._replace(reward=np.float32(step.reward))
            np.testing.assert_array_equal(step.obs["previous_reward"][:, 0], np.where(step.first, 0, step.reward))
            np.testing.assert_array_equal(step.obs["previous_action"].any(axis=1), ~step.first)
            valid = step.valid > 0
            np.testing.assert_array_equal(step.final_obs["previous_reward"][valid, 0], step.reward[valid])
            rows += [step.final_obs["previous_reward"][0, 0].item()] * bool(valid[0])
        seen.append(rows)
    shortest = min(map(len, seen))
    assert seen[0][:shortest] == seen[1][:shortest] == seen[2][:shortest]


def test_inside_the_program_too():
    env = make_env("gymnax:CartPole-v1", **BOTH)
    _, obs = env.reset(jax.random.key(0))
    assert {name: x.shape for name, x in obs.items()} == {
        "obs": (2,),
        "previous_action": (2,),
        "previous_reward": (1,),
    }


@pytest.mark.slow
@pytest.mark.process
def test_in_worker_processes_groups_still_take_turns(monkeypatch):
    monkeypatch.setattr("proximax.envs.env_groups.WORKER_SECONDS", 0.0)
    made = make_env(cart_pole, 4, groups=2, env_groups=2, show_previous=True)
    alone = make_env(cart_pole, 8, show_previous=True)
    try:
        assert isinstance(made, DoubleBufferedEnvs)
        assert all(isinstance(group.env, ChangedObservations) for group in pipeline_groups(made))
        same(made.reset(list(range(8))), alone.reset(list(range(8))))
        for t in range(12):
            actions = np.arange(8) * t % 2
            same(made.step(actions), alone.step(actions))
        state = made.get_state()
        after = made.step(actions)
        made.set_state(state)
        same(made.step(actions), jax.tree.map(np.array, after))
    finally:
        made.close()
        alone.close()


def test_a_group_of_the_callers_stays_as_it_is():
    parts = make_env("CartPole-v1", 2, groups=2)
    space = parts.observation_space
    for _ in range(2):
        assert set(make_env(parts, show_previous=True).observation_space) == {"obs", *PREVIOUS}
    assert parts.observation_space == space
    parts.close()


@pytest.mark.slow
def test_envpool():
    pytest.importorskip("envpool")
    env = make_env("envpool:CartPole-v1", 2, **BOTH)
    assert env.reset([0, 1])["obs"].shape == (2, 2)
    assert env.step(np.array([0, 1])).obs["previous_action"].tolist() == [[1, 0], [0, 1]]
    assert unchanged(env) is not env
    env.close()


def test_what_cannot_be_is_refused():
    for env, settings, text in (
        (recall(), {"hide_velocities": True}, "which entries are velocities is known of CartPole, .*pass velocities="),
        (lambda: Script(), {"hide_velocities": True}, "which entries are velocities is known of"),
        (show_previous(recall()), {"show_previous": True}, "has the entry 'previous_action' already"),
    ):
        with pytest.raises(UsageError, match=text):
            make_env(env, 1, **settings)
    with pytest.raises(UsageError, match="show_previous = 1: must be True or False"):
        RunConfig("x", show_previous=1).check()


def test_the_settings_of_a_run_are_those_of_its_environments():
    assert {**BOTH, "env_kwargs": {}}.items() <= env_options(RunConfig("CartPole-v1", **BOTH)).items()
    env = make_rendered_env("CartPole-v1", **BOTH)
    assert env.reset([0])["obs"].shape == (1, 2)
    assert env.step(np.array([1])).obs["previous_action"].tolist() == [[0, 1]]
    assert len(env.frames) == 1
    env.close()


@pytest.mark.slow
@pytest.mark.trap(31)
@pytest.mark.parametrize("env", ["CartPole-v1", "gymnax:CartPole-v1"])
def test_a_run_records_them_and_evaluation_and_resume_follow(env, tmp_path):
    settings = {"num_envs": 2, "num_steps": 8, "minibatch_size": 8, "epochs": 1, "eval_episodes": 2, "quiet": True}
    settings |= {"network": "gru", "recurrent_units": 3, "hidden": (4,), "preset": "none", **BOTH}
    whole = proximax.train(env, steps=64, out=tmp_path / "whole", **settings)
    proximax.train(env, steps=64, out=tmp_path / "run", callbacks=[lambda rows: rows[0]["update"] == 2], **settings)
    again = proximax.train(env, steps=64, out=tmp_path / "run", resume=True, **settings)
    same(again.agent.params, whole.agent.params)
    assert again.agent.observation_space["previous_action"].shape == (2,)
    assert proximax.evaluate(tmp_path / "run", episodes=2).returns.shape == (1, 2)
