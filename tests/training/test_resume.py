"""Runs that go on exactly, and those that may not. Traps 35, 36; faults 18, 19, 23."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import proximax
from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.envs import probe
from proximax.errors import CheckpointError, EnvError
from proximax.policy.policy import make_policy
from proximax.ppo.multi_seed import make_multi_seed_learner
from proximax.runs.checkpoint import (
    POLICY,
    STATE,
    Snapshot,
    find_checkpoint,
    progress_of,
    save_checkpoint,
)
from proximax.runtime import is_key, named_leaves
from proximax.runtime.files import write_json
from proximax.training.resume import MAY_CHANGE, ResumePoint, check_same, differences, restore
from proximax.training.start import run
from tests.support import ROOT
from tests.support.exact_runs import CASES, Kept, Walk
from tests.support.saved_runs import CONFIG, OBS, TINY, arrays, header, newest, rows_of, snapshot


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every case of ``exact``: the first three updates in one process, the rest in another."""
    algorithms = {settings.get("algo", "clip") for _, settings in CASES.values()}
    assert algorithms == set(proximax.ALGORITHMS)
    folder = tmp_path_factory.mktemp("runs")
    for stage in ("first", "second"):
        command = [sys.executable, "-m", "tests.support.exact_runs", stage, folder]
        ran = subprocess.run(
            command, env={**os.environ, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, timeout=1800, cwd=ROOT
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.count("resumed at 48 steps, exactly") == len(CASES)
    return folder


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.trap(35)
@pytest.mark.parametrize("case", CASES)
def test_a_run_in_two_processes_is_the_run_in_one_bit_for_bit(runs, case):
    whole, parts = runs / case / "whole", runs / case / "parts"
    for file in (POLICY, STATE):
        assert newest(whole, file).read_bytes() == newest(parts, file).read_bytes(), file
    assert newest(whole).name == newest(parts).name == "step-000000000096"
    seeds = CASES[case][1].get("seeds", 1)
    rows = rows_of(whole / "metrics.jsonl")
    assert [row["update"] for row in rows] == np.repeat(range(1, 7), seeds).tolist()
    assert rows == rows_of(parts / "metrics.jsonl")
    times = [json.loads(line)["time_s"] for line in (parts / "metrics.jsonl").read_text().splitlines()]
    assert times == sorted(times)
    assert (whole / "evaluations.jsonl").exists() == bool({"eval_every", "stop_at_return"} & set(CASES[case][1]))
    if (whole / "evaluations.jsonl").exists():
        found = rows_of(whole / "evaluations.jsonl")
        assert found == rows_of(parts / "evaluations.jsonl")
        every = {"seeds-surrogate": [2, 4, 6], "gymnax-a2c": [1, 2, 3, 4, 5, 6]}[case]
        assert [row["update"] for row in found] == np.repeat(every, seeds).tolist()
    returns = [json.loads((run / "result.json").read_text())["returns"] for run in (whole, parts)]
    assert returns[0] == returns[1]


SMALL = RunConfig("x", seeds=2, num_envs=3, ppo=PPOConfig(num_steps=4, minibatch_size=6, hidden=(4,)))


def elsewhere(state):
    """A state of the same form, with nothing in it as it was."""
    rng = np.random.default_rng(0)

    def leaf(x):
        if is_key(x):
            words = rng.integers(0, 2**32, jax.random.key_data(x).shape, np.uint32)
            return jax.random.wrap_key_data(words, impl=jax.random.key_impl(x))
        x = np.asarray(x)
        if x.dtype == bool:
            return ~x
        return (x + rng.uniform(1, 9, x.shape)).astype(x.dtype) if x.dtype.kind == "f" else x + x.dtype.type(3)

    return jax.tree.map(leaf, state)


def put_back(folder, env, learner, start, environment=None):
    """(the state saved, the state that ``restore`` makes of it, what it says)."""
    saved = elsewhere(start)
    save_checkpoint(
        folder / "checkpoints",
        header(env.observation_space, env.action_space, SMALL),
        Snapshot(saved, environment, {"rows": 3}, 4, 400, None),
    )
    found, tensors = find_checkpoint(folder, read=(POLICY, STATE))
    progress, environment = progress_of(found, tensors)
    point = ResumePoint(found.path, found.manifest, tensors, progress, environment)
    # The number of updates is the only one that comes from the settings: the steps may be others.
    updates = {"updates": start.hyperparameters["updates"]}
    expected = saved._replace(hyperparameters=saved.hyperparameters | updates)
    return expected, *restore(point, env, learner, SMALL, start)


def assert_same(saved, state):
    for (name, x), (other, y) in zip(named_leaves(saved).items(), named_leaves(state).items(), strict=True):
        assert (name, x.dtype) == (other, y.dtype)
        np.testing.assert_array_equal(x, y, err_msg=name)


@pytest.fixture(scope="module")
def started():
    """Each kind of environment with its learner and the first state."""
    found = {}
    for name, env in (("inside", probe.matching()), ("kept", Kept(6)), ("walk", Walk(6))):
        policy = make_policy(env.observation_space, env.action_space, SMALL.ppo)
        learner = make_multi_seed_learner(env, policy, SMALL)
        found[name] = env, learner, learner.init()
    return found


@pytest.mark.process
@pytest.mark.trap(35)
@pytest.mark.parametrize("kind", ["inside", "kept"])
def test_every_part_of_a_state_is_put_back(kind, started, tmp_path):
    env, learner, start = started[kind]
    environment = None
    if kind == "kept":
        for _ in range(5):
            env.step(np.zeros(6, int))
        environment = env.get_state()
        env.reset(range(6))
    saved, state, how = put_back(tmp_path, env, learner, start, environment)
    assert_same(saved, state)
    assert how == "resumed at 400 steps, exactly"
    if kind == "kept":
        again = env.get_state()
        assert again["rngs"] == environment["rngs"]
        np.testing.assert_array_equal(again["obs"], environment["obs"])
        np.testing.assert_array_equal(again["left"], environment["left"])


@pytest.mark.process
@pytest.mark.trap(35)
def test_where_environments_cannot_be_saved_they_alone_start_afresh_on_other_starts(started, tmp_path):
    env, learner, start = started["walk"]
    first_starts = start.rollout.obs.copy()  # the environment's own buffer
    saved, state, how = put_back(tmp_path, env, learner, start)
    fresh = state.rollout
    assert fresh.first.all()
    assert np.unique(fresh.obs.reshape(6, 3), axis=0).shape == (6, 3)
    assert not np.isin(fresh.obs, first_starts).any()  # else the run would see its first episodes again
    for zero in (fresh.episode_return, fresh.episode_length, state.reward_scale.discounted_return):
        np.testing.assert_array_equal(zero, np.zeros((2, 3)))
    assert how == "resumed at 400 steps; the environments' state was not saved: new episodes start"
    scale = state.reward_scale._replace(discounted_return=saved.reward_scale.discounted_return)
    assert_same(saved, state._replace(rollout=saved.rollout, reward_scale=scale))


@pytest.mark.trap(36)
@pytest.mark.parametrize("resume", [True, "auto"])
def test_a_run_whose_checkpoints_are_all_damaged_never_starts_from_scratch(resume, tmp_path, capsys):
    config = replace(CONFIG, env="probe:matching")
    save_checkpoint(tmp_path / "checkpoints", header(config=config), snapshot(*arrays()[1:], update=1))
    write_json(tmp_path / "config.json", config.to_json())
    damaged = bytearray(newest(tmp_path, STATE).read_bytes())
    damaged[-1] ^= 1
    newest(tmp_path, STATE).write_bytes(damaged)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*s*") if path.is_file()}
    with pytest.raises(
        CheckpointError, match=r"no checkpoint of .* can be used: .*state\.safetensors is damaged"
    ) as caught:
        run(config, out=tmp_path, resume=resume, quiet=True)
    assert caught.value.code == 4
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*s*") if path.is_file()} == before
    assert "from the beginning" not in capsys.readouterr().err


HOST = {**TINY, "num_envs": 4, "seeds": 2, "steps": 4 * 32}


@pytest.mark.slow
@pytest.mark.trap(35)
def test_where_environments_cannot_be_saved_all_else_is_equal_and_the_run_says_so(tmp_path, capsys):
    def two(rows):
        return rows[0]["update"] == 2

    proximax.train(Walk(8), out=tmp_path, callbacks=[two], **HOST)
    before, logs = rows_of(tmp_path / "metrics.jsonl"), []
    found, arrays = find_checkpoint(tmp_path, read=(POLICY, STATE))
    assert found.manifest["environment"] is None
    seen = []

    class Looks(Walk):  # but by name the same environment
        def send(self, action):
            super().send(action)
            if not seen:
                seen.append(self.obs.copy())

    Looks.__name__ = Looks.__qualname__ = "Walk"

    def raises(rows):
        logs.extend(rows)
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        proximax.train(Looks(8), out=tmp_path, resume=True, callbacks=[raises], **HOST | {"quiet": False})
    assert "resumed at 64 steps; the environments' state was not saved" in capsys.readouterr().err
    assert rows_of(tmp_path / "metrics.jsonl")[:4] == before
    assert [row["update"] for row in logs] == [3, 3]
    assert [row["steps"] for row in logs] == [96, 96]
    # Episodes counted after it began in it: none is longer than the eight steps of this rollout.
    assert all(row["episode_length"] <= 8 for row in logs)
    assert seen[0].shape == (8, 3)
    assert not np.array_equal(arrays[".rollout.obs"].reshape(8, 3), seen[0])
    assert np.unique(seen[0], axis=0).shape == (8, 3)  # each environment its own start


class Crashes(gymnasium.Env):
    """Noise; raises now and then, but not when it is tried out. Its state can be had."""

    observation_space, action_space = OBS, spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.sound = seed == 0 if seed is not None else self.sound
        return self.np_random.normal(size=3).astype(np.float32), {}

    def step(self, action):
        if not self.sound and self.np_random.random() < 0.1:
            raise OSError("gone")
        obs = self.np_random.normal(size=3).astype(np.float32)
        return obs, float(obs[0]) * action, bool(obs[1] > 1.5), False, {}

    def get_state(self):
        return {"sound": self.sound}

    def set_state(self, state):
        self.sound = state["sound"]


@pytest.mark.slow
@pytest.mark.trap(35)
def test_restarts_of_environments_are_counted_on_and_the_new_ones_are_those_of_the_run_in_one(tmp_path):
    how = TINY | {"env_restarts": 100, "checkpoint_every": "16", "keep_checkpoints": 9}
    whole = proximax.train(Crashes, out=tmp_path / "whole", **how)
    first = proximax.train(Crashes, out=tmp_path / "parts", **how, callbacks=[lambda rows: rows[0]["update"] == 3])
    parts = proximax.train(Crashes, out=tmp_path / "parts", resume=True, **how)
    assert 0 < first.restarts < whole.restarts == parts.restarts
    assert json.loads((tmp_path / "parts" / "result.json").read_text())["restarts"] == whole.restarts
    assert parts.notes == ["resumed at 48 steps, exactly", *whole.notes]
    assert newest(tmp_path / "whole", POLICY).read_bytes() == newest(tmp_path / "parts", POLICY).read_bytes()
    assert rows_of(tmp_path / "whole" / "metrics.jsonl") == rows_of(tmp_path / "parts" / "metrics.jsonl")
    again = how | {"steps": 16 * 12, "env_restarts": whole.restarts}
    with pytest.raises(EnvError, match="OSError: gone"):  # there are no more left
        proximax.train(Crashes, out=tmp_path / "parts", resume=True, **again)


@pytest.mark.slow
def test_environments_that_start_afresh_have_nothing_of_the_episodes_cut(tmp_path, monkeypatch):
    from proximax import train as train_module

    given = []
    real = train_module.__globals__["restore"]

    def spy(*arguments):
        given.append(real(*arguments)[0])
        return given[-1], "resumed"

    proximax.train(Walk(8), out=tmp_path, **HOST)
    _, arrays = find_checkpoint(tmp_path, read=(POLICY, STATE))
    monkeypatch.setitem(train_module.__globals__, "restore", spy)
    proximax.train(Walk(8), out=tmp_path, resume=True, **HOST)
    state = given[0]
    assert state.rollout.first.all()
    assert state.rollout.first.shape == (2, 4)
    for zero in (state.rollout.episode_return, state.rollout.episode_length, state.reward_scale.discounted_return):
        np.testing.assert_array_equal(zero, np.zeros((2, 4)))
    assert np.abs(arrays[".reward_scale.discounted_return"]).min() > 0  # it was not 0 before
    fresh = (".rollout", ".reward_scale.discounted_return")
    kept = {name: x for name, x in named_leaves(state).items() if not name.startswith(fresh)}
    assert {".key", ".update", ".beta", ".learning_rate", ".params['log_std']"} & set(kept) >= {".key", ".update"}
    for name, x in kept.items():
        np.testing.assert_array_equal(x, arrays[name], err_msg=name)
    assert {name for name in arrays if name.startswith(".") and not name.startswith(fresh)} == set(kept)


@pytest.mark.parametrize("name", MAY_CHANGE)
def test_what_may_change_is_no_difference(name):
    other = {"preset": "pong", "eval_stochastic": True, "checkpoint_every": "end", "stop_at_return": 3.5}.get(name, 7)
    assert differences(CONFIG, replace(CONFIG, **{name: other})) == []


@pytest.mark.fault(19)
def test_every_other_setting_that_differs_is_named_with_both_values():
    asked = replace(CONFIG, seeds=4, algo="penalty", ppo=PPOConfig(hidden=(8,), gamma=0.5))
    assert differences(CONFIG, asked) == [
        "algo = 'clip' there, 'penalty' asked for",
        "seeds = 3 there, 4 asked for",
        "ppo.gamma = 0.99 there, 0.5 asked for",
        "ppo.hidden = [4] there, [8] asked for",
    ]
    assert differences(CONFIG, replace(CONFIG, ppo=PPOConfig(hidden=[4]))) == []  # a list is as good as a tuple


@pytest.mark.fault(18)
def test_another_environment_or_network_is_named_field_by_field():
    box = {"kind": "Box", "shape": [4], "low": "-inf"}
    spaces = {"observation_space": box, "action_space": {"kind": "Discrete", "shape": [2]}, "network": "built-in"}
    found = ResumePoint(Path("run/checkpoints/step-000000000096"), spaces, {"": np.zeros(99)}, {}, None)
    check_same(found, spaces, OBS, CONFIG)
    other = spaces | {"observation_space": {**box, "shape": [8]}}
    with pytest.raises(CheckpointError, match=r"its observation_space has shape: \[4\] there, \[8\] here"):
        check_same(found, other, OBS, CONFIG)
    with pytest.raises(CheckpointError, match=r"'built-in' there, 'own' here. Pass the network it was trained with"):
        check_same(found, spaces | {"network": "own"}, OBS, CONFIG)


@pytest.mark.slow
@pytest.mark.fault(19)
def test_a_resume_that_may_not_be_leaves_the_run_as_it_was(tmp_path):
    run = tmp_path / "run"
    settings = {**TINY, "steps": 16}
    proximax.train("probe:matching", out=run, **settings)

    def files():
        return {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}

    before = files()
    for bad, message in (
        ({"learning_rate": 0.5}, r"ppo\.learning_rate = 0\.0003 there, 0\.5 asked for.*Only these may change: steps"),
        ({"env": "probe:observed"}, r"env = 'probe:matching' there"),
        ({"network": proximax.mlp(2, (4,))}, "is of another network"),
    ):
        with pytest.raises(CheckpointError, match=message) as caught:
            proximax.train(**{"env": "probe:matching", "out": run, "resume": True, **settings, **bad})
        assert caught.value.code == 4
        assert files() == before
    longer = proximax.train("probe:matching", out=run, resume=True, **settings | {"steps": 32})
    assert longer.history[-1]["update"] == 2
    with pytest.raises(CheckpointError, match=r"steps = 16, but .* has 32 already: give more"):
        proximax.train("probe:matching", out=run, resume=True, **settings)
    again = proximax.train("probe:matching", out=run, resume=True, **settings | {"steps": 32})  # nothing left to do
    np.testing.assert_array_equal(again.evaluation.returns, longer.evaluation.returns)
    assert [row["update"] for row in again.history] == [1, 2]
    assert "nothing left to do, it has all 32 steps: resumed at 32 steps, exactly" in again.notes
    assert not any("nothing left" in note for note in longer.notes)
    jax.tree.map(np.testing.assert_array_equal, again.agents[0].params, longer.agents[0].params)


@pytest.mark.slow
@pytest.mark.trap(25)
def test_a_run_resumed_with_more_steps_is_annealed_over_all_of_them(tmp_path):
    tiny = {"num_envs": 2, "num_steps": 8, "minibatch_size": 8, "epochs": 1, "hidden": (4,), "eval_episodes": 2}
    tiny |= {"learning_rate": 1e-3, "preset": "none", "quiet": True, "out": tmp_path}
    proximax.train("probe:matching", steps=2 * 16, **tiny)
    result = proximax.train("probe:matching", steps=4 * 16, resume=True, **tiny)
    assert [row["learning_rate"] for row in result.history] == pytest.approx([1e-3, 0.5e-3, 0.5e-3, 0.25e-3])


@pytest.mark.slow
@pytest.mark.fault(23)
def test_there_must_be_something_to_resume_unless_auto_is_said(tmp_path):
    settings = {**TINY, "steps": 16}
    with pytest.raises(CheckpointError, match=r"holds no run to resume: there is none of config\.json, "):
        proximax.train("probe:matching", out=tmp_path / "run", resume=True, **settings)
    assert not (tmp_path / "run").exists()
    result = proximax.train("probe:matching", out=tmp_path / "run", resume="auto", **settings)
    assert result.history[-1]["update"] == 1
    result = proximax.train("probe:matching", out=tmp_path / "run", resume="auto", **settings | {"steps": 32})
    assert [row["update"] for row in result.history] == [1, 2]
