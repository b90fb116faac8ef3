"""Learning curves of runs that exist."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import proximax
from proximax.errors import CheckpointError, UsageError
from proximax.reports.curves import labels, read_curve

TINY = {"num_envs": 2, "num_steps": 8, "minibatch_size": 8, "epochs": 1, "eval_episodes": 2, "quiet": True}
TINY |= {"preset": "none", "hidden": (4,), "steps": 64}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of one environment, and an unfinished run of another."""
    folder = tmp_path_factory.mktemp("runs")
    proximax.train("probe:matching", seeds=2, out=folder / "a", **TINY)
    proximax.train("CartPole-v1", out=folder / "b", callbacks=[lambda rows: rows[0]["update"] == 3], **TINY)
    (folder / "b" / "result.json").unlink()
    return [folder / "a", folder / "b"]


@pytest.mark.parametrize(("name", "begins"), [("x.png", b"\x89PNG"), ("x.PDF", b"%PDF"), ("x.svg", b"<?xml")])
def test_every_format_is_a_whole_file(runs, tmp_path, name, begins):
    path = proximax.plot(runs, tmp_path / name)
    assert path.read_bytes().startswith(begins)
    if name == "x.png":
        assert plt.imread(path).shape[1] > 1000  # two panels beside each other


def test_a_curve_has_the_numbers_of_the_metrics(runs):
    rows = proximax.runs.read_metrics(runs[0] / "metrics.jsonl")
    curve = read_curve(runs[0], "a")
    assert (curve.env, curve.seeds, curve.steps.tolist()) == ("probe:matching", 2, [16, 32, 48, 64])
    second = [row["return_last_100"] for row in rows if row["seed"] == 1]
    np.testing.assert_allclose(curve.returns[1], np.array(second, float))
    assert read_curve(runs[1], "b").returns.shape == (1, 3)


def test_runs_of_one_name_are_told_apart(tmp_path):
    one, other = tmp_path / "x" / "run", tmp_path / "y" / "run"
    assert labels([one, other]) == [str(one), str(other)]
    assert labels([one, tmp_path / "b"]) == ["run", "b"]


@pytest.mark.parametrize(
    ("given", "out", "message"),
    [([], "x.png", "must be a list of runs"), ("run", "x.png", "list of runs"), (["a"], "x.jpg", "must end in .png")],
)
def test_wrong_arguments_are_refused(given, out, message):
    with pytest.raises(UsageError, match=message):
        proximax.plot(given, out)


def test_what_is_no_run_is_refused(tmp_path, runs):
    with pytest.raises(CheckpointError, match="not a run directory"):
        proximax.plot([*runs, tmp_path], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
