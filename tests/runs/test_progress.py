"""What a checkpoint keeps of a run beside its state: written and read back as it was, and refused where it is not."""

from pathlib import Path

import numpy as np
import pytest

from proximax.errors import CheckpointError
from proximax.runs.metrics import History
from proximax.runs.progress import LoggerState, LogPosition, RunProgress

LOGS = {"metrics.jsonl": LogPosition(90, "é\n"), "evaluations.jsonl": LogPosition(7)}
PROGRESS = RunProgress(LoggerState(History(5, 3).to_tree(), LOGS), 1.5, 0.5, 4, True, 2)
SEEDS, PATH = range(5, 8), Path("run/step-000000000096")


def test_the_names_on_disk_stay_as_they_are():
    tree = PROGRESS.to_tree()
    assert list(tree) == ["recorder", "time_s", "compile_s", "evaluated", "reached", "restarts"]
    assert list(tree["recorder"]) == ["history", "logs"]
    assert tree["recorder"]["logs"]["metrics.jsonl"] == {"size": 90, "waiting": "é\n"}
    assert list(tree["recorder"]["history"]) == ["update", "steps", "recent", "sums"]


def test_progress_comes_back_as_it_was():
    back = RunProgress.from_tree(PROGRESS.to_tree(), SEEDS, PATH)
    assert back._replace(logger=None) == PROGRESS._replace(logger=None)
    assert back.logger.logs == LOGS
    assert back.update == 0
    for name, value in back.logger.history.items():
        np.testing.assert_array_equal(value, PROGRESS.logger.history[name])


def test_checkpoints_from_before_restarts_were_counted_have_none():
    tree = {name: value for name, value in PROGRESS.to_tree().items() if name != "restarts"}
    assert RunProgress.from_tree(tree, SEEDS, PATH).restarts == 0


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"time_s": "1"}, "progress.time_s"),
        ({"time_s": float("inf")}, "progress.time_s"),
        ({"evaluated": -1}, "progress.evaluated"),
        ({"evaluated": True}, "progress.evaluated"),
        ({"reached": 1}, "progress.reached"),
        ({"restarts": 0.5}, "progress.restarts"),
        ({"recorder": None}, "progress.recorder"),
        ({"recorder": {"history": {}, "logs": {}}}, "progress.recorder.history"),
        ({"recorder": {**PROGRESS.to_tree()["recorder"], "logs": {}}}, "progress.recorder.logs"),
    ],
)
def test_what_no_run_has_saved_is_refused_by_name(change, part):
    with pytest.raises(CheckpointError, match=rf"cannot resume: {part} has an unexpected type"):
        RunProgress.from_tree(PROGRESS.to_tree() | change, SEEDS, PATH)


def test_every_log_is_checked_not_only_the_one_that_each_run_has():
    tree = PROGRESS.to_tree()
    tree["recorder"]["logs"]["evaluations.jsonl"] = {"size": -1, "waiting": ""}
    with pytest.raises(CheckpointError, match=r"progress\.recorder\.logs\.evaluations\.jsonl\.size has"):
        RunProgress.from_tree(tree, SEEDS, PATH)
    with pytest.raises(CheckpointError, match="progress has an unexpected type"):
        RunProgress.from_tree("text", SEEDS, PATH)


def test_an_evaluation_that_reached_the_goal_is_to_be_made_again():
    assert PROGRESS.settled_evaluation == 3
    assert PROGRESS._replace(reached=False).settled_evaluation == 4
