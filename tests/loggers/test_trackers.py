"""W&B and trackio: by a stand-in with their interface, and W&B itself without a network."""

import json
import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from proximax.errors import CheckpointError
from proximax.loggers.base import LoggedRun
from proximax.loggers.trackers import ID_FILE, TrackerLogger, run_identity
from tests.support import ROOT
from tests.support.metric_rows import CONFIG, rows


class StandIn:
    """What ``wandb`` and ``trackio`` have in common, which remembers what it was told."""

    def __init__(self):
        self.begun, self.logged, self.finished, self.broken = [], [], 0, False

    def module(self):
        return SimpleNamespace(init=self.init, Settings=dict, Video=lambda path, format: ("video", path, format))

    def init(self, **arguments):
        print("hello from the tracker")
        number = len(self.begun)
        self.begun.append(arguments)
        return SimpleNamespace(
            log=lambda values: self.log(number, values),
            finish=self.finish,
            define_metric=lambda name, step_metric: None,
        )

    def log(self, number, values):
        if self.broken:
            raise ConnectionError("no route to host")
        self.logged.append((number, values))

    def finish(self):
        self.finished += 1


@pytest.fixture(params=["wandb", "trackio"])
def tracker(request, monkeypatch):
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, request.param, stand_in.module())
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    stand_in.name = request.param
    return stand_in


def test_each_seed_is_a_run_of_the_group_with_its_settings_and_numbers_at_their_steps(tracker, tmp_path, capsys):
    log = TrackerLogger(tracker.name, LoggedRun(CONFIG, tmp_path))
    log.write(rows(1, score=None))
    log.write_evaluation(
        [{"seed": 3, "steps": 8, "return_mean": 2.0}, {"seed": 4, "steps": 8, "return_mean": None}], False
    )
    log.write_evaluation(
        [{"seed": 3, "steps": 8, "return_mean": 5.0}, {"seed": 4, "steps": 8, "return_mean": 6.0}], True
    )
    log.write_video(tmp_path / "8.mp4", 8)
    log.close()
    assert [begun["config"]["seed"] for begun in tracker.begun] == [3, 4]
    assert {(begun["project"], begun["group"]) for begun in tracker.begun} == {("proximax", tmp_path.name)}
    assert len({begun["name"] for begun in tracker.begun}) == 2
    update = {"train/entropy": 0.25, "train/kl": 3e-5, "rollout/episodes": 1, "time/update": 1, "time/time_s": 1.0}
    assert tracker.logged == [
        (0, update | {"steps": 8}),
        (1, update | {"steps": 8}),
        (0, {"eval/return_mean": 2.0, "steps": 8}),
        (0, {"eval/final_return_mean": 5.0, "steps": 8}),
        (1, {"eval/final_return_mean": 6.0, "steps": 8}),
        (0, {"eval/video": ("video", str(tmp_path / "8.mp4"), "mp4"), "steps": 8}),
    ]
    assert tracker.finished == 2
    assert capsys.readouterr().out == ""  # stdout is the report's


def test_a_resumed_run_goes_on_in_the_same_runs(tracker, tmp_path):
    TrackerLogger(tracker.name, LoggedRun(CONFIG, tmp_path)).close()
    TrackerLogger(tracker.name, LoggedRun(CONFIG, tmp_path, rows=rows(1), steps=[8, 8])).close()
    identity = "id" if tracker.name == "wandb" else "name"
    first, second = ([begun[identity] for begun in tracker.begun[i : i + 2]] for i in (0, 2))
    assert first == second
    assert {begun["resume"] for begun in tracker.begun} == {"allow"}


def test_a_tracker_that_fails_is_left_alone_and_training_goes_on(tracker, tmp_path, caplog):
    log = TrackerLogger(tracker.name, LoggedRun(CONFIG, tmp_path))
    tracker.broken = True
    with caplog.at_level(logging.WARNING, logger="proximax"):
        for update in (1, 2):
            log.write(rows(update))
        log.write_evaluation([{"seed": 3, "steps": 8, "return_mean": 2.0}], True)
        log.write_video(tmp_path / "8.mp4", 8)
        log.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"{tracker.name}: ConnectionError: no route to host; nothing more is sent to it"
    ]


def test_an_id_that_is_none_is_refused(tmp_path):
    path = tmp_path / "wandb" / ID_FILE
    assert run_identity(path) == run_identity(path)
    path.write_text("../../etc")
    with pytest.raises(CheckpointError, match="is not an id: delete it"):
        run_identity(path)


@pytest.mark.process
def test_wandb_itself_takes_a_run_and_its_resumption_without_a_network(tmp_path):
    pytest.importorskip("wandb")
    environment = os.environ | {"WANDB_MODE": "offline", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    line = [sys.executable, "-m", "proximax", "train", "probe:matching", "--preset", "none", "--out", "run"]
    line += ["--log", "wandb,csv", "--seeds", "2", "--eval-episodes", "2", "--ppo.num-steps", "8", "--num-envs", "4"]
    line += ["--ppo.minibatch-size", "32"]
    for more in (["--steps", "64"], ["--steps", "128", "--resume", "auto"]):
        done = subprocess.run(
            [*line, *more], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert "nothing more is sent" not in done.stderr
    records = list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(records) == 4
    assert len({path.name for path in records}) == 2  # a seed's two parts have one id
    assert all(path.stat().st_size for path in records)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 128
