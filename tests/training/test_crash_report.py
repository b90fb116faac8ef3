"""What is kept of a fault. Faults 7, 8."""

import json

import numpy as np
import pytest

from proximax.errors import EnvError, NumericalError
from proximax.training import crash_report
from proximax.types import Transition
from tests.support.toy_envs import Screens, collected

ROWS = [{"update": 7, "seed": 5, "steps": 640, "finite": 1.0}, {"update": 7, "seed": 6, "steps": 640, "finite": 0.0}]


def rollout(**changes):
    zeros = np.zeros((4, 2, 3), np.float32)
    obs = {"see": np.zeros((4, 2, 3, 2), np.float32), "tick": np.zeros((4, 2, 3), np.int32)}
    names = ("first", "action", "log_prob", "reward", "terminated", "truncated", "valid")
    return Transition(**{"obs": obs, "final_obs": obs, **dict.fromkeys(names, zeros), **changes})


def test_what_was_not_finite_before_anything_was_computed_is_blamed():
    reward = np.zeros((4, 2, 3), np.float32)
    reward[2, 1, 0] = np.nan
    told = "update 7 of seed 6, at 640 steps: the reward is not finite: nan in environment 0 of seed 6, step 2"
    fault = crash_report.diagnose_failed_update(ROWS, 3, rollout(reward=reward))
    assert isinstance(fault, NumericalError)
    assert str(fault).startswith(told)
    for good in (rollout(), None):
        fault = crash_report.diagnose_failed_update(ROWS, 3, good)
        assert str(fault).startswith("loss, gradient or normaliser not finite: update 7 of seed 6, at 640 steps")


def test_a_mask_of_nothing_names_environment_and_step():
    rows = [ROWS[0] | {"fully_masked_index": 7}]
    fault = crash_report.diagnose_failed_update(rows, 3, rollout())
    assert isinstance(fault, EnvError)
    assert "environment 1 allowed nothing at step 2 of the rollout of update 7 of seed 5" in str(fault)


def test_a_fault_is_kept_whatever_text_it_has(tmp_path):
    crash_report.write_crash_report(tmp_path, EnvError("a name of no encoding: \udcff, and β"), None, 8)
    assert "a name of no encoding: \\udcff, and β" in (tmp_path / "error.log").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "crash" / "crash.json").read_text())["message"].endswith("\udcff, and β")


@pytest.mark.fault(8)
def test_the_rollout_and_a_description_are_kept(tmp_path):
    bad = rollout()
    bad.obs["see"][1, 0, 2, 1] = np.inf
    try:
        raise NumericalError("the observation is not finite")
    except NumericalError as error:
        crash_report.write_crash_report(tmp_path, error, bad, 640)
    with np.load(tmp_path / "crash" / "rollout.npz", allow_pickle=False) as found:
        assert np.argwhere(np.isinf(found["obs['see']"])).tolist() == [[1, 0, 2, 1]]
        assert found["obs['tick']"].dtype == np.int32
        assert found["reward"].shape == (4, 2, 3)
        assert len(found.files) == 11
    told = json.loads((tmp_path / "crash" / "crash.json").read_text())
    assert told == {"kind": "NumericalError", "message": "the observation is not finite", "steps": 640}
    assert "Traceback" in (tmp_path / "error.log").read_text()
    crash_report.write_crash_report(tmp_path, ValueError("another, of no rollout"), None, 700)
    assert [path.name for path in (tmp_path / "crash").iterdir()] == ["crash.json"]


def test_frames_are_kept_once_each(tmp_path):
    from proximax.spaces.frame_stack import FrameStore

    (found, _, _), *_ = collected(Screens(2, False), [[1, 2]], np.zeros(5, int), True)
    store = FrameStore(5, np.zeros((1, 2, 3, 4, 3), np.uint8))
    crash_report.write_crash_report(tmp_path, ValueError("x"), found._replace(obs=store), 10)
    with np.load(tmp_path / "crash" / "rollout.npz", allow_pickle=False) as kept:
        assert {name.partition(".")[0] for name in kept.files} >= {"obs", "reward"}


@pytest.mark.fault(24)
def test_what_the_disk_does_not_take_is_told(tmp_path, capsys):
    (tmp_path / "crash").write_text("in the way")
    crash_report.write_crash_report(tmp_path, ValueError("x"), None, 10)
    assert "could not write the crash report" in capsys.readouterr().err
    assert "ValueError: x" in (tmp_path / "error.log").read_text()


def test_no_row_that_went_wrong_is_a_fault_of_ours():
    with pytest.raises(AssertionError):
        crash_report.diagnose_failed_update(ROWS[:1], 3, None)
