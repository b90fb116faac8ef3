"""Whole runs: real training to a real score, what is left on disk, early stopping, faults. Traps 24, 27, 28, 33."""

import json
import math
import os
import sys
import tempfile
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import proximax
from proximax.config.run_config import from_json
from proximax.envs import probe
from proximax.errors import CheckpointError, EnvError, NumericalError, UsageError
from proximax.runs.metrics import METRICS
from tests.support.saved_runs import TINY
from tests.support.toy_envs import vector
from tests.support.toy_gym import Script

SMALL = {"steps": 1024, "num_steps": 32, "num_envs": 4, "minibatch_size": 64, "epochs": 2, "quiet": True}
QUICK = SMALL | {"eval_episodes": 4}


def params(result, seed=0):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(result.agents[seed].params)])


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory):
    """Two seeds of CartPole-v1 trained until both are solved."""
    out = tmp_path_factory.mktemp("runs") / "cartpole"
    return proximax.train("CartPole-v1", seeds=2, stop_at_return=475, out=out, quiet=True)


class Mover(Script):
    """A simulator with a work folder of its own."""

    def __init__(self):
        super().__init__()
        os.chdir(tempfile.mkdtemp())

    def close(self):
        self.viewer.close()  # which was never opened


@pytest.mark.fault(47)
def test_a_run_stays_where_it_was_asked_for_and_outlives_what_close_raises(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = proximax.train(Mover, out="run", preset="none", **QUICK | {"steps": 256, "hidden": (8,)})
    assert Path.cwd() != tmp_path
    assert result.directory == tmp_path / "run"
    names = {path.name for path in result.directory.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "result.json", "checkpoints"}
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.learning
@pytest.mark.optimised
@pytest.mark.slow
def test_cartpole_is_solved_by_every_seed_within_100k_steps(cartpole):
    assert cartpole.stopped_by == "stop_at"
    assert cartpole.steps < 100_000
    assert (cartpole.evaluation.returns.mean(axis=1) >= 475).all()
    assert cartpole.evaluation.returns.shape == (2, 100)


@pytest.mark.learning
@pytest.mark.optimised
@pytest.mark.slow
def test_the_run_directory_is_complete_and_strict_json(cartpole):
    files = {path.name for path in cartpole.directory.iterdir()}
    assert files == {
        *("config.json", "metrics.jsonl", "evaluations.jsonl", "result.json", "checkpoints", "tensorboard", ".lock")
    }
    result = json.loads((cartpole.directory / "result.json").read_text(), parse_constant=pytest.fail)
    wanted = "env algo seeds steps wall_s compile_s steps_per_s return_mean return_iqm return_ci95 stopped_by version"
    assert set(wanted.split()) <= set(result)
    assert result["env"] == "gymnasium:CartPole-v1"
    assert result["return_mean"] == pytest.approx(cartpole.evaluation.mean)
    low, high = result["return_ci95"]
    assert low <= result["return_mean"] <= high
    others = {
        "line_search_fraction",
        "fully_masked_index",
        "action_std",
        "actions_at_bounds",
        "memory_kl",
        "memory_abs_max",
    }  # of trpo, of masks, of Box actions, of memory
    rows = [json.loads(line, parse_constant=pytest.fail) for line in (cartpole.directory / "metrics.jsonl").open()]
    assert rows == cartpole.history
    assert all(set(row) == set(METRICS) - others for row in rows)
    counts, steps = ([row[name] for row in rows if row["seed"] == 1] for name in ("ratio_histogram", "steps"))
    np.testing.assert_array_equal(np.cumsum(np.sum(counts, axis=1)), steps)  # every valid row is in the histogram
    assert [row["seed"] for row in rows[:4]] == [0, 1, 0, 1]
    assert rows[-1]["steps"] <= result["steps"] == max(row["steps"] for row in rows)


@pytest.mark.learning
@pytest.mark.optimised
@pytest.mark.slow
@pytest.mark.trap(12)
def test_first_ratio_is_1_in_every_update_of_a_real_run(cartpole):
    assert cartpole.history[0]["first_ratio_error"] <= 1e-6
    assert max(row["first_ratio_error"] for row in cartpole.history) <= 1e-5  # rounding grows with |log π|
    assert all(row["finite"] == 1 for row in cartpole.history)


@pytest.mark.learning
@pytest.mark.optimised
@pytest.mark.slow
def test_the_policy_is_loaded_and_evaluated_from_the_directory_alone(cartpole):
    evaluation = proximax.evaluate(cartpole.directory, 20)
    assert evaluation.returns.shape == (2, 20)
    assert evaluation.mean >= 450
    agent = proximax.load(cartpole.directory)
    env = gymnasium.make("CartPole-v1")
    obs, _ = env.reset(seed=3)
    total, ended = 0.0, False
    while not ended:
        obs, reward, terminated, truncated, _ = env.step(agent.act(obs))
        total, ended = total + reward, terminated or truncated
    assert total >= 400


@pytest.mark.slow
def test_config_json_runs_again_to_the_same_bits(tmp_path):
    first = proximax.train("CartPole-v1", out=tmp_path / "a", seeds=2, **QUICK)
    config = from_json(json.loads((tmp_path / "a" / "config.json").read_text()))
    again = proximax.run(config, out=tmp_path / "b", quiet=True)
    np.testing.assert_array_equal(params(first, 1), params(again, 1))
    np.testing.assert_array_equal(first.evaluation.returns, again.evaluation.returns)
    drop = lambda rows: [{k: v for k, v in row.items() if k != "time_s"} for row in rows]  # noqa: E731
    assert drop(first.history) == drop(again.history)


@pytest.mark.slow
@pytest.mark.trap(28)
def test_training_is_the_same_bits_with_and_without_evaluation():
    settings = QUICK | {"normalise_obs": True}
    plain = proximax.train("CartPole-v1", **settings)
    watched = proximax.train("CartPole-v1", stop_at_return=1e9, **settings)  # evaluates all along, never stops
    np.testing.assert_array_equal(params(plain), params(watched))
    jax.tree.map(np.testing.assert_array_equal, plain.agent.obs_moments, watched.agent.obs_moments)
    assert plain.agent.obs_moments.count == plain.steps  # of training alone


@pytest.mark.parametrize("env", ["probe:matching", pytest.param("CartPole-v1", marks=pytest.mark.slow)])
def test_training_is_the_same_bits_whatever_is_logged_and_shown(env, tmp_path, capsys):
    plain = proximax.train(env, **TINY)  # quiet, nothing on disk
    capsys.readouterr()
    shown = proximax.train(env, out=tmp_path / "run", eval_every=32, **TINY | {"quiet": False, "verbose": True})
    jax.tree.map(np.testing.assert_array_equal, plain.agent.params, shown.agent.params)
    without_time = [[{k: v for k, v in row.items() if k != "time_s"} for row in x.history] for x in (plain, shown)]
    assert without_time[0] == without_time[1]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0].endswith("1 seed: 96 steps in 6 updates of 16")
    assert "| 6 of 6 (100%)" in err
    assert "| eval/" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "env",
    [
        pytest.param("gymnax:CartPole-v1", marks=pytest.mark.exhaustive),  # which other tests resume and evaluate
        "envpool:Pendulum-v1",
        "MountainCarContinuous-v0",
        "FrozenLake-v1",
        "probe:matching",
        lambda: gymnasium.make("Acrobot-v1"),
        lambda: vector(Script, 4, AutoresetMode.DISABLED),
    ],
    ids=["gymnax", "envpool", "continuous", "discrete-obs", "probe", "callable", "vector-env"],
)
def test_every_kind_of_environment_trains(env, tmp_path):
    made = env() if getattr(env, "__code__", None) and "vector" in env.__code__.co_names else env
    result = proximax.train(made, out=tmp_path / "run", preset="none", **QUICK)
    assert result.history[-1]["first_ratio_error"] <= 1e-5
    assert 0 < result.steps <= 1024
    assert result.to_json()["steps"] == result.steps
    assert np.abs(params(result)).max() > 0


@pytest.mark.slow
def test_seeds_of_a_vector_env_share_its_environments():
    result = proximax.train(vector(Script, 8, AutoresetMode.NEXT_STEP), seeds=2, **{**QUICK, "num_envs": 99})
    assert result.config.num_envs == 4
    with pytest.raises(UsageError, match="8 environments, which 3 seeds cannot share equally"):
        proximax.train(vector(Script, 8, AutoresetMode.NEXT_STEP), seeds=3, **QUICK)


@pytest.mark.slow
def test_callbacks_see_every_update_and_can_stop():
    seen = []

    def stop_at_three(rows):
        seen.append(rows[0]["update"])
        return rows[0]["update"] == 3

    result = proximax.train("CartPole-v1", callbacks=[stop_at_three], **QUICK)
    assert seen == [1, 2, 3]
    assert result.stopped_by == "callback"
    assert result.steps == result.history[-1]["steps"] <= 3 * 128


class Fails(Script):
    """Counts the steps of all its copies; the 600th raises, or gives what is not finite."""

    count = 0
    how = "raise"

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        type(self).count += 1
        if type(self).count >= 600:
            if self.how == "raise":
                raise OSError("socket closed")
            obs, reward = (obs * math.nan, reward) if self.how == "obs" else (obs, math.inf)
        return obs, reward, terminated, truncated, info


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "fault", "message"),
    [
        ("raise", EnvError, r"environment \d raised in step at step \d+: OSError: socket closed"),
        ("obs", NumericalError, r"the observation is not finite: .* in environment \d of seed 0, step \d+"),
        ("reward", NumericalError, r"the reward is not finite: inf in environment \d"),
    ],
)
def test_a_fault_while_training_keeps_the_policy_and_the_traceback(how, fault, message, tmp_path):
    kind = type("Fails", (Fails,), {"count": 0, "how": how})
    with pytest.raises(fault, match=message):
        proximax.train(kind, out=tmp_path / "run", **QUICK)
    assert "Traceback" in (tmp_path / "run" / "error.log").read_text()
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) >= 3
    assert not (tmp_path / "run" / "result.json").exists()
    agent = proximax.load(tmp_path / "run")
    assert agent.act(np.zeros(3)) in (0, 1)


@pytest.mark.slow
@pytest.mark.trap(24)
def test_a_diverging_run_stops_with_its_numbers():
    class Huge(Script):
        def step(self, action):
            obs, reward, terminated, truncated, info = super().step(action)
            return obs, reward * 1e30, terminated, truncated, info

    with pytest.raises(NumericalError, match="update 1 of seed 0, at 128 steps"):
        proximax.train(Huge, scale_reward=False, **QUICK)


@pytest.mark.slow
@pytest.mark.trap(24)
def test_a_jax_environment_that_gives_nan_keeps_the_last_good_policy(tmp_path):
    env = probe.choice()

    def step(key, state, action):
        state, s = env.step(key, state, action)
        return state, s._replace(reward=jnp.where(jax.random.bernoulli(key, 0.002), jnp.nan, s.reward))

    with pytest.raises(NumericalError, match=r"update \d of seed 0"):
        proximax.train(env._replace(step=step), out=tmp_path / "run", **QUICK | {"steps": 12800})
    agent = proximax.load(tmp_path / "run")
    assert np.isfinite(np.concatenate([np.ravel(x) for x in jax.tree.leaves(agent.params)])).all()


@pytest.mark.slow
def test_an_observation_too_large_for_the_normaliser_stops_the_run_with_the_last_good_policy(tmp_path):
    env = probe.observed()

    def step(key, state, action):
        state, s = env.step(key, state, action)
        return state, s._replace(obs=jnp.where(jax.random.bernoulli(key, 0.002), 1e30, s.obs))

    with pytest.raises(NumericalError, match="normaliser not finite"):
        proximax.train(env._replace(step=step), out=tmp_path / "run", **QUICK | {"steps": 12800})
    assert np.isfinite(proximax.load(tmp_path / "run").obs_moments.mean).all()


@pytest.mark.slow
def test_large_seeds_work_on_every_kind_of_environment():
    for env in ("probe:constant", "CartPole-v1"):
        result = proximax.train(env, seed=2**63, preset="none", **QUICK)
        assert np.isfinite(result.evaluation.mean)


@pytest.mark.slow
def test_a_start_that_fails_closes_its_environments_and_an_object_stays_open():
    made = []

    class Counted(Script):
        def __init__(self):
            super().__init__()
            self.closed = False
            made.append(self)

        def close(self):
            self.closed = True

    with pytest.raises(UsageError, match="policy output"):
        proximax.train(Counted, network=proximax.mlp(outputs=7), **QUICK)
    assert len(made) == 5  # one to try out, four to train on
    assert all(env.closed for env in made)
    owned = vector(Script, 4, AutoresetMode.SAME_STEP)
    proximax.train(owned, **QUICK)
    assert not owned.closed


@pytest.mark.slow
def test_environments_may_write_to_the_action_they_get():
    class Writes(Script):
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

        def step(self, action):
            action *= 0.5
            return super().step(action)

    assert proximax.train(Writes, **QUICK).steps == 1024


@pytest.mark.slow
def test_a_goal_reached_at_the_end_counts():
    result = proximax.train("probe:constant", stop_at_return=1.0, **QUICK | {"steps": 128 * 81, "epochs": 1})
    assert result.evaluation.worst >= 1.0
    assert result.stopped_by == "stop_at"


def test_bad_settings_leave_nothing_behind(tmp_path):
    for bad in ({"gamma": 2.0}, {"minibatch_size": 60}, {"steps": 5}, {"seeds": 0}):
        with pytest.raises(UsageError):
            proximax.train("CartPole-v1", out=tmp_path / "runs" / "a", **(QUICK | bad))
    with pytest.raises(UsageError, match="seeds = 0"):
        proximax.train(vector(Script, 4, AutoresetMode.SAME_STEP), **QUICK | {"seeds": 0})
    with pytest.raises(UsageError, match="CartPole-v1"):
        proximax.train("CartPol-v1", out=tmp_path / "runs" / "a", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_stop_at_needs_an_environment_that_can_be_made_twice():
    with pytest.raises(UsageError, match="eval_every evaluates on a second environment"):
        proximax.train(vector(Script, 4, AutoresetMode.SAME_STEP), eval_every=128, **QUICK)
    with pytest.raises(UsageError, match="stop_at_return evaluates on a second environment"):
        proximax.train(vector(Script, 4, AutoresetMode.SAME_STEP), stop_at_return=1.0, **QUICK)


@pytest.mark.slow
def test_an_episode_that_never_ends_gives_no_score_but_a_policy(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["proximax.evaluation.evaluator"], "MAX_EPISODE_STEPS", 50)
    result = proximax.train(lambda: Script((10**9, 10**9)), out=tmp_path / "run", **QUICK)
    said = "4 of 4 evaluation episodes had not ended after 50 steps: their returns, and the mean, are not known (n/a)"
    assert capsys.readouterr().err == f"proximax: warning: {said}\n"
    assert math.isnan(result.summary.mean)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["return_mean"] is None
    assert all(row["return_last_100"] is None for row in result.history)
    assert result.agent.act(np.zeros(3)) in (0, 1)


@pytest.mark.slow
def test_arguments_of_the_environment_are_part_of_the_run(tmp_path):
    """Evaluation and video play the environment that was trained on, whose arguments may be replaced; no other id's."""
    arguments = {"env_kwargs": {"max_steps_in_episode": 7}}
    proximax.train("gymnax:CartPole-v1", out=tmp_path / "run", **QUICK | arguments)
    assert proximax.evaluate(tmp_path / "run", 3).lengths.max() <= 7
    assert proximax.evaluate(tmp_path / "run", 3, env="gymnax:CartPole-v1").lengths.max() <= 7
    longer = {"max_steps_in_episode": 500}
    assert proximax.evaluate(tmp_path / "run", 3, env_kwargs=longer).lengths.max() > 7
    assert proximax.evaluate(tmp_path / "run", 3, env="CartPole-v1").lengths.max() > 7
    arguments = {"env_kwargs": {"max_steps_in_episode": 8}}
    with pytest.raises(CheckpointError, match=r"env_kwargs.max_steps_in_episode = 7 there, 8 asked for"):
        proximax.train("gymnax:CartPole-v1", out=tmp_path / "run", resume=True, **QUICK | arguments)


@pytest.mark.parametrize("env_kwargs", [{"x": object()}, {3: 4}, [("x", 1)], {"x": float}])
def test_arguments_that_config_json_cannot_hold_are_refused(env_kwargs):
    with pytest.raises(UsageError, match="env_kwargs"):
        proximax.train("CartPole-v1", env_kwargs=env_kwargs)


class Plain(gymnasium.Env):
    """Five steps, each with its action as the reward, times ``factor``."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, factor=1.0):
        self.factor = factor

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        self.t += 1
        obs = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return obs, self.factor * float(action), False, self.t == 5, {}


HOOKED = TINY | {"steps": 64}


def summed(state, rollout):
    """Twice the reward; counts the transitions it has seen."""
    seen = state["seen"] + rollout.valid.sum()
    return 2 * rollout.reward, {"seen": seen, "draw": state["draw"]}, {"seen": seen}


def seen_none(key, observation_space, action_space):
    assert observation_space.shape in ((1,), (2,), (4,))
    return {"seen": jnp.zeros(()), "draw": jax.random.uniform(key)}


SUM = proximax.RewardHook("sum", seen_none, summed)


@pytest.mark.parametrize("algo", ["clip", pytest.param("trpo", marks=pytest.mark.slow)])
def test_a_reward_hook_is_learned_from_as_from_the_environments_own_reward_and_is_not_reported(algo):
    settings = HOOKED | {"seeds": 2, "algo": algo, "scale_reward": False}
    hooked = proximax.train(Plain, reward_hook=SUM, **settings)
    doubled = proximax.train(lambda: Plain(2.0), **settings)
    plain = proximax.train(Plain, **settings)
    for seed in range(2):
        np.testing.assert_array_equal(params(hooked, seed), params(doubled, seed))
        assert np.abs(params(hooked, seed) - params(plain, seed)).max() > 1e-6
    first, reported = hooked.history[0], plain.history[0]
    assert first["episode_return"] == reported["episode_return"] == doubled.history[0]["episode_return"] / 2
    assert hooked.config.algo == f"custom:{algo}+sum"
    np.testing.assert_array_equal([row["sum_seen"] for row in hooked.history[::2]], 16.0 * np.arange(1, 5))


@pytest.mark.parametrize("env", [pytest.param("CartPole-v1", marks=pytest.mark.slow), "probe:matching"])
def test_a_reward_hooks_state_is_its_seeds_own_and_goes_on_after_a_resume(env, tmp_path):
    settings = HOOKED | {"reward_hook": SUM, "seeds": 2}
    whole = proximax.train(env, **settings)
    stop = [lambda rows: rows[0]["update"] == 2]
    proximax.train(env, callbacks=stop, out=tmp_path / "run", **settings)
    parts = proximax.train(env, out=tmp_path / "run", resume=True, **settings)
    assert [row["sum_seen"] for row in parts.history] == [row["sum_seen"] for row in whole.history]
    np.testing.assert_array_equal(params(parts), params(whole))
    with pytest.raises(UsageError, match=r"algo = custom:clip\+sum, but none was passed"):
        proximax.run(parts.config, env, out=tmp_path / "run", resume=True, quiet=True)
    agent = proximax.load(tmp_path / "run", seed=0)  # to act it needs no hook
    np.testing.assert_array_equal(params(parts), np.concatenate([np.ravel(x) for x in jax.tree.leaves(agent.params)]))


def test_what_is_no_reward_hook_or_gives_other_shapes_is_refused(tmp_path):
    with pytest.raises(UsageError, match="reward_hook = 3: must be a RewardHook or None"):
        proximax.train("probe:matching", reward_hook=3, **HOOKED)
    one = SUM._replace(apply=lambda state, rollout: (rollout.reward.sum(), state, {}))
    with pytest.raises(UsageError, match=r"reward_hook sum gives rewards of shape \(\); must be \(8, 2\)"):
        proximax.train("probe:matching", reward_hook=one, out=tmp_path / "run", **HOOKED)


@pytest.mark.slow
def test_a_reward_hook_that_gives_no_number_ends_the_run_as_a_failed_update():
    broken = SUM._replace(apply=lambda state, rollout: (rollout.reward * jnp.nan, state, {}))
    with pytest.raises(NumericalError):
        proximax.train("probe:matching", reward_hook=broken, **HOOKED)
