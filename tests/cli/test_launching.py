"""Flags of ``train --launch``."""

import pytest

from proximax.cli import launching
from proximax.cli.launching import is_launcher, newest_checkpoint, numbers_of_workers
from proximax.errors import UsageError
from tests.support.cli_process import run_command


@pytest.mark.parametrize(("shards", "cores", "workers"), [(1, 8, 1), (6, 4, 3), (4, 2, 2), (7, 4, 1)])
def test_as_many_processes_as_have_a_core_and_share_the_shards(monkeypatch, shards, cores, workers):
    monkeypatch.setattr(launching, "usable_cores", lambda: list(range(cores)))
    assert numbers_of_workers(None, shards) == [workers]


def test_a_number_of_workers_or_those_between_two_that_share_the_shards():
    assert numbers_of_workers("2", 4) == [2]
    assert numbers_of_workers("1-4", 4) == [1, 2, 4]
    for text in "4-1", "1-3", "-2", "two", "1-":
        with pytest.raises(UsageError, match="must share 4 shards evenly"):
            numbers_of_workers(text, 4)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("--workers 2", "--workers: goes with --launch"),
        ("--address 1.2.3.4:5", "--address: goes with --launch"),
        ("--launch local --workers 2 --shards 3", "must share 3 shards evenly"),
        ("--launch local --workers 0", "must share 1 shard evenly"),
        ("--launch local --workers 1-2 --shards 2", "goes with --launch ray"),
        ("--launch local --address 1.2.3.4:5", "goes with --launch ray"),
    ],
)
def test_flags_that_do_not_fit_are_refused(flags, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_command(f"train CartPole-v1 {flags} --num-envs 6 --out run").fault(2, text)
    assert not list(tmp_path.iterdir())


def test_a_process_that_was_started_by_another_launcher_starts_none(monkeypatch):
    command = type("Command", (), {"launch": "local", "workers": None, "address": None})
    monkeypatch.setenv("PROXIMAX_SIZE", "2")
    monkeypatch.setenv("PROXIMAX_RANK", "0")
    monkeypatch.setenv("PROXIMAX_COORDINATOR", "127.0.0.1:23000")
    with pytest.raises(UsageError, match="one of several already"):
        is_launcher(command)
    monkeypatch.setenv("PROXIMAX_PROGRESS", "file")
    assert not is_launcher(command)


def test_the_newest_checkpoint(tmp_path):
    assert newest_checkpoint(tmp_path) == ""
    for step in 1, 2:
        (tmp_path / "checkpoints" / f"step-{step:012d}").mkdir(parents=True)
    assert newest_checkpoint(tmp_path).endswith("step-000000000002")
