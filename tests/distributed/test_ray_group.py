"""What the command makes of Ray's answers, with objects in place of Ray: Ray itself is in tests/cluster."""

import sys
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from proximax.distributed import ray_group as module
from proximax.distributed.board import Board
from proximax.distributed.ray_group import connect, import_ray, room_seconds, supervise_with_ray
from proximax.distributed.supervisor import Launch
from proximax.errors import DependencyError, DistributedError, Interrupted


class FailedError(Exception):
    """Ray Train's."""


class RayError(Exception):
    """Ray's."""


def fake_ray(started):
    return SimpleNamespace(
        get=lambda value: value,
        is_initialized=lambda: bool(started),
        init=lambda **settings: started.append(settings),
        shutdown=started.clear,
        exceptions=SimpleNamespace(RayError=RayError),
        cluster_resources=lambda: {"CPU": 3.0},
        available_resources=dict,
    )


@pytest.fixture
def groups(monkeypatch):
    """What each worker group does, in turn; returns (these, what Ray was started with, the board)."""
    board, turns, started = Board(), [], []
    names = "ask", "end", "code", "signal", "look"
    handle = SimpleNamespace(**{name: SimpleNamespace(remote=getattr(board, name)) for name in names})
    train = SimpleNamespace(TrainingFailedError=FailedError)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(module, "import_ray", lambda: (fake_ray(started), train))
    monkeypatch.setattr(module, "make_board", lambda _: handle)
    monkeypatch.setattr(module, "make_trainer", lambda *_: SimpleNamespace(fit=lambda: turns.pop(0)()))
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    return turns, started, board


def launch(*checkpoints):
    names = iter(checkpoints)
    return Launch(["first"], ["again"], 4, lambda: next(names, checkpoints[-1]), "proximax train --resume", (2, 4))


def fail():
    raise FailedError("many lines\nrank 1 was killed")


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r'pip install "proximax\[ray\]"'):
        import_ray()


def test_a_group_that_ends_well_and_one_that_ends_by_its_own_error(groups):
    turns, started, board = groups
    turns += [lambda: None, lambda: board.end(3)]
    assert supervise_with_ray(launch(""), None) == 0
    assert supervise_with_ray(launch(""), None) == 3
    assert not started


def test_progress_allows_more_failures_than_rays_and_none_ends_it(groups, capfd):
    turns, *_ = groups
    turns += [fail, fail]
    with pytest.raises(DistributedError, match=r"rank 1 was killed. Given up after 3 .* is step-2. next: proximax"):
        supervise_with_ray(launch("", "step-2"), None)
    assert "starting again, the newest checkpoint is step-2" in capfd.readouterr().err


def test_without_room_it_says_so_waits_and_gives_up(groups, monkeypatch, capfd):
    turns, started, _ = groups
    turns.append(lambda: time.sleep(60))
    silences = iter([1.0, 31.0, 32.0])
    monkeypatch.setattr(module.make_board(None).look, "remote", lambda: (next(silences, 200.0), []))
    with pytest.raises(DistributedError, match=r"no process for 200 s: .* 2 workers .* 3 CPUs, 0 .* is step-1. next"):
        supervise_with_ray(launch("step-1"), None)
    assert capfd.readouterr().err.count("waiting for Ray: at least 2 workers") == 1
    assert not started


def test_a_signal_is_for_the_processes_and_ends_the_command_where_they_do_not(groups, monkeypatch):
    turns, _, board = groups
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.1)
    turns += [lambda: time.sleep(60)]
    monkeypatch.setattr(module, "passed_on_signals", lambda: nullcontext([15]))
    with pytest.raises(Interrupted) as raised:
        supervise_with_ray(launch(""), None)
    assert raised.value.code == 143
    assert board.ask() == (None, 15)


def test_how_long_the_command_waits(monkeypatch):
    monkeypatch.delenv("PROXIMAX_START_SECONDS", raising=False)
    assert room_seconds() == 180
    monkeypatch.setenv("PROXIMAX_START_SECONDS", "900")
    assert room_seconds() == 900


@pytest.mark.parametrize("error", [ConnectionError, RayError])
def test_a_cluster_that_cannot_be_reached_or_wants_a_token_is_named(error):
    def refuse(**_):
        raise error("no cluster there\nmore")

    ray = fake_ray([])
    ray.init = refuse
    with pytest.raises(DistributedError, match="Ray at head:6379 cannot be used: no cluster there"):
        connect(ray, "head:6379", 2)


def test_a_ray_of_this_machine_has_room_for_all_and_a_cluster_is_that_of_the_variable(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    started = []
    connect(fake_ray(started), None, 1000)
    assert (started[0]["address"], started[0]["num_cpus"]) == ("local", 1000)
    started.clear()
    monkeypatch.setenv("RAY_ADDRESS", "head:1")
    connect(fake_ray(started), None, 2)
    assert started[0]["address"] == "head:1"
    assert "num_cpus" not in started[0]


def test_what_the_workers_say_is_shown_and_a_failure_with_the_newest_checkpoint(groups, capfd):
    turns, _, board = groups

    def train():
        board.tell(1, "result\n")
        board.tell(2, "note\n")
        board.tell(3, "rank 1 was killed")

    turns.append(train)
    assert supervise_with_ray(launch("step-1"), None) == 0
    said = capfd.readouterr()
    assert said.out == "result\n"
    assert said.err == "note\nproximax: warning: rank 1 was killed; starting again, the newest checkpoint is step-1\n"
