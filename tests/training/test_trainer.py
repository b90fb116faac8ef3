"""Runs that are saved as they go, and however they end. Faults 7, 8, 24, 26-28, 46."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

import proximax
from proximax.envs import probe
from proximax.errors import EnvError, Interrupted, NumericalError, StorageError
from proximax.runs import checkpoint_manager
from proximax.runs.checkpoint import POLICY, STATE, checkpoint_names, find_checkpoint
from proximax.training import periodic_evaluation
from tests.support.exact_runs import Kept, Walk
from tests.support.saved_runs import TINY, newest, rows_of

ENV = "probe:matching"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run saved at its end alone."""
    run = tmp_path_factory.mktemp("runs") / "plain"
    proximax.train(ENV, out=run, checkpoint_every="end", **TINY)
    return run


@pytest.mark.slow
def test_saving_beside_training_changes_nothing_that_is_learned(plain, tmp_path):
    proximax.train(ENV, out=tmp_path / "run", checkpoint_every="16", keep_checkpoints=9, **TINY)
    for file in (POLICY, STATE):
        assert newest(tmp_path / "run", file).read_bytes() == newest(plain, file).read_bytes()
    assert rows_of(tmp_path / "run" / "metrics.jsonl") == rows_of(plain / "metrics.jsonl")
    assert len(checkpoint_names(plain / "checkpoints")) == 1
    # A save that is under way when the next is due takes its place.
    assert 2 <= len(checkpoint_names(tmp_path / "run" / "checkpoints")) <= 6


@pytest.mark.slow
def test_a_run_that_reached_its_goal_ends_again_by_it_and_goes_on_to_another(tmp_path):
    settings = TINY | {"eval_every": 32, "steps": 16 * 8}
    low = proximax.train(ENV, out=tmp_path, stop_at_return=-1e9, **settings)
    assert (low.stopped_by, low.history[-1]["update"]) == ("stop_at", 2)
    again = proximax.train(ENV, out=tmp_path, resume=True, stop_at_return=-1e9, **settings)
    assert (again.stopped_by, again.history[-1]["update"]) == ("stop_at", 2)
    np.testing.assert_array_equal(low.evaluation.returns, again.evaluation.returns)
    on = proximax.train(ENV, out=tmp_path, resume=True, stop_at_return=1e9, **settings)
    assert (on.stopped_by, on.history[-1]["update"]) == ("steps", 8)
    assert [row["update"] for row in rows_of(tmp_path / "evaluations.jsonl")] == [2, 4, 6, 8]
    best = find_checkpoint(tmp_path, "best")[0].manifest
    means = [
        json.loads(path.read_text())["evaluation"] for path in (tmp_path / "checkpoints").glob("step-*/manifest.json")
    ]
    assert best["evaluation"] == max(means)


@pytest.mark.slow
@pytest.mark.fault(27)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_training_saves_and_raises(plain, tmp_path, monkeypatch, number, code):
    told = threading.Event()
    monkeypatch.setattr("proximax.training.interrupts.SIGNALS.warning", lambda text: told.set())

    def at_two(rows):
        if rows[0]["update"] == 2:
            os.kill(os.getpid(), number)
            assert told.wait(60)  # for the thread that reads it

    with pytest.raises(Interrupted) as caught:
        proximax.train(ENV, out=tmp_path / "run", callbacks=[at_two], **TINY)
    assert caught.value.code == code
    update = find_checkpoint(tmp_path / "run")[0].manifest["update"]
    assert update == len(rows_of(tmp_path / "run" / "metrics.jsonl")) == 2
    assert not (tmp_path / "run" / "error.log").exists()
    assert not (tmp_path / "run" / "result.json").exists()
    proximax.train(ENV, out=tmp_path / "run", resume=True, **TINY)
    for file in (POLICY, STATE):
        assert newest(tmp_path / "run", file).read_bytes() == newest(plain, file).read_bytes()


@pytest.mark.slow
@pytest.mark.fault(27)
def test_a_signal_cuts_the_final_evaluation_short_and_resuming_makes_it_again(tmp_path, monkeypatch):
    from proximax import train as function

    def evaluation(*_):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
        pytest.fail("it went on")

    real = function.__globals__["final_evaluation"]
    monkeypatch.setitem(function.__globals__, "final_evaluation", evaluation)
    with pytest.raises(Interrupted) as caught:
        proximax.train(ENV, out=tmp_path / "run", **TINY | {"steps": 16})
    assert caught.value.code == 130
    assert checkpoint_names(tmp_path / "run" / "checkpoints") == ["step-000000000016"]  # saved before
    assert not (tmp_path / "run" / "result.json").exists()
    monkeypatch.setitem(function.__globals__, "final_evaluation", real)
    again = proximax.train(ENV, out=tmp_path / "run", resume=True, **TINY | {"steps": 16})
    assert [row["update"] for row in again.history] == [1]
    assert (tmp_path / "run" / "result.json").exists()


def ends_the_second(monkeypatch, end):
    """Let the second evaluation of a run call ``end``."""
    real, calls = periodic_evaluation.evaluate_seeds, []

    def evaluation(*arguments):
        calls.append(arguments)
        return end() if len(calls) == 2 else real(*arguments)

    monkeypatch.setattr(periodic_evaluation, "evaluate_seeds", evaluation)


@pytest.mark.slow
@pytest.mark.fault(28)
def test_a_signal_cuts_an_evaluation_of_a_run_short_and_all_that_was_learned_is_saved(tmp_path, monkeypatch):
    settings = TINY | {"eval_every": 32, "checkpoint_every": "end"}
    proximax.train(ENV, out=tmp_path / "whole", **settings)

    def signalled():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
        pytest.fail("it went on")

    with monkeypatch.context() as patch:
        ends_the_second(patch, signalled)
        with pytest.raises(Interrupted):
            proximax.train(ENV, out=tmp_path / "run", **settings)
    manifest = find_checkpoint(tmp_path / "run")[0].manifest
    assert (manifest["update"], manifest["evaluation"]) == (4, None)
    assert [row["update"] for row in rows_of(tmp_path / "run" / "evaluations.jsonl")] == [2]
    proximax.train(ENV, out=tmp_path / "run", resume=True, **settings)
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        assert rows_of(tmp_path / "run" / name) == rows_of(tmp_path / "whole" / name)


@pytest.mark.slow
def test_an_evaluation_that_fails_leaves_no_checkpoint_with_the_return_of_the_one_before(tmp_path, monkeypatch):
    def fails():
        raise EnvError("the evaluation's environment")

    ends_the_second(monkeypatch, fails)
    with pytest.raises(EnvError, match="the evaluation's environment"):
        proximax.train(ENV, out=tmp_path, eval_every=32, **TINY)
    manifests = [json.loads(x.read_text()) for x in sorted(tmp_path.glob("checkpoints/step-*/manifest.json"))]
    assert [x["update"] for x in manifests] == [2, 4]
    assert manifests[0]["evaluation"] is not None
    assert manifests[1]["evaluation"] is None
    assert find_checkpoint(tmp_path, "best")[0].manifest["update"] == 2


def nan_reward(update):
    """A JAX environment whose rewards are no numbers from the given update on; its state counts the steps."""
    env = probe.matching()

    def reset(key):
        state, obs = env.reset(key)
        return (state, jnp.zeros((), jnp.int32)), obs

    def step(key, state, action):
        inner, s = env.step(key, state[0], action)
        reward = jnp.where(state[1] >= 8 * (update - 1), jnp.nan, s.reward)
        return (inner, state[1] + 1), s._replace(reward=reward)

    return env._replace(reset=reset, step=step)


@pytest.mark.slow
@pytest.mark.fault(8)
def test_the_state_before_a_bad_update_is_saved_with_the_rollout_that_shows_it(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(NumericalError, match=r"update 4 of seed 0, at 64 steps: the reward is not finite: nan"):
        proximax.train(nan_reward(4), out=run, seeds=2, **TINY)
    found, arrays = find_checkpoint(run, read=(POLICY, STATE))
    assert found.manifest["update"] == 3
    assert arrays[".update"].tolist() == [3, 3]
    assert all(np.isfinite(x).all() for name, x in arrays.items() if name.startswith((".params", ".opt_state")))
    with np.load(run / "crash" / "rollout.npz") as rollout:
        assert rollout["reward"].shape == (8, 2, 2)
        assert np.isnan(rollout["reward"]).all()
        assert np.isfinite(rollout["obs"]).all()
    told = json.loads((run / "crash" / "crash.json").read_text())
    assert told["kind"] == "NumericalError"
    assert told["steps"] == 48  # what was learned, and saved
    assert "NumericalError" in (run / "error.log").read_text()
    assert len(rows_of(run / "metrics.jsonl")) == 8  # the bad update's rows too
    with pytest.raises(NumericalError, match="update 4 of seed 0"):  # it goes on to the same fault
        proximax.train(nan_reward(4), out=run, seeds=2, resume=True, **TINY)
    assert len(rows_of(run / "metrics.jsonl")) == 8


@pytest.mark.slow
@pytest.mark.fault(7)
def test_of_a_host_environment_what_was_saved_before_with_its_state_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(
        checkpoint_manager.CheckpointManager, "_busy", lambda _: False
    )  # none is left out, however slow the disk

    class Bad(Kept):
        def receive(self):
            s = super().receive()
            self.count = getattr(self, "count", 0) + 1
            return s._replace(reward=s.reward * np.nan) if self.count == 8 * 3 - 2 else s

    run, how = tmp_path / "run", TINY | {"num_envs": 4, "steps": 6 * 32}
    with pytest.raises(NumericalError, match="the reward is not finite: nan"):
        proximax.train(Bad(4), out=run, checkpoint_every="32", **how)
    manifest = find_checkpoint(run)[0].manifest
    assert (manifest["update"], manifest["environment"] is None) == (2, False)
    with np.load(run / "crash" / "rollout.npz") as rollout:
        assert np.argwhere(np.isnan(rollout["reward"]))[:, 0].tolist() == [5] * 4
    first = shutil.copytree(run, tmp_path / "again")
    Bad.receive = Kept.receive
    exact = proximax.train(Bad(4), out=first, checkpoint_every="32", resume=True, **how)
    assert exact.notes == ["resumed at 64 steps, exactly"]


@pytest.mark.trap(35)
def test_environments_that_have_gone_on_since_are_not_saved_with_the_state_before(tmp_path):
    """The bad update took their steps; the state that is saved is of before it."""

    class Bad(Kept):
        def receive(self):
            s = super().receive()
            return s._replace(reward=s.reward * np.nan)

    with pytest.raises(NumericalError, match="the reward is not finite: nan"):
        proximax.train(Bad(4), out=tmp_path / "run", **TINY | {"num_envs": 4})
    manifest = find_checkpoint(tmp_path / "run")[0].manifest
    assert (manifest["update"], manifest["environment"]) == (0, None)


@pytest.mark.slow
def test_a_fault_of_a_callback_is_kept_with_the_environments_state(tmp_path):
    def fails(rows):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        proximax.train(Kept(4), out=tmp_path / "run", callbacks=[fails], **TINY | {"num_envs": 4})
    manifest = find_checkpoint(tmp_path / "run")[0].manifest
    assert (manifest["update"], manifest["environment"] is None) == (1, False)
    assert "LookupError: mine" in (tmp_path / "run" / "error.log").read_text()


def test_environments_that_cannot_be_asked_after_a_fault_do_not_hide_it(tmp_path, capsys):
    class Gone(Walk):
        def get_state(self):
            raise BrokenPipeError("gone")

    def fails(rows):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        proximax.train(Gone(4), out=tmp_path / "run", callbacks=[fails], **TINY | {"num_envs": 4})
    assert "could not save after LookupError: gone" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.fault(24)
def test_a_disk_that_is_full_to_the_end_fails_with_code_5_and_trains_on(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_manager, "save_checkpoint", full)
    with pytest.raises(StorageError, match="the last checkpoint could not be saved") as caught:
        proximax.train(ENV, out=tmp_path / "run", **TINY)
    assert caught.value.code == 5
    assert len(rows_of(tmp_path / "run" / "metrics.jsonl")) == 6
    assert "Training continues and will try again" in capsys.readouterr().err


COMMAND = [
    *("train", ENV, "--preset", "none", "--steps", "640000", "--num-envs", "2", "--ppo.num-steps", "8"),
    *("--ppo.minibatch-size", "8", "--ppo.epochs", "1", "--ppo.hidden", "4", "--eval-episodes", "2", "--quiet"),
]


def command(arguments, **how):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "-m", "proximax.cli", *arguments], env=environment, stderr=subprocess.PIPE, text=True, **how
    )


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.fault(26)
def test_a_run_killed_goes_on_by_the_command_line_and_stops_by_ctrl_c(tmp_path):
    run = tmp_path / "run"
    process = command([*COMMAND, "--out", str(run), "--checkpoint-every", "160"])
    until = time.monotonic() + 300
    while len(checkpoint_names(run / "checkpoints")) < 2 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    _, told = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, told
    killed = find_checkpoint(run)[0].manifest["update"]
    assert killed > 0
    process = command(["train", "--resume", str(run), "--checkpoint-every", "160"])
    while (
        find_checkpoint(run)[0].manifest["update"] < killed + 10 and time.monotonic() < until and process.poll() is None
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert f"resumed at {killed * 16:,} steps, exactly" in told
    assert f"next: proximax train --resume {run}" in told
    updates = [row["update"] for row in rows_of(run / "metrics.jsonl")]
    assert updates == list(range(1, len(updates) + 1))
    assert find_checkpoint(run)[0].manifest["update"] == len(updates)


@pytest.mark.slow
@pytest.mark.fault(46)
@pytest.mark.parametrize("deleted", [False, True])
def test_a_directory_that_is_moved_or_deleted_ends_the_run_and_is_not_split(deleted, tmp_path):
    run = tmp_path / "run"

    def move(rows):
        if rows[0]["update"] == 5:  # the checkpoint after the third is whole by then
            shutil.rmtree(run) if deleted else run.rename(tmp_path / "moved")

    with pytest.raises(StorageError, match="was renamed or deleted while the run was using it"):
        proximax.train(ENV, out=run, checkpoint_every="end" if deleted else "16", callbacks=[move], **TINY)
    assert not run.exists()
    assert [path.name for path in tmp_path.iterdir()] == ([] if deleted else ["moved"])
    if not deleted:
        result = proximax.train(ENV, out=tmp_path / "moved", resume=True, checkpoint_every="16", **TINY)
        assert [row["update"] for row in result.history] == [1, 2, 3, 4, 5, 6]


class OwnIdea(Kept):
    def get_state(self):
        raise EnvError("the environment's state cannot be saved: it is a Board")


@pytest.mark.slow
@pytest.mark.fault(53)
def test_a_state_that_cannot_be_saved_is_noted_once_and_ends_no_run(tmp_path):
    settings = TINY | {"num_envs": 4, "steps": 4 * 32, "checkpoint_every": "32"}
    result = proximax.train(OwnIdea(4), out=tmp_path / "run", **settings)
    note = "the environment's state cannot be saved: it is a Board. It is not saved: a resumed run starts new episodes"
    assert result.notes.count(note) == 1
    assert json.loads((tmp_path / "run" / "result.json").read_text())["notes"] == result.notes
    assert find_checkpoint(tmp_path / "run")[0].manifest["environment"] is None
    resumed = proximax.train(OwnIdea(4), out=tmp_path / "run", resume=True, **settings | {"steps": 5 * 32})
    assert any("new episodes start" in each for each in resumed.notes)
