"""The run directory, its lock, and what is written there. Faults 24, 25, 29, 39."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import proximax
from proximax.errors import StorageError, UsageError
from proximax.evaluation.evaluator import Evaluation
from proximax.loggers.run_logger import RunLogger
from proximax.runs.directory import EVALUATIONS_FILE, METRICS_FILE, RunDirectory
from tests.support.saved_runs import CONFIG, TINY


def metrics(steps=32.0):
    found = {"episodes": 1.0, "return_sum": 2.0, "length_sum": 3.0, "steps": steps, "finite": 1.0}
    return {name: np.full(3, x) for name, x in found.items()}


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_directory_that_holds_a_run_or_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("{}")
    with pytest.raises(StorageError, match=r"already holds a run: .* resume it: --resume") as caught:
        proximax.train("probe:matching", out=tmp_path / "old", **TINY)
    assert caught.value.code == 5
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write to"):
        proximax.train("probe:matching", out=tmp_path / "file" / "run", **TINY)
    kept = RunDirectory(tmp_path / "old2" / "deep")
    kept.discard()
    assert not (tmp_path / "old2").exists()


@pytest.mark.process
@pytest.mark.fault(29)
def test_two_processes_never_share_a_directory(tmp_path):
    first = RunDirectory(tmp_path / "run")
    with pytest.raises(StorageError, match=f"in use by another process .*{os.getpid()}") as caught:
        RunDirectory(tmp_path / "run")
    assert caught.value.code == 5
    lock = "import sys, pathlib, proximax.runs.directory as r; r.RunDirectory(pathlib.Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", lock, tmp_path / "run"], capture_output=True, text=True, timeout=120)
    assert "in use by another process" in other.stderr
    assert (tmp_path / "run").exists()  # the one that was refused has removed nothing
    first.close()
    RunDirectory(tmp_path / "run").close()  # what a process that has ended held is free


@pytest.mark.fault(29)
def test_a_start_that_fails_removes_nothing_that_another_run_has_come_to_use(tmp_path):
    failing = RunDirectory(tmp_path / "runs" / "a")
    other = RunDirectory(tmp_path / "runs" / "b")
    failing.discard()
    assert not (tmp_path / "runs" / "a").exists()
    assert (tmp_path / "runs" / "b" / ".lock").exists()
    other.discard()
    assert (tmp_path / "runs").exists()  # it was not this one's


@pytest.mark.fault(29)
def test_a_start_that_fails_while_another_run_begins_in_the_same_place_removes_nothing(tmp_path, monkeypatch):
    """Both come upon a place that is not there, one makes it, the other is quicker with the rest, its probe too."""
    make, others = RunDirectory._create, []

    def overtaken(self, folder):
        make(self, folder)
        if not others:
            others.append(None)
            others.append(RunDirectory(tmp_path / "run"))

    def removed(path, missing_ok=False):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(RunDirectory, "_create", overtaken)
    real = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path: removed(path) if others[1:] else real(path))
    with pytest.raises(StorageError, match="in use by another process"):
        RunDirectory(tmp_path / "run")
    assert (tmp_path / "run" / ".lock").exists()


def test_a_place_without_room_for_the_first_file_is_left_as_it_was(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(StorageError, match=r"cannot write to .*\.lock: No space left"):
        RunDirectory(tmp_path / "runs" / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(24)
def test_a_start_that_the_disk_refuses_leaves_the_place_free(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"cannot write to .*config\.json: No space left"):
            proximax.train("probe:matching", out=tmp_path / "run", **TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(38)
def test_a_pipe_in_the_place_of_a_log_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / METRICS_FILE)
    with pytest.raises(StorageError, match=r"metrics\.jsonl is neither a file nor a folder"):
        RunDirectory(tmp_path)


@pytest.mark.fault(39)
@pytest.mark.parametrize(
    "name", ["..", "a b", "<script>", "=cmd()", "-x", ".hidden", "a" * 101, "ü", "\x1b[31m", "a\n"]
)
def test_a_name_that_something_would_take_for_something_else_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="the run's name"):
        RunDirectory(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(39)
def test_a_lock_that_is_a_link_is_refused_and_what_it_names_untouched(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError, match=r"\.lock is a symbolic link, which is not followed"):
        RunDirectory(tmp_path / "run")
    assert (tmp_path / "precious").read_text() == "kept"


def test_logs_go_on_where_the_checkpoint_has_them(tmp_path):
    config = replace(CONFIG, eval_every=10)
    directory = RunDirectory(tmp_path / "run")
    first = RunLogger(config, directory, "quiet")
    for i in range(3):
        first.write(metrics(), float(i))
    evaluation = Evaluation(np.array([[1.0, 3.0], [np.nan, 2.0], [5.0, 5.0]]), np.ones((3, 2)), (5, 6, 7))
    first.write_evaluation(evaluation)
    saved = first.state
    first.write(metrics(), 3.0)  # beyond the checkpoint
    first.write_evaluation(evaluation)
    first.finish({"it": "ended"})
    first.close()
    (tmp_path / "run" / "error.log").write_text("how it ended before that")
    again = RunLogger(config, directory, "quiet", saved=saved)
    for ending in ("result.json", "error.log"):
        assert not (tmp_path / "run" / ending).exists()
    assert [row["update"] for row in again.rows] == np.repeat([1, 2, 3], 3).tolist()
    again.write(metrics(), 9.0)
    again.close()
    found = rows(tmp_path / "run" / METRICS_FILE)
    assert found == again.rows
    assert [(row["update"], row["seed"], row["steps"]) for row in found[-3:]] == [(4, seed, 128) for seed in (5, 6, 7)]
    assert rows(tmp_path / "run" / EVALUATIONS_FILE) == [
        {"update": 3, "seed": seed, "steps": 96, "return_mean": mean, "episodes": 2}
        for seed, mean in ((5, 2.0), (6, None), (7, 5.0))
    ]


def test_evaluations_reach_tensorboard_and_the_final_one_is_in_no_file(tmp_path):
    run_logger = RunLogger(CONFIG, RunDirectory(tmp_path / "run"), "quiet")
    run_logger.write(metrics(), 0.0)
    evaluation = Evaluation(np.array([[1.0, 3.0], [np.nan, 2.0], [5.0, 5.0]]), np.ones((3, 2)), (5, 6, 7))
    run_logger.write_evaluation(evaluation)
    run_logger.write_final_evaluation(evaluation)
    run_logger.close()
    assert not (tmp_path / "run" / EVALUATIONS_FILE).exists()  # neither eval_every nor stop_at_return
    curves = {}
    for seed in (5, 6, 7):
        events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / f"seed-{seed}")).Reload()
        tags = sorted(tag for tag in events.Tags()["scalars"] if tag.startswith("eval/"))
        curves[seed] = {tag: [(x.step, x.value) for x in events.Scalars(tag)] for tag in tags}
    both = ("eval/final_return_mean", "eval/return_mean")
    assert curves == {5: {tag: [(32, 2.0)] for tag in both}, 6: {}, 7: {tag: [(32, 5.0)] for tag in both}}


def test_rows_that_the_checkpoint_knows_of_and_the_log_lost_are_told_and_the_run_goes_on(tmp_path, capsys):
    directory = RunDirectory(tmp_path / "run")
    first = RunLogger(CONFIG, directory, "quiet")
    first.write(metrics(), 0.0)
    saved = first.state
    first.close()
    whole = rows(tmp_path / "run" / METRICS_FILE)
    (tmp_path / "run" / METRICS_FILE).write_bytes((tmp_path / "run" / METRICS_FILE).read_bytes()[:-10])
    again = RunLogger(CONFIG, directory, "quiet", saved=saved)
    assert "metrics.jsonl lacks 10 bytes that were written: those rows are lost" in capsys.readouterr().err
    assert again.rows == whole[:-1]  # of the three seeds' rows the last one, cut in two
    again.write(metrics(), 1.0)
    again.close()
    assert [row["update"] for row in rows(tmp_path / "run" / METRICS_FILE)] == [1, 1, 2, 2, 2]


@pytest.mark.fault(24)
def test_a_disk_that_refuses_the_first_file_or_the_result_is_a_storage_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    directory = RunDirectory(tmp_path / "run")
    recorder = RunLogger(CONFIG, directory, "quiet")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write to .*result\.json: No space left"):
        recorder.finish({})
    with pytest.raises(StorageError, match=r"cannot write to .*config\.json: No space left"):
        RunLogger(CONFIG, directory, "quiet")
