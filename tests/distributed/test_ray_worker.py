"""What a worker of Ray makes of its process, with objects in place of Ray: Ray itself is in tests/cluster."""

import sys
from types import SimpleNamespace

import pytest

from proximax.distributed import ray_worker as module
from proximax.distributed.board import ERR, OUT, WARNING, Board
from proximax.distributed.child import Child
from proximax.distributed.ray_worker import final_code, processes_of, wait_for, watch_one_rank


def test_workers_that_have_nothing_to_do():
    assert [processes_of(workers, [1, 2, 4]) for workers in (1, 2, 3, 4)] == [1, 2, 2, 4]


@pytest.mark.parametrize(
    ("code", "signalled", "final"),
    [(0, 0, 0), (3, 0, 3), (8, 0, None), (143, 0, None), (-9, 0, None), (143, 15, 143), (8, 15, 143), (-9, 2, 130)],
)
def test_the_exit_code_of_the_training_or_another_start(code, signalled, final):
    assert final_code(code, signalled) == final


@pytest.fixture
def worker(monkeypatch):
    """Makes ``watch_one_rank`` run as a rank of a world; returns (the call, the board)."""
    board = Board()
    names = "ask", "begin", "end", "tell"
    handle = SimpleNamespace(**{name: SimpleNamespace(remote=getattr(board, name)) for name in names})
    ray = SimpleNamespace(get=lambda value: value, util=SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1"))

    def call(script, rank=0, world=1, sizes=(1,), folder="."):
        context = SimpleNamespace(
            get_world_rank=lambda: rank,
            get_world_size=lambda: world,
            get_local_rank=lambda: rank,
            get_local_world_size=lambda: world,
        )
        train = SimpleNamespace(
            collective=SimpleNamespace(broadcast_from_rank_zero=lambda value: value), get_context=lambda: context
        )
        monkeypatch.setitem(sys.modules, "ray", ray)
        monkeypatch.setitem(sys.modules, "ray.train", train)
        command = [sys.executable, "-S", "-c", script]
        watch_one_rank(
            {"command": command, "variables": {"A": "b"}, "folder": str(folder), "board": handle, "sizes": sizes}
        )

    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    return call, board


@pytest.mark.process
def test_a_process_gets_its_place_and_its_own_error_ends_the_training(worker, tmp_path):
    call, board = worker
    names = "PROXIMAX_RANK", "PROXIMAX_SIZE", "PROXIMAX_LOCAL_SIZE", "A"
    script = f"import os; open('said', 'w').write(' '.join(os.environ.get(name, '-') for name in {names}))"
    call(script, rank=1, world=2, sizes=(2,), folder=tmp_path)
    assert (tmp_path / "said").read_text() == "1 2 2 b"
    call(script, rank=1, world=3, sizes=(1, 2), folder=tmp_path)
    assert (tmp_path / "said").read_text() == "1 2 - b"
    assert board.code() is None
    call("raise SystemExit(3)", rank=1, world=2, sizes=(2,))
    assert board.code() == 3


@pytest.mark.process
def test_a_process_that_is_lost_is_an_error_for_ray(worker):
    call, board = worker
    text = "rank 1 was killed by SIGKILL after no updates"
    with pytest.raises(RuntimeError, match=text):
        call("import os; os.kill(os.getpid(), 9)", rank=1, world=2, sizes=(2,))
    assert board.code() is None
    assert board.look()[1] == [(WARNING, text)]


@pytest.mark.process
def test_the_command_gets_what_the_first_process_says(worker):
    call, board = worker
    call("import sys; print('result'); print('note', file=sys.stderr)")
    assert sorted(board.look()[1]) == [(OUT, "result\n"), (ERR, "note\n")]
    call("import sys; print('why'); sys.exit(3)", rank=1, world=2, sizes=(2,))
    assert board.look()[1] == [(ERR, "proximax: of rank 1:\nwhy\n")]


def test_a_worker_without_a_rank_and_one_of_a_training_that_has_ended_start_nothing(worker):
    call, board = worker
    call("must not run", rank=2, world=3, sizes=(1, 2))
    board.end(3)
    call("must not run")
    assert board.look()[1] == []  # "must not run" is no program: it would have said so


@pytest.mark.process
def test_a_signal_is_passed_on_once_and_a_stuck_process_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    script = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); print('on', flush=True)"
    )
    child = Child([sys.executable, "-S", "-c", f"{script}; time.sleep(60)"], 1, {}, tmp_path)
    try:
        assert wait_for(child, lambda: (None, 15 if "on" in child.excerpt else 0)) == (143, 15)
        child = Child([sys.executable, "-S", "-c", "import time; time.sleep(60)"], 1, {}, tmp_path)
        monkeypatch.setattr(Child, "stuck_for", lambda _: 50.0)
        with pytest.raises(RuntimeError, match="rank 1 is stuck: no progress for 50 s"):
            wait_for(child, lambda: (None, 0))
    finally:
        child.kill()
