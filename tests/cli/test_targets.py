"""Runs and environments as the command line names them."""

import pytest

from proximax.cli.targets import references_named, runs_named, split_targets
from proximax.errors import CheckpointError, UsageError
from tests.support.finished_runs import finished_run


def test_a_directory_with_runs_is_runs_and_anything_else_an_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished_run("runs/one", [1.0])
    finished_run("a=b", [1.0])
    (tmp_path / "ALE").mkdir()
    targets = ["CartPole-v1", "runs", "mine=runs/one", "ALE/Pong-v5", "a=b", "pkg:X-v0"]
    assert split_targets(targets) == (
        ["CartPole-v1", "ALE/Pong-v5", "pkg:X-v0"],
        {None: ["runs", "a=b"], "mine": ["runs/one"]},
    )
    assert runs_named(["x", "mine=y", "mine=z", "=w"]) == {None: ["x", "=w"], "mine": ["y", "z"]}


@pytest.mark.parametrize("target", ["runs/typo", "./typo", "/typo", "label=typo", "empty", "typo/"])
def test_a_path_without_a_run_is_not_taken_for_an_environment(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="is not a run directory, and no run is below it"):
        split_targets([target])


def test_references_are_two_numbers_of_each_environment():
    assert references_named([]) is None
    assert references_named(["X-v0=1,2.5", "a=b-v0=-3,4e2"]) == {"X-v0": (1, 2.5), "a=b-v0": (-3, 400)}
    for wrong in ("X-v0", "X-v0=1", "X-v0=1,2,3", "X-v0=a,b", "=1,2"):
        with pytest.raises(UsageError, match="--references"):
            references_named([wrong])
    with pytest.raises(UsageError, match="named twice"):
        references_named(["X-v0=1,2", "X-v0=1,2"])
